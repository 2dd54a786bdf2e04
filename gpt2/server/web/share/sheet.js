// What a drawing in SVG is made of here: lines of text, colours as #rrggbb, an origin on the page, how far it reaches.

/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box */
/** @typedef {Record<string, string | number | null>} Written attributes; one that is null is left out */

/**
 * What is drawn so far: lines of SVG, what they refer to, the point of the page that is their 0, 0, how far they reach.
 * @typedef {{ lines: string[], defs: string[], x: number, y: number, right: number, bottom: number }} Sheet
 */

/** @returns {Sheet} */
export const sheet = () => ({ lines: [], defs: [], x: 0, y: 0, right: 0, bottom: 0 });

const NAMES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu; // in XML, even escaped

/** @param {string} text */
export const escaped = (text) =>
  text.replace(FORBIDDEN, "\u{fffd}").replace(/[&<>"]/g, (mark) => NAMES[/** @type {keyof typeof NAMES} */ (mark)]);

/** @param {number} x */
export const rounded = (x) => String(Math.round(100 * x) / 100);

/**
 * One element as text.
 * @param {string} name
 * @param {Written} attributes
 * @param {string} [inside]
 */
export function element(name, attributes, inside) {
  const words = Object.entries(attributes)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? rounded(value) : escaped(String(value))}"`);
  return `<${name}${words.join("")}${inside === undefined ? "/>" : `>${inside}</${name}>`}`;
}

/**
 * The drawing is at least as large as this.
 * @param {Sheet} to
 * @param {Box} bounds on the page
 */
export function reach(to, { right, bottom }) {
  to.right = Math.max(to.right, right - to.x);
  to.bottom = Math.max(to.bottom, bottom - to.y);
}

/** @type {Map<string, [hex: string, opacity: number]>} */
const known = new Map();

/**
 * A colour of CSS as #rrggbb and an opacity; what is no colour is wholly transparent.
 * @param {string} colour as the browser computes it: rgb(...), rgba(...), or one of a newer kind
 * @returns {[hex: string, opacity: number]}
 */
export function inkOf(colour) {
  const before = known.get(colour);
  if (before) return before;
  const plain = colour.match(/^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/);
  const [r, g, b, a] = plain ? [plain[1], plain[2], plain[3], plain[4] ?? 1].map(Number) : asPainted(colour);
  /** @type {[string, number]} */
  const ink = ["#" + [r, g, b].map((x) => x.toString(16).padStart(2, "0")).join(""), a];
  known.set(colour, ink);
  return ink;
}

/** @param {string} colour */
export const hex = (colour) => inkOf(colour)[0];

/**
 * Red, green, blue and opacity of a colour that no other program may know, such as a mix: as the browser paints it.
 * @param {string} colour
 */
function asPainted(colour) {
  if (!CSS.supports("color", colour)) return [0, 0, 0, 0];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
