// The key of a colour scale: its range, its unit, and the colours in between.

import { h } from "./dom.js";
import { number } from "./format.js";

/**
 * @param {(x: number) => string} colour
 * @param {number} low
 * @param {number} high
 * @param {string} unit
 */
export function scaleKey(colour, low, high, unit) {
  const steps = Array.from({ length: 12 }, (_, i) =>
    h("i", { style: { background: colour(low + ((high - low) * i) / 11) } }),
  );
  return h(
    "span.scale",
    { role: "img", "aria-label": `${unit}, from ${number(low)} to ${number(high)}` },
    number(low),
    h("span.steps", {}, ...steps),
    number(high),
    h("small", {}, unit),
  );
}
