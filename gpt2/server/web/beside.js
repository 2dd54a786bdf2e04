// The panel beside the picture: how wide it is, or whether it stands below over the whole width.
// The browser keeps both.

import { find } from "./dom.js";

const KEPT = "glassbox-panel";
const [LEAST, USUAL, MOST] = [25, 36, 60]; // percent of the page's width
const STEP = 2; // of an arrow key

const panel = { share: USUAL, below: false };

/**
 * The width as the reader left it, and what changes it: the grip, its arrow keys, the button.
 * @param {() => void} changed is called when a change is over
 */
export function watchWidth(changed) {
  recall();
  apply();
  const grip = find("grip");
  const take = (/** @type {Partial<typeof panel>} */ changes) => {
    Object.assign(panel, changes);
    apply();
    keep();
    changed();
  };
  grip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    grip.setPointerCapture(event.pointerId);
    event.preventDefault();
    grip.focus({ preventScroll: true });
  });
  grip.addEventListener("pointermove", (event) => {
    if (!grip.hasPointerCapture(event.pointerId)) return;
    const { right, width } = find("grip").parentElement?.getBoundingClientRect() ?? { right: 0, width: 1 };
    panel.share = within((100 * (right - 16 - event.clientX)) / width);
    apply();
  });
  grip.addEventListener("lostpointercapture", () => take({}));
  grip.addEventListener("dblclick", () => take({ share: USUAL }));
  grip.addEventListener("keydown", (event) => {
    /** @type {Record<string, number>} */
    const to = { ArrowLeft: panel.share + STEP, ArrowRight: panel.share - STEP, Home: LEAST, End: MOST };
    if (!(event.key in to)) return;
    event.preventDefault();
    take({ share: within(to[event.key]) });
  });
  find("full").addEventListener("click", () => take({ below: !panel.below }));
}

const within = (/** @type {number} */ share) => Math.round(Math.min(MOST, Math.max(LEAST, share)));

function apply() {
  const main = find("grip").parentElement;
  main?.style.setProperty("--detail", `${panel.share}%`);
  main?.classList.toggle("below", panel.below);
  find("grip").setAttribute("aria-valuenow", String(panel.share));
  find("full").setAttribute("aria-pressed", String(panel.below));
}

function recall() {
  try {
    const { share, below } = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    if (Number.isFinite(share)) panel.share = within(share);
    panel.below = below === true;
  } catch {
    // nothing is kept, or not here: as usual
  }
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify(panel));
  } catch {
    // without storage it lasts as long as the page
  }
}
