// Behind the sentence: the parts that write most of the prediction's lead over the runner-up, with two ways on.
// Direct only, as in details/why.js. In: the selected row. Out: a piece of text that comes once it is computed.

import { parts as placeOf, shortName } from "./components.js";
import { sourcesOf } from "./details/why_graph.js";
import { fill, h } from "./dom.js";
import { number, signed } from "./format.js";
import { modelNow, pictureNow, scene } from "./run.js";
import { Refusal, ask } from "./source.js";
import { set } from "./state.js";

/** @import { Part } from "./answers.d.ts" */

const NAMED = 2; // parts
const COMPONENTS = ["head", "mlp", "attention"];

/**
 * The components that add most to a lead, the strongest first: only those that add, and that can be switched.
 * @param {Part[]} all
 * @param {Record<string, unknown>} switches
 */
export function strongest(all, switches) {
  return all
    .filter(({ name, kind, value }) => COMPONENTS.includes(kind) && value > 0 && Object.hasOwn(switches, name))
    .sort((a, b) => b.value - a.value)
    .slice(0, NAMED);
}

/** @param {number} row */
export function reasons(row) {
  const place = h("span.reasons", { "data-coming": "" });
  said(row)
    .then((pieces) => fill(place, pieces))
    .catch((error) => {
      if (!(error instanceof Refusal) && error.name !== "AbortError") reportError(error);
      place.remove();
    })
    .finally(() => delete place.dataset.coming);
  return place;
}

/** @param {number} row */
async function said(row) {
  const all = await ask("attribution", { ...scene(), row, target: "", foil: "", of: "" });
  const named = strongest(all.parts, modelNow().switches);
  if (!named.length || all.foil === null) return [];
  const each = await Promise.all(named.map((part) => described(part, row)));
  const first = named[0].name;
  return [
    "It leads ",
    h("span.token", {}, all.foil),
    ` by ${number(all.whole)} logits; `,
    ...each.flatMap((pieces, i) => (i ? [" and ", ...pieces] : pieces)),
    named.length > 1 ? " add most. " : " adds most. ",
    h(
      "button",
      {
        type: "button",
        title: "every part that adds to this prediction or takes from it",
        "data-key": "reasons:why",
        onclick: () => set({ view: "why" }),
      },
      "show me",
    ),
    " ",
    h(
      "button",
      {
        type: "button",
        title: `switch ${shortName(first)} off, and see what the model says then`,
        "data-key": "reasons:break",
        onclick: () => set({ view: "off", at: first, switches: { [first]: "off" } }),
      },
      "break it",
    ),
  ];
}

/**
 * A part, what it adds, and for a head the token from which it takes most.
 * @param {Part} part
 * @param {number} row
 * @returns {Promise<(string | HTMLElement)[]>}
 */
async function described({ name, kind, value }, row) {
  const text = `${shortName(name)} (${signed(value)}`;
  if (kind !== "head") return [`${text})`];
  const { block, head } = placeOf(name);
  const [source] = sourcesOf(await ask("head", { ...scene(), block, head }), row);
  if (!source) return [`${text})`];
  return [`${text}, mostly from `, h("span.token", {}, pictureNow().tokens[source.row]), ")"];
}
