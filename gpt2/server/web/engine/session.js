// What the engine keeps between questions: the model, its tokenizer, the means, and the latest runs.
// In: what a live page brings. Out: runs of a text with some components switched. As gpt2/server/session.py.

import { Tensor, zeros } from "./tensor.js";
import { row } from "./vectors.js";
import { word } from "./words.js";

/** @import { Floats, Ints } from "../answers.d.ts" */
/** @import { BytePairs } from "./bpe.js" */
/** @import { Graph, Options, Past, Switch } from "./graph.js" */

/** @typedef {Record<string, string>} Switches */
/** @typedef {{ tokens: Ints, starts: Ints, at: Ints, activation: Floats, active: Floats, text: string }} Places */
/** @typedef {{ ids: number[], switches: Switches, values: Record<string, Tensor>, signal?: AbortSignal }} Run */

const KEPT = 12; // runs
/** @type {Record<string, number>} */
const FACTORS = { off: 0, mean: 0, half: 0.5, double: 2 };

// The engine has no answer: the message says why, and what to do.
export class NoAnswer extends Error {}

export class Session {
  /**
   * @param {Graph} graph
   * @param {BytePairs} tokenizer
   * @param {Record<string, Tensor>} means of every switch that can be a mean
   * @param {number[]} ends ids that end a text
   * @param {Places} places what excites each neuron (gpt2/explain/live/contexts.py)
   */
  constructor(graph, tokenizer, means, ends, places) {
    this.ends = ends;
    this.places = places;
    this.graph = graph;
    this.tokenizer = tokenizer;
    this.means = means;
    this.config = graph.config;
    this.weights = graph.weights;
    /** @type {Map<string, any>} */
    this.known = new Map();
  }

  /** @param {string} text */
  encode(text) {
    const ids = this.tokenizer.encode(text);
    const context = this.config.n_positions;
    if (!ids.length) {
      throw new NoAnswer('The prompt is empty, it has no tokens: give at least one, for example "Once upon a time".');
    }
    if (ids.length > context) {
      const more = ids.length - context;
      throw new NoAnswer(
        `The prompt has ${ids.length} tokens and this model's context is ${context}: shorten it by ${more}.`,
      );
    }
    return ids;
  }

  /** @param {number} id */
  word(id) {
    return word(this.tokenizer, id);
  }

  /** @param {Iterable<number>} ids */
  words(ids) {
    return Object.fromEntries([...new Set(ids)].sort((a, b) => a - b).map((id) => [id, this.word(id)]));
  }

  /**
   * The id of a word of one token, given with a space or a middle dot before it.
   * @param {string} text
   */
  token(text) {
    const ids = this.tokenizer.encode(text.replaceAll("·", " "));
    if (ids.length !== 1) {
      const parts = ids.map((id) => this.word(id)).join(" ");
      throw new NoAnswer(`"${text}" is not one token but ${ids.length} (${parts}): choose a word that is one token.`);
    }
    return ids[0];
  }

  /**
   * The numbers of a parameter.
   * @param {string} name
   */
  weight(name) {
    return this.weights[name].floats;
  }

  // gamma and beta of the final norm, [C] each: variants lack the second, and do not subtract the mean then.
  finalNorm() {
    const { n_embd: C, centred } = this.config;
    const beta = this.weights["transformer.ln_f.bias"]?.floats ?? new Float32Array(C);
    return { gamma: this.weight("transformer.ln_f.weight"), beta, centred };
  }

  /**
   * A text's pass with everything that the picture reads; the latest are kept.
   * @param {number[]} ids
   * @param {Switches} switches
   * @param {string[]} read
   * @param {Options} [options]
   * @returns {Promise<Run>}
   */
  async run(ids, switches, read, options = {}) {
    const { values } = await this.graph.run(ids, { ...options, switches: this.edits(switches), wanted: read });
    return { ids, switches, values };
  }

  /**
   * The values of a run at more addresses: only what is missing is computed.
   * @param {Run} run
   * @param {string[]} addresses
   * @param {Options} [options]
   */
  async more(run, addresses, options = {}) {
    const missing = addresses.filter((address) => !(address in run.values));
    if (!missing.length) return run.values;
    const { values } = await this.graph.run(run.ids, {
      ...options,
      switches: this.edits(run.switches),
      given: run.values,
      wanted: missing,
    });
    return { ...run.values, ...values };
  }

  /**
   * The logits after the last of some tokens, which stand behind the positions of `past`; and the longer past.
   * @param {number[]} ids
   * @param {Switches} switches
   * @param {Past} past
   * @param {AbortSignal} [signal]
   * @returns {Promise<{ logits: Float32Array, past: Past }>}
   */
  async extend(ids, switches, past, signal) {
    const { n_embd: C } = this.config;
    const found = await this.graph.run(ids, { past, switches: this.edits(switches), wanted: ["final.out"], signal });
    const last = found.values["final.out"].floats.subarray((ids.length - 1) * C);
    const given = { "final.out": new Tensor(last, [1, 1, C]) };
    const { values } = await this.graph.run(ids.slice(-1), { given, signal });
    return { logits: values.logits.floats, past: found.past };
  }

  /**
   * What was made for a key before, or what is made now.
   * @template T
   * @param {any} key
   * @param {() => Promise<T>} make
   * @returns {Promise<T>}
   */
  kept(key, make) {
    const name = JSON.stringify(key);
    const before = this.known.get(name);
    this.known.delete(name);
    const found = before ?? make();
    this.known.set(name, found);
    if (this.known.size > KEPT) this.known.delete([...this.known.keys()][0]);
    found.catch(() => this.known.delete(name));
    return found;
  }

  /**
   * The graph's switches for the page's: {"3.head.7": "off"} -> {"3.attn.z": { gate, value }}.
   * @param {Switches} switches
   */
  edits(switches) {
    const { n_head: H, n_embd } = this.config;
    /** @type {Record<string, Switch>} */
    const made = {};
    for (const [address, state] of Object.entries(switches)) {
      const [layer, kind, head] = address.split(".");
      if (kind === "head") {
        const point = `${layer}.attn.z`;
        const D = n_embd / H;
        made[point] ??= { gate: new Tensor(new Float32Array(H).fill(1), [1, H, 1, 1]), value: zeros([1, H, 1, D]) };
        const { gate, value } = /** @type {{ gate: Tensor, value: Tensor }} */ (made[point]);
        gate.data[Number(head)] = FACTORS[state];
        if (state === "mean") value.data.set(row(this.mean(point).floats, Number(head), D), Number(head) * D);
        continue;
      }
      const point = kind === "attn" || kind === "mlp" ? `${address}.out` : address;
      made[point] = state === "mean" ? { gate: 0, value: this.mean(point) } : { gate: FACTORS[state] };
    }
    return made;
  }

  /** @param {string} point */
  mean(point) {
    const found = this.means[point];
    if (!found) throw new NoAnswer(`This page brings no mean of ${point}: switch it off instead.`);
    return found;
  }
}
