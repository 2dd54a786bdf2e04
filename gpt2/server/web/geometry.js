// Where things stand: from the width, the number of blocks and the open block to x coordinates. Pure arithmetic.
// Out: stations (what has a glyph), places (where the stream's points begin), blocks (their brackets).

/**
 * A component's glyph, `size` pixels wide; arcs of attention start at `from`. Its name is in full in an `open` block,
 * with what it `does` where that has room, and a line lower (`low`) where it would touch the one before it.
 * @typedef {{ open: boolean, does: boolean, low: boolean }} Named
 * @typedef {{ address: string, x: number, size: number, from?: number } & Named} Station
 * A block with its norms is `full`; one that has its parts' names in full is `open`.
 * @typedef {{ l: number, x: number, width: number, address: string, full: boolean, open: boolean }} Bracket
 * @typedef {ReturnType<typeof layout>} Geometry
 */

export const TOKENS = 110; // the column of the tokens
const EMBEDDING = 50; // that of the position table
const RIGHT = 96; // that of each row's own prediction
const FINAL = 38; // that of the final norm
const WORDS = 210; // a block that says what its parts do; below this it is squeezed, and opens when it is clicked
const OPEN = 160; // an open block with the names alone
const FULL = 142; // a squeezed block shows its norms from this on,
const LOW = 54; // writes its two names at different heights below this,
const LEAST = 36; // and is not narrower than this: the picture scrolls instead
const GLYPH = 26;

/** @type {Named} */
const NAMED = { open: true, does: false, low: false };

/**
 * @param {number} room in pixels
 * @param {{ n_layer: number }} model
 * @param {number} open the block that is drawn in full where the others are squeezed
 */
export function layout(room, model, open) {
  const L = model.n_layer;
  const start = TOKENS + EMBEDDING;
  const others = start + (L - 1) * LEAST + FINAL + RIGHT;
  const least = others + (room < others + OPEN ? WORDS : OPEN); // what scrolls anyway has room for the words
  const width = Math.max(room, least);
  const end = width - RIGHT - FINAL;
  const each = (end - start) / L;
  const squeezed = each < WORDS;
  const wide = squeezed ? Math.min(WORDS, width - others) : each;
  const narrow = squeezed ? (end - start - wide) / (L - 1) : each;
  /** @type {Station[]} */
  const stations = [{ address: "embed.pos", x: TOKENS + 14, size: GLYPH, ...NAMED }];
  const places = [TOKENS + 2];
  /** @type {Bracket[]} */
  const blocks = [];
  let x = start;
  for (let l = 0; l < L; l++) {
    const isOpen = !squeezed || l === open;
    const w = isOpen ? wide : narrow;
    const full = w >= FULL;
    const does = w >= WORDS;
    const [ln1, attn, ln2, mlp] = partsOf(full, isOpen, does);
    const size = Math.min(GLYPH, (full ? 0.24 : 0.46) * w);
    const named = { open: isOpen, does, low: false };
    if (full) stations.push({ address: `${l}.ln_1.scale`, x: x + w * ln1, size, ...named });
    stations.push({ address: `${l}.attn`, x: x + w * attn, size, from: x + w * ln1, ...named });
    if (full) stations.push({ address: `${l}.ln_2.scale`, x: x + w * ln2, size, ...named });
    stations.push({ address: `${l}.mlp`, x: x + w * mlp, size, ...named, low: w < LOW });
    places.push(x + w * attn, x + w * mlp);
    blocks.push({ l, x, width: w, address: `${l}.block`, full, open: isOpen });
    x += w;
  }
  const aside = stations.at(-1)?.does ? 8 : 0; // what the last MLP does stands beside "norm"
  stations.push({ address: "final.scale", x: end + 20 + aside, size: GLYPH, ...NAMED });
  places.push(end + 34);
  return { width, least, stations, places, blocks, squeezed, end: end + 34 };
}

/**
 * Where a block's four parts stand, in shares of its width. An open block leaves room for the word "attention".
 * @param {boolean} full
 * @param {boolean} open
 * @param {boolean} does
 */
function partsOf(full, open, does) {
  if (does) return [0.08, 0.32, 0.59, 0.81];
  if (open) return [0.09, 0.37, 0.66, 0.88];
  return full ? [0.125, 0.375, 0.625, 0.875] : [0.02, 0.27, 0.5, 0.75];
}

/**
 * Words along a line, each written where it differs from the one before it, whole, in the first of two lanes that has
 * room for it. Where neither has, "…" stands for it.
 * @param {string[]} words
 * @param {number[]} xs where each begins
 * @param {number} width of a character
 * @returns {{ p: number, x: number, lane: number, text: string }[]}
 */
export function changes(words, xs, width) {
  const ends = [-Infinity, -Infinity];
  /** @type {ReturnType<typeof changes>} */
  const found = [];
  words.forEach((word, p) => {
    if (p > 0 && word === words[p - 1]) return;
    const lane = ends.findIndex((end) => end <= xs[p]);
    if (lane < 0 && found.at(-1)?.text === "…") return; // which stands for several then
    const at = lane < 0 ? Number(ends[1] < ends[0]) : lane;
    const x = Math.max(xs[p], ends[at]);
    const text = lane < 0 ? "…" : word;
    ends[at] = x + (text.length + 1) * width;
    found.push({ p, x, lane: at, text });
  });
  return found;
}

/**
 * Row height: few tokens get room, many scroll.
 * @param {number} available pixels
 * @param {number} T
 */
export function rowHeight(available, T) {
  return Math.max(24, Math.min(44, Math.floor(available / T)));
}

/**
 * A stream's thickness in pixels: the logarithm of its norm, between the smallest and the largest of this run.
 * @param {Float32Array} norms
 * @param {number} most the thickness of the largest
 * @returns {(norm: number) => number}
 */
export function thickness(norms, most) {
  let low = Infinity;
  let high = 0;
  for (const n of norms) {
    if (n > 0) low = Math.min(low, n);
    high = Math.max(high, n);
  }
  const span = Math.log(high / low) || 1;
  return (norm) => 2 + (most - 2) * Math.max(0, Math.min(1, Math.log(Math.max(norm, low) / low) / span));
}
