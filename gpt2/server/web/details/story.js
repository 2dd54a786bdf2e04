// Detail: short stories on the model. Each sets the page, lets the reader guess, and then shows the run that answers.
// In: stories.js and the run that is shown. What the reader had before the first story is there again afterwards.

import { pageCommand } from "../copy.js";
import { h } from "../dom.js";
import { modelNow, pictureNow, run, scene, stale } from "../run.js";
import { ask, key, live } from "../source.js";
import { DEFAULTS, set, state } from "../state.js";
import { holds, measured, measuresOf, sentence, written } from "./claims.js";
import { FOUND_ON, STORIES } from "./stories.js";

/** @import { Children } from "../dom.js" */
/** @import { State } from "../state.js" */
/** @import { Step, Story } from "./stories.js" */

/** @type {State | null} */
let before = null; // the reader's own state while stories are told
/** @type {{ story: Story, guess: number | null, step: number } | null} */
let now = null;

/** @param {{ again: () => void }} tools */
export async function story({ again }) {
  return now ? told(now, again) : menu(again);
}

/** @param {() => void} again */
function menu(again) {
  const bundled = modelNow().name === FOUND_ON;
  const said = bundled
    ? "Guess first; then the page shows the run. Each begins with everything on. "
    : `The stories were found on the bundled model, ${FOUND_ON}. On this one they may not be so. `;
  const file = "This file holds one run: the command under a story opens a page whose tab story tells it. ";
  return [
    h("div.side", {}, h("h3", {}, "stories of this model"), h("p.fine", {}, live ? said : file), back(again)),
    h("div.stories", {}, ...STORIES.map((one) => entry(one, again))),
  ];
}

/**
 * @param {Story} one
 * @param {() => void} again
 */
function entry(one, again) {
  const lacks = lacking(one);
  const start = () => tell(one, again);
  return h(
    "section",
    {},
    h("h4", {}, one.title),
    h("p.token", {}, one.text),
    live
      ? h("button", { type: "button", onclick: start, disabled: Boolean(lacks), "data-key": one.name }, "begin")
      : h("code", {}, pageCommand(one.text)),
    lacks ? h("span.fine", {}, ` This model has no ${lacks}.`) : null,
  );
}

/**
 * The first component that a story speaks of and this model lacks.
 * @param {Story} one
 */
function lacking(one) {
  const named = one.steps.flatMap((step) => [step.at, ...step.switches, ...measuresOf(step).flatMap(addressIn)]);
  return named.find((address) => !Object.hasOwn(modelNow().switches, address)) ?? null;
}

/** @param {string} measure */
const addressIn = (measure) => measure.split(" ").filter((word) => /^\d+\.head\.\d+$/.test(word));

/**
 * @param {Story} one
 * @param {() => void} again
 */
function tell(one, again) {
  before ??= { ...state };
  now = { story: one, guess: null, step: 0 };
  show({ ...one.steps[0], switches: [] }, one, again); // what a switch does is not shown before the guess
}

/**
 * Set the page as a step says. Where that changes nothing, only this detail is drawn anew.
 * @param {Pick<Step, "switches" | "at">} step
 * @param {Story} one
 * @param {() => void} again
 */
function show(step, one, again) {
  const clean = { ...DEFAULTS, tables: state.tables, view: "story", text: one.text };
  const arcs = step.at.includes(".head.") ? "head" : DEFAULTS.arcs;
  set({ ...clean, arcs, at: step.at, switches: switchesOf(step) }, { quiet: true });
  again();
}

/** @param {Pick<Step, "switches">} step */
const switchesOf = (step) => Object.fromEntries(step.switches.map((address) => [address, "off"]));

/**
 * @param {NonNullable<typeof now>} telling
 * @param {() => void} again
 */
async function told(telling, again) {
  const { story: one, guess, step } = telling;
  const guessed = (/** @type {number} */ i) => {
    telling.guess ??= i;
    show(one.steps[0], one, again);
  };
  const answer = guess === null ? [h("p.fine", {}, "Guess first.")] : await answered(telling, again);
  return [
    h(
      "div.side.telling",
      {},
      h("h3", {}, `${STORIES.indexOf(one) + 1} of ${STORIES.length}: ${one.title}`),
      h("p", {}, one.question),
      h("div.guesses", {}, ...one.guesses.map((text, i) => choiceOf(text, i, telling, guessed))),
      ways(one, again),
    ),
    h("div.answered", { role: "status" }, guess === null ? null : verdict(one, guess), ...answer),
    guess === null ? null : stepsOf(one, step, again),
  ];
}

