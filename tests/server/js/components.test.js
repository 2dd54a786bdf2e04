import assert from "node:assert/strict";
import test from "node:test";

import { label, parts, plainName, readable, sentence, shape, shortName } from "../../../gpt2/server/web/components.js";

test("an address is a block, a head, and what is there", () => {
  assert.deepEqual(parts("3.head.11"), { block: 3, head: 11, kind: "head" });
  assert.deepEqual(parts("11.ln_2.scale"), { block: 11, head: null, kind: "ln_2.scale" });
  assert.deepEqual(parts("0.mlp"), { block: 0, head: null, kind: "mlp" });
  assert.deepEqual(parts("embed.pos"), { block: null, head: null, kind: "embed.pos" });
});

const model = {
  points: {
    "l.head.h": { shape: "[T, 64]", meaning: "one head's z" },
    "l.mlp.out": { shape: "[T, 768]", meaning: "the whole write" },
    "l.ln_1.scale": { shape: "[T]", meaning: "sigma" },
    logits: { shape: "[T, 50257]", meaning: "the scores" },
  },
};

test("components have names, short and long, and a sentence", () => {
  assert.equal(plainName("3.head.1"), "head 3.1");
  assert.equal(plainName("3.mlp"), "MLP of block 3");
  assert.equal(plainName("3.block"), "block 3");
  assert.equal(plainName("final.scale"), "final LayerNorm");
  assert.equal(plainName("2.unheard"), "unheard of block 2");
  assert.equal(shortName("3.ln_2.scale"), "LayerNorm 3.2");
  assert.equal(shortName("3.attn"), "attention 3");
  assert.equal(shortName("embed.out"), "embed.out");
  assert.equal(sentence("3.head.1", model), "One head's z.");
  assert.equal(sentence("2.mlp", model), "The whole write.");
  assert.equal(sentence("2.unheard", model), "");
});

test("a glyph's name is short where its block is not open", () => {
  assert.deepEqual(label("3.attn", true), { name: "attention", does: "reads other rows" });
  assert.equal(label("3.attn", false).name, "attn");
  assert.equal(label("3.mlp", true).does, "each row alone");
  assert.equal(label("3.ln_2.scale", true).name, "norm");
  assert.equal(label("final.scale", true).name, "final norm");
  assert.equal(label("embed.pos", true).name, "position table");
});

test("shapes are those of the address for T tokens", () => {
  assert.equal(shape("3.head.1", model, 5), "[5, 64]");
  assert.equal(shape("3.mlp", model, 5), "[5, 768]");
  assert.equal(shape("3.ln_1.scale", model, 5), "[5]");
  assert.equal(shape("logits", model, 5), "[5, 50257]");
});

test("what is read of a component is what it writes", () => {
  assert.equal(readable("3.attn"), "3.attn.out");
  assert.equal(readable("3.mlp"), "3.mlp.out");
  assert.equal(readable("3.head.1"), "3.head.1");
});
