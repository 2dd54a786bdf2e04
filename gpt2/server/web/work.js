// Long questions: a button that starts one, its progress with the time left, and a button that ends it here and there.

import { h } from "./dom.js";
import { ask } from "./source.js";

/** @import { Answers } from "./answers.d.ts" */

/**
 * A question that is being answered: the share that is done, the seconds left, what is known so far, and its end.
 * @typedef {{ share: number, left: number | null, partial: any, stop: () => void }} Job
 */

/** @type {Map<string, Job>} */
const running = new Map(); // by the id under which it was started
/** @type {Map<string, (job: Job) => void>} */
const shown = new Map(); // what brings its progress bar up to date

/** @param {string} id */
export const progressOf = (id) => running.get(id);

/**
 * Start a question under an id; `news` is called when there is something to draw. Resolves to the answer, or null.
 * @template {keyof Answers} Name
 * @param {string} id
 * @param {Name} name
 * @param {object} parameters
 * @param {() => void} news
 * @returns {Promise<Answers[Name] | null>}
 */
export async function begin(id, name, parameters, news) {
  running.get(id)?.stop();
  const control = new AbortController();
  /** @type {Job} */
  const job = { share: 0, left: null, partial: null, stop: () => control.abort() };
  running.set(id, job);
  news();
  try {
    return await ask(name, parameters, {
      signal: control.signal,
      told: (share, left, partial) => {
        Object.assign(job, { share, left, partial });
        const update = partial === null && running.get(id) === job ? shown.get(id) : null;
        (update ?? news)(job); // drawn anew, the button to cancel would be another one before it is let go
      },
    });
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    if (running.get(id) === job) {
      running.delete(id);
      shown.delete(id);
    }
    queueMicrotask(news);
  }
}

/** @param {string} id */
export function progressBar(id) {
  const job = running.get(id);
  if (!job) return null;
  const bar = h("progress", { max: 1, "aria-label": "progress" });
  const text = h("span");
  /** @param {Job} job */
  const update = ({ share, left }) => {
    bar.value = share;
    text.textContent = `${Math.round(100 * share)} %${left === null ? "" : ` ${Math.ceil(left)} s left`}`;
  };
  update(job);
  shown.set(id, update);
  return h(
    "span.progress",
    {},
    bar,
    text,
    h("button", { type: "button", onclick: job.stop, "data-key": `stop:${id}` }, "cancel"),
  );
}
