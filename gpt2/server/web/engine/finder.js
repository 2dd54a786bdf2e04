// Where a number of a run stands, and what it was computed from. As gpt2/explain/walk/calculation.py, and tested
// against it. In: a run's values. Out: operands.

import { NoAnswer } from "./session.js";
import { average, dot, row as rowOf, total } from "./vectors.js";

/** @import { Session, Switches } from "./session.js" */
/** @import { Tensor } from "./tensor.js" */

/** @typedef {{ address: string, row: number, index: number, head?: number | null }} Place */
/**
 * @typedef {{
 *   kind: string, value: number, computed: number, left?: ArrayLike<number>, right?: ArrayLike<number>,
 *   numbers?: Record<string, number>,
 * }} Found
 */

const PARTS = ["attn.q", "attn.k", "attn.v"];
const PER_HEAD = [...PARTS, "attn.scores", "attn.pattern", "attn.z"];
const NO_SUM = 1e-3; // as a share of the operands, by more than which rounding does not explain a difference
const OUTSIDE = ["embed.tok", "embed.pos", "embed.out", "final.scale", "final.out", "logits"];
/** @type {Record<string, string[]>} */
const SUMS = {
  "embed.out": ["embed.tok", "embed.pos"],
  resid_mid: ["resid_pre", "attn.out"],
  resid_post: ["resid_mid", "mlp.out"],
};
/** @type {Record<string, string[]>} the points of a block that a calculation reads, beside the number itself */
const READS = {
  ...SUMS,
  resid_pre: [],
  "ln_1.scale": ["resid_pre"],
  "ln_1.out": ["resid_pre", "ln_1.scale"],
  "attn.q": ["ln_1.out"],
  "attn.k": ["ln_1.out"],
  "attn.v": ["ln_1.out"],
  "attn.scores": ["attn.q", "attn.k"],
  "attn.pattern": ["attn.scores"],
  "attn.z": ["attn.pattern", "attn.v"],
  "attn.out": ["attn.z"],
  "ln_2.scale": ["resid_mid"],
  "ln_2.out": ["resid_mid", "ln_2.scale"],
  "mlp.pre": ["ln_2.out"],
  "mlp.post": ["mlp.pre"],
  "mlp.out": ["mlp.post"],
};

/**
 * @param {ArrayLike<number>} scores
 * @param {number} index
 */
function softmax(scores, index) {
  let highest = -Infinity;
  for (let i = 0; i < scores.length; i++) highest = Math.max(highest, scores[i]);
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i] - highest);
  const numbers = { score: scores[index], highest, total: sum };
  return { kind: "softmax", computed: Math.exp(scores[index] - highest) / sum, numbers };
}

export class Finder {
  /**
   * @param {Session} session
   * @param {number[]} ids
   * @param {Place} place
   * @param {Switches} switches
   */
  constructor(session, ids, { address, row, head = null }, switches) {
    const { n_layer, n_head } = session.config;
    const inside = address.match(/^(\d+)\.(.*)$/);
    this.session = session;
    this.ids = ids;
    this.layer = inside ? Number(inside[1]) : null;
    this.point = inside ? inside[2] : address;
    this.address = address;
    this.row = row;
    this.head = head;
    this.switches = switches;
    /** @type {Record<string, Tensor>} */
    this.values = {};
    if (this.layer !== null && this.layer >= n_layer) {
      throw new NoAnswer(`There is no block ${this.layer}: this model has 0 to ${n_layer - 1}.`);
    }
    if (row >= ids.length) throw new NoAnswer(`There is no position ${row}: this text has 0 to ${ids.length - 1}.`);
    if (PER_HEAD.includes(this.point) !== (head !== null)) {
      throw new NoAnswer(`${address} ${head === null ? "needs a" : "has no"} head.`);
    }
    if (head !== null && head >= n_head) {
      throw new NoAnswer(`There is no head ${head}: each block has 0 to ${n_head - 1}.`);
    }
  }

  addresses() {
    const points = this.layer === null ? [] : [this.point, ...(READS[this.point] ?? [])];
    return points.filter((point) => point in READS).map((point) => `${this.layer}.${point}`);
  }

