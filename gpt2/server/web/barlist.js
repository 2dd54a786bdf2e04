// A list of signed numbers as horizontal bars from a common zero.
// Out: a table, which a screen reader reads as one.

import { h, headRow } from "./dom.js";
import { signed } from "./format.js";
import { largestOf } from "./wire.js";

/** @import { Children } from "./dom.js" */

/**
 * A row; with `pick` its label is a button, `low` and `high` are an interval, `said` is told over the number. What
 * `more` holds stands in cells behind it.
 * @typedef {{
 *   label: string, value: number, hint?: string, key?: string, card?: string, chosen?: boolean,
 *   pick?: () => void, low?: number, high?: number, said?: string, more?: Children[],
 * }} Bar
 */

/**
 * `head` names the columns: label, bar, number, and what is more.
 * @param {string} title
 * @param {Bar[]} rows
 * @param {{ most?: number, format?: (x: number) => string, note?: HTMLElement | null, head?: string[] }} [options]
 */
export function barList(title, rows, { most, format = signed, note = null, head } = {}) {
  const largest = most ?? Math.max(largestOf(rows.flatMap((row) => [row.value, row.low ?? 0, row.high ?? 0])), 1e-9);
  const negative = rows.some((row) => Math.min(row.value, row.low ?? 0) < 0);
  const zero = negative ? 50 : 0;
  const reach = negative ? 50 : 100;
  const share = (/** @type {number} */ x) => Math.min(1, Math.abs(x) / largest) * reach;
  const body = rows.map((row) => {
    const bar = h(row.value < 0 ? "i.minus" : "i.plus", {
      style: { left: `${row.value < 0 ? zero - share(row.value) : zero}%`, width: `${share(row.value)}%` },
    });
    const { low, high } = row;
    let interval = null;
    if (low !== undefined && high !== undefined) {
      const [left, right] = [low, high].map((x) => share(x) * Math.sign(x));
      interval = h("i.interval", { style: { left: `${zero + left}%`, width: `${right - left}%` } });
    }
    const label = row.pick
      ? h(
          "button.plain",
          { type: "button", onclick: row.pick, "data-key": row.key, "data-card": row.card, title: row.hint },
          row.label,
        )
      : h("span", { title: row.hint, "data-card": row.card }, row.label);
    return h(
      row.chosen ? "tr.chosen" : "tr",
      {},
      h("th", { scope: "row" }, label),
      h("td.bars", {}, h("i.zero", { style: { left: `${zero}%` } }), bar, interval),
      h("td", { title: row.said }, format(row.value)),
      ...(row.more ?? []).map((cell) => h("td.more", {}, cell)),
    );
  });
  const table = h("table.list", {}, head ? headRow(head) : null, h("tbody", {}, ...body));
  return h("section.barlist", {}, h("h3", {}, title), table, note);
}
