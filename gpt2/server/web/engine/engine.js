// The model in the reader's browser: what the server answers, answered here.
// In: the two parts that a live page brings (gpt2/explain/live/brought.py). Out: a session that answers questions.

import { unpack } from "../wire.js";
import { BytePairs } from "./bpe.js";
import { Graph } from "./graph.js";
import { Session } from "./session.js";
import { Tensor } from "./tensor.js";
import { loadWeights } from "./weights.js";

/** @typedef {{ data: Float32Array, shape: number[] }} Floats */

/**
 * @param {ArrayBuffer} parts
 * @param {ArrayBuffer} weights
 */
export async function openEngine(parts, weights) {
  const { graph, tokenizer, ends, means, contexts } = unpack(parts);
  const loaded = await loadWeights(weights);
  loaded.weights["lm_head.weight"] ??= loaded.weights["transformer.wte.weight"]; // tied: one table for both
  const made = new Graph(graph, loaded.weights, loaded.kernel);
  return new Session(made, new BytePairs(tokenizer), shaped(means), ends, contexts);
}

/**
 * Each mean so that it broadcasts to its point: [C] to [1, 1, C], [H, D] to [1, H, 1, D].
 * @param {Record<string, Floats>} means
 */
function shaped(means) {
  return Object.fromEntries(
    Object.entries(means).map(([address, { data, shape }]) => {
      const [first, second] = shape;
      const axes = shape.length === 2 ? [1, first, 1, second] : shape.length === 1 ? [1, 1, first] : [];
      return [address, new Tensor(data, axes)];
    }),
  );
}
