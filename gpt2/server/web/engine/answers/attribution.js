// Why this token: what each component adds to its logit. As gpt2/explain/see/attribution.py and readout.py, which say
// what is shown apart and why the sum is exact.

import { NoAnswer } from "../session.js";
import { average, dot, largest, length, row, total } from "../vectors.js";
import { logitsOf, look } from "./flow.js";

/** @import { Attribution, Part } from "../../answers.d.ts" */
/** @import { Run, Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

/** @typedef {Scene & { row: number, target?: string, foil?: string, of?: string }} Why */
/**
 * The direction that a logit reads, [C]; what it is divided by; <beta, w>; the logit; the range of all logits.
 * @typedef {{
 *   at: number, direction: Float64Array, sigma: number, constant: number, whole: number, spread: number,
 * }} Form
 */

const SHOWN = 24;
const SLACK = 1e-3; // as a share, by more than which rounding does not explain a difference

// In this model, a variant, the logit is not a sum over components.
export class NoSum extends NoAnswer {}

/**
 * @param {Session} session
 * @param {Why} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Attribution>}
 */
export async function attribution(session, { text, switches, row: at, target = "", foil = "", of = "" }, _, signal) {
  const ids = session.encode(text);
  if (at >= ids.length) throw new NoAnswer(`There is no position ${at}: this text has 0 to ${ids.length - 1}.`);
  const run = await look(session, ids, switches, signal);
  const best = target ? session.token(target) : largest(logitsOf(run, at), 1)[0];
  const other = foil === "mean" ? null : foil ? session.token(foil) : runnerUp(run, at, best);
  if (other === best) {
    throw new NoAnswer(`Target and foil are the same token, ${session.word(best)}: choose another foil.`);
  }
  const form = readout(session, run, at, best, other);
  const all = contributions(session, run, form); // refuses where the stream is no sum, also for what is finer
  const found = of ? await finer(session, run, form, of, signal) : { parts: all, whole: form.whole };
  const [target_, foil_] = [session.word(best), other === null ? null : session.word(other)];
  const against = foil_ === null ? "its logit above the mean logit" : `its lead over ${foil_}`;
  return {
    parts: of ? most(found.parts, SHOWN) : found.parts,
    whole: found.whole,
    error: found.whole - total(found.parts.map((part) => part.value)),
    spread: form.spread,
    target: target_,
    target_id: best,
    foil: foil_,
    question: `${target_} after ${at} ${session.word(ids[at])}: ${of ? `${of}'s share of ` : ""}${against}`,
  };
}

/**
 * @param {Run} run
 * @param {number} at
 * @param {number} best
 */
function runnerUp(run, at, best) {
  const [first, second] = largest(logitsOf(run, at), 2);
  return first === best ? second : first;
}

/**
 * The largest parts, and the sum of all others as one.
 * @param {Part[]} parts
 * @param {number} n
 */
function most(parts, n) {
  const order = parts.map((_, i) => i).sort((a, b) => Math.abs(parts[b].value) - Math.abs(parts[a].value));
  const shown = order.slice(0, n).map((i) => parts[i]);
  const rest = order.slice(n).map((i) => parts[i].value);
  if (rest.length) shown.push({ name: "rest", kind: "rest", label: `${rest.length} more`, value: total(rest) });
  return shown;
}

/**
 * The readout of a target against a foil, or against the mean over the vocabulary.
 * @param {Session} session
 * @param {Run} run
 * @param {number} at
 * @param {number} target
 * @param {number | null} foil
 * @returns {Form}
 */
export function readout(session, run, at, target, foil) {
  const { n_embd: C, vocab_size: V } = session.config;
  const head = session.weight("lm_head.weight");
  const { gamma, beta, centred } = session.finalNorm();
  const other = foil === null ? meanRow(session, V, C) : row(head, foil, C);
  const w = Float64Array.from(row(head, target, C), (x, c) => x - other[c]);
  const raw = w.map((x, c) => x * gamma[c]);
  const middle = centred ? average(raw) : 0;
  const logits = logitsOf(run, at);
  let [low, high] = [Infinity, -Infinity];
  for (const x of logits) [low, high] = [Math.min(low, x), Math.max(high, x)];
  return {
    at,
    direction: raw.map((x) => x - middle),
    sigma: run.values["final.scale"].floats[at],
    constant: dot(w, beta),
    whole: logits[target] - (foil === null ? average(logits) : logits[foil]),
    spread: high - low,
  };
}

