// Types for the checker only: no browser loads this file, and the page works without it.
// What the server answers to each question, as gpt2/server/answers/ makes it and wire.js unpacks it.
// T: rows (tokens of the text), L: blocks, H: heads, P = 2L + 1: points along the stream, N: tokens listed per row.

export interface Floats {
  data: Float32Array;
  shape: number[];
}

export interface Ints {
  data: Int32Array;
  shape: number[];
}

export type Switches = Record<string, string>; // address -> "off", "mean", "half" or "double"
export type Words = Record<string, string>; // the id of a token -> the token as it is shown

export interface Model {
  name: string;
  n_layer: number;
  n_head: number;
  n_embd: number;
  n_inner: number;
  n_positions: number;
  vocab_size: number;
  activation: string; // the name of its function
  parameters: number;
  dtype: string;
  beside: { name: string; n_layer: number; n_head: number } | null; // the second model of the page
  rounding: Rounding | null; // where a file holds the weights in fewer bits
  weights: string; // their SHA-256
  version: string; // of this program
  points: Record<string, { shape: string; meaning: string }>; // l is a block, h a head
  switches: Record<string, string[]>; // address -> its states beside "on"
}

export interface Rounding {
  kind: string;
  costs: { text: string; documents: number; bytes: number; before: number; after: number }[]; // bits per byte
}

export interface Arcs {
  from: Ints; // [L, T, K]
  weight: Floats; // [L, T, K]
}

export interface Picture {
  tokens: string[];
  ids: number[];
  points: string[];
  norms: Floats; // [P, T]
  writes: Floats; // [2L, T]
  scales: Floats; // [2L + 1, T]
  arcs: { mean: Arcs; written: Arcs };
  next: { ids: Ints; p: Floats; p_before: Floats; logit: Floats }; // [T, N] each
  top: Ints; // [T]
  top_before: Ints; // [T]
  losses: Floats; // [T - 1]
  losses_before: Floats; // [T - 1]
  words: Words;
  moved?: Floats; // [P, T], with switches only
  kl?: Floats; // [T], with switches only
}

// The lens of R rows, from row `first` on.
export interface Lens {
  first: number;
  points: string[];
  words: Words;
  final: Ints; // [R]
  top: Ints; // [P, R]
  p: Floats; // [P, R], as all that follow
  p_final: Floats;
  rank: Ints;
  entropy: Floats;
  kl: Floats;
  top_before?: Ints; // with switches only
  p_before?: Floats;
  p_final_before?: Floats;
}

export interface Attention {
  mean: Floats; // [T, T]
  thumbs: Floats; // [H, n, n]
  previous: Floats; // [H], as all that follow
  first: Floats;
  itself: Floats;
  entropy: Floats;
}

export interface Head {
  pattern: Floats; // [T, T], as all that follow
  written: Floats;
  pattern_before?: Floats; // with switches only
  written_before?: Floats;
}

export interface HeadReport {
  random: Record<string, number>;
  text: Record<string, number>;
  labels: { name: string; on: string; score: number; causal: boolean }[];
  effect: number[] | null; // the change of the loss, and its interval
  copying: number;
}

export interface Heads {
  heads: Record<string, HeadReport>;
  verdict: string;
  uniform: Record<string, number>;
  text: string; // the natural text
}

export interface Attribution {
  parts: Part[];
  whole: number;
  error: number;
  spread: number;
  target: string;
  target_id: number;
  foil: string | null;
  question: string;
}

export interface Part {
  name: string;
  kind: string;
  label: string;
  value: number;
}

export interface Neurons {
  neurons: Neuron[];
  active: number;
  of: number;
  target: string;
  off: boolean;
}

export interface Neuron {
  n: number;
  activation: number;
  size: number;
  adds: number | null;
  promotes: string[];
  suppresses: string[];
}

export interface Contexts {
  examples: { activation: number; before: string[]; token: string; after: string[] }[];
  active: number;
  text: string;
  loss: [change: number, low: number, high: number] | null; // null where no texts were read without the neuron
}

export interface Importance {
  rows: { address: string; change: number; low: number; high: number; kl: number }[];
  loss: number;
  text: string;
  kind: string;
}

// Each of K components left out by itself, on the T tokens of a scene.
export interface LeaveOneOut {
  rows: { address: string; change: number | null }[]; // [K] of the loss; null where one token has none
  loss: number | null; // with the scene's switches
  first: Ints; // [T] the likeliest token with them
  p: Floats; // [T] its probability
  first_without: Ints; // [K, T] the likeliest token without each component
  p_without: Floats; // [K, T] the probability that `first` keeps
  words: Words;
}

export interface Continuation {
  before: string[];
  after: string[];
  same: number;
}

// What a sweep tells while it goes on is `scores` alone.
export interface Sweeping {
  scores: Floats; // [L, columns], NaN where nothing is known yet
}

export interface Patch extends Sweeping {
  columns: string[];
  target: string;
  foil: string;
  m_clean: number;
  m_corrupt: number;
  title: string;
  differs: number[];
}

export interface Positions {
  cosine: Floats; // [n, n]
  at: Ints; // [n]
  norms: Floats; // [n]
}

export interface Neighbours {
  word: string;
  nearest: { id: number; word: string; cosine: number }[];
  typical: number[];
}

export interface Draw {
  ids: Ints; // [N]
  shares: Floats; // [N]
  kept: number;
  token: number;
  word: string;
  text: string | null;
}

// The answer to each question, by its name.
// One number of the run, and the calculation that made it (gpt2/explain/walk/calculation.py has the kinds).
export interface Calculation {
  kind: string;
  value: number; // what the pass went on with
  computed: number; // what the operands give: another number where the component is switched
  numbers: Record<string, number>;
  at: Ints; // [n] where the terms that weigh most stand
  left: Floats; // [n]
  right: Floats; // [n], or [0]
  of: number; // terms there are
  rest: number; // what the others come to
  word: string; // the token of this index, where there is one for each
}

export interface Answers {
  model: Model;
  picture: Picture;
  lens: Lens;
  attention: Attention;
  head: Head;
  heads: Heads;
  attribution: Attribution;
  calculation: Calculation;
  neurons: Neurons;
  contexts: Contexts;
  importance: Importance;
  leave_one_out: LeaveOneOut;
  continuation: Continuation;
  patch: Patch;
  positions: Positions;
  neighbours: Neighbours;
  draw: Draw;
  export: { html: string };
}
