// What the reader has chosen: prompt, row, place, switches, sampling, view. All of it is in the page's address.
// In: changes. Out: one object, and a call to every listener after each change.

/** @import { Switches } from "./answers.d.ts" */

export const DEFAULTS = {
  text: "The cat sat on the",
  row: -1, // -1: the last
  at: "0.attn", // the address that is selected
  open: 0, // the block that is drawn in full where the others are squeezed
  view: "attention",
  switches: /** @type {Switches} */ ({}),
  arcs: "written", // what the arcs show: written, mean over heads, head
  show: "run", // or change
  tables: 0, // 1: every picture as a table
  heads: "block", // whose heads are shown, or all
  heat: "pattern", // the attention matrix
  colour: "p", // lens grid
  target: "", // attribution: "" is the prediction
  foil: "", // "" is the runner-up
  temperature: 0.8,
  top_k: 0, // 0: all
  top_p: 0.95,
  seed: 0,
  corrupt: "",
  beside: "", // the second prompt, B; "" is none
  against: "prompt", // what B is: another prompt, or another model
  both: "next", // what is compared
  kind: "resid",
  direction: "denoise",
  calc: "", // the number whose calculation is shown: places.js; "" is the likeliest token's probability
};

/** @typedef {typeof DEFAULTS} State */

// What a component may be beside on.
export const STATES = ["off", "mean", "half", "double"];

const NAMES = /** @type {(keyof State)[]} */ (Object.keys(DEFAULTS));

/** @type {State} */
export const state = { ...DEFAULTS };

/** @type {((names: Set<string>) => void)[]} */
const listeners = [];

/** @param {(names: Set<string>) => void} listener */
export function listen(listener) {
  listeners.push(listener);
}

// The steps that the browser's Back and Forward go through: how many lie before this one, and the last.
const begun = history.state?.step ?? 0; // more than 0 where the page is loaded again
const steps = { now: begun, last: begun };
export const canUndo = () => steps.now > 0;
export const canRedo = () => steps.now < steps.last;

/**
 * Take over some fields; listeners get the names that changed. A new prompt or switch is a step that can be undone,
 * unless `quiet`.
 * @param {Partial<State>} changes
 * @param {{ quiet?: boolean }} [how]
 */
export function set(changes, { quiet = false } = {}) {
  const names = /** @type {(keyof State)[]} */ (Object.keys(changes));
  const changed = names.filter((name) => JSON.stringify(state[name]) !== JSON.stringify(changes[name]));
  if (!changed.length) return;
  Object.assign(state, changes);
  const address = "#" + write(state);
  if (!quiet && changed.some((name) => name === "text" || name === "switches")) {
    steps.now += 1;
    steps.last = steps.now;
    history.pushState({ step: steps.now }, "", address);
  } else {
    history.replaceState({ step: steps.now }, "", address);
  }
  for (const listener of listeners) listener(new Set(changed));
}

/**
 * The reader has gone Back, Forward, or to an address typed by hand, which begins anew.
 * @param {Partial<State>} values
 */
export function arrive(values) {
  const step = history.state?.step;
  if (Number.isInteger(step)) steps.now = step;
  else steps.now = steps.last = 0;
  set({ ...DEFAULTS, ...values }, { quiet: true });
}

/**
 * @param {string} address
 * @param {string} to
 */
export function setSwitch(address, to) {
  const switches = { ...state.switches };
  if (to === "on") delete switches[address];
  else switches[address] = to;
  set({ switches });
}

/** @param {string} address */
export function switchOf(address) {
  return state.switches[address] ?? "on";
}

/**
 * The fragment of the page's address. off=3.head.1,4.mlp reads better in it than JSON would.
 * @param {State} values
 */
export function write(values) {
  const fields = new URLSearchParams();
  for (const name of NAMES) {
    if (name === "text") fields.set("text", values.text);
    else if (name !== "switches" && values[name] !== DEFAULTS[name]) fields.set(name, String(values[name]));
  }
  for (const kind of STATES) {
    const named = Object.keys(values.switches).filter((address) => values.switches[address] === kind);
    if (named.length) fields.set(kind, named.sort().join(","));
  }
  return fields.toString().replaceAll("+", "%20").replaceAll("%2C", ",");
}
