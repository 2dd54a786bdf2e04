// How much each component is missed, by itself: on the text that is shown, or on other texts.
// In: what the reader chose. Out: a part of the detail off.js. Long: begun by a button, shown as it goes, cancelled.

import { barList } from "../barlist.js";
import { shortName } from "../components.js";
import { leaveOneOutCommand } from "../copy.js";
import { choice, find, h } from "../dom.js";
import { number, signed } from "../format.js";
import { rowNow, scene } from "../run.js";
import { Refusal, has, isFile, key } from "../source.js";
import { setSwitch } from "../state.js";
import { largestOf } from "../wire.js";
import { begin, progressBar, progressOf } from "../work.js";
import { onThisText, titleOf } from "./leave_one_out.js";

/** @import { Importance, LeaveOneOut } from "../answers.d.ts" */
/** @typedef {{ name: "importance" | "leave_one_out", parameters: object, id: string }} Question */

/** @type {Map<string, Importance | LeaveOneOut | Refusal>} */
const measured = new Map(); // by the question with all of its parameters: an answer is never another's
const KEPT = 30;
/** @type {Set<string>} */
const once = new Set(); // what was measured on a text with any switches
const asked = { text: "this", components: "parts", kind: "mean" };
let measuring = ""; // the question that is being answered

/** @type {[value: string, text: string, hint: string][]} */
const TEXTS = [
  ["this", "this text", "the text above, with the switches as they are"],
  ["other", "other texts", "the same for every prompt, with everything on"],
];

/** @type {[value: string, text: string][]} */
const SETS = [
  ["parts", "attention and MLPs"],
  ["heads", "heads"],
  ["blocks", "blocks"],
];

/** @type {[value: string, text: string][]} */
const KINDS = [
  ["mean", "mean"],
  ["zero", "zero"],
];

/** @returns {Question} */
function question() {
  const { text, components, kind } = asked;
  const name = text === "this" ? "leave_one_out" : "importance";
  const parameters = name === "importance" ? { components, kind } : { ...scene(), components, kind };
  return { name, parameters, id: key(name, parameters) };
}

const withoutSwitches = (/** @type {object} */ parameters) => key("", { ...parameters, switches: {} });

// What is listed as missed, once it has been measured.
export function measuredNow() {
  const answer = measured.get(question().id);
  return answer && !(answer instanceof Error) ? asked : null;
}

/** @param {() => void} again */
export function importance(again) {
  const { name, parameters, id } = question();
  const answer = measured.get(id);
  const possible = has(name, parameters);
  if (measuring !== id) progressOf("importance")?.stop(); // nobody sees what would come
  const start = () => measure(question(), again);
  const brought = isFile && name === "importance" && possible; // a file answers at once
  if (brought && !answer && measuring !== id) queueMicrotask(start);
  const pick = (/** @type {Partial<typeof asked>} */ changes) => {
    Object.assign(asked, changes);
    again();
  };
  const button = h("button", { type: "button", onclick: start, disabled: !possible, "data-key": "measure" }, "measure");
  const bar = h(
    "div.bar",
    {},
    choice("missed on", TEXTS, asked.text, (text) => pick({ text })),
    choice("components", SETS, asked.components, (components) => pick({ components })),
    choice("replaced by", KINDS, asked.kind, (kind) => pick({ kind })),
    measuring === id ? progressBar("importance") : answer && !(answer instanceof Error) ? null : button,
    possible ? null : h("span.fine", {}, ...whoAnswers(name)),
  );
  if (!answer || answer instanceof Error) {
    const title = `how much is each missed, on ${asked.text === "this" ? "this text" : "other texts"}?`;
    const old = once.has(withoutSwitches(parameters)) ? "It was measured with other switches than these." : null;
    const said = answer ? answer.message : old;
    return h("section.wide", {}, h("h3", {}, title), bar, said ? h("p.fine", {}, said) : null);
  }
  const switchOff = (/** @type {string} */ address) => setSwitch(address, asked.kind === "mean" ? "mean" : "off");
  if ("first" in answer) {
    return h("section.wide", {}, h("h3", {}, titleOf(answer)), bar, onThisText(answer, rowNow(), switchOff));
  }
  return h(
    "section.wide",
    {},
    h("h3", {}, "loss without it, nats per token, with 95% intervals"),
    bar,
    onOtherTexts(answer, switchOff),
    h("p.fine", {}, `${answer.text}; with everything on ${number(answer.loss)}`),
  );
}

/**
 * @param {Question} question
 * @param {() => void} again
 */
async function measure({ name, parameters, id }, again) {
  if (measuring === id) return; // drawn twice before it began
  measuring = id;
  measured.delete(id);
  try {
    const found = await begin("importance", name, parameters, again);
    if (found) measured.set(id, found);
    if (found && name === "leave_one_out") once.add(withoutSwitches(parameters));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    measured.set(id, error);
  } finally {
    if (measuring === id) measuring = "";
  }
  if (measured.size > KEPT) measured.delete([...measured.keys()][0]);
  again();
}

/**
 * Where the page has no answer: the command that has it.
 * @param {Question["name"]} name
 */
const whoAnswers = (name) =>
  name === "importance"
    ? ["It is measured on many texts: ", h("code", {}, "gpt2 explain off")]
    : ["This needs the model, and this file holds one run: ", h("code", {}, leaveOneOutCommand(asked, rowNow()))];

const BESIDE = 720; // what stands left and right of the lists
const LIST = 230;

/**
 * How many lists there is room for beside each other.
 * @param {number} width of the panel, in pixels
 */
export const columnsIn = (width) => Math.max(1, Math.min(3, Math.floor((width - BESIDE) / LIST)));

/**
 * @param {Importance} answer
 * @param {(address: string) => void} pick
 */
function onOtherTexts(answer, pick) {
  const rows = answer.rows.map((r) => ({
    label: shortName(r.address),
    value: r.change,
    low: r.low,
    high: r.high,
    card: r.address,
    key: `importance:${r.address}`,
    said: `95% interval ${signed(r.low)} to ${signed(r.high)}; KL ${number(r.kl)}`,
    pick: () => pick(r.address),
  }));
  return h(
    "div.columns",
    {},
    ...chunks(rows, Math.ceil(rows.length / columnsIn(find("panel").clientWidth))).map((part) =>
      barList("", part, { most: largestOf(rows.map((r) => r.high)) }),
    ),
  );
}

/**
 * @template T
 * @param {T[]} list_
 * @param {number} size
 */
function chunks(list_, size) {
  return Array.from({ length: Math.ceil(list_.length / size) }, (_, i) => list_.slice(i * size, (i + 1) * size));
}
