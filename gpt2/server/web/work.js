// Long questions: a button that starts one, its progress with the time left, and a button that ends it here and there.

import { h } from "./dom.js";
import { ask } from "./source.js";

const running = new Map(); // id -> {share, left, partial, stop}

export const progressOf = (id) => running.get(id);

// Start a question under an id; `news` is called when there is something to draw. Resolves to the answer, or null.
export async function begin(id, name, parameters, news) {
  running.get(id)?.stop();
  const control = new AbortController();
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
