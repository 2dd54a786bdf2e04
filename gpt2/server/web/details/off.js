// Detail: all switches that are set, what each component is worth on a text set, a continuation before and after.

import { barList } from "../barlist.js";
import { parts, plainName, shortName } from "../components.js";
import { choice, find, h, later } from "../dom.js";
import { number, signed } from "../format.js";
import { modelNow, scene, switched } from "../run.js";
import { Refusal, ask, has, isFile } from "../source.js";
import { set, setSwitch, state } from "../state.js";
import { statesOf, switchButtons } from "../switches.js";
import { largestOf } from "../wire.js";
import { begin, progressBar, progressOf } from "../work.js";

/** @import { Importance } from "../answers.d.ts" */

/** @type {Map<string, Importance | Refusal>} */
const measured = new Map(); // by "parts:mean"
const asked = { components: "parts", kind: "mean" };

// What is listed as missed on other texts, once it has been measured.
export function measuredNow() {
  const answer = measured.get(`${asked.components}:${asked.kind}`);
  return answer && !(answer instanceof Error) ? asked : null;
}

/** @type {[value: string, text: string][]} */
const SETS = [
  ["parts", "attention and MLPs"],
  ["heads", "heads"],
  ["blocks", "blocks"],
];

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

/** @param {() => void} again */
function importance(again) {
  const key = `${asked.components}:${asked.kind}`;
  const parameters = { ...asked };
  const answer = measured.get(key);
  const start = async () => {
    try {
      const found = await begin("importance", "importance", parameters, again);
      if (found) measured.set(key, found);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      measured.set(key, error);
    }
    again();
  };
  const pick = (/** @type {Partial<typeof asked>} */ changes) => {
    Object.assign(asked, changes);
    again();
  };
  const bar = h(
    "div.bar",
    {},
    choice("components", SETS, asked.components, (components) => pick({ components })),
    choice(
      "replaced by",
      [
        ["mean", "mean"],
        ["zero", "zero"],
      ],
      asked.kind,
      (kind) => pick({ kind }),
    ),
    progressOf("importance")
      ? progressBar("importance")
      : answer
        ? null
        : h(
            "button",
            { type: "button", onclick: start, disabled: !has("importance", parameters), "data-key": "measure" },
            "measure",
          ),
    has("importance", parameters)
      ? null
      : h("span.fine", {}, "It is measured on many texts: ", h("code", {}, "gpt2 explain off")),
  );
  const brought = isFile && has("importance", parameters); // a file answers at once
  if (!answer && brought && !progressOf("importance")) queueMicrotask(start);
  if (!answer) return h("section.wide", {}, h("h3", {}, "how much is each missed, on other texts?"), bar);
  if (answer instanceof Error) return h("section.wide", {}, bar, h("p.fine", {}, answer.message));
  const rows = answer.rows.map((r) => ({
    label: shortName(r.address),
    value: r.change,
    low: r.low,
    high: r.high,
    card: r.address,
    key: `importance:${r.address}`,
    said: `95% interval ${signed(r.low)} to ${signed(r.high)}; KL ${number(r.kl)}`,
    pick: () => setSwitch(r.address, asked.kind === "mean" ? "mean" : "off"),
  }));
  return h(
    "section.wide",
    {},
    h("h3", {}, "loss without it, nats per token, with 95% intervals"),
    bar,
    h(
      "div.columns",
      {},
      ...chunks(rows, Math.ceil(rows.length / columnsIn(find("panel").clientWidth))).map((part) =>
        barList("", part, { most: largestOf(rows.map((r) => r.high)) }),
      ),
    ),
    h("p.fine", {}, `${answer.text}; with everything on ${number(answer.loss)}`),
  );
}

const BESIDE = 720; // what stands left and right of the lists
const LIST = 230;

/**
 * How many lists there is room for beside each other.
 * @param {number} width of the panel, in pixels
 */
export const columnsIn = (width) => Math.max(1, Math.min(3, Math.floor((width - BESIDE) / LIST)));

/**
 * @template T
 * @param {T[]} list_
 * @param {number} size
 */
function chunks(list_, size) {
  return Array.from({ length: Math.ceil(list_.length / size) }, (_, i) => list_.slice(i * size, (i + 1) * size));
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
