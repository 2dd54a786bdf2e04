// From the logits of the next token to the token: the rules and the draw of gpt2/inference/sampling.py, in its order.
// In: logits [V] in single precision, the ids of the text so far, settings. Out: scores, probabilities, one id.
//
// The rules are repetition penalty, temperature, top-k, top-p, min-p. Their arithmetic is rounded to single precision
// after each step, as PyTorch's is; only exp and the sum in top-p, and the shares, may differ from it in the last
// bits. The noise is that of gpt2/inference/noise.py, in double precision: a function of seed, sample, position, token.

import { noiseOf } from "./noise.js";

/**
 * How a token is drawn, as in `gpt2.Sampling`; what is left out changes nothing.
 * @typedef {{
 *   temperature?: number, top_k?: number | null, top_p?: number, min_p?: number, repetition_penalty?: number,
 *   seed?: number | bigint, sample?: number,
 * }} Settings
 */

const { fround } = Math;

/** @type {Record<keyof Settings, [holds: (x: any) => boolean, meant: string]>} */
const SETTINGS = {
  temperature: [(x) => x >= 0 && x < Infinity, "0 (greedy) or more, 1 for the model's own distribution"],
  top_k: [(x) => Number.isInteger(x) && x >= 0, "a whole number, where 0 keeps every token"],
  top_p: [(x) => x > 0 && x <= 1, "above 0 and at most 1, where 1 keeps every token"],
  min_p: [(x) => x >= 0 && x <= 1, "from 0, which keeps every token, to 1"],
  repetition_penalty: [(x) => x > 0 && x < Infinity, "above 0, where 1 is no penalty"],
  seed: [isSeed, "a whole number from 0 to 2^64 - 1, above 2^53 as a BigInt"],
  sample: [(x) => Number.isSafeInteger(x) && x >= 0, "a whole number of at least 0"],
};

/** @param {any} x */
function isSeed(x) {
  return typeof x === "bigint" ? x >= 0n && x < 2n ** 64n : Number.isSafeInteger(x) && x >= 0;
}

/**
 * The settings with what was left out. RangeError for a wrong value, and for a setting that is not built here.
 * @param {Settings} given
 */
export function checked(given) {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(SETTINGS, name)) {
      throw new RangeError(`There is no setting ${name} here: use ${Object.keys(SETTINGS).join(", ")}.`);
    }
    const [holds, meant] = SETTINGS[/** @type {keyof Settings} */ (name)];
    const ofType = typeof value === "number" || (name === "seed" && typeof value === "bigint");
    if (name === "top_k" && value === null) continue;
    if (!ofType || !holds(value)) throw new RangeError(`${name} is ${value}: it must be ${meant}.`);
  }
  const { temperature = 1, top_k = 0, top_p = 1, min_p = 0, repetition_penalty = 1, seed = 0, sample = 0 } = given;
  return { temperature, top_k: top_k ?? 0, top_p, min_p, repetition_penalty, seed: BigInt(seed), sample };
}

/**
 * Logits in which these tokens cannot win: rows of the model for which the tokenizer has no token.
 * @param {Float32Array} logits
 * @param {number[]} ids
 */
export function without(logits, ids) {
  const left = logits.slice();
  for (const id of ids) left[id] = -Infinity;
  return left;
}

/**
 * The scores after every rule, -Infinity for tokens that one has cut. Their softmax is drawn from; at temperature 0 the
 * largest wins.
 * @param {Float32Array} logits never changed
 * @param {ArrayLike<number>} text ids so far, the prompt's included
 * @param {Settings} [settings]
 */
export function ruled(logits, text, settings = {}) {
  const { temperature, top_k, top_p, min_p, repetition_penalty } = checked(settings);
  const scores = logits.slice();
  if (repetition_penalty !== 1) penaliseRepeats(scores, text, fround(repetition_penalty));
  if (temperature === 0) return scores;
  // With the maximum at 0 no temperature overflows, and tiny ones are greedy; 1e-300 is 0 in single precision.
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const divisor = fround(Math.max(temperature, 1e-30));
  scores.forEach((score, id) => (scores[id] = fround(score - most) / divisor));
  if (top_k > 0 && top_k < scores.length) keepFrom(scores, scores.slice().sort().at(-top_k) ?? 0);
  if (top_p < 1) keepFrom(scores, lastOfTopP(scores, top_p));
  if (min_p > 0) keepFrom(scores, fround(Math.log(min_p))); // of a maximum of 0
  return scores;
}

