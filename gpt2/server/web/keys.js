// The keyboard: arrows move, x and m switch, h and l go through the heads, c copies, t shows tables, ? lists the keys.

import { copy, pythonOf } from "./copy.js";
import { parts } from "./components.js";
import { find, h } from "./dom.js";
import { show } from "./picture.js";
import { rowNow, run } from "./run.js";
import { set, state } from "./state.js";
import { toggle, toMean } from "./switches.js";
import { select } from "./stations.js";

const KEYS = [
  ["↑ ↓", "previous, next token"],
  ["← →", "previous, next component"],
  ["x", "switch what is selected off, or on"],
  ["m", "set it to its mean"],
  ["h l", "previous, next head"],
  ["1 … 7", "the details below"],
  ["c", "copy the Python line for what is selected"],
  ["t", "pictures as tables"],
  ["a", "everything on again"],
  ["/", "edit the prompt"],
  ["?", "this list"],
  ["Esc", "close"],
];

export function watchKeys(views) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !run.picture) return;
    if (event.target.closest("input, select, textarea, dialog")) return;
    const inPicture = !event.target.closest("#detail, #next, header") || event.target === document.body;
    const done = act(event.key, inPicture, views);
    if (done) event.preventDefault();
  });
}

function act(key, inPicture, views) {
  if (inPicture && key.startsWith("Arrow")) return move(key);
  if (key === "x") toggle(state.at);
  else if (key === "m") toMean(state.at);
  else if (key === "h" || key === "l") otherHead(key === "h" ? -1 : 1);
  else if (key === "c") copy(pythonOf(state.at, rowNow()), "Python");
  else if (key === "t") set({ tables: state.tables ? 0 : 1 });
  else if (key === "a") set({ switches: {}, show: "run" });
  else if (key === "/") find("text").focus();
  else if (key === "?") showKeys();
  else if (views[Number(key) - 1]) set({ view: views[Number(key) - 1] });
  else return false;
  return true;
}

function move(key) {
  const T = run.picture.tokens.length;
  if (key === "ArrowUp" || key === "ArrowDown") {
    const row = Math.min(T - 1, Math.max(0, rowNow() + (key === "ArrowUp" ? -1 : 1)));
    set({ row });
    show(row);
    return true;
  }
  const places = Object.keys(run.model.switches).filter((address) => !/head|block/.test(address));
  const { block, kind } = parts(state.at);
  const now = places.indexOf(kind === "head" || kind === "block" ? `${block}.attn` : state.at);
  const next = places[Math.min(places.length - 1, Math.max(0, now + (key === "ArrowLeft" ? -1 : 1)))];
  const focused = document.activeElement.closest("#stations");
  select(next);
  if (focused) find("stations").querySelector(`[data-key="${next}"]`)?.focus();
  return true;
}

export function otherHead(step) {
  const { block, head, kind } = parts(state.at);
  const H = run.model.n_head;
  const place = kind === "head" ? block * H + head + step : (block ?? 0) * H + (step < 0 ? -1 : 0);
  const total = H * run.model.n_layer;
  const wrapped = (place + total) % total;
  select(`${Math.floor(wrapped / H)}.head.${wrapped % H}`);
}

export function showKeys() {
  const box = find("dialog");
  box.replaceChildren(
    h("h2", {}, "Keys"),
    h("dl.keys", {}, ...KEYS.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])),
    h("button", { type: "button", onclick: () => box.close() }, "close"),
  );
  box.showModal();
}
