// One forward pass in the browser: the graph that PyTorch traced from gpt2/model.py (gpt2/explain/live/graph.py),
// node by node.
// In: token ids, keys and values of earlier positions, switches, and the addresses that are wanted. Out: their values.

import { OPERATIONS } from "./operations.js";
import { Tensor } from "./tensor.js";

/** @import { Kernel } from "./kernel.js" */

/** @typedef {{ gate?: Tensor | number, value?: Tensor | number }} Switch the pass goes on with x * gate + value */
/**
 * @typedef {{
 *   vocab_size: number, n_positions: number, n_embd: number, n_layer: number, n_head: number, n_inner: number,
 *   divisors: number[], epsilon: number, positions: string, centred: boolean,
 * }} Sizes
 */
/**
 * @typedef {{
 *   nodes: [string, ...any][],
 *   points: Record<string, number>,
 *   keys: number[],
 *   values: number[],
 *   config: Sizes,
 * }} Description
 */
/** @typedef {{ length: number, keys: Tensor[], values: Tensor[] }} Past of earlier positions, [1, H, P, D] each */
/**
 * @typedef {{
 *   past?: Past,
 *   switches?: Record<string, Switch>,
 *   given?: Record<string, Tensor>,
 *   wanted?: string[],
 *   watch?: Record<string, (x: Tensor) => void>,
 *   signal?: AbortSignal,
 * }} Options
 */

const PAUSE = 25; // ms of work after which the page may draw and listen

export class Graph {
  /**
   * @param {Description} description
   * @param {Record<string, Tensor>} weights
   * @param {Kernel} kernel
   */
  constructor(description, weights, kernel) {
    this.description = description;
    this.weights = weights;
    this.kernel = kernel;
    this.config = description.config;
    this.refers = description.nodes.map((node) => references(node.slice(1)));
    this.paused = -PAUSE; // when the page last drew and listened: of many short passes none alone is long enough
  }

  /**
   * The values at the wanted addresses, and the keys and values of all positions where `past` is given.
   * What is `given` at an address stands in for the value there, and what only leads to it is not computed.
   * `watch` is shown the value at an address when it has come; it is not kept.
   * @param {number[]} ids
   * @param {Options} [options]
   * @returns {Promise<{ values: Record<string, Tensor>, past: Past }>}
   */
  async run(
    ids,
    { past = empty(this.config), switches = {}, given = {}, wanted = ["logits"], watch = {}, signal } = {},
  ) {
    const { nodes, points, keys, values } = this.description;
    const watchers = new Map(Object.entries(watch).map(([address, see]) => [points[address], see]));
    const unknown = [...wanted, ...Object.keys(watch)].find((address) => !(address in points));
    if (unknown) throw new Error(`there is no point ${unknown}`);
    const kept = past.keys.length ? [...keys, ...values] : [];
    const targets = [...wanted.map((address) => points[address]), ...kept];
    /** @type {Map<number, any>} */
    const found = new Map(Object.entries(given).map(([address, x]) => [points[address], x]));
    const { order, uses } = this.plan([...targets, ...watchers.keys()], found, targets);
    /** @type {(argument: any) => any} */
    const read = (argument) => {
      if (Array.isArray(argument)) return argument.map(read);
      return argument?.node === undefined ? argument : found.get(argument.node);
    };
    for (const n of order) {
      const [operation, ...of] = nodes[n];
      if (operation === "weight") found.set(n, this.weights[of[0]]);
      else if (operation === "input") found.set(n, input(of[0], ids, past, this.config));
      else if (operation === "switch") found.set(n, this.switched(read(of[0]), switches[of[1]]));
      else found.set(n, OPERATIONS[operation](this.kernel, ...of.map(read)));
      watchers.get(n)?.(found.get(n));
      if (!uses.get(n)) found.delete(n);
      for (const used of this.refers[n]) {
        const left = (uses.get(used) ?? 0) - 1;
        uses.set(used, left);
        if (left === 0) found.delete(used);
      }
      if (performance.now() - this.paused > PAUSE) {
        await pause();
        signal?.throwIfAborted();
        this.paused = performance.now();
      }
    }
    const all = Object.fromEntries(wanted.map((address) => [address, found.get(points[address])]));
    if (!kept.length) return { values: all, past };
    const length = past.length + ids.length;
    return {
      values: all,
      past: { length, keys: keys.map((n) => found.get(n)), values: values.map((n) => found.get(n)) },
    };
  }

  /**
   * @param {Tensor} x
   * @param {Switch | undefined} by
   */
  switched(x, by) {
    if (!by) return x;
    const { mul, add } = OPERATIONS;
    const scaled = by.gate === undefined ? x : mul(this.kernel, x, by.gate);
    return by.value === undefined ? scaled : add(this.kernel, scaled, by.value);
  }

  /**
   * The nodes that the targets need, in their order, and how often each is read before it may be forgotten.
   * @param {number[]} targets
   * @param {Map<number, any>} known
   * @param {number[]} kept of the targets, those that are never forgotten
   */
  plan(targets, known, kept) {
    const needed = new Set(targets);
    /** @type {Map<number, number>} */
    const uses = new Map(kept.map((n) => [n, Infinity]));
    for (let n = this.refers.length - 1; n >= 0; n--) {
      if (!needed.has(n) || known.has(n)) continue;
      for (const used of this.refers[n]) {
        needed.add(used);
        uses.set(used, (uses.get(used) ?? 0) + 1);
      }
    }
    const order = [...needed].filter((n) => !known.has(n)).sort((a, b) => a - b);
    return { order, uses };
  }
}

/**
 * No earlier positions; `kept` where a pass shall hand back its keys and values.
 * @param {Sizes} config
 * @param {boolean} [kept]
 * @returns {Past}
 */
export function empty({ n_layer, n_head, n_embd }, kept = false) {
  const none = () => new Tensor(new Float32Array(0), [1, n_head, 0, n_embd / n_head]);
  const list = () => (kept ? Array.from({ length: n_layer }, none) : []);
  return { length: 0, keys: list(), values: list() };
}

/**
 * @param {string} name
 * @param {number[]} ids
 * @param {Past} past
 * @param {Sizes} config
 */
function input(name, ids, past, config) {
  if (name === "ids") return new Tensor(Int32Array.from(ids), [1, ids.length]);
  const [kind, layer] = name.split(".");
  const list = past[/** @type {"keys" | "values"} */ (kind)];
  return (list.length ? list : empty(config, true).keys)[Number(layer)];
}

/**
 * The nodes that arguments refer to.
 * @param {any[]} list
 * @returns {number[]}
 */
function references(list) {
  return list.flatMap((one) => (Array.isArray(one) ? references(one) : one?.node === undefined ? [] : [one.node]));
}

// Let the page draw and listen: a message comes back sooner than a timer.
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(0);
  });
}
