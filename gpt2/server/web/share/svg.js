// What the reader sees, as a file of SVG: the chosen detail, or the picture with the next tokens.
// It stands alone: colours and fonts written out, the prompt, the model, the state and the command in it as words.

import { theme } from "../colour.js";
import { commandOfView, pageCommand } from "../copy.js";
import { drawDetail } from "../detail.js";
import { find } from "../dom.js";
import { drawNext } from "../next.js";
import { drawPicture } from "../picture.js";
import { modelNow, rowNow, scene } from "../run.js";
import { drawSentence } from "../sentence.js";
import { state, write } from "../state.js";
import { draw } from "./boxes.js";
import { element, escaped, hex, reach, sheet } from "./sheet.js";

/** @typedef {"view" | "picture"} Shown */

const EDGE = 16; // pixels of paper around
const PARTS = { view: ["panel"], picture: ["flow", "sentence", "next"] };
const [SHORT, LONG] = [50, 20000]; // milliseconds between looks at what still comes, and in all

/**
 * The file of what is shown now; "light" draws it as on white paper, whatever the page's colours are.
 * @param {Shown} shown
 * @param {"shown" | "light"} [colours]
 */
export async function svgOf(shown, colours = "shown") {
  const before = theme();
  const turned = colours === "light" && before !== "light";
  if (turned) await paint("light");
  try {
    return traced(shown);
  } finally {
    if (turned) await paint(before);
  }
}

/**
 * Draw the page in other colours.
 * @param {string} name
 */
async function paint(name) {
  document.documentElement.dataset.theme = name;
  drawPicture();
  drawNext();
  drawSentence();
  await drawDetail();
  const end = performance.now() + LONG;
  while (find("panel").querySelector("[data-coming]") && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, SHORT));
  }
}

/** @param {Shown} shown */
function traced(shown) {
  const to = sheet();
  let y = EDGE;
  for (const id of PARTS[shown]) {
    const part = find(id);
    const { scrollTop, scrollLeft } = part;
    part.scrollTop = part.scrollLeft = 0; // all of it, not what is scrolled to
    const { left, top } = part.getBoundingClientRect();
    to.x = left - EDGE;
    to.y = top - y;
    for (const child of part.children) draw(to, child);
    part.scrollTop = scrollTop;
    part.scrollLeft = scrollLeft;
    y = to.bottom + EDGE / 2;
  }
  const { name, weights, version } = modelNow();
  const style = getComputedStyle(document.body);
  const said = `${titleOf(shown)} · ${name} ${weights.slice(0, 12)} · glassbox-gpt2 ${version}`;
  const font = { "font-family": style.fontFamily, "font-size": 11, fill: hex(style.getPropertyValue("--quiet")) };
  to.lines.push(element("text", { x: EDGE, y: y + 12, ...font }, escaped(said)));
  to.x = to.y = 0;
  reach(to, { left: 0, top: 0, right: EDGE + said.length * 6, bottom: y + 14 });
  const [width, height] = [Math.ceil(to.right + EDGE), Math.ceil(to.bottom + EDGE)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ' role="img" aria-labelledby="title desc">',
    `<title id="title">${escaped(titleOf(shown))}</title>`,
    `<desc id="desc">${escaped(description())}</desc>`,
    `<defs>${to.defs.join("")}</defs>`,
    element("rect", { width, height, fill: hex(style.backgroundColor) }),
    ...to.lines,
    "</svg>\n",
  ].join("\n");
}

/** @param {Shown} shown */
function titleOf(shown) {
  const text = scene().text.replace(/\s+/g, " ");
  const cut = text.length > 60 ? `${text.slice(0, 59)}…` : text;
  return `${shown === "picture" ? "one forward pass" : find(`tab-${state.view}`).textContent}: “${cut}”`;
}

function description() {
  const { name, weights, dtype, version } = modelNow();
  return [
    `Prompt: ${scene().text}`,
    `Model: ${name}, ${dtype}, SHA-256 of the weights ${weights}`,
    `State: ${write({ ...state, ...scene() })}`,
    `Command: ${commandOfView(state, rowNow()) ?? `${pageCommand()}, with the state behind # in the address`}`,
    `Drawn by glassbox-gpt2 ${version}`,
  ].join("\n");
}
