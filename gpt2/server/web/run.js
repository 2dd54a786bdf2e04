// The run that is shown: the model's sizes, the picture's numbers, and the lens, once they have come.
// Written by load.js and main.js only; everything that draws reads it, and speaks of this run alone: what the reader
// has asked for may still be computed, or be refused.

import { key } from "./source.js";
import { state } from "./state.js";

/** @import { Floats, Lens, Model, Picture, Switches } from "./answers.d.ts" */
/** @typedef {{ text: string, switches: Switches }} Scene */

/**
 * @type {{
 *   model: Model | null,
 *   picture: Picture | null,
 *   scene: Scene | null,
 *   lens: Map<number, Lens>,
 *   heads: { pattern: Floats, block: number } | null,
 *   failed: string | null,
 * }}
 */
export const run = { model: null, picture: null, scene: null, lens: new Map(), heads: null, failed: null };

/** @type {() => Scene} */
export const wanted = () => ({ text: state.text, switches: state.switches });
export const scene = () => run.scene ?? wanted();
export const switched = () => Object.keys(scene().switches).length > 0;

// Whether what is shown is not what the reader has asked for.
export const stale = () => run.scene !== null && key("picture", run.scene) !== key("picture", wanted());

// For all that draws, which happens only once both are there.
export function modelNow() {
  if (!run.model) throw new Error("The model's sizes have not come yet.");
  return run.model;
}

export function pictureNow() {
  if (!run.picture) throw new Error("The run has not come yet.");
  return run.picture;
}

// The selected row as a number from 0.
export function rowNow() {
  const T = run.picture?.tokens.length ?? 1;
  return state.row < 0 || state.row >= T ? T - 1 : state.row;
}

export const LENS_ROWS = 16; // rows are asked for in windows of this many

/**
 * The lens of a row in its window, or null while it is not there.
 * @typedef {{ data: Lens, index: number }} LensOfRow
 * @param {number} row
 * @returns {LensOfRow | null}
 */
export function lensOf(row) {
  const data = run.lens.get(Math.floor(row / LENS_ROWS));
  return data ? { data, index: row - data.first } : null;
}
