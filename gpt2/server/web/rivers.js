// The rows of the picture: each token's residual stream as a river, from left to right.
// Thickness: log of its norm. Tint: what the lens would predict there.
// Dots and squares: what attention and the MLP add.

import { agree, change, differ } from "./colour.js";
import { s } from "./dom.js";
import { at } from "./wire.js";

/** @import { Floats } from "./answers.d.ts" */
/** @import { Geometry } from "./geometry.js" */
/** @import { LensOfRow } from "./run.js" */

const EASE = 9; // pixels over which a river changes its thickness

/**
 * One row: segments between the places of the stream, joined smoothly.
 * @param {number[]} places
 * @param {number[]} widths
 * @param {string[]} tints
 * @param {number} y
 * @param {string[]} points the addresses of the segments
 */
export function river(places, widths, tints, y, points) {
  const pieces = [];
  for (let p = 0; p + 1 < places.length; p++) {
    const [x0, x1] = [places[p], places[p + 1]];
    const now = widths[p] / 2;
    const next = (widths[p + 1] ?? widths[p]) / 2;
    const turn = Math.max(x0 + 1, x1 - EASE);
    const mid = (turn + x1) / 2;
    const d =
      `M${x0} ${y - now}L${turn} ${y - now}C${mid} ${y - now} ${mid} ${y - next} ${x1} ${y - next}` +
      `L${x1} ${y + next}C${mid} ${y + next} ${mid} ${y + now} ${turn} ${y + now}L${x0} ${y + now}Z`;
    pieces.push(s("path.water", { d, fill: tints[p], "data-card": points[p] }));
  }
  return pieces;
}

/**
 * Colours along one row, from the lens: blue where it already says what the model will say, sand where not;
 * in the view of changes, by how much the probability of that prediction rose or fell.
 * @param {LensOfRow | null} lens
 * @param {number} P
 * @param {string} show
 */
export function tintsOf(lens, P, show) {
  return Array.from({ length: P }, (_, p) => {
    if (!lens) return agree(0);
    const { data, index } = lens;
    if (show === "change" && data.p_final_before) {
      return change((at(data.p_final, p, index) - at(data.p_final_before, p, index)) * 2);
    }
    const same = at(data.top, p, index) === data.final.data[index];
    const amount = 0.12 + 0.88 * Math.sqrt(at(data.p, p, index));
    return same ? agree(amount) : differ(amount * 0.85);
  });
}

/**
 * What attention (a disc) and the MLP (a square) add to this row: area in proportion to the write's norm.
 * @param {Geometry} geometry
 * @param {Floats} writes
 * @param {number} largest
 * @param {number} y
 * @param {number} row
 * @param {(address: string) => string} states
 */
export function nodes(geometry, writes, largest, y, row, states) {
  const drawn = [];
  for (const station of geometry.stations) {
    const [, block, kind] = station.address.match(/^(\d+)\.(attn|mlp)$/) ?? [];
    if (kind === undefined) continue;
    const size = 2 + 5 * Math.sqrt(at(writes, 2 * Number(block) + (kind === "mlp" ? 1 : 0), row) / largest);
    const attributes = { "data-card": station.address, "data-state": states(station.address) };
    drawn.push(
      kind === "attn"
        ? s("circle.node", { cx: station.x, cy: y, r: size, ...attributes })
        : s("rect.node", { x: station.x - size, y: y - size, width: 2 * size, height: 2 * size, rx: 2, ...attributes }),
    );
  }
  return drawn;
}
