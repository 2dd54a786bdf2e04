// The head of the picture: its columns, blocks, and the glyphs of their components, each with its name below it.
// A click selects, a second click switches.

import { label, parts, plainName } from "./components.js";
import { fill, find, h } from "./dom.js";
import { TOKENS } from "./geometry.js";
import { glyph } from "./glyphs.js";
import { toggle } from "./switches.js";
import { set, state, switchOf } from "./state.js";

/** @import { Switches } from "./answers.d.ts" */
/** @import { Child } from "./dom.js" */
/** @import { Bracket, Geometry, Station } from "./geometry.js" */

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
      [heading(b, geometry.blocks.length)],
      () => (b.open ? press(b.address) : select(b.address, true)),
    ),
  );
  const glyphs = geometry.stations.map((station) =>
    button(
      station.address,
      { left: `${station.x - station.size / 2}px`, width: `${station.size}px` },
      "place",
      [glyph(station.address, effective(station.address)), ...words(station)],
      () => press(station.address),
    ),
  );
  const columns = /** @type {[string, number][]} */ ([
    ["TOKENS", 4],
    ["EMBEDDING", TOKENS - 30],
    ["PREDICTION", geometry.end + 8],
  ]).map(([name, left]) => h("span.column", { style: { left: `${left}px` } }, name));
  fill(find("stations"), columns, blocks, glyphs);
}

/**
 * As much of a block's heading as has room.
 * @param {Bracket} block
 * @param {number} L
 */
function heading({ l, width }, L) {
  if (width >= 112) return `BLOCK ${l} of ${L}`;
  return width >= 72 ? `BLOCK ${l}` : String(l);
}

/** @param {Station} station */
function words({ address, open, does, low }) {
  const named = label(address, open);
  return [
    h(low ? "span.name.low" : "span.name", {}, named.name),
    does && named.does ? h("span.does", {}, named.does) : null,
  ];
}

/**
 * @param {string} address
 * @param {Record<string, string>} style
 * @param {string} classes
 * @param {Child[]} content
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
    ...content,
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
 * The first number that a component writes, as places.js names it; empty where it has none of its own.
 * @param {string} address
 */
function calculated(address) {
  const { block, head, kind } = parts(address);
  if (kind === "head") return `${block}.attn.z~${head}~~0`;
  if (kind === "attn" || kind === "mlp") return `${block}.${kind}.out~~~0`;
  return kind === "embed.pos" || kind.endsWith(".scale") ? `${address}~~~0` : "";
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
  const calc = calculated(address);
  if (state.view === "maths" && calc) set({ at: address, calc, open });
  else set({ at: address, view: views[kind] ?? "off", open });
}
