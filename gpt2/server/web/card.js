// The card that appears over a component: its name, what it does, its address and shape, the number of this run.

import { onFirst } from "./arcs.js";
import { commandOf, copy, pythonOf } from "./copy.js";
import { parts, plainName, readable, sentence, shape } from "./components.js";
import { around, fill, find, h } from "./dom.js";
import { number, probability } from "./format.js";
import { lensOf, modelNow, pictureNow, rowNow, run } from "./run.js";
import { state, switchOf } from "./state.js";
import { statesOf } from "./switches.js";
import { sourcesNow } from "./under.js";
import { at } from "./wire.js";

/** @import { Child } from "./dom.js" */

let timer = 0;

export function watchCards() {
  document.addEventListener("pointerover", (event) => {
    clearTimeout(timer);
    if (around(event, "#card")) return;
    const place = around(event, "[data-card]");
    timer = setTimeout(() => (place ? open(place, event) : close()), place ? 350 : 180);
  });
  document.addEventListener("focusin", (event) => {
    const place = around(event, "[data-card]");
    if (place && around(event, ":focus-visible") === event.target) open(place, null);
    else if (!around(event, "#card")) close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
}

export function close() {
  clearTimeout(timer);
  find("card").hidden = true;
}

/**
 * @param {HTMLElement | SVGElement} place
 * @param {Event | null} event
 */
function open(place, event) {
  const address = place.dataset.card;
  if (!run.picture || !place.isConnected || address === undefined) {
    close();
    return;
  }
  const row = rowAt(event);
  const card = find("card");
  fill(
    card,
    h("strong", {}, plainName(address)),
    h("p", {}, sentence(address, modelNow())),
    h(
      "dl",
      {},
      ...[...arcFacts(place), ...facts(address, row)].flatMap(([name, value]) => [
        h("dt", {}, name),
        h("dd", {}, value),
      ]),
    ),
    h(
      "div.copies",
      {},
      h("button", { type: "button", onclick: () => copy(pythonOf(address, row), "Python") }, "copy as Python"),
      commandButton(address),
    ),
  );
  card.hidden = false;
  const box = place.getBoundingClientRect();
  const left = Math.min(
    Math.max(8, box.left + box.width / 2 - card.offsetWidth / 2),
    innerWidth - card.offsetWidth - 8,
  );
  const below = box.bottom + 8 + card.offsetHeight < innerHeight;
  card.style.left = `${left}px`;
  card.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - card.offsetHeight - 8)}px`;
}

/** @param {string} address */
function commandButton(address) {
  const command = commandOf(address);
  const title = command ?? "No one command has these switches together: copy as Python.";
  const onclick = () => command && copy(command, "command");
  return h("button", { type: "button", title, disabled: command === null, onclick }, "copy as command");
}

/**
 * The row that the reader points at, or the selected one.
 * @param {Event | null} event
 */
function rowAt(event) {
  const river = event && around(event, "#rows [data-row]");
  return river ? Number(river.dataset.row) : rowNow();
}

/**
 * What an arc of attention says of the row that reads and the row that is read.
 * @param {HTMLElement | SVGElement} place
 * @returns {[name: string, value: Child][]}
 */
function arcFacts(place) {
  const { row, from, weight } = place.dataset;
  if (from === undefined) return [];
  const { tokens } = pictureNow();
  const named = (/** @type {string} */ i) => `row ${i} ${tokens[Number(i)]}`;
  return [
    ["this arc", `${named(String(row))} reads ${named(from)}`],
    [state.arcs === "written" ? "of what is written" : "weight", probability(Number(weight))],
  ];
}

/**
 * @param {string} address
 * @param {number} row
 */
function facts(address, row) {
  const [picture, model] = [pictureNow(), modelNow()];
  const T = picture.tokens.length;
  /** @type {[name: string, value: Child][]} */
  const found = [
    ["address", h("code", {}, readable(address))],
    ["shape", `${shape(address, model, T)} for ${T} tokens`],
  ];
  const { block, kind } = parts(address);
  const here = `at row ${row}, ${picture.tokens[row]}`;
  if (block !== null && (kind === "attn" || kind === "mlp")) {
    found.push([
      `adds ${here}`,
      `a vector of length ${number(at(picture.writes, 2 * block + (kind === "mlp" ? 1 : 0), row))}`,
    ]);
  }
  const resting = kind === "attn" && block !== null ? onFirst(sourcesNow(), block, row) : null;
  if (resting !== null) found.push([`rests on ${picture.tokens[0]}`, probability(resting)]);
  if (kind.endsWith(".scale")) {
    const index = block === null ? 2 * model.n_layer : 2 * block + (kind === "ln_2.scale" ? 1 : 0);
    found.push([`sigma ${here}`, number(at(picture.scales, index, row))]);
  }
  const point = picture.points.indexOf(address);
  if (point >= 0) {
    found.push([`length ${here}`, number(at(picture.norms, point, row))]);
    const lens = lensOf(row);
    if (lens) {
      found.push([
        "would predict",
        `${lens.data.words[at(lens.data.top, point, lens.index)]} ${probability(at(lens.data.p, point, lens.index))}`,
      ]);
    }
    if (picture.moved) found.push(["moved by", `${probability(at(picture.moved, point, row))} of its length`]);
  }
  if (statesOf(address).length > 1) found.push(["switch", `${switchOf(address)} (x off, m mean)`]);
  return found;
}
