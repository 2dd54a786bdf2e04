// Bytes that a file holds as characters: gpt2/explain/live/characters.py writes them, 13 bits in two characters of 91.
// In: the text of an element. Out: its bytes.

const [FIRST, LAST, LEFT_OUT] = [33, 126, '"&<'];
const VALUES = new Int32Array(LAST + 1);
for (let code = FIRST, value = 0; code <= LAST; code++) {
  if (!LEFT_OUT.includes(String.fromCharCode(code))) VALUES[code] = value++;
}
const SIZE = LAST - FIRST + 1 - LEFT_OUT.length;

/**
 * Text that is damaged gives other bytes, which the checksum of what they hold tells.
 * @param {string} text
 */
export function bytesOf(text) {
  const pairs = text.length >> 1;
  const alone = text.length & 1; // a last character of 6 bits
  const bytes = new Uint8Array((13 * pairs + 6 * alone) >> 3);
  let held = 0;
  let bits = 0; // of `held` that are not written yet
  let to = 0;
  for (let i = 0; i < 2 * pairs; i += 2) {
    held = (held << 13) | (SIZE * VALUES[text.charCodeAt(i)] + VALUES[text.charCodeAt(i + 1)]);
    bits += 13;
    while (bits >= 8) {
      bits -= 8;
      bytes[to++] = held >>> bits;
    }
  }
  if (alone && bits + 6 >= 8) bytes[to] = ((held << 6) | VALUES[text.charCodeAt(2 * pairs)]) >>> (bits - 2);
  return bytes;
}
