// Answers as they travel: JSON, with every array moved into a binary tail (gpt2/server/wire.py writes them).
// In: bytes. Out: plain objects, in which an array is {data, shape}, data a typed array.

/** @import { Floats, Ints } from "./answers.d.ts" */
/** @typedef {[offset: number, dtype: string, shape: number[]]} Packed */

/**
 * @param {ArrayBuffer} buffer
 * @param {number} [start]
 */
export function unpack(buffer, start = 0) {
  const view = new DataView(buffer, start);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, start + 4, length)));
  return filled(header, buffer, start + 4 + length);
}

/**
 * @param {any} value
 * @param {ArrayBuffer} buffer
 * @param {number} tail
 * @returns {any}
 */
function filled(value, buffer, tail) {
  if (Array.isArray(value)) return value.map((item) => filled(item, buffer, tail));
  if (value === null || typeof value !== "object") return value;
  if (value.$) return array(value.$, buffer, tail);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, buffer, tail)]));
}

/**
 * @param {Packed} packed
 * @param {ArrayBuffer} buffer
 * @param {number} tail
 * @returns {Floats | Ints}
 */
function array([offset, dtype, shape], buffer, tail) {
  const start = tail + offset;
  const width = dtype === "f2" ? 2 : 4;
  const bytes = buffer.slice(start, start + size(shape) * width); // a copy: aligned, wherever it began
  if (dtype === "i4") return { data: new Int32Array(bytes), shape };
  if (dtype === "f4") return { data: new Float32Array(bytes), shape };
  return { data: Float32Array.from(new Uint16Array(bytes), half), shape };
}

/**
 * A number of IEEE 754 half precision, from its 16 bits.
 * @param {number} bits
 */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * One element: at(x, 2, 3) is x[2][3].
 * @param {Floats | Ints} x
 * @param {...number} index
 */
export function at(x, ...index) {
  return x.data[place(x.shape, index)];
}

/**
 * What lies along the last axes: row(x, 2) is x[2], as a typed array that shares the memory of x.
 * @template {Floats | Ints} A
 * @param {A} x
 * @param {...number} index
 * @returns {A["data"]}
 */
export function row(x, ...index) {
  const length = size(x.shape.slice(index.length));
  const start = place(x.shape, index) * length;
  return x.data.subarray(start, start + length);
}

/**
 * The largest size of a number among them, 0 where there are none. Math.max(...data) fails where they are many.
 * @param {Iterable<number>} data
 */
export function largestOf(data) {
  let most = 0;
  for (const x of data) if (Math.abs(x) > most) most = Math.abs(x);
  return most;
}

/** @param {number[]} shape */
const size = (shape) => shape.reduce((a, b) => a * b, 1);

/**
 * @param {number[]} shape
 * @param {number[]} index
 */
const place = (shape, index) => index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
