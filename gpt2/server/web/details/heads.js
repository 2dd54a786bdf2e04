// Detail of attention: the patterns of all heads of all blocks on one screen; a click enlarges one.

import { h } from "../dom.js";
import { sequence } from "../colour.js";
import { share, short } from "../format.js";
import { glyph } from "../glyphs.js";
import { heat } from "../heat.js";
import { scaleKey } from "../legend.js";
import { modelNow, pictureNow, rowNow, scene } from "../run.js";
import { askPlainly } from "../source.js";
import { set } from "../state.js";
import { effective } from "../stations.js";
import { largestOf, row as rowOf } from "../wire.js";

/** @import { Attention } from "../answers.d.ts" */

const SIDE = 44; // pixels of one pattern

/**
 * A row of patterns for each block.
 * @param {HTMLElement} bar what stands above
 */
export async function allHeads(bar) {
  const { n_layer, n_head } = modelNow();
  const blocks = Array.from({ length: n_layer }, (_, l) => l);
  const found = await Promise.all(blocks.map((block) => askPlainly("attention", { ...scene(), block })));
  const columns = Array.from({ length: n_head }, (_, i) => h("th", { scope: "col" }, `head ${i}`));
  return [
    h(
      "div.wide",
      {},
      bar,
      h(
        "table.heads-grid",
        {},
        h("thead", {}, h("tr", {}, h("td"), ...columns)),
        h(
          "tbody",
          {},
          ...blocks.map((l) => h("tr", {}, h("th", { scope: "row" }, `block ${l}`), ...cells(l, found[l]))),
        ),
      ),
      scaleKey(sequence, 0, 1, "attention weight: row i reads column j"),
    ),
  ];
}

/**
 * What a head reads most from the selected row, where each token has its own cell.
 * @param {Attention} found
 * @param {number} i the head
 */
export function readsNow(found, i) {
  const { tokens } = pictureNow();
  const T = found.thumbs.shape[1];
  if (T !== tokens.length) return "";
  const weights = rowOf(found.thumbs, i, rowNow());
  const most = weights.indexOf(largestOf(weights));
  return `${short(tokens[most], 8)} ${share(weights[most])}`;
}

/**
 * @param {number} l
 * @param {Attention} found
 */
function cells(l, found) {
  const n = found.thumbs.shape[1];
  return Array.from({ length: modelNow().n_head }, (_, i) => {
    const address = `${l}.head.${i}`;
    const values = rowOf(found.thumbs, i);
    const picture = heat({
      rows: n,
      columns: n,
      width: SIDE,
      height: SIDE,
      name: `pattern of head ${l}.${i}`,
      value: (a, b) => (b > a ? null : values[a * n + b]),
      colour: sequence,
    });
    const state = effective(address);
    return h(
      "td",
      {},
      h(
        "button.thumb",
        {
          type: "button",
          "data-card": address,
          "data-key": address,
          "aria-label": `head ${l}.${i}, ${state}`,
          title: readsNow(found, i),
          onclick: () => set({ at: address, heads: "block" }),
        },
        picture,
        state === "on" ? null : glyph(address, state),
      ),
    );
  });
}
