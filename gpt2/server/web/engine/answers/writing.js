// How the next token is drawn, and how a text goes on with switches and without.
// As gpt2/server/answers/draw.py and off.py.

import { choose, distribution } from "../draw.js";
import { NoAnswer } from "../session.js";
import { floats, ints } from "../vectors.js";
import { write } from "../writing.js";
import { likely, logitsOf, look } from "./flow.js";

/** @import { Continuation, Draw } from "../../answers.d.ts" */
/** @import { Session } from "../session.js" */
/** @import { Scene } from "./flow.js" */

/** @typedef {{ temperature?: number, top_k?: number, top_p?: number, seed?: number }} How */

/** @param {How} how */
const settings = ({ temperature = 0.8, top_k = 0, top_p = 0.95, seed = 0 }) => ({ temperature, top_k, top_p, seed });

/**
 * @param {Session} session
 * @param {Scene & How & { row: number }} ask
 * @param {(share: number) => void} _
 * @param {AbortSignal} [signal]
 * @returns {Promise<Draw>}
 */
export async function draw(session, ask, _, signal) {
  const ids = session.encode(ask.text);
  if (ask.row >= ids.length) {
    throw new NoAnswer(`There is no row ${ask.row}: this text has rows 0 to ${ids.length - 1}.`);
  }
  const now = await look(session, ids, ask.switches, signal);
  const shown = likely(now, await look(session, ids, {}, signal), ask.row);
  const prefix = ids.slice(0, ask.row + 1);
  const logits = logitsOf(now, ask.row);
  const shares = distribution(logits, prefix, settings(ask));
  const token = choose(logits, prefix, settings(ask));
  const longer = [...prefix, token];
  const text = session.tokenizer.decode(longer);
  return {
    ids: ints(shown, [shown.length]),
    shares: floats(
      shown.map((id) => shares[id]),
      [shown.length],
    ),
    kept: shares.reduce((count, share) => count + Number(share > 0), 0),
    token,
    word: session.word(token),
    text: session.tokenizer.encode(text).join() === longer.join() ? text : null,
  };
}

/**
 * @param {Session} session
 * @param {Scene & How & { tokens?: number }} ask
 * @param {(share: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Continuation>}
 */
export async function continuation(session, ask, told, signal) {
  const { tokens = 24 } = ask;
  const ids = session.encode(ask.text);
  let done = 0;
  const options = { told: () => told(++done / (2 * tokens)), signal };
  const how = { ...settings(ask), tokens };
  const before = await write(session, ids, {}, how, options);
  const changed = Object.keys(ask.switches).length > 0;
  const after = changed ? await write(session, ids, ask.switches, how, options) : before;
  const parts = before.findIndex((id, i) => id !== after[i]);
  return {
    before: before.map((id) => session.word(id)),
    after: after.map((id) => session.word(id)),
    same: parts < 0 ? Math.min(before.length, after.length) : parts,
  };
}
