// Colour scales that are even to the eye (mixed in OKLab) and safe for colour-blind readers (blue against orange).
// sequence(t), t from 0 to 1: amounts. diverge(t), from -1 to 1: differences. agree/differ(t): the lens's two tints.

/** @typedef {"paper" | "blue" | "orange" | "sand" | "rest"} End */

/** @type {Record<string, Record<End, number[]>>} */
const ENDS = {
  light: {
    paper: [0.985, 0, 0.004],
    blue: [0.45, -0.04, -0.14],
    orange: [0.58, 0.1, 0.13],
    sand: [0.68, 0.02, 0.12],
    rest: [0.9, -0.002, -0.006],
  },
  dark: {
    paper: [0.24, -0.002, -0.012],
    blue: [0.78, -0.06, -0.11],
    orange: [0.76, 0.08, 0.13],
    sand: [0.8, 0.01, 0.12],
    rest: [0.37, -0.003, -0.012],
  },
};

export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

/** @param {number[]} colour in OKLab */
function rgb([L, a, b]) {
  const cube = (/** @type {number} */ x) => x * x * x;
  const l = cube(L + 0.3963377774 * a + 0.2158037573 * b);
  const m = cube(L - 0.1055613458 * a - 0.0638541728 * b);
  const n = cube(L - 0.0894841775 * a - 1.291485548 * b);
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * n,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * n,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * n,
  ];
  return linear.map((x) => {
    const c = Math.min(1, Math.max(0, x));
    return Math.round(255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055));
  });
}

/**
 * @param {End} from
 * @param {End} to
 * @param {number} t
 */
function mix(from, to, t) {
  const ends = ENDS[theme()];
  const share = Math.min(1, Math.max(0, Number.isFinite(t) ? t : 0));
  const [r, g, b] = rgb(ends[from].map((x, i) => x + (ends[to][i] - x) * share));
  return `rgb(${r}, ${g}, ${b})`;
}

/** @typedef {(t: number) => string} Scale */

/** @type {Scale} */
export const sequence = (t) => mix("rest", "blue", t);
/** @type {Scale} */
export const diverge = (t) => (t < 0 ? mix("rest", "orange", -t) : mix("rest", "blue", t));
/** @type {Scale} */
export const agree = (t) => mix("rest", "blue", t);
/** @type {Scale} */
export const differ = (t) => mix("rest", "sand", t);
/** @type {Scale} */
export const change = (t) => (t < 0 ? mix("rest", "orange", -t) : mix("rest", "blue", t));

/**
 * Black or white, whichever has the higher contrast on a scale's colour: always 4.5 to 1 or more.
 * @param {string} colour
 */
export function ink(colour) {
  const linear = (/** @type {number} */ x) => (x <= 10 ? x / 3294.6 : ((x / 255 + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = (colour.match(/\d+/g) ?? []).map(Number).map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}
