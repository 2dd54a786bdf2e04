import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { readLink, readLinkOfFile, said } from "../../../gpt2/server/web/link.js";
import { DEFAULTS, write } from "../../../gpt2/server/web/state.js";

const both = ["off", "mean"];
const model = {
  n_layer: 4,
  switches: { "embed.pos": both, "0.mlp": both, "3.head.1": both, "1.ln_1.scale": ["mean"], "0.attn": both },
};

test("an address holds the state and gives it back, whatever characters the text has", () => {
  const values = {
    ...DEFAULTS,
    text: "50% of A+B = ä·,\n\r\n#1 & more ",
    row: 2,
    open: 3,
    temperature: 1.25,
    switches: { "0.mlp": "off", "3.head.1": "off", "1.ln_1.scale": "mean" },
    target: "·grass",
    corrupt: "two\nlines",
  };
  const address = write(values);
  assert.match(address, /off=0\.mlp,3\.head\.1/); // in the order of the names, so that equal states are equal
  assert.match(address, /mean=1\.ln_1\.scale/);
  assert.ok(!address.includes("+"));
  const { values: found, left } = readLink(`#${address}`, model);
  assert.deepEqual({ ...DEFAULTS, ...found }, values);
  assert.deepEqual(left, []);
});

test("an address typed by hand: spaces and a plus sign", () => {
  assert.deepEqual(readLink("#text=1+1 is&seed=7&off=,0.mlp,", model), {
    values: { text: "1+1 is", seed: 7, switches: { "0.mlp": "off" } },
    left: [],
  });
});

// Each of these once drew nothing at all, or something else than it said.
const WRONG = [
  "text=",
  "off=77.head.3",
  "off=constructor",
  "mean=0.nothing",
  "off=1.ln_1.scale",
  "row=two",
  "row=-2",
  "row=1.5",
  "row=",
  "at=4.resid_mid",
  "at=00.resid_mid",
  "at=3.head.99",
  "at=__proto__",
  "open=4",
  "view=constructor",
  "arcs=x",
  "show=x",
  "tables=2",
  "heat=x",
  "colour=x",
  "temperature=1e9",
  "temperature=NaN",
  "temperature=Infinity",
  "top_k=-1",
  "top_k=0.5",
  "top_p=0",
  "seed=1e300",
  "kind=x",
  "direction=x",
  "toString=x",
  "switches=x",
];

test("a field that cannot be is left out, and said", () => {
  for (const field of WRONG) {
    const { values, left } = readLink(`#${field}&tables=1`, model);
    assert.equal(left[0], field);
    assert.deepEqual({ ...DEFAULTS, ...values, tables: 0 }, DEFAULTS, field);
    assert.ok(said(left, model).includes(field));
  }
});

test("a component that is both off and at its mean is off; the second word on it is said", () => {
  const { values, left } = readLink("#off=0.mlp&mean=0.mlp", model);
  assert.deepEqual([values.switches, left], [{ "0.mlp": "off" }, ["mean=0.mlp"]]);
});

test("the sentence names five fields at most, and the blocks that there are", () => {
  const left = readLink(`#off=${Array.from({ length: 9 }, (_, l) => `${l + 4}.mlp`)}&corrupt=x`, model).left;
  assert.equal(
    said(left, model),
    "The link names what is not here, and the page leaves it out: " +
      "off=4.mlp, off=5.mlp, off=6.mlp, off=7.mlp, off=8.mlp and 4 more. This model has the blocks 0 to 3.",
  );
});

test("a norm that is selected stands in the open block, which alone shows norms", () => {
  assert.equal(readLink("#at=1.ln_1.scale", model).values.open, 1);
});

test("an exported file opens as it was saved, unless its address says more; it holds one text", () => {
  const file = { view: "text=Hello&row=1&off=0.mlp", text: "Hello", corrupt: "Hallo" };
  assert.deepEqual(readLinkOfFile("", file, model), {
    values: { text: "Hello", row: 1, corrupt: "Hallo", switches: { "0.mlp": "off" } },
    left: [],
  });
  assert.deepEqual(readLinkOfFile("#text=Bye&mean=0.mlp", file, model), {
    values: { text: "Hello", corrupt: "Hallo", switches: { "0.mlp": "mean" } },
    left: ["text=Bye"],
  });
});
