import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { namesShown } from "../../../gpt2/server/web/axes.js";
import { columnsIn } from "../../../gpt2/server/web/details/importance.js";

test("a matrix has all its names where there is room", () => {
  assert.deepEqual(namesShown(5, 232), [0, 1, 2, 3, 4]);
  assert.deepEqual(namesShown(5, 232, 3), [0, 1, 2, 3, 4]);
});

test("a large one has as many as fit, and always the selected row's: above 14 there once were none", () => {
  for (const count of [15, 24, 100, 512, 1024]) {
    for (const chosen of [null, 0, 7, count - 1]) {
      const found = namesShown(count, 232, chosen);
      assert.ok(found.length >= 8);
      if (chosen !== null) assert.ok(found.includes(chosen));
      for (let k = 1; k < found.length; k++) assert.ok(((found[k] - found[k - 1]) * 232) / count >= 13);
    }
  }
});

test("the measured lists stand beside each other only where they do not overlap", () => {
  assert.deepEqual([360, 1248, 1488, 1888].map(columnsIn), [1, 2, 3, 3]);
});
