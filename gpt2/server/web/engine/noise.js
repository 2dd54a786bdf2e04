// Gumbel noise that is a function of seed, sample, position and token, bit for bit the one of gpt2/inference/noise.py.
// In: those four whole numbers. Out: numbers g such that argmax(log p + g) is a draw from p. Read next: draw.js.
//
// The numbers are mixed by SplitMix64 (Steele, Lea and Flood 2014), whose words have 64 bits. Such a word is held here
// as two halves of 32 bits, [low, high], in a Uint32Array: this is some fifty times as fast as BigInt.

const GOLDEN = halves(0x9e3779b97f4a7c15n); // 2^64 divided by the golden ratio, made odd
const MIX_1 = halves(0xbf58476d1ce4e5b9n);
const MIX_2 = halves(0x94d049bb133111ebn);

/** @param {bigint} word */
function halves(word) {
  return Uint32Array.of(Number(word & 0xffffffffn), Number((word >> 32n) & 0xffffffffn));
}

/**
 * x += y, modulo 2^64.
 * @param {Uint32Array} x
 * @param {Uint32Array} y
 */
function add(x, y) {
  const low = x[0] + y[0];
  x[1] += y[1] + (low > 0xffffffff ? 1 : 0);
  x[0] = low;
}

/**
 * x *= y, modulo 2^64. The two low halves are multiplied by parts of 16 bits, so that no product exceeds 32.
 * @param {Uint32Array} x
 * @param {Uint32Array} y
 */
function multiply(x, y) {
  const a = x[0];
  const b = y[0];
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle & 0xffff);
  const carried = a1 * b1 + (middle >>> 16) + (other >>> 16);
  x[1] = carried + Math.imul(x[1], b) + Math.imul(a, y[1]);
  x[0] = Math.imul(a, b);
}

/**
 * x ^= x >>> bits, for fewer than 32 bits.
 * @param {Uint32Array} x
 * @param {number} bits
 */
function fold(x, bits) {
  x[0] ^= (x[0] >>> bits) | (x[1] << (32 - bits));
  x[1] ^= x[1] >>> bits;
}

/**
 * SplitMix64's bijection.
 * @param {Uint32Array} x
 */
function mix(x) {
  fold(x, 30);
  multiply(x, MIX_1);
  fold(x, 27);
  multiply(x, MIX_2);
  fold(x, 31);
}

/**
 * x = n * GOLDEN
 * @param {Uint32Array} x
 * @param {number} n a whole number from 0 to 2^53
 */
function times(x, n) {
  x[0] = n;
  x[1] = Math.floor(n / 2 ** 32);
  multiply(x, GOLDEN);
}

/**
 * The noise of one draw, as a function of the token: -log(-log(u)) with u in the open interval (0, 1).
 * @param {bigint} seed taken modulo 2^64
 * @param {number} sample
 * @param {number} position of the token that is drawn
 * @returns {(token: number) => number}
 */
export function noiseOf(seed, sample, position) {
  const key = halves(seed);
  const counter = new Uint32Array(2);
  add(key, GOLDEN);
  mix(key);
  for (const number of [sample, position]) {
    times(counter, number + 1);
    add(key, counter);
    mix(key);
  }
  return (token) => {
    times(counter, token + 1);
    add(counter, key);
    mix(counter);
    // The upper 52 bits, in the middle of their cell: exact, and neither 0 nor 1.
    const u = (counter[1] * 2 ** 20 + (counter[0] >>> 12) + 0.5) * 2 ** -52;
    return -Math.log(-Math.log(u));
  };
}