/**
 * The tokens of the text are made less likely, however often they occur (Keskar et al. 2019, section 4.1).
 * @param {Float32Array} scores
 * @param {ArrayLike<number>} text
 * @param {number} penalty
 */
function penaliseRepeats(scores, text, penalty) {
  for (const id of new Set(Array.from(text))) {
    scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty;
  }
}

/**
 * @param {Float32Array} scores
 * @param {number} least
 */
function keepFrom(scores, least) {
  scores.forEach((score, id) => {
    if (score < least) scores[id] = -Infinity;
  });
}

/**
 * The least score of the fewest likeliest tokens that together have probability p (Holtzman et al. 2020, section 3.1).
 * All tokens less probable than (1 - p) / V have together less than 1 - p, so none of them is sorted.
 * @param {Float32Array} scores the largest is 0
 * @param {number} p
 */
function lastOfTopP(scores, p) {
  const total = fround(Math.log(fround(sumOfExp(scores))));
  const floor = fround(fround(total + fround(Math.log((1 - p) / scores.length))) - 1);
  const ordered = scores
    .filter((score) => score >= floor)
    .sort()
    .reverse();
  const wanted = fround(p);
  let mass = 0; // PyTorch adds in double precision, and rounds each sum
  for (const score of ordered) {
    mass += fround(Math.exp(fround(score - total)));
    if (fround(mass) >= wanted) return score;
  }
  return ordered[ordered.length - 1]; // rounding may keep the sum of all below p
}

/** @param {Float32Array} scores */
const sumOfExp = (scores) => scores.reduce((sum, score) => sum + Math.exp(score), 0);

/**
 * The probabilities with which `choose` draws: 0 for tokens that a rule has cut, and at temperature 0 for all but the
 * likeliest.
 * @param {Float32Array} logits
 * @param {ArrayLike<number>} text
 * @param {Settings} [settings]
 */
export function distribution(logits, text, settings = {}) {
  const scores = ruled(logits, text, settings);
  if (checked(settings).temperature === 0) {
    const best = largest(scores);
    return scores.map((_, id) => (id === best ? 1 : 0));
  }
  const total = sumOfExp(scores);
  return scores.map((score) => Math.exp(score) / total);
}

/**
 * The id of the next token; of equals the first. Error where the model's logits are not finite.
 * @param {Float32Array} logits
 * @param {ArrayLike<number>} text ids so far, the prompt's included: its length is the position of the next token
 * @param {Settings} [settings]
 */
export function choose(logits, text, settings = {}) {
  const scores = ruled(logits, text, settings);
  const { temperature, seed, sample } = checked(settings);
  const noisy = temperature > 0 ? addNoise(scores, seed, sample, text.length) : scores;
  const best = largest(noisy);
  if (!Number.isFinite(noisy[best])) {
    throw new Error("The model's logits are not finite: open the page again, or load another checkpoint.");
  }
  return best;
}

/**
 * Scores plus Gumbel noise: the largest is a draw from softmax(scores) (Maddison et al. 2014, section 2).
 * @param {Float32Array} scores
 * @param {bigint} seed
 * @param {number} sample
 * @param {number} position of the token that is drawn
 */
export function addNoise(scores, seed, sample, position) {
  const noise = noiseOf(seed, sample, position);
  const noisy = new Float64Array(scores.length);
  scores.forEach((score, id) => (noisy[id] = score === -Infinity ? score : score + noise(id)));
  return noisy;
}

/**
 * The first of the largest; a NaN counts as the largest, as in PyTorch.
 * @param {Float32Array | Float64Array} values
 */
function largest(values) {
  let best = 0;
  for (let id = 0; id < values.length; id++) {
    if (Number.isNaN(values[id])) return id;
    if (values[id] > values[best]) best = id;
  }
  return best;
}
