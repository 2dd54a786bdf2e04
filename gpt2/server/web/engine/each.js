// Operations that make each number of the result from one or two numbers, with PyTorch's rules of broadcasting.
// In: tensors or numbers. Out: a new tensor.

import { product, starts, Tensor } from "./tensor.js";

/** @import { Numbers } from "./tensor.js" */

/**
 * One row: y[o + i] = f(a[p + i s], b[q + i t]). Each has a loop of its own, so that the compiler sees one function.
 * @typedef {(y: Numbers, o: number, n: number, a: Numbers, p: number, s: number, b: Numbers, q: number, t: number)
 *   => void} Row
 */

/** @type {Record<string, Row>} */
const ROWS = {
  add: (y, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) y[o + i] = a[p + i * s] + b[q + i * t];
  },
  sub: (y, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) y[o + i] = a[p + i * s] - b[q + i * t];
  },
  mul: (y, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) y[o + i] = a[p + i * s] * b[q + i * t];
  },
  div: (y, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) y[o + i] = a[p + i * s] / b[q + i * t];
  },
  le: (y, o, n, a, p, s, b, q, t) => {
    for (let i = 0; i < n; i++) y[o + i] = Number(a[p + i * s] <= b[q + i * t]);
  },
};

/**
 * A tensor of a number, with the type of the tensor beside it.
 * @param {Tensor | number} x
 * @param {Tensor} like
 */
function asTensor(x, like) {
  if (x instanceof Tensor) return x;
  const whole = like.data instanceof Int32Array && Number.isInteger(x);
  return new Tensor(whole ? Int32Array.of(x) : Float64Array.of(x), []);
}

/**
 * @param {number[]} a
 * @param {number[]} b
 */
export function broadcast(a, b) {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  const skip = long.length - short.length;
  return long.map((n, axis) => (axis < skip || short[axis - skip] === 1 ? n : short[axis - skip]));
}

/**
 * @param {keyof typeof ROWS} name
 * @param {Tensor | number} first
 * @param {Tensor | number} second
 */
export function pairwise(name, first, second) {
  const like = /** @type {Tensor} */ (first instanceof Tensor ? first : second);
  const [a, b] = [asTensor(first, like), asTensor(second, like)];
  const shape = broadcast(a.shape, b.shape);
  const whole = a.data instanceof Int32Array && b.data instanceof Int32Array && name !== "div";
  const Kind = name === "le" ? Uint8Array : whole ? Int32Array : Float32Array;
  const y = new Kind(product(shape));
  const [x, w] = [a.expand(shape), b.expand(shape)];
  const inner = shape.at(-1) ?? 1;
  const [s, t] = [x.strides.at(-1) ?? 0, w.strides.at(-1) ?? 0];
  const [from, beside] = [starts(shape, x.strides, x.offset), starts(shape, w.strides, w.offset)];
  const row = ROWS[name];
  for (let r = 0; r < from.length; r++) row(y, r * inner, inner, x.data, from[r], s, w.data, beside[r], t);
  return new Tensor(y, shape);
}

/**
 * @param {Tensor} x
 * @param {(value: number) => number} f
 */
export function single(x, f) {
  const numbers = x.numbers;
  const y = new Float32Array(numbers.length);
  for (let i = 0; i < y.length; i++) y[i] = f(numbers[i]);
  return new Tensor(y, x.shape);
}

/**
 * x where `mask` is 0, else `value`.
 * @param {Tensor} x
 * @param {Tensor} mask
 * @param {number} value
 */
export function fill(x, mask, value) {
  const y = Float32Array.from(x.floats);
  const seen = mask.expand(x.shape);
  const inner = x.shape.at(-1) ?? 1;
  const step = seen.strides.at(-1) ?? 0;
  starts(seen.shape, seen.strides, seen.offset).forEach((from, r) => {
    for (let i = 0; i < inner; i++) if (seen.data[from + i * step]) y[r * inner + i] = value;
  });
  return new Tensor(y, x.shape);
}
