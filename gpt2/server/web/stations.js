// The head of the picture: blocks and the glyphs of their components. A click selects, a second click switches.

import { parts, plainName } from "./components.js";
import { fill, find, h } from "./dom.js";
import { glyph } from "./glyphs.js";
import { toggle } from "./switches.js";
import { set, state, switchOf } from "./state.js";

/** @import { Child } from "./dom.js" */
/** @import { Geometry } from "./geometry.js" */

let drawn = ""; // what the glyphs show: a click must not lose its target to a drawing of the very same

/**
 * @param {Geometry} geometry
 * @param {(block: number | null) => void} open hears of the block that the reader points at
 */
export function drawStations(geometry, open) {
  const now = JSON.stringify([geometry, state.switches, state.at]);
  if (now === drawn) return;
  drawn = now;
  const blocks = geometry.blocks.map((b) =>
    button(
      b.address,
      { left: `${b.x + 2}px`, width: `${b.width - 4}px` },
      "block",
      geometry.squeezed && !b.full ? String(b.l) : `block ${b.l}`,
      () => open(b.l),
    ),
  );
  const glyphs = geometry.stations.map((station) =>
    button(
      station.address,
      { left: `${station.x - 13}px` },
      station.small ? "place.small" : "place",
      glyph(station.address, effective(station.address)),
      () => open(parts(station.address).block),
    ),
  );
  const ends = [
    h("span.end", { style: { left: "8px" } }, "tokens"),
    h("span.end", { style: { left: `${geometry.end + 8}px` } }, "predicts"),
  ];
  fill(find("stations"), ends, blocks, glyphs);
}

/**
 * @param {string} address
 * @param {Record<string, string>} style
 * @param {string} classes
 * @param {Child} content
 * @param {() => void} pointed
 */
function button(address, style, classes, content, pointed) {
  const name = `${plainName(address)}: ${switchOf(address)}`;
  const chosen = parts(state.at).kind === "head" ? `${parts(state.at).block}.attn` : state.at;
  return h(
    `button.${classes}`,
    {
      type: "button",
      style,
      "aria-label": name,
      "aria-pressed": String(chosen === address),
      "data-card": address,
      "data-key": address,
      "data-state": effective(address),
      tabindex: chosen === address ? 0 : -1,
      onclick: () => (state.at === address ? toggle(address) : select(address)),
      onpointerenter: pointed,
    },
    content,
  );
}

/**
 * What a component does in this run: a block that is off takes its parts with it.
 * @param {string} address
 */
export function effective(address) {
  const { block, kind } = parts(address);
  const own = switchOf(address);
  if (own !== "on" || block === null || kind === "block") return own;
  if (switchOf(`${block}.block`) !== "on") return switchOf(`${block}.block`);
  if (kind === "head") return switchOf(`${block}.attn`);
  const heads = Object.keys(state.switches).some((a) => a.startsWith(`${block}.head.`));
  return kind === "attn" && heads ? "part" : own;
}

/**
 * Selecting a component opens the detail that shows it; the picture stays where it is.
 * @param {string} address
 */
export function select(address) {
  const { kind } = parts(address);
  /** @type {Record<string, string>} */
  const views = {
    attn: "attention",
    head: "attention",
    mlp: "neurons",
    "embed.pos": "positions",
    logits: "attribution",
  };
  set({ at: address, view: views[kind] ?? "off" });
}
