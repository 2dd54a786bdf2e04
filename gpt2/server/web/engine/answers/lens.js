// What the model would predict if it stopped early. As gpt2/explain/see/lens.py: the stream at each point goes through
// the same final norm and head, by standing in for the last block's result in the graph.

import { NoAnswer } from "../session.js";
import { Tensor } from "../tensor.js";
import { argmax, floats, ints, logShares, row } from "../vectors.js";
import { divergence, flowPoints, logitsOf, look } from "./flow.js";

/** @import { Lens } from "../../answers.d.ts" */
/** @import { Run, Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

/**
 * @param {Session} session
 * @param {Scene & { first?: number, stop?: number }} ask
 * @param {(share: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Lens>}
 */
export async function lens(session, { text, switches, first = 0, stop: asked = 16 }, told, signal) {
  const ids = session.encode(text);
  const stop = Math.min(asked, ids.length);
  if (first >= stop) throw new NoAnswer(`Rows ${first} to ${asked} are outside the text: it has ${ids.length} tokens.`);
  const before = await look(session, ids, {}, signal);
  const rows = Array.from({ length: stop - first }, (_, i) => first + i);
  const final = rows.map((t) => argmax(logitsOf(before, t)));
  const plain = await session.kept(["lens", ids, first, stop], () => read(session, before, rows, final, told, signal));
  const points = flowPoints(session.config.n_layer);
  const shape = [points.length, rows.length];
  let found = plain;
  /** @type {Partial<Lens>} */
  let beside = {};
  if (Object.keys(switches).length) {
    const now = await look(session, ids, switches, signal);
    found = await read(session, now, rows, final, told, signal);
    beside = {
      top_before: ints(plain.top, shape),
      p_before: floats(plain.p, shape),
      p_final_before: floats(plain.p_final, shape),
    };
  }
  return {
    points,
    first,
    final: ints(final, [rows.length]),
    top: ints(found.top, shape),
    p: floats(found.p, shape),
    p_final: floats(found.p_final, shape),
    rank: ints(found.rank, shape),
    entropy: floats(found.entropy, shape),
    kl: floats(found.kl, shape),
    ...beside,
    words: session.words([...found.top, ...(beside.top_before ? plain.top : []), ...final]),
  };
}

/**
 * The columns of the answer, point after point.
 * @param {Session} session
 * @param {Run} run
 * @param {number[]} rows
 * @param {number[]} answers
 * @param {(share: number) => void} told
 * @param {AbortSignal} [signal]
 */
async function read(session, run, rows, answers, told, signal) {
  const { n_layer: L, n_embd: C, vocab_size: V } = session.config;
  const points = flowPoints(L);
  const last = points[points.length - 1];
  const final = rows.map((t) => logShares(logitsOf(run, t)));
  /** @type {Record<"top" | "p" | "p_final" | "rank" | "entropy" | "kl", number[]>} */
  const found = { top: [], p: [], p_final: [], rank: [], entropy: [], kl: [] };
  for (const [k, point] of points.entries()) {
    told(k / points.length);
    const stream = run.values[point].floats.subarray(rows[0] * C, (rows[rows.length - 1] + 1) * C);
    const given = { [last]: new Tensor(stream, [1, rows.length, C]) };
    const here = rows.map((t) => run.ids[t]);
    const logits = (await session.graph.run(here, { given, wanted: ["logits"], signal })).values.logits.floats;
    rows.forEach((t, r) => {
      const shares = point === last ? final[r] : logShares(row(logits, r, V));
      const best = argmax(shares);
      const follows = run.ids[t + 1];
      found.top.push(best);
      found.p.push(Math.exp(shares[best]));
      found.p_final.push(Math.exp(shares[answers[r]]));
      found.rank.push(follows === undefined ? 0 : 1 + shares.reduce((n, x) => n + Number(x > shares[follows]), 0));
      found.entropy.push(-shares.reduce((sum, x) => sum + Math.exp(x) * x, 0));
      found.kl.push(divergence(final[r], shares));
    });
  }
  return found;
}
