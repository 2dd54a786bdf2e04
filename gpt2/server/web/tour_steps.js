// The ten steps of the tour, one a section of the guide, for a model of any size.

import { modelNow, scene } from "./run.js";
import { live } from "./source.js";
import { DEFAULTS } from "./state.js";

/** @import { State } from "./state.js" */

/**
 * where: what the step points at; start: how it begins, beside everything on; try: a button that changes the page;
 * answer: what is to be seen then.
 * @typedef {{
 *   title: string, where: string, text: string, start?: Partial<State>,
 *   try: [label: string, changes: Partial<State>], answer: string,
 * }} Step
 */

const FEW = 16; // a context that is shorter may not hold the tour's own text

/** @type {() => boolean} */
const ownTexts = () => live && modelNow().n_positions >= FEW;

// The text that every step begins with: an exported file holds one only.
export const tourText = () => (ownTexts() ? DEFAULTS.text : scene().text);

/** @returns {Step[]} */
export function steps() {
  const { n_layer: L, n_head: H } = modelNow();
  const b = Math.min(1, L - 1);
  const head = `${Math.min(2, L - 1)}.head.${Math.min(1, H - 1)}`;
  const own = ownTexts();
  return [
    {
      title: "One job: guess the next token",
      where: "#next",
      text:
        "A text comes in, and out comes a probability for every token that could follow. " +
        "Everything on this page is this one computation, with its real numbers.",
      try: own
        ? ["ask something else", { text: "Once upon a time there was a little", row: -1 }]
        : ["what follows the first token?", { row: 0 }],
      answer: own ? "New bars: the model knows how stories begin." : "New bars: those after the first token alone.",
    },
    {
      title: "Words become vectors",
      where: "[data-key='embed.pos']",
      text:
        "The text is cut into tokens (· is a space). Each is looked up in a table: a row of learned numbers. " +
        "Tokens used alike tend to lie close together.",
      try: ["show neighbours", { view: "positions", row: 1 }],
      answer:
        "The list names the tokens whose vectors are nearest to the selected one. Select another row and compare.",
    },
    {
      title: "Order is a vector too",
      where: "[data-key='embed.pos']",
      text:
        "To each token's vector the vector of its position is added. " +
        "Without it, attention could not tell one order from another.",
      start: { at: "embed.pos", ...(own ? { text: "The cat chased the" } : {}) },
      try: ["switch the position table off", { switches: { "embed.pos": "off" } }],
      answer:
        "The bars change. Now swap words in the prompt: " +
        "later blocks still notice a little, since a token never sees those after it.",
    },
    {
      title: "The stream",
      where: "#rows",
      text:
        "Each row is one position's residual stream: a running sum that attention and MLPs add to, " +
        "and nothing erases. " +
        "Its thickness is the vector's length, its colour what the model would say if it stopped there.",
      try: ["watch it through the lens", { view: "lens" }],
      answer: "Read a column upwards: the guess changes from block to block until it is the answer.",
    },
    {
      title: "LayerNorm",
      where: `[data-key='${b}.ln_1.scale']`,
      text:
        "Before each reader the stream is divided by its own size, " +
        "so that only its direction matters, however long it has grown.",
      start: { at: `${b}.ln_1.scale`, open: b },
      try: ["freeze one divisor", { switches: { [`${b}.ln_1.scale`]: "mean" }, view: "off" }],
      answer:
        "Held at its average, the divisor is wrong for each single token. How little or much that changes is below.",
    },
    {
      title: "Attention: rows talk",
      where: `[data-key='${b}.attn']`,
      text:
        "Here a row fetches from itself and from earlier rows. An arc is as wide as its share of what is written. " +
        "Several heads look in parallel, each in its own way.",
      start: { at: `${b}.attn`, open: b },
      try: ["open the heads", { at: `${b}.head.0` }],
      answer: "Small squares: who reads from whom, head by head. Press h and l to go through all of them.",
    },
    {
      title: "A large weight is not an effect",
      where: "#sentence",
      text: "A head can look at a token and bring nothing. To know what it does, switch it off and see what is missed.",
      start: { at: head },
      try: ["switch a head off", { switches: { [head]: "off" } }],
      answer: "The bars show the run with the head beside the one without; the marked line says it in words.",
    },
    {
      title: "The MLP: a row thinks",
      where: "[data-key='0.mlp']",
      text:
        "The square adds to its own row only. " +
        "Its neurons each react to some pattern, and push some tokens up and others down.",
      start: { at: "0.mlp" },
      try: ["switch the first MLP off", { switches: { "0.mlp": "off" }, view: "neurons" }],
      answer: "In a small model the first MLP is often what is missed most: all later blocks build on it.",
    },
    {
      title: "From stream to prediction",
      where: "[data-key='final.scale']",
      text:
        "The finished stream is normed once more and compared with every token's vector. " +
        "So a logit is a sum, and each component's share of it can be read off.",
      try: ["take the prediction apart", { view: "attribution", at: `${Math.min(3, L - 1)}.mlp` }],
      answer:
        "Blue bars speak for the first token against the second, orange ones against it. " +
        "They add up, with the error shown.",
    },
    {
      title: "Drawing a token",
      where: ".sampling",
      text:
        "The model gives probabilities; which token is written is a draw. " +
        "Temperature sharpens or flattens, top-k and top-p cut the unlikely tail. " +
        "Dropout, which blanks numbers at random, exists in training only: here nothing is random but this draw.",
      try: live ? ["turn the temperature up", { temperature: 1.6 }] : ["draw for the first row", { row: 0 }],
      answer: live
        ? "Compare p with drawn, then press step: the token joins the prompt. That is all of text generation."
        : "Compare p with drawn: the tail is cut, the rest shares what it had. Another temperature needs the model.",
    },
  ];
}
