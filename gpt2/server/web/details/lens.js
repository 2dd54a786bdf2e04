// Detail: the logit lens, layer by position. Each cell is what the model would say if it stopped there.

import { ink, sequence } from "../colour.js";
import { choice, h } from "../dom.js";
import { number, probability, short } from "../format.js";
import { scaleKey } from "../legend.js";
import { LENS_ROWS, pictureNow, rowNow, scene } from "../run.js";
import { ask } from "../source.js";
import { set, state } from "../state.js";
import { at } from "../wire.js";

/** @import { Lens } from "../answers.d.ts" */
/**
 * What a measure is, the amount of colour from 0 to 1 for a value, the ends of its key, and how a value is written.
 * @typedef {(x: number) => number} Amount
 * @typedef {[unit: string, amount: Amount, low: number, high: number, format: (x: number) => string]} Measure
 */

/** @type {Record<"p" | "rank" | "entropy" | "kl", Measure>} */
const MEASURES = {
  p: ["probability", (x) => x, 0, 1, probability],
  rank: ["rank of the real next token", (x) => 1 - Math.log(Math.max(1, x)) / Math.log(1000), 1, 1000, number],
  entropy: ["entropy, nats", (x) => 1 - x / 9, 0, 9, number],
  kl: ["KL(final, lens), nats", (x) => 1 - x / 9, 0, 9, number],
};

const NAMES = /** @type {(keyof typeof MEASURES)[]} */ (Object.keys(MEASURES));

export async function lens() {
  const window = Math.floor(rowNow() / LENS_ROWS);
  const first = window * LENS_ROWS;
  const data = await ask("lens", { ...scene(), first, stop: first + LENS_ROWS });
  const measure = NAMES.find((name) => name === state.colour) ?? "p";
  const [unit, amount, low, high] = MEASURES[measure];
  const R = data.final.data.length;
  const head = h(
    "tr",
    {},
    h("td"),
    ...Array.from({ length: R }, (_, r) =>
      h(
        "th",
        { scope: "col", "aria-current": r + first === rowNow() ? "true" : null },
        short(pictureNow().tokens[first + r], 8),
      ),
    ),
  );
  const body = data.points.map((point, p) =>
    h("tr", {}, h("th", { scope: "row" }, point), ...Array.from({ length: R }, (_, r) => cell(data, measure, p, r))),
  );
  return [
    h(
      "div.bar",
      {},
      "colour ",
      choice(
        "colour",
        NAMES.map((name) => [name, name === "p" ? "probability" : name, MEASURES[name][0]]),
        measure,
        (colour) => set({ colour }),
      ),
      scaleKey((x) => sequence(Math.max(0, amount(x))), low, high, unit),
      h(
        "small",
        {},
        "the text passes through the blocks from bottom to top; the top line is the model's own prediction",
      ),
    ),
    h(
      "small",
      {},
      "Take it with care: a cell is what the final norm and the head make of an unfinished stream. The blocks above were " +
        "trained to go on from there, so a wrong guess halfway need not mean that the answer is not there yet. " +
        "resid_pre enters a block, resid_mid is the stream after its attention, resid_post after its MLP.",
    ),
    h("div.scroll", {}, h("table.grid", {}, h("thead", {}, head), h("tbody", {}, ...body.reverse()))),
  ];
}

/**
 * @param {Lens} data
 * @param {keyof typeof MEASURES} measure
 * @param {number} p the point
 * @param {number} r the row of the window
 */
function cell(data, measure, p, r) {
  const [, amount, , , format] = MEASURES[measure];
  const row = data.first + r;
  const top = at(data.top, p, r);
  const x = at(data[measure], p, r);
  const colour = sequence(Math.max(0, measure === "rank" && x === 0 ? 0 : amount(x)));
  const changed = data.top_before && at(data.top_before, p, r) !== top;
  const said =
    `${data.points[p]}, row ${row}: ${data.words[top]} ${probability(at(data.p, p, r))}; rank of the real next token ` +
    `${at(data.rank, p, r) || "unknown"}; entropy ${number(at(data.entropy, p, r))}; KL ${number(at(data.kl, p, r))}`;
  return h(
    changed ? "td.changed" : "td",
    {
      title: said,
      style: { background: colour, color: ink(colour) },
      "data-row": row,
      onclick: () => set({ row }),
    },
    short(data.words[top], 8),
    state.tables ? ` ${format(x)}` : "",
  );
}
