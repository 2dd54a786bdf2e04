import { addresses, pushed } from "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import {
  arrive,
  canRedo,
  canUndo,
  listen,
  set,
  setSwitch,
  state,
  switchOf,
  write,
} from "../../../gpt2/server/web/state.js";
import { effective } from "../../../gpt2/server/web/stations.js";
import { describe, endsInSpace } from "../../../gpt2/server/web/sentence.js";
import { run, scene, stale, switched, wanted } from "../../../gpt2/server/web/run.js";

const heard = [];
listen((names) => heard.push([...names].sort()));

test("what is usual is left out of the address, but for the text", () => {
  assert.equal(write(state), "text=The%20cat%20sat%20on%20the");
});

test("listeners hear the names that changed, and nothing where nothing did", () => {
  heard.length = 0;
  set({ row: 3, at: "0.attn", switches: {} });
  set({ row: 3 });
  assert.deepEqual(heard, [["row"]]);
  assert.match(addresses.at(-1), /^#text=.*&row=3$/);
  set({ row: -1 });
});

test("switches are set, listed and taken back", () => {
  assert.equal(switched(), false);
  setSwitch("3.head.1", "off");
  setSwitch("4.mlp", "mean");
  assert.equal(switchOf("3.head.1"), "off");
  assert.equal(switchOf("3.head.2"), "on");
  assert.equal(switched(), true);
  assert.equal(describe(), "Without head 3.1, with MLP 4 at its mean");
  setSwitch("3.head.1", "on");
  assert.deepEqual(state.switches, { "4.mlp": "mean" });
  assert.equal(describe(), "With MLP 4 at its mean");
  set({ switches: {} });
});

test("a long list of switches is cut", () => {
  set({ switches: { "0.mlp": "off", "1.mlp": "off" } });
  assert.equal(describe(), "Without MLP 0 and MLP 1");
  set({ switches: Object.fromEntries([0, 1, 2, 3, 4, 5].map((l) => [`${l}.mlp`, "off"])) });
  assert.equal(describe(), "Without MLP 0, MLP 1, MLP 2 and 3 more");
  set({ switches: {} });
});

test("a block that is off takes its parts with it, attention its heads", () => {
  set({ switches: { "2.block": "off", "3.attn": "mean", "4.head.0": "off" } });
  assert.equal(effective("2.mlp"), "off");
  assert.equal(effective("2.head.1"), "off");
  assert.equal(effective("3.head.1"), "mean");
  assert.equal(effective("3.mlp"), "on");
  assert.equal(effective("4.attn"), "part");
  assert.equal(effective("embed.pos"), "on");
  set({ switches: {} });
});

test("a new prompt or switch is a step that Back undoes; a row, a tab, and what is quiet are none", () => {
  globalThis.history.state = null;
  arrive({});
  pushed.length = 0;
  set({ row: 1, view: "lens" });
  set({ text: "A" }, { quiet: true });
  assert.deepEqual([pushed.length, canUndo(), canRedo()], [0, false, false]);
  set({ text: "B" });
  setSwitch("0.mlp", "off");
  assert.deepEqual([pushed.length, canUndo(), canRedo()], [2, true, false]);
  globalThis.history.state = { step: 1 };
  arrive({ text: "B" });
  assert.deepEqual([state.switches, pushed.length, canUndo(), canRedo()], [{}, 2, true, true]);
  globalThis.history.state = { step: 0 };
  arrive({ text: "A" });
  assert.deepEqual([state.text, canUndo(), canRedo()], ["A", false, true]);
  set({ text: "C" }); // from here on there is another future
  assert.deepEqual([canUndo(), canRedo()], [true, false]);
});

test("what is drawn speaks of the run that is shown until another is there", () => {
  set({ text: "old", switches: { "0.mlp": "off" } });
  run.scene = wanted();
  assert.equal(stale(), false);
  set({ text: "new", switches: { "1.mlp": "off" } });
  assert.equal(stale(), true);
  assert.deepEqual(scene(), { text: "old", switches: { "0.mlp": "off" } });
  assert.equal(describe(), "Without MLP 0");
  set({ text: "old", switches: { "0.mlp": "off" } });
  assert.equal(stale(), false);
  run.scene = null;
  set({ switches: {} });
});

test("a last space is a token of its own where words begin with theirs: what follows is a piece of a word", () => {
  const words = { 1: "·cat", 2: "icy" };
  assert.ok(endsInSpace({ words, tokens: ["The", "·"] }, "The "));
  assert.ok(!endsInSpace({ words, tokens: ["The", "·cat"] }, "The cat"));
  assert.ok(!endsInSpace({ words: { 1: "c", 2: "·" }, tokens: ["T", "·"] }, "T ")); // of bytes
});
