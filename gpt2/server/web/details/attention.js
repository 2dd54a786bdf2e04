// Detail: all heads of a block small, one enlarged, and what the selected row reads through it.

import { named } from "../axes.js";
import { parts } from "../components.js";
import { diverge, sequence } from "../colour.js";
import { choice, h, headRow, numberOf, toast } from "../dom.js";
import { number, probability, short, signed } from "../format.js";
import { glyph } from "../glyphs.js";
import { heat } from "../heat.js";
import { scaleKey } from "../legend.js";
import { written as placeText } from "../places.js";
import { modelNow, pictureNow, rowNow, scene } from "../run.js";
import { askPlainly, has, isFile } from "../source.js";
import { set, state } from "../state.js";
import { effective } from "../stations.js";
import { largestOf, row as rowOf } from "../wire.js";
import { begin, progressBar, progressOf } from "../work.js";
import { allHeads, readsNow } from "./heads.js";

/** @import { Attention, Head, Heads } from "../answers.d.ts" */

const SIDE = 232;
const UNITS = {
  pattern: "attention weight",
  written: "length of what is written",
  mean: "weight, mean of the heads",
  change: "change of weight",
};
const MASK =
  "The weights of a row add up to 100%. No row reads a later one (the causal mask): " +
  "each is to guess what comes next, and would see it.";
/** @typedef {keyof typeof UNITS} Kind */

export function chosenHead() {
  const { block, head } = parts(state.at);
  return { block: block ?? 0, head: head ?? 0 };
}

/** @type {Heads | null} */
let report = null; // the head report, once it has been measured

/** @param {{ again: () => void }} tools */
export async function attention({ again }) {
  const { block, head } = chosenHead();
  if (state.heads === "all") return allHeads(whose());
  const [all, one] = await Promise.all([
    askPlainly("attention", { ...scene(), block }),
    askPlainly("head", { ...scene(), block, head }),
  ]);
  const kinds = /** @type {Kind[]} */ (Object.keys(UNITS)).filter((name) => name !== "change" || one.pattern_before);
  const kind = kinds.find((name) => name === state.heat) ?? "pattern";
  return [
    h(
      "div.heads",
      {},
      whose(),
      h("h3", {}, `heads of block ${block}`),
      h("div.thumbs", {}, ...Array.from({ length: modelNow().n_head }, (_, i) => thumb(all, block, i, head))),
      scoring(again, block, head),
    ),
    h("div.large", {}, views(kind, kinds.includes("change")), matrix(kind, cellsOf(kind, all, one), block, head)),
    h(
      "div.sources",
      {},
      h("h3", {}, `head ${block}.${head}, from row ${rowNow()} `, h("span.token", {}, pictureNow().tokens[rowNow()])),
      sources(one),
      h("p.fine.under", {}, MASK),
    ),
  ];
}

// Whether the heads of one block are shown, or all.
function whose() {
  /** @type {[value: string, text: string][]} */
  const options = [
    ["block", "one block"],
    ["all", "all blocks"],
  ];
  return h(
    "div.bar",
    {},
    choice("heads", options, state.heads, (heads) => set({ heads })),
  );
}

/**
 * @param {Attention} all
 * @param {number} block
 * @param {number} i the head
 * @param {number} chosen
 */
function thumb(all, block, i, chosen) {
  const address = `${block}.head.${i}`;
  const n = all.thumbs.shape[1];
  const cells = rowOf(all.thumbs, i);
  const picture = heat({
    rows: n,
    columns: n,
    width: 76,
    height: 76,
    name: `pattern of head ${block}.${i}`,
    value: (a, b) => (b > a ? null : cells[a * n + b]),
    colour: sequence,
  });
  return h(
    "button.thumb",
    {
      type: "button",
      "aria-pressed": String(i === chosen),
      "data-card": address,
      "data-key": address,
      "aria-label": `head ${block}.${i}, ${effective(address)}, ${labelOf(all, i)}`,
      onclick: () => set({ at: address }),
    },
    picture,
    h("span", {}, glyph(address, effective(address)), `${block}.${i}`),
    h("small", {}, labelOf(all, i)),
    h("small", { title: "what it reads most from the selected row" }, readsNow(all, i)),
  );
}

/**
 * The head report: labels that hold beyond this text, with their scores, and whether the loss agrees.
 * @param {() => void} again
 * @param {number} block
 * @param {number} head
 */
function scoring(again, block, head) {
  if (progressOf("heads")) return h("p.row", {}, progressBar("heads"));
  if (!report) {
    const start = async () => {
      try {
        report = await begin("heads", "heads", {}, again);
      } catch (error) {
        toast(error.message);
      }
      again();
    };
    if (isFile && has("heads", {})) queueMicrotask(start); // it is there already
    return h(
      "p.fine",
      {},
      h(
        "button",
        { type: "button", disabled: !has("heads", {}), onclick: start, "data-key": "heads" },
        "score all heads",
      ),
      " Below each head: what it mostly does on this text. Scores on random and natural text ",
      has("heads", {}) ? "take some seconds." : ["are measured by ", h("code", {}, "gpt2 explain heads"), "."],
    );
  }
  const one = report.heads[`${block}.head.${head}`];
  const said =
    one.labels.map((l) => `${l.name} ${l.score.toFixed(2)} on ${l.on}${l.causal ? "" : ", pattern only"}`).join("; ") ||
    "no label is deserved";
  const scores = Object.entries(one.random)
    .map(([name, x]) => `${name} ${x.toFixed(2)}`)
    .join(", ");
  const [rise, low, high] = (one.effect ?? []).map((x) => signed(x));
  const effect = one.effect ? `; without it the loss of a repeat rises by ${rise} (${low} to ${high})` : "";
  return h(
    "p.fine",
    {},
    h("b", {}, `head ${block}.${head}: ${said}.`),
    ` On random tokens that come twice: ${scores}${effect}. ${report.verdict} ${report.text}.`,
  );
}

