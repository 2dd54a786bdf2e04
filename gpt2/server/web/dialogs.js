// The page's two dialogs: what the model is, and the page as a file.

import { fileCommand } from "./copy.js";
import { fill, find, h } from "./dom.js";
import { count } from "./format.js";
import { modelNow, scene } from "./run.js";
import { isFile, live, textOfFile } from "./source.js";
import { state, write } from "./state.js";
import { begin, progressBar } from "./work.js";

/** @import { Model, Rounding } from "./answers.d.ts" */

const closing = () => h("button", { type: "button", onclick: () => find("dialog").close() }, "close");

export function showModel() {
  const m = modelNow();
  const box = find("dialog");
  /** @type {[name: string, value: string | number][]} */
  const rows = [
    ["parameters", count(m.parameters)],
    ["blocks", m.n_layer],
    ["heads per block", m.n_head],
    ["width of the stream", m.n_embd],
    ["neurons a block", m.n_inner],
    ["vocabulary", count(m.vocab_size)],
    ["context, tokens", m.n_positions],
    ["numbers", m.rounding ? `${m.rounding.kind} in the file, ${m.dtype} in the computation` : m.dtype],
    ["weights, SHA-256", m.weights.slice(0, 16)],
    ["made by", `glassbox-gpt2 ${m.version}`],
  ];
  fill(
    box,
    h("h2", {}, m.name),
    h("dl.keys", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
    h(
      "p",
      {},
      "Nothing is put before your text: the first token is yours. Another model: ",
      h("code", {}, `gpt2 explain "..." --page --model gpt2`),
    ),
    m.rounding ? h("p", {}, costOf(m.rounding)) : null,
    isFile ? written(m) : null,
    closing(),
  );
  box.showModal();
}

/** @param {Rounding} rounding */
function costOf({ kind, costs }) {
  const said = `This file holds the weights rounded to ${kind}, and computes with these.`;
  if (!costs.length) return `${said} What that costs was not measured.`;
  const each = costs.map(({ text, documents, bytes, before, after }) => {
    const size = `${count(documents)} documents, ${count(bytes)} bytes`;
    return `${after.toFixed(4)} in place of ${before.toFixed(4)} on ${text} (${size})`;
  });
  return `${said} Bits per byte: ${each.join("; ")}.`;
}

/** @param {Model} m */
function written(m) {
  const options = live ? (m.rounding ? ` --weights ${m.rounding.kind}` : "") : " --still";
  return h("p", {}, "This file was written by ", h("code", {}, fileCommand(textOfFile(), options)), ".");
}

// The page as a file: the server answers every switch of the run that is shown in advance.
export async function exportPage() {
  const box = find("dialog");
  const { corrupt } = state;
  const shown = scene();
  const drawProgress = () =>
    box.replaceChildren(
      h("h2", {}, "Export"),
      h("p", {}, "Every switch of this run is answered in advance, so that the file needs no model."),
      progressBar("export") ?? h("p", {}, "done"),
      closing(),
    );
  box.showModal();
  try {
    const view = write({ ...state, ...shown });
    const answer = await begin("export", "export", { ...shown, corrupt, view }, drawProgress);
    if (!answer) {
      box.close();
      return;
    }
    const link = h("a", {
      href: URL.createObjectURL(new Blob([answer.html], { type: "text/html" })),
      download: "glassbox-gpt2.html",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    box.close();
  } catch (error) {
    box.replaceChildren(h("p", {}, error.message), closing());
  }
}
