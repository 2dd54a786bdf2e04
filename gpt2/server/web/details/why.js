// Detail: from a prediction back to the parts that wrote for it, and to the tokens that its heads read.
// Direct only, as attribution.js has it in lists: the parts that are drawn and the others sum to what is predicted.

import { parts as placeOf, shortName } from "../components.js";
import { choice, find, h, s } from "../dom.js";
import { number, short, signed } from "../format.js";
import { modelNow, pictureNow, rowNow, scene } from "../run.js";
import { Refusal, askPlainly } from "../source.js";
import { set, state } from "../state.js";
import { effective } from "../stations.js";
import { toggle } from "../switches.js";
import { asked, wayOn } from "./attribution.js";
import { LEAST, choose, layout, path, sourcesOf } from "./why_graph.js";

/** @import { Attribution, Part } from "../answers.d.ts" */
/** @import { Box, Chosen, Source } from "./why_graph.js" */
/** @typedef {Map<string, Source[]>} Read what each head that is drawn reads, by its address */

let count = 12; // parts to be drawn
export const partsShown = () => count;

/** @param {{ again: () => void }} tools */
export async function why({ again }) {
  const row = rowNow();
  const { target, foil } = state;
  let all;
  try {
    all = await askPlainly("attribution", { ...scene(), row, target, foil, of: "" });
  } catch (error) {
    if (!(error instanceof Refusal) || target + foil === "") throw error;
    return wayOn(error.message);
  }
  const chosen = choose(all.parts, count, scene().switches);
  const heads = chosen.drawn.filter(({ kind }) => kind === "head");
  const patterns = await Promise.all(
    heads.map(({ name }) => {
      const { block, head } = placeOf(name);
      return askPlainly("head", { ...scene(), block, head });
    }),
  );
  /** @type {Read} */
  const read = new Map(heads.map(({ name }, i) => [name, sourcesOf(patterns[i], row)]));
  const more = (/** @type {number} */ n) => {
    count = n;
    again();
  };
  return [
    h("div.side", {}, asked(row, all), countChoice(more), account(all, chosen), key()),
    state.tables ? table(all, chosen, read) : graph(all, chosen, read),
  ];
}

/** @param {(n: number) => void} pick */
function countChoice(pick) {
  /** @type {[value: number, text: string][]} */
  const options = [6, 12, 24].map((n) => [n, String(n)]);
  return h("div.field", {}, "strongest parts", choice("strongest parts", options, count, pick));
}

/**
 * What is drawn, what is not, and that both are all there is.
 * @param {Attribution} all
 * @param {Chosen} chosen
 */
function account(all, { drawn, sum, left, rest }) {
  return h(
    "p.sum",
    { "data-sum": sum, "data-rest": rest, "data-whole": all.whole },
    `Drawn: ${drawn.length} parts, ${signed(sum)} of ${signed(all.whole)}. `,
    `Not drawn: ${left} parts, ${signed(rest)}. Remaining error ${Math.abs(all.error).toExponential(0)}.`,
  );
}

function key() {
  const line = (/** @type {string} */ name) =>
    s("svg", { width: 26, height: 8, "aria-hidden": "true" }, s(`path.${name}`, { d: "M1,4H25", "stroke-width": 3 }));
  return [
    h("p.fine.whykey", {}, line("plus"), " adds to it ", line("minus"), " takes from it ", line("read"), " reads"),
    h(
      "p.fine",
      {},
      "Width: logits that a part adds; on the left the share of what a head writes that comes from a token, ",
      `from ${100 * LEAST} % on. Click: select; again: switch. Direct only; a switch shows the total effect.`,
    ),
  ];
}

/**
 * @param {Attribution} all
 * @param {Chosen} chosen
 * @param {Read} read
 */
