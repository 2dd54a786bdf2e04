// GPT-2's byte-level byte-pair encoding: text to token ids and back, with the ids that gpt2/text/tokenizer.py gives.
// In: what gpt2/explain/live/tokenizer.py writes. Out: ids, which index the rows of `wte`, and text again.
//
// A text is cut into words by GPT-2's pattern,
//     '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// and within a word of UTF-8 bytes the pair of neighbours that stands first in the list of merges is joined, the
// leftmost first, until none is left. Which characters are letters, numbers and white space is told by the data: those
// of a browser depend on its version of Unicode. Text that spells a special token is ordinary text.

import { Queue } from "./queue.js";

/** @import { Ints } from "../answers.d.ts" */
/**
 * @typedef {{
 *   size: number, alphabet: Ints, left: Ints, right: Ints, step: Ints, others: Record<string, string>, hidden: string,
 *   letters: Ints, numbers: Ints, spaces: Ints,
 * }} Packed
 */

const [LETTER, NUMBER, SPACE] = [1, 2, 3]; // any other character: 0
const REPLACEMENT = 0xfffd;
const ENDINGS = ["s", "d", "m", "t", "ll", "ve", "re"].map((ending) => [...ending].map((char) => char.charCodeAt(0)));

export class BytePairs {
  /** @param {Packed} packed */
  constructor(packed) {
    this.size = packed.size; // one more than the largest id
    this.hidden = new Set(packed.hidden); // characters that are not printed (words.js)
    this.alphabet = packed.alphabet.data;
    this.kinds = new Uint8Array(0x110000); // of each code point
    for (const [kind, { data }] of /** @type {[number, Ints][]} */ ([
      [LETTER, packed.letters],
      [NUMBER, packed.numbers],
      [SPACE, packed.spaces],
    ])) {
      for (let i = 0; i < data.length; i += 2) this.kinds.fill(kind, data[i], data[i + 1] + 1);
    }
    /**
     * The bytes of each token, one character of a string a byte; a hole where no token has the id.
     * @type {(string | undefined)[]}
     */
    this.spelled = Array(this.size);
    this.alphabet.forEach((id, byte) => (this.spelled[id] = String.fromCharCode(byte)));
    for (const [id, hex] of Object.entries(packed.others)) {
      const bytes = hex.match(/../g) ?? [];
      this.spelled[Number(id)] = bytes.map((byte) => String.fromCharCode(parseInt(byte, 16))).join("");
    }
    /**
     * The place of each merge in the list, by the pair that it joins.
     * @type {Map<number, number>}
     */
    this.ranks = new Map();
    this.made = new Int32Array(packed.step.data.length); // the id that each merge makes
    let id = 0;
    packed.step.data.forEach((step, rank) => {
      id += step;
      const [left, right] = [packed.left.data[rank], packed.right.data[rank]];
      this.made[rank] = id;
      this.ranks.set(left * this.size + right, rank);
      this.spelled[id] ??= `${this.spelled[left]}${this.spelled[right]}`;
    });
  }

  /**
   * The ids of a text. A lone surrogate, which no UTF-8 can hold, is read as U+FFFD.
   * @param {string} text
   */
  encode(text) {
    const bytes = new TextEncoder().encode(text);
    const { codes, starts } = characters(text);
    /** @type {number[]} */
    const ids = [];
    for (let from = 0; from < codes.length;) {
      const end = this.wordEnd(codes, from);
      this.merge(bytes.subarray(starts[from], starts[end]), ids);
      from = end;
    }
    return ids;
  }

  /**
   * Where the word ends that begins at `from`: one match of the pattern.
   * @param {Int32Array} codes the text's code points
   * @param {number} from
   */
  wordEnd(codes, from) {
    const ending = codes[from] === 39 && ENDINGS.find((one) => one.every((code, i) => codes[from + 1 + i] === code));
    if (ending) return from + 1 + ending.length;
    const first = codes[from] === 32 ? from + 1 : from;
    if (first < codes.length && this.kinds[codes[first]] !== SPACE) return this.runEnd(codes, first);
    const end = this.runEnd(codes, from);
    return end === codes.length || end === from + 1 ? end : end - 1; // the last space may belong to the next word
  }

  /**
   * Where the characters of one kind end that begin at `from`.
   * @param {Int32Array} codes
   * @param {number} from
   */
  runEnd(codes, from) {
    const kind = this.kinds[codes[from]];
    let end = from + 1;
    while (end < codes.length && this.kinds[codes[end]] === kind) end++;
    return end;
  }

  /**
   * Append the ids of a word. Each merge looks at two new pairs only, so n bytes take n log n steps.
   * @param {Uint8Array} bytes
   * @param {number[]} ids
   */
  merge(bytes, ids) {
    const n = bytes.length;
    const tokens = Array.from(bytes, (byte) => this.alphabet[byte]); // -1 where one was joined to its left neighbour
    const next = tokens.map((_, i) => i + 1);
    const before = tokens.map((_, i) => i - 1);
    const queue = new Queue();
    const look = (/** @type {number} */ place) => {
      const rank = next[place] < n ? this.ranks.get(tokens[place] * this.size + tokens[next[place]]) : undefined;
      if (rank !== undefined) queue.push(rank * n + place); // by rank, then from the left
    };
    for (let place = 0; place + 1 < n; place++) look(place);
    for (let first = queue.pop(); first !== undefined; first = queue.pop()) {
      const place = first % n;
      const rank = (first - place) / n;
      const other = next[place];
      if (tokens[place] < 0 || other >= n) continue;
      if (this.ranks.get(tokens[place] * this.size + tokens[other]) !== rank) continue; // a neighbour has changed
      tokens[place] = this.made[rank];
      tokens[other] = -1;
      next[place] = next[other];
      if (next[place] < n) before[next[place]] = place;
      look(place);
      if (before[place] >= 0) look(before[place]);
    }
    for (const token of tokens) if (token >= 0) ids.push(token);
  }

  /**
   * The text of ids. Bytes that are not whole UTF-8 become U+FFFD; an id that no token has adds nothing.
   * @param {Iterable<number>} ids
   */
  decode(ids) {
    let spelled = "";
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= this.size) {
        throw new RangeError(`There is no token ${id}: this tokenizer has tokens 0 to ${this.size - 1}.`);
      }
      spelled += this.spelled[id] ?? "";
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(spelled)); // U+FEFF is part of the text
  }

  /**
   * The bytes of a token; undefined for an id that no token has.
   * @param {number} id
   */
  bytes(id) {
    const spelled = this.spelled[id];
    return spelled === undefined ? undefined : bytesOf(spelled);
  }

  /**
   * The ids below `count` that no token has: rows of a model that nothing may draw.
   * @param {number} count
   */
  holes(count) {
    return Array.from({ length: count }, (_, id) => id).filter((id) => this.spelled[id] === undefined);
  }
}

/** @param {string} spelled one character a byte */
const bytesOf = (spelled) => Uint8Array.from(spelled, (char) => char.charCodeAt(0));

/**
 * The code points of a text, and where the UTF-8 of each starts; the last start is the number of bytes.
 * @param {string} text
 */
function characters(text) {
  const codes = new Int32Array(text.length);
  const starts = new Int32Array(text.length + 1);
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code >= 0xd800 && code < 0xe000) {
      code = text.codePointAt(i) ?? 0;
      if (code > 0xffff) i++;
      else code = REPLACEMENT;
    }
    codes[count] = code;
    starts[count + 1] = starts[count] + (code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
    count++;
  }
  return { codes: codes.subarray(0, count), starts };
}
