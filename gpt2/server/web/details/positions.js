// Detail: how alike the position vectors are, and the tokens whose vectors lie nearest to the selected one.

import { named } from "../axes.js";
import { barList } from "../barlist.js";
import { diverge } from "../colour.js";
import { h } from "../dom.js";
import { number, short } from "../format.js";
import { heat } from "../heat.js";
import { scaleKey } from "../legend.js";
import { pictureNow, rowNow } from "../run.js";
import { ask } from "../source.js";
import { set } from "../state.js";
import { switchButtons } from "../switches.js";

export async function positions() {
  const { tokens, ids } = pictureNow();
  const row = rowNow();
  const [similar, near] = await Promise.all([
    ask("positions", { count: Math.max(16, tokens.length) }),
    ask("neighbours", { token: ids[row] }),
  ]);
  const n = similar.at.shape[0];
  const at = Array.from(similar.at.data);
  const picture = heat({
    rows: n,
    columns: n,
    width: 218,
    height: 218,
    value: (i, j) => similar.cosine.data[i * n + j],
    colour: diverge,
    said: (i, j) => `positions ${at[i]} and ${at[j]}: cosine ${number(similar.cosine.data[i * n + j])}`,
    rowNames: at,
    columnNames: at,
    name: "similarity of the position vectors",
  });
  return [
    h(
      "div",
      {},
      h("h3", {}, `similarity of the vectors of positions 0 to ${at[n - 1]}`),
      named(picture, { width: 218, height: 218, rowNames: at, columnNames: at }),
      scaleKey(diverge, -1, 1, "cosine"),
    ),
    h(
      "div.side",
      {},
      h("h3", {}, "the position table"),
      switchButtons("embed.pos"),
      h(
        "p.fine",
        {},
        "Each position has a learned vector, added to the token's. Where neighbouring positions are alike, ",
        "the diagonal is broad. Switch the table off, swap two words of the prompt, and see what still changes: ",
        "the causal mask alone tells later blocks something about order.",
      ),
      h(
        "p.fine",
        {},
        `length of the vector of position ${row}: ${number(similar.norms.data[at.indexOf(row)] ?? null)}`,
      ),
    ),
    barList(
      `nearest to ${near.word} in the token table`,
      near.nearest.slice(0, 9).map((one) => ({ label: short(one.word, 14), value: one.cosine })),
      { format: number, most: 1, note: h("p.fine", {}, "cosine of the two vectors, 1: the same direction") },
    ),
    h(
      "div",
      {},
      h("h3", {}, "another token"),
      h(
        "div.tokens",
        {},
        ...tokens.slice(0, 24).map((word, i) =>
          h(
            "button.token",
            {
              type: "button",
              "aria-pressed": String(i === row),
              "data-key": `tok${i}`,
              onclick: () => set({ row: i }),
            },
            short(word, 10),
          ),
        ),
      ),
    ),
  ];
}
