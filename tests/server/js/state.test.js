import { addresses, listeners } from "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { listen, read, restore, set, setSwitch, state, switchOf, write } from "../../../gpt2/server/web/state.js";
import { effective } from "../../../gpt2/server/web/stations.js";
import { describe } from "../../../gpt2/server/web/sentence.js";
import { switched } from "../../../gpt2/server/web/run.js";

const heard = [];
listen((names) => heard.push([...names].sort()));

test("an address holds the state and gives it back", () => {
  const values = {
    ...state,
    text: "50% of A+B = ä·, #1 & more",
    row: 2,
    temperature: 1.25,
    switches: { "4.mlp": "off", "3.head.1": "off", "1.ln_1.scale": "mean" },
    target: "·grass",
  };
  const address = write(values);
  assert.match(address, /off=3\.head\.1,4\.mlp/); // in the order of the names, so that equal states are equal
  assert.match(address, /mean=1\.ln_1\.scale/);
  assert.ok(!address.includes("+"));
  assert.deepEqual({ ...state, ...read(`#${address}`) }, values);
});

test("what is usual is left out, but for the text", () => {
  assert.equal(write(state), "text=The%20cat%20sat%20on%20the");
});

test("an address typed by hand: spaces, a plus sign, numbers that are none, names that are unknown", () => {
  const found = read("#text=1+1 is&row=two&seed=7&colour=rank&nonsense=1&off=,3.mlp,");
  assert.deepEqual(found, { text: "1+1 is", seed: 7, colour: "rank", switches: { "3.mlp": "off" } });
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

test("an exported file opens as it was saved, unless its address says more", () => {
  restore({ view: "text=Hello&row=1&off=0.mlp", text: "Hello", corrupt: "Hallo" });
  assert.deepEqual([state.text, state.row, state.corrupt], ["Hello", 1, "Hallo"]);
  assert.deepEqual(state.switches, { "0.mlp": "off" });
  location.hash = "#row=0&off=1.mlp";
  listeners.hashchange();
  assert.deepEqual([state.row, state.switches], [0, { "1.mlp": "off" }]);
  restore({ view: "row=1&off=0.mlp", text: "Hello", corrupt: "" });
  assert.deepEqual([state.text, state.row, state.switches], ["Hello", 0, { "1.mlp": "off" }]);
});
