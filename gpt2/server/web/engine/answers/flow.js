// One pass as the picture draws it. As gpt2/explain/see/flow.py and gpt2/server/answers/picture.py, and tested against
// them question by question.

import { argmax, floats, ints, largest, length, logShares, row } from "../vectors.js";

/** @import { Picture } from "../../answers.d.ts" */
/** @import { Run, Session, Switches } from "../session.js" */
/** @import { Tensor } from "../tensor.js" */

/** @typedef {{ source: number[], weight: number[], count: number }} Arcs */
/** @typedef {Run & { mean: Arcs[], written: Arcs[] }} Flow */
/** @typedef {{ text: string, switches: Switches }} Scene */

const ARCS = 8;
const NEXT = 12;

/** @param {number} L */
export function flowPoints(L) {
  const blocks = Array.from({ length: L }, (_, l) => [`${l}.resid_mid`, `${l}.resid_post`]);
  return ["embed.out", ...blocks.flat()];
}

/**
 * @param {Session} session
 * @param {number[]} ids
 * @param {Switches} switches
 * @param {AbortSignal} [signal]
 * @returns {Promise<Flow>}
 */
export function look(session, ids, switches, signal) {
  const named = Object.fromEntries(Object.entries(switches).sort());
  return session.kept(["look", ids, named], () => flow(session, ids, switches, signal));
}

/**
 * @param {Session} session
 * @param {number[]} ids
 * @param {Switches} switches
 * @param {AbortSignal} [signal]
 * @returns {Promise<Flow>}
 */
async function flow(session, ids, switches, signal) {
  const { n_layer: L, n_head: H } = session.config;
  const T = ids.length;
  const read = ["embed.tok", "embed.pos", ...flowPoints(L), "final.scale", "final.out", "logits"];
  /** @type {Record<string, (x: Tensor) => void>} */
  const watch = {};
  /** @type {Arcs[]} */
  const mean = [];
  /** @type {Arcs[]} */
  const written = [];
  for (let l = 0; l < L; l++) {
    for (const point of ["attn.z", "attn.out", "mlp.out", "ln_1.scale", "ln_2.scale"]) read.push(`${l}.${point}`);
    /** @type {Float32Array} */
    let lengths;
    watch[`${l}.attn.v`] = (v) => {
      lengths = writeLengths(session, l, v.floats);
    };
    watch[`${l}.attn.pattern`] = (pattern) => {
      const on = headsOn(H, l, switches);
      const plain = new Float64Array(T * T);
      const sized = new Float64Array(T * T);
      for (const h of on) {
        const cells = row(pattern.floats, h, T * T);
        const sizes = row(lengths, h, T);
        for (let i = 0; i < T; i++) {
          for (let j = 0; j <= i; j++) {
            plain[i * T + j] += cells[i * T + j];
            sized[i * T + j] += cells[i * T + j] * sizes[j];
          }
        }
      }
      mean[l] = strongest(plain, T, () => Math.max(1, on.length));
      written[l] = strongest(sized, T, (line) =>
        Math.max(
          1e-30,
          line.reduce((all, x) => all + x, 0),
        ),
      );
    };
  }
  const run = await session.run(ids, switches, read, { watch, signal });
  return { ...run, mean, written };
}

/**
 * The length of what each head writes of each position's values: v [H, T, D] -> ||v W_O|| [H, T].
 * @param {Session} session
 * @param {number} l
 * @param {Float32Array} v
 */
export function writeLengths(session, l, v) {
  const { n_head: H, n_embd: C } = session.config;
  const D = C / H;
  const weight = session.weight(`transformer.h.${l}.attn.c_proj.weight`); // [C, H D]
  const T = v.length / C;
  const found = new Float32Array(H * T);
  const write = new Float32Array(T * C);
  const part = new Float32Array(C * D);
  for (let h = 0; h < H; h++) {
    for (let c = 0; c < C; c++) part.set(weight.subarray(c * C + h * D, c * C + (h + 1) * D), c * D);
    session.graph.kernel.linear(v.subarray(h * T * D, (h + 1) * T * D), part, null, write, C, D);
    for (let t = 0; t < T; t++) found[h * T + t] = length(row(write, t, C));
  }
  return found;
}

/**
 * The heads of a block that bring what they read.
 * @param {number} H
 * @param {number} l
 * @param {Switches} switches
 */
function headsOn(H, l, switches) {
  const gone = (/** @type {string} */ address) => ["off", "mean"].includes(switches[address]);
  if (gone(`${l}.attn`) || gone(`${l}.block`)) return [];
  return Array.from({ length: H }, (_, h) => h).filter((h) => !gone(`${l}.head.${h}`));
}

/**
 * The sources of largest weight of each row, and these weights, divided by what `by` says of the row.
 * @param {Float64Array} cells
 * @param {number} T
 * @param {(line: Float64Array) => number} by
 * @returns {Arcs}
 */
function strongest(cells, T, by) {
  const count = Math.min(ARCS, T);
  /** @type {number[]} */
  const source = [];
  /** @type {number[]} */
  const weight = [];
  for (let i = 0; i < T; i++) {
    const line = row(cells, i, T);
    const sum = by(line);
    for (const j of largest(line, count)) {
      source.push(j);
      weight.push(line[j] / sum);
    }
  }
  return { source, weight, count };
}

