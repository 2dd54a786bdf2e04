// What a story measures in a run, and whether its claims hold there.
// In: a run's picture, and a way to ask for its patterns. Out: values by the name of a measure.
//
//   p WORD, before WORD    the probability of a token after the last row, in this run and with everything on
//   top, ptop              the likeliest token there, and its probability
//   loss, lossbefore       the mean loss on the text, nats per token
//   weight HEAD WORD       what a head of the last row puts on the tokens WORD, all of them together
//   previous HEAD          what it puts on the token before, on average over the rows
//   sinks                  how many heads of the model put more than half on the first token, on average over the rows
//   heads                  how many the model has

import { number, probability } from "../format.js";
import { at } from "../wire.js";

/** @import { Answers, Picture } from "../answers.d.ts" */
/** @import { Claim, Step } from "./stories.js" */
/** @typedef {number | string | undefined} Value */
/** @typedef {(name: "attention" | "head", parameters: object) => Promise<any>} Asking */
/** @typedef {{ picture: Picture, blocks: number, heads: number, ask: Asking }} Measured */

const SLOT = /\{([^}]+)\}/;

/** @param {string} address of a head */
function head(address) {
  const [block, , one] = address.split(".");
  return { block: Number(block), head: Number(one) };
}

/**
 * @param {string} measure
 * @param {Measured} run
 * @returns {Promise<Value>}
 */
async function valueOf(measure, { picture, blocks, heads, ask }) {
  const [kind, ...words] = measure.split(" ");
  const last = picture.tokens.length - 1;
  /** @type {(name: "p" | "p_before", word: string) => number | undefined} */
  const likely = (name, word) => {
    const N = picture.next.ids.shape[1];
    const n = Array.from({ length: N }, (_, i) => i).find((i) => picture.words[at(picture.next.ids, last, i)] === word);
    return n === undefined ? undefined : at(picture.next[name], last, n);
  };
  const top = picture.words[picture.top.data[last]];
  if (kind === "p") return likely("p", words[0]);
  if (kind === "before") return likely("p_before", words[0]);
  if (kind === "top") return top;
  if (kind === "ptop") return likely("p", top);
  if (kind === "heads") return blocks * heads;
  if (kind === "loss") return mean(picture.losses.data);
  if (kind === "lossbefore") return mean(picture.losses_before.data);
  if (kind === "previous") {
    const where = head(words[0]);
    return (await ask("attention", { block: where.block })).previous.data[where.head];
  }
  if (kind === "weight") {
    /** @type {Answers["head"]} */
    const { pattern } = await ask("head", head(words[0]));
    return picture.tokens.reduce((sum, token, j) => (token === words[1] ? sum + at(pattern, last, j) : sum), 0);
  }
  if (kind !== "sinks") throw new Error(`There is no measure ${measure}.`);
  /** @type {Answers["attention"][]} */
  const all = await Promise.all(Array.from({ length: blocks }, (_, block) => ask("attention", { block })));
  return all.reduce((sum, { first }) => sum + first.data.filter((x) => x > 0.5).length, 0);
}

/** @param {Float32Array} x */
const mean = (x) => x.reduce((a, b) => a + b, 0) / x.length;

/**
 * The measures that a step names, in its sentence or in its claims.
 * @param {Step} step
 */
export function measuresOf({ said, claims }) {
  const slots = said.split(SLOT).filter((_, i) => i % 2 === 1);
  const compared = claims.flatMap(([left, is, right]) => (isMeasure(is, right) ? [left, right] : [left]));
  return [...new Set([...slots, ...compared])];
}

/**
 * Whether the right side of a claim is a measure: a word stands behind "=" only.
 * @param {Claim[1]} is
 * @param {Claim[2]} right
 * @returns {right is string}
 */
const isMeasure = (is, right) => typeof right === "string" && is !== "=";

/**
 * @param {Step} step
 * @param {Measured} run
 * @returns {Promise<Map<string, Value>>}
 */
export async function measured(step, run) {
  const names = measuresOf(step);
  const values = await Promise.all(names.map((name) => valueOf(name, run)));
  return new Map(names.map((name, i) => [name, values[i]]));
}

/**
 * Whether a claim holds. What could not be measured supports none.
 * @param {Claim} claim
 * @param {Map<string, Value>} values
 */
export function holds([left, is, right], values) {
  const a = values.get(left);
  const b = isMeasure(is, right) ? values.get(right) : right;
  if (a === undefined || b === undefined) return false;
  if (is === "=") return a === b;
  return is === "<" ? a < b : a > b;
}

/**
 * A value as it is written.
 * @param {string} measure
 * @param {Value} value
 */
export function written(measure, value) {
  if (typeof value === "string") return value;
  if (measure === "sinks" || measure === "heads") return String(value);
  return measure.startsWith("loss") ? number(value) : probability(value);
}

/**
 * A step's sentence in pieces, every second of which is a number of this run.
 * @param {Step} step
 * @param {Map<string, Value>} values
 */
export function sentence({ said }, values) {
  return said.split(SLOT).map((piece, i) => (i % 2 ? written(piece, values.get(piece)) : piece));
}
