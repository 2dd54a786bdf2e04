// A live page without a browser: its source with a model beside it, late parts of an old question, and what a reader
// is told where the model cannot be opened.
import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { ANSWERS } from "../../../gpt2/server/web/engine/answers.js";
import { Graph } from "../../../gpt2/server/web/engine/graph.js";
import { NoEngine } from "../../../gpt2/server/web/engine/kernel.js";
import { loadWeights } from "../../../gpt2/server/web/engine/weights.js";

/** A safetensors file of these tensors: name -> [dtype, shape, bytes]. */
function safetensors(tensors) {
  const header = {};
  const data = [];
  for (const [name, [dtype, shape, bytes]] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [data.length, data.length + bytes.length] };
    for (const byte of bytes) data.push(byte);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(BigUint64Array.of(BigInt(json.length)).buffer);
  return Uint8Array.from([...length, ...json, ...data]).buffer;
}

/** The parts of a page whose model computes nothing: JSON without arrays (wire.js). */
function parts() {
  const none = { data: [], shape: [0] };
  const lists = Object.fromEntries(
    ["alphabet", "left", "right", "step", "letters", "numbers", "spaces"].map((k) => [k, none]),
  );
  const graph = { nodes: [], points: {}, keys: [], values: [], config: {} };
  const tokenizer = { size: 0, others: {}, hidden: "", ...lists };
  const json = new TextEncoder().encode(JSON.stringify({ graph, tokenizer, ends: [], means: {}, contexts: null }));
  return Uint8Array.from([...new Uint8Array(Uint32Array.of(json.length).buffer), ...json]);
}

const files = { parts: gzipSync(parts()), weights: gzipSync(new Uint8Array(safetensors({}))) };
const beside = (name) => ({ dataset: { files: name, size: "1" } });
const elements = { data: beside("data"), parts: beside("parts"), weights: beside("weights") };
globalThis.document.getElementById = (id) => elements[id] ?? null;
globalThis.fetch = async (name) => new Response(files[name]);
const { begin, progressOf } = await import("../../../gpt2/server/web/work.js");

test("late parts of an old question are not those of the new one, nor is its answer", async () => {
  const told = {};
  const ended = {};
  ANSWERS.patch = (_, { clean }, tell) => {
    told[clean] = tell;
    return new Promise((resolve) => (ended[clean] = resolve)); // it hears of no end: the worst that may happen
  };
  const seen = [];
  const news = () => seen.push(progressOf("patch")?.partial ?? null);
  const first = begin("patch", "patch", { clean: "A" }, news);
  while (!told.A) await new Promise((resolve) => setTimeout(resolve));
  told.A(0.25, "a1");
  assert.equal(progressOf("patch").partial, "a1");
  const second = begin("patch", "patch", { clean: "B" }, news);
  assert.equal(progressOf("patch").partial, null);
  told.A(0.5, "a2");
  assert.equal(progressOf("patch").partial, null);
  while (!told.B) await new Promise((resolve) => setTimeout(resolve));
  told.B(0.5, "b1");
  told.A(0.75, "a3");
  assert.deepEqual([progressOf("patch").partial, progressOf("patch").share], ["b1", 0.5]);
  ended.A("answer of A");
  assert.equal(await first, "answer of A"); // for who keeps it under its own question
  assert.equal(progressOf("patch").partial, "b1");
  ended.B("answer of B");
  assert.equal(await second, "answer of B");
  assert.equal(progressOf("patch"), undefined);
  assert.deepEqual(
    seen.slice(seen.indexOf("a1") + 1).filter((x) => x?.startsWith("a")),
    [],
  );
});

test("many short passes, one after the other, let the page listen: a cancel is heard", async () => {
  const graph = new Graph({ nodes: [["input", "ids"]], points: { ids: 0 }, keys: [], values: [], config: {} }, {}, {});
  const control = new AbortController();
  setTimeout(() => control.abort());
  let passes = 0;
  await assert.rejects(
    async () => {
      while (passes < 1e7) {
        await graph.run([1, 2], { wanted: ["ids"], past: { length: 0, keys: [], values: [] }, signal: control.signal });
        passes += 1; // each shorter than the pause that it was given of its own
      }
    },
    { name: "AbortError" },
  );
  assert.ok(passes > 1);
});

const floats = (...x) => new Uint8Array(Float32Array.from(x).buffer);
const damaged = { message: "The weights in this file are damaged or not all there: fetch the file again." };

test("codes of 8 bits stand for themselves times the scale of their row", async () => {
  const w = ["I8", [2, 3], new Uint8Array(Int8Array.of(1, -2, 127, 0, 5, -127).buffer)];
  const { weights } = await loadWeights(safetensors({ "w.scale": ["F32", [2], floats(0.5, 0.1)], w }));
  assert.deepEqual(Object.keys(weights), ["w"]);
  assert.deepEqual(
    [...weights.w.floats],
    [0.5, -1, 63.5, 0, 5 * Math.fround(0.1), -127 * Math.fround(0.1)].map(Math.fround),
  );
});

test("weights that are damaged or not all there are refused in one sentence, those of 8 bits too", async () => {
  const w = ["I8", [2, 3], new Uint8Array(6)];
  const whole = safetensors({ "w.scale": ["F32", [2], floats(1, 1)], w });
  for (const bytes of [
    new ArrayBuffer(3),
    whole.slice(0, 20),
    whole.slice(0, whole.byteLength - 1),
    safetensors({ w }),
    safetensors({ "w.scale": ["F16", [2], new Uint8Array(4)], w }),
    safetensors({ "w.scale": ["F32", [1], floats(1)], w }),
    safetensors({ "w.scale": ["F32", [2], floats(1, 1)], w: ["I8", [2, 3], new Uint8Array(4)] }),
    safetensors({ w: ["F32", [2, 3], floats(1)] }),
  ]) {
    await assert.rejects(loadWeights(bytes), damaged);
  }
  await assert.rejects(loadWeights(safetensors({ w: ["I64", [1], new Uint8Array(8)] })), /are I64: the page reads/);
});

test("a browser without SIMD, or without enough memory, is told so", async (context) => {
  const { instantiate } = WebAssembly;
  context.after(() => (WebAssembly.instantiate = instantiate));
  for (const [error, sentence] of [
    [new WebAssembly.CompileError("invalid opcode 0xfd"), /^This browser cannot run the model \(it needs WebAssembly/],
    [new RangeError("could not allocate memory"), /^This browser has too little memory for the model: close/],
  ]) {
    WebAssembly.instantiate = async () => {
      throw error;
    };
    await assert.rejects(
      loadWeights(safetensors({})),
      (found) => found instanceof NoEngine && sentence.test(found.message),
    );
  }
});
