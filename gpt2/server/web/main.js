// The page: asks for the run of the prompt, draws it, and draws again when the reader changes something.

import { watchWidth } from "./beside.js";
import { watchCards } from "./card.js";
import { theme } from "./colour.js";
import { copy } from "./copy.js";
import { drawDetail } from "./detail.js";
import { watchNumbers } from "./details/maths.js";
import { FOUND_ON } from "./details/stories.js";
import { exportPage, showModel } from "./dialogs.js";
import { find, toast } from "./dom.js";
import { watchFrame } from "./embed.js";
import { showKeys, watchKeys } from "./keys.js";
import { readLink, readLinkOfFile, said } from "./link.js";
import { load, loadArcs, loadLens, mark } from "./load.js";
import { drawNext } from "./next.js";
import { notice } from "./notice.js";
import { drawPicture, resized, watchPicture } from "./picture.js";
import { growing, showPrompt, typedPrompt } from "./prompt.js";
import { modelNow, rowNow, run } from "./run.js";
import { showShare } from "./share/dialog.js";
import { loadShares } from "./sampling.js";
import { drawSentence } from "./sentence.js";
import { ask, has, isFile, live, ready } from "./source.js";
import { arrive, canRedo, canUndo, listen, set, state } from "./state.js";
import { closeTour, startTour, tourOnce } from "./tour.js";

/** @type {[drawPart: () => void, ...places: string[]][]} */
const PARTS = [
  [drawPicture, "stations", "rows", "under"],
  [drawNext, "next"],
  [drawDetail, "panel"],
];

// A part that cannot be drawn leaves no older one in its place.
function draw() {
  for (const [drawPart, ...places] of run.picture ? PARTS : []) {
    try {
      drawPart();
    } catch (error) {
      reportError(error);
      for (const place of places) find(place).replaceChildren();
      run.failed ??= `The page cannot draw this: ${error.message}`;
    }
  }
  drawSentence();
  mark();
  if (run.picture) shares();
}

const shares = () => loadShares(rowNow(), drawNext).catch(() => {});

const SAMPLING = ["temperature", "top_k", "top_p", "seed"];

/** @param {Set<string>} names */
function changed(names) {
  if (names.has("text")) showPrompt();
  drawHeader();
  if (names.has("text") || names.has("switches")) {
    load(draw);
  } else if (run.picture) {
    if ([...names].some((name) => !SAMPLING.includes(name))) {
      drawPicture();
      drawSentence();
      drawDetail();
    }
    drawNext();
    shares();
    if (names.has("row")) loadLens().catch(() => {});
    if (names.has("arcs") || names.has("at")) loadArcs().catch(() => {});
  }
}

function drawHeader() {
  find("tables").setAttribute("aria-pressed", String(Boolean(state.tables)));
  find("undo").disabled = !canUndo();
  find("redo").disabled = !canRedo();
}

/**
 * What the page's address says, and a line on what it says in vain.
 * @param {Awaited<ReturnType<typeof ready>>} file
 */
function fromAddress(file) {
  const model = modelNow();
  const { values, left } = live ? readLink(location.hash, model) : readLinkOfFile(location.hash, file, model);
  if (live && isFile) values.text ??= file.text;
  notice(left.length ? said(left, model) : "");
  return values;
}

function watchHeader() {
  growing(find("text"));
  find("prompt").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!live) toast("This file holds one run: another prompt needs the model.");
    else if (typedPrompt() === state.text && run.failed) load(draw);
    else set({ text: typedPrompt(), row: -1 });
  });
  find("text").readOnly = !live;
  find("export").disabled = !has("export", {});
  find("export").addEventListener("click", exportPage);
  find("model").addEventListener("click", showModel);
  find("share").addEventListener("click", showShare);
  find("help").addEventListener("click", showKeys);
  find("undo").addEventListener("click", () => history.back());
  find("redo").addEventListener("click", () => history.forward());
  find("link").addEventListener("click", () => copy(location.href, "link"));
  find("tables").addEventListener("click", () => set({ tables: state.tables ? 0 : 1 }));
  find("tour-open").addEventListener("click", startTour);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !find("dialog").open && find("card").hidden) closeTour();
  });
  find("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    draw();
  });
}

function watchRows() {
  watchPicture();
  watchWidth(() => run.picture && drawDetail());
  new ResizeObserver(resized).observe(find("rows"));
  let waiting = 0;
  find("rows").addEventListener("scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      if (!run.picture) return;
      drawPicture();
      loadLens().catch(() => {});
    });
  });
}

async function start() {
  document.getElementById("cut")?.remove(); // a file that is not whole has no script
  document.documentElement.dataset.theme = theme();
  watchFrame(draw);
  const file = await ready();
  run.model = await ask("model");
  Object.assign(state, fromAddress(file));
  if (location.hash === "" && !file.view && modelNow().name === FOUND_ON) state.view = "story"; // where to begin
  find("model").textContent = modelNow().name;
  showPrompt();
  drawHeader();
  watchHeader();
  watchRows();
  watchCards();
  watchNumbers();
  watchKeys();
  listen(changed);
  addEventListener("hashchange", () => arrive(fromAddress(file)));
  await load(draw);
  if (!isFile) tourOnce(); // a file opens with the text that it was written for
}

start().catch((error) => {
  find("sentence").textContent = error.message;
});
