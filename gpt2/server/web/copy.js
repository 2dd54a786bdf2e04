// Every number as the line that gives it again: Python, or the command.

import { parts, readable } from "./components.js";
import { toast } from "./dom.js";
import { modelNow, scene } from "./run.js";

/** @import { Switches } from "./answers.d.ts" */
/** @import { State } from "./state.js" */

const quoted = (/** @type {string} */ text) => JSON.stringify(text);
const shell = (/** @type {string} */ text) => "'" + text.replaceAll("'", "'\\''") + "'";

// Options that load the model of this page: other numbers than the usual ones give other answers.
function model() {
  const { name, dtype } = modelNow();
  return (name === "storyteller" ? "" : ` --model ${shell(name)}`) + (dtype === "float32" ? "" : ` --dtype ${dtype}`);
}

/**
 * `gpt2 explain` of a text. One that reads like an option or an analysis stands behind `--`.
 * @param {string} options
 * @param {string} [text] that is shown, where no other is given
 */
function overview(options, text = scene().text) {
  const plain = !text.startsWith("-") && /\s/.test(text);
  return `gpt2 explain ${plain ? "" : "-- "}${shell(text)}${options}${model()}`;
}

/**
 * An analysis of the text that is shown.
 * @param {string} name
 * @param {string} options
 */
function analysis(name, options) {
  const { text } = scene();
  const words = `${options}${model()}`;
  if (text === "-") return `printf - | gpt2 explain ${name}${words}`; // alone it means standard input
  if (text.startsWith("-")) return `gpt2 explain ${name}${words} -- ${shell(text)}`;
  return `gpt2 explain ${name} ${shell(text)}${words}`;
}

/**
 * The command that prints the same numbers; with switches there is none.
 * @param {number | null} block
 * @param {number | null} head
 * @param {number} row
 */
export function walkCommand(block, head, row) {
  const { text, switches } = scene();
  if (Object.keys(switches).length) return null;
  const options = [
    block === null ? "" : ` --block ${block}`,
    head === null ? "" : ` --heads ${head}`,
    ` --at ${row}${model()}`,
  ].join("");
  if (text === "-") return `printf - | gpt2 walk${options}`;
  return text.startsWith("-") ? `gpt2 walk${options} -- ${shell(text)}` : `gpt2 walk ${shell(text)}${options}`;
}

/** @type {Record<string, string>} */
const SETS = { parts: "", heads: " --components '*.head.*'", blocks: " --components '*.block'" };

/**
 * The command that leaves out each component of a set; with switches, the one that opens the page.
 * @param {{ components: string, kind: string }} how
 * @param {number} row
 */
export function leaveOneOutCommand({ components, kind }, row) {
  if (Object.keys(scene().switches).length) return pageCommand();
  return analysis("leave-one-out", `${SETS[components]}${kind === "zero" ? " --zero" : ""} --position ${row}`);
}

/**
 * The command that opens this page with the model behind it.
 * @param {string} [text]
 */
export const pageCommand = (text) => overview(" --page", text);

/**
 * The command that wrote a file.
 * @param {string} text
 * @param {string} kind
 */
export const fileCommand = (text, kind) => overview(` --html page.html${kind}`, text);

/** @type {Record<string, number>} */
const FACTORS = { half: 0.5, double: 2 };

/**
 * The edits of the switches, as a dictionary of gpt2.explain.
 * @param {Switches} switches
 */
export function editsOf(switches) {
  /** @type {(address: string, kind: string) => string} */
  const edit = (address, kind) => {
    if (kind === "off") return "zero";
    if (kind in FACTORS) return `scale(${FACTORS[kind]})`;
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
  const { name, dtype } = modelNow();
  const edits = editsOf(scene().switches);
  const needsMean = edits.includes("(ref)");
  const names = ["trace", ...["zero", "mean", "freeze", "scale"].filter((edit) => edits.includes(`: ${edit}`))];
  if (needsMean) names.push("reference");
  const asked = [quoted(scene().text), `read=${quoted(readable(address))}`];
  if (edits) asked.push(`edit=${edits}`);
  const lines = [
    "from gpt2 import load",
    `from gpt2.explain import ${names.join(", ")}`,
    `checkpoint = load(${quoted(name)}${dtype === "float32" ? "" : `, dtype=${quoted(dtype)}`})`,
  ];
  if (needsMean) lines.push("ref = reference(checkpoint)");
  lines.push(`run = trace(checkpoint, ${asked.join(", ")})`);
  if (address === "logits") lines.push(`print(run.logits[0, ${row}].softmax(-1).topk(10))`);
  else lines.push(`print(run[${quoted(readable(address))}])`);
  return lines.join("\n");
}

/**
 * The command for a component; with switches, the one that measures these switches together. Null where there is none:
 * no command has both off and mean, a multiple, or a block at its mean.
 * @param {string} address
 */
export function commandOf(address) {
  const { kind } = parts(address);
  const { switches, text } = scene();
  const addresses = Object.keys(switches);
  if (addresses.length) {
    const kinds = new Set(Object.values(switches));
    const scaled = kinds.has("half") || kinds.has("double");
    if (kinds.size > 1 || scaled || addresses.some((a) => a.endsWith(".block") && switches[a] === "mean")) return null;
    const replaced = kinds.has("off") ? "zero" : "mean";
    return `gpt2 explain off ${addresses.sort().join(",")} --kind ${replaced} --prompt=${shell(text)}${model()}`;
  }
  if (kind === "logits") return overview("");
  if (kind === "head") return analysis("attention", ` --head ${address}`);
  if (/resid|embed.out/.test(kind)) return analysis("lens", ` --points ${address}`);
  return analysis("trace", ` --read ${readable(address)}`);
}

/**
 * The command of what a detail shows; with switches, the one that measures them, or null.
 * @param {State} state
 * @param {number} row
 */
export function commandOfView(state, row) {
  const { text, switches } = scene();
  const { block, head } = parts(state.at);
  const at = ` --position ${row}`;
  const plain = (/** @type {string} */ shown) => shell(shown.replaceAll("·", " "));
  if (state.view === "patch" && state.corrupt && !`${text[0]}${state.corrupt[0]}`.includes("-")) {
    const how = ` --grid ${state.kind} --direction ${state.direction}`;
    return `gpt2 explain patch ${shell(text)} ${shell(state.corrupt)}${how}${model()}`;
  }
  if (state.view === "positions") return `gpt2 explain positions${model()}`;
  if (Object.keys(switches).length) return commandOf("logits");
  if (state.view === "lens") return analysis("lens", "");
  if (state.view === "attention") return analysis("attention", ` --head ${block ?? 0}.head.${head ?? 0}${at}`);
  if (state.view === "attribution" || state.view === "why") {
    const target = state.target ? ` --target=${plain(state.target)}` : "";
    const foil = state.foil ? ` --foil=${plain(state.foil)}` : "";
    return analysis("attribution", `${target}${foil}${at}`);
  }
  if (state.view === "neurons") return analysis("attribution", ` --of ${block ?? 0}.mlp --foil mean${at}`);
  return overview("");
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
