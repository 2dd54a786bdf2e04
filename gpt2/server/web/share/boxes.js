// A part of the page as SVG: what stands there is drawn again as rectangles, paths and text, at the same places.
// In: elements as the browser has laid them out. Out: lines on a sheet. Read next: svg.js, which makes a file of them.

import { cells, drawing } from "./shapes.js";
import { element, escaped, hex, inkOf, reach, rounded } from "./sheet.js";

/** @import { Box, Sheet } from "./sheet.js" */

const LEFT_OUT = ".unseen, .sampling, title, script, option, progress, input[type=range], [hidden]";

/**
 * Draw an element and what is in it; letters outside `within`, where an element cuts them off, are left out.
 * @param {Sheet} to
 * @param {Element} part
 * @param {Box | null} [within]
 */
export function draw(to, part, within = null) {
  if (part.matches(LEFT_OUT) || !part.checkVisibility()) return;
  if (part instanceof SVGElement) {
    drawing(to, part);
    return;
  }
  const style = getComputedStyle(part);
  const bounds = part.getBoundingClientRect();
  const opacity = Number(style.opacity);
  const around = grouped(to, part, bounds, opacity);
  if (around) to.lines.push(around);
  for (const one of style.display === "inline" ? part.getClientRects() : [bounds]) box(to, one, style);
  if (part instanceof HTMLCanvasElement) cells(to, part);
  else if (isField(part)) field(to, part, bounds, style);
  else for (const child of part.childNodes) drawChild(to, child, cutting(style) ? narrower(bounds, within) : within);
  outline(to, part, bounds, style);
  if (around) to.lines.push("</g>");
}

/**
 * A frame that marks something; that of the keyboard's focus is no part of the picture.
 * @param {Sheet} to
 * @param {Element} part
 * @param {DOMRect} bounds
 * @param {CSSStyleDeclaration} style
 */
function outline(to, part, { left, top, width, height }, style) {
  if (style.outlineStyle !== "solid" || part === document.activeElement) return;
  const size = parseFloat(style.outlineWidth);
  const out = parseFloat(style.outlineOffset) + size / 2;
  const place = { x: left - to.x - out, y: top - to.y - out, width: width + 2 * out, height: height + 2 * out };
  to.lines.push(element("rect", { ...place, fill: "none", stroke: hex(style.outlineColor), "stroke-width": size }));
}

/**
 * The beginning of a group, where a part of the page is faint, or scrolls within itself as the rows of the picture do.
 * @param {Sheet} to
 * @param {Element} part
 * @param {DOMRect} bounds
 * @param {number} opacity
 */
function grouped(to, part, bounds, opacity) {
  const faint = opacity < 1 ? ` opacity="${rounded(opacity)}"` : "";
  if (part.id !== "rows") return faint && `<g${faint}>`;
  const { width, height } = bounds;
  const shown = { x: bounds.left - to.x, y: bounds.top - to.y, width: Math.max(width, part.scrollWidth), height };
  to.defs.push(element("clipPath", { id: "rows" }, element("rect", shown)));
  reach(to, bounds);
  return `<g clip-path="url(#rows)"${faint}>`;
}

/** @param {CSSStyleDeclaration} style */
const cutting = ({ overflowX }) => overflowX === "hidden" || overflowX === "clip";

/**
 * @param {Sheet} to
 * @param {ChildNode} child
 * @param {Box | null} within
 */
function drawChild(to, child, within) {
  if (child instanceof Text) words(to, child, within);
  else if (child instanceof Element) draw(to, child, within);
}

/**
 * @param {Box} a
 * @param {Box | null} b
 * @returns {Box}
 */
function narrower({ left, top, right, bottom }, b) {
  return { left: Math.max(left, b?.left ?? left), right: Math.min(right, b?.right ?? right), top, bottom };
}

/** @typedef {{ size: number, colour: string, dash: string | null }} Edge */

/**
 * Background and border.
 * @param {Sheet} to
 * @param {DOMRect} bounds
 * @param {CSSStyleDeclaration} style
 */
function box(to, bounds, style) {
  if (!bounds.width || !bounds.height) return;
  const [colour, opacity] = inkOf(style.backgroundColor);
  const hatched = style.backgroundImage.includes("repeating-linear-gradient");
  const sides = ["top", "right", "bottom", "left"].map((side) => edgeOf(style, side));
  const alike = sides.every((side) => JSON.stringify(side) === JSON.stringify(sides[0]));
  const frame = alike && sides[0].size ? sides[0] : null;
  if (hatched || opacity || frame) {
    const half = frame ? frame.size / 2 : 0;
    const [width, height] = [bounds.width - 2 * half, bounds.height - 2 * half];
    const radius = Math.min(parseFloat(style.borderTopLeftRadius) || 0, width / 2, height / 2);
    const place = { x: bounds.left - to.x + half, y: bounds.top - to.y + half, width, height, rx: radius || null };
    const fill = hatched ? hatch(to, style.borderTopColor) : opacity ? colour : "none";
    const faint = !hatched && opacity > 0 && opacity < 1 ? opacity : null;
    to.lines.push(element("rect", { ...place, fill, "fill-opacity": faint, ...(frame ? drawn(frame) : {}) }));
    reach(to, bounds);
  }
  if (!alike) sides.forEach((side, i) => side.size && rule(to, bounds, side, i));
}

/**
 * @param {CSSStyleDeclaration} style
 * @param {string} side
 * @returns {Edge}
 */
