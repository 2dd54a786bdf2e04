// Ten short steps, one a section of the guide, each pointing at the live picture with one thing to try.
// Opens the first time and never again unless asked.

import { find, h } from "./dom.js";
import { set, state } from "./state.js";

/** @import { State } from "./state.js" */

const off = (/** @type {string[]} */ ...addresses) => ({
  ...state.switches,
  ...Object.fromEntries(addresses.map((a) => [a, "off"])),
});

/**
 * where: what the step points at; try: a button that changes the page; answer: what is to be seen then.
 * @type {{
 *   title: string, where: string, text: string, try: [label: string, changes: () => Partial<State>], answer: string,
 * }[]}
 */
const STEPS = [
  {
    title: "One job: guess the next token",
    where: "#next",
    text:
      "A text comes in, and out comes a probability for every token that could follow. " +
      "Everything on this page is this one computation, with its real numbers.",
    try: ["ask something else", () => ({ text: "Once upon a time there was a little", row: -1 })],
    answer: "New bars: the model knows how stories begin.",
  },
  {
    title: "Words become vectors",
    where: "[data-key='embed.pos']",
    text:
      "The text is cut into tokens (· is a space). Each is looked up in a table: a row of learned numbers. " +
      "Tokens used alike tend to lie close together.",
    try: ["show neighbours", () => ({ view: "positions", row: 1 })],
    answer: "The list names the tokens whose vectors are nearest to the selected one. Select another row and compare.",
  },
  {
    title: "Order is a vector too",
    where: "[data-key='embed.pos']",
    text:
      "To each token's vector the vector of its position is added. " +
      "Without it, attention could not tell one order from another.",
    try: [
      "switch the position table off",
      () => ({ text: "The cat chased the", row: -1, switches: off("embed.pos"), at: "embed.pos" }),
    ],
    answer:
      "The bars change. Now swap words in the prompt: " +
      "later blocks still notice a little, since a token never sees those after it.",
  },
  {
    title: "The stream",
    where: "#rows",
    text:
      "Each row is one position's residual stream: a running sum that attention and MLPs add to, and nothing erases. " +
      "Its thickness is the vector's length, its colour what the model would say if it stopped there.",
    try: ["watch it through the lens", () => ({ switches: {}, view: "lens" })],
    answer: "Read a column upwards: the guess changes from block to block until it is the answer.",
  },
  {
    title: "LayerNorm",
    where: "[data-key='1.ln_1.scale']",
    text:
      "Before each reader the stream is divided by its own size, " +
      "so that only its direction matters, however long it has grown.",
    try: ["freeze one divisor", () => ({ switches: { "1.ln_1.scale": "mean" }, at: "1.ln_1.scale", view: "off" })],
    answer:
      "Held at its average, the divisor is wrong for each single token. How little or much that changes is below.",
  },
  {
    title: "Attention: rows talk",
    where: "[data-key='1.attn']",
    text:
      "Here a row fetches from itself and from earlier rows. An arc is as wide as the weight. " +
      "Several heads look in parallel, each in its own way.",
    try: ["open the heads", () => ({ switches: {}, at: "1.head.0", view: "attention" })],
    answer: "Small squares: who reads from whom, head by head. Press h and l to go through all of them.",
  },
  {
    title: "A large weight is not an effect",
    where: "#detail",
    text: "A head can look at a token and bring nothing. To know what it does, switch it off and see what is missed.",
    try: ["switch a head off", () => ({ switches: off("2.head.1"), at: "2.head.1", view: "attention" })],
    answer: "The second bar is the run without the head; the line below says it in words.",
  },
  {
    title: "The MLP: a row thinks",
    where: "[data-key='0.mlp']",
    text:
      "The square adds to its own row only. " +
      "Its neurons each react to some pattern, and push some tokens up and others down.",
    try: ["switch the first MLP off", () => ({ switches: off("0.mlp"), at: "0.mlp", view: "neurons" })],
    answer: "In a small model the first MLP is often what is missed most: all later blocks build on it.",
  },
  {
    title: "From stream to prediction",
    where: "[data-key='final.scale']",
    text:
      "The finished stream is normed once more and compared with every token's vector. " +
      "So a logit is a sum, and each component's share of it can be read off.",
    try: ["take the prediction apart", () => ({ switches: {}, view: "attribution", at: "3.mlp" })],
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
    try: ["turn the temperature up", () => ({ temperature: 1.6 })],
    answer: "Compare p with drawn, then press step: the token joins the prompt. That is all of text generation.",
  },
];

const SEEN = "glassbox-tour";
let step = 0;
let tried = false;

export function startTour() {
  step = 0;
  open();
}

export function tourOnce() {
  try {
    if (localStorage.getItem(SEEN)) return;
    localStorage.setItem(SEEN, "1");
  } catch {
    return; // without storage it would open every time
  }
  startTour();
}

function open() {
  const box = find("tour");
  const now = STEPS[step];
  for (const marked of document.querySelectorAll(".pointed")) marked.classList.remove("pointed");
  const target = document.querySelector(now.where);
  target?.classList.add("pointed");
  const go = (/** @type {number} */ by) => {
    step += by;
    tried = false;
    open();
  };
  const tryIt = () => {
    tried = true;
    set(now.try[1]());
    open();
  };
  const trying = h("button.main", { type: "button", onclick: tryIt }, now.try[0]);
  box.replaceChildren(
    h("small", {}, `${step + 1} of ${STEPS.length}`),
    h("h2", {}, now.title),
    h("p", {}, now.text),
    h("p", {}, trying),
    tried ? h("p.answer", {}, now.answer) : h("p.answer", {}, ""),
    h(
      "div.copies",
      {},
      h("button", { type: "button", disabled: step === 0, onclick: () => go(-1) }, "back"),
      h(
        "button",
        { type: "button", onclick: () => (step + 1 < STEPS.length ? go(1) : closeTour()) },
        step + 1 < STEPS.length ? "next" : "done",
      ),
      h("button", { type: "button", onclick: closeTour }, "close"),
    ),
  );
  box.hidden = false;
  place(box, target);
  if (!box.contains(document.activeElement)) trying.focus({ preventScroll: true });
}

/**
 * Beside what it points at, and never over it.
 * @param {HTMLElement} box
 * @param {Element | null} target
 */
function place(box, target) {
  const around = target?.getBoundingClientRect() ?? {
    left: innerWidth / 2,
    right: innerWidth / 2,
    top: 200,
    bottom: 200,
    width: 0,
  };
  const [w, t] = [box.offsetWidth, box.offsetHeight];
  let left = around.left + around.width / 2 - w / 2;
  let top = around.bottom + 12;
  if (top + t > innerHeight) {
    [left, top] = around.left > w + 20 ? [around.left - w - 14, around.top] : [left, around.top - t - 12];
  }
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - w - 8))}px`;
  box.style.top = `${Math.max(8, Math.min(top, innerHeight - t - 8))}px`;
}

export function closeTour() {
  find("tour").hidden = true;
  for (const marked of document.querySelectorAll(".pointed")) marked.classList.remove("pointed");
}
