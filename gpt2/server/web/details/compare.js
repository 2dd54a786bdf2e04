// Detail: a second prompt, or a second model, beside what is shown, B beside A. The same numbers of both, and what
// differs. Two models are compared block by block only where they have as many blocks and heads.
// The switches, the selected row and component, target and foil are those of the page, for both.

import { parts } from "../components.js";
import { choice, h } from "../dom.js";
import { modelNow, rowNow, scene } from "../run.js";
import { Refusal, ask, askOther } from "../source.js";
import { set, state } from "../state.js";
import { growing } from "../prompt.js";
import { attentionTable, attributionTable, lensTable, lossTable, nextTable } from "./compare_tables.js";

/** @import { Picture, Switches } from "../answers.d.ts" */
/**
 * One of the two: its text and switches, its picture, and the row that is looked at.
 * @typedef {{ text: string, switches: Switches }} Scene
 * @typedef {{ name: string, scene: Scene, picture: Picture, row: number, ask: typeof ask }} Side
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
  const { name, beside } = modelNow();
  const models = state.against === "model";
  const isThere = models ? beside !== null : state.beside !== "";
  const side = h("div.side", {}, beside || models ? kinds() : null);
  side.append(models ? h("h3", {}, beside ? `A is ${name}, B is ${beside.name}` : "B, another model") : form(again));
  if (isThere) for (const way of ways(what, !models)) side.append(way);
  if (!isThere) return [side, models ? h("p.refusal", {}, ONE_MODEL, h("code", {}, COMMAND)) : h("p.fine", {}, TYPE)];
  try {
    if (models) refuseUnlike(what);
    const [a, b] = await (models ? bothModels() : sides());
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

const TYPE = "Type a second prompt: the same numbers of both stand here then.";
const COMMAND = " gpt2 explain TEXT --page --beside MODEL";
const ONE_MODEL = "This page holds one model. On your machine, this command shows two beside each other:";

// What B is.
const kinds = () =>
  h(
    "p.row",
    {},
    choice(
      "B is",
      [
        ["model", "another model", "the same prompt, read by the second model of this page"],
        ["prompt", "another prompt", "another prompt, read by the same model"],
      ],
      state.against,
      (against) => set({ against }),
    ),
  );

/**
 * @param {string} what
 * @param {boolean} swaps whether A and B can change places
 */
function ways(what, swaps) {
  const swap = () => set({ text: state.beside, beside: scene().text, row: -1 });
  return [
    h(
      "p.row",
      {},
      choice("numbers", WHAT, what, (both) => set({ both })),
    ),
    swaps ? h("p.row", {}, h("button", { type: "button", "data-key": "swap", onclick: swap }, "swap A and B")) : "",
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
    { name: "A", scene: scenes[0], picture: a, row: rowNow(), ask },
    { name: "B", scene: scenes[1], picture: b, row, ask },
  ];
}

/**
 * The same text and switches in both models.
 * @returns {Promise<[a: Side, b: Side]>}
 */
async function bothModels() {
  const here = scene();
  const [a, b] = await Promise.all([ask("picture", here), askOther("picture", here)]);
  return [
    { name: "A", scene: here, picture: a, row: rowNow(), ask },
    { name: "B", scene: here, picture: b, row: rowNow(), ask: askOther },
  ];
}

/**
 * A component of one model stands beside one of the other only where both have the same number of blocks and heads.
 * @param {string} what
 */
function refuseUnlike(what) {
  const { name, n_layer, n_head, beside } = modelNow();
  if (!beside || ["next", "losses"].includes(what)) return;
  if (beside.n_layer === n_layer && beside.n_head === n_head) return;
  throw new Refusal(
    `${name} has ${n_layer} blocks of ${n_head} heads, ${beside.name} has ${beside.n_layer} of ${beside.n_head}, so ` +
      "no part of one stands for a part of the other: compare the next token or the losses.",
  );
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
