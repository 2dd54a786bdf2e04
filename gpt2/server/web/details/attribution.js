// Detail: what each component adds to a token's lead over another; then the neurons or sources of one of them.

import { barList } from "../barlist.js";
import { parts, plainName } from "../components.js";
import { h, later } from "../dom.js";
import { number, signed } from "../format.js";
import { nextOf } from "../picture.js";
import { modelNow, rowNow, scene } from "../run.js";
import { Refusal, askPlainly } from "../source.js";
import { set, state } from "../state.js";

/** @import { Attribution, Part } from "../answers.d.ts" */

export async function attribution() {
  const row = rowNow();
  const question = { ...scene(), row, target: state.target, foil: state.foil };
  let all;
  try {
    all = await askPlainly("attribution", { ...question, of: "" });
  } catch (error) {
    if (!(error instanceof Refusal) || question.target + question.foil === "") throw error;
    return wayOn(error.message);
  }
  const ranked = [...all.parts].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const blocks = byComponent(all.parts);
  const of = divided();
  const heads = ranked.filter((part) => part.kind === "head").slice(0, 9);
  return [
    h(
      "div.side",
      {},
      asked(row, all),
      h(
        "p.fine",
        {},
        `Sum ${signed(all.whole)}: the logit of ${all.target} minus ${all.foil ?? "the mean one"}; ` +
          `remaining error ${Math.abs(all.error).toExponential(0)} (the logits span ${number(all.spread)}). ` +
          "The final norm's divisor is held, so the parts add up exactly.",
      ),
      h(
        "p.fine",
        {},
        "Direct only: what a component changes in later ones is counted there. Switch it off to see its total effect.",
      ),
    ),
    barList(
      "components, in the order of the model",
      blocks.map((part) => item(part, of)),
    ),
    barList(
      "strongest heads",
      heads.map((part) => item(part, of)),
    ),
    later(finer(question, of)),
  ];
}

/**
 * A token of a link or of an earlier text that cannot be explained here, and the way on.
 * @param {string} why
 */
export function wayOn(why) {
  const usual = () => set({ target: "", foil: "" });
  return [
    h(
      "div",
      {},
      h("p.refusal", {}, why),
      h("button", { type: "button", onclick: usual, "data-key": "usual" }, "the prediction against the runner-up"),
    ),
  ];
}

/**
 * The embedding, each block's attention (heads and constants together), each MLP, the rest.
 * @param {Part[]} list
 */
export function byComponent(list) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { name, kind, value } of list) {
    const [, l, rest] = name.match(/^(\d+)\.(.+)$/) ?? [];
    const inBlock = l !== undefined && kind !== "edit";
    const owner = inBlock ? `${l}.${rest.startsWith("mlp") ? "mlp" : "attn"}` : name;
    sums.set(owner, (sums.get(owner) ?? 0) + value);
  }
  return Array.from(sums, ([name, value]) => ({ name, value }));
}

/**
 * A part as a row of a list; `of` is the one that is divided further below.
 * @param {{ name: string, value: number }} part
 * @param {string} of
 */
function item({ name, value }, of) {
  /** @type {Record<string, string>} */
  const names = { "embed.tok": "token vector", "embed.pos": "position vector", "final.beta": "final bias" };
  const place = /^\d+\.(mlp|head\.\d+|attn)$/.test(name);
  const short = place
    ? plainName(name).replace("attention of block", "attention").replace("MLP of block", "MLP")
    : (names[name] ?? name);
  return {
    label: short,
    value,
    key: `part:${name}`,
    card: place ? name : undefined,
    chosen: name === of,
    pick: place ? () => set({ at: name }) : undefined,
  };
}

// What the reader has selected, if it can be divided further; otherwise the last MLP.
export function divided() {
  const { block, kind } = parts(state.at);
  if (kind === "head" || kind === "mlp") return state.at;
  return `${block ?? modelNow().n_layer - 1}.mlp`;
}

/**
 * @param {object} question
 * @param {string} of
 */
async function finer(question, of) {
  const neurons = parts(of).kind === "mlp";
  const title = `${plainName(of)}: ${neurons ? "its neurons" : "its sources"}`;
  const found = await askPlainly("attribution", { ...question, of });
  const rows = found.parts.slice(0, 9).map(({ name, label, value }) => ({
    label: neurons ? label.replace(/^.*#/, "neuron ").replace(/^.*\.b$/, "bias") : label.replace(/^.*b_V$/, "constant"),
    value,
    hint: name,
  }));
  return barList(title, rows, { note: h("p.fine", {}, `of ${signed(found.whole)} in all`) });
}

/**
 * Which token, against which other.
 * @param {number} row
 * @param {Attribution} all
 */
export function asked(row, all) {
  /** @type {Option[]} */
  const words = nextOf(row).map(({ word }) => [word, word]);
  /** @type {(name: "target" | "foil", shown: string, first: string) => HTMLElement} */
  const select = (name, shown, first) => {
    /** @type {Option[]} */
    const pairs = [["", `${shown} (${first})`], ...words];
    if (name === "foil") pairs.push(["mean", "the mean of all tokens"]);
    const box = h(
      "select",
      { "aria-label": name, "data-key": name, onchange: () => set({ [name]: box.value }) },
      ...options(pairs, state[name]),
    );
    return box;
  };
  return [
    h("h3", {}, "why this token?"),
    h("label.field", {}, "target", select("target", state.target ? "prediction" : all.target, "predicted")),
    h("label.field", {}, "against", select("foil", state.foil ? "runner-up" : (all.foil ?? ""), "runner-up")),
  ];
}

/**
 * @typedef {[value: string, text: string]} Option
 * @param {Option[]} pairs
 * @param {string} chosen
 */
function options(pairs, chosen) {
  if (!pairs.some(([value]) => value === chosen)) pairs.push([chosen, chosen]);
  return pairs.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
}