function edgeOf(style, side) {
  const of = (/** @type {string} */ what) => style.getPropertyValue(`border-${side}-${what}`);
  const [colour, opacity] = inkOf(of("color"));
  const dash = of("style") === "dashed" ? "4 3" : of("style") === "dotted" ? "1 2" : null;
  return { size: of("style") === "none" || !opacity ? 0 : parseFloat(of("width")), colour, dash };
}

/** @param {Edge} edge */
const drawn = ({ size, colour, dash }) => ({ stroke: colour, "stroke-width": size, "stroke-dasharray": dash });

/**
 * A border along one side.
 * @param {Sheet} to
 * @param {DOMRect} bounds
 * @param {Edge} side
 * @param {number} i top, right, bottom or left
 */
function rule(to, bounds, side, i) {
  const half = side.size / 2;
  const [left, top] = [bounds.left - to.x, bounds.top - to.y];
  const [right, bottom] = [left + bounds.width, top + bounds.height];
  const x = i === 1 ? right - half : i === 3 ? left + half : null;
  const y = i === 0 ? top + half : bottom - half;
  const ends = x === null ? { x1: left, y1: y, x2: right, y2: y } : { x1: x, y1: top, x2: x, y2: bottom };
  to.lines.push(element("line", { ...ends, ...drawn(side) }));
  reach(to, bounds);
}

/**
 * A pattern of slanted lines in a colour, by its reference.
 * @param {Sheet} to
 * @param {string} colour
 */
function hatch(to, colour) {
  const stroke = hex(colour);
  const id = `hatch${stroke.slice(1)}`;
  const made = element(
    "pattern",
    { id, width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    element("line", { x1: 1, y1: 0, x2: 1, y2: 4, stroke, "stroke-width": 2 }),
  );
  if (!to.defs.includes(made)) to.defs.push(made);
  return `url(#${id})`;
}

/**
 * @param {Element} part
 * @returns {part is HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement}
 */
const isField = (part) => part.matches("input, textarea, select");

/**
 * What the reader has typed or chosen.
 * @param {Sheet} to
 * @param {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} part
 * @param {DOMRect} bounds
 * @param {CSSStyleDeclaration} style
 */
function field(to, part, bounds, style) {
  const text = part instanceof HTMLSelectElement ? (part.selectedOptions[0]?.textContent ?? "") : part.value;
  const [x, size] = [bounds.left + parseFloat(style.paddingLeft) + 2, parseFloat(style.fontSize)];
  const lines = text.split("\n");
  const high = bounds.height / Math.max(1, lines.length);
  lines.forEach((one, i) => {
    const top = bounds.top + i * high + (high - size * 1.2) / 2;
    line(to, one, { left: x, right: bounds.right, top, bottom: top + size * 1.2 }, style, false);
  });
}

/**
 * A text node, line by line, as the browser has broken it.
 * @param {Sheet} to
 * @param {Text} node
 * @param {Box | null} within
 */
function words(to, node, within) {
  const parent = node.parentElement;
  if (!parent || !node.data.trim()) return;
  const style = getComputedStyle(parent);
  const upright = style.writingMode.startsWith("vertical");
  const range = document.createRange();
  /** @type {{ text: string, box: Box }[]} */
  const lines = [];
  let at = 0;
  for (const letter of node.data) {
    range.setStart(node, at);
    range.setEnd(node, (at += letter.length));
    const { left, top, right, bottom } = range.getBoundingClientRect();
    if (right <= left || bottom <= top) continue; // a space at a line's end
    if (within && (left > within.right - 2 || right < within.left + 2)) continue;
    const last = lines.at(-1);
    if (last && (upright || Math.abs(last.box.top - top) < 2)) {
      last.text += letter;
      last.box.right = Math.max(last.box.right, right);
      last.box.bottom = Math.max(last.box.bottom, bottom);
    } else {
      lines.push({ text: letter, box: { left, top, right, bottom } });
    }
  }
  const struck = parent.closest(".block[data-state=off], .part[data-state=off]") !== null;
  for (const one of lines) line(to, one.text.replace(/\s/g, " "), one.box, style, true, struck);
}

/**
 * One line of text; `exact` is drawn as wide as it is here, whatever fonts there are elsewhere.
 * @param {Sheet} to
 * @param {string} text
 * @param {Box} place
 * @param {CSSStyleDeclaration} style
 * @param {boolean} exact
 * @param {boolean} [struck] through
 */
function line(to, text, place, style, exact, struck = false) {
  if (!text.trim()) return;
  const [fill, opacity] = inkOf(style.color);
  const upright = style.writingMode.startsWith("vertical");
  const size = parseFloat(style.fontSize);
  const [left, top] = [place.left - to.x, place.top - to.y];
  const [width, height] = [place.right - place.left, place.bottom - place.top];
  const x = upright ? left + width / 2 - size * 0.36 : left;
  const y = upright ? top : top + height / 2 + size * 0.36; // to the middle of the capitals
  const long = exact && [...text].length > 1;
  const attributes = {
    x,
    y,
    transform: upright ? `rotate(90 ${rounded(x)} ${rounded(y)})` : null,
    "font-family": style.fontFamily,
    "font-size": size,
    "font-weight": style.fontWeight === "400" ? null : style.fontWeight,
    "font-style": style.fontStyle === "normal" ? null : style.fontStyle,
    "text-decoration": struck ? "line-through" : null,
    fill,
    "fill-opacity": opacity < 1 ? opacity : null,
    textLength: long ? (upright ? height : width) : null,
    lengthAdjust: long ? "spacingAndGlyphs" : null,
    "xml:space": text === text.trim() ? null : "preserve",
  };
  to.lines.push(element("text", attributes, escaped(text)));
  reach(to, place);
}
