// Attention of one block: all heads small, and one head in full. As gpt2/explain/see/attention.py.

import { NoAnswer } from "../session.js";
import { average, floats, row } from "../vectors.js";
import { look, writeLengths } from "./flow.js";

/** @import { Attention, Floats, Head } from "../../answers.d.ts" */
/** @import { Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

const THUMB = 32;

/**
 * Patterns [H, T, T] and the lengths of what is read [H, T].
 * @param {Session} session
 * @param {Scene} scene
 * @param {number} block
 * @param {AbortSignal} [signal]
 */
async function read(session, { text, switches }, block, signal) {
  const { n_layer } = session.config;
  if (block >= n_layer) throw new NoAnswer(`There is no block ${block}: this model has 0 to ${n_layer - 1}.`);
  const ids = session.encode(text);
  const run = await look(session, ids, switches, signal);
  const values = await session.more(run, [`${block}.attn.pattern`, `${block}.attn.v`], { signal });
  return {
    T: ids.length,
    pattern: values[`${block}.attn.pattern`].floats,
    lengths: writeLengths(session, block, values[`${block}.attn.v`].floats),
  };
}

/**
 * @param {Session} session
 * @param {Scene & { block: number }} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Attention>}
 */
export async function attention(session, ask, _, signal) {
  const { T, pattern } = await read(session, ask, ask.block, signal);
  const H = session.config.n_head;
  const mean = new Float32Array(T * T);
  for (let h = 0; h < H; h++) for (let i = 0; i < T * T; i++) mean[i] += pattern[h * T * T + i] / H;
  const n = Math.min(T, THUMB);
  const heads = Array.from({ length: H }, (_, h) => row(pattern, h, T * T));
  /** @type {(of: (cells: Float32Array) => number) => Floats} */
  const each = (of) => floats(heads.map(of), [H]);
  const later = Array.from({ length: T - 1 }, (_, i) => i + 1);
  /** @type {(cells: Float32Array, at: (i: number) => number) => number} */
  const over = (cells, at) => (later.length ? average(later.map((i) => cells[at(i)])) : 0);
  return {
    mean: floats(mean, [T, T]),
    thumbs: floats(
      heads.flatMap((cells) => [...thumbnail(cells, T, n)]),
      [H, n, n],
    ),
    previous: each((cells) => over(cells, (i) => i * T + i - 1)),
    first: each((cells) => over(cells, (i) => i * T)),
    itself: each((cells) => average(Array.from({ length: T }, (_, i) => cells[i * T + i]))),
    entropy: each((cells) => (later.length ? average(later.map((i) => evenness(row(cells, i, T), i))) : 0)),
  };
}

/**
 * How evenly row i spreads its weight, 0 to 1.
 * @param {Float32Array} line
 * @param {number} i
 */
function evenness(line, i) {
  let sum = 0;
  for (const weight of line) if (weight > 0) sum -= weight * Math.log(weight);
  const seen = line.reduce((count, weight) => count + Number(weight > 0), 0);
  return sum / Math.log(Math.max(seen, i + 1));
}

/**
 * At most n cells along each side, each the largest weight in it.
 * @param {Float32Array} cells
 * @param {number} T
 * @param {number} n
 */
function thumbnail(cells, T, n) {
  const found = new Float32Array(n * n);
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      let most = 0;
      for (let i = Math.floor((a * T) / n); i < Math.ceil(((a + 1) * T) / n); i++) {
        for (let j = Math.floor((b * T) / n); j < Math.ceil(((b + 1) * T) / n); j++) {
          most = Math.max(most, cells[i * T + j]);
        }
      }
      found[a * n + b] = most;
    }
  }
  return found;
}

/**
 * @param {Session} session
 * @param {Scene & { block: number, head: number }} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Head>}
 */
export async function head(session, ask, _, signal) {
  const { n_head } = session.config;
  if (ask.head >= n_head) throw new NoAnswer(`There is no head ${ask.head}: each block has 0 to ${n_head - 1}.`);
  /** @type {(scene: Scene) => Promise<Head>} */
  const one = async (scene) => {
    const { T, pattern, lengths } = await read(session, scene, ask.block, signal);
    const cells = row(pattern, ask.head, T * T);
    const sizes = row(lengths, ask.head, T);
    return {
      pattern: floats(cells, [T, T]),
      written: floats(
        cells.map((x, i) => x * sizes[i % T]),
        [T, T],
      ),
    };
  };
  const now = await one(ask);
  if (!Object.keys(ask.switches).length) return now;
  const before = await one({ text: ask.text, switches: {} });
  return { ...now, pattern_before: before.pattern, written_before: before.written };
}
