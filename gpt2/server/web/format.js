// Numbers as people read them: three significant digits, never more; probabilities in percent.

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
 * A probability, or another share, in percent.
 * @param {MaybeNumber} p
 */
export function probability(p) {
  if (p === null || p === undefined || Number.isNaN(p)) return "–";
  return `${number(100 * p)}%`;
}

/**
 * A change of a probability, in percentage points: "+3%" would read as a share of what it was.
 * @param {MaybeNumber} x
 */
export function points(x) {
  return x === null || x === undefined ? "–" : signed(100 * x);
}

/**
 * A share where there is room for little.
 * @param {number} x
 */
export const share = (x) => `${Math.round(100 * x)}%`;

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
