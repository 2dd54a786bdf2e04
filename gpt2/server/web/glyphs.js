// The glyphs of the components, 22 x 22: solid when on, half when at their mean, hollow with a stroke when off.

import { s } from "./dom.js";
import { parts } from "./components.js";

/** @type {Record<string, () => SVGElement[]>} */
const SHAPES = {
  attn: () => [
    s("circle.body", { cx: 11, cy: 11, r: 8 }),
    s("path.mark", { d: "M5.5 7.5C9 7.5 9 13 14.5 14M6 12C8.5 12 9.5 14 14.5 14" }),
  ],
  head: () => [s("circle.body", { cx: 11, cy: 11, r: 7 })],
  mlp: () => [
    s("rect.body", { x: 3.5, y: 4.5, width: 15, height: 13, rx: 3.5 }),
    s("path.mark", { d: "M7 13.5H10.5L15 8.5" }),
  ],
  scale: () => [s("path.body", { d: "M11 5.5L15.5 11L11 16.5L6.5 11Z" })],
  "embed.pos": () => [
    s("rect.body", { x: 3, y: 4.5, width: 16, height: 13, rx: 2 }),
    s("path.mark", { d: "M6.5 8.5v5M11 8.5v5M15.5 8.5v5" }),
  ],
  block: () => [s("rect.body", { x: 2.5, y: 7, width: 17, height: 8, rx: 2 })],
};

/**
 * @param {string} address
 * @param {string} state
 */
export function glyph(address, state) {
  const { kind } = parts(address);
  const draw = SHAPES[kind] ?? SHAPES[kind.replace(/^.*\./, "")] ?? SHAPES.head;
  const stroke = state === "off" ? [s("path.stroke", { d: "M3 19L19 3" })] : [];
  return s(
    "svg.glyph",
    { viewBox: "0 0 22 22", width: 22, height: 22, "data-state": state, "aria-hidden": "true" },
    ...draw(),
    ...stroke,
  );
}
