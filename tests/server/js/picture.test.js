import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { ofHead, onFirst, strongest } from "../../../gpt2/server/web/arcs.js";
import { nextOf } from "../../../gpt2/server/web/picture.js";
import { tintsOf } from "../../../gpt2/server/web/rivers.js";
import { lensOf, rowNow, run } from "../../../gpt2/server/web/run.js";
import { agree, change, differ } from "../../../gpt2/server/web/colour.js";
import { set } from "../../../gpt2/server/web/state.js";

const floats = (shape, ...data) => ({ data: new Float32Array(data), shape });
const ints = (shape, ...data) => ({ data: new Int32Array(data), shape });

test("arcs are the listed sources of a block and row, or those of one head", () => {
  const from = ints([1, 2, 2], 0, 0, 1, 0);
  const weight = floats([1, 2, 2], 1, 0, 0.75, 0.25);
  assert.deepEqual(strongest({ from, weight })(0, 1), [
    [1, 0.75],
    [0, 0.25],
  ]);
  const sources = ofHead(floats([2, 2], 1, 0, 0.25, 0.75), 3);
  assert.deepEqual(sources(3, 1), [
    [0, 0.25],
    [1, 0.75],
  ]);
  assert.deepEqual(sources(3, 0), [[0, 1]]);
  assert.deepEqual(sources(2, 1), []);
});

test("the first token has no arc: its share is told apart, where it is among the listed ones", () => {
  const sources = () => [
    [0, 0.5],
    [2, 0.25],
    [1, 0.125],
    [2, 0.01],
  ];
  assert.equal(onFirst(sources, 0, 2), 0.5);
  assert.equal(
    onFirst(() => [[1, 1]], 0, 2),
    null,
  );
});

test("the row is the selected one; -1, and one that the text does not have, are the last", () => {
  run.picture = { tokens: ["a", "b", "c"] };
  for (const [row, now] of [
    [-1, 2],
    [1, 1],
    [9, 2],
  ]) {
    set({ row });
    assert.equal(rowNow(), now);
  }
  set({ row: -1 });
});

test("the likeliest tokens of a row are words with this run's numbers and those before", () => {
  run.picture = {
    tokens: ["a", "b"],
    words: { 7: "·x", 9: "·y" },
    next: {
      ids: ints([2, 2], 9, 7, 7, 9),
      p: floats([2, 2], 0.5, 0.25, 0.75, 0.125),
      p_before: floats([2, 2], 0.5, 0.25, 0.25, 0.5),
      logit: floats([2, 2], 2, 1, 3, 0),
    },
  };
  assert.deepEqual(nextOf(1), [
    { id: 7, word: "·x", p: 0.75, before: 0.25, logit: 3 },
    { id: 9, word: "·y", p: 0.125, before: 0.5, logit: 0 },
  ]);
});

test("the lens of a row stands in its window of sixteen", () => {
  run.lens.set(1, { first: 16 });
  assert.deepEqual(lensOf(18), { data: { first: 16 }, index: 2 });
  assert.equal(lensOf(3), null);
});

test("tints: blue where the lens says the final answer, sand where not, and the change in the view of changes", () => {
  const data = {
    final: ints([1], 7),
    top: ints([2, 1], 9, 7),
    p: floats([2, 1], 0.25, 1),
    p_final: floats([2, 1], 0.125, 1),
    p_final_before: floats([2, 1], 0.25, 0.5),
  };
  assert.deepEqual(tintsOf({ data, index: 0 }, 2, "run"), [differ((0.12 + 0.88 * 0.5) * 0.85), agree(1)]);
  assert.deepEqual(tintsOf({ data, index: 0 }, 2, "change"), [change(-0.25), change(1)]);
  assert.deepEqual(tintsOf(null, 2, "run"), [agree(0), agree(0)]);
});
