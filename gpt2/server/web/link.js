// What a link says, checked against this page and its model before anything is drawn.
// In: a fragment such as text=The%20cat&off=3.head.1. Out: the fields that can be, and a line on each that cannot.

import { parts } from "./components.js";
import { parsed } from "./places.js";
import { DEFAULTS, STATES } from "./state.js";

/** @import { Model, Switches } from "./answers.d.ts" */
/** @import { State } from "./state.js" */
/** @typedef {Pick<Model, "n_layer" | "switches">} Known */

const oneOf =
  (/** @type {string[]} */ ...words) =>
  (/** @type {string} */ word) =>
    words.includes(word);

/** @type {(low: number, high: number, whole?: boolean) => (word: string) => boolean} */
const between = (low, high, whole) => (word) => {
  const x = Number(word);
  return word.trim() !== "" && x >= low && x <= high && (!whole || Number.isSafeInteger(x));
};

const HIGH = 2 ** 31 - 1;
const any = () => true;

export const VIEWS = [
  "story",
  "maths",
  "why",
  "attention",
  "lens",
  "attribution",
  "neurons",
  "off",
  "patch",
  "positions",
  "compare",
];

/** @type {Record<Exclude<keyof State, "switches">, (word: string, model: Known) => boolean>} */
const RULES = {
  text: (word) => word !== "",
  row: between(-1, HIGH, true),
  at: (word, model) => isPlace(word, model),
  open: (word, model) => between(0, model.n_layer - 1, true)(word),
  view: oneOf(...VIEWS),
  arcs: oneOf("mean", "written", "head"),
  show: oneOf("run", "change"),
  tables: between(0, 1, true),
  heads: oneOf("block", "all"),
  heat: oneOf("pattern", "written", "mean", "change"),
  colour: oneOf("p", "rank", "entropy", "kl"),
  target: any, // whether it is one token the answer says, and the detail offers a way on
  foil: any,
  temperature: between(0, 2),
  top_k: between(0, 100, true),
  top_p: between(0.05, 1),
  seed: between(0, Number.MAX_SAFE_INTEGER, true),
  corrupt: any,
  beside: any,
  against: oneOf("prompt", "model"),
  both: oneOf("next", "lens", "attribution", "attention", "losses"),
  kind: oneOf("resid", "attn", "mlp", "head"),
  direction: oneOf("denoise", "noise"),
  calc: (word) => parsed(word) !== null, // whether the model has such a number the answer says
};

/**
 * What can be selected: what has a switch, and the points of the stream.
 * @param {string} address
 * @param {Known} model
 */
function isPlace(address, model) {
  if (Object.hasOwn(model.switches, address) || address === "embed.out") return true;
  const { block, kind } = parts(address);
  const written = block !== null && address === `${block}.${kind}`; // not 007.resid_mid
  return written && block < model.n_layer && (kind === "resid_mid" || kind === "resid_post");
}

/**
 * The state that a fragment names; the rest is as usual. `left` are the fields that are left out, as they stand there.
 * @param {string} fragment
 * @param {Known} model
 * @returns {{ values: Partial<State>, left: string[] }}
 */
export function readLink(fragment, model) {
  const fields = new URLSearchParams(fragment.replace(/^#/, "").replaceAll("+", "%2B"));
  /** @type {Record<string, string | number>} */
  const values = {};
  /** @type {Switches} */
  const switches = {};
  /** @type {string[]} */
  const left = [];
  for (const [name, word] of fields) {
    if (STATES.includes(name)) {
      for (const address of word.split(",").filter(Boolean)) {
        const has = Object.hasOwn(model.switches, address) && model.switches[address].includes(name);
        if (has && !Object.hasOwn(switches, address)) switches[address] = name;
        else left.push(`${name}=${address}`);
      }
    } else if (Object.hasOwn(RULES, name) && !Object.hasOwn(values, name)) {
      const known = /** @type {keyof typeof RULES} */ (name);
      if (!RULES[known](word, model)) left.push(`${name}=${word}`);
      else values[name] = typeof DEFAULTS[known] === "string" ? word : Number(word);
    } else {
      left.push(`${name}=${word}`);
    }
  }
  const at = parts(String(values.at ?? DEFAULTS.at));
  if (at.kind.endsWith(".scale") && at.block !== null) values.open = at.block; // else it would have no glyph
  return { values: { ...values, switches }, left };
}

/**
 * The same for an exported file, which holds one text and opens in the state it was saved in unless its address says
 * more.
 * @param {string} fragment
 * @param {{ view: string, text: string, corrupt: string }} file
 * @param {Known} model
 */
export function readLinkOfFile(fragment, file, model) {
  const { values, left } = readLink(fragment.length < 2 ? file.view : fragment, model);
  for (const name of /** @type {const} */ (["text", "corrupt"])) {
    if (values[name] !== undefined && values[name] !== file[name]) left.push(`${name}=${values[name]}`);
  }
  return { values: { ...values, text: file.text, corrupt: file.corrupt }, left };
}

/**
 * The sentence on what a link named in vain.
 * @param {string[]} left
 * @param {Known} model
 */
export function said(left, model) {
  const shown = left.slice(0, 5).map((field) => (field.length > 60 ? field.slice(0, 59) + "…" : field));
  const more = left.length > 5 ? ` and ${left.length - 5} more` : "";
  const blocks = left.some((field) => /^(off|mean|half|double|at|open)=/.test(field))
    ? ` This model has the blocks 0 to ${model.n_layer - 1}.`
    : "";
  return `The link names what is not here, and the page leaves it out: ${shown.join(", ")}${more}.${blocks}`;
}
