// The arcs of attention: from an earlier row's stream to the row that reads it, as wide as the weight.

import { s } from "./dom.js";
import { at } from "./wire.js";

/** @import { Arcs, Floats } from "./answers.d.ts" */
/** @import { Geometry } from "./geometry.js" */
/** @typedef {(block: number, row: number) => [from: number, weight: number][]} Sources */

const LEAST = 0.02; // thinner ones would not be seen

/**
 * What lies outside the rows shown runs out of the frame.
 * @param {Geometry} geometry
 * @param {number[]} rows
 * @param {number} selected
 * @param {Sources} sources
 * @param {(row: number) => number} y a row's height
 * @param {(address: string) => string} states
 */
export function arcs(geometry, rows, selected, sources, y, states) {
  /** @type {SVGElement[]} */
  const quiet = [];
  /** @type {SVGElement[]} */
  const loud = [];
  for (const station of geometry.stations) {
    const found = station.address.match(/^(\d+)\.attn$/);
    if (!found || ["off", "mean"].includes(states(station.address))) continue;
    for (const i of rows) {
      for (const [j, weight] of sources(Number(found[1]), i)) {
        if (weight < LEAST || j > i) continue;
        const to = i === selected ? loud : quiet;
        to.push(
          s(i === selected ? "path.arc.loud" : "path.arc", {
            d: curve(station.from ?? station.x, y(j), station.x, y(i)),
            "stroke-width": (0.4 + 6 * weight).toFixed(2),
            "stroke-opacity": (i === selected ? 0.35 + 0.65 * weight : 0.06 + 0.3 * weight).toFixed(2),
          }),
        );
      }
    }
  }
  return [...quiet, ...loud];
}

/**
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 */
function curve(x0, y0, x1, y1) {
  if (y0 === y1) return `M${x0} ${y0}C${x0 + 2} ${y0 - 13} ${x1 - 2} ${y1 - 13} ${x1} ${y1}`;
  const bend = (x1 - x0) * 0.75;
  return `M${x0} ${y0}C${x0 + bend} ${y0} ${x1 - bend * 0.7} ${y1 - Math.min(14, (y1 - y0) / 2)} ${x1} ${y1}`;
}

/**
 * The strongest sources of the picture's answer.
 * @param {Arcs} listed
 * @returns {Sources}
 */
export function strongest({ from, weight }) {
  const K = weight.shape[2];
  return (block, row) => Array.from({ length: K }, (_, k) => [at(from, block, row, k), at(weight, block, row, k)]);
}

/**
 * Those of one head's pattern [T, T].
 * @param {Floats} pattern
 * @param {number} blockOfHead
 * @returns {Sources}
 */
export function ofHead(pattern, blockOfHead) {
  const T = pattern.shape[0];
  return (block, row) =>
    block === blockOfHead ? Array.from({ length: row + 1 }, (_, j) => [j, pattern.data[row * T + j]]) : [];
}
