// The picture of the forward pass: rows of tokens, their rivers, the arcs between them, what each row predicts.
// In: run.js and state.js. Out: SVG for the rows that are in view, and a table of the same for a screen reader.

import { arcs } from "./arcs.js";
import { plainName } from "./components.js";
import { add, around, fill, find, h, headRow, s } from "./dom.js";
import { points, probability, short } from "./format.js";
import { layout, rowHeight, thickness, TOKENS } from "./geometry.js";
import { nodes, river, tintsOf } from "./rivers.js";
import { lensOf, modelNow, pictureNow, rowNow, run, scene, switched } from "./run.js";
import { set, state } from "./state.js";
import { drawStations, effective } from "./stations.js";
import { drawUnder, restsInWords, sourcesNow } from "./under.js";
import { at, largestOf, row as rowOf } from "./wire.js";

/** @import { Geometry } from "./geometry.js" */
/** @import { State } from "./state.js" */

let drawnFor = ""; // the text whose selected row was last brought into view
let seen = false; // whether the selected row was in view when the picture was last drawn in the room that it had
let room = 0; // pixels of height for the rows, as of then

export function drawPicture() {
  const { picture, model } = run;
  if (!picture || !model) return;
  const box = find("rows");
  const bar = box.offsetWidth - box.clientWidth; // of scrolling
  const geometry = layout(find("flow").clientWidth - bar, model, state.open); // the rows may be wider already
  find("flow").style.setProperty("--picture", `${geometry.least + bar}px`);
  document.body.classList.toggle("scrolls", geometry.least + bar > find("flow").clientWidth);
  drawStations(geometry);
  box.role = state.tables ? "group" : "grid";
  if (state.tables) {
    box.removeAttribute("aria-activedescendant");
    drawTable(box);
    return;
  }
  box.setAttribute("aria-rowcount", String(picture.tokens.length));
  box.setAttribute("aria-activedescendant", `row-${rowNow()}`);
  const T = picture.tokens.length;
  const height = rowHeight(box.clientHeight, T);
  const y = (/** @type {number} */ row) =>
    row * height + height / 2 + Math.max(0, Math.min(4, (box.clientHeight - T * height) / 2));
  const first = Math.max(0, Math.floor(box.scrollTop / height) - 1);
  const last = Math.min(T - 1, Math.ceil((box.scrollTop + box.clientHeight) / height));
  const rows = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const width = thickness(picture.norms.data, Math.min(18, height * 0.6));
  const selected = rowNow();
  const P = picture.points.length;
  const largest = largestOf(picture.writes.data);
  const shown = (/** @type {string} */ address) => effective(address, scene().switches);
  const drawing = s("svg", { width: geometry.width, height: Math.max(T * height, 1), "aria-hidden": "true" });
  drawing.append(
    s("rect.chosen", { x: 2, y: y(selected) - height / 2 + 1, width: geometry.width - 4, height: height - 2, rx: 6 }),
  );
  for (const row of rows) {
    const widths = Array.from({ length: P }, (_, p) => width(at(picture.norms, p, row)));
    const tints = tintsOf(lensOf(row), P, switched() ? state.show : "run");
    drawing.append(s("g.river", { "data-row": row }, ...river(geometry.places, widths, tints, y(row), picture.points)));
  }
  add(drawing, arcs(geometry, rows, selected, sourcesNow(), y, shown));
  for (const row of rows) add(drawing, nodes(geometry, picture.writes, largest, y(row), row, shown));
  for (const row of rows) add(drawing, words(geometry, row, y(row), selected));
  box.setAttribute("aria-label", describe(selected));
  fill(box, drawing, h("div.unseen", { role: "rowgroup" }, ...rows.map((row) => spoken(row, selected))));
  drawUnder(geometry, selected);
  if (drawnFor !== scene().text) {
    drawnFor = scene().text;
    show(selected, height);
    room = 0;
  }
  if (room && room !== box.clientHeight) return; // the room has just changed: resized() comes next
  room = box.clientHeight;
  seen = (selected + 1) * height > box.scrollTop && selected * height < box.scrollTop + box.clientHeight;
}

// The room for the picture has changed: a selected row that was in view stays so.
export function resized() {
  const stays = seen;
  room = 0;
  drawPicture();
  if (stays && run.picture) show(rowNow());
}

/**
 * What stands at the two ends of a row: its token, and what it predicts.
 * @param {Geometry} geometry
 * @param {number} row
 * @param {number} y
 * @param {number} selected
 */