/**
 * @param {string} text
 * @param {number} i
 * @param {NonNullable<typeof now>} telling
 * @param {(i: number) => void} guessed
 */
function choiceOf(text, i, { story: one, guess }, guessed) {
  const known = guess !== null;
  const mark = known && i === one.right && modelNow().name === FOUND_ON ? " ✓" : "";
  return h(
    "button",
    {
      type: "button",
      "aria-pressed": String(guess === i),
      "data-key": `guess:${i}`,
      disabled: known && guess !== i && i !== one.right,
      onclick: () => guessed(i),
    },
    text + mark,
  );
}

/**
 * @param {Story} one
 * @param {number} guess
 */
function verdict(one, guess) {
  if (modelNow().name !== FOUND_ON) return h("p", {}, `On ${FOUND_ON} it is: ${one.guesses[one.right]}.`);
  return h("p", {}, h("b", {}, guess === one.right ? "Right. " : "No. "), `The answer is: ${one.guesses[one.right]}.`);
}

/**
 * What is seen in the run that is shown, if it is the one that the step speaks of.
 * @param {NonNullable<typeof now>} telling
 * @param {() => void} again
 * @returns {Promise<Children[]>}
 */
async function answered({ story: one, step }, again) {
  const here = one.steps[step];
  const own = { text: one.text, switches: switchesOf(here) };
  const resume = () => show(here, one, again);
  if (key("picture", own) !== key("picture", scene())) {
    if (run.failed) return [h("p.fine", {}, "This run cannot be had: the line above says why.")];
    if (stale()) return [h("p.fine", {}, "…")];
    return [
      h("p.fine", {}, "The prompt or the switches are no longer those of the story."),
      h("button", { type: "button", onclick: resume, "data-key": "resume" }, "set them again"),
    ];
  }
  const values = await measured(here, {
    picture: pictureNow(),
    blocks: modelNow().n_layer,
    heads: modelNow().n_head,
    ask: (name, parameters) => ask(name, { ...own, ...parameters }),
  });
  const seen = here.claims.every((claim) => holds(claim, values));
  if (!seen) {
    const list = Array.from(values, ([name, value]) => h("li", {}, `${name}: ${written(name, value)}`));
    return [h("p", {}, "What the story says is not so in this run. Measured:"), h("ul", {}, ...list)];
  }
  return [h("p", {}, ...sentence(here, values).map((piece, i) => (i % 2 ? h("b", {}, piece) : piece)))];
}

/**
 * @param {Story} one
 * @param {number} step
 * @param {() => void} again
 */
function stepsOf(one, step, again) {
  const to = (/** @type {number} */ n) => {
    now = { story: one, guess: now?.guess ?? one.right, step: n };
    show(one.steps[n], one, again);
  };
  const { more } = one.steps[step];
  const next = STORIES[STORIES.indexOf(one) + 1];
  const on = next && !lacking(next) ? () => tell(next, again) : null;
  return h(
    "div.onward",
    {},
    more ? h("button.main", { type: "button", onclick: () => to(step + 1), "data-key": "more" }, more) : null,
    step > 0 ? h("button", { type: "button", onclick: () => to(step - 1), "data-key": "less" }, "one step back") : null,
    !more && on ? h("button.main", { type: "button", onclick: on, "data-key": "next" }, "next story") : null,
  );
}

/**
 * The ways out of a story.
 * @param {Story} one
 * @param {() => void} again
 */
function ways(one, again) {
  const list = () => {
    now = null;
    again();
  };
  return h(
    "div.bar",
    {},
    h("button", { type: "button", onclick: list, "data-key": "list", title: `leave: ${one.title}` }, "all stories"),
    back(again),
  );
}

/** @param {() => void} again */
function back(again) {
  if (!before) return null;
  const restore = () => {
    const own = before;
    [before, now] = [null, null];
    if (own) set(own, { quiet: true });
    again();
  };
  return h(
    "button",
    { type: "button", onclick: restore, "data-key": "mine", title: "the prompt, switches and view you had before" },
    "my page again",
  );
}
