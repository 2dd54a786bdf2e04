import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { commandOf, editsOf, pythonOf } from "../../../gpt2/server/web/copy.js";
import { run } from "../../../gpt2/server/web/run.js";
import { set } from "../../../gpt2/server/web/state.js";

run.model = { name: "storyteller" };

test("a number's Python line reads its address, with the switches as edits", () => {
  set({ text: 'It is "so"', switches: {} });
  assert.equal(
    pythonOf("3.mlp", 2),
    [
      "from gpt2 import load",
      "from gpt2.explain import trace",
      'checkpoint = load("storyteller")',
      'run = trace(checkpoint, "It is \\"so\\"", read="3.mlp.out")',
      'print(run["3.mlp.out"])',
    ].join("\n"),
  );
  set({ switches: { "2.head.1": "off", "0.mlp": "mean", "1.ln_1.scale": "mean" } });
  const lines = pythonOf("logits", 2).split("\n");
  assert.equal(lines[1], "from gpt2.explain import trace, zero, mean, freeze, reference");
  assert.equal(lines[3], "ref = reference(checkpoint)");
  assert.ok(lines[4].endsWith('edit={"2.head.1": zero, "0.mlp": mean(ref), "1.ln_1.scale": freeze(ref)})'));
  assert.equal(lines[5], "print(run.logits[0, 2].softmax(-1).topk(10))");
  assert.equal(editsOf({}), "");
});

test("a command is quoted for the shell, and names a model that is not the bundled one", () => {
  set({ text: "it's", switches: {} });
  assert.equal(commandOf("logits"), "gpt2 explain 'it'\\''s'");
  assert.equal(commandOf("2.head.1"), "gpt2 explain attention 'it'\\''s' --head 2.head.1");
  assert.equal(commandOf("2.resid_mid"), "gpt2 explain lens 'it'\\''s' --points 2.resid_mid");
  assert.equal(commandOf("2.attn"), "gpt2 explain trace 'it'\\''s' --read 2.attn.out");
  set({ text: "A", switches: { "2.head.1": "mean", "0.mlp": "mean" } });
  run.model.name = "my model";
  assert.equal(commandOf("logits"), "gpt2 explain off '2.head.1,0.mlp' --kind mean --prompt 'A' --model 'my model'");
});
