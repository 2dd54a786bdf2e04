// The keyboard: arrows move, x and m switch, h and l go through the heads, c copies, t shows tables, ? lists the keys.

import { copy, pythonOf } from "./copy.js";
import { parts } from "./components.js";
import { around, find, focusOn, h } from "./dom.js";
import { VIEWS } from "./link.js";
import { show } from "./picture.js";
import { modelNow, pictureNow, rowNow, run } from "./run.js";
import { set, state } from "./state.js";
import { toggle, toMean } from "./switches.js";
import { showShare } from "./share/dialog.js";
import { select } from "./stations.js";

const PLACES = "1234567890"; // the keys of the first ten details, in their order

const KEYS = [
  ["↑ ↓", "previous, next token"],
  ["← →", "previous, next component"],
  ["x", "switch what is selected off, or on"],
  ["m", "set it to its mean"],
  ["h l", "previous, next head"],
  [VIEWS.length > 9 ? "1 … 9 0" : `1 … ${VIEWS.length}`, "the details below"],
  ["c", "copy the Python line for what is selected"],
  ["s", "share: as SVG, Python, a command, a link"],
  ["w", "the panel over the whole width, or beside the picture"],
  ["t", "pictures as tables"],
  ["a", "everything on again"],
  ["/", "edit the prompt"],
  ["?", "this list"],
  ["Esc", "close"],
];

/** @type {[string, string][]} */
const WORDS = [
  ["row", "one token of the text, and all that the model computes at its place"],
  ["stream", "the bar along a row: a running sum, to which every component adds; thick where its vector is long"],
  ["length", "of a vector: the root of the sum of its squares"],
  ["arc", "attention brings something from an earlier row; a wide one brings much"],
  ["rests on", "how much of its attention a row gives the first token, which has no arc"],
  ["if it stopped here", "the lens: what the last norm and the head would predict from the stream at that place"],
  ["head", "one of the parallel parts of attention: 6.3 is head 3 of block 6, both counted from 0"],
  ["MLP", "the part of a block that works on each row alone"],
  ["logit", "a token's score; softmax makes probabilities of all scores together"],
  ["lead", "one logit minus another: how far a token is ahead"],
  ["p, drawn", "the model's probability; the one used for drawing, after temperature, top-k and top-p"],
  ["loss", "minus the logarithm of the probability of what really comes next: 0 is sure and right"],
  ["off, mean", "zero, or the average over a reference text, takes the place of what a component writes"],
];

export function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !run.picture) return;
    if (around(event, "input, select, textarea, dialog")) return;
    const inPicture = !around(event, "#detail, #grip, #next, header");
    const done = act(event.key, inPicture);
    if (done) event.preventDefault();
  });
}

/**
 * Whether the key meant something.
 * @param {string} key
 * @param {boolean} inPicture
 */
function act(key, inPicture) {
  if (inPicture && key.startsWith("Arrow")) return move(key);
  if (key === "x") toggle(state.at);
  else if (key === "m") toMean(state.at);
  else if (key === "h" || key === "l") otherHead(key === "h" ? -1 : 1);
  else if (key === "c") copy(pythonOf(state.at, rowNow()), "Python");
  else if (key === "s") showShare();
  else if (key === "w") find("full").click();
  else if (key === "t") set({ tables: state.tables ? 0 : 1 });
  else if (key === "a") set({ switches: {}, show: "run" });
  else if (key === "/") find("text").focus();
  else if (key === "?") showKeys();
  else if (VIEWS[PLACES.indexOf(key)]) set({ view: VIEWS[PLACES.indexOf(key)] });
  else return false;
  return true;
}

/** @param {string} key */
function move(key) {
  const T = pictureNow().tokens.length;
  if (key === "ArrowUp" || key === "ArrowDown") {
    const row = Math.min(T - 1, Math.max(0, rowNow() + (key === "ArrowUp" ? -1 : 1)));
    set({ row });
    show(row);
    return true;
  }
  const places = Object.keys(modelNow().switches).filter((address) => !/head|block/.test(address));
  const { block, kind } = parts(state.at);
  const now = places.indexOf(kind === "head" || kind === "block" ? `${block}.attn` : state.at);
  const next = places[Math.min(places.length - 1, Math.max(0, now + (key === "ArrowLeft" ? -1 : 1)))];
  const focused = find("stations").contains(document.activeElement);
  select(next, true); // a norm has a glyph only where its block is open
  if (focused) focusOn(find("stations"), next);
  return true;
}

/**
 * To the previous (-1) or the next (1) head, from one block into the other; from no head, to the nearest of its block.
 * @param {1 | -1} step
 */
function otherHead(step) {
  const { block, head } = parts(state.at);
  const { n_head: H, n_layer: L } = modelNow();
  const first = (block ?? 0) * H;
  const place = head === null ? first + Math.min(0, step) : first + head + step;
  const wrapped = (place + L * H) % (L * H);
  select(`${Math.floor(wrapped / H)}.head.${wrapped % H}`);
}

export function showKeys() {
  const box = find("dialog");
  const list = (/** @type {[string | HTMLElement, string][]} */ pairs) =>
    h("dl.keys", {}, ...pairs.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
  box.replaceChildren(
    h("h2", {}, "What you see"),
    list(WORDS),
    h("h2", {}, "Keys"),
    list(KEYS.map(([key, text]) => [h("kbd", {}, key), text])),
    h("button", { type: "button", onclick: () => box.close() }, "close"),
  );
  box.showModal();
  box.scrollTop = 0; // the button below has the focus
}
