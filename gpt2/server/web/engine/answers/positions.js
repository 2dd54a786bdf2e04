// How alike the position vectors are, and which tokens lie near one in the embedding.
// As gpt2/explain/see/embeddings.py.

import { NoAnswer } from "../session.js";
import { average, dot, floats, ints, largest, length, row } from "../vectors.js";

/** @import { Neighbours, Positions } from "../../answers.d.ts" */
/** @import { Session } from "../session.js" */

const CELLS = 96;
const NEAREST = 12;

/**
 * @param {Session} session
 * @param {{ count?: number }} ask
 * @returns {Promise<Positions>}
 */
export async function positions(session, { count = 64 }) {
  const { n_embd: C, n_positions, positions: kind } = session.config;
  if (kind !== "Embedding") {
    throw new NoAnswer(`This model has no table of position vectors, its wpe is ${kind}.`);
  }
  const table = session.weight("transformer.wpe.weight");
  const n = Math.min(count, n_positions);
  const shown = Math.min(n, CELLS);
  const at = Array.from({ length: shown }, (_, i) => Math.round((i * (n - 1)) / (shown - 1)));
  const vectors = at.map((i) => row(table, i, C));
  const norms = vectors.map(length);
  const cosine = vectors.flatMap((a, i) => vectors.map((b, j) => dot(a, b) / (norms[i] * norms[j])));
  return {
    cosine: floats(cosine, [at.length, at.length]),
    at: ints(at, [at.length]),
    norms: floats(norms, [at.length]),
  };
}

/**
 * @param {Session} session
 * @param {{ token: number }} ask
 * @returns {Promise<Neighbours>}
 */
export async function neighbours(session, { token }) {
  const { n_embd: C, vocab_size: V } = session.config;
  if (token >= V) throw new NoAnswer(`There is no token ${token}: this model has tokens 0 to ${V - 1}.`);
  const table = session.weight("transformer.wte.weight");
  const own = row(table, token, C);
  const cosines = Float64Array.from({ length: V }, (_, v) => {
    const other = row(table, v, C);
    return dot(own, other) / (length(own) * length(other));
  });
  const others = cosines.filter((_, v) => v !== token);
  const mean = average(others);
  const spread = Math.sqrt(average(others.map((x) => (x - mean) ** 2)));
  cosines[token] = -Infinity;
  return {
    word: session.word(token),
    nearest: largest(cosines, NEAREST).map((id) => ({ id, word: session.word(id), cosine: cosines[id] })),
    typical: [mean, spread],
  };
}
