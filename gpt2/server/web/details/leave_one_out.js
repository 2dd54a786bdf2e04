// Detail: what one text loses without each component, and what becomes of the prediction in the selected row.
// In: an answer, the row. Out: a table, the component that is missed most first.

import { barList } from "../barlist.js";
import { shortName } from "../components.js";
import { h } from "../dom.js";
import { number, points, probability, signed } from "../format.js";
import { scene, switched } from "../run.js";
import { at } from "../wire.js";

/** @import { LeaveOneOut } from "../answers.d.ts" */

/**
 * A component: what is missed without it (nats per token, or of a text of one token a share), the probability of the
 * row's first token without it, and the token that is first then, null where it is the same.
 * @typedef {{ address: string, missed: number, p: number, then: string | null }} Missed
 */

/**
 * @param {LeaveOneOut} answer
 * @param {number} row
 * @returns {Missed[]}
 */
export function ranked(answer, row) {
  const { rows, first, p, first_without, p_without, words } = answer;
  const found = rows.map(({ address, change }, k) => {
    const left = at(p_without, k, row);
    const token = at(first_without, k, row);
    const then = token === at(first, row) ? null : words[token];
    return { address, missed: change ?? at(p, row) - left, p: left, then };
  });
  return found.sort((a, b) => b.missed - a.missed);
}

/** @param {LeaveOneOut} answer */
export const titleOf = ({ loss }) =>
  loss === null ? "probability lost without it" : "loss on this text without it, nats per token";

// Four digits behind the point: what is less is rounding.
const nats = (/** @type {number} */ x) => (Math.abs(x) < 5e-5 ? "0.0000" : signed(x, (size) => size.toFixed(4)));

/**
 * @param {LeaveOneOut} answer
 * @param {number} row
 * @param {(address: string) => void} pick
 */
export function onThisText(answer, row, pick) {
  const { first, p, loss, words } = answer;
  const token = words[at(first, row)];
  const { switches } = scene();
  const bars = ranked(answer, row).map(({ address, missed, p: left, then }) => ({
    label: shortName(address),
    value: missed,
    card: address,
    key: `importance:${address}`,
    hint: address in switches ? `${switches[address]} now` : undefined,
    chosen: address in switches,
    more: [probability(left), then === null ? "" : h("span.token", {}, then)],
    pick: () => pick(address),
  }));
  const lost = loss === null ? "points lost" : "loss change";
  const head = ["without", "", lost, `${token} ${probability(at(p, row))}\u00a0→`, "first then"];
  return h(
    "div.missed",
    {},
    barList("", bars, { head, format: loss === null ? points : nats }),
    h(
      "p.fine",
      {},
      loss === null
        ? "A text of one token has no loss, since nothing follows. "
        : `${switched() ? "With the switches as they are" : "With everything on"} the loss is ${number(loss)}. `,
      "A click on a name switches it.",
    ),
  );
}
