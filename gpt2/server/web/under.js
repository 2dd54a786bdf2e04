// Below the rows, for the selected one: what the lens says along it, and how much of its attention rests on the first
// token, for which no arc is drawn. Out: two lines, and the second of them in words for a table.

import { ofHead, onFirst, strongest } from "./arcs.js";
import { fill, find, h } from "./dom.js";
import { probability, share, short } from "./format.js";
import { changes } from "./geometry.js";
import { lensOf, modelNow, pictureNow, run, scene } from "./run.js";
import { state } from "./state.js";
import { effective } from "./stations.js";
import { at } from "./wire.js";

/** @import { Sources } from "./arcs.js" */
/** @import { Geometry } from "./geometry.js" */

const CHARACTER = 7.3; // pixels of the tokens below the rows
const LINE = 15; // and the height of their lanes

/**
 * What the arcs show, as the reader has chosen.
 * @returns {Sources}
 */
export function sourcesNow() {
  if (state.arcs === "head" && run.heads) return ofHead(run.heads.pattern, run.heads.block);
  return strongest(pictureNow().arcs[state.arcs === "mean" ? "mean" : "written"]);
}

/**
 * The share that rests on the first token in each block whose attention brings something; null where it is not known.
 * @param {number} row
 * @returns {{ block: number, weight: number | null }[]}
 */
function resting(row) {
  const sources = sourcesNow();
  const brings = (/** @type {number} */ l) =>
    !["off", "mean"].includes(effective(`${l}.attn`, scene().switches)) && sources(l, row).length > 0;
  const blocks = Array.from({ length: modelNow().n_layer }, (_, l) => l).filter(brings);
  return blocks.map((block) => ({ block, weight: onFirst(sources, block, row) }));
}

/** @param {number} row */
export function restsInWords(row) {
  return resting(row)
    .map(({ weight }) => (weight === null ? "–" : share(weight)))
    .join(", ");
}

/**
 * Below the rows, for the selected one: what the lens says where it changes, and what rests on the first token.
 * @param {Geometry} geometry
 * @param {number} selected
 */
export function drawUnder(geometry, selected) {
  fill(
    find("under"),
    h("span.title", {}, "if it stopped here"),
    ...guesses(geometry, selected),
    h(
      "span.title.rests",
      { title: "what attention reads from the first token, for which no arc is drawn" },
      "rests on ",
      h("span.token", {}, short(pictureNow().tokens[0], 6)),
    ),
    ...rests(geometry, selected),
  );
}

/**
 * @param {Geometry} geometry
 * @param {number} selected
 */
function guesses(geometry, selected) {
  const lens = lensOf(selected);
  if (!lens) return [];
  const { data, index } = lens;
  const starts = geometry.places.slice(0, -1).map((x, p) => (p === 0 ? x : x - 4));
  const tops = starts.map((_, p) => at(data.top, p, index));
  const guessed = tops.map((top) => data.words[top] ?? "");
  return changes(guessed, starts, CHARACTER).map(({ p, x, lane, text }) =>
    h(
      data.top_before && at(data.top_before, p, index) !== tops[p] ? "span.lens.changed" : "span.lens",
      {
        style: { left: `${x}px`, top: `${2 + lane * LINE}px` },
        "data-card": pictureNow().points[p],
        title: `${guessed[p]} ${probability(at(data.p, p, index))}`,
      },
      text,
    ),
  );
}

/**
 * @param {Geometry} geometry
 * @param {number} selected
 */
function rests(geometry, selected) {
  const { tokens } = pictureNow();
  return resting(selected).map(({ block, weight }) => {
    const station = geometry.stations.find(({ address }) => address === `${block}.attn`);
    if (!station) return null;
    const here = `In block ${block}, row ${selected}, ${tokens[selected]},`;
    const title =
      weight === null
        ? `${here} reads more from other rows than from ${tokens[0]}, which is not among the strongest.`
        : `${here} rests on ${tokens[0]}, ${share(weight)}. The arcs show what it reads from the other rows.`;
    return h("span.share", { style: { left: `${station.x}px` }, title }, weight === null ? "–" : share(weight));
  });
}
