// The head of the picture: blocks and the glyphs of their components. A click selects, a second click switches.

import { parts, plainName } from "./components.js";
import { fill, find, h } from "./dom.js";
import { glyph } from "./glyphs.js";
import { toggle } from "./switches.js";
import { set, state, switchOf } from "./state.js";

/** @import { Switches } from "./answers.d.ts" */
/** @import { Child } from "./dom.js" */
/** @import { Geometry } from "./geometry.js" */

let drawn = ""; // what the glyphs show: a click must not lose its target to a drawing of the very same

/**
 * @param {Geometry} geometry
 */
export function drawStations(geometry) {
  const now = JSON.stringify([geometry, state.switches, state.at]);
  if (now === drawn) return;
  drawn = now;
  const blocks = geometry.blocks.map((b) =>
    button(
      b.address,
      { left: `${b.x + 2}px`, width: `${b.width - 4}px` },
      "block",
      b.full ? `block ${b.l}` : String(b.l),
      () => (b.full ? press(b.address) : select(b.address, true)),
    ),
  );
  const glyphs = geometry.stations.map((station) =>
    button(
      station.address,
      { left: `${station.x - station.size / 2}px`, width: `${station.size}px` },
      "place",
      glyph(station.address, effective(station.address)),
      () => press(station.address),
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
 * @param {() => void} pressed
 */
function button(address, style, classes, content, pressed) {
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
      onclick: pressed,
    },
    content,
  );
}

const press = (/** @type {string} */ address) => (state.at === address ? toggle(address) : select(address));

/**
 * What a component does with these switches: a block that is off takes its parts with it.
 * @param {string} address
 * @param {Switches} [switches] the reader's, where none are given
 */
export function effective(address, switches = state.switches) {
  const { block, kind } = parts(address);
  const set_ = (/** @type {string} */ other) => switches[other] ?? "on";
  const own = set_(address);
  if (own !== "on" || block === null || kind === "block") return own;
  if (set_(`${block}.block`) !== "on") return set_(`${block}.block`);
  if (kind === "head") return set_(`${block}.attn`);
  const heads = Object.keys(switches).some((a) => a.startsWith(`${block}.head.`));
  return kind === "attn" && heads ? "part" : own;
}

/**
 * Selecting a component opens the detail that shows it; the picture stays where it is, unless its block is to open.
 * @param {string} address
 * @param {boolean} [opening] whether its block is drawn in full from now on
 */
export function select(address, opening = false) {
  const { block, kind } = parts(address);
  /** @type {Record<string, string>} */
  const views = {
    attn: "attention",
    head: "attention",
    mlp: "neurons",
    "embed.pos": "positions",
    logits: "attribution",
  };
  const open = opening && block !== null ? block : state.open;
  set({ at: address, view: views[kind] ?? "off", open });
}
