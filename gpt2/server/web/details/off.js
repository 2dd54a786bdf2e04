// Detail: all switches that are set, what each component is worth (importance.js), a continuation before and after.

import { parts, plainName } from "../components.js";
import { h, later } from "../dom.js";
import { modelNow, scene, switched } from "../run.js";
import { ask, has } from "../source.js";
import { set, state } from "../state.js";
import { statesOf, switchButtons } from "../switches.js";
import { importance } from "./importance.js";

/** @param {{ again: () => void }} tools */
export async function off({ again }) {
  return [list(), importance(again), later(continuation())];
}

function list() {
  const set_ = Object.keys(state.switches);
  const shown = set_.includes(state.at) || statesOf(state.at).length < 2 ? set_ : [...set_, state.at];
  return h(
    "section.barlist",
    {},
    many(),
    h("h3", {}, set_.length ? "switched now" : "everything is on"),
    ...shown.map((address) => h("p.row", {}, h("span", {}, plainName(address)), switchButtons(address))),
    set_.length
      ? h(
          "button",
          { type: "button", onclick: () => set({ switches: {}, show: "run" }), "data-key": "all-on" },
          "all on",
        )
      : null,
    h(
      "p.fine",
      {},
      "Off puts zero in a component's place. The model never met that in training, so mean, its average over ",
      "a reference text, is the fairer question. To halve or double its output is a smaller change. A LayerNorm can ",
      "only be frozen at its mean divisor.",
    ),
  );
}

// Components that are switched off together.
function many() {
  const blocks = Array.from({ length: modelNow().n_layer }, (_, l) => l);
  const block = parts(state.at).block ?? 0;
  const heads = Array.from({ length: modelNow().n_head }, (_, i) => `${block}.head.${i}`);
  /** @type {[text: string, addresses: string[]][]} */
  const sets = [
    ["all MLPs", blocks.map((l) => `${l}.mlp`)],
    ["all attention", blocks.map((l) => `${l}.attn`)],
    [`all heads of block ${block}`, heads],
    ["position table", ["embed.pos"]],
  ];
  const off_ = (/** @type {string[]} */ addresses) => Object.fromEntries(addresses.map((a) => [a, "off"]));
  const buttons = sets.map(([text, addresses]) =>
    h(
      "button",
      {
        type: "button",
        "data-key": text,
        onclick: () => set({ switches: { ...state.switches, ...off_(addresses) } }),
      },
      text,
    ),
  );
  return h("p.row.many", {}, h("span", {}, "switch off:"), ...buttons);
}

async function continuation() {
  const parameters = {
    ...scene(),
    tokens: 24,
    temperature: state.temperature,
    top_k: state.top_k,
    top_p: state.top_p,
    seed: state.seed,
  };
  const title = h("h3", {}, "how the text goes on, drawn with the same noise");
  if (!has("continuation", parameters)) {
    return h("section.barlist", {}, title, h("p.fine", {}, "This needs the model."));
  }
  const found = await ask("continuation", parameters);
  const words = (/** @type {string[]} */ tokens) =>
    h(
      "p.story",
      {},
      h("span.given", {}, scene().text),
      h("span", {}, tokens.slice(0, found.same).join("").replaceAll("·", " ")),
      h("mark", {}, tokens.slice(found.same).join("").replaceAll("·", " ")),
    );
  const changed = found.after.length !== found.before.length || found.same < found.after.length;
  return h(
    "section.story",
    {},
    title,
    h("h4", {}, "everything on"),
    words(found.before),
    switched()
      ? [h("h4", {}, "with the switches"), changed ? words(found.after) : h("p.fine", {}, "The very same text.")]
      : null,
  );
}
