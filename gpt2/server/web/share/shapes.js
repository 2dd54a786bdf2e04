// A drawing of the page, or a matrix on a canvas, for a file: shapes with the style that the page's rules give them.

import { cellsOf } from "../heat.js";
import { element, escaped, hex, inkOf, reach, rounded } from "./sheet.js";

/** @import { Sheet, Written } from "./sheet.js" */

const SHAPES = ["g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text"];
const TO_TOUCH = ".hit, .touch"; // what only takes clicks
const PLACED = ["d", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "points"];

/**
 * @param {Sheet} to
 * @param {SVGElement} svg
 */
export function drawing(to, svg) {
  const bounds = svg.getBoundingClientRect();
  const view = svg instanceof SVGSVGElement ? svg.viewBox.baseVal : null;
  const scale = view?.width ? bounds.width / view.width : 1;
  const transform = `translate(${rounded(bounds.left - to.x)} ${rounded(bounds.top - to.y)})`;
  const inside = Array.from(svg.children, copied).join("");
  to.lines.push(element("g", { transform: scale === 1 ? transform : `${transform} scale(${rounded(scale)})` }, inside));
  if (!svg.closest("#rows")) reach(to, bounds); // whose rows are drawn where they are in view
}

/**
 * One shape as text, or nothing where it shows nothing.
 * @param {Element} shape
 * @returns {string}
 */
function copied(shape) {
  const name = shape.localName;
  if (!SHAPES.includes(name) || shape.matches(TO_TOUCH)) return "";
  const style = getComputedStyle(shape);
  /** @type {Written} */
  const attributes = {};
  for (const key of PLACED) if (shape.hasAttribute(key)) attributes[key] = shape.getAttribute(key);
  if (Number(style.opacity) < 1) attributes.opacity = Number(style.opacity);
  if (name === "g") return element(name, attributes, Array.from(shape.children, copied).join(""));
  Object.assign(attributes, filled(style), stroked(style));
  if (name !== "text") return element(name, attributes);
  attributes["font-family"] = style.fontFamily;
  attributes["font-size"] = parseFloat(style.fontSize);
  if (style.fontWeight !== "400") attributes["font-weight"] = style.fontWeight;
  return element(name, attributes, escaped(shape.textContent ?? ""));
}

/**
 * @param {CSSStyleDeclaration} style
 * @returns {Written}
 */
function filled(style) {
  const [fill, own] = inkOf(style.fill);
  const opacity = own * Number(style.fillOpacity);
  return { fill: opacity ? fill : "none", "fill-opacity": opacity > 0 && opacity < 1 ? opacity : null };
}

/**
 * @param {CSSStyleDeclaration} style
 * @returns {Written}
 */
function stroked(style) {
  const [stroke, own] = inkOf(style.stroke);
  const opacity = own * Number(style.strokeOpacity);
  if (!opacity) return {};
  return {
    stroke,
    "stroke-width": parseFloat(style.strokeWidth),
    "stroke-opacity": opacity < 1 ? opacity : null,
    "stroke-dasharray": style.strokeDasharray === "none" ? null : style.strokeDasharray.replaceAll("px", ""),
    "stroke-linecap": style.strokeLinecap === "butt" ? null : style.strokeLinecap,
    "stroke-linejoin": style.strokeLinejoin === "miter" ? null : style.strokeLinejoin,
  };
}

/**
 * The cells of a matrix, which the page paints on a canvas.
 * @param {Sheet} to
 * @param {HTMLCanvasElement} canvas
 */
export function cells(to, canvas) {
  const bounds = canvas.getBoundingClientRect();
  for (const { x, y, width, height, fill, stroke } of cellsOf(canvas)) {
    const place = {
      x: bounds.left - to.x + x * bounds.width,
      y: bounds.top - to.y + y * bounds.height,
      width: width * bounds.width,
      height: height * bounds.height,
    };
    /** @type {Written} */
    const ink = stroke ? { fill: "none", stroke: hex(stroke), "stroke-width": 1.5 } : { fill: hex(fill ?? "") };
    to.lines.push(element("rect", { ...place, ...ink }));
  }
  reach(to, bounds);
}