  /**
   * The calculation of one number.
   * @param {number} index
   * @returns {Found}
   */
  find(index) {
    const find = this.layer === null ? this.outside() : this.inside();
    if (!find) throw new NoAnswer(`${this.address} is no step of the model: choose one that gpt2 walk prints.`);
    const width = this.width();
    if (index >= width) throw new NoAnswer(`${this.address} has the numbers 0 to ${width - 1}, not ${index}.`);
    return find(index);
  }

  /** @returns {((index: number) => Found) | undefined} */
  outside() {
    const { weights } = this.session;
    const product = (/** @type {number} */ i) =>
      this.product(i, this.at("final.out"), rowOf(weights["lm_head.weight"].floats, i, this.session.config.n_embd));
    return {
      "embed.tok": this.table,
      "embed.pos": this.table,
      "embed.out": this.sum,
      "final.scale": this.spread,
      "final.out": this.norm,
      logits: product,
      probability: this.probability,
    }[this.point]?.bind(this);
  }

  /** @returns {((index: number) => Found) | undefined} */
  inside() {
    const { n_embd: C, n_inner: F, n_head: H, divisors } = this.session.config;
    const D = C / H;
    const name = `transformer.h.${this.layer}`;
    /** @type {(of: string, from: string, width: number) => (i: number) => Found} */
    const linear = (of, from, width) => (i) => {
      const bias = this.session.weight(`${name}.${of}.bias`)[i];
      return this.product(i, this.at(from), rowOf(this.session.weight(`${name}.${of}.weight`), i, width), { bias });
    };
    const part = (/** @type {number} */ i) => {
      const at = PARTS.indexOf(this.point) * C + (this.head ?? 0) * D + i;
      return { ...linear("attn.c_attn", "ln_1.out", C)(at), value: this.at(this.point)[i] };
    };
    const mixed = (/** @type {number} */ i) => {
      const values = this.all("attn.v");
      const right = Float64Array.from({ length: this.row + 1 }, (_, j) => values[j * D + i]);
      return this.product(i, this.at("attn.pattern").subarray(0, this.row + 1), right);
    };
    /** @type {Record<string, (index: number) => Found>} */
    const finders = {
      resid_pre: this.sum,
      resid_mid: this.sum,
      resid_post: this.sum,
      "ln_1.scale": this.spread,
      "ln_1.out": this.norm,
      "ln_2.scale": this.spread,
      "ln_2.out": this.norm,
      "attn.q": part,
      "attn.k": part,
      "attn.v": part,
      "attn.scores": (j) =>
        this.product(j, this.at("attn.q"), this.at("attn.k", j), { divisor: divisors[this.layer ?? 0] }),
      "attn.pattern": this.weight,
      "attn.z": mixed,
      "attn.out": linear("attn.c_proj", "attn.z", C),
      "mlp.pre": linear("mlp.c_fc", "ln_2.out", C),
      "mlp.post": this.activated,
      "mlp.out": linear("mlp.c_proj", "mlp.post", F),
    };
    return finders[this.point]?.bind(this);
  }

  width() {
    const { n_embd: C, n_head: H, n_inner, vocab_size } = this.session.config;
    const { point } = this;
    if (point.endsWith(".scale")) return 1;
    if (point === "logits" || point === "probability") return vocab_size;
    if (point === "mlp.pre" || point === "mlp.post") return n_inner;
    if (point === "attn.scores" || point === "attn.pattern") return this.ids.length;
    return PER_HEAD.includes(point) ? C / H : C;
  }

  /**
   * All rows at a point of this block, or outside the blocks; of this head, where there are heads.
   * @param {string} point
   */
  all(point) {
    const { shape, floats: numbers } = this.values[OUTSIDE.includes(point) ? point : `${this.layer}.${point}`];
    return PER_HEAD.includes(point) && this.head !== null
      ? rowOf(numbers, this.head, numbers.length / shape[1])
      : numbers;
  }

  /**
   * The numbers of one row; of all heads side by side where no head is meant.
   * @param {string} point
   */
  at(point, row = this.row) {
    const T = this.ids.length;
    const numbers = this.all(point);
    if (!PER_HEAD.includes(point) || this.head !== null) return rowOf(numbers, row, numbers.length / T);
    const { n_embd: C, n_head: H } = this.session.config;
    const D = C / H;
    return Float32Array.from({ length: C }, (_, i) => numbers[(Math.floor(i / D) * T + row) * D + (i % D)]);
  }

