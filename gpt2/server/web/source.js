// Where answers come from: the server that sent this page, or, in an exported file, the data inside it.
// In: a question and its parameters. Out: a promise of the answer. What was asked before is not asked again.

import { unpack } from "./wire.js";

const stored = document.getElementById("data"); // an exported file has its answers here
const known = new Map();
const KEPT = 200;
const file = { meta: {}, index: {}, bytes: null };

export const live = !stored;

// Unpack the data of an exported file: to be awaited before anything is asked.
// Resolves to what the file says of itself.
export async function ready() {
  if (live) return file.meta;
  const packed = Uint8Array.from(atob(stored.textContent.trim()), (c) => c.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(plain).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  Object.assign(file, JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length))));
  file.bytes = bytes.slice(4 + length);
  return file.meta;
}

// Refused or failed; `command` is what a reader of an exported file can type to get the answer.
export class Refusal extends Error {}

// The same parameters always make the same key, here and in gpt2/server/export.py.
export function key(name, parameters) {
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

// `told(share, seconds left, partial)` hears of progress; `signal` ends the work here and on the server.
export function ask(name, parameters = {}, { signal, told } = {}) {
  const id = key(name, parameters);
  if (known.has(id)) return known.get(id);
  const answer = live ? fromServer(name, parameters, signal, told) : fromFile(id);
  known.set(id, answer);
  if (known.size > KEPT) known.delete(known.keys().next().value);
  answer.catch(() => known.delete(id));
  return answer;
}

// Whether an answer can be had without a server.
export function has(name, parameters) {
  return live || key(name, parameters) in file.index;
}

// As ask; where a file has no answer with these switches, the one with everything on, marked `plain`.
export async function askPlainly(name, parameters) {
  if (has(name, parameters)) return ask(name, parameters);
  return { ...(await ask(name, { ...parameters, switches: {} })), plain: true };
}

async function fromFile(id) {
  if (!(id in file.index)) throw new Refusal("This needs the model, and this file holds one run of it.");
  const [start, length] = file.index[id];
  return unpack(file.bytes.slice(start, start + length));
}

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
  if (!response.ok) throw new Refusal((await response.json()).error);
  for await (const frame of frames(response.body.getReader())) {
    if ("answer" in frame) return frame.answer;
    if ("progress" in frame) told?.(frame.progress, frame.seconds_left, frame.partial);
    else throw new Refusal(frame.error ?? frame.failure);
  }
  throw new Refusal("The answer broke off: ask again.");
}

async function* frames(reader) {
  let bytes = new Uint8Array(0);
  for (;;) {
    while (bytes.length >= 4) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
      if (bytes.length < 4 + length) break;
      yield unpack(bytes.slice(4, 4 + length).buffer);
      bytes = bytes.slice(4 + length);
    }
    const { done, value } = await reader.read();
    if (done) return;
    const longer = new Uint8Array(bytes.length + value.length);
    longer.set(bytes);
    longer.set(value, bytes.length);
    bytes = longer;
  }
}
