// Detail: one number of the run, and the calculation that made it; each operand leads to its own.
// In: the place in state.calc, or else the likeliest token's probability. The numbers are those that gpt2 walk prints.

import { walkCommand } from "../copy.js";
import { h, headRow } from "../dom.js";
import { probability } from "../format.js";
import { nextOf } from "../picture.js";
import { hasHead, moved, order, parsed, split, step, written } from "../places.js";
import { modelNow, pictureNow, rowNow, scene } from "../run.js";
import { ask } from "../source.js";
import { set, state } from "../state.js";

/** @import { Calculation } from "../answers.d.ts" */
/** @import { Place, Step } from "../places.js" */

const SHOWN = 8; // terms

// As gpt2 walk prints a number.
export const exact = (/** @type {number} */ x) => {
  const size = Math.abs(x);
  const small = size > 0 && size < 0.0005;
  return (small ? x.toExponential(1) : x.toFixed(size >= 1000 ? 1 : 3)).replaceAll("-", "−");
};

/** @type {() => Place} */
export function placeNow() {
  return parsed(state.calc) ?? { address: "probability", head: null, row: -1, index: pictureNow().top.data[rowNow()] };
}

const rowOf = (/** @type {Place} */ place) => (place.row < 0 ? rowNow() : place.row);

/** @param {Place} place */
const open = (place) => set({ view: "maths", calc: written(place) });

/**
 * A number that leads to its calculation; a weight, which was learned, is only shown.
 * @param {Place | null} place
 * @param {number} x
 */
function operand(place, x) {
  if (!place) return h("span", { title: "a learned weight" }, exact(x));
  const to = { ...place, row: rowOf(place) === rowNow() ? -1 : place.row };
  return h(
    "button.number",
    { type: "button", title: `how ${nameOf(to)} came about`, "data-key": written(to), onclick: () => open(to) },
    exact(x),
  );
}

/** @param {Place} place */
function nameOf(place) {
  const { address, head, index } = place;
  const of = head === null ? address : `${address} of head ${head}`;
  return `${of}, row ${rowOf(place)}, number ${index}`;
}

export async function maths() {
  const place = placeNow();
  const { address, head, index } = place;
  const found = await ask("calculation", { ...scene(), address, row: rowOf(place), index, head });
  const one = step(place, modelNow());
  return [
    h(
      "div.maths",
      {},
      h("h3", {}, title(place, one, found)),
      h("p.formula", {}, one.formula),
      h("p.sum", {}, ...sum(place, one, found)),
      switchedHere(found),
      place.address === "probability" ? likely(place) : terms(one, found),
    ),
    h("div.side", {}, steps(place), choice(place), command(place)),
  ];
}

/**
 * @param {Place} place
 * @param {Step} one
 * @param {Calculation} found
 */
function title(place, one, found) {
  const { block, point } = split(place.address);
  const { tokens } = pictureNow();
  const row = rowOf(place);
  const where = block === null ? "" : hasHead(place.address) ? `, head ${block}.${place.head}` : `, block ${block}`;
  const reads = point === "attn.scores" || point === "attn.pattern";
  const of = found.word
    ? ` of ${found.word}`
    : reads
      ? `: ${tokens[row]} (${row}) reads ${tokens[place.index]} (${place.index})`
      : point.endsWith(".scale")
        ? ""
        : `, number ${place.index}`;
  const at = reads ? "" : `, at row ${row} ${tokens[row]}`;
  const share = found.kind === "softmax" ? ` (${probability(found.value)})` : "";
  return [`${one.name}${where}${of}${at} = `, h("b", {}, exact(found.value)), share];
}

/**
 * The calculation in one line, with this run's numbers.
 * @param {Place} place
 * @param {Step} one
 * @param {Calculation} found
 */
function sum(place, one, found) {
  const { kind, numbers, left, right, computed } = found;
  const result = [" = ", h("b", {}, exact(computed))];
  const index = place.index;
  if (kind === "table") {
    const token = place.address === "embed.tok";
    const at = token ? `token ${numbers.at}, ${pictureNow().tokens[rowOf(place)]}` : `position ${numbers.at}`;
    return [`number ${index} of the row of ${at}: learned, and the same in every text`, ...result];
  }
  if (kind === "sum") {
    const parts = Array.from(left.data, (x, i) => [i ? " + " : "", operand(one.at(i), x)]);
    return [...parts.flat(), ...result];
  }
  if (kind === "norm") {
    const { x, mean, sigma, weight, bias } = numbers;
    const divided = ["(", operand(one.at(index), x), ` − ${exact(mean)}) / `, operand(one.other(index), sigma)];
    return [...divided, ` × ${exact(weight)} + ${exact(bias)}`, ...result];
  }
  if (kind === "spread") return [`√(${exact(numbers.variance)} + ${numbers.epsilon})`, ...result];
  if (kind === "masked") return ["a later position is never read: its weight is 0"];
  if (kind === "activation") return ["f(", operand(one.at(index), numbers.x), ")", ...result];
  if (kind === "softmax") {
    const { score, highest, total } = numbers;
    return ["exp(", operand(one.at(index), score), ` − ${exact(highest)}) / ${exact(total)}`, ...result];
  }
  const { bias, divisor } = numbers;
  const whole = Array.from(left.data).reduce((all, x, i) => all + x * right.data[i], found.rest);
  const plus = bias ? ` + ${exact(bias)}` : "";
  return divisor === 1
    ? [`${exact(whole)}${plus}`, ...result]
    : [`${exact(whole)}${plus} / ${exact(divisor)}`, ...result];
}

/** @param {Calculation} found */
function switchedHere({ value, computed }) {
  if (Math.abs(value - computed) <= 1e-3 * Math.max(1, Math.abs(value))) return null;
  return h("p.notice", {}, `Switched: the pass went on with ${exact(value)} in the place of ${exact(computed)}.`);
}

