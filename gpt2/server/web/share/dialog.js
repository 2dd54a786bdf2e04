// The dialog behind "share": what is shown as SVG, as Python, as a command, as a link.

import { theme } from "../colour.js";
import { commandOfView, copy } from "../copy.js";
import { choice, fill, find, h, toast } from "../dom.js";
import { rowNow, run } from "../run.js";
import { state } from "../state.js";
import { recipe } from "./recipe.js";
import { svgOf } from "./svg.js";

/** @import { Shown } from "./svg.js" */

/** @type {"shown" | "light"} */
let colours = "shown";

export function showShare() {
  if (!run.picture) return;
  draw();
  if (!find("dialog").open) find("dialog").showModal();
}

function draw() {
  const python = recipe();
  const command = commandOfView(state, rowNow());
  const name = find(`tab-${state.view}`).textContent ?? "";
  const button = (/** @type {string} */ text, /** @type {() => unknown} */ act) => {
    const onclick = () => {
      find("dialog").close(); // what was done is said on the page
      act();
    };
    return h("button", { type: "button", onclick, "data-key": text }, text);
  };
  fill(
    find("dialog"),
    h("h2", {}, "share what is shown"),
    h(
      "section",
      {},
      h("h3", {}, "a picture"),
      h(
        "div.bar",
        {},
        button(`save ${name} as SVG`, () => save("view")),
        button("save the picture as SVG", () => save("picture")),
        theme() === "dark" ? printed() : null,
      ),
    ),
    h(
      "section",
      {},
      h("h3", {}, "the same numbers in Python: text, row, switches, and this detail"),
      h("pre", { tabindex: 0, "aria-label": "Python" }, python),
      button("copy as Python", () => copy(python, "Python")),
    ),
    h(
      "section",
      {},
      h("h3", {}, "in a terminal"),
      command === null
        ? h("p", {}, "No one command has these switches together: copy as Python.")
        : [h("p", {}, h("code", {}, command)), button("copy as command", () => copy(command, "command"))],
    ),
    h(
      "section",
      {},
      h("h3", {}, "this page, with all that is chosen"),
      button("copy link", () => copy(location.href, "link")),
    ),
    h("button", { type: "button", onclick: () => find("dialog").close() }, "close"),
  );
}

// Whether a file takes the page's dark colours, or those for white paper.
function printed() {
  const pick = (/** @type {typeof colours} */ chosen) => {
    colours = chosen;
    draw();
  };
  /** @type {[value: typeof colours, text: string][]} */
  const options = [
    ["shown", "dark, as shown"],
    ["light", "light, for print"],
  ];
  return choice("colours of the file", options, colours, pick);
}

/** @param {Shown} shown */
async function save(shown) {
  try {
    const text = await svgOf(shown, colours);
    const link = h("a", {
      href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })),
      download: `glassbox-${shown === "picture" ? "picture" : state.view}.svg`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    toast(`saved: ${link.download}`);
  } catch (error) {
    reportError(error);
    toast(`This could not be drawn: ${error.message}`);
  }
}
