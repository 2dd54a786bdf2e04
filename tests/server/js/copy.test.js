import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { commandOf, editsOf, pageCommand, pythonOf } from "../../../gpt2/server/web/copy.js";
import { run } from "../../../gpt2/server/web/run.js";
import { set } from "../../../gpt2/server/web/state.js";

run.model = { name: "storyteller", dtype: "float32" };

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
  set({ switches: { "2.head.1": "off", "0.mlp": "mean", "1.ln_1.scale": "mean", "3.attn": "double" } });
  const lines = pythonOf("logits", 2).split("\n");
  assert.equal(lines[1], "from gpt2.explain import trace, zero, mean, freeze, scale, reference");
  assert.equal(lines[3], "ref = reference(checkpoint)");
  assert.ok(
    lines[4].endsWith('edit={"2.head.1": zero, "0.mlp": mean(ref), "1.ln_1.scale": freeze(ref), "3.attn": scale(2)})'),
  );
  assert.equal(lines[5], "print(run.logits[0, 2].softmax(-1).topk(10))");
  assert.equal(editsOf({}), "");
});

test("a command is quoted for the shell, and names a model and numbers that are not the usual ones", () => {
  set({ text: "it's so", switches: {} });
  assert.equal(commandOf("logits"), "gpt2 explain 'it'\\''s so'");
  assert.equal(commandOf("2.head.1"), "gpt2 explain attention 'it'\\''s so' --head 2.head.1");
  assert.equal(commandOf("2.resid_mid"), "gpt2 explain lens 'it'\\''s so' --points 2.resid_mid");
  assert.equal(commandOf("2.attn"), "gpt2 explain trace 'it'\\''s so' --read 2.attn.out");
  run.model = { name: "my model", dtype: "bfloat16" };
  assert.equal(pageCommand(), "gpt2 explain 'it'\\''s so' --page --model 'my model' --dtype bfloat16");
  assert.match(pythonOf("logits", 0), /load\("my model", dtype="bfloat16"\)/);
  run.model = { name: "storyteller", dtype: "float32" };
});

test("a text that reads like an analysis, an option or standard input stays a text", () => {
  for (const [text, overview, analysis] of [
    ["lens", "gpt2 explain -- 'lens'", "gpt2 explain trace 'lens' --read 0.mlp.out"],
    ["-h is", "gpt2 explain -- '-h is'", "gpt2 explain trace --read 0.mlp.out -- '-h is'"],
    ["-", "gpt2 explain -- '-'", "printf - | gpt2 explain trace --read 0.mlp.out"],
  ]) {
    set({ text });
    assert.deepEqual([commandOf("logits"), commandOf("0.mlp")], [overview, analysis]);
  }
});

test("switches have a command where one measures just these together, and none otherwise", () => {
  const command = (switches) => {
    set({ text: "-A", switches });
    return commandOf("logits");
  };
  const off = "gpt2 explain off";
  assert.equal(command({ "2.head.1": "off", "0.mlp": "off" }), `${off} 0.mlp,2.head.1 --kind zero --prompt='-A'`);
  assert.equal(command({ "1.ln_1.scale": "mean" }), `${off} 1.ln_1.scale --kind mean --prompt='-A'`);
  assert.equal(command({ "2.head.1": "off", "0.mlp": "mean" }), null); // once all of them at zero
  assert.equal(command({ "2.head.1": "off", "1.ln_1.scale": "mean" }), null); // once refused: a norm has no zero
  assert.equal(command({ "1.block": "mean" }), null); // its mean in the terminal is zero
  set({ text: "A", switches: {} });
});
