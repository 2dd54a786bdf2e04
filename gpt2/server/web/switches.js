// Switching a component: on, off, mean, scaled; which states it has, and the buttons that set them.

import { plainName } from "./components.js";
import { choice, toast } from "./dom.js";
import { run } from "./run.js";
import { setSwitch, switchOf } from "./state.js";

/** @param {string} address */
export const statesOf = (address) => ["on", ...(run.model?.switches[address] ?? [])];

/** @param {string} address */
export function toggle(address) {
  const states = statesOf(address);
  if (states.length < 2) toast(`${plainName(address)} has no switch.`);
  else setSwitch(address, switchOf(address) === "on" ? states[1] : "on");
}

/** @param {string} address */
export function toMean(address) {
  if (!statesOf(address).includes("mean")) toast(`${plainName(address)} has no switch.`);
  else setSwitch(address, switchOf(address) === "mean" ? "on" : "mean");
}

/** @type {Record<string, string>} */
const HINTS = {
  on: "as the model is",
  off: "its output is replaced by zero",
  mean: "its output is replaced by its mean over a reference text",
  half: "its output is multiplied by 0.5",
  double: "its output is multiplied by 2",
};

/** @param {string} address */
export function switchButtons(address) {
  const named = (/** @type {string} */ kind) =>
    kind === "mean" && address.endsWith(".scale") ? "frozen" : ({ half: "× ½", double: "× 2" }[kind] ?? kind);
  return choice(
    `switch ${plainName(address)}`,
    statesOf(address).map((kind) => [kind, named(kind), HINTS[kind]]),
    switchOf(address),
    (kind) => setSwitch(address, kind),
  );
}
