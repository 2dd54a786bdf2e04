// A text that the model goes on with, token by token, with the keys and values of its earlier positions.
// In: ids, switches, how to draw. Out: the ids that follow. As gpt2/inference/generate.py and decoder.py.

import { choose, without } from "./draw.js";
import { empty } from "./graph.js";

/** @import { Settings } from "./draw.js" */
/** @import { Past } from "./graph.js" */
/** @import { Session, Switches } from "./session.js" */

/**
 * The ids that follow, the token that ends a text included.
 * @param {Session} session
 * @param {number[]} prompt
 * @param {Switches} switches
 * @param {Settings & { tokens: number }} how
 * @param {{ told?: (id: number) => void, signal?: AbortSignal }} [options]
 */
export async function write(session, prompt, switches, { tokens, ...settings }, { told, signal } = {}) {
  const { n_positions } = session.config;
  const holes = session.tokenizer.holes(session.config.vocab_size);
  const text = [...prompt];
  let past = empty(session.config, true);
  let next = prompt;
  while (text.length < prompt.length + tokens) {
    if (past.length === n_positions) past = await slid(session, text, switches, signal);
    const found = await session.extend(next, switches, past, signal);
    past = found.past;
    const id = choose(without(found.logits, holes), text, settings);
    text.push(id);
    told?.(id);
    if (session.ends.includes(id)) break;
    next = [id];
  }
  return text.slice(prompt.length);
}

/**
 * The past where the context is full: the last half of the text but its newest token, computed anew.
 * @param {Session} session
 * @param {number[]} text
 * @param {Switches} switches
 * @param {AbortSignal} [signal]
 * @returns {Promise<Past>}
 */
async function slid(session, text, switches, signal) {
  const kept = Math.max(1, Math.floor(session.config.n_positions / 2)) - 1;
  if (!kept) return empty(session.config, true);
  const { past } = await session.extend(text.slice(-kept - 1, -1), switches, empty(session.config, true), signal);
  return past;
}
