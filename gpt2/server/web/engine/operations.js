// What a graph of gpt2/explain/live/graph.py may compute, by the names of PyTorch's ATen operations.
// In: tensors, numbers and lists, in PyTorch's order; the engine's kernel first. Out: a tensor, a number or a list.

import { fill, pairwise, single } from "./each.js";
import { at, product, Tensor, zeros } from "./tensor.js";

/** @import { Kernel } from "./kernel.js" */

/** @typedef {any} Value a Tensor, a number, or a list of them: what node it is says which */

const ROOT = Math.sqrt(2 / Math.PI);

/** @type {Record<string, (kernel: Kernel, ...of: Value[]) => Value>} */
export const OPERATIONS = {
  add: (_, a, b) => either("add", a, b),
  sub: (_, a, b) => either("sub", a, b),
  mul: (_, a, b) => either("mul", a, b),
  div: (_, a, b) => either("div", a, b),
  le: (_, a, b) => pairwise("le", a, b),
  arange: (_, ...of) => range(.../** @type {[number]} */ (of)),
  bitwise_not: (_, x) =>
    new Tensor(
      x.numbers.map((/** @type {number} */ n) => Number(!n)),
      x.shape,
    ),
  size: (_, x, axis) => x.shape[axis],
  item: (_, list, n) => list[n],
  expand: (_, x, shape) => x.expand(shape),
  view: (_, x, shape) => x.reshape(shape),
  reshape: (_, x, shape) => x.reshape(shape),
  transpose: (_, x, a, b) => x.transpose(a, b),
  unsqueeze: (_, x, axis) => x.unsqueeze(axis),
  split: (_, x, size, axis) =>
    Array.from({ length: x.shape[at(x, axis)] / size }, (_, i) => x.slice(axis, i * size, (i + 1) * size)),
  stack: (_, list, axis) => stacked(list, axis),
  flatten: (_, x, first = 0, last = -1) => flat(x, at(x, first), at(x, last)),
  slice: (_, x, axis = 0, first = 0, end = Infinity) => x.slice(axis, first, Math.min(end, x.shape[at(x, axis)])),
  zeros: (_, shape) => zeros(shape),
  cat: (_, list, axis) => joined(list, at(list[0], axis)),
  embedding: (_, table, ids) => rows(table, ids),
  masked_fill: (_, x, mask, value) => fill(x, mask, Number(value === "-inf" ? -Infinity : value)),
  softmax: (_, x) => softmax(x),
  mean: (_, x, ...of) => alongRows(x, of[1] === true, mean),
  var: (_, x) => alongRows(x, false, (row) => variance(row, mean(row))),
  layer_norm: (_, x, ...rest) => layerNorm(x, rest[1], rest[2], rest[3]),
  linear: (kernel, x, weight, bias = null) => linear(kernel, x, weight, bias),
  matmul: (kernel, a, b) => matmul(kernel, a, b),
  gelu: (_, x, options) => single(x, options?.approximate === "tanh" ? geluTanh : geluErf),
  sin: (_, x) => single(x, Math.sin),
  cos: (_, x) => single(x, Math.cos),
  sqrt: (_, x) => single(x, Math.sqrt),
  tanh: (_, x) => single(x, Math.tanh),
  erf: (_, x) => single(x, erf),
  sigmoid: (_, x) => single(x, (v) => 1 / (1 + Math.exp(-v))),
  silu: (_, x) => single(x, (v) => v / (1 + Math.exp(-v))),
  relu: (_, x) => single(x, (v) => Math.max(v, 0)),
  softplus: (_, x) => single(x, (v) => (v > 20 ? v : Math.log1p(Math.exp(v)))),
  relu6: (_, x) => single(x, (v) => Math.min(Math.max(v, 0), 6)),
  hardswish: (_, x) => single(x, (v) => (v * Math.min(Math.max(v + 3, 0), 6)) / 6),
  hardtanh: (_, x, low = -1, high = 1) => single(x, (v) => Math.min(Math.max(v, low), high)),
  leaky_relu: (_, x, slope = 0.01) => single(x, (v) => (v > 0 ? v : slope * v)),
  mish: (_, x) => single(x, (v) => v * Math.tanh(v > 20 ? v : Math.log1p(Math.exp(v)))),
  square: (_, x) => single(x, (v) => v * v),
  pow: (_, x, power) => (x instanceof Tensor ? single(x, (v) => v ** power) : single(power, (v) => x ** v)),
  clamp: (_, x, low, high) => single(x, (v) => Math.min(Math.max(v, low), high)),
};