/**
 * What a head mostly does on this text, with the number that says so.
 * @param {Attention} all
 * @param {number} i the head
 */
function labelOf(all, i) {
  const earned = report?.heads[`${chosenHead().block}.head.${i}`].labels[0];
  if (earned) return `${earned.name.replace("-token", "")} ${earned.score.toFixed(2)}`;
  /** @type {[name: string, score: number][]} */
  const scores = [
    ["previous", all.previous.data[i]],
    ["first", all.first.data[i]],
    ["itself", all.itself.data[i]],
  ];
  const [name, score] = scores.reduce((a, b) => (b[1] > a[1] ? b : a));
  return score > 0.4 ? `${name} ${score.toFixed(2)}` : `spread ${all.entropy.data[i].toFixed(2)}`;
}

/**
 * @param {Kind} kind
 * @param {boolean} compared whether there is a run with everything on beside this one
 */
function views(kind, compared) {
  /** @type {[value: Kind, text: string, hint: string][]} */
  const options = [
    ["pattern", "weights", "how much each row reads from each earlier token; a row sums to 1"],
    ["written", "written", "weight times the length of what is written: a large weight on a small value does little"],
    ["mean", "mean", "weights, averaged over all heads of the block"],
  ];
  if (compared) options.push(["change", "change", "weights with the switches minus those with everything on"]);
  return h(
    "div.bar",
    {},
    choice("matrix", options, kind, (shown) => set({ heat: shown })),
  );
}

/**
 * Where the weight of the selected row on a source stands.
 * @param {number} block
 * @param {number} head
 */
const weightAt = (block, head) => (/** @type {number} */ j) =>
  placeText({ address: `${block}.attn.pattern`, head, row: -1, index: j });

/**
 * The numbers [T, T] of a matrix.
 * @param {Kind} kind
 * @param {Attention} all
 * @param {Head} one
 */
function cellsOf(kind, all, one) {
  if (kind === "mean") return all.mean.data;
  if (kind === "written") return one.written.data;
  const before = one.pattern_before?.data;
  return kind === "change" && before ? one.pattern.data.map((x, k) => x - before[k]) : one.pattern.data;
}

/**
 * @param {Kind} kind
 * @param {Float32Array} data
 * @param {number} block
 * @param {number} head
 */
function matrix(kind, data, block, head) {
  const { tokens } = pictureNow();
  const T = tokens.length;
  const high = kind === "pattern" || kind === "mean" ? 1 : Math.max(largestOf(data), 1e-9);
  const scale = kind === "change" ? diverge : sequence;
  const colour = (/** @type {number} */ x) => scale(x / high);
  const unit = UNITS[kind];
  const at = weightAt(block, head);
  const picture = heat({
    rows: T,
    columns: T,
    width: SIDE,
    height: SIDE,
    value: (i, j) => (j > i ? null : data[i * T + j]),
    colour,
    said: (i, j) => `${tokens[i]} (${i}) reads from ${tokens[j]} (${j}): ${number(data[i * T + j])}`,
    picked: (i, j) => set(kind === "pattern" ? { row: i, view: "maths", calc: at(j) } : { row: i }),
    chosen: [rowNow(), null],
    rowNames: tokens,
    columnNames: tokens,
    name: kind === "mean" ? `${unit} of block ${block}` : `${unit}, head ${block}.${head}`,
  });
  return [
    named(picture, { width: SIDE, height: SIDE, rowNames: tokens, columnNames: tokens, chosen: rowNow() }),
    scaleKey(colour, kind === "change" ? -high : 0, high, unit),
  ];
}

/**
 * What the selected row reads through this head, the most first.
 * @param {Head} one
 */
function sources(one) {
  const { block, head } = chosenHead();
  const at = weightAt(block, head);
  const T = one.pattern.shape[0];
  const row = rowNow();
  const written = one.written.data.subarray(row * T, row * T + row + 1);
  const total = written.reduce((a, b) => a + b, 0) || 1;
  const ranked = Array.from(one.pattern.data.subarray(row * T, row * T + row + 1), (weight, j) => ({
    j,
    weight,
    share: written[j] / total,
  }));
  const shown = ranked.sort((a, b) => b.weight - a.weight).slice(0, 9);
  return h(
    "table.list",
    {},
    headRow(["reads from", "", "weight", "written"]),
    h(
      "tbody",
      {},
      ...shown.map(({ j, weight, share }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, h("small", {}, `${j} `), short(pictureNow().tokens[j], 12)),
          h("td.bars", {}, h("i.bar", { style: { width: `${100 * weight}%` } })),
          h("td", {}, numberOf(at(j), probability(weight))),
          h("td", {}, probability(share)),
        ),
      ),
    ),
  );
}
