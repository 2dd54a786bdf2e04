// What the colours and widths mean: the key of a colour scale, with its range and unit, and that of the picture.

import { breadth } from "./arcs.js";
import { choice, h } from "./dom.js";
import { number, share } from "./format.js";
import { pictureNow, switched } from "./run.js";
import { set, state } from "./state.js";

/**
 * @param {(x: number) => string} colour
 * @param {number} low
 * @param {number} high
 * @param {string} unit
 */
export function scaleKey(colour, low, high, unit) {
  const steps = Array.from({ length: 12 }, (_, i) =>
    h("i", { style: { background: colour(low + ((high - low) * i) / 11) } }),
  );
  return h(
    "span.scale",
    { role: "img", "aria-label": `${unit}, from ${number(low)} to ${number(high)}` },
    number(low),
    h("span.steps", {}, ...steps),
    number(high),
    h("small", {}, unit),
  );
}

// Seen only where the picture is wider than its room: picture.js says so.
const wider = () => h("strong.wider", {}, "The picture goes on to the right: scroll it sideways.");

// The key of the picture, and what may be shown instead.
export function pictureLegend() {
  const show = choice(
    "colours",
    [
      ["run", "run", "the run with these switches"],
      ["change", "change", "how far each place moved towards or away from the original prediction"],
    ],
    state.show,
    (chosen) => set({ show: chosen }),
  );
  return h("span.legend", {}, wider(), switched() ? show : null, tintKey(), normKey(), arcKey());
}

function tintKey() {
  const [one, other] =
    switched() && state.show === "change"
      ? [
          ["var(--orange)", "less likely", ""],
          ["var(--blue)", "likelier", ""],
        ]
      : [
          ["var(--blue)", "final answer", "the lens already says what the model will say"],
          ["var(--sand)", "something else", "the lens says something else"],
        ];
  const key = ([background, name, title] = one) => [h("i.key", { style: { background }, title }), name];
  return h(
    "span",
    { title: "the tint of a stream: what it would predict if it stopped there; the stronger, the surer" },
    ...key(one),
    ...key(other),
  );
}

function normKey() {
  const { low, high } = range(pictureNow().norms.data);
  return h(
    "span",
    { title: "a stream's thickness is the logarithm of its vector's length (norm)" },
    "length",
    h("i.thin"),
    number(low),
    h("i.thick"),
    number(high),
  );
}

const WIDTHS = [0.1, 0.5]; // the shares whose arcs the key shows

function arcKey() {
  const rest = "; the first token has no arc: what rests on it stands below the rows";
  const arcs = choice(
    "arcs",
    [
      ["written", "written", `arc width: share of what attention writes, weight times length of the value${rest}`],
      ["mean", "mean", `arc width: attention weight, mean over the heads that are on${rest}`],
      ["head", "head", `arc width: attention weight of the head chosen below${rest}`],
    ],
    state.arcs,
    (chosen) => set({ arcs: chosen }),
  );
  const of = state.arcs === "written" ? "share of what is written" : "attention weight";
  const keys = WIDTHS.flatMap((weight) => [h("i.thin", { style: { height: `${breadth(weight)}px` } }), share(weight)]);
  return h("span", {}, h("span", { title: `an arc is as wide as the ${of}` }, "arcs", ...keys), " ", arcs);
}

/** @param {Float32Array} norms */
function range(norms) {
  let [low, high] = [Infinity, 0];
  for (const n of norms) {
    low = Math.min(low, n);
    high = Math.max(high, n);
  }
  return { low, high };
}
