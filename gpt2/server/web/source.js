// Where answers come from: the server that sent this page, or, in an exported file, the data inside it.
// In: a question and its parameters. Out: a promise of the answer. What was asked before is not asked again.

import { unpack } from "./wire.js";

/** @import { Answers } from "./answers.d.ts" */
/** @typedef {(share: number, left: number | null, partial: any) => void} Told */

/**
 * An exported file: what it says of itself, where each answer lies in its bytes, and these.
 * @type {{
 *   meta: { view: string, text: string, corrupt: string },
 *   index: Record<string, [start: number, length: number]>,
 *   bytes: ArrayBuffer,
 * }}
 */
const file = { meta: { view: "", text: "", corrupt: "" }, index: {}, bytes: new ArrayBuffer(0) };
const stored = document.getElementById("data"); // such a file has its answers here

/** @type {Map<string, Promise<any>>} */
const known = new Map();
const KEPT = 200;

export const live = !stored;

// Unpack the data of an exported file: to be awaited before anything is asked.
// Resolves to what the file says of itself.
export async function ready() {
  if (!stored) return file.meta;
  const packed = Uint8Array.from(atob(stored.textContent.trim()), (c) => c.charCodeAt(0));
  const unzipped = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(unzipped).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  Object.assign(file, JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length))));
  file.bytes = bytes.slice(4 + length);
  return file.meta;
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
  const answer = live ? fromServer(name, parameters, signal, told) : fromFile(id);
  known.set(id, answer);
  if (known.size > KEPT) known.delete([...known.keys()][0]);
  answer.catch(() => known.delete(id));
  return answer;
}

/**
 * Whether an answer can be had: from a server all, from a file those that it holds.
 * @param {keyof Answers} name
 * @param {object} parameters
 */
export function has(name, parameters) {
  return live || key(name, parameters) in file.index;
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
  if (!(id in file.index)) throw new Refusal("This needs the model, and this file holds one run of it.");
  const [start, length] = file.index[id];
  return unpack(file.bytes.slice(start, start + length));
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
