// Every number as the line that gives it again: Python, or the command.

import { parts, readable } from "./components.js";
import { toast } from "./dom.js";
import { modelNow, scene } from "./run.js";

/** @import { Switches } from "./answers.d.ts" */

const quoted = (/** @type {string} */ text) => JSON.stringify(text);
const shell = (/** @type {string} */ text) => "'" + text.replaceAll("'", "'\\''") + "'";

function model() {
  const { name } = modelNow();
  return name === "storyteller" ? "" : ` --model ${shell(name)}`;
}

// The command that opens this page with the model behind it, for the run that is shown.
export const pageCommand = () => `gpt2 explain ${shell(scene().text)} --page${model()}`;

/**
 * The edits of the switches, as a dictionary of gpt2.explain.
 * @param {Switches} switches
 */
export function editsOf(switches) {
  /** @type {(address: string, kind: string) => string} */
  const edit = (address, kind) => {
    if (kind === "off") return "zero";
    return address.endsWith(".scale") ? "freeze(ref)" : "mean(ref)";
  };
  const made = Object.entries(switches).map(([address, kind]) => `${quoted(address)}: ${edit(address, kind)}`);
  return made.length ? `{${made.join(", ")}}` : "";
}

/**
 * @param {string} address
 * @param {number} row
 */
export function pythonOf(address, row) {
  const edits = editsOf(scene().switches);
  const needsMean = edits.includes("(ref)");
  const names = ["trace", ...["zero", "mean", "freeze"].filter((name) => edits.includes(`: ${name}`))];
  if (needsMean) names.push("reference");
  const asked = [quoted(scene().text), `read=${quoted(readable(address))}`];
  if (edits) asked.push(`edit=${edits}`);
  const lines = [
    "from gpt2 import load",
    `from gpt2.explain import ${names.join(", ")}`,
    `checkpoint = load(${quoted(modelNow().name)})`,
  ];
  if (needsMean) lines.push("ref = reference(checkpoint)");
  lines.push(`run = trace(checkpoint, ${asked.join(", ")})`);
  if (address === "logits") lines.push(`print(run.logits[0, ${row}].softmax(-1).topk(10))`);
  else lines.push(`print(run[${quoted(readable(address))}])`);
  return lines.join("\n");
}

/** @param {string} address */
export function commandOf(address) {
  const { block, head, kind } = parts(address);
  const text = shell(scene().text);
  const switched = Object.keys(scene().switches);
  if (switched.length) {
    const off = Object.values(scene().switches).includes("off") ? "zero" : "mean";
    return `gpt2 explain off ${shell(switched.join(","))} --kind ${off} --prompt ${text}${model()}`;
  }
  if (kind === "logits") return `gpt2 explain ${text}${model()}`;
  if (kind === "head") return `gpt2 explain attention ${text} --head ${block}.head.${head}${model()}`;
  if (/resid|embed.out/.test(kind)) return `gpt2 explain lens ${text} --points ${address}${model()}`;
  return `gpt2 explain trace ${text} --read ${readable(address)}${model()}`;
}

/**
 * @param {string} text
 * @param {string} what it is
 */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`copied: ${what}`);
  } catch {
    toast("the browser does not allow copying here");
  }
}
