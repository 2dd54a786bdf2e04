// What the graph of a prediction draws, and where. Nothing here depends on the browser.
// In: the parts of an attribution, what each head reads. Out: the parts that are drawn, what the others add, places.

import { parts as placeOf } from "../components.js";
import { largestOf } from "../wire.js";

/** @import { Head, Part, Switches } from "../answers.d.ts" */
/** @typedef {{ drawn: Part[], sum: number, left: number, rest: number }} Chosen */
/** @typedef {{ row: number, share: number, weight: number }} Source */
/** @typedef {{ x: number, y: number, w: number }} Box */

const KINDS = ["embedding", "head", "mlp", "attention"]; // biases and constants are no components
export const LEAST = 0.1; // a head's source is drawn from this share on
export const ROW = 25; // pixels of height for each part

/**
 * The `count` strongest components, in the order of the model, and those that are switched, which could otherwise not
 * be switched back; `sum` is what they add, `rest` what the `left` other parts add.
 * @param {Part[]} all
 * @param {number} count
 * @param {Switches} switches
 * @returns {Chosen}
 */
export function choose(all, count, switches) {
  const size = (/** @type {Part} */ part) => Math.abs(part.value);
  const components = all.filter(({ kind }) => KINDS.includes(kind));
  const strongest = new Set([...components].sort((a, b) => size(b) - size(a)).slice(0, count));
  const isDrawn = (/** @type {Part} */ part) =>
    strongest.has(part) || (components.includes(part) && Object.hasOwn(switches, part.name));
  const drawn = all.filter(isDrawn);
  const others = all.filter((part) => !isDrawn(part));
  const total = (/** @type {Part[]} */ list) => list.reduce((sum, { value }) => sum + value, 0);
  return { drawn, sum: total(drawn), left: others.length, rest: total(others) };
}

/**
 * The tokens from which a head takes at least a share LEAST of what it writes into a row, the most first.
 * @param {Head} head
 * @param {number} row
 * @returns {Source[]}
 */
export function sourcesOf({ pattern, written }, row) {
  const T = pattern.shape[0];
  const lengths = written.data.subarray(row * T, row * T + row + 1);
  const total = lengths.reduce((a, b) => a + b, 0);
  if (!total) return [];
  return Array.from(lengths, (x, j) => ({ row: j, share: x / total, weight: pattern.data[row * T + j] }))
    .filter(({ share }) => share >= LEAST)
    .sort((a, b) => b.share - a.share);
}

/**
 * Places on a drawing `width` wide: tokens left, parts in the middle with the later blocks further right, the
 * prediction right; a line's thickness is in proportion to what it stands for.
 * @param {number} width
 * @param {Part[]} drawn
 * @param {number[]} rows of the tokens that are read
 * @param {number} blocks
 */
export function layout(width, drawn, rows, blocks) {
  const narrow = width < 560;
  const [token, part, target] = narrow ? [58, 126, 88] : [104, 150, 130];
  const height = Math.max(drawn.length, rows.length, 3) * ROW;
  const first = token + (narrow ? 14 : 60);
  const far = width - target - part - (narrow ? 34 : 190); // room for the lines between the parts and the prediction
  const step = Math.min(44, Math.max(0, far - first) / Math.max(1, blocks));
  const y = (/** @type {number} */ i, /** @type {number} */ n) => ((i + 0.5) * height) / n;
  const depth = (/** @type {string} */ name) => {
    const { block } = placeOf(name);
    return block === null ? 0 : block + 1;
  };
  const thickness = scaled(largestOf(drawn.map(({ value }) => value)));
  const widths = drawn.map(({ value }) => (value === 0 ? 0 : thickness(value)));
  const all = widths.reduce((a, b) => a + b, 0);
  let end = (height - all) / 2; // the lines arrive beside each other
  const ends = widths.map((size) => {
    end += size;
    return end - size / 2;
  });
  return {
    height,
    tokens: new Map(rows.map((row, i) => [row, { x: 0, y: y(i, rows.length), w: token }])),
    parts: new Map(
      drawn.map(({ name }, i) => [name, { x: first + step * depth(name), y: y(i, drawn.length), w: part }]),
    ),
    lines: new Map(drawn.map(({ name }, i) => [name, { width: widths[i], end: ends[i] }])),
    target: { x: width - target, y: height / 2, w: target },
    span: all, // of all lines where they arrive
  };
}

const THICKEST = 13;

/** @param {number} most */
const scaled = (most) => (/** @type {number} */ x) => Math.max(0.6, (THICKEST * Math.abs(x)) / (most || 1));

/**
 * The path of a line from the right end of a box to the left end of another.
 * @param {Box} from
 * @param {Box} to
 */
export function path(from, to) {
  const [a, b] = [from.x + from.w, to.x];
  const middle = (b - a) / 2;
  return `M${a},${from.y}C${a + middle},${from.y} ${b - middle},${to.y} ${b},${to.y}`;
}
