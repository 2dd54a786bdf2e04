// The answers of a file of one run, in which many answers stand side by side. gpt2/server/columns.py writes them.
// In: what the file's header says of them, and the bytes of all columns. Out: one answer, as wire.js would give it.

import { half } from "./wire.js";

/** @import { Floats, Ints } from "./answers.d.ts" */

/** @typedef {[at: number, kind: string, width: number, shape: number[], below: number | null, step: number]} Column */
/** @typedef {{ json: any, base: string | null, columns: Column[], n: number }} Family */
/** @typedef {Record<string, [family: number, place: number]>} Index */
/** @typedef {{ index: Index, families: Family[], words: Record<string, string>, bytes: ArrayBuffer }} File */

const STEPS = 1000; // of an arc's weight

/**
 * @param {File} file
 * @param {string} id
 */
export function answerOf(file, id) {
  const family = file.families[file.index[id][0]];
  const numbers = columnsOf(file, id);
  const arrays = family.columns.map(([, kind, , shape], k) => array(kind, numbers[k], shape));
  const answer = filled(family.json, arrays);
  for (const arcs of Object.values(answer.arcs ?? {})) byWeight(arcs);
  if (answer.words?.$words) answer.words = words(file, answer, answer.words.$words);
  return answer;
}

/**
 * The numbers of each column for one answer: those of the file, and under differences what they differ from.
 * @param {File} file
 * @param {string} id
 * @returns {Float64Array[]}
 */
function columnsOf(file, id) {
  const [f, place] = file.index[id];
  const { base, columns, n } = file.families[f];
  const before = base === null ? [] : columnsOf(file, base);
  return columns.map(([offset, , width, shape, below, step]) => {
    const count = size(shape);
    const found = new Float64Array(count);
    for (let k = 0; k < width; k++) {
      const plane = new Uint8Array(file.bytes, offset + (k * n + place) * count, count);
      for (let i = 0; i < count; i++) found[i] += plane[i] * 256 ** k;
    }
    const all = 256 ** width;
    for (let i = 0; i < count; i++) {
      const difference = found[i] % 2 ? -(found[i] + 1) / 2 : found[i] / 2; // the sign is the lowest bit
      const sum = difference * step + (below === null ? 0 : before[below][i]);
      found[i] = ((sum % all) + all) % all;
    }
    return found;
  });
}

/**
 * @param {string} kind
 * @param {Float64Array} numbers
 * @param {number[]} shape
 * @returns {Floats | Ints}
 */
function array(kind, numbers, shape) {
  if (kind === "i" || kind === "arc") return { data: Int32Array.from(numbers), shape };
  if (kind === "share") return { data: Float32Array.from(numbers, (x) => x / STEPS), shape };
  if (kind === "f2") return { data: Float32Array.from(numbers, (x) => half(unordered(x, 2 ** 16))), shape };
  const bits = Uint32Array.from(numbers, (x) => unordered(x, 2 ** 32));
  return { data: new Float32Array(bits.buffer), shape };
}

/**
 * The bits of a float from its place in the order of all floats.
 * @param {number} place
 * @param {number} all
 */
const unordered = (place, all) => (place < all / 2 ? all - 1 - place : place - all / 2);

/**
 * The arcs of each row, the strongest first; what an arc without weight names as its source means nothing.
 * @param {{ from: Ints, weight: Floats }} arcs
 */
function byWeight({ from, weight }) {
  const K = weight.shape[weight.shape.length - 1];
  for (let start = 0; start < weight.data.length; start += K) {
    const order = Array.from({ length: K }, (_, k) => start + k).sort((a, b) => weight.data[b] - weight.data[a]);
    const sources = order.map((k) => from.data[k]);
    const weights = order.map((k) => weight.data[k]);
    from.data.set(sources, start);
    weight.data.set(weights, start);
  }
}

/**
 * The texts of the tokens that some arrays of an answer name.
 * @param {File} file
 * @param {any} answer
 * @param {string[]} paths
 */
function words(file, answer, paths) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const path of paths) {
    const ids = path.split(".").reduce((inside, name) => inside?.[name], answer);
    for (const id of ids?.data ?? []) found[id] = file.words[id];
  }
  return found;
}

/**
 * @param {any} value
 * @param {(Floats | Ints)[]} arrays
 * @returns {any}
 */
function filled(value, arrays) {
  if (Array.isArray(value)) return value.map((item) => filled(item, arrays));
  if (value === null || typeof value !== "object") return value;
  if ("$" in value) return arrays[value.$];
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, arrays)]));
}

/** @param {number[]} shape */
const size = (shape) => shape.reduce((a, b) => a * b, 1);
