// Numbers that come out smallest first: a binary heap.
// In: numbers, one at a time. Out: the smallest of those that are in it. bpe.js merges by it.

export class Queue {
  constructor() {
    /** @type {number[]} */
    this.heap = [];
  }

  /** @param {number} value */
  push(value) {
    const { heap } = this;
    let place = heap.length;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (heap[above] <= value) break;
      heap[place] = heap[above];
      place = above;
    }
    heap[place] = value;
  }

  /** @returns {number | undefined} */
  pop() {
    const { heap } = this;
    const least = heap[0];
    const value = heap.pop();
    if (value === undefined || heap.length === 0) return least;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below + 1 < heap.length && heap[below + 1] < heap[below]) below++;
      if (below >= heap.length || heap[below] >= value) break;
      heap[place] = heap[below];
      place = below;
    }
    heap[place] = value;
    return least;
  }
}
