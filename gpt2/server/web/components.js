// What each address is: its plain name, one sentence for a beginner, its glyph, its shape.
// In: an address such as 3.head.1. Out: words. Nothing here depends on a run.

/** @type {Record<string, [name: string, sentence: string]>} */
const WORDS = {
  "embed.tok": ["token vectors", "Each token is looked up in a table: its row of learned numbers starts the stream."],
  "embed.pos": ["position table", "A learned vector for each position is added, so that order matters."],
  "embed.out": ["token + position", "The stream begins as the token's vector plus its position's vector."],
  "ln_1.scale": [
    "LayerNorm before attention",
    "Divides what attention reads by its own size sigma, so that only direction counts.",
  ],
  "ln_2.scale": [
    "LayerNorm before the MLP",
    "Divides what the MLP reads by its own size sigma, so that only direction counts.",
  ],
  "final.scale": ["final LayerNorm", "Divides the finished stream by its own size, just before tokens are scored."],
  attn: ["attention", "The step between rows: each position fetches information from itself and earlier ones."],
  head: [
    "attention head",
    "One of attention's parallel readers, with its own idea of where to look and what to fetch.",
  ],
  mlp: ["MLP", "The step within a row: each position, on its own, adds what its neurons make of it."],
  block: ["block", "Attention, then an MLP; each adds to the stream and removes nothing by itself."],
  resid_mid: ["residual stream after attention", "The row's running sum, once attention has added to it."],
  resid_post: ["residual stream after the block", "The row's running sum, once the MLP has added to it."],
  logits: [
    "prediction",
    "Every token's vector is compared with the final stream; softmax turns scores into probabilities.",
  ],
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
  const name = (WORDS[kind] ?? [kind])[0];
  return block === null ? name : `${name} of block ${block}`;
}

/** @param {string} address */
export const sentence = (address) => (WORDS[parts(address).kind] ?? ["", ""])[1];

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
 * @param {string} address
 * @param {{ n_embd: number, n_head: number, vocab_size: number }} model
 * @param {number} T
 */
export function shape(address, model, T) {
  const { kind } = parts(address);
  const C = model.n_embd;
  /** @type {Record<string, number[]>} */
  const shapes = {
    head: [T, C / model.n_head],
    logits: [T, model.vocab_size],
    "ln_1.scale": [T],
    "ln_2.scale": [T],
    "final.scale": [T],
  };
  return "[" + (shapes[kind] ?? [T, C]).join(", ") + "]";
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
