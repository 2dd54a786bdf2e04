import assert from "node:assert/strict";
import test from "node:test";

import { BytePairs } from "../../../gpt2/server/web/engine/bpe.js";
import { word } from "../../../gpt2/server/web/engine/words.js";

const A = "a".charCodeAt(0);

// The 256 bytes, "aa" 256, "aaaa" 257, a hole at 258, and a special token.
function small() {
  const ints = (...data) => ({ data: Int32Array.from(data), shape: [data.length] });
  return new BytePairs({
    size: 260,
    alphabet: ints(...Array(256).keys()),
    left: ints(A, 256),
    right: ints(A, 256),
    step: ints(256, 1),
    others: { 259: "3c7c656e647c3e" },
    hidden: "\u0000\u200b",
    letters: ints(65, 90, 97, 122, 0xe9, 0xe9),
    numbers: ints(48, 57),
    spaces: ints(9, 13, 32, 32, 0x85, 0x85),
  });
}

test("merges are joined by their place in the list, and from the left among equals", () => {
  const tokenizer = small();
  assert.deepEqual(tokenizer.encode("a"), [A]);
  assert.deepEqual(tokenizer.encode("aaa"), [256, A]);
  assert.deepEqual(tokenizer.encode("aaaaaaa"), [257, 256, A]);
  assert.deepEqual(tokenizer.encode(""), []);
});

test("a word of n bytes takes a number of look-ups that grows with n, not with n * n", () => {
  const tokenizer = small();
  let looks = 0;
  const get = tokenizer.ranks.get.bind(tokenizer.ranks);
  tokenizer.ranks.get = (pair) => {
    looks++;
    return get(pair);
  };
  assert.deepEqual(tokenizer.encode("a".repeat(40_000)), Array(10_000).fill(257));
  assert.ok(looks < 6 * 40_000, String(looks));
});

test("words are cut by the classes that the data tells: U+0085 is white space, U+FEFF is none", () => {
  const tokenizer = small();
  const cut = (text) => {
    const codes = Int32Array.from([...text], (char) => char.codePointAt(0));
    const ends = [];
    for (let at = 0; at < codes.length; at = ends.at(-1)) ends.push(tokenizer.wordEnd(codes, at));
    return ends.map((end, i) => [...text].slice(ends[i - 1] ?? 0, end).join(""));
  };
  assert.deepEqual(cut("I'll go  on'x 12a"), ["I", "'ll", " go", " ", " on", "'", "x", " 12", "a"]);
  assert.deepEqual(cut("a\u0085 \u0085b \ufeff!\n"), ["a", "\u0085 ", "\u0085", "b", " \ufeff!", "\n"]);
  assert.deepEqual(cut("\n\n\tx'"), ["\n\n", "\t", "x", "'"]);
});

test("text that spells a special token is ordinary text; its id is the token", () => {
  const tokenizer = small();
  assert.equal(tokenizer.encode("<|end|>").length, 7);
  assert.equal(tokenizer.decode([259, A]), "<|end|>a");
  assert.equal(word(tokenizer, 259), "<|end|>");
});

test("lone surrogates and broken bytes become U+FFFD; a byte order mark stays", () => {
  const tokenizer = small();
  assert.equal(tokenizer.decode(tokenizer.encode("a\ud800\udc00\udc00b\ud800")), "a\ud800\udc00\ufffdb\ufffd");
  assert.equal(tokenizer.decode([0xe2, 0x82, A, 0xff]), "\ufffda\ufffd");
  assert.equal(tokenizer.decode(tokenizer.encode("\ufeffa")), "\ufeffa");
});

test("an id that no token has adds nothing, and one past the vocabulary is refused", () => {
  const tokenizer = small();
  assert.equal(tokenizer.decode([A, 258]), "a");
  assert.equal(tokenizer.bytes(258), undefined);
  assert.deepEqual(tokenizer.holes(262), [258, 260, 261]);
  for (const id of [260, -1, 1.5, NaN]) {
    assert.throws(() => tokenizer.decode([id]), { name: "RangeError", message: /^There is no token .* 0 to 259\.$/ });
  }
});

test("words show spaces, new lines and what is not printed", () => {
  const tokenizer = small();
  assert.deepEqual(
    [32, 10, 9, 13, A, 0xe2, 0, 258].map((id) => word(tokenizer, id)),
    ["·", "\\n", "\\t", "\r", "a", "\\xe2", "\\x00", "<no token 258>"],
  );
});