/** @type {WeakMap<Session, Float64Array>} */
const means = new WeakMap();

/**
 * @param {Session} session
 * @param {number} V
 * @param {number} C
 */
export function meanRow(session, V, C) {
  const before = means.get(session);
  if (before) return before;
  const found = new Float64Array(C);
  const head = session.weight("lm_head.weight");
  for (let v = 0; v < V; v++) for (let c = 0; c < C; c++) found[c] += head[v * C + c] / V;
  means.set(session, found);
  return found;
}

/**
 * What a write adds to the logit.
 * @param {Form} form
 * @param {ArrayLike<number>} write [C]
 */
const reads = (form, write) => dot(write, form.direction) / form.sigma;

/**
 * Every component's part. Each point of the stream is the sum of what was written before it; where a switch replaced
 * it, the difference is a part of its own.
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @returns {Part[]}
 */
export function contributions(session, run, form) {
  const { n_layer: L, n_embd: C } = session.config;
  /** @type {(address: string) => Float64Array} */
  const get = (address) => Float64Array.from(row(run.values[address].floats, form.at, C));
  /** @type {Part[]} */
  const parts = [];
  /** @type {(name: string, kind: string, value: number) => void} */
  const add = (name, kind, value) => {
    parts.push({ name, kind, label: name, value });
  };
  const x = get("embed.tok").map((value, c) => value + get("embed.pos")[c]);
  add("embed.tok", "embedding", reads(form, get("embed.tok")));
  add("embed.pos", "embedding", reads(form, get("embed.pos")));
  for (let l = 0; l < L; l++) {
    const [attn, mlp] = [get(`${l}.attn.out`), get(`${l}.mlp.out`)];
    if (`${l}.attn` in run.switches) add(`${l}.attn`, "attention", reads(form, attn));
    else heads(session, run, form, l).forEach((part) => add(part.name, part.kind, part.value));
    add(`${l}.mlp`, "mlp", reads(form, mlp));
    for (let c = 0; c < C; c++) x[c] += attn[c];
    reached(`${l}.resid_mid`, get(`${l}.resid_mid`), x);
    for (let c = 0; c < C; c++) x[c] += mlp[c];
    const here = get(`${l}.resid_post`);
    if (!(`${l}.block` in run.switches)) {
      reached(`${l}.resid_post`, here, x);
    } else {
      add(
        `${l}.resid_post (edit)`,
        "edit",
        reads(
          form,
          here.map((value, c) => value - x[c]),
        ),
      );
      x.set(here);
    }
  }
  add("final.beta", "bias", form.constant);
  return parts;
}

/**
 * Refuses a model whose stream is something else than the sum of what is written to it.
 * @param {string} name
 * @param {Float64Array} here
 * @param {Float64Array} sum
 */
function reached(name, here, sum) {
  const apart = length(here.map((value, c) => value - sum[c]));
  if (apart <= SLACK * length(here)) return;
  throw new NoSum(
    `Exact attribution has no counterpart in this model, since its ${name} is not the sum of what was written to the ` +
      "stream before (post-norm, or no residuals): use gpt2 explain off, which measures what each component is worth.",
  );
}

/**
 * W_O ghat of a block's heads, [H D]: what their z is read by.
 * @param {Session} session
 * @param {Form} form
 * @param {number} l
 */
function headDirections(session, form, l) {
  const C = form.direction.length;
  const weight = session.weight(`transformer.h.${l}.attn.c_proj.weight`); // [C, H D]
  const found = new Float64Array(C);
  for (let c = 0; c < C; c++) {
    const by = form.direction[c];
    for (let k = 0; k < C; k++) found[k] += by * weight[c * C + k];
  }
  return found;
}

/**
 * b_V of a block's heads, [H D].
 * @param {Session} session
 * @param {number} l
 */
function valueBias(session, l) {
  const bias = session.weight(`transformer.h.${l}.attn.c_attn.bias`);
  return bias.subarray((2 * bias.length) / 3);
}

/**
 * z of one head at the form's position, [D].
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @param {number} l
 * @param {number} h
 */
function zOf(session, run, form, l, h) {
  const D = session.config.n_embd / session.config.n_head;
  return row(run.values[`${l}.attn.z`].floats, h * run.ids.length + form.at, D);
}

/**
 * The heads of a block, the constant in them, and b_O.
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @param {number} l
 */
