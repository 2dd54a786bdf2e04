// One number of a run, and the calculation that made it: of its terms those that weigh most.
// As gpt2/explain/walk/calculation.py.

import { Finder } from "../finder.js";
import { floats, ints, largest, total } from "../vectors.js";
import { look } from "./flow.js";

/** @import { Calculation } from "../../answers.d.ts" */
/** @import { Place } from "../finder.js" */
/** @import { Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

const TERMS = 40;

/**
 * The largest terms, and the sum of the others.
 * @param {string} kind
 * @param {ArrayLike<number>} left
 * @param {ArrayLike<number>} right
 * @param {number} mean
 */
function terms(kind, left, right, mean) {
  const each = (/** @type {(x: number, i: number) => number} */ size) => Float64Array.from(left, size);
  const sizes = each((x, i) => (kind === "softmax" ? right[i] : right.length ? x * right[i] : x - mean));
  const at = largest(sizes.map(Math.abs), TERMS).sort((a, b) => a - b);
  const shown = total(at.map((i) => sizes[i]));
  const pick = (/** @type {ArrayLike<number>} */ from) =>
    floats(from.length ? at.map((i) => from[i]) : [], [from.length ? at.length : 0]);
  return {
    at: ints(at, [at.length]),
    left: pick(left),
    right: pick(right),
    of: left.length,
    rest: kind === "product" || kind === "softmax" ? total(sizes) - shown : 0,
  };
}

/**
 * @param {Session} session
 * @param {Scene & Place} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Calculation>}
 */
export async function calculation(session, ask, _, signal) {
  const ids = session.encode(ask.text);
  const finder = new Finder(session, ids, ask, ask.switches);
  const run = await look(session, ids, ask.switches, signal);
  finder.values = await session.more(run, finder.addresses(), { signal });
  const { left = [], right = [], numbers = {}, ...found } = finder.find(ask.index);
  const word = ["logits", "probability"].includes(ask.address) ? session.word(ask.index) : "";
  return { ...found, numbers, ...terms(found.kind, left, right, numbers.mean ?? 0), word };
}
