// The lower part: tabs, what is selected with its switch, and the detail of the chosen tab.

import { plainName } from "./components.js";
import { pageCommand } from "./copy.js";
import { fill, find, focusOn, h } from "./dom.js";
import { VIEWS } from "./link.js";
import { Refusal, live } from "./source.js";
import { set, state } from "./state.js";
import { switched } from "./run.js";
import { switchButtons } from "./switches.js";
import { maths } from "./details/maths.js";
import { attention } from "./details/attention.js";
import { compare } from "./details/compare.js";
import { attribution } from "./details/attribution.js";
import { lens } from "./details/lens.js";
import { neurons } from "./details/neurons.js";
import { off } from "./details/off.js";
import { patch } from "./details/patch.js";
import { positions } from "./details/positions.js";
import { story } from "./details/story.js";
import { why } from "./details/why.js";

/** @import { Children } from "./dom.js" */

/**
 * The parts of a detail; `again` draws it anew.
 * @typedef {(tools: { again: () => void }) => Promise<Children[]>} Detail
 */

/** @type {Record<string, Detail>} */
const DETAILS = { story, maths, why, attention, lens, attribution, neurons, off, patch, positions, compare };
/** @type {Record<string, string>} */
const TITLES = { off: "break it", compare: "A beside B" };
let latest = 0;

// Resolves when the detail is there, but for what comes later in it.
export function drawDetail() {
  const { view } = state;
  fill(
    find("tabs"),
    ...VIEWS.map((name) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-selected": String(name === view),
          "aria-controls": "panel",
          tabindex: name === view ? 0 : -1,
          "data-key": name,
          onclick: () => set({ view: name }),
          onkeydown: (event) => between(event, name),
        },
        TITLES[name] ?? name,
      ),
    ),
  );
  fill(find("chosen"), plainNotice(view), h("span", {}, plainName(state.at)), switchButtons(state.at));
  find("panel").setAttribute("aria-labelledby", `tab-${view}`);
  return refresh(view);
}

/**
 * A file holds patterns and attributions of the run with everything on only: say so rather than show them as another's.
 * @param {string} view
 */
function plainNotice(view) {
  if (live || !switched() || !["why", "attention", "attribution", "neurons"].includes(view)) return null;
  return h("em.notice", {}, "as with everything on: this file holds no other");
}

/**
 * @param {KeyboardEvent} event
 * @param {string} name
 */
function between(event, name) {
  if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
  const step = event.key === "ArrowRight" ? 1 : -1;
  event.preventDefault();
  const next = VIEWS[(VIEWS.indexOf(name) + step + VIEWS.length) % VIEWS.length];
  set({ view: next });
  focusOn(find("tabs"), next);
}

/**
 * Draw a detail; an answer that comes after the reader has gone on is dropped.
 * @param {string} view
 */
async function refresh(view) {
  const turn = ++latest;
  const panel = find("panel");
  if (panel.dataset.view !== view) fill(panel, h("p.fine", {}, "…"));
  panel.dataset.view = view;
  panel.ariaBusy = "true"; // what stands there until the answer comes is an older one
  try {
    const drawn = await DETAILS[view]({ again: drawDetail });
    if (turn === latest) fill(panel, ...drawn.flat());
  } catch (error) {
    if (turn !== latest || error.name === "AbortError") return;
    if (!(error instanceof Refusal)) reportError(error);
    fill(panel, h("p.refusal", {}, error.message, live ? "" : h("code", {}, ` ${pageCommand()}`)));
  }
  if (turn === latest) panel.ariaBusy = "false";
}
