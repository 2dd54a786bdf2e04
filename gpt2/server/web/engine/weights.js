// Weights from a safetensors file (Hugging Face's format: a header of JSON, then the numbers).
// In: its bytes. Out: tensors by name, in the kernel's memory, in 32-bit floats. Whole numbers of 8 bits stand for
// themselves times the scale of their row (gpt2/explain/live/rounded.py).

import { makeKernel, NoEngine } from "./kernel.js";
import { product, Tensor } from "./tensor.js";

/** @import { Kernel } from "./kernel.js" */

/** @typedef {Record<string, { dtype: string, shape: number[], data_offsets: [number, number] }>} Header */

/**
 * A kernel that holds all weights, and the weights as tensors.
 * @param {ArrayBuffer} bytes
 * @returns {Promise<{ kernel: Kernel, weights: Record<string, Tensor> }>}
 */
export async function loadWeights(bytes) {
  const { header, start } = readHeader(bytes);
  const named = Object.entries(header).filter(([name]) => !name.endsWith(SCALE));
  const kernel = await makeKernel(named.reduce((all, [, { shape }]) => all + product(shape), 0));
  /** @type {Record<string, Tensor>} */
  const weights = {};
  for (const [name, { dtype, shape, data_offsets }] of named) {
    const count = product(shape);
    const into = kernel.room(count);
    const from = start + data_offsets[0];
    if (dtype === "F32") {
      into.set(new Float32Array(bytes.slice(from, from + 4 * count)));
    } else if (dtype === "F16") {
      widen(new Uint16Array(bytes.slice(from, from + 2 * count)), into);
    } else if (dtype === "I8") {
      scaled(new Int8Array(bytes, from, count), scales(bytes, start, header[name + SCALE], shape[0]), into);
    } else {
      throw new NoEngine(`The weights are ${dtype}: the page reads F32, F16 and I8.`);
    }
    weights[name] = new Tensor(into, shape);
  }
  return { kernel, weights };
}

const SCALE = ".scale";
/** @type {Record<string, number>} bytes of a number */
const WIDTHS = { F32: 4, F16: 2, I8: 1 };
const damaged = () => new NoEngine("The weights in this file are damaged or not all there: fetch the file again.");

/**
 * The scale of each row of a matrix.
 * @param {ArrayBuffer} bytes
 * @param {number} start
 * @param {Header[string] | undefined} entry
 * @param {number} rows
 */
function scales(bytes, start, entry, rows) {
  if (entry?.dtype !== "F32" || product(entry.shape) !== rows) throw damaged();
  const from = start + entry.data_offsets[0];
  return new Float32Array(bytes.slice(from, from + 4 * product(entry.shape)));
}

/**
 * @param {Int8Array} codes
 * @param {Float32Array} scale of each row
 * @param {Float32Array} into
 */
function scaled(codes, scale, into) {
  const width = codes.length / scale.length;
  for (let r = 0; r < scale.length; r++) {
    for (let i = r * width; i < (r + 1) * width; i++) into[i] = codes[i] * scale[r];
  }
}

/**
 * @param {ArrayBuffer} bytes
 * @returns {{ header: Header, start: number }}
 */
function readHeader(bytes) {
  if (bytes.byteLength < 8) throw damaged();
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  /** @type {Header} */
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  } catch {
    throw damaged();
  }
  delete header.__metadata__;
  for (const { dtype, shape, data_offsets } of Object.values(header)) {
    const [from, end] = data_offsets;
    const short = dtype in WIDTHS && end - from !== WIDTHS[dtype] * product(shape);
    if (short || 8 + length + end > bytes.byteLength) throw damaged();
  }
  return { header, start: 8 + length };
}

/**
 * Half precision to single: each of the 65,536 halves is looked up.
 * @param {Uint16Array} from
 * @param {Float32Array} into
 */
function widen(from, into) {
  for (let i = 0; i < from.length; i++) into[i] = HALVES[from[i]];
}

const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});
