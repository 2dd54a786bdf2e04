// Detail: activation patching. A second prompt, a sweep with progress, the heat map of where the difference travels.

import { named } from "../axes.js";
import { diverge } from "../colour.js";
import { choice, find, h } from "../dom.js";
import { number } from "../format.js";
import { heat } from "../heat.js";
import { scaleKey } from "../legend.js";
import { Refusal, has } from "../source.js";
import { set, state } from "../state.js";
import { growing } from "../prompt.js";
import { largestOf } from "../wire.js";
import { begin, progressBar, progressOf } from "../work.js";
import { pictureNow, scene } from "../run.js";

/** @import { Patch, Sweeping } from "../answers.d.ts" */

/** @type {Map<string, Patch | Refusal>} */
const found = new Map(); // by the question
let sweeping = ""; // the question that is being answered

const NAMES = 90; // pixels of the names of the rows

/** @type {[value: string, text: string, hint: string][]} */
const KINDS = [
  ["resid", "stream", "the residual stream that enters each block"],
  ["attn", "attention", "what attention writes"],
  ["mlp", "MLP", "what the MLP writes"],
  ["head", "heads", "each head, at all positions"],
];

/** @type {[value: string, text: string, hint: string][]} */
const DIRECTIONS = [
  ["denoise", "clean into second", "what is enough to restore the answer"],
  ["noise", "second into clean", "what is needed for the answer"],
];

/** @param {{ again: () => void }} tools */
export async function patch({ again }) {
  const question = {
    clean: scene().text,
    corrupt: state.corrupt,
    target: "",
    foil: "",
    grid: state.kind,
    direction: state.direction,
  };
  const key = JSON.stringify(question);
  const possible = state.corrupt !== "" && has("patch", question);
  const start = async () => {
    if (found.has(key) || sweeping === key) return; // drawn twice before it began
    sweeping = key;
    try {
      const answer = await begin("patch", "patch", question, again);
      if (answer) found.set(key, answer);
      else if (sweeping === key) found.set(key, new Refusal("Cancelled: sweep begins it again."));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      found.set(key, error);
    }
    if (sweeping === key) sweeping = "";
    again();
  };
  if (possible && !found.has(key) && sweeping !== key) queueMicrotask(start);
  const answer = found.get(key);
  const second = growing(
    h("textarea", {
      value: state.corrupt,
      placeholder: "The dog sat on the",
      "aria-label": "second prompt",
      "data-key": "corrupt",
      rows: Math.min(5, state.corrupt.split("\n").length),
    }),
  );
  const sweep = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (found.get(key) instanceof Refusal) found.delete(key);
    if (second.value === state.corrupt) again();
    else set({ corrupt: second.value });
  };
  return [
    h(
      "form.side",
      { onsubmit: sweep },
      h("h3", {}, "second prompt, of as many tokens, that changes the answer"),
      h("label.field", {}, second),
      h("p.row", {}, h("button", { type: "submit", "data-key": "sweep" }, "sweep"), progressBar("patch")),
      h(
        "p.row",
        {},
        choice("patched", KINDS, state.kind, (kind) => set({ kind })),
      ),
      h(
        "p.row",
        {},
        choice("direction", DIRECTIONS, state.direction, (direction) => set({ direction })),
      ),
      h(
        "p.fine",
        {},
        "One place of one run is put into the other. 0: nothing changed; ",
        "1: the whole difference between the answers moved.",
      ),
    ),
    answer instanceof Error
      ? h("p.refusal", {}, answer.message)
      : map(answer ?? (sweeping === key ? progressOf("patch")?.partial : null), answer),
  ];
}

/**
 * The scores that are known, and the whole answer once it is there.
 * @param {Sweeping | null | undefined} data
 * @param {Patch} [answer]
 */
function map(data, answer) {
  if (!data) {
    return h(
      "p.refusal",
      {},
      state.corrupt
        ? ""
        : "Change the word that matters: a name, a noun, a number. Both prompts need the same number of tokens.",
    );
  }
  const [L, K] = data.scores.shape;
  const columns =
    answer?.columns ??
    Array.from({ length: K }, (_, k) => (state.kind === "head" ? String(k) : (pictureNow().tokens[k] ?? "")));
  const blocks = Array.from({ length: L }, (_, i) => `block ${L - 1 - i}`);
  const high = Math.max(1, largestOf(data.scores.data.filter(Number.isFinite)));
  const room = find("panel").clientWidth - NAMES;
  const wide = Math.min(720, Math.max(K * 64, 240), Math.max(240, room));
  const tall = Math.min(190, L * 30);
  const picture = heat({
    rows: L,
    columns: K,
    width: wide,
    height: tall,
    value: (i, j) =>
      Number.isNaN(data.scores.data[(L - 1 - i) * K + j]) ? null : data.scores.data[(L - 1 - i) * K + j],
    colour: (x) => diverge(x / high),
    said: (i, j) => `block ${L - 1 - i}, ${columns[j]}: ${number(data.scores.data[(L - 1 - i) * K + j])}`,
    rowNames: blocks,
    columnNames: columns,
    name: "patching scores, block by position",
  });
  return h(
    "div",
    {},
    answer
      ? h("h3", {}, answer.title, ` · lead ${number(answer.m_clean)} clean, ${number(answer.m_corrupt)} second`)
      : h("h3", {}, "sweeping"),
    named(picture, { width: wide, height: tall, rowNames: blocks, columnNames: columns }),
    scaleKey((x) => diverge(x / high), -high, high, "share of the difference moved"),
  );
}