/**
 * The terms of a long sum, the largest first.
 * @param {Step} one
 * @param {Calculation} found
 */
function terms(one, found) {
  const { kind, at, left, right, of, rest, numbers } = found;
  if (!left.data.length || (kind !== "product" && kind !== "softmax" && kind !== "spread")) return null;
  const mean = numbers.mean ?? 0;
  const all = Array.from(at.data, (i, n) => {
    const x = left.data[n];
    const y = right.data[n] ?? 0;
    return { i, x, y, term: kind === "product" ? x * y : kind === "softmax" ? y : (x - mean) ** 2 };
  }).sort((a, b) => Math.abs(b.term) - Math.abs(a.term));
  const shown = all.slice(0, SHOWN);
  const others = all.slice(SHOWN).reduce((total, { term }) => total + term, rest);
  const heads = {
    product: [one.left, "×", one.right, "=", "product"],
    softmax: [one.left, "", "", "", one.right],
    spread: [one.left, "", "", "", "(x − mean)²"],
  }[kind];
  const row = (/** @type {typeof all[0]} */ { i, x, y, term }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, label(one, i)),
      h("td", {}, operand(one.at(i), x)),
      h("td", {}, kind === "product" ? "×" : ""),
      h("td", {}, kind === "product" ? operand(one.other(i), y) : ""),
      h("td", {}, kind === "product" ? "=" : ""),
      h("td", {}, kind === "softmax" ? operand(one.other(i), term) : exact(term)),
    );
  const last = (/** @type {string} */ name, /** @type {number} */ x) =>
    h("tr.total", {}, h("th", { scope: "row", colspan: 5 }, name), h("td", {}, exact(x)));
  const more = of - shown.length;
  return h(
    "table.list",
    {},
    headRow(["", ...heads]),
    h("tbody", {}, ...shown.map(row)),
    h(
      "tfoot",
      {},
      more && kind !== "spread" ? last(`${more} other${more > 1 ? "s" : ""}`, others) : null,
      kind === "product" && numbers.bias ? last("bias", numbers.bias) : null,
      kind === "spread" ? last(`mean over all ${of}`, numbers.variance) : null,
    ),
  );
}

/**
 * The likeliest tokens beside the one that is shown, which the sum of a probability is over.
 * @param {Place} place
 */
function likely(place) {
  const at = (/** @type {string} */ address, /** @type {number} */ id) => ({ ...place, address, index: id });
  const rows = nextOf(rowOf(place)).slice(0, SHOWN);
  const row = (/** @type {typeof rows[0]} */ { id, word, logit, p }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, word),
      h("td", {}, operand(at("logits", id), logit)),
      h("td", {}, operand(at("probability", id), p)),
    );
  return h("table.list", {}, headRow(["", "logit", "probability"]), h("tbody", {}, ...rows.map(row)));
}

/**
 * @param {Step} one
 * @param {number} i
 */
function label(one, i) {
  if (one.each === "token") return [h("small", {}, `${i} `), pictureNow().tokens[i]];
  if (one.each !== "head") return `#${i}`;
  const { n_embd, n_head } = modelNow();
  const D = n_embd / n_head;
  return `head ${Math.floor(i / D)} #${i % D}`;
}

/** @param {Place} place */
function command(place) {
  const line = walkCommand(split(place.address).block, place.head, rowOf(place));
  return line && h("p.fine", {}, "The same numbers in a terminal: ", h("code", {}, line));
}

/** The step before and the one after, in the model's order. @param {Place} place */
function steps(place) {
  const all = order(modelNow());
  const now = all.indexOf(place.address);
  const button = (/** @type {string} */ text, /** @type {string | undefined} */ to) =>
    h("button", { type: "button", disabled: !to, "data-key": text, onclick: () => to && open(moved(place, to)) }, text);
  return h(
    "div.bar",
    {},
    button("← step before", all[now - 1]),
    h("span", {}, `${now + 1} of ${all.length}: `, h("code", {}, place.address)),
    button("step after →", all[now + 1]),
  );
}

/** Which number of the vector, and of which head. @param {Place} place */
function choice(place) {
  const { address, head, index } = place;
  const { n_head } = modelNow();
  const { point } = split(address);
  const to = (/** @type {Partial<Place>} */ changes) => open({ ...place, ...changes });
  const field = (/** @type {string} */ name, /** @type {number} */ value, /** @type {(x: number) => void} */ take) => {
    const input = h("input", { type: "number", min: 0, step: 1, value, "data-key": name });
    input.addEventListener("change", () => Number.isSafeInteger(input.valueAsNumber) && take(input.valueAsNumber));
    return h("label.field", {}, `${name} `, input);
  };
  if (point === "logits" || point === "probability") {
    const buttons = nextOf(rowNow()).map(({ id, word }) =>
      h(
        "button.token",
        {
          type: "button",
          "aria-pressed": String(id === index),
          "data-key": `id${id}`,
          onclick: () => to({ index: id }),
        },
        word,
      ),
    );
    return h("div.tokens", {}, ...buttons);
  }
  return h(
    "div.bar",
    {},
    head === null ? null : field("head", head, (x) => x < n_head && to({ head: x })),
    point.endsWith(".scale")
      ? null
      : field(point.match(/scores|pattern/) ? "reads row" : "number", index, (x) => to({ index: x })),
  );
}

// A number anywhere on the page that says where it stands leads here: data-calc holds its place.
export function watchNumbers() {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-calc]") : null;
    const place = target instanceof HTMLElement || target instanceof SVGElement ? target.dataset.calc : undefined;
    if (place) set({ view: "maths", calc: place });
  });
}
