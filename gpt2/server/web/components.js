// What each address is: its plain name, one sentence for a beginner, its shape.
// In: an address such as 3.head.1, and the model's table of points. Out: words. Nothing here depends on a run.

/** @import { Model } from "./answers.d.ts" */

/** @type {Record<string, string>} */
const NAMES = {
  "embed.tok": "token vectors",
  "embed.pos": "position table",
  "embed.out": "token + position",
  "ln_1.scale": "LayerNorm before attention",
  "ln_2.scale": "LayerNorm before the MLP",
  "final.scale": "final LayerNorm",
  attn: "attention",
  head: "attention head",
  mlp: "MLP",
  block: "block",
  resid_mid: "residual stream after attention",
  resid_post: "residual stream after the block",
  logits: "prediction",
};

/**
 * What an address consists of; null where it names no block or no head.
 * @param {string} address
 * @returns {{ block: number | null, head: number | null, kind: string }}
 */
export function parts(address) {
  const head = address.match(/^(\d+)\.head\.(\d+)$/);
  if (head) return { block: Number(head[1]), head: Number(head[2]), kind: "head" };
  const inside = address.match(/^(\d+)\.(.+)$/);
  if (inside) return { block: Number(inside[1]), head: null, kind: inside[2] };
  return { block: null, head: null, kind: address };
}

/** @param {string} address */
export function plainName(address) {
  const { block, head, kind } = parts(address);
  if (kind === "head") return `head ${block}.${head}`;
  if (kind === "block") return `block ${block}`;
  const name = NAMES[kind] ?? kind;
  return block === null ? name : `${name} of block ${block}`;
}

/**
 * The name, short enough for "without ..." in the sentence below the picture.
 * @param {string} address
 */
export function shortName(address) {
  const { block, head, kind } = parts(address);
  /** @type {Record<string, string>} */
  const names = {
    head: `head ${block}.${head}`,
    attn: `attention ${block}`,
    mlp: `MLP ${block}`,
    block: `block ${block}`,
    "ln_1.scale": `LayerNorm ${block}.1`,
    "ln_2.scale": `LayerNorm ${block}.2`,
    "final.scale": "final LayerNorm",
    "embed.pos": "positions",
  };
  return names[kind] ?? address;
}

/**
 * The name under the component's glyph, in full or short, and what it does.
 * @param {string} address
 * @param {boolean} open whether its block is
 * @returns {{ name: string, does: string | null }}
 */
export function label(address, open) {
  const { kind } = parts(address);
  if (kind === "attn") return { name: open ? "attention" : "attn", does: "reads other rows" };
  if (kind === "mlp") return { name: "MLP", does: "each row alone" };
  if (kind === "final.scale") return { name: "final norm", does: null };
  return { name: kind === "embed.pos" ? "position table" : "norm", does: null };
}

/**
 * The row of the model's table of points (gpt2/addresses.py) that an address names.
 * @param {string} address
 * @param {Pick<Model, "points">} model
 */
function point(address, model) {
  const { block, kind } = parts(address);
  if (kind === "head") return model.points["l.head.h"];
  const name = readable(address).replace(/^\d+\./, "");
  return model.points[block === null ? name : `l.${name}`];
}

/**
 * What stands at an address, in one sentence.
 * @param {string} address
 * @param {Pick<Model, "points">} model
 */
export function sentence(address, model) {
  const meaning = (point(address, model)?.meaning ?? "").replace(/ \([^)]* for short\)$/, "");
  return meaning && meaning[0].toUpperCase() + meaning.slice(1) + ".";
}

/**
 * @param {string} address
 * @param {Pick<Model, "points">} model
 * @param {number} T
 */
export function shape(address, model, T) {
  return (point(address, model)?.shape ?? "").replaceAll("T", String(T));
}

/**
 * The address whose value the card's Python line reads.
 * @param {string} address
 */
export function readable(address) {
  const { block, kind } = parts(address);
  if (kind === "attn") return `${block}.attn.out`;
  if (kind === "mlp") return `${block}.mlp.out`;
  return address;
}
