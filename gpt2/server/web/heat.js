// A matrix of numbers as coloured cells on a canvas; under it, or instead of it, the same as a table.

import { h } from "./dom.js";
import { number } from "./format.js";
import { state } from "./state.js";

/**
 * A matrix: `value` of a cell, or null where there is none; `said` is what a pointer over a cell is told; `picked`
 * hears of a click; `chosen` is a cell, or a row, with a frame; a matrix without names of its rows is never a table.
 * @typedef {{
 *   rows: number,
 *   columns: number,
 *   value: (i: number, j: number) => number | null,
 *   colour: (value: number) => string,
 *   said?: (i: number, j: number) => string,
 *   picked?: (i: number, j: number) => void,
 *   chosen?: [i: number, j: number | null],
 *   width: number,
 *   height: number,
 *   rowNames?: (string | number)[],
 *   columnNames?: (string | number)[],
 *   name: string,
 * }} Matrix
 */

/** @type {WeakMap<HTMLCanvasElement, Matrix>} */
const painted = new WeakMap(); // what each canvas shows, for a file that has no canvas

/**
 * @param {number} width of a cell
 * @param {number} height
 */
const gapOf = (width, height) => (Math.min(width, height) > 6 ? 1 : 0);

/**
 * The cells of a painted matrix, and its frame, in shares of the canvas.
 * @param {HTMLCanvasElement} canvas
 * @returns {{ x: number, y: number, width: number, height: number, fill?: string, stroke?: string }[]}
 */
export function cellsOf(canvas) {
  const matrix = painted.get(canvas);
  if (!matrix) return [];
  const { rows, columns, value, colour, chosen, width, height } = matrix;
  const gap = gapOf(width / columns, height / rows);
  /** @type {ReturnType<typeof cellsOf>} */
  const cells = [];
  const place = (/** @type {number} */ i, /** @type {number} */ j, across = 1) => ({
    x: j / columns,
    y: i / rows,
    width: across / columns - gap / width,
    height: 1 / rows - gap / height,
  });
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const x = value(i, j);
      if (x !== null) cells.push({ ...place(i, j), fill: colour(x) });
    }
  }
  if (chosen) {
    const [i, j] = chosen;
    cells.push({ ...(j === null ? place(i, 0, columns) : place(i, j)), stroke: accent() });
  }
  return cells;
}

const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();

/** @param {Matrix} matrix */
export function heat(matrix) {
  const { rows, columns, value, colour, said, picked, chosen, width, height, name } = matrix;
  if (state.tables && matrix.rowNames) return table(matrix);
  const scale = devicePixelRatio || 1;
  const canvas = h("canvas", {
    role: "img",
    "aria-label": name,
    width: width * scale,
    height: height * scale,
    style: { width: `${width}px`, height: `${height}px` },
  });
  const [w, t] = [width / columns, height / rows];
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(scale, scale);
  const gap = gapOf(w, t);
  painted.set(canvas, matrix);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const x = value(i, j);
      if (x === null) continue;
      pen.fillStyle = colour(x);
      pen.fillRect(j * w, i * t, w - gap, t - gap);
    }
  }
  if (chosen) {
    pen.strokeStyle = accent();
    pen.lineWidth = 1.5;
    const [i, j] = chosen;
    pen.strokeRect((j === null ? 0 : j * w) + 0.75, i * t + 0.75, (j === null ? width : w) - 1.5 - gap, t - 1.5 - gap);
  }
  /** @type {(event: MouseEvent) => [i: number, j: number] | null} */
  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const j = Math.floor(((event.clientX - box.left) / box.width) * columns);
    return i >= 0 && j >= 0 && i < rows && j < columns && value(i, j) !== null ? [i, j] : null;
  };
  if (said) {
    canvas.addEventListener("pointermove", (event) => {
      const found = cell(event);
      canvas.title = found ? said(...found) : "";
    });
  }
  if (picked) {
    canvas.addEventListener("click", (event) => {
      const found = cell(event);
      if (found) picked(...found);
    });
  }
  return canvas;
}

const MOST = 64; // rows and columns of a table; a longer one helps nobody

/** @param {Matrix} matrix */
function table({ rows, columns, value, rowNames = [], columnNames = [], name }) {
  const [R, C] = [Math.min(rows, MOST), Math.min(columns, MOST)];
  const cut = R < rows || C < columns ? `, first ${R} rows and ${C} columns` : "";
  return h(
    "table.plain",
    {},
    h("caption", {}, name + cut),
    h(
      "thead",
      {},
      h("tr", {}, h("td"), ...Array.from({ length: C }, (_, j) => h("th", { scope: "col" }, String(columnNames[j])))),
    ),
    h(
      "tbody",
      {},
      ...Array.from({ length: R }, (_, i) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, String(rowNames[i])),
          ...Array.from({ length: C }, (_, j) => cellOf(value(i, j))),
        ),
      ),
    ),
  );
}

/** @param {number | null} x */
const cellOf = (x) => h("td", {}, x === null ? "" : number(x));
