import assert from "node:assert/strict";
import test from "node:test";

import { changes, layout, rowHeight, thickness, TOKENS } from "../../../gpt2/server/web/geometry.js";

const rising = (numbers) => numbers.every((x, i) => i === 0 || x > numbers[i - 1]);

test("two places in each block, one before and one behind, from left to right", () => {
  for (const [width, L, open] of [
    [900, 4, 0],
    [900, 12, 0],
    [900, 12, 11],
    [1600, 48, 20],
    [400, 1, 0],
  ]) {
    const found = layout(width, { n_layer: L }, open);
    assert.equal(found.places.length, 2 * L + 2);
    assert.ok(rising(found.places), `${width}, ${L}, ${open}`);
    assert.ok(rising(found.stations.map((station) => station.x)));
    assert.ok(found.places[0] >= TOKENS);
    assert.ok(found.end < found.width && found.width >= width);
    const last = found.blocks.at(-1);
    assert.ok(Math.abs(last.x + last.width - (found.width - 134)) < 1e-6); // blocks fill the room between the columns
  }
});

test("blocks with room are all drawn in full", () => {
  const { squeezed, blocks, stations } = layout(1200, { n_layer: 4 }, 2);
  assert.equal(squeezed, false);
  assert.deepEqual([...new Set(blocks.map((block) => block.width))].length, 1);
  assert.ok(blocks.every((block) => block.full));
  assert.deepEqual(
    stations.slice(0, 5).map((station) => station.address),
    ["embed.pos", "0.ln_1.scale", "0.attn", "0.ln_2.scale", "0.mlp"],
  );
  assert.equal(stations.at(-1).address, "final.scale");
});

test("an open block has room for what its parts do; a picture that scrolls too; in between are the names alone", () => {
  const words = (room, L) => layout(room, { n_layer: L }, 0).stations.filter((station) => station.does).length;
  assert.equal(words(1200, 4), 16);
  assert.equal(words(900, 12), 4);
  assert.equal(words(714, 8), 0);
  assert.equal(words(360, 8), 4);
});

test("two names of a squeezed block stand at two heights where they would touch", () => {
  const low = (room) => layout(room, { n_layer: 12 }, 0).stations.filter((station) => station.low);
  assert.deepEqual(
    low(900).map((station) => station.address),
    Array.from({ length: 11 }, (_, l) => `${l + 1}.mlp`),
  );
  assert.deepEqual(low(1500), []);
});

test("words along a line are whole, stand where they change, and lie on none before them", () => {
  const written = changes(["·a", "·a", "·garden", "·yard", "·yard", "·tree", "·it"], [0, 20, 40, 60, 80, 100, 200], 7);
  assert.deepEqual(written, [
    { p: 0, x: 0, lane: 0, text: "·a" },
    { p: 2, x: 40, lane: 0, text: "·garden" },
    { p: 3, x: 60, lane: 1, text: "·yard" },
    { p: 5, x: 100, lane: 0, text: "·tree" },
    { p: 6, x: 200, lane: 0, text: "·it" },
  ]);
  const tight = changes(["·garden", "·yard", "·tree", "·bush", "."], [0, 10, 20, 30, 90], 7);
  assert.deepEqual(
    tight.map(({ text, x }) => [text, x]),
    [
      ["·garden", 0],
      ["·yard", 10],
      ["…", 52], // stands for two
      [".", 90],
    ],
  );
});

test("squeezed blocks leave their norms out, but for the open one, which is wider", () => {
  const { squeezed, blocks, stations } = layout(900, { n_layer: 12 }, 7);
  assert.equal(squeezed, true);
  assert.deepEqual(
    stations.filter((station) => station.address.endsWith("ln_1.scale")).map((station) => station.address),
    ["7.ln_1.scale"],
  );
  assert.ok(blocks[7].width > 1.5 * blocks[0].width);
  const size = (address) => stations.find((station) => station.address === address).size;
  assert.ok(size("0.attn") < size("7.attn"));
});

test("no glyph lies on another, however many blocks there are: the picture grows wider than its room", () => {
  for (const room of [360, 610, 900, 1500]) {
    for (const L of [1, 2, 6, 8, 12, 48]) {
      const { stations } = layout(room, { n_layer: L }, L - 1);
      for (let k = 1; k < stations.length; k++) {
        const [left, right] = [stations[k - 1], stations[k]];
        assert.ok(left.size >= 16);
        assert.ok(left.x + left.size / 2 <= right.x - right.size / 2, `${room}, ${L}: ${left.address}`);
      }
    }
  }
});

test("a block that is opened by a click stays under the pointer, so that a second click is on it too", () => {
  for (const L of [8, 12, 48]) {
    for (let l = 0; l < L; l++) {
      const [before] = layout(900, { n_layer: L }, l === 0 ? L - 1 : 0).blocks.filter((block) => block.l === l);
      const [after] = layout(900, { n_layer: L }, l).blocks.filter((block) => block.l === l);
      assert.ok(after.x <= before.x + 1e-6 && after.x + after.width >= before.x + before.width - 1e-6);
    }
  }
});

test("arcs start in the block, before its attention", () => {
  for (const { address, from, x } of layout(900, { n_layer: 12 }, 3).stations) {
    if (address.endsWith(".attn")) assert.ok(from < x, address);
  }
});

test("rows are 24 to 44 pixels high", () => {
  assert.equal(rowHeight(300, 2), 44);
  assert.equal(rowHeight(300, 10), 30);
  assert.equal(rowHeight(300, 1000), 24);
});

test("a stream is 2 pixels thick at the smallest norm and `most` at the largest, by the logarithm", () => {
  const width = thickness(new Float32Array([1, 10, 100]), 18);
  assert.equal(width(1), 2);
  assert.equal(width(100), 18);
  assert.ok(Math.abs(width(10) - 10) < 1e-9);
  assert.equal(width(1000), 18);
  assert.equal(width(0), 2);
  assert.equal(thickness(new Float32Array([5, 5]), 18)(5), 2);
});
