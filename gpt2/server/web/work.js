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
        news();
      },
    });
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    if (running.get(id) === job) running.delete(id);
    queueMicrotask(news);
  }
}

/** @param {string} id */
export function progressBar(id) {
  const job = running.get(id);
  if (!job) return null;
  const left = job.left === null ? "" : ` ${Math.ceil(job.left)} s left`;
  return h(
    "span.progress",
    {},
    h("progress", { value: job.share, max: 1, "aria-label": "progress" }),
    `${Math.round(100 * job.share)} %${left}`,
    h("button", { type: "button", onclick: job.stop, "data-key": `stop:${id}` }, "cancel"),
  );
}
