import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { ask, frames, has, key, Refusal } from "../../../gpt2/server/web/source.js";
import { begin, progressOf } from "../../../gpt2/server/web/work.js";

// A message: its length, then an answer without arrays.
function message(value) {
  const json = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(8 + json.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4 + json.length, true);
  view.setUint32(4, json.length, true);
  bytes.set(json, 8);
  return bytes;
}

function stream(chunks) {
  const left = [...chunks];
  return { read: async () => (left.length ? { done: false, value: left.shift() } : { done: true }) };
}

function served(chunks, ok = true) {
  const asked = [];
  globalThis.fetch = async (url, { body }) => {
    asked.push([url, body]);
    return { ok, json: async () => ({ error: "No." }), body: { getReader: () => stream(chunks) } };
  };
  return asked;
}

test("equal parameters make equal keys, whatever their order", () => {
  const wanted = 'draw{"switches":{"a":"mean","b":"off"},"text":"ä \\"·","top_p":1}';
  assert.equal(key("draw", { text: 'ä "·', top_p: 1.0, switches: { b: "off", a: "mean" } }), wanted);
});

test("messages are read however the network cuts them", async () => {
  const both = [...message({ progress: 0.5 }), ...message({ answer: { a: 1 } })];
  for (const size of [1, 3, 7, 1000]) {
    const chunks = [];
    for (let i = 0; i < both.length; i += size) chunks.push(Uint8Array.from(both.slice(i, i + size)));
    const found = [];
    for await (const frame of frames(stream(chunks))) found.push(frame);
    assert.deepEqual(found, [{ progress: 0.5 }, { answer: { a: 1 } }]);
  }
});

test("an answer is asked for once, and its progress is told", async () => {
  const asked = served([
    message({ progress: 0.5, seconds_left: 3, partial: null }),
    message({ answer: { word: "·grass" } }),
  ]);
  const told = [];
  const first = await ask("draw", { row: 4 }, { told: (...news) => told.push(news) });
  assert.deepEqual(first, { word: "·grass" });
  assert.equal(await ask("draw", { row: 4 }), first);
  assert.deepEqual(asked, [["api/draw", '{"row":4}']]);
  assert.deepEqual(told, [[0.5, 3, null]]);
  assert.ok(has("draw", { row: 5 })); // a server answers all
});

test("a refusal says why, and may be asked again", async () => {
  const refused = (sentence) => (error) => error instanceof Refusal && sentence.test(error.message);
  served([], false);
  await assert.rejects(ask("picture", { text: "" }), refused(/^No\.$/));
  served([message({ error: "There is no row 9." })]);
  await assert.rejects(ask("picture", { text: "" }), refused(/no row 9/));
  served([message({ progress: 0.5 })]);
  await assert.rejects(ask("picture", { text: "" }), refused(/broke off/));
  globalThis.fetch = async () => {
    throw new TypeError("failed");
  };
  await assert.rejects(ask("picture", { text: "" }), refused(/does not answer/));
  served([message({ answer: { tokens: [] } })]);
  assert.deepEqual(await ask("picture", { text: "" }), { tokens: [] });
});

test("late parts of an old question are not those of the new one", async () => {
  const sent = {};
  globalThis.fetch = async (_, { body }) => {
    const waiting = [];
    let more = () => {};
    sent[JSON.parse(body).clean] = (frame) => {
      waiting.push(message(frame));
      more();
    };
    const read = async () => {
      while (!waiting.length) await new Promise((resolve) => (more = resolve));
      return { done: false, value: waiting.shift() };
    };
    return { ok: true, body: { getReader: () => ({ read }) } }; // which hears of no end: the worst that may happen
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
  const first = begin("patch", "patch", { clean: "A" }, () => {});
  await settle();
  sent.A({ progress: 0.25, seconds_left: 1, partial: "a1" });
  await settle();
  assert.equal(progressOf("patch").partial, "a1");
  const second = begin("patch", "patch", { clean: "B" }, () => {});
  sent.A({ progress: 0.5, seconds_left: 1, partial: "a2" });
  await settle();
  assert.equal(progressOf("patch").partial, null);
  sent.B({ progress: 0.5, seconds_left: 1, partial: "b1" });
  sent.A({ progress: 0.75, seconds_left: 1, partial: "a3" });
  await settle();
  assert.equal(progressOf("patch").partial, "b1");
  sent.A({ answer: { of: "A" } });
  assert.deepEqual(await first, { of: "A" });
  assert.equal(progressOf("patch").partial, "b1");
  sent.B({ answer: { of: "B" } });
  assert.deepEqual(await second, { of: "B" });
  assert.equal(progressOf("patch"), undefined);
});
