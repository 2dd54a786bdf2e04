// Each component of a set off or at its mean by itself: the loss on one text, and every prediction of it.
// As gpt2/explain/change/leave_one_out.py. One pass after the other, each from the component's block on.

import { argmax, average, floats, ints, logTotal, row } from "../vectors.js";
import { look } from "./flow.js";

/** @import { LeaveOneOut } from "../../answers.d.ts" */
/** @import { Sizes } from "../graph.js" */
/** @import { Run, Session } from "../session.js" */
/** @import { Tensor } from "../tensor.js" */
/** @import { Scene } from "./flow.js" */

/** @typedef {Scene & { components?: keyof typeof SETS, kind?: "mean" | "zero" }} Ask */

const SETS = {
  /** @param {Sizes} sizes */
  parts: ({ n_layer: L }) => [...range(L).map((l) => `${l}.attn`), ...range(L).map((l) => `${l}.mlp`), "embed.pos"],
  /** @param {Sizes} sizes */
  heads: ({ n_layer: L, n_head: H }) => range(L).flatMap((l) => range(H).map((h) => `${l}.head.${h}`)),
  /** @param {Sizes} sizes */
  blocks: ({ n_layer: L }) => range(L).map((l) => `${l}.block`),
};

/** @param {number} n */
const range = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * @param {Session} session
 * @param {Ask} ask
 * @param {(share: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<LeaveOneOut>}
 */
export async function leaveOneOut(session, { text, switches, components = "parts", kind = "mean" }, told, signal) {
  const ids = session.encode(text);
  const T = ids.length;
  const now = await look(session, ids, switches, signal);
  const plain = read(now, null);
  const lossless = T === 1;
  const loss = average(plain.losses);
  const state = kind === "zero" ? "off" : "mean";
  const names = SETS[components](session.config);
  /** @type {ReturnType<typeof read>[]} */
  const found = [];
  for (const address of names) {
    const given = before(now, address);
    const run = await session.run(ids, { ...switches, [address]: state }, ["logits"], { given, signal });
    found.push(read(run, plain.first));
    told(found.length / names.length);
  }
  return {
    rows: names.map((address, k) => ({ address, change: lossless ? null : average(found[k].losses) - loss })),
    loss: lossless ? null : loss,
    first: ints(plain.first, [T]),
    p: floats(plain.p, [T]),
    first_without: ints(
      found.flatMap((one) => one.first),
      [names.length, T],
    ),
    p_without: floats(
      found.flatMap((one) => one.p),
      [names.length, T],
    ),
    words: session.words([plain.first, ...found.map((one) => one.first)].flat()),
  };
}

/**
 * What a pass without a component need not compute again: the stream that enters the component's half of its block.
 * @param {Run} run
 * @param {string} address
 * @returns {Record<string, Tensor>}
 */
function before({ values }, address) {
  const [layer, kind] = address.split(".");
  const l = Number(layer);
  if (Number.isNaN(l)) return {};
  if (kind === "mlp") return { [`${l}.resid_mid`]: values[`${l}.resid_mid`] };
  return { [`${l}.resid_pre`]: values[l ? `${l - 1}.resid_post` : "embed.out"] };
}

/**
 * Of a run at each position: the likeliest token, the probability of `first` (or of that token), the loss.
 * @param {Run} run
 * @param {number[] | null} first
 */
function read({ ids, values }, first) {
  const { logits } = values;
  const V = /** @type {number} */ (logits.shape.at(-1));
  /** @type {{ first: number[], p: number[], losses: number[] }} */
  const found = { first: [], p: [], losses: [] };
  ids.forEach((_, t) => {
    const line = row(logits.floats, t, V);
    const total = logTotal(line);
    const best = argmax(line);
    found.first.push(best);
    found.p.push(Math.exp(line[first ? first[t] : best] - total));
    if (t + 1 < ids.length) found.losses.push(total - line[ids[t + 1]]);
  });
  return found;
}
