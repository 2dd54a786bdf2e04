import assert from "node:assert/strict";
import test from "node:test";

import { count, number, points, probability, share, short, signed } from "../../../gpt2/server/web/format.js";

test("numbers have three digits, and a minus of their own length", () => {
  const written = [
    [0, "0"],
    [1, "1.00"],
    [-2.8149, "−2.81"],
    [9.996, "10.0"], // it once had four digits
    [99.96, "100"],
    [1234.4, "1234"],
    [0.0123456, "0.0123"],
    [0.00123, "0.00123"],
    [0.00099996, "0.00100"],
    [0.000491, "4.91e−4"],
    [-0.000491, "−4.91e−4"], // the exponent's minus was once a hyphen
    [123456, "1.23e5"],
    [99999, "1.00e5"],
    [Infinity, "∞"],
    [-Infinity, "−∞"],
    [NaN, "–"],
    [null, "–"],
    [undefined, "–"],
  ];
  for (const [x, text] of written) assert.equal(number(x), text, String(x));
});

test("probabilities are in percent with three digits, none where nothing is known; their changes are in points", () => {
  const written = [
    [1, "100%"],
    [0.5, "50.0%"],
    [0.1144, "11.4%"],
    [0.01234, "1.23%"],
    [0.0001234, "0.0123%"],
    [0.00001234, "0.00123%"],
    [0.000001234, "1.23e−4%"],
    [0, "0%"],
    [NaN, "–"],
    [null, "–"],
  ];
  for (const [p, text] of written) assert.equal(probability(p), text, String(p));
  assert.equal(points(-0.0325), "−3.25");
  assert.equal(points(null), "–");
  assert.equal(share(0.614), "61%");
});

test("signed numbers carry their sign, in any format", () => {
  assert.equal(signed(0.25), "+0.250");
  assert.equal(signed(-0.25), "−0.250");
  assert.equal(signed(-4.91e-4), "−4.91e−4");
  assert.equal(signed(-0.25, probability), "−25.0%");
  assert.equal(signed(null), "–");
});

test("long words are cut, numbers of parameters grouped", () => {
  assert.equal(short("·grass", 6), "·grass");
  assert.equal(short("·grass", 5), "·gra…");
  assert.equal(count(124439808), "124,439,808");
});
