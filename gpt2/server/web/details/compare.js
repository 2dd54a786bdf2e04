// Detail: a second prompt beside the one that is shown, B beside A. The same numbers of both, and what differs.
// The switches, the selected row and component, target and foil are those of the page, for both.

import { parts } from "../components.js";
import { choice, h } from "../dom.js";
import { rowNow, scene } from "../run.js";
import { Refusal, ask } from "../source.js";
import { set, state } from "../state.js";
import { growing } from "../prompt.js";
import { attentionTable, attributionTable, lensTable, lossTable, nextTable } from "./compare_tables.js";

/** @import { Picture, Switches } from "../answers.d.ts" */
/**
 * One of the two: its text and switches, its picture, and the row that is looked at.
 * @typedef {{ text: string, switches: Switches }} Scene
 * @typedef {{ name: string, scene: Scene, picture: Picture, row: number }} Side
 */

/** @type {[value: string, text: string, hint: string][]} */
const WHAT = [
  ["next", "next token", "the likeliest tokens after the selected row, with the probability in both"],
  ["lens", "lens", "what each would predict if it stopped there, at the selected row"],
  ["attribution", "attribution", "what each component adds to the same lead in both"],
  ["attention", "attention", "what the selected row reads through the selected head"],
  ["losses", "losses", "how surprising each token of the text is"],
];

/** @type {Record<string, (a: Side, b: Side) => Promise<HTMLElement>>} */
const TABLES = {
  next: nextTable,
  lens: lensTable,
  attribution: attributionTable,
  attention: attentionTable,
  losses: lossTable,
};

/** @param {{ again: () => void }} tools */
export async function compare({ again }) {
  const what = Object.hasOwn(TABLES, state.both) ? state.both : "next";
  const side = h("div.side", {}, form(again), state.beside ? ways(what) : null);
  if (!state.beside) return [side, h("p.fine", {}, "Type a second prompt: the same numbers of both stand here then.")];
  try {
    const [a, b] = await sides();
    return [side, h("div.wide", {}, said(a, b, what), await TABLES[what](a, b))];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [side, h("p.refusal", {}, error.message)];
  }
}

/** @param {() => void} again */
function form(again) {
  const second = growing(
    h("textarea", {
      value: state.beside,
      placeholder: "The dog ran to the",
      "aria-label": "second prompt, B",
      "data-key": "beside",
      rows: Math.min(5, state.beside.split("\n").length),
    }),
  );
  const taken = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (second.value === state.beside) again();
    else set({ beside: second.value });
  };
  return h(
    "form",
    { onsubmit: taken },
    h("h3", {}, "B, beside the prompt above, A"),
    h("label.field", {}, second, h("button", { type: "submit", "data-key": "compare" }, "compare")),
  );
}

/** @param {string} what */
function ways(what) {
  const swap = () => set({ text: state.beside, beside: scene().text, row: -1 });
  return [
    h(
      "p.row",
      {},
      choice("numbers", WHAT, what, (both) => set({ both })),
    ),
    h("p.row", {}, h("button", { type: "button", "data-key": "swap", onclick: swap }, "swap A and B")),
  ];
}

/**
 * Both, with the row of B that stands for the selected one: the last for the last, else the same number.
 * @returns {Promise<[a: Side, b: Side]>}
 */
async function sides() {
  const { text, switches } = scene();
  const scenes = [text, state.beside].map((one) => ({ text: one, switches }));
  const [a, b] = await Promise.all(scenes.map((one) => ask("picture", one)));
  const last = b.tokens.length - 1;
  const row = rowNow() === a.tokens.length - 1 ? last : Math.min(rowNow(), last);
  return [
    { name: "A", scene: scenes[0], picture: a, row: rowNow() },
    { name: "B", scene: scenes[1], picture: b, row },
  ];
}

/**
 * @param {Side} a
 * @param {Side} b
 * @param {string} what
 */
function said(a, b, what) {
  const { block, head } = parts(state.at);
  const where = (/** @type {Side} */ { name, row, picture }) => [
    `${name}: row ${row} `,
    h("span.token", {}, picture.tokens[row]),
  ];
  const through = what === "attention" ? `; head ${block ?? 0}.${head ?? 0}` : "";
  const switches = Object.keys(a.scene.switches).length ? "; both with the switches" : "";
  return h("h3", {}, where(a), ", ", where(b), through, switches);
}
