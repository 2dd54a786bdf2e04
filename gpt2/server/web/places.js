// Where a number of the run stands, and which numbers it was made of: the steps of the model, one after the other.
// In: a place and the model's sizes. Out: other places, and words. The numbers themselves are asked for elsewhere.

/** @import { Model } from "./answers.d.ts" */
/** A row of -1 is the one that is selected. */
/** @typedef {{ address: string, head: number | null, row: number, index: number }} Place */
/** @typedef {Pick<Model, "n_layer" | "n_head" | "n_embd" | "vocab_size" | "activation">} Sizes */
/** @typedef {(i: number) => Place | null} Operand where the i-th operand stands; null for a weight */
/**
 * What a step is called, its formula in symbols, what its operands are called, and where they stand.
 * @typedef {{
 *   name: string, formula: string, left: string, right: string, at: Operand, other: Operand,
 *   each: "token" | "number" | "head" | "part",
 * }} Step
 */

const HIGHEST = "the highest is taken off all of them first, which changes nothing";
const TANH = ["gelu_new", "gelu_accurate", "gelu_fast", "gelu_python_tanh", "gelu_pytorch_tanh"];
const GELU = "GELU(x) = 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))";
const PER_HEAD = ["attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z"];

/**
 * As the page's address holds it: 3.attn.scores~7~~5 is head 7, the selected row, reading row 5.
 * @param {Place} place
 */
export function written({ address, head, row, index }) {
  return [address, head ?? "", row < 0 ? "" : row, index].join("~");
}

/**
 * @param {string} text
 * @returns {Place | null}
 */
export function parsed(text) {
  const found = text.match(/^([a-z_0-9.]{1,40})~(\d{0,6})~(\d{0,6})~(\d{1,9})$/);
  if (!found) return null;
  const [, address, head, row, index] = found;
  return { address, head: head === "" ? null : Number(head), row: row === "" ? -1 : Number(row), index: Number(index) };
}

/**
 * The block of a place, and its point there.
 * @param {string} address
 * @returns {{ block: number | null, point: string }}
 */
export function split(address) {
  const found = address.match(/^(\d+)\.(.*)$/);
  return found ? { block: Number(found[1]), point: found[2] } : { block: null, point: address };
}

/** @param {string} address */
export const hasHead = (address) => PER_HEAD.includes(split(address).point);

/**
 * @param {Place} place
 * @param {Sizes} model
 * @returns {Step}
 */
