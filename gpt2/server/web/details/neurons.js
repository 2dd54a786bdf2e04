// Detail: the strongest neurons of one MLP at the selected row, and what excites one of them.

import { parts } from "../components.js";
import { choice, h, headRow, later, numberOf } from "../dom.js";
import { number, short, signed } from "../format.js";
import { modelNow, rowNow, scene } from "../run.js";
import { ask, askPlainly } from "../source.js";
import { set, state } from "../state.js";

/** @import { Contexts } from "../answers.d.ts" */

let chosen = ""; // "block#neuron" whose contexts are shown

/**
 * The neuron of a block that the reader has chosen; null for the strongest.
 * @param {number} block
 */
export const chosenNeuron = (block) => (chosen.startsWith(`${block}#`) ? Number(chosen.split("#")[1]) : null);

/** @param {{ again: () => void }} tools */
export async function neurons({ again }) {
  const block = parts(state.at).block ?? 0;
  const row = rowNow();
  const found = await askPlainly("neurons", { ...scene(), block, row });
  /** @type {[value: number, text: string][]} */
  const blocks = Array.from({ length: modelNow().n_layer }, (_, l) => [l, String(l)]);
  const head = ["neuron", "activation", "writes", `adds to ${found.target || "–"}`, "promotes", "suppresses"];
  const choose = (/** @type {number} */ n) => {
    chosen = `${block}#${n}`;
    again();
  };
  const body = found.neurons.map((n) =>
    h(
      chosen === `${block}#${n.n}` ? "tr.chosen" : "tr",
      {},
      h(
        "th",
        { scope: "row" },
        h(
          "button.plain",
          {
            type: "button",
            "data-key": `n${n.n}`,
            title: "when is it active?",
            onclick: () => choose(n.n),
          },
          `#${n.n}`,
        ),
      ),
      h("td", {}, numberOf(`${block}.mlp.post~~~${n.n}`, number(n.activation))),
      h("td", {}, number(n.size)),
      h("td", {}, n.adds === null ? "–" : signed(n.adds)),
      h("td.words", {}, n.promotes.map((w) => short(w, 9)).join(" ")),
      h("td.words", {}, n.suppresses.map((w) => short(w, 9)).join(" ")),
    ),
  );
  const current = chosenNeuron(block) ?? found.neurons[0].n;
  return [
    h(
      "div",
      {},
      h(
        "div.bar",
        {},
        "block ",
        choice("block", blocks, block, (l) => set({ at: `${l}.mlp` })),
        h("small", {}, `${found.active} of ${found.of} neurons are above 0 at row ${row}`),
      ),
      h("table.list.neurons", {}, headRow(head), h("tbody", {}, ...body)),
    ),
    later(contexts(block, current), "looking for what excites it"),
  ];
}

/**
 * @param {number} block
 * @param {number} neuron
 */
async function contexts(block, neuron) {
  const found = await ask("contexts", { block, neuron });
  return h(
    "section.barlist",
    {},
    h("h3", {}, `what excites neuron ${block}#${neuron}`),
    ...found.examples.map((one) =>
      h(
        "p.context",
        {},
        h("b", {}, number(one.activation)),
        " ",
        h("span.token", {}, one.before.join(""), h("mark", {}, one.token), one.after.join("")),
      ),
    ),
    h("p.fine", {}, `above 0 at ${number(100 * found.active)}% of positions; ${worth(found.loss)}. ${found.text}.`),
  );
}

/** @param {Contexts["loss"]} loss */
function worth(loss) {
  if (!loss) return "what it is worth is measured by gpt2 explain neurons";
  const [change, low, high] = loss.map((x) => signed(x));
  return `held at its mean, the loss changes by ${change} (95% interval ${low} to ${high}) nats per token`;
}
