import "./browser.js";

import assert from "node:assert/strict";
import test from "node:test";

import { agree, change, differ, diverge, ink, sequence, theme } from "../../../gpt2/server/web/colour.js";

const numbers = (colour) => colour.match(/\d+/g).map(Number);

// The relative luminance of WCAG 2.
function light(colour) {
  const [r, g, b] = numbers(colour).map((x) => (x / 255 <= 0.04045 ? x / 3294.6 : ((x / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const steps = Array.from({ length: 41 }, (_, i) => i / 40);
const themes = ["light", "dark"];
const PAPERS = { light: "rgb(250, 249, 246)", dark: "rgb(20, 24, 31)" }; // as in style.css

test("the theme is the one that the reader chose, or else that of the system", () => {
  const { dataset } = document.documentElement;
  assert.equal(theme(), "light");
  delete dataset.theme;
  globalThis.matchMedia = (query) => ({ matches: query === "(prefers-color-scheme: dark)" });
  assert.equal(theme(), "dark");
  dataset.theme = "light";
});

test("amounts go from a grey to blue, evenly to the eye, and stop at both ends", () => {
  for (const name of themes) {
    document.documentElement.dataset.theme = name;
    const lights = steps.map((t) => light(sequence(t)));
    const sign = Math.sign(lights.at(-1) - lights[0]);
    assert.ok(lights.every((x, i) => i === 0 || sign * (x - lights[i - 1]) >= 0));
    assert.equal(sequence(-1), sequence(0));
    assert.equal(sequence(2), sequence(1));
    assert.equal(sequence(NaN), sequence(0));
    for (const least of [sequence(0), diverge(0)]) {
      assert.ok(Math.abs(light(least) - light(PAPERS[name])) > 0.02); // it once faded into the page
    }
    const [r, , b] = numbers(sequence(1));
    assert.ok(b > r + 50); // blue
  }
  document.documentElement.dataset.theme = "light";
});

test("differences: nothing at 0, blue above, orange below", () => {
  assert.equal(diverge(0), sequence(0));
  assert.equal(diverge(0.7), sequence(0.7));
  const [r, , b] = numbers(diverge(-1));
  assert.ok(r > b + 50);
  assert.equal(change(0), agree(0));
  assert.equal(differ(0), agree(0));
  assert.notEqual(change(-1), change(1));
});

test("ink can be read on every colour of every scale: contrast of 4.5 to 1 or more", () => {
  for (const name of themes) {
    document.documentElement.dataset.theme = name;
    for (const scale of [sequence, diverge, agree, differ, change]) {
      for (const t of [...steps, ...steps.map((x) => -x)]) {
        const [paper, words] = [light(scale(t)), ink(scale(t)) === "#ffffff" ? 1 : 0];
        const contrast = (Math.max(paper, words) + 0.05) / (Math.min(paper, words) + 0.05);
        assert.ok(contrast >= 4.5, `${name} ${scale.name} ${t}: ${contrast}`);
      }
    }
  }
  document.documentElement.dataset.theme = "light";
});
