// Neurons of one MLP at one row. As gpt2/server/answers/neurons.py.

import { NoAnswer } from "../session.js";
import { average, largest, row } from "../vectors.js";
import { contributions, finer, NoSum, readout } from "./attribution.js";
import { logitsOf, look } from "./flow.js";

/** @import { Contexts, Neurons } from "../../answers.d.ts" */
/** @import { Run, Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

const STRONGEST = 10;
const TOKENS = 5;
const [BEFORE, AFTER] = [8, 3]; // tokens shown around one that excites a neuron

/**
 * @param {Session} session
 * @param {Scene & { block: number, row: number }} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Neurons>}
 */
export async function neurons(session, { text, switches, block, row: at }, _, signal) {
  const { n_layer, n_inner: F, n_embd: C } = session.config;
  if (block >= n_layer) throw new NoAnswer(`There is no block ${block}: this model has 0 to ${n_layer - 1}.`);
  const ids = session.encode(text);
  if (at >= ids.length) throw new NoAnswer(`There is no position ${at}: this text has 0 to ${ids.length - 1}.`);
  const run = await look(session, ids, switches, signal);
  const values = await session.more(run, [`${block}.mlp.post`], { signal });
  const post = row(values[`${block}.mlp.post`].floats, at, F);
  const weight = session.weight(`transformer.h.${block}.mlp.c_proj.weight`); // [C, F]
  const squares = new Float64Array(F);
  for (let c = 0; c < C; c++) for (let n = 0; n < F; n++) squares[n] += weight[c * F + n] ** 2;
  const sizes = squares.map((sum, n) => Math.abs(post[n]) * Math.sqrt(sum));
  const whole = `${block}.mlp` in switches || `${block}.block` in switches;
  const best = largest(logitsOf(run, at), 1)[0];
  const adds = whole ? null : await added(session, run, at, best, `${block}.mlp`, signal);
  return {
    neurons: largest(sizes, STRONGEST).map((n) => {
      const scores = promotes(
        session,
        Float64Array.from({ length: C }, (_, c) => weight[c * F + n]),
      );
      return {
        n,
        activation: post[n],
        size: sizes[n],
        adds: adds && adds[n].value,
        promotes: largest(scores, TOKENS).map((id) => session.word(id)),
        suppresses: largest(
          scores.map((x) => -x),
          TOKENS,
        ).map((id) => session.word(id)),
      };
    }),
    active: post.reduce((count, a) => count + Number(a > 0), 0),
    of: F,
    target: adds ? session.word(best) : "",
    off: whole,
  };
}

/**
 * What each neuron adds to the likeliest token's logit; null in a model whose logit is no sum.
 * @param {Session} session
 * @param {Run} run
 * @param {number} at
 * @param {number} best
 * @param {string} of
 * @param {AbortSignal} [signal]
 */
async function added(session, run, at, best, of, signal) {
  const form = readout(session, run, at, best, null);
  try {
    contributions(session, run, form);
    return (await finer(session, run, form, of, signal)).parts;
  } catch (error) {
    if (error instanceof NoSum) return null;
    throw error;
  }
}

/**
 * How much a write raises each token's logit, up to a constant, before the final norm divides.
 * @param {Session} session
 * @param {Float64Array} write [C]
 */
function promotes(session, write) {
  const { n_embd: C, vocab_size: V } = session.config;
  const { gamma, centred } = session.finalNorm();
  const middle = centred ? average(write) : 0;
  const direction = Float32Array.from(write, (x, c) => (x - middle) * gamma[c]);
  const found = new Float32Array(V);
  session.graph.kernel.linear(direction, session.weight("lm_head.weight"), null, found, V, C);
  return found;
}

/**
 * What excites a neuron in the texts that the page brings. The change of the loss without it, which takes passes over
 * many texts, is not among it.
 * @param {Session} session
 * @param {{ block: number, neuron: number }} ask
 * @returns {Promise<Contexts>}
 */
export async function contexts(session, { block, neuron }) {
  const { n_layer, n_inner: F } = session.config;
  if (block >= n_layer) throw new NoAnswer(`There is no block ${block}: this model has 0 to ${n_layer - 1}.`);
  if (neuron >= F) {
    throw new NoAnswer(`There is no neuron ${block}.mlp.post#${neuron}: this block has 0 to ${F - 1}.`);
  }
  const { tokens, starts, at, activation, active, text } = session.places;
  const n = at.shape[2];
  const words = (/** @type {number} */ from, /** @type {number} */ to) =>
    [...tokens.data.subarray(from, to)].map((id) => session.word(id));
  const examples = [...row(at.data, block * F + neuron, n)].map((place, i) => {
    const d = starts.data.findIndex((start) => start > place) - 1;
    return {
      activation: activation.data[(block * F + neuron) * n + i],
      before: words(Math.max(starts.data[d], place - BEFORE), place),
      token: words(place, place + 1)[0],
      after: words(place + 1, Math.min(starts.data[d + 1], place + 1 + AFTER)),
    };
  });
  return { examples, active: active.data[block * F + neuron], text, loss: null };
}