  /**
   * @param {number} index
   * @param {ArrayLike<number>} left
   * @param {ArrayLike<number>} right
   * @returns {Found}
   */
  product(index, left, right, { bias = 0, divisor = 1 } = {}) {
    const computed = (dot(left, right) + bias) / divisor;
    return { kind: "product", value: this.at(this.point)[index], computed, left, right, numbers: { bias, divisor } };
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  table(index) {
    const tokens = this.point === "embed.tok";
    const { positions } = this.session.config;
    if (!tokens && positions !== "Embedding") {
      throw new NoAnswer(
        `This model has no table of position vectors, its wpe is ${positions}: choose another number.`,
      );
    }
    const at = tokens ? this.ids[this.row] : this.row;
    const weights = this.session.weight(`transformer.${tokens ? "wte" : "wpe"}.weight`);
    const computed = weights[at * this.session.config.n_embd + index];
    return { kind: "table", value: this.at(this.point)[index], computed, numbers: { at } };
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  sum(index) {
    const before = this.layer ? `${this.layer - 1}.resid_post` : "embed.out";
    const C = this.session.config.n_embd;
    const left =
      this.point === "resid_pre"
        ? [rowOf(this.values[before].floats, this.row, C)[index]]
        : SUMS[this.point].map((point) => this.at(point)[index]);
    const [value, computed] = [this.at(this.point)[index], total(left)];
    const edited = this.point === "resid_post" && `${this.layer}.block` in this.switches;
    const size = Math.abs(value) + total(left.map(Math.abs));
    if (!edited && Math.abs(value - computed) > NO_SUM * size) {
      throw new NoAnswer(
        `In this model ${this.address} is not the sum of what was written to the stream before (post-norm, or no ` +
          "residuals): choose another number.",
      );
    }
    return { kind: "sum", value, computed, left };
  }

  // What a norm reads at this row, and the names of its sigma and its weights.
  normed() {
    const { n_layer, n_embd: C } = this.session.config;
    if (this.layer === null) {
      const x = rowOf(this.values[`${n_layer - 1}.resid_post`].floats, this.row, C);
      return { x, scale: "final.scale", name: "transformer.ln_f" };
    }
    const [own] = this.point.split(".");
    const x = this.at(own === "ln_1" ? "resid_pre" : "resid_mid");
    return { x, scale: `${this.layer}.${own}.scale`, name: `transformer.h.${this.layer}.${own}` };
  }

  /**
   * What a norm subtracts: the mean, or 0 of an RMSNorm.
   * @param {ArrayLike<number>} x
   */
  middle(x) {
    return this.session.config.centred ? average(x) : 0;
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  norm(index) {
    const { x, scale, name } = this.normed();
    const numbers = {
      x: x[index],
      mean: this.middle(x),
      sigma: this.values[scale].floats[this.row],
      weight: this.session.weight(`${name}.weight`)[index],
      bias: this.session.weights[`${name}.bias`]?.floats[index] ?? 0,
    };
    const computed = ((numbers.x - numbers.mean) / numbers.sigma) * numbers.weight + numbers.bias;
    return { kind: "norm", value: this.at(this.point)[index], computed, numbers };
  }

  /** @returns {Found} */
  spread() {
    const { x, scale } = this.normed();
    const mean = this.middle(x);
    const variance = average(Float64Array.from(x, (one) => (one - mean) ** 2));
    const { epsilon } = this.session.config;
    const value = this.values[scale].floats[this.row];
    const computed = Math.sqrt(variance + epsilon);
    return { kind: "spread", value, computed, left: x, numbers: { mean, variance, epsilon } };
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  weight(index) {
    const pattern = this.at("attn.pattern");
    if (index > this.row) return { kind: "masked", value: pattern[index], computed: 0 };
    const left = this.at("attn.scores").subarray(0, this.row + 1);
    return { ...softmax(left, index), value: pattern[index], left, right: pattern.subarray(0, this.row + 1) };
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  activated(index) {
    const [x, value] = [this.at("mlp.pre")[index], this.at("mlp.post")[index]];
    return { kind: "activation", value, computed: value, numbers: { x } }; // no switch stands between the two
  }

  /**
   * @param {number} index
   * @returns {Found}
   */
  probability(index) {
    const found = softmax(this.at("logits"), index);
    return { ...found, value: found.computed };
  }
}
