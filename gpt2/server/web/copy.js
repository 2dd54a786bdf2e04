// Every number as the line that gives it again: Python, or the command.

import { readable } from "./components.js";
import { toast } from "./dom.js";
import { run } from "./run.js";
import { state } from "./state.js";

const quoted = (text) => JSON.stringify(text);
const shell = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
const model = () => (run.model.name === "storyteller" ? "" : ` --model ${shell(run.model.name)}`);

// The edits of the switches, as a dictionary of gpt2.explain.
export function editsOf(switches) {
  const made = Object.entries(switches).map(([a, kind]) => `${quoted(a)}: ${kind === "off" ? "zero" : "mean(ref)"}`);
  return made.length ? `{${made.join(", ")}}` : "";
}

export function pythonOf(address, row) {
  const edits = editsOf(state.switches);
  const needsMean = Object.values(state.switches).includes("mean");
  return [
    "from gpt2 import load",
    `from gpt2.explain import trace${edits.includes("zero") ? ", zero" : ""}${needsMean ? ", mean, reference" : ""}`,
    `checkpoint = load(${quoted(run.model.name)})`,
    needsMean ? "ref = reference(checkpoint)" : null,
    `run = trace(checkpoint, ${quoted(state.text)}, read=${quoted(readable(address))}${edits ? `, edit=${edits}` : ""})`,
    address === "logits" ? `print(run.logits[0, ${row}].softmax(-1).topk(10))` : `print(run[${quoted(readable(address))}])`,
  ].filter(Boolean).join("\n");
}

export function commandOf(address) {
  const off = Object.keys(state.switches).join(",");
  const word = address === "logits" ? "" : `trace --read ${readable(address)} `;
  return `gpt2 explain ${word}${shell(state.text)}${off ? ` --off ${off}` : ""}${model()}`;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`copied: ${what}`);
  } catch {
    toast("the browser does not allow copying here");
  }
}
