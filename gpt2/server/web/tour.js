// The tour: a column beside the page, which never lies on it. Each step points at the live picture, begins with
// everything on, and has one thing to try; what the reader had before is there again afterwards.
// It opens the first time and never again unless asked.

import { find, h } from "./dom.js";
import { run } from "./run.js";
import { DEFAULTS, set, state } from "./state.js";
import { steps, tourText } from "./tour_steps.js";

/** @import { State } from "./state.js" */

const SEEN = "glassbox-tour";
let step = 0;
let tried = false;
/** @type {State | null} */
let before = null; // the reader's own state while the tour is open
const drawings = new MutationObserver(() => point()); // what is drawn anew has lost its mark

export function tourOnce() {
  try {
    if (localStorage.getItem(SEEN)) return;
    localStorage.setItem(SEEN, "1");
  } catch {
    return; // without storage it would open every time
  }
  startTour();
}

export function startTour() {
  if (!run.picture) return;
  before ??= { ...state };
  document.body.classList.add("touring");
  find("tour").hidden = false;
  drawings.observe(find("page"), { childList: true, subtree: true });
  go(0);
}

/** @param {number} to */
function go(to) {
  step = to;
  tried = false;
  set({ ...DEFAULTS, tables: state.tables, text: tourText(), ...steps()[step].start }, { quiet: true });
  draw();
  find("tour").scrollTop = 0;
  bring();
}

function draw() {
  const all = steps();
  const now = all[step];
  const last = step + 1 === all.length;
  const tryIt = () => {
    tried = true;
    set(now.try[1], { quiet: true });
    draw();
    bring();
  };
  const trying = h("button.main", { type: "button", onclick: tryIt }, now.try[0]);
  const box = find("tour");
  box.replaceChildren(
    h("small", {}, `${step + 1} of ${all.length}`),
    h("h2", {}, now.title),
    h("p", {}, now.text),
    h("p", {}, trying),
    h("p.answer", { role: "status" }, tried ? now.answer : ""),
    h(
      "div.copies",
      {},
      h("button", { type: "button", disabled: step === 0, onclick: () => go(step - 1) }, "back"),
      h("button", { type: "button", onclick: () => (last ? closeTour() : go(step + 1)) }, last ? "done" : "next"),
      h("button", { type: "button", onclick: closeTour, title: "to what you had before the tour" }, "close"),
    ),
  );
  point();
  trying.focus({ preventScroll: true });
}

// Mark what the step speaks of.
function point() {
  const target = document.querySelector(steps()[step].where);
  if (target?.classList.contains("pointed")) return;
  for (const marked of document.querySelectorAll(".pointed")) marked.classList.remove("pointed");
  target?.classList.add("pointed");
}

// Bring what the step speaks of into view; the text beside it stays where it is.
function bring() {
  requestAnimationFrame(() => {
    document.querySelector(".pointed")?.scrollIntoView({ block: "nearest", inline: "center" });
  });
}

export function closeTour() {
  if (!before) return;
  drawings.disconnect();
  document.body.classList.remove("touring");
  find("tour").hidden = true;
  for (const marked of document.querySelectorAll(".pointed")) marked.classList.remove("pointed");
  set(before, { quiet: true });
  before = null;
  find("tour-open").focus({ preventScroll: true });
}
