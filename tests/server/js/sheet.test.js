import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { element, escaped, inkOf } from "../../../gpt2/server/web/share/sheet.js";

// What no reader of XML takes is replaced.
test("a token is text in a file of SVG, whatever it holds", () => {
  assert.equal(escaped('<b a="1">&'), "&lt;b a=&quot;1&quot;&gt;&amp;");
  assert.equal(escaped("a\u0000b\u001bc\ud800d\ufffee"), "a\ufffdb\ufffdc\ufffdd\ufffde");
  assert.equal(escaped("·ä🙂\n"), "·ä🙂\n");
});

test("an element leaves out what is null, and rounds numbers", () => {
  assert.equal(element("rect", { x: 1.23456, rx: null, fill: "#fff" }), '<rect x="1.23" fill="#fff"/>');
  assert.equal(element("text", { "font-family": '"A", b' }, "x"), '<text font-family="&quot;A&quot;, b">x</text>');
});

test("colours are written as every program reads them", () => {
  assert.deepEqual(inkOf("rgb(27, 34, 48)"), ["#1b2230", 1]);
  assert.deepEqual(inkOf("rgba(0, 0, 0, 0)"), ["#000000", 0]);
  assert.deepEqual(inkOf("rgba(255, 16, 0, 0.35)"), ["#ff1000", 0.35]);
});
