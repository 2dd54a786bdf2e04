// What the reader has chosen: prompt, row, place, switches, sampling, view. All of it is in the page's address.
// In: changes. Out: one object, and a call to every listener after each change.

/** @import { Switches } from "./answers.d.ts" */

const DEFAULTS = {
  text: "The cat sat on the",
  row: -1, // -1: the last
  at: "0.attn", // the address that is selected
  view: "attention",
  switches: /** @type {Switches} */ ({}),
  arcs: "mean", // what the arcs show: mean over heads, written, head
  show: "run", // or change
  tables: 0, // 1: every picture as a table
  heat: "pattern", // attention matrix: pattern, written, change
  colour: "p", // lens grid
  target: "", // attribution: "" is the prediction
  foil: "", // "" is the runner-up
  temperature: 0.8,
  top_k: 0, // 0: all
  top_p: 0.95,
  seed: 0,
  corrupt: "",
  kind: "resid",
  direction: "denoise",
};

/** @typedef {typeof DEFAULTS} State */

const NAMES = /** @type {(keyof State)[]} */ (Object.keys(DEFAULTS));

/** @type {State} */
export const state = { ...DEFAULTS, ...read(location.hash) };

/** @type {((names: Set<string>) => void)[]} */
const listeners = [];

/** @param {(names: Set<string>) => void} listener */
export function listen(listener) {
  listeners.push(listener);
}

/**
 * Take over some fields; listeners get the names that changed.
 * @param {Partial<State>} changes
 */
export function set(changes) {
  const names = /** @type {(keyof State)[]} */ (Object.keys(changes));
  const changed = names.filter((name) => JSON.stringify(state[name]) !== JSON.stringify(changes[name]));
  if (!changed.length) return;
  Object.assign(state, changes);
  history.replaceState(null, "", "#" + write(state));
  for (const listener of listeners) listener(new Set(changed));
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
  for (const kind of ["off", "mean"]) {
    const named = Object.keys(values.switches).filter((address) => values.switches[address] === kind);
    if (named.length) fields.set(kind, named.sort().join(","));
  }
  return fields.toString().replaceAll("+", "%20").replaceAll("%2C", ",");
}

/**
 * What such a fragment says; a number that is none is left out, and so is a name that is unknown.
 * @param {string} hash
 * @returns {Partial<State>}
 */
export function read(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, "").replaceAll("+", "%2B"));
  /** @type {Record<string, string | number>} */
  const values = {};
  for (const name of NAMES) {
    const word = fields.get(name);
    if (word === null) continue;
    if (typeof DEFAULTS[name] === "string") values[name] = word;
    else if (Number.isFinite(Number(word))) values[name] = Number(word);
  }
  /** @type {Switches} */
  const switches = {};
  for (const kind of ["off", "mean"]) {
    for (const address of (fields.get(kind) ?? "").split(",").filter(Boolean)) switches[address] = kind;
  }
  return { ...values, switches };
}

/**
 * An exported file opens in the state it was saved in, unless its address says more.
 * @param {{ view: string, text: string, corrupt: string }} meta
 */
export function restore(meta) {
  if (location.hash.length < 2) Object.assign(state, DEFAULTS, read(meta.view));
  Object.assign(state, { text: meta.text, corrupt: meta.corrupt });
}

addEventListener("hashchange", () => set({ ...DEFAULTS, ...read(location.hash) }));