function words(geometry, row, y, selected) {
  const picture = pictureNow();
  const top = picture.top.data[row];
  const p = nextOf(row).find((n) => n.id === top)?.p ?? 0;
  const changed = top !== picture.top_before.data[row];
  return [
    s("text.index", { x: 4, y: y + 4 }, String(row)),
    s(
      "text.token",
      { x: 36, y: y + 4.5, "data-row": row, class: row === selected ? "token now" : "token" },
      short(picture.tokens[row], 9),
    ),
    s(
      "text.predicted",
      { x: geometry.end + 8, y: y + 4.5, class: changed ? "predicted changed" : "predicted", "data-card": "logits" },
      short(picture.words[top] ?? "", 9),
    ),
    s("rect.hit", { x: 0, y: y - 13, width: TOKENS - 4, height: 26, "data-row": row }),
    s("title", {}, `${picture.tokens[row]} → ${picture.words[top] ?? ""} ${probability(p)}`),
  ];
}

/**
 * A row for a screen reader: its number, its token, what it predicts.
 * @param {number} row
 * @param {number} selected
 */
function spoken(row, selected) {
  const picture = pictureNow();
  const top = picture.top.data[row];
  const p = nextOf(row).find((n) => n.id === top)?.p;
  const cells = [String(row), picture.tokens[row], `predicts ${picture.words[top] ?? ""} ${probability(p)}`];
  if (row === selected) cells.push(`rests on the first token, block by block: ${restsInWords(row)}`);
  return h(
    "div",
    { role: "row", id: `row-${row}`, "aria-rowindex": row + 1, "aria-selected": String(row === selected) },
    ...cells.map((cell) => h("span", { role: "gridcell" }, cell)),
  );
}

/**
 * The likeliest tokens of a row, in this run or `before` it with everything on.
 * @typedef {{ id: number, word: string, p: number, before: number, logit: number }} Next
 * @param {number} row
 * @returns {Next[]}
 */
export function nextOf(row) {
  const { next, words: known } = pictureNow();
  const ids = rowOf(next.ids, row);
  return Array.from(ids, (id, n) => ({
    id,
    word: known[id],
    p: at(next.p, row, n),
    before: at(next.p_before, row, n),
    logit: at(next.logit, row, n),
  }));
}

/** @param {number} row */
function describe(row) {
  const picture = pictureNow();
  const [best] = [...nextOf(row)].sort((a, b) => b.p - a.p);
  return (
    `row ${row} of ${picture.tokens.length}, ${picture.tokens[row]}, ` +
    `predicts ${best.word} with ${probability(best.p)}; ` +
    `selected: ${plainName(state.at)}. Arrows move, x switches off, t shows tables.`
  );
}

/** @param {HTMLElement} box */
function drawTable(box) {
  const picture = pictureNow();
  const head = [
    "row",
    "token",
    "norm at the end",
    "predicts",
    "p",
    "change, points",
    "rests on the first token, block by block",
  ];
  const body = picture.tokens.map((token, row) => {
    const top = picture.top.data[row];
    const best = nextOf(row).find((n) => n.id === top);
    return h(
      "tr",
      { "data-row": row },
      h("td", {}, String(row)),
      h("th", { scope: "row" }, token),
      h("td", {}, at(picture.norms, picture.points.length - 1, row).toFixed(1)),
      h("td", {}, picture.words[top]),
      h("td", {}, probability(best?.p)),
      h("td", {}, switched() && best ? points(best.p - best.before) : ""),
      h("td", {}, restsInWords(row)),
    );
  });
  fill(box, h("table.plain", {}, headRow(head), h("tbody", {}, ...body)));
  find("under").replaceChildren();
}

/**
 * Bring a row into view.
 * @param {number} row
 * @param {number} [height] of each row
 */
export function show(row, height = rowHeight(find("rows").clientHeight, pictureNow().tokens.length)) {
  const box = find("rows");
  if (row * height < box.scrollTop) box.scrollTop = row * height;
  if ((row + 1) * height > box.scrollTop + box.clientHeight) box.scrollTop = (row + 1) * height - box.clientHeight;
}

export function rowsInView() {
  const box = find("rows");
  const T = pictureNow().tokens.length;
  const height = rowHeight(box.clientHeight, T);
  return [Math.floor(box.scrollTop / height), Math.min(T - 1, Math.ceil((box.scrollTop + box.clientHeight) / height))];
}

export function watchPicture() {
  const box = find("rows");
  box.addEventListener("click", (event) => {
    const target = around(event, "[data-row]");
    const address = around(event, "[data-card]")?.dataset.card;
    const bounds = box.getBoundingClientRect();
    if (!run.picture) return;
    const T = run.picture.tokens.length;
    const row = target
      ? Number(target.dataset.row)
      : Math.floor((event.clientY - bounds.top + box.scrollTop) / rowHeight(box.clientHeight, T));
    /** @type {Partial<State>} */
    const changes = row >= 0 && row < T ? { row } : {};
    if (address && address in modelNow().switches) changes.at = address; // a place along a stream has no switch
    set(changes);
  });
}
