// The arcs of attention: from an earlier row's stream to the row that reads it, as wide as the share.
// The first token is set apart: many heads rest on it when they find nothing to read, and its arcs would hide the rest.

import { s } from "./dom.js";
import { at } from "./wire.js";

/** @import { Arcs, Floats } from "./answers.d.ts" */
/** @import { Geometry } from "./geometry.js" */
/** @typedef {(block: number, row: number) => [from: number, weight: number][]} Sources */

const LEAST = 0.02; // thinner ones would not be seen
const TOUCH = 9; // pixels within which a pointer is on an arc of the selected row

/**
 * An arc's width in pixels.
 * @param {number} weight
 */
export const breadth = (weight) => 0.5 + 9 * weight;

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
  /** @type {{ weight: number, drawn: SVGElement[] }[]} */
  const loud = [];
  for (const station of geometry.stations) {
    const found = station.address.match(/^(\d+)\.attn$/);
    if (!found || ["off", "mean"].includes(states(station.address))) continue;
    for (const i of rows) {
      for (const [j, weight] of sources(Number(found[1]), i)) {
        if (weight < LEAST || j === 0 || j > i) continue;
        const d = curve(station.from ?? station.x, y(j), station.x, y(i));
        const told = { "data-card": station.address, "data-row": i, "data-from": j, "data-weight": weight };
        const width = breadth(weight).toFixed(2);
        if (i !== selected) {
          const strength = (0.08 + 0.3 * weight).toFixed(2);
          quiet.push(s("path.arc", { d, ...told, "stroke-width": width, "stroke-opacity": strength }));
          continue;
        }
        const strength = (0.45 + 0.55 * weight).toFixed(2);
        const drawn = [
          s("path.arc.loud", { d, "stroke-width": width, "stroke-opacity": strength }),
          s("path.touch", { d, ...told, "stroke-width": Math.max(TOUCH, breadth(weight)) }),
        ];
        loud.push({ weight, drawn });
      }
    }
  }
  loud.sort((a, b) => a.weight - b.weight); // a pointer on several means the widest
  return [...quiet, ...loud.flatMap(({ drawn }) => drawn)];
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
 * The share of a row that rests on the first token; null where it is not among the listed ones.
 * @param {Sources} sources
 * @param {number} block
 * @param {number} row
 */
export function onFirst(sources, block, row) {
  const found = sources(block, row).find(([from]) => from === 0);
  return found ? found[1] : null;
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
