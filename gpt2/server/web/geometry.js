// Where things stand: from the width, the number of blocks and the open block to x coordinates. Pure arithmetic.
// Out: stations (what has a glyph), places (where the stream's points begin), blocks (their brackets).

/**
 * A component's glyph, `size` pixels wide; arcs of attention start at `from`.
 * @typedef {{ address: string, x: number, size: number, from?: number }} Station
 * @typedef {{ l: number, x: number, width: number, address: string, full: boolean }} Bracket
 * @typedef {ReturnType<typeof layout>} Geometry
 */

export const TOKENS = 104; // the column of the tokens
const RIGHT = 96; // the column of each row's own prediction
const NARROW = 84; // below this a block is squeezed, and opens when it is clicked
const OPEN = 132;
const LEAST = 36; // a squeezed block is not narrower: the picture scrolls instead
const GLYPH = 26;

/**
 * @param {number} room in pixels
 * @param {{ n_layer: number }} model
 * @param {number} open the block that is drawn in full where the others are squeezed
 */
export function layout(room, model, open) {
  const L = model.n_layer;
  const start = TOKENS + 34;
  const least = start + 16 + OPEN + (L - 1) * LEAST + 30 + RIGHT;
  const width = Math.max(room, least);
  const end = width - RIGHT - 30;
  const each = (end - start - 16) / L;
  const squeezed = each < NARROW;
  const wide = squeezed ? OPEN : each;
  const narrow = squeezed ? (end - start - 16 - wide) / (L - 1) : each;
  /** @type {Station[]} */
  const stations = [{ address: "embed.pos", x: TOKENS + 14, size: GLYPH }];
  const places = [TOKENS + 2];
  /** @type {Bracket[]} */
  const blocks = [];
  let x = start + 16;
  for (let l = 0; l < L; l++) {
    const w = squeezed && l === open ? wide : narrow;
    const full = !squeezed || l === open;
    const [ln1, attn, ln2, mlp] = full ? [0.125, 0.375, 0.625, 0.875] : [0.02, 0.27, 0.5, 0.75];
    const size = Math.min(GLYPH, (full ? 0.24 : 0.46) * w);
    if (full) stations.push({ address: `${l}.ln_1.scale`, x: x + w * ln1, size });
    stations.push({ address: `${l}.attn`, x: x + w * attn, size, from: x + w * ln1 });
    if (full) stations.push({ address: `${l}.ln_2.scale`, x: x + w * ln2, size });
    stations.push({ address: `${l}.mlp`, x: x + w * mlp, size });
    places.push(x + w * attn, x + w * mlp);
    blocks.push({ l, x, width: w, address: `${l}.block`, full });
    x += w;
  }
  stations.push({ address: "final.scale", x: end + 14, size: GLYPH });
  places.push(end + 26);
  return { width, least, stations, places, blocks, squeezed, end: end + 26 };
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
