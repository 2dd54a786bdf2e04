// Numbers as people read them: three significant digits, never more.

/** @typedef {number | null | undefined} MaybeNumber */

/** @param {MaybeNumber} x */
export function number(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
  const size = Math.abs(Number(x.toPrecision(3))); // rounded first: 9.996 is 10.0, not 10.00
  if (size === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return x.toExponential(2).replaceAll("-", "−").replace("e+", "e");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(size)));
  return x.toFixed(Math.min(digits, 5)).replace("-", "−");
}

/**
 * A probability: three digits, and no long tail of zeros.
 * @param {MaybeNumber} p
 */
export function probability(p) {
  if (p === null || p === undefined || Number.isNaN(p)) return "–";
  if (p >= 0.0995) return p.toFixed(3);
  if (p >= 0.00095) return p.toFixed(p >= 0.00995 ? 4 : 5);
  return p === 0 ? "0" : p.toExponential(2).replace("-", "−");
}

/**
 * @param {MaybeNumber} x
 * @param {(x: number) => string} [format]
 */
export function signed(x, format = number) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  return (x < 0 ? "−" : "+") + format(Math.abs(x));
}

/** @param {number} n */
export const count = (n) => n.toLocaleString("en");

/**
 * At most n characters of a token.
 * @param {string} word
 * @param {number} n
 */
export const short = (word, n) => (word.length > n ? word.slice(0, n - 1) + "…" : word);
