// The tables of two prompts, or of two models, beside each other.
// In: both sides. Out: a table, in which what differs is marked.

import { parts, shortName } from "../components.js";
import { h, headRow } from "../dom.js";
import { number, points, probability, short, signed } from "../format.js";
import { LENS_ROWS } from "../run.js";
import { state } from "../state.js";
import { at, row as rowOf } from "../wire.js";
import { byComponent } from "./attribution.js";

/** @import { Child } from "../dom.js" */
/** @import { Side } from "./compare.js" */

const SHOWN = 10;

/**
 * @param {string} name of the table
 * @param {string[]} head
 * @param {HTMLElement[]} rows
 */
const table = (name, head, rows) =>
  h("table.plain.both", {}, h("caption", {}, name), headRow(head), h("tbody", {}, ...rows));

/**
 * @param {Child} name
 * @param {HTMLElement[]} cells
 */
const line = (name, cells) => h("tr", {}, h("th", { scope: "row" }, name), ...cells);

/** @param {Child} text */
const cell = (text) => h("td", {}, text);

/**
 * A difference, coloured by its sign where it is more than `least`.
 * @param {number} x
 * @param {string} text
 * @param {number} least
 */
const difference = (x, text, least) =>
  h("td.change", { "data-sign": Math.abs(x) < least ? "0" : x < 0 ? "-" : "+" }, text);

/**
 * A token, marked where the other prompt has another one.
 * @param {string | undefined} word
 * @param {boolean} differs
 */
const token = (word, differs) =>
  h(differs && word !== undefined ? "td.words.differs" : "td.words", {}, word === undefined ? "–" : short(word, 14));

/**
 * The likeliest tokens of either, with the probability in both.
 * @param {Side} a
 * @param {Side} b
 */
export async function nextTable(a, b) {
  /** @type {Map<number, string>} */
  const words = new Map();
  const known = [a, b].map(({ picture, row }) => {
    const ids = Array.from(rowOf(picture.next.ids, row));
    for (const id of ids) words.set(id, picture.words[id]);
    return new Map(ids.map((id, n) => [id, at(picture.next.p, row, n)]));
  });
  const whole = (/** @type {Side} */ side, /** @type {Map<number, number>} */ of, /** @type {number} */ id) =>
    of.get(id) ?? chance(side, id);
  const most = [...words.keys()].sort((i, j) => likelier(known, j) - likelier(known, i)).slice(0, SHOWN);
  const rows = await Promise.all(
    most.map(async (id) => {
      const [p, q] = await Promise.all([whole(a, known[0], id), whole(b, known[1], id)]);
      const change = difference(q - p, points(q - p), 0.0005);
      return line(short(words.get(id) ?? "", 14), [cell(probability(p)), cell(probability(q)), change]);
    }),
  );
  return table("the likeliest next tokens of either", ["token", "A", "B", "B − A, points"], rows);
}

/**
 * @param {Map<number, number>[]} known
 * @param {number} id
 */
const likelier = ([p, q], id) => Math.max(p.get(id) ?? 0, q.get(id) ?? 0);

/**
 * The probability of a token that is not among the likeliest of its row.
 * @param {Side} side
 * @param {number} index
 */
async function chance({ ask, scene, row }, index) {
  return (await ask("calculation", { ...scene, address: "probability", row, index, head: null })).value;
}

/**
 * What each would predict if it stopped at a point.
 * @param {Side} a
 * @param {Side} b
 */
export async function lensTable(a, b) {
  const [one, other] = await Promise.all(
    [a, b].map(async ({ ask, scene, row }) => {
      const first = Math.floor(row / LENS_ROWS) * LENS_ROWS;
      const data = await ask("lens", { ...scene, first, stop: first + LENS_ROWS });
      const r = row - first;
      return data.points.map((point, p) => ({
        point,
        top: at(data.top, p, r),
        p: at(data.p, p, r),
        words: data.words,
      }));
    }),
  );
  const rows = one.map((mine, i) => {
    const theirs = other[i];
    const differs = mine.top !== theirs.top;
    return line(mine.point, [
      token(mine.words[mine.top], differs),
      cell(probability(mine.p)),
      token(theirs.words[theirs.top], differs),
      cell(probability(theirs.p)),
    ]);
  });
  return table("what each point would predict; the text passes from bottom to top", HEAD, rows.reverse());
}

