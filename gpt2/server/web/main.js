// The page: asks for the run of the prompt, draws it, and draws again when the reader changes something.

import { watchCards } from "./card.js";
import { copy } from "./copy.js";
import { VIEWS, drawDetail } from "./detail.js";
import { find, h, toast } from "./dom.js";
import { count } from "./format.js";
import { showKeys, watchKeys } from "./keys.js";
import { drawNext } from "./next.js";
import { drawPicture, rowsInView, watchPicture } from "./picture.js";
import { LENS_ROWS, modelNow, rowNow, run, scene } from "./run.js";
import { loadShares } from "./sampling.js";
import { drawSentence } from "./sentence.js";
import { Refusal, ask, has, isFile, live, ready } from "./source.js";
import { listen, restore, set, state, write } from "./state.js";
import { theme } from "./colour.js";
import { closeTour, startTour, tourOnce } from "./tour.js";
import { begin, progressBar } from "./work.js";
import { chosenHead } from "./details/attention.js";

let turn = 0;
/** @type {AbortController | null} */
let leaving = null; // ends the questions of the run before

// Ask for the run of this text with these switches; what the reader has left behind is abandoned.
async function load() {
  const now = ++turn;
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const waiting = setTimeout(() => {
    find("busy").hidden = false;
  }, 300);
  try {
    const picture = await ask("picture", scene(), { signal });
    if (now !== turn) return;
    Object.assign(run, { picture, lens: new Map(), failed: null });
    draw();
    await loadLens(signal);
  } catch (error) {
    if (now !== turn || error.name === "AbortError") return;
    if (!(error instanceof Refusal)) throw error;
    run.failed = error.message;
    if (run.picture) drawSentence();
    else find("sentence").textContent = error.message;
  } finally {
    clearTimeout(waiting);
    if (now === turn) find("busy").hidden = true;
  }
}

/**
 * The lens of the rows in view, window by window.
 * @param {AbortSignal} [signal]
 */
async function loadLens(signal) {
  const [first, last] = rowsInView();
  const windows = new Set([Math.floor(rowNow() / LENS_ROWS)]);
  for (let w = Math.floor(first / LENS_ROWS); w <= Math.floor(last / LENS_ROWS); w++) windows.add(w);
  const now = turn;
  for (const w of windows) {
    if (run.lens.has(w)) continue;
    const answer = await ask("lens", { ...scene(), first: w * LENS_ROWS, stop: (w + 1) * LENS_ROWS }, { signal });
    if (now !== turn) return;
    run.lens.set(w, answer);
    drawPicture();
  }
}

function draw() {
  drawPicture();
  drawNext();
  drawSentence();
  drawDetail();
  shares();
}

const shares = () => loadShares(rowNow(), drawNext).catch(() => {});

// The pattern that the arcs show when they follow one head.
async function loadArcs() {
  if (state.arcs !== "head") return;
  const { block, head } = chosenHead();
  const answer = await ask("head", { ...scene(), block, head });
  run.heads = { pattern: answer.pattern, block };
  drawPicture();
}

const SAMPLING = ["temperature", "top_k", "top_p", "seed"];

/** @param {Set<string>} names */
function changed(names) {
  if (names.has("text")) find("text").value = state.text;
  find("tables").setAttribute("aria-pressed", String(Boolean(state.tables)));
  if (names.has("text") || names.has("switches")) {
    load();
  } else if (run.picture) {
    if ([...names].some((name) => !SAMPLING.includes(name))) {
      drawPicture();
      drawSentence();
      drawDetail();
    }
    drawNext();
    shares();
    if (names.has("row")) loadLens().catch(() => {});
  }
  if (["arcs", "at", "text", "switches"].some((name) => names.has(name))) loadArcs().catch(() => {});
}

function modelCard() {
  const m = modelNow();
  const box = find("dialog");
  /** @type {[name: string, value: string | number][]} */
  const rows = [
    ["parameters", count(m.parameters)],
    ["blocks", m.n_layer],
    ["heads per block", m.n_head],
    ["width of the stream", m.n_embd],
    ["neurons a block", m.n_inner],
    ["vocabulary", count(m.vocab_size)],
    ["context, tokens", m.n_positions],
    ["numbers", m.dtype],
  ];
  box.replaceChildren(
    h("h2", {}, m.name),
    h("dl.keys", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
    h(
      "p",
      {},
      "Nothing is put before your text: the first token is yours. Another model: ",
      h("code", {}, `gpt2 explain "..." --page --model gpt2`),
    ),
    h("button", { type: "button", onclick: () => box.close() }, "close"),
  );
  box.showModal();
}

// The page as a file: the server answers every switch of this run in advance.
async function exportPage() {
  const box = find("dialog");
  const { text, corrupt, switches } = state;
  const drawProgress = () =>
    box.replaceChildren(
      h("h2", {}, "Export"),
      h("p", {}, "Every switch of this run is answered in advance, so that the file needs no model."),
      progressBar("export") ?? h("p", {}, "done"),
      h("button", { type: "button", onclick: () => box.close() }, "close"),
    );
  box.showModal();
  try {
    const answer = await begin("export", "export", { text, corrupt, switches, view: write(state) }, drawProgress);
    if (!answer) {
      box.close();
      return;
    }
    const link = h("a", {
      href: URL.createObjectURL(new Blob([answer.html], { type: "text/html" })),
      download: "glassbox-gpt2.html",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    box.close();
  } catch (error) {
    box.replaceChildren(
      h("p", {}, error.message),
      h("button", { type: "button", onclick: () => box.close() }, "close"),
    );
  }
}

async function start() {
  document.documentElement.dataset.theme = theme();
  const meta = await ready();
  if (isFile) restore(meta);
  find("text").value = state.text;
  find("prompt").addEventListener("submit", (event) => {
    event.preventDefault();
    if (live) set({ text: find("text").value, row: -1 });
    else toast("This file holds one run: another prompt needs the model.");
  });
  find("model").addEventListener("click", modelCard);
  find("help").addEventListener("click", showKeys);
  find("export").disabled = !has("export", {});
  find("export").addEventListener("click", exportPage);
  find("link").addEventListener("click", () => copy(location.href, "link"));
  find("tables").addEventListener("click", () => set({ tables: state.tables ? 0 : 1 }));
  find("tour-open").addEventListener("click", startTour);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeTour();
  });
  find("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    if (run.picture) draw();
  });
  watchPicture();
  watchCards();
  watchKeys(VIEWS);
  listen(changed);
  new ResizeObserver(() => drawPicture()).observe(find("rows"));
  let waiting = 0;
  find("rows").addEventListener("scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      drawPicture();
      loadLens().catch(() => {});
    });
  });
  run.model = await ask("model");
  find("model").textContent = modelNow().name;
  await load();
  loadArcs().catch(() => {});
  if (live) tourOnce();
}

start().catch((error) => {
  find("sentence").textContent = error.message;
});
