// The page in a frame inside another page, at index.html?embed=light or =dark: the prompt, the sentence, and the part
// that the address is about; another part comes below it when the reader chooses something that it shows.
// Where the page is not in a frame, nothing of this happens.
// In: the address, the state, and messages { theme } of the page around it. Out: body[data-embed], read by embed.css.

import { listen } from "./state.js";

const SAMPLING = ["temperature", "top_k", "top_p", "seed"];
const SWITCHES = ["at", "off", "mean", "half", "double"];

/**
 * What a fragment is about, as words: a panel ("detail"), the next token ("next"), or else the picture ("flow"); and
 * "at" where it names a component, whose switch is then shown.
 * @param {string} fragment
 */
export function partsOf(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const named = (/** @type {string[]} */ names) => names.some((name) => fields.has(name));
  const part = fields.has("view") ? "detail" : named(SAMPLING) ? "next" : "flow";
  return named(SWITCHES) ? [part, "at"] : [part];
}

/** @param {() => void} draw */
export function watchFrame(draw) {
  const embedded = new URLSearchParams(location.search).get("embed");
  if (embedded === null) return;
  let shown = new Set(partsOf(location.hash));
  const show = () => {
    document.body.dataset.embed = [...shown].join(" ");
  };
  const look = (/** @type {unknown} */ theme) => {
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  };
  look(embedded);
  show();
  let arriving = false; // the address was given anew: what changes with it was not the reader's choice
  addEventListener("hashchange", () => {
    if (Number.isInteger(history.state?.step)) return; // a step of undo
    arriving = true;
    shown = new Set(partsOf(location.hash));
    show();
    setTimeout(() => (arriving = false)); // after every listener has heard of it
  });
  listen((names) => {
    if (arriving || !["view", "calc", "at"].some((name) => names.has(name))) return;
    shown.add("detail");
    if (names.has("at")) shown.add("at");
    show();
  });
  addEventListener("message", (event) => {
    if (event.source !== parent) return;
    look(event.data?.theme);
    draw();
  });
}
