// The products of matrices, in WebAssembly: see gpt2/server/kernel.c.
// In: arrays of 32-bit floats. Out: the same. The weights lie in the kernel's memory from the start; what is multiplied
// by them is copied in and out, a few rows at a time.

import { WASM } from "./wasm.js";

const PAGE = 65536;
const WORK = 4 * 2 ** 20; // floats, beside the weights
const START = 1024; // no address is 0: that means "no bias"

export class NoEngine extends Error {}

export class Kernel {
  /**
   * @param {WebAssembly.Memory} memory
   * @param {any} functions
   * @param {number} floats
   */
  constructor(memory, functions, floats) {
    this.functions = functions;
    this.numbers = new Float32Array(memory.buffer);
    this.next = START / 4; // where the next weight goes, counted in floats
    this.work = this.next + floats;
  }

  /**
   * Room for a weight, to be filled by the caller.
   * @param {number} count
   */
  room(count) {
    const start = this.next;
    if (start + count > this.work) throw new NoEngine("The weights are larger than their description says.");
    this.next += count;
    return this.numbers.subarray(start, start + count);
  }

  /**
   * The address of numbers: where they lie, if in this memory, or a copy of them at `place`.
   * @param {Float32Array} data
   * @param {number} place
   */
  place(data, place) {
    if (data.buffer === this.numbers.buffer) return data.byteOffset;
    this.numbers.set(data, place);
    return 4 * place;
  }

  /**
   * y [M, N] = x [M, K] w^T + bias, w [N, K]; into `y`.
   * @param {Float32Array} x
   * @param {Float32Array} w
   * @param {Float32Array | null} bias
   * @param {Float32Array} y
   * @param {number} N
   * @param {number} K
   */
  linear(x, w, bias, y, N, K) {
    const M = y.length / N;
    const weights = this.place(w, this.work);
    const added = bias ? this.place(bias, this.work + (w.buffer === this.numbers.buffer ? 0 : w.length)) : 0;
    const held = (w.buffer === this.numbers.buffer ? 0 : w.length) + N;
    const rows = Math.min(M, Math.floor((WORK - held) / (K + N)));
    if (rows < 1) throw new NoEngine("The model is too wide for the page's engine.");
    for (let m = 0; m < M; m += rows) {
      const count = Math.min(rows, M - m);
      const from = this.work + held;
      const to = from + count * K;
      this.numbers.set(x.subarray(m * K, (m + count) * K), from);
      this.functions.linear(4 * from, weights, added, 4 * to, count, N, K);
      y.set(this.numbers.subarray(to, to + count * N), m * N);
    }
  }

  /**
   * y [M, N] = a [M, K] b, b [K, N]; into `y`.
   * @param {Float32Array} a
   * @param {Float32Array} b
   * @param {Float32Array} y
   * @param {number} N
   * @param {number} K
   */
  mix(a, b, y, N, K) {
    const M = y.length / N;
    if (a.length + b.length + y.length > WORK) throw new NoEngine("The text is too long for the page's engine.");
    const [first, second, to] = [this.work, this.work + a.length, this.work + a.length + b.length];
    this.numbers.set(a, first);
    this.numbers.set(b, second);
    this.functions.mix(4 * first, 4 * second, 4 * to, M, N, K);
    y.set(this.numbers.subarray(to, to + y.length));
  }
}

/**
 * A kernel whose memory has room for `floats` numbers of weights.
 * @param {number} floats
 */
export async function makeKernel(floats) {
  let memory;
  let instance;
  try {
    const pages = Math.ceil((START + 4 * (floats + WORK)) / PAGE);
    memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const bytes = Uint8Array.from(WASM.match(/../g) ?? [], (hex) => parseInt(hex, 16));
    ({ instance } = await WebAssembly.instantiate(bytes, { env: { memory } }));
  } catch (error) {
    throw new NoEngine(
      error instanceof RangeError
        ? "This browser has too little memory for the model: close other pages, or use a smaller model."
        : "This browser cannot run the model (it needs WebAssembly with SIMD): use a newer one.",
      { cause: error },
    );
  }
  return new Kernel(memory, instance.exports, floats);
}
