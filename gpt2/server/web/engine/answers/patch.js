// Patching: which place carries the difference between two prompts. As gpt2/explain/change/patching.py.

import { NoAnswer } from "../session.js";
import { Tensor } from "../tensor.js";
import { argmax, dot, floats, row } from "../vectors.js";

/** @import { Floats, Patch } from "../../answers.d.ts" */
/** @import { Run, Session } from "../session.js" */

/**
 * @typedef {{ clean: string, corrupt: string, target?: string, foil?: string, grid?: keyof typeof GRIDS,
 *   direction?: "denoise" | "noise" }} Ask
 */

const GRIDS = { resid: "resid_pre", attn: "attn.out", mlp: "mlp.out", head: "attn.z" };
const LEAST_DIFFERENCE = 0.5; // logits

/**
 * @param {Session} session
 * @param {Ask} ask
 * @param {(share: number, partial: { scores: Floats }) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Patch>}
 */
export async function patch(session, ask, told, signal) {
  const { grid = "resid", direction = "denoise" } = ask;
  const { n_layer: L, n_head: H } = session.config;
  const [clean, corrupt] = [session.encode(ask.clean), session.encode(ask.corrupt)];
  checkPrompts(session, clean, corrupt);
  const [first, second] = [await base(session, clean, signal), await base(session, corrupt, signal)];
  const [target, foil] = await answers(session, ask, first, second);
  /** @type {(hidden: Float32Array) => number} */
  const lead = (hidden) => {
    const C = hidden.length;
    const head = session.weight("lm_head.weight");
    return dot(hidden, row(head, target, C)) - dot(hidden, row(head, foil, C));
  };
  const [m_clean, m_corrupt] = [lead(lastOf(first)), lead(lastOf(second))];
  const [t, f] = [session.word(target), session.word(foil)];
  if (Math.abs(m_clean - m_corrupt) < LEAST_DIFFERENCE) {
    throw new NoAnswer(
      `${t} leads ${f} by ${m_clean.toPrecision(3)} after the clean prompt and by ${m_corrupt.toPrecision(3)} after ` +
        `the corrupt one: less than ${LEAST_DIFFERENCE} apart, so there is nothing to explain; choose prompts that ` +
        "the model answers differently.",
    );
  }
  const denoise = direction === "denoise";
  const [source, receiver] = denoise ? [first, second] : [second, first];
  const [from, to] = denoise ? [m_corrupt, m_clean] : [m_clean, m_corrupt];
  const differs = clean.map((_, k) => k).filter((k) => clean[k] !== corrupt[k]);
  const columns = grid === "head" ? H : clean.length;
  const scores = floats(new Float32Array(L * columns).fill(NaN), [L, columns]);
  for (let l = 0; l < L; l++) {
    for (let k = 0; k < columns; k++) {
      const agree = grid !== "head" && (k < differs[0] || (grid === "resid" && l === 0 && !differs.includes(k)));
      const hidden = agree ? null : await patched(session, receiver, source, grid, l, k, signal);
      scores.data[l * columns + k] = hidden ? (lead(hidden) - from) / (to - from) : 0;
      told((l * columns + k + 1) / (L * columns), { scores });
    }
  }
  const names = clean.map((id, k) =>
    id === corrupt[k] ? session.word(id) : `${session.word(id)}/${session.word(corrupt[k])}`,
  );
  return {
    scores,
    columns: grid === "head" ? Array.from({ length: H }, (_, h) => String(h)) : names,
    target: t,
    foil: f,
    m_clean,
    m_corrupt,
    title: `${GRIDS[grid]}, ${denoise ? "clean into corrupt" : "corrupt into clean"}: ${t} against ${f}`,
    differs,
  };
}

/**
 * @param {Session} session
 * @param {number[]} clean
 * @param {number[]} corrupt
 */
function checkPrompts(session, clean, corrupt) {
  if (clean.length !== corrupt.length) {
    const shown = [clean, corrupt].map((ids) => ids.map((id) => session.word(id)).join(" "));
    throw new NoAnswer(
      `The clean prompt has ${clean.length} tokens and the corrupt one ${corrupt.length}: patching needs equal ` +
        `lengths; compare ${shown[0]} with ${shown[1]}.`,
    );
  }
  if (clean.join() === corrupt.join()) {
    throw new NoAnswer("The clean and the corrupt prompt are the same: change the word that matters.");
  }
}

/**
 * @param {Session} session
 * @param {number[]} ids
 * @param {AbortSignal} [signal]
 */
function base(session, ids, signal) {
  const blocks = Array.from({ length: session.config.n_layer }, (_, l) =>
    [...Object.values(GRIDS), "resid_mid"].map((point) => `${l}.${point}`),
  );
  return session.run(ids, {}, [...blocks.flat(), "final.out"], { signal });
}

/**
 * The final normed state at the last position, [C].
 * @param {{ ids: number[], values: Record<string, Tensor> }} run
 */
function lastOf({ ids, values }) {
  const { floats: numbers } = values["final.out"];
  return row(numbers, ids.length - 1, numbers.length / ids.length);
}

/**
 * The ids of target and foil: what was asked for, or what the model predicts after each prompt.
 * @param {Session} session
 * @param {Ask} ask
 * @param {Run} first
 * @param {Run} second
 */
async function answers(session, { target = "", foil = "" }, first, second) {
  /** @type {(run: Run) => Promise<Float32Array>} */
  const logits = async (run) => {
    const hidden = lastOf(run);
    const given = { "final.out": new Tensor(hidden, [1, 1, hidden.length]) };
    return (await session.graph.run(run.ids.slice(-1), { given })).values.logits.floats;
  };
  const t = target ? session.token(target) : argmax(await logits(first));
  const after = await logits(second);
  after[t] = -Infinity;
  const f = foil ? session.token(foil) : argmax(after);
  if (t === f) {
    throw new NoAnswer(`Target and foil are the same token, ${session.word(t)}: name another foil.`);
  }
  return [t, f];
}

/**
 * The last hidden state of the receiver's pass with one value from the source's: only blocks from l on are computed.
 * @param {Session} session
 * @param {Run} receiver
 * @param {Run} source
 * @param {keyof typeof GRIDS} grid
 * @param {number} l
 * @param {number} k
 * @param {AbortSignal} [signal]
 */
async function patched(session, receiver, source, grid, l, k, signal) {
  const point = `${l}.${GRIDS[grid]}`;
  const own = receiver.values[point];
  const value = Float32Array.from(own.floats);
  const width = value.length / (grid === "head" ? session.config.n_head : receiver.ids.length);
  value.set(row(source.values[point].floats, k, width), k * width);
  /** @type {Record<string, Tensor>} */
  const given = { [`${l}.resid_pre`]: receiver.values[`${l}.resid_pre`] };
  if (grid === "mlp") given[`${l}.resid_mid`] = receiver.values[`${l}.resid_mid`];
  given[point] = new Tensor(value, own.shape);
  const { values } = await session.graph.run(receiver.ids, { given, wanted: ["final.out"], signal });
  return lastOf({ ids: receiver.ids, values });
}
