// The names of a matrix's rows and columns: all where there is room, else every n-th, and always the selected one.

import { h } from "./dom.js";
import { short } from "./format.js";

const LINE = 13; // pixels that a name takes across
const LETTER = 7.3; // and each of its letters along
const LETTERS = 8; // of a name, at most

/**
 * The indices of the names that are written; none lies on another.
 * @param {number} count
 * @param {number} room in pixels
 * @param {number | null} [chosen]
 * @param {number} [line]
 */
export function namesShown(count, room, chosen = null, line = LINE) {
  const step = Math.max(1, Math.ceil((count * line) / room));
  const all = Array.from({ length: count }, (_, i) => i);
  return all.filter((i) => {
    if (chosen === null) return i % step === 0;
    return i === chosen || (i % step === 0 && Math.abs(i - chosen) >= step);
  });
}

/**
 * A picture of rows and columns of equal size with their names beside and below it.
 * @param {HTMLElement} picture
 * @param {{
 *   width: number, height: number, rowNames: (string | number)[], columnNames: (string | number)[],
 *   chosen?: number | null,
 * }} options `chosen` is a row whose name is always there
 */
export function named(picture, { width, height, rowNames, columnNames, chosen = null }) {
  if (!(picture instanceof HTMLCanvasElement)) return h("div.matrix", {}, picture); // a table has its own
  const level =
    LETTER *
      columnNames.reduce((/** @type {number} */ n, one) => Math.max(n, Math.min(LETTERS, String(one).length)), 0) +
    5;
  const upright = width / columnNames.length < level; // a column's names stand upright where they would touch
  const name = (/** @type {(string | number)[]} */ names, /** @type {number} */ i, /** @type {string} */ edge) =>
    h(
      i === chosen && edge === "top" ? "span.chosen" : "span",
      { style: { [edge]: `${(100 * (i + 0.5)) / names.length}%` }, title: `${i}: ${names[i]}` },
      short(String(names[i]), LETTERS),
    );
  return h(
    "div.matrix",
    {},
    h(
      "div.left",
      { style: { height: `${height}px` } },
      ...namesShown(rowNames.length, height, chosen).map((i) => name(rowNames, i, "top")),
    ),
    picture,
    h(
      upright ? "div.below.upright" : "div.below",
      { style: { width: `${width}px` } },
      ...namesShown(columnNames.length, width, null, upright ? LINE : level).map((j) => name(columnNames, j, "left")),
    ),
  );
}
