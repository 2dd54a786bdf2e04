// Where answers come from: the server that sent this page; in a file, the data inside it, and the model inside it.
// In: a question and its parameters. Out: a promise of the answer. What was asked before is not asked again.

import { bytesOf } from "./characters.js";
import { answerOf } from "./columns.js";
import { ANSWERS } from "./engine/answers.js";
import { openEngine } from "./engine/engine.js";
import { NoEngine } from "./engine/kernel.js";
import { NoAnswer } from "./engine/session.js";
import { NotThere, pieces } from "./fetched.js";
import { unpack } from "./wire.js";

/** @import { Answers } from "./answers.d.ts" */
/** @import { Family } from "./columns.js" */
/** @import { Session } from "./engine/session.js" */
/** @typedef {(share: number, left: number | null, partial: any) => void} Told */

/**
 * An exported file: what it says of itself, where each answer lies in its bytes, and these. Where it has families, the
 * index names an answer's family and its place there (columns.js).
 * @type {{
 *   meta: { view: string, text: string, corrupt: string },
 *   index: Record<string, [number, number]>,
 *   families: Family[] | null,
 *   words: Record<string, string>,
 *   bytes: ArrayBuffer,
 * }}
 */
const file = {
  meta: { view: "", text: "", corrupt: "" },
  index: {},
  families: null,
  words: {},
  bytes: new ArrayBuffer(0),
};
const stored = document.getElementById("data"); // such a file has its answers here
const model = document.getElementById("weights"); // and a live one its model

/** @type {Promise<Session> | null} */
let opening = null;

/** @type {Map<string, Promise<any>>} */
const known = new Map();
const KEPT = 200;
const NOT_BROUGHT = "This is measured on many texts, which a page without a server does not bring.";

export const live = !stored || Boolean(model); // whether something new can be computed
export const isFile = Boolean(stored);

// Unpack the data of an exported file: to be awaited before anything is asked.
// Resolves to what the file says of itself.
export async function ready() {
  if (!stored) return file.meta;
  const bytes = await inside(stored);
  const length = new DataView(bytes).getUint32(0, true);
  Object.assign(file, JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length))));
  file.bytes = bytes.slice(4 + length);
  return file.meta;
}

// The text that a file was written for.
export const textOfFile = () => file.meta.text;

/**
 * What an element of the file holds, characters of gzip, or what the files that it names hold, gzip.
 * @param {HTMLElement} element
 */
async function inside(element) {
  const { files, size } = element.dataset;
  /** @type {Error | null} */
  let why = null;
  /** @type {(error: Error) => void} */
  const failed = (error) => {
    why = error;
  };
  const packed = files
    ? pieces(files.split(" "), Number(size), arrives, failed)
    : new Blob([bytesOf(element.textContent.trim())]).stream();
  try {
    return await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  } catch (error) {
    throw why ?? new NoEngine("This file is damaged or not all there: fetch it again.", { cause: error });
  }
}

/** @param {number} share of the model that has come */
function arrives(share) {
  const busy = document.getElementById("busy");
  if (busy) busy.textContent = share < 1 ? `the model comes: ${Math.round(100 * share)} % …` : "computing …";
}

/**
 * The model in this file, unpacked once.
 * @param {HTMLElement} weights
 */
function engine(weights) {
  opening ??= (async () => {
    const parts = /** @type {HTMLElement} */ (document.getElementById("parts"));
    return openEngine(await inside(parts), await inside(weights));
  })();
  opening.catch(() => (opening = null)); // asked for again, it is fetched again
  return opening;
}

// The server, or the file, has no answer: the message says why, and what to do.
export class Refusal extends Error {}

/**
 * The same parameters always make the same key, here and in gpt2/server/export.py.
 * @param {string} name
 * @param {object} parameters
 */
export function key(name, parameters) {
  /** @type {(value: any) => any} */
  const sorted = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(sorted);
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((k) => [k, sorted(value[k])]),
    );
  };
  return name + JSON.stringify(sorted(parameters));
}

/**
 * `told(share, seconds left, partial)` hears of progress; `signal` ends the work here and on the server.
 * @template {keyof Answers} Name
 * @param {Name} name
 * @param {object} [parameters]
 * @param {{ signal?: AbortSignal, told?: Told }} [options]
 * @returns {Promise<Answers[Name]>}
 */
