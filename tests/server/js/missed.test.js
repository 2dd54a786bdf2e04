// What is missed on one text: the order of its rows, and the command that has the answer where the page has none.
import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { leaveOneOutCommand } from "../../../gpt2/server/web/copy.js";
import { ranked, titleOf } from "../../../gpt2/server/web/details/leave_one_out.js";
import { run } from "../../../gpt2/server/web/run.js";
import { missedLines } from "../../../gpt2/server/web/share/recipe_views.js";

const floats = (shape, ...data) => ({ shape, data: Float32Array.from(data) });
const ints = (shape, ...data) => ({ shape, data: Int32Array.from(data) });

/** Three components on two tokens. */
const ANSWER = {
  rows: [
    { address: "0.attn", change: -0.25 },
    { address: "0.mlp", change: 2 },
    { address: "embed.pos", change: 0.5 },
  ],
  loss: 3,
  first: ints([2], 7, 8),
  p: floats([2], 0.5, 0.75),
  first_without: ints([3, 2], 7, 8, 7, 9, 7, 8),
  p_without: floats([3, 2], 0.5, 0.875, 0.25, 0.125, 0.375, 0.625),
  words: { 7: "·cat", 8: "·dog", 9: "·sat" },
};

test("the component that is missed most comes first, with what becomes of the row's first token", () => {
  assert.deepEqual(ranked(ANSWER, 1), [
    { address: "0.mlp", missed: 2, p: 0.125, then: "·sat" },
    { address: "embed.pos", missed: 0.5, p: 0.625, then: null },
    { address: "0.attn", missed: -0.25, p: 0.875, then: null },
  ]);
  assert.deepEqual(
    ranked(ANSWER, 0).map(({ p, then }) => [p, then]),
    [
      [0.25, null],
      [0.375, null],
      [0.5, null],
    ],
  );
  assert.deepEqual(
    ANSWER.rows.map((row) => row.address),
    ["0.attn", "0.mlp", "embed.pos"], // the answer itself stays as it is
  );
});

test("a text of one token has no loss: what its first token loses decides", () => {
  const one = {
    ...ANSWER,
    rows: ANSWER.rows.map(({ address }) => ({ address, change: null })),
    loss: null,
    first: ints([1], 7),
    p: floats([1], 0.5),
    first_without: ints([3, 1], 7, 8, 7),
    p_without: floats([3, 1], 0.75, 0.125, 0.25),
  };
  assert.deepEqual(
    ranked(one, 0).map(({ address, missed }) => [address, missed]),
    [
      ["0.mlp", 0.375],
      ["embed.pos", 0.25],
      ["0.attn", -0.25],
    ],
  );
  assert.doesNotMatch(titleOf(one), /loss/);
  assert.match(titleOf(ANSWER), /loss on this text/);
});

test("the command leaves out the same components; with switches it is the one that opens the page", () => {
  run.model = { name: "storyteller", dtype: "float32" };
  run.scene = { text: "Tom's cat", switches: {} };
  const command = (components, kind) => leaveOneOutCommand({ components, kind }, 1);
  assert.equal(command("parts", "mean"), "gpt2 explain leave-one-out 'Tom'\\''s cat' --position 1");
  assert.equal(
    command("heads", "zero"),
    "gpt2 explain leave-one-out 'Tom'\\''s cat' --components '*.head.*' --zero --position 1",
  );
  run.scene.switches = { "0.mlp": "half" };
  assert.equal(command("heads", "zero"), "gpt2 explain 'Tom'\\''s cat' --page");
});

test("as Python it is asked of the run that is shown, or of other texts", () => {
  assert.deepEqual(missedLines(null), { names: [], lines: [] });
  const { names, lines } = missedLines({ text: "this", components: "blocks", kind: "mean" });
  assert.deepEqual(names, ["leave_one_out", "mean"]);
  assert.equal(lines[1], "missed = leave_one_out(run, mean(ref), components, at=row)");
  assert.match(missedLines({ text: "other", components: "blocks", kind: "zero" }).lines[1], /^missed = off\(/);
});