const HEAD = ["point", "A", "", "B", ""];

/**
 * What each component adds to one and the same lead.
 * @param {Side} a
 * @param {Side} b
 */
export async function attributionTable(a, b) {
  const asked = { target: state.target, foil: state.foil, of: "" };
  const one = await a.ask("attribution", { ...a.scene, row: a.row, ...asked });
  const same = { target: one.target, foil: one.foil ?? "mean", of: "" };
  const other = await b.ask("attribution", { ...b.scene, row: b.row, ...same });
  const theirs = new Map(byComponent(other.parts).map(({ name, value }) => [name, value]));
  const rows = byComponent(one.parts).map(({ name, value }) => {
    const x = theirs.get(name) ?? 0;
    const place = /^\d+\.(mlp|attn)$/.test(name);
    return line(place ? shortName(name) : name, [
      cell(signed(value)),
      cell(signed(x)),
      difference(x - value, signed(x - value), 0.05),
    ]);
  });
  const sum = other.whole - one.whole;
  rows.push(line("sum", [cell(signed(one.whole)), cell(signed(other.whole)), difference(sum, signed(sum), 0.05)]));
  const lead = one.foil === null ? "the mean logit" : one.foil;
  return table(`adds to the lead of ${one.target} over ${lead}`, ["component", "A", "B", "B − A"], rows);
}

/**
 * What the row reads through the selected head, position by position.
 * @param {Side} a
 * @param {Side} b
 */
export async function attentionTable(a, b) {
  const { block, head } = parts(state.at);
  const asked = { block: block ?? 0, head: head ?? 0 };
  const [mine, theirs] = await Promise.all(
    [a, b].map(async ({ ask, scene, row }) => {
      const { pattern } = await ask("head", { ...scene, ...asked });
      const T = pattern.shape[1];
      return pattern.data.subarray(row * T, row * T + row + 1);
    }),
  );
  const rows = Array.from({ length: Math.max(mine.length, theirs.length) }, (_, j) => {
    const [word, other] = [a.picture.tokens[j], b.picture.tokens[j]];
    const both = j < mine.length && j < theirs.length;
    const x = theirs[j] - mine[j];
    return line(String(j), [
      ...weight(word, mine[j], word !== other),
      ...weight(other, theirs[j], word !== other),
      both ? difference(x, points(x), 0.005) : cell("–"),
    ]);
  });
  return table("attention weights", ["position", "A", "", "B", "", "B − A, points"], rows);
}

/**
 * @param {string | undefined} word
 * @param {number | undefined} x
 * @param {boolean} differs
 */
const weight = (word, x, differs) =>
  x === undefined ? [cell("–"), cell("–")] : [token(word, differs), cell(probability(x))];

/**
 * How surprising each token is after those before it, in nats.
 * @param {Side} a
 * @param {Side} b
 */
export async function lossTable(a, b) {
  const [mine, theirs] = [a, b].map(({ picture }) => picture.losses.data);
  const rows = Array.from({ length: Math.max(mine.length, theirs.length) }, (_, i) => {
    const [word, other] = [a, b].map(({ picture }) => picture.tokens[i + 1]);
    const both = i < mine.length && i < theirs.length;
    const x = theirs[i] - mine[i];
    return line(String(i + 1), [
      token(word, word !== other),
      cell(number(mine[i])),
      token(other, word !== other),
      cell(number(theirs[i])),
      both ? difference(x, signed(x), 0.05) : cell("–"),
    ]);
  });
  return table("loss of each token, nats", ["position", "A", "", "B", "", "B − A"], rows);
}