export function ask(name, parameters = {}, { signal, told } = {}) {
  const id = key(name, parameters);
  const before = known.get(id);
  if (before) return before;
  const answer = answered(name, parameters, id, signal, told);
  known.set(id, answer);
  if (known.size > KEPT) known.delete([...known.keys()][0]);
  answer.catch(() => known.delete(id));
  return answer;
}

/**
 * The same question, asked of the second model of a page that has one.
 * @type {typeof ask}
 */
export const askOther = (name, parameters, options) =>
  ask(/** @type {typeof name} */ (`beside/${name}`), parameters, options);

/**
 * @param {string} name
 * @param {object} parameters
 * @param {string} id
 * @param {AbortSignal} [signal]
 * @param {Told} [told]
 */
function answered(name, parameters, id, signal, told) {
  if (!stored) return fromServer(name, parameters, signal, told);
  if (id in file.index || !model || !(name in ANSWERS)) return fromFile(id);
  return fromEngine(model, name, parameters, signal, told);
}

/**
 * Whether an answer can be had: from a server all, from a file those that it holds, and those that its model gives.
 * @param {keyof Answers} name
 * @param {object} parameters
 */
export function has(name, parameters) {
  return !stored || key(name, parameters) in file.index || (Boolean(model) && name in ANSWERS);
}

/**
 * As ask; where a file has no answer with these switches, the one with everything on.
 * @template {keyof Answers} Name
 * @param {Name} name
 * @param {object} parameters
 * @returns {Promise<Answers[Name]>}
 */
export async function askPlainly(name, parameters) {
  if (has(name, parameters)) return ask(name, parameters);
  return ask(name, { ...parameters, switches: {} });
}

/** @param {string} id */
async function fromFile(id) {
  if (!(id in file.index)) {
    throw new Refusal(model ? NOT_BROUGHT : "This needs the model, and this file holds one run.");
  }
  if (file.families) return answerOf({ ...file, families: file.families }, id);
  const [start, length] = file.index[id];
  return unpack(file.bytes.slice(start, start + length));
}

/**
 * @param {HTMLElement} weights
 * @param {string} name
 * @param {object} parameters
 * @param {AbortSignal} [signal]
 * @param {Told} [told]
 */
async function fromEngine(weights, name, parameters, signal, told) {
  const began = performance.now();
  /** @type {(share: number, partial?: any) => void} */
  const tell = (share, partial = null) =>
    told?.(share, share ? ((performance.now() - began) / 1000) * (1 / share - 1) : null, partial);
  try {
    return await ANSWERS[name](await engine(weights), parameters, tell, signal);
  } catch (error) {
    const isKnown = [NoAnswer, NoEngine, NotThere].some((kind) => error instanceof kind);
    throw isKnown ? new Refusal(error.message, { cause: error }) : error;
  }
}

/**
 * @param {string} name
 * @param {object} parameters
 * @param {AbortSignal} [signal]
 * @param {Told} [told]
 */
async function fromServer(name, parameters, signal, told) {
  let response;
  try {
    response = await fetch(`api/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(parameters),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer: is the command that opened this page still running?");
  }
  if (!response.ok) {
    const { error } = await response.json();
    throw new Refusal(error.message ?? error); // of an object where `gpt2 serve` serves the page
  }
  if (!response.body) throw new Refusal("The answer is empty: ask again.");
  for await (const frame of frames(response.body.getReader())) {
    if ("answer" in frame) return frame.answer;
    if ("progress" in frame) told?.(frame.progress, frame.seconds_left, frame.partial);
    else throw new Refusal(frame.error ?? frame.failure);
  }
  throw new Refusal("The answer broke off: ask again.");
}

/**
 * The messages of a stream of bytes, each behind its length (gpt2/server/jobs.py writes them).
 * @param {{ read(): Promise<{ done: boolean, value?: Uint8Array }> }} reader
 */
export async function* frames(reader) {
  let bytes = new Uint8Array(0);
  for (;;) {
    while (bytes.length >= 4) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      if (bytes.length < 4 + length) break;
      yield unpack(bytes.slice(4, 4 + length).buffer);
      bytes = bytes.slice(4 + length);
    }
    const { done, value } = await reader.read();
    if (done || !value) return;
    const longer = new Uint8Array(bytes.length + value.length);
    longer.set(bytes);
    longer.set(value, bytes.length);
    bytes = longer;
  }
}

// For a reader's own questions, in the browser's console: await glassbox.ask("lens", { text: "A cat", switches: {} })
Object.assign(globalThis, { glassbox: { ask } });
