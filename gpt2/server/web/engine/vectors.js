// Sums over rows of numbers, in double precision.
// In: arrays of numbers. Out: numbers, and where the largest lie.

/** @import { Floats, Ints } from "../answers.d.ts" */

/** @typedef {ArrayLike<number>} Row */

/**
 * @param {Row} a
 * @param {Row} b
 */
export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** @param {Row} a */
export function total(a) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i];
  return sum;
}

/** @param {Row} a */
export const average = (a) => total(a) / a.length;

/** @param {Row} a */
export const length = (a) => Math.sqrt(dot(a, a));

/** @param {Row} a */
export function argmax(a) {
  let best = 0;
  for (let i = 1; i < a.length; i++) if (a[i] > a[best]) best = i;
  return best;
}

/**
 * Where the n largest numbers lie, the largest first; equal ones in their order.
 * @param {Row} a
 * @param {number} n
 */
export function largest(a, n) {
  /** @type {number[]} */
  const found = [];
  for (let i = 0; i < a.length; i++) {
    if (found.length === n && !(a[i] > a[found[n - 1]])) continue;
    let place = found.length;
    while (place > 0 && a[i] > a[found[place - 1]]) place--;
    found.splice(place, 0, i);
    if (found.length > n) found.pop();
  }
  return found;
}

/**
 * log of the sum of exp.
 * @param {Row} logits
 */
export function logTotal(logits) {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i] > top) top = logits[i];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  return top + Math.log(sum);
}

/**
 * log softmax.
 * @param {Row} logits
 */
export function logShares(logits) {
  const base = logTotal(logits);
  const found = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) found[i] = logits[i] - base;
  return found;
}

/**
 * Row r of numbers that lie row by row.
 * @template {Float32Array | Float64Array | Int32Array} Numbers
 * @param {Numbers} data
 * @param {number} r
 * @param {number} width
 * @returns {Numbers}
 */
export function row(data, r, width) {
  return /** @type {Numbers} */ (data.subarray(r * width, (r + 1) * width));
}

/**
 * As an answer holds it.
 * @param {Row} data
 * @param {number[]} shape
 * @returns {Floats}
 */
export const floats = (data, shape) => ({ data: Float32Array.from(data), shape });

/**
 * @param {Row} data
 * @param {number[]} shape
 * @returns {Ints}
 */
export const ints = (data, shape) => ({ data: Int32Array.from(data), shape });