function graph(all, { drawn }, read) {
  const panel = find("panel").clientWidth;
  const width = Math.min(1180, Math.max(330, panel > 700 ? panel - 350 : panel - 14));
  const rows = [...new Set([...read.values()].flatMap((list) => list.map((source) => source.row)))].sort(
    (a, b) => a - b,
  );
  const places = layout(width, drawn, rows, modelNow().n_layer);
  const lines = s("svg", { width, height: places.height, "aria-hidden": "true" });
  for (const { name, value } of drawn) {
    const box = /** @type {Box} */ (places.parts.get(name));
    const loud = name === state.at ? " loud" : "";
    for (const source of read.get(name) ?? []) {
      const from = /** @type {Box} */ (places.tokens.get(source.row));
      lines.append(s("path", { class: `read${loud}`, d: path(from, box), "stroke-width": 8 * source.share }));
    }
    const line = places.lines.get(name);
    if (!line?.width) continue;
    const to = { ...places.target, y: line.end };
    lines.append(
      s("path", { class: (value < 0 ? "minus" : "plus") + loud, d: path(box, to), "stroke-width": line.width }),
    );
  }
  const at = (/** @type {Box} */ { x, y, w }) => ({ left: `${x}px`, top: `${y}px`, width: `${w}px` });
  return h(
    "div.why",
    { role: "group", "aria-label": all.question, style: { width: `${width}px`, height: `${places.height}px` } },
    lines,
    ...Array.from(places.tokens, ([row, box]) => tokenNode(row, box.w, at(box))),
    ...drawn.map((part) => partNode(part, read.get(part.name), at(/** @type {Box} */ (places.parts.get(part.name))))),
    targetNode(all, { ...at(places.target), minHeight: `${places.span + 8}px` }),
  );
}

/**
 * @param {number} row
 * @param {number} width
 * @param {Record<string, string>} style
 */
function tokenNode(row, width, style) {
  const token = pictureNow().tokens[row];
  const said = `row ${row}, ${token}: explain what is predicted after it`;
  const pick = () => set({ row });
  return h(
    "button.part.token",
    { type: "button", style, title: said, "aria-label": said, "data-key": `row:${row}`, onclick: pick },
    h("small", {}, `${row} `),
    short(token, Math.floor((width - 10) / 7.3) - String(row).length - 1),
  );
}

/**
 * A part: a click selects it, a second one switches it. The token's own vector has no switch.
 * @param {Part} part
 * @param {Source[]} [sources]
 * @param {Record<string, string>} [style]
 */
function partNode({ name, value }, sources, style) {
  const label = name === "embed.tok" ? "token vector" : shortName(name);
  const adds = h("b", {}, signed(value));
  if (!Object.hasOwn(modelNow().switches, name)) {
    return h("span.part", { style, "data-part": name, "data-adds": value }, label, adds);
  }
  const mode = effective(name);
  const pick = () => (state.at === name ? toggle(name) : set({ at: name }));
  return h(
    "button.part",
    {
      type: "button",
      style,
      "data-part": name,
      "data-adds": value,
      "data-key": `part:${name}`,
      "data-card": name,
      "data-state": mode,
      "aria-pressed": String(state.at === name),
      "aria-label": `${label}, ${mode}, adds ${signed(value)}${readsFrom(sources)}`,
      onclick: pick,
    },
    label,
    adds,
  );
}

/** @param {Source[]} [sources] */
function readsFrom(sources) {
  if (!sources?.length) return "";
  const { tokens } = pictureNow();
  return `; reads ${sources.map(({ row, share }) => `${tokens[row]} (${row}) ${number(100 * share)} %`).join(", ")}`;
}

/**
 * @param {Attribution} all
 * @param {Record<string, string>} style
 */
function targetNode(all, style) {
  return h(
    "button.part.target",
    {
      type: "button",
      style,
      title: "all parts as lists",
      "data-key": "target",
      onclick: () => set({ view: "attribution" }),
    },
    h("span.token", {}, short(all.target, 11)),
    h("b", {}, signed(all.whole)),
    h("small", {}, all.foil === null ? "over the mean" : `over ${short(all.foil, 9)}`),
  );
}

/**
 * The same as a table.
 * @param {Attribution} all
 * @param {Chosen} chosen
 * @param {Read} read
 */
function table(all, { drawn, left, rest }, read) {
  const { tokens } = pictureNow();
  const cells = (/** @type {Source[]} */ sources) =>
    sources
      .map(({ row, share, weight }) => `${tokens[row]} (${row}) ${number(100 * share)} %, weight ${number(weight)}`)
      .join("; ");
  const line = (/** @type {string | HTMLElement} */ name, /** @type {number} */ value, sources = "") =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, signed(value)), h("td.words", {}, sources));
  const body = drawn.map((part) => line(partNode(part), part.value, cells(read.get(part.name) ?? [])));
  body.push(line(`${left} parts not drawn`, rest), line("remaining error", all.error), line("sum", all.whole));
  return h(
    "table.plain.whytable",
    {},
    h("caption", {}, all.question),
    h("thead", {}, h("tr", {}, ...["part", "adds", "writes from"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...body),
  );
}
