// From what the reader asks for to the run that is shown: the picture first, then the lens of the rows in view.
// Whatever is refused or fails is said, and an older run that stays in view is marked as one.

import { chosenHead } from "./details/attention.js";
import { find } from "./dom.js";
import { notice } from "./notice.js";
import { drawPicture, rowsInView } from "./picture.js";
import { LENS_ROWS, rowNow, run, scene, stale, wanted } from "./run.js";
import { Refusal, ask, live } from "./source.js";
import { DEFAULTS, state } from "./state.js";

/** @import { Scene } from "./run.js" */

let turn = 0;
/** @type {AbortController | null} */
let leaving = null; // ends the questions of the run before

/**
 * Ask for the run of the reader's text and switches, then draw; what the reader has left behind is abandoned.
 * @param {() => void} draw
 */
export async function load(draw) {
  const now = ++turn;
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  run.failed = null;
  mark();
  const waiting = setTimeout(() => {
    find("busy").hidden = false;
  }, 200);
  try {
    if (!(await show(wanted(), signal, now))) return;
    draw();
    await Promise.all([loadLens(signal), loadArcs()]);
  } catch (error) {
    if (now !== turn || error.name === "AbortError") return;
    if (!(error instanceof Refusal)) reportError(error);
    run.failed = error.message;
    if (!run.picture) await showAnother(signal, now);
    draw();
  } finally {
    clearTimeout(waiting);
    if (now === turn) find("busy").hidden = true;
  }
}

/**
 * Take over the picture of a scene; false where the reader has gone on meanwhile.
 * @param {Scene} asked
 * @param {AbortSignal} signal
 * @param {number} now
 */
async function show(asked, signal, now) {
  const picture = await ask("picture", asked, { signal });
  if (now !== turn) return false;
  Object.assign(run, { picture, scene: asked, lens: new Map(), heads: null });
  const last = picture.tokens.length - 1;
  if (state.row > last) {
    notice(`The link names row ${state.row}, and this text has the rows 0 to ${last}: the last is selected.`);
    state.row = -1;
  }
  return true;
}

/**
 * Where nothing has been shown yet, the nearest run that can be: the same text with everything on, or the usual text.
 * @param {AbortSignal} signal
 * @param {number} now
 */
async function showAnother(signal, now) {
  const scenes = [{ text: state.text, switches: {} }];
  if (live) scenes.push({ text: DEFAULTS.text, switches: {} });
  for (const one of scenes) {
    try {
      await show(one, signal, now);
      await loadLens(signal);
      return;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refusal)) reportError(error);
    }
  }
}

// What stands in view of an older run loses its colour: at once beside another text, after a moment for a switch.
export function mark() {
  const kind = run.failed ? "failed" : run.scene?.text === state.text ? "switches" : "text";
  if (stale()) document.body.dataset.stale = kind;
  else delete document.body.dataset.stale;
}

/**
 * The lens of the rows in view, window by window.
 * @param {AbortSignal} [signal]
 */
export async function loadLens(signal) {
  const [first, last] = rowsInView();
  const windows = new Set([Math.floor(rowNow() / LENS_ROWS)]);
  for (let w = Math.floor(first / LENS_ROWS); w <= Math.floor(last / LENS_ROWS); w++) windows.add(w);
  const { lens } = run;
  for (const w of windows) {
    if (lens.has(w)) continue;
    const answer = await ask("lens", { ...scene(), first: w * LENS_ROWS, stop: (w + 1) * LENS_ROWS }, { signal });
    if (lens !== run.lens) return;
    lens.set(w, answer);
    drawPicture();
  }
}

// The pattern that the arcs show when they follow one head.
export async function loadArcs() {
  if (state.arcs !== "head") return;
  const { block, head } = chosenHead();
  const { picture } = run;
  const answer = await ask("head", { ...scene(), block, head });
  if (picture !== run.picture) return;
  run.heads = { pattern: answer.pattern, block };
  drawPicture();
}
