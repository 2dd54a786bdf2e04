// A page whose model cannot be opened: one sentence, and what the file holds is still answered.
import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";

const ALPHABET = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((c) => !'"&<'.includes(c));

/** What gpt2/explain/live/characters.py writes. */
function characters(bytes) {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  let text = "";
  for (; bits.length > 6; bits = bits.slice(13)) {
    const value = parseInt(bits.slice(0, 13).padEnd(13, "0"), 2);
    text += ALPHABET[Math.floor(value / 91)] + ALPHABET[value % 91];
  }
  return bits ? text + ALPHABET[parseInt(bits.padEnd(6, "0"), 2)] : text;
}

/** The data of a file with one answer. */
function data() {
  const answer = new TextEncoder().encode('{"tokens":["a"]} '.padEnd(20));
  const packed = [...new Uint8Array(Uint32Array.of(answer.length).buffer), ...answer];
  const index = { 'picture{"text":"a"}': [0, packed.length] };
  const json = new TextEncoder().encode(JSON.stringify({ meta: { view: "", text: "a", corrupt: "" }, index }));
  return Uint8Array.from([...new Uint8Array(Uint32Array.of(json.length).buffer), ...json, ...packed]);
}

const inside = (bytes) => ({ dataset: {}, textContent: `${characters(bytes)}\n` });
const elements = { data: inside(gzipSync(data())), parts: inside(gzipSync("{}")) };
elements.weights = inside(gzipSync(new Uint8Array(1000)));
globalThis.document.getElementById = (id) => elements[id] ?? null;
const { ask, ready, Refusal } = await import("../../../gpt2/server/web/source.js");

const refused = (sentence) => (error) => error instanceof Refusal && sentence.test(error.message);
const again = /^This file is damaged or not all there: fetch it again\.$/;

test("a file that is cut off, or changed, says so, and still gives what it holds", async () => {
  assert.equal((await ready()).text, "a");
  const whole = elements.weights.textContent;
  const middle = whole.length >> 1;
  for (const text of [whole.slice(0, 20), "", `${whole.slice(0, middle)}zz${whole.slice(middle + 2)}`, "é".repeat(9)]) {
    elements.weights.textContent = text;
    await assert.rejects(ask("picture", { text: "b", n: text.length }), refused(again));
    assert.deepEqual(await ask("picture", { text: "a" }), { tokens: ["a"] });
  }
  elements.weights.textContent = whole;
  const parts = elements.parts.textContent;
  elements.parts.textContent = parts.slice(0, 9);
  await assert.rejects(ask("picture", { text: "b" }), refused(again));
  elements.parts.textContent = parts;
});

test("where the model cannot run, what the file holds is still answered", async (context) => {
  const { instantiate } = WebAssembly;
  context.after(() => (WebAssembly.instantiate = instantiate));
  WebAssembly.instantiate = async () => {
    throw new WebAssembly.CompileError("invalid opcode 0xfd");
  };
  const lists = ["alphabet", "left", "right", "step", "letters", "numbers", "spaces"];
  const none = Object.fromEntries(lists.map((name) => [name, { data: [], shape: [0] }]));
  const graph = { nodes: [], points: {}, keys: [], values: [], config: {} };
  const json = JSON.stringify({ graph, tokenizer: { size: 0, others: {}, hidden: "", ...none }, ends: [], means: {} });
  elements.parts = inside(
    gzipSync(Buffer.concat([Buffer.from(Uint32Array.of(json.length).buffer), Buffer.from(json)])),
  );
  elements.weights.textContent = characters(gzipSync(Buffer.from("\x02\0\0\0\0\0\0\0{}")));
  await assert.rejects(
    ask("picture", { text: "b" }),
    refused(/^This browser cannot run the model .*: use a newer one\.$/),
  );
  assert.deepEqual(await ask("picture", { text: "a" }), { tokens: ["a"] });
});
