// A list of signed numbers as horizontal bars from a common zero.
// In: [{label, value, hint, key, pick, low, high}]. Out: a table, which a screen reader reads as one.

import { h } from "./dom.js";
import { signed } from "./format.js";

export function barList(title, rows, { most, format = signed, note = null } = {}) {
  const largest =
    most ??
    Math.max(
      ...rows.map((row) => Math.max(Math.abs(row.value), Math.abs(row.low ?? 0), Math.abs(row.high ?? 0))),
      1e-9,
    );
  const negative = rows.some((row) => Math.min(row.value, row.low ?? 0) < 0);
  const zero = negative ? 50 : 0;
  const reach = negative ? 50 : 100;
  const share = (x) => Math.min(1, Math.abs(x) / largest) * reach;
  const body = rows.map((row) => {
    const bar = h(row.value < 0 ? "i.minus" : "i.plus", {
      style: { left: `${row.value < 0 ? zero - share(row.value) : zero}%`, width: `${share(row.value)}%` },
    });
    const interval =
      row.low === undefined
        ? null
        : h("i.interval", {
            style: {
              left: `${zero + (row.low < 0 ? -share(row.low) : share(row.low))}%`,
              width: `${share(row.high) * Math.sign(row.high) - share(row.low) * Math.sign(row.low)}%`,
            },
          });
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
      row.extra ?? null,
    );
  });
  return h("section.barlist", {}, h("h3", {}, title), h("table.list", {}, h("tbody", {}, ...body)), note);
}