function heads(session, run, form, l) {
  const { n_head: H, n_embd: C } = session.config;
  const D = C / H;
  const toward = headDirections(session, form, l);
  const bias = valueBias(session, l);
  const found = [];
  let constant = 0;
  for (let h = 0; h < H; h++) {
    const name = `${l}.head.${h}`;
    const own = name in run.switches ? 0 : dot(row(bias, h, D), row(toward, h, D));
    constant += own;
    const value = (dot(zOf(session, run, form, l, h), row(toward, h, D)) - own) / form.sigma;
    found.push({ name, kind: "head", value });
  }
  found.push({ name: `${l}.attn.b_V`, kind: "constant", value: constant / form.sigma });
  const out = session.weight(`transformer.h.${l}.attn.c_proj.bias`);
  found.push({ name: `${l}.attn.b_O`, kind: "bias", value: reads(form, out) });
  return found;
}

/**
 * The parts of one component: an MLP's neurons, or a head's source positions.
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @param {string} of
 * @param {AbortSignal} [signal]
 * @returns {Promise<{ parts: Part[], whole: number }>}
 */
export async function finer(session, run, form, of, signal) {
  const [, layer, , head] = /^(\d+)\.(mlp|head\.(\d+))$/.exec(of) ?? [];
  const { n_layer, n_head } = session.config;
  if (!layer || Number(layer) >= n_layer || Number(head ?? 0) >= n_head) {
    throw new NoAnswer(`"${of}" cannot be divided: write an MLP (2.mlp) or a head (3.head.7).`);
  }
  const l = Number(layer);
  if (head === undefined) return neurons(session, run, form, l, signal);
  return sources(session, run, form, l, Number(head), signal);
}

/**
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @param {number} l
 * @param {AbortSignal} [signal]
 */
async function neurons(session, run, form, l, signal) {
  if (`${l}.mlp` in run.switches) {
    throw new NoAnswer(`${l}.mlp is edited as a whole, so it has no neurons' parts: leave out that edit.`);
  }
  const { n_embd: C, n_inner: F } = session.config;
  const values = await session.more(run, [`${l}.mlp.post`], { signal });
  const post = row(values[`${l}.mlp.post`].floats, form.at, F);
  const weight = session.weight(`transformer.h.${l}.mlp.c_proj.weight`); // [C, F]
  const toward = new Float64Array(F);
  for (let c = 0; c < C; c++) for (let n = 0; n < F; n++) toward[n] += form.direction[c] * weight[c * F + n];
  /** @type {Part[]} */
  const parts = [];
  post.forEach((a, n) => {
    const name = `${l}.mlp.post#${n}`;
    parts.push({ name, kind: "neuron", label: name, value: (a * toward[n]) / form.sigma });
  });
  const bias = reads(form, session.weight(`transformer.h.${l}.mlp.c_proj.bias`));
  parts.push({ name: `${l}.mlp.b`, kind: "bias", label: `${l}.mlp.b`, value: bias });
  return { parts, whole: reads(form, row(run.values[`${l}.mlp.out`].floats, form.at, C)) };
}

/**
 * @param {Session} session
 * @param {Run} run
 * @param {Form} form
 * @param {number} l
 * @param {number} h
 * @param {AbortSignal} [signal]
 */
async function sources(session, run, form, l, h, signal) {
  const name = `${l}.head.${h}`;
  if (Object.keys(run.switches).some((address) => address === `${l}.attn` || address.startsWith(`${l}.head.`))) {
    throw new NoAnswer(`${name} is edited where it writes, so it has no source positions: leave out that edit.`);
  }
  const T = run.ids.length;
  const D = session.config.n_embd / session.config.n_head;
  const values = await session.more(run, [`${l}.attn.pattern`, `${l}.attn.v`], { signal });
  const toward = row(headDirections(session, form, l), h, D);
  const bias = row(valueBias(session, l), h, D);
  const pattern = row(values[`${l}.attn.pattern`].floats, h * T + form.at, T);
  const constant = dot(toward, bias);
  /** @type {Part[]} */
  const parts = [];
  for (let j = 0; j <= form.at; j++) {
    const v = row(values[`${l}.attn.v`].floats, h * T + j, D);
    const value = (pattern[j] * (dot(v, toward) - constant)) / form.sigma;
    parts.push({ name: `${name}@${j}`, kind: "source", label: `${j} ${session.word(run.ids[j])}`, value });
  }
  const apart = (total(pattern) * constant) / form.sigma;
  parts.push({ name: `${name}.b_V`, kind: "constant", label: `${name}.b_V`, value: apart });
  return { parts, whole: dot(zOf(session, run, form, l, h), toward) / form.sigma };
}
