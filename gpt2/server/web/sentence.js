// The line below the picture: what the switches did, in words.

import { pageCommand } from "./copy.js";
import { fill, find, h } from "./dom.js";
import { number, probability, signed } from "./format.js";
import { shortName } from "./components.js";
import { pictureLegend as legend } from "./legend.js";
import { nextOf } from "./picture.js";
import { reasons } from "./reasons.js";
import { pictureNow, rowNow, run, scene, stale, switched } from "./run.js";
import { live } from "./source.js";
import { STATES, set, state } from "./state.js";

/** @import { Picture } from "./answers.d.ts" */

export function drawSentence() {
  if (run.failed) {
    drawFailure(run.failed);
    return;
  }
  const { text } = scene();
  const row = rowNow();
  const picture = pictureNow();
  const next = nextOf(row);
  const token = (/** @type {string} */ word) => h("span.token", {}, word);
  const spaced = row === picture.tokens.length - 1 && endsInSpace(picture, text) ? withoutSpace(text) : null;
  const loss = picture.losses.data.length ? mean(picture.losses.data) : null;
  if (!switched()) {
    const best = next.reduce((a, b) => (b.p > a.p ? b : a));
    fill(
      find("sentence"),
      h(
        "span",
        {},
        "After ",
        token(picture.tokens[row]),
        " the model expects ",
        token(best.word),
        ` (${probability(best.p)}). `,
        reasons(row),
        loss === null ? "" : ` Loss on this text: ${number(loss)} nats per token. `,
      ),
      spaced,
      legend(),
    );
    return;
  }
  const first = next.reduce((a, b) => (b.before > a.before ? b : a));
  const now = next.reduce((a, b) => (b.p > a.p ? b : a));
  const before = mean(picture.losses_before.data);
  fill(
    find("sentence"),
    h(
      "span",
      {},
      `${describe()}: `,
      token(first.word),
      ` ${probability(first.before)} → ${probability(first.p)}`,
      now.id === first.id ? "" : [", now ", token(now.word), ` ${probability(now.p)}`],
      loss === null ? "" : `; loss on this text ${number(before)} → ${number(loss)} (${signed(loss - before)})`,
      ". ",
    ),
    spaced,
    allOn(),
    legend(),
  );
}

/**
 * Whether the text ends in a space that the model reads as a token of its own, though its words begin with theirs.
 * @param {Picture} picture
 * @param {string} text
 */
export function endsInSpace(picture, text) {
  const wordsOwnTheirs = Object.values(picture.words).some((word) => /^·./.test(word));
  return text.endsWith(" ") && picture.tokens.at(-1) === "·" && wordsOwnTheirs;
}

/** @param {string} text */
const withoutSpace = (text) =>
  h(
    "span.notice",
    {},
    "The last space is a token of its own: what follows is a piece, not a word. ",
    live
      ? h(
          "button",
          { type: "button", onclick: () => set({ text: text.replace(/ +$/, ""), row: -1 }), "data-key": "space" },
          "without the space",
        )
      : null,
  );

/**
 * Why there is no answer, whose run stands in view instead, and the ways on.
 * @param {string} failed
 */
function drawFailure(failed) {
  const { text, switches } = scene();
  const shown = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  fill(
    find("sentence"),
    h(
      "span",
      {},
      h("span.failed", { role: "alert" }, failed),
      live ? "" : h("code", {}, ` ${pageCommand()} `),
      stale()
        ? [" Below, without colour, is still the run of ", h("span.token", {}, shown), whichOf(switches), "."]
        : "",
    ),
    stale()
      ? h("button", { type: "button", onclick: () => set({ text, switches }), "data-key": "back" }, "back to it")
      : null,
    Object.keys(state.switches).length ? allOn() : null,
  );
}

/** @param {Record<string, string>} switches */
const whichOf = (switches) => (Object.keys(switches).length ? `, ${describe().replace("W", "w")}` : "");

const allOn = () =>
  h("button", { type: "button", onclick: () => set({ switches: {}, show: "run" }), "data-key": "reset" }, "all on");

/** @param {Float32Array} x */
const mean = (x) => x.reduce((a, b) => a + b, 0) / x.length;

// "Without head 3.1 and MLP 4, with head 2.0 at its mean"
export function describe() {
  const { switches } = scene();
  const named = (/** @type {string} */ kind) =>
    Object.keys(switches)
      .filter((a) => switches[a] === kind)
      .map(shortName);
  const listed = (/** @type {string[]} */ names) => {
    if (names.length > 4) return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
    return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  };
  const [off, ...others] = STATES.map(named);
  const how = ["at its mean", "halved", "doubled"];
  const text = [
    off.length ? `without ${listed(off)}` : "",
    ...others.map((names, n) => (names.length ? `with ${listed(names)} ${how[n]}` : "")),
  ];
  const joined = text.filter(Boolean).join(", ");
  return joined[0].toUpperCase() + joined.slice(1);
}
