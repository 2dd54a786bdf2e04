// A token as the page shows it, with the characters that gpt2/text/byte_level.py (`visible`) shows.
// In: a tokenizer (bpe.js) and an id. Out: a space as ·, a new line as \n, a tab as \t; what is not printed, and bytes
// that are not whole UTF-8, as \xNN; <no token 123> for an id that no token has.

/** @import { BytePairs } from "./bpe.js" */

/** @type {Record<string, string>} */
const NAMED = { " ": "·", "\n": "\\n", "\t": "\\t" };

/**
 * @param {BytePairs} tokenizer
 * @param {number} id
 */
export function word(tokenizer, id) {
  const bytes = tokenizer.bytes(id);
  if (!bytes) return `<no token ${id}>`;
  let shown = "";
  for (let at = 0; at < bytes.length;) {
    const end = at + width(bytes[at]);
    const char = whole(bytes.subarray(at, end));
    const printed = char !== undefined && !tokenizer.hidden.has(char);
    if (printed) shown += NAMED[char] ?? char;
    else for (const byte of bytes.subarray(at, char === undefined ? at + 1 : end)) shown += escaped(byte);
    at = char === undefined ? at + 1 : end;
  }
  return shown;
}

/**
 * How many bytes the character has that begins with this one.
 * @param {number} byte
 */
function width(byte) {
  if (byte < 0xc0) return 1;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/**
 * The one character that these bytes are; undefined where they are none.
 * @param {Uint8Array} bytes
 */
function whole(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** @param {number} byte */
const escaped = (byte) => `\\x${byte.toString(16).padStart(2, "0")}`;