export function step({ address, head, row, index }, { n_layer, n_head, n_embd, vocab_size, activation }) {
  const { block, point } = split(address);
  const D = n_embd / n_head;
  /** @type {(point: string, from?: Partial<Place>) => Operand} */
  const inside = (name, from = {}) => {
    const whole = ["embed.", "final.", "logit"].some((start) => name.startsWith(start)) || /^\d+\./.test(name);
    const to = whole ? name : `${block}.${name}`;
    return (i) => ({ address: to, head: hasHead(to) ? head : null, row, index: i, ...from });
  };
  const none = () => null;
  const same = { index };
  const before = block === null ? `${n_layer - 1}.resid_post` : block ? `${block - 1}.resid_post` : "embed.out";
  const norm = (/** @type {string} */ name, /** @type {string} */ from, /** @type {string} */ scale) => ({
    name,
    formula: "(x − mean) / sigma × weight + bias",
    left: "x",
    right: "sigma",
    at: inside(from, same),
    other: inside(scale, { index: 0 }),
    each: /** @type {const} */ ("part"),
  });
  const spread = (/** @type {string} */ name, /** @type {string} */ from) => ({
    name: `sigma of the ${name}`,
    formula: "√(mean of (x − mean)² + epsilon)",
    left: "x",
    right: "",
    at: inside(from),
    other: none,
    each: /** @type {const} */ ("number"),
  });
  /** @type {(name: string, formula: string, left: string, from: string) => Step} */
  const linear = (name, formula, left, from) => ({
    name,
    formula,
    left,
    right: "weight",
    at: inside(from),
    other: none,
    each: "number",
  });
  /** @type {(name: string, ...parts: string[]) => Step} */
  const sum = (name, ...parts) => ({
    name,
    formula: parts.join(" + "),
    left: "",
    right: "",
    at: (i) => inside(parts[i], same)(index),
    other: none,
    each: "part",
  });
  /** @type {Record<string, () => Step>} */
  const steps = {
    "embed.tok": () => ({ ...sum("token vector"), formula: "looked up in the table of token vectors" }),
    "embed.pos": () => ({ ...sum("position vector"), formula: "looked up in the table of position vectors" }),
    "embed.out": () => sum("stream before the first block", "embed.tok", "embed.pos"),
    resid_pre: () => sum(`stream that enters block ${block}`, before),
    "ln_1.scale": () => spread("norm before attention", "resid_pre"),
    "ln_1.out": () => norm("what attention reads, normed", "resid_pre", "ln_1.scale"),
    "attn.q": () => linear("query", "Σ normed stream × weight + bias", "normed stream", "ln_1.out"),
    "attn.k": () => linear("key", "Σ normed stream × weight + bias", "normed stream", "ln_1.out"),
    "attn.v": () => linear("value", "Σ normed stream × weight + bias", "normed stream", "ln_1.out"),
    "attn.scores": () => ({
      name: "score",
      formula: "query · key / divisor",
      left: "query",
      right: "key",
      at: inside("attn.q"),
      other: inside("attn.k", { row: index }),
      each: "number",
    }),
    "attn.pattern": () => ({
      name: "attention weight",
      formula: `exp(score) / sum of exp over all scores; ${HIGHEST}`,
      left: "score",
      right: "weight",
      at: inside("attn.scores"),
      other: inside("attn.pattern"),
      each: "token",
    }),
    "attn.z": () => ({
      name: "weighted sum of values",
      formula: "Σ attention weight × value",
      left: "attention weight",
      right: "value",
      at: inside("attn.pattern"),
      other: (j) => inside("attn.v", { row: j, index })(j),
      each: "token",
    }),
    "attn.out": () => ({
      ...linear("write of attention", "Σ over all heads' sums × weight + bias", "sum of values", "attn.z"),
      at: (i) => inside("attn.z", { head: Math.floor(i / D), index: i % D })(i),
      each: "head",
    }),
    resid_mid: () => sum("stream after attention", "resid_pre", "attn.out"),
    "ln_2.scale": () => spread("norm before the MLP", "resid_mid"),
    "ln_2.out": () => norm("what the MLP reads, normed", "resid_mid", "ln_2.scale"),
    "mlp.pre": () =>
      linear("neuron before its activation", "Σ normed stream × weight + bias", "normed stream", "ln_2.out"),
    "mlp.post": () => ({
      name: "neuron after its activation",
      formula: TANH.includes(activation) ? GELU : `${activation}(x)`,
      left: "before",
      right: "",
      at: inside("mlp.pre", same),
      other: none,
      each: "part",
    }),
    "mlp.out": () => linear("write of the MLP", "Σ neuron × weight + bias", "neuron", "mlp.post"),
    resid_post: () => sum("stream after the block", "resid_mid", "mlp.out"),
    "final.scale": () => spread("final norm", before),
    "final.out": () => norm("finished stream, normed", before, "final.scale"),
    logits: () => linear("logit", "Σ finished stream × the token's vector", "finished stream", "final.out"),
    probability: () => ({
      name: "probability",
      formula: `exp(logit) / sum of exp over all ${vocab_size} tokens; ${HIGHEST}`,
      left: "logit",
      right: "",
      at: inside("logits", same),
      other: none,
      each: "part",
    }),
  };
  return (steps[point] ?? (() => ({ ...sum(address), formula: "" })))();
}

const INSIDE = (
  "resid_pre ln_1.scale ln_1.out attn.q attn.k attn.v attn.scores attn.pattern attn.z attn.out resid_mid " +
  "ln_2.scale ln_2.out mlp.pre mlp.post mlp.out resid_post"
).split(" ");

/** All steps of the model in their order. @param {Sizes} model */
export function order({ n_layer }) {
  const blocks = Array.from({ length: n_layer }, (_, l) => INSIDE.map((point) => `${l}.${point}`));
  const end = ["final.scale", "final.out", "logits", "probability"];
  return ["embed.tok", "embed.pos", "embed.out", ...blocks.flat(), ...end];
}

/**
 * A number of another step of the same row: the same index where there is one like it, else the first.
 * @param {Place} place
 * @param {string} address
 */
export function moved({ address: from, head, row, index }, address) {
  const kind = (/** @type {string} */ one) => {
    const { point } = split(one);
    if (point === "logits" || point === "probability") return "token";
    if (point.endsWith(".scale")) return "scale";
    if (point === "attn.scores" || point === "attn.pattern") return "source";
    if (point === "mlp.pre" || point === "mlp.post") return "neuron";
    return hasHead(one) ? "unit" : "stream";
  };
  return { address, head: hasHead(address) ? (head ?? 0) : null, row, index: kind(from) === kind(address) ? index : 0 };
}
