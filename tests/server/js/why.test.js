import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { holds, sentence } from "../../../gpt2/server/web/details/claims.js";
import { strongest } from "../../../gpt2/server/web/reasons.js";
import { choose, layout, sourcesOf } from "../../../gpt2/server/web/details/why_graph.js";

const part = (name, kind, value) => ({ name, kind, label: name, value });
const PARTS = [
  part("embed.tok", "embedding", 0.25),
  part("0.head.0", "head", 0),
  part("0.head.1", "head", -2),
  part("0.attn.b_V", "constant", 9),
  part("0.mlp", "mlp", 1.5),
  part("1.attn", "attention", 0.5),
  part("1.block (edit)", "edit", -7),
  part("1.mlp", "mlp", 3),
  part("final.beta", "bias", 4),
];
const WHOLE = PARTS.reduce((sum, { value }) => sum + value, 0);

test("what is drawn and what is not are all there is; biases and edits are not drawn", () => {
  for (const count of [1, 2, 6, 24]) {
    const { drawn, sum, left, rest } = choose(PARTS, count, {});
    assert.equal(sum + rest, WHOLE);
    assert.equal(drawn.length + left, PARTS.length);
    assert.equal(drawn.length, Math.min(count, 6));
  }
  const names = choose(PARTS, 3, {}).drawn.map(({ name }) => name);
  assert.deepEqual(names, ["0.head.1", "0.mlp", "1.mlp"]); // the strongest, in the order of the model
});

test("what is switched off stays in the graph, where it can be switched on again", () => {
  const { drawn, sum, rest } = choose(PARTS, 1, { "0.head.0": "off", "0.block": "off" });
  assert.deepEqual(
    drawn.map(({ name }) => name),
    ["0.head.0", "1.mlp"],
  );
  assert.equal(sum + rest, WHOLE);
});

test("a head's sources: the share of what it writes into this row, not its weight", () => {
  const matrix = (...data) => ({ data: Float32Array.from(data), shape: [3, 3] });
  const head = { pattern: matrix(1, 0, 0, 0.5, 0.5, 0, 0.9, 0.06, 0.04), written: matrix(1, 0, 0, 1, 1, 0, 3, 5, 0.5) };
  const found = sourcesOf(head, 2);
  assert.deepEqual(
    found.map(({ row }) => row),
    [1, 0],
  );
  assert.ok(Math.abs(found[0].share - 5 / 8.5) < 1e-6 && Math.abs(found[0].weight - 0.06) < 1e-6);
  assert.deepEqual(sourcesOf({ pattern: head.pattern, written: matrix(0, 0, 0, 0, 0, 0, 0, 0, 0) }, 2), []);
});

test("widths are in proportion, and no node stands outside or upon another, on a phone too", () => {
  for (const width of [330, 620, 1180]) {
    const drawn = choose(PARTS, 6, {}).drawn;
    const { height, parts, tokens, lines, target } = layout(width, drawn, [0, 4, 5], 8);
    const boxes = [...parts.values()];
    for (const { x, w, y } of boxes) assert.ok(x >= 0 && x + w < target.x && y > 0 && y < height);
    for (const { x, w } of tokens.values()) assert.ok(boxes.every((box) => x + w < box.x));
    assert.equal(target.x + target.w, width);
    assert.ok(boxes.every((box, i) => i === 0 || box.y - boxes[i - 1].y >= 20));
    assert.equal(lines.get("0.mlp").width * 2, lines.get("1.mlp").width);
    assert.equal(lines.get("0.head.0").width, 0); // no line where nothing is added
  }
});

test("a claim needs what it compares; a sentence has the numbers of the run", () => {
  const values = new Map([
    ["p ·a", 0.25],
    ["before ·a", 0.5],
    ["top", "·b"],
    ["p ·none", undefined],
    ["sinks", 39],
    ["loss", 2.1934],
  ]);
  const said = (...claim) => holds(claim, values);
  assert.deepEqual([said("p ·a", "<", 0.3), said("p ·a", ">", 0.3)], [true, false]);
  assert.deepEqual([said("p ·a", "<", "before ·a"), said("before ·a", "<", "p ·a")], [true, false]);
  assert.deepEqual([said("top", "=", "·b"), said("top", "=", "·a")], [true, false]);
  assert.deepEqual(
    [said("p ·none", "<", 1), said("p ·none", ">", 0), said("p ·a", "<", "p ·none")],
    Array(3).fill(false),
  );
  const step = { said: "From {before ·a} to {p ·a}, {top}; {sinks}, {loss}; {p ·none}." };
  assert.equal(sentence(step, values).join(""), "From 50.0% to 25.0%, ·b; 39, 2.19; –.");
});

test("the sentence names what adds most and can be switched off, nothing that takes away", () => {
  const switches = { "0.mlp": ["off"], "1.mlp": ["off"], "0.head.1": ["off"], "1.attn": ["off"] };
  const named = strongest(PARTS, switches).map(({ name }) => name);
  assert.deepEqual(named, ["1.mlp", "0.mlp"]);
  assert.deepEqual(strongest(PARTS, {}), []);
});