/**
 * The whole numbers below `first`, or from `first` on below `end`.
 * @param {number} first
 * @param {number} [end]
 * @param {number} [step]
 */
function range(first, end, step = 1) {
  const [from, to] = end === undefined ? [0, first] : [first, end];
  const length = Math.max(0, Math.ceil((to - from) / step));
  return new Tensor(
    Int32Array.from({ length }, (_, i) => from + i * step),
    [length],
  );
}

/**
 * Tensors of one shape beside each other along a new axis.
 * @param {Tensor[]} list
 * @param {number} axis
 */
function stacked(list, axis) {
  const place = axis < 0 ? axis + list[0].shape.length + 1 : axis;
  return joined(
    list.map((x) => x.unsqueeze(place)),
    place,
  );
}

/**
 * The axes from `first` to `last` as one.
 * @param {Tensor} x
 * @param {number} first
 * @param {number} last
 */
function flat(x, first, last) {
  const { shape } = x;
  return x.reshape([...shape.slice(0, first), product(shape.slice(first, last + 1)), ...shape.slice(last + 1)]);
}

/**
 * @param {"add" | "sub" | "mul" | "div"} name
 * @param {Value} a
 * @param {Value} b
 */
function either(name, a, b) {
  if (a instanceof Tensor || b instanceof Tensor) return pairwise(name, a, b);
  return { add: a + b, sub: a - b, mul: a * b, div: a / b }[name];
}

/** @param {number} v */
function geluTanh(v) {
  return v / (1 + Math.exp(-2 * ROOT * (v + 0.044715 * v * v * v))); // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
}

/** @param {number} v */
function geluErf(v) {
  return 0.5 * v * (1 + erf(v * Math.SQRT1_2));
}

/**
 * The error function, by its series near 0 and by a continued fraction beyond: both to the last digits of a float.
 * @param {number} v
 */
function erf(v) {
  const x = Math.abs(v);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(v) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let below = x;
  for (let k = 40; k > 0; k--) below = x + k / 2 / below;
  return Math.sign(v) * (1 - Math.exp(-x * x) / below / Math.sqrt(Math.PI));
}

/**
 * @param {Tensor[]} list
 * @param {number} axis
 */
function joined(list, axis) {
  const full = list.filter((x) => x.size);
  if (full.length === 1) return full[0];
  const [first] = full;
  const shape = first.shape.map((n, i) => (i === axis ? full.reduce((all, x) => all + x.shape[axis], 0) : n));
  const y = new Float32Array(product(shape));
  const outer = product(shape.slice(0, axis));
  const whole = product(shape.slice(axis));
  let start = 0;
  for (const x of full) {
    const numbers = x.numbers;
    const length = numbers.length / outer;
    for (let i = 0; i < outer; i++) y.set(numbers.subarray(i * length, (i + 1) * length), i * whole + start);
    start += length;
  }
  return new Tensor(y, shape);
}

/**
 * @param {Tensor} table
 * @param {Tensor} ids
 */
function rows(table, ids) {
  const C = table.shape[1];
  const [numbers, chosen] = [table.numbers, ids.numbers];
  const y = new Float32Array(chosen.length * C);
  chosen.forEach((id, i) => y.set(numbers.subarray(id * C, (id + 1) * C), i * C));
  return new Tensor(y, [...ids.shape, C]);
}

