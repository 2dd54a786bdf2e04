import assert from "node:assert/strict";
import test from "node:test";

import { addNoise, choose, distribution, ruled, without } from "../../../gpt2/server/web/engine/draw.js";
import { noiseOf } from "../../../gpt2/server/web/engine/noise.js";

// SplitMix64 by BigInt, as it is published.
const wrap = (x) => BigInt.asUintN(64, x);
function mixed(x) {
  let word = wrap((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n);
  word = wrap((word ^ (word >> 27n)) * 0x94d049bb133111ebn);
  return word ^ (word >> 31n);
}

test("the noise is SplitMix64's, for the smallest numbers and for the largest", () => {
  const golden = 0x9e3779b97f4a7c15n;
  for (const [seed, sample, position, token] of [
    [0n, 0, 0, 0],
    [2n ** 64n - 1n, 2 ** 31, 2 ** 40, 50256],
    [12345678901234567890n, 7, 1023, 2 ** 24 - 1],
  ]) {
    let key = mixed(wrap(seed + golden));
    for (const number of [sample, position]) key = mixed(wrap(key + (BigInt(number) + 1n) * golden));
    const bits = mixed(wrap((BigInt(token) + 1n) * golden + key)) >> 12n;
    const u = (Number(bits) + 0.5) * 2 ** -52;
    assert.equal(noiseOf(seed, sample, position)(token), -Math.log(-Math.log(u)));
  }
});

test("each rule cuts what it says", () => {
  const logits = Float32Array.of(4, 3, 3, 1, 0);
  const left = (settings) => Array.from(ruled(logits, [3], settings), (score) => score > -Infinity);
  assert.deepEqual(left({}), [true, true, true, true, true]);
  assert.deepEqual(left({ top_k: 2 }), [true, true, true, false, false]); // ties with the last stay
  assert.deepEqual(left({ top_k: 0 }), left({ top_k: null }));
  assert.deepEqual(left({ top_p: 0.5 }), [true, false, false, false, false]);
  assert.deepEqual(left({ min_p: 0.3 }), [true, true, true, false, false]);
  assert.deepEqual([...ruled(Float32Array.of(2, -2), [0, 1, 1], { temperature: 0, repetition_penalty: 2 })], [1, -4]);
  assert.deepEqual([...logits], [4, 3, 3, 1, 0]);
});

test("the shares add up to one, and at temperature 0 the likeliest has all", () => {
  const shares = distribution(Float32Array.of(1, 2, 3), [0]);
  assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-6);
  assert.deepEqual([...distribution(Float32Array.of(1, 2, 2), [0], { temperature: 0 })], [0, 1, 0]);
});

test("the same seed and position draw the same token; the largest noisy score wins", () => {
  const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i));
  const how = { temperature: 1.5, seed: 3n, sample: 1 };
  const noisy = addNoise(ruled(logits, [1, 2], how), 3n, 1, 2);
  assert.equal(choose(logits, [1, 2], how), noisy.indexOf(noisy.reduce((a, b) => Math.max(a, b))));
  assert.equal(choose(logits, [1, 2], { ...how, seed: 3 }), choose(logits, [9, 9], how));
  const drawn = new Set(Array.from({ length: 50 }, (_, seed) => choose(logits, [1], { seed })));
  assert.ok(drawn.size > 10);
});

test("a token that the tokenizer lacks is never drawn", () => {
  const logits = Float32Array.of(0, 99, 0);
  const drawn = Array.from({ length: 20 }, (_, seed) => choose(without(logits, [1]), [0], { seed }));
  assert.deepEqual([...new Set(drawn)].sort(), [0, 2]);
  assert.equal(logits[1], 99);
});

test("a wrong setting is refused by its name, and so is one that is not built here", () => {
  const logits = Float32Array.of(1, 2);
  for (const [name, value] of Object.entries({
    temperature: -1,
    top_k: 2.5,
    top_p: 0,
    min_p: 1.5,
    repetition_penalty: 0,
    seed: 2 ** 60,
    sample: -1,
  })) {
    assert.throws(
      () => choose(logits, [0], { [name]: value }),
      new RegExp(`^RangeError: ${name} is .*: it must be .*\\.$`),
    );
  }
  for (const value of ["1", undefined, NaN, true, null, 1n]) {
    assert.throws(() => choose(logits, [0], { temperature: value }), RangeError);
  }
  assert.throws(() => choose(logits, [0], { no_repeat_ngram_size: 2 }), /There is no setting no_repeat_ngram_size/);
  assert.throws(() => choose(logits, [0], { toString: 1 }), /There is no setting toString/);
});

test("logits that are not finite are an error, at every temperature", () => {
  for (const bad of [NaN, Infinity]) {
    for (const temperature of [0, 1]) {
      assert.throws(() => choose(Float32Array.of(1, bad), [0], { temperature }), /not finite/);
    }
  }
});
