// How the next token is drawn: temperature, top-k, top-p, and one step at a time.
// The server applies the rules (gpt2/inference/sampling.py); this shows the shares that are left, and the draw.

import { h, toast } from "./dom.js";
import { number, probability } from "./format.js";
import { pictureNow, scene, stale } from "./run.js";
import { ask, has } from "./source.js";
import { set, state } from "./state.js";

/**
 * The shares of one question, by the ids of the tokens.
 * @type {{ key: string, of: Map<number, number> }}
 */
const shares = { key: "", of: new Map() };

/** @param {number} row */
const question = (row) => ({
  ...scene(),
  row,
  temperature: state.temperature,
  top_k: state.top_k,
  top_p: state.top_p,
  seed: state.seed,
});

/**
 * What is known of a token's share.
 * @param {number} row
 * @param {{ id: number }} token
 */
export function drawShare(row, token) {
  const key = JSON.stringify(question(row));
  if (shares.key !== key) return "…";
  const share = shares.of.get(token.id);
  return share === 0 ? "cut" : probability(share);
}

/**
 * Ask for the shares of a row, then draw again. Without a server only what the file holds is known.
 * @param {number} row
 * @param {() => void} then
 */
export async function loadShares(row, then) {
  const parameters = question(row);
  if (shares.key === JSON.stringify(parameters) || !has("draw", parameters)) return;
  const answer = await ask("draw", parameters);
  shares.key = JSON.stringify(parameters);
  shares.of = new Map(Array.from(answer.ids.data, (id, i) => [id, answer.shares.data[i]]));
  then();
}

/** @param {number} row */
export function drawControls(row) {
  const last = row === pictureNow().tokens.length - 1;
  const can = has("draw", question(row)) && !stale();
  /** @type {HTMLButtonElement} */
  const stepping = h(
    "button",
    {
      type: "button",
      disabled: !can || !last,
      onclick: () => step(row, stepping),
      "data-key": "step",
      title: last ? "draw one token and add it to the prompt" : "select the last row to go on from it",
    },
    "step ▸",
  );
  return h(
    "form.sampling",
    { onsubmit: (event) => event.preventDefault() },
    slider(
      "temperature",
      0,
      2,
      0.05,
      "divides the logits before softmax; 0 takes the likeliest, 1 is the model's own, more is wilder",
    ),
    slider("top_k", 0, 100, 1, "only the k likeliest; 0: all"),
    slider("top_p", 0.05, 1, 0.01, "only the likeliest that together have this probability"),
    h(
      "span.steps",
      {},
      stepping,
      h(
        "button",
        {
          type: "button",
          disabled: !can,
          onclick: () => set({ seed: state.seed + 1 }),
          "data-key": "seed",
          title: "another draw",
        },
        `seed ${state.seed}`,
      ),
    ),
    h("small", {}, howDrawn()),
  );
}

/** In words, what makes the shares of the column "drawn" of the logits. */
function howDrawn() {
  if (state.temperature === 0) return "drawn: always the likeliest. The model and p stay as they are.";
  return (
    `drawn: logits ÷ ${number(state.temperature)}, then softmax; what top-k and top-p cut gets 0. ` +
    "The model and p stay as they are."
  );
}

/**
 * @param {"temperature" | "top_k" | "top_p"} name
 * @param {number} min
 * @param {number} max
 * @param {number} by the smallest step
 * @param {string} hint
 */
function slider(name, min, max, by, hint) {
  const input = h("input", {
    type: "range",
    min,
    max,
    step: by,
    value: state[name],
    title: hint,
    "data-key": name,
    oninput: () => set({ [name]: Number(input.value) }),
  });
  const shown = name === "top_k" && state.top_k === 0 ? "all" : number(state[name]);
  return h("label", { title: hint }, h("span", {}, name.replace("_", "-")), input, h("output", {}, shown));
}

/**
 * @param {number} row
 * @param {HTMLButtonElement} button
 */
async function step(row, button) {
  button.disabled = true; // until the next row is there: a second click would draw for this one again
  try {
    const answer = await ask("draw", question(row));
    if (answer.text === null) throw new Error(`drew ${answer.word}, which is no whole text: take another seed`);
    set({ text: answer.text, row: -1 });
    toast(`drew ${answer.word}`);
  } catch (error) {
    button.disabled = false;
    toast(error.message);
  }
}