/**
 * The logits after position t.
 * @param {Run} run
 * @param {number} t
 */
export function logitsOf(run, t) {
  const { logits } = run.values;
  return row(logits.floats, t, /** @type {number} */ (logits.shape.at(-1)));
}

/**
 * The tokens that are likeliest after a position in either run.
 * @param {Run} now
 * @param {Run} before
 * @param {number} t
 */
export function likely(now, before, t) {
  const p = logShares(logitsOf(now, t));
  const q = logShares(logitsOf(before, t));
  return largest(
    p.map((x, i) => Math.max(x, q[i])),
    Math.min(NEXT, p.length),
  );
}

/**
 * @param {Session} session
 * @param {Scene} scene
 * @param {(share: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Picture>}
 */
export async function picture(session, { text, switches }, told, signal) {
  const ids = session.encode(text);
  const T = ids.length;
  const { n_layer: L } = session.config;
  const changed = Object.keys(switches).length > 0;
  const before = await look(session, ids, {}, signal);
  told(0.5);
  const now = changed ? await look(session, ids, switches, signal) : before;
  const points = flowPoints(L);
  const writes = range(L).flatMap((l) => [`${l}.attn.out`, `${l}.mlp.out`]);
  const scales = [...range(L).flatMap((l) => [`${l}.ln_1.scale`, `${l}.ln_2.scale`]), "final.scale"];
  const next = nextTokens(now, before);
  /** @type {Picture} */
  const found = {
    ids,
    tokens: ids.map((id) => session.word(id)),
    points,
    norms: floats(
      points.flatMap((point) => lengthsAt(now, point)),
      [points.length, T],
    ),
    writes: floats(
      writes.flatMap((point) => lengthsAt(now, point)),
      [2 * L, T],
    ),
    scales: floats(
      scales.flatMap((point) => [...now.values[point].floats]),
      [2 * L + 1, T],
    ),
    arcs: { mean: arcsOf(now.mean, T), written: arcsOf(now.written, T) },
    ...next,
    words: session.words(next.next.ids.data),
  };
  if (changed) {
    found.moved = floats(
      points.flatMap((point) => moves(now, before, point)),
      [points.length, T],
    );
    found.kl = floats(
      range(T).map((t) => divergence(logShares(logitsOf(before, t)), logShares(logitsOf(now, t)))),
      [T],
    );
  }
  return found;
}

/** @param {number} n */
const range = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * @param {Run} run
 * @param {string} point
 */
function lengthsAt(run, point) {
  const C = /** @type {number} */ (run.values[point].shape.at(-1));
  return run.ids.map((_, t) => length(row(run.values[point].floats, t, C)));
}

/**
 * ||changed - original|| / ||original|| of the stream at a point.
 * @param {Run} now
 * @param {Run} before
 * @param {string} point
 */
function moves(now, before, point) {
  const [x, y] = [now.values[point].floats, before.values[point].floats];
  const C = x.length / now.ids.length;
  return now.ids.map((_, t) => {
    const was = row(y, t, C);
    return length(row(x, t, C).map((value, c) => value - was[c])) / Math.max(1e-30, length(was));
  });
}

/**
 * KL(p || q) of log probabilities.
 * @param {Float64Array} p
 * @param {Float64Array} q
 */
export function divergence(p, q) {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.exp(p[i]) * (p[i] - q[i]);
  return sum;
}

/**
 * @param {Arcs[]} arcs
 * @param {number} T
 */
function arcsOf(arcs, T) {
  const shape = [arcs.length, T, arcs[0].count];
  return {
    from: ints(
      arcs.flatMap((one) => one.source),
      shape,
    ),
    weight: floats(
      arcs.flatMap((one) => one.weight),
      shape,
    ),
  };
}

/**
 * @param {Run} now
 * @param {Run} before
 */
function nextTokens(now, before) {
  const T = now.ids.length;
  /** @type {number[][]} */
  const [ids, p, p_before, logit, top, top_before, losses, losses_before] = [[], [], [], [], [], [], [], []];
  for (let t = 0; t < T; t++) {
    const logits = logitsOf(now, t);
    const [here, there] = [logShares(logits), logShares(logitsOf(before, t))];
    for (const id of likely(now, before, t)) {
      ids.push(id);
      p.push(Math.exp(here[id]));
      p_before.push(Math.exp(there[id]));
      logit.push(logits[id]);
    }
    top.push(argmax(here));
    top_before.push(argmax(there));
    if (t < T - 1) {
      losses.push(-here[now.ids[t + 1]]);
      losses_before.push(-there[now.ids[t + 1]]);
    }
  }
  const shape = [T, ids.length / T];
  return {
    next: {
      ids: ints(ids, shape),
      p: floats(p, shape),
      p_before: floats(p_before, shape),
      logit: floats(logit, shape),
    },
    top: ints(top, [T]),
    top_before: ints(top_before, [T]),
    losses: floats(losses, [T - 1]),
    losses_before: floats(losses_before, [T - 1]),
  };
}