/** @param {Float32Array} row */
function mean(row) {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i];
  return sum / row.length;
}

/**
 * @param {Float32Array} row
 * @param {number} middle
 */
function variance(row, middle) {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += (row[i] - middle) ** 2;
  return sum / row.length;
}

/**
 * One number for each row along the last axis.
 * @param {Tensor} x
 * @param {boolean} keep whether the last axis stays, with size 1
 * @param {(row: Float32Array) => number} f
 */
function alongRows(x, keep, f) {
  const n = x.shape.at(-1) ?? 1;
  const numbers = x.floats;
  const y = Float32Array.from({ length: numbers.length / n }, (_, r) => f(numbers.subarray(r * n, (r + 1) * n)));
  return new Tensor(y, keep ? [...x.shape.slice(0, -1), 1] : x.shape.slice(0, -1));
}

/** @param {Tensor} x */
export function softmax(x) {
  const n = x.shape.at(-1) ?? 1;
  const numbers = x.floats;
  const y = new Float32Array(numbers.length);
  for (let start = 0; start < y.length; start += n) {
    let top = -Infinity;
    for (let i = 0; i < n; i++) if (numbers[start + i] > top) top = numbers[start + i];
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const value = numbers[start + i];
      const share = value === -Infinity ? 0 : Math.exp(value - top);
      y[start + i] = share;
      sum += share;
    }
    for (let i = 0; i < n; i++) y[start + i] /= sum;
  }
  return new Tensor(y, x.shape);
}

/**
 * @param {Tensor} x
 * @param {Tensor} weight
 * @param {Tensor} bias
 * @param {number} epsilon
 */
function layerNorm(x, weight, bias, epsilon) {
  const n = x.shape.at(-1) ?? 1;
  const [numbers, w, b] = [x.floats, weight.numbers, bias.numbers];
  const y = new Float32Array(numbers.length);
  for (let start = 0; start < y.length; start += n) {
    const row = numbers.subarray(start, start + n);
    const middle = mean(row);
    const sigma = Math.sqrt(variance(row, middle) + epsilon);
    for (let i = 0; i < n; i++) y[start + i] = ((row[i] - middle) / sigma) * w[i] + b[i];
  }
  return new Tensor(y, x.shape);
}

/**
 * @param {Kernel} kernel
 * @param {Tensor} x [..., K]
 * @param {Tensor} weight [N, K]
 * @param {Tensor | null} bias [N]
 */
function linear(kernel, x, weight, bias) {
  const [N, K] = weight.shape;
  const y = new Float32Array((x.size / K) * N);
  kernel.linear(x.floats, weight.floats, bias ? bias.floats : null, y, N, K);
  return new Tensor(y, [...x.shape.slice(0, -1), N]);
}

/**
 * Products over the last two axes; the others agree.
 * @param {Kernel} kernel
 * @param {Tensor} a [..., M, K]
 * @param {Tensor} b [..., K, N]
 */
function matmul(kernel, a, b) {
  const [M, K] = a.shape.slice(-2);
  const N = b.shape.at(-1) ?? 1;
  const count = product(a.shape.slice(0, -2));
  const y = new Float32Array(count * M * N);
  const first = a.floats;
  const turned = b.transpose(-1, -2);
  const asRows = turned.isContiguous; // b is a transposed view, as the keys are: then its columns lie together
  const second = asRows ? turned.floats : b.floats;
  for (let i = 0; i < count; i++) {
    const x = first.subarray(i * M * K, (i + 1) * M * K);
    const w = second.subarray(i * K * N, (i + 1) * K * N);
    const into = y.subarray(i * M * N, (i + 1) * M * N);
    if (asRows) kernel.linear(x, w, null, into, N, K);
    else kernel.mix(x, w, into, N, K);
  }
  return new Tensor(y, [...a.shape.slice(0, -1), N]);
}
