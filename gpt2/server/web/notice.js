// The line above the page that says what a link names in vain; the reader closes it.

import { find, h } from "./dom.js";

/** @param {string} text none: the line goes away */
export function notice(text) {
  const box = find("notice");
  box.hidden = text === "";
  box.replaceChildren(
    h("span", {}, text),
    h("button", { type: "button", onclick: () => (box.hidden = true) }, "close"),
  );
}
