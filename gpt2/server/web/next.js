// The next token at the selected row: bars with probability, the change a switch made, and the share it is drawn with.

import { fill, find, h, headRow, numberOf } from "./dom.js";
import { points, probability, short } from "./format.js";
import { nextOf } from "./picture.js";
import { pictureNow, rowNow, switched } from "./run.js";
import { drawControls, drawShare } from "./sampling.js";
import { set, state } from "./state.js";
import { largestOf } from "./wire.js";

/** @import { Next } from "./picture.js" */

const SHOWN = 10;

export function drawNext() {
  const row = rowNow();
  const tokens = nextOf(row)
    .sort((a, b) => Math.max(b.p, b.before) - Math.max(a.p, a.before))
    .slice(0, SHOWN);
  const most = largestOf(tokens.map((n) => Math.max(n.p, n.before)));
  const head = headRow(["next token", "", "p", switched() ? "points" : "", "drawn"]);
  const [, , , change, drawn] = /** @type {HTMLElement[]} */ ([...head.rows[0].cells]);
  change.title = "the change of p, in percentage points";
  drawn.title = "the probability it is drawn with, after temperature, top-k and top-p";
  const body = tokens.map((n) => {
    const known = state.target === n.word;
    return h(
      "tr",
      { "data-token": n.id },
      h(
        "th",
        { scope: "row" },
        h(
          "button.token",
          {
            type: "button",
            "data-key": `next:${n.id}`,
            "aria-pressed": String(known),
            title: `why ${n.word}? (attribution)`,
            onclick: () => set({ target: n.word, view: "attribution" }),
          },
          short(n.word, 10),
        ),
      ),
      h("td.bars", {}, ...bars(n, most)),
      h("td.p", {}, numberOf(`probability~~~${n.id}`, probability(n.p))),
      h("td.change", { "data-sign": sign(n.p - n.before) }, switched() ? points(n.p - n.before) : ""),
      h("td.drawn", {}, drawShare(row, n)),
    );
  });
  fill(
    find("next"),
    h("h2", {}, "after ", h("span.token", {}, short(pictureNow().tokens[row], 14)), h("small", {}, ` row ${row}`)),
    h(switched() ? "table.bars.beside" : "table.bars", {}, head, h("tbody", {}, ...body)),
    drawControls(row),
  );
}

/** @param {number} x */
function sign(x) {
  if (Math.abs(x) < 0.0005) return "0";
  return x < 0 ? "-" : "+";
}

/**
 * The bar of this run; with a switch, the original's as an outline and the difference in colour.
 * @param {Next} n
 * @param {number} most
 */
function bars(n, most) {
  const percent = (/** @type {number} */ p) => `${(100 * p) / most}%`;
  if (!switched()) return [h("i.bar", { style: { width: percent(n.p) } })];
  return [
    h("i.bar", { style: { width: percent(Math.min(n.p, n.before)) } }),
    h(n.p < n.before ? "i.lost" : "i.gained", {
      style: { left: percent(Math.min(n.p, n.before)), width: percent(Math.abs(n.p - n.before)) },
    }),
  ];
}
