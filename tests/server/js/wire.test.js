import assert from "node:assert/strict";
import test from "node:test";

import { at, half, largestOf, row, unpack } from "../../../gpt2/server/web/wire.js";

// uint32 n | n bytes of JSON | tail, as gpt2/server/wire.py writes it.
function packed(header, tail, before = 0) {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(before + 4 + json.length + tail.length);
  new DataView(bytes.buffer).setUint32(before, json.length, true);
  bytes.set(json, before + 4);
  bytes.set(tail, before + 4 + json.length);
  return bytes.buffer;
}

test("arrays come out of the tail, wherever they stand in the answer", () => {
  const floats = new Uint8Array(new Float32Array([0.5, -2, 1e30, NaN]).buffer);
  const halves = new Uint8Array(new Uint16Array([0x3c00, 0xc000]).buffer);
  const ints = new Uint8Array(new Int32Array([-1, 50256]).buffer);
  const header = {
    text: "ä·",
    none: null,
    list: [{ x: { $: [0, "f4", [2, 2]] } }, 3],
    half: { $: [16, "f2", [2]] },
    ids: { $: [20, "i4", [2]] },
    empty: { $: [0, "f4", [0, 3]] },
  };
  for (const before of [0, 3]) {
    const found = unpack(packed(header, [...floats, ...halves, ...ints], before), before);
    assert.equal(found.text, "ä·");
    assert.equal(found.none, null);
    assert.equal(found.list[1], 3);
    assert.deepEqual(found.list[0].x, { data: new Float32Array([0.5, -2, 1e30, NaN]), shape: [2, 2] });
    assert.deepEqual(found.half, { data: new Float32Array([1, -2]), shape: [2] });
    assert.deepEqual(found.ids, { data: new Int32Array([-1, 50256]), shape: [2] });
    assert.deepEqual(found.empty, { data: new Float32Array(0), shape: [0, 3] });
  }
});

test("half precision: zeros, the smallest, the largest, infinities and NaN", () => {
  const known = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0xfbff, -65504],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ];
  for (const [bits, value] of known) assert.ok(Object.is(half(bits), value), `${bits.toString(16)}: ${half(bits)}`);
});

test("elements and rows of arrays of any number of axes", () => {
  const x = { data: Float32Array.from({ length: 24 }, (_, i) => i), shape: [2, 3, 4] };
  assert.equal(at(x, 1, 2, 3), 23);
  assert.equal(at(x, 0, 1, 2), 6);
  assert.deepEqual(row(x, 1, 0), new Float32Array([12, 13, 14, 15]));
  assert.equal(row(x, 1).length, 12);
  assert.equal(row(x, 1)[0], 12);
});

test("the largest size of many numbers: Math.max(...data) once failed on a long text's attention", () => {
  const data = new Float32Array(2 ** 20);
  data[777] = -3;
  data[778] = 2;
  assert.equal(largestOf(data), 3);
  assert.equal(largestOf(new Float32Array(0)), 0);
});
