// Arrays with a shape. A view shares the numbers of another tensor and walks through them in its own strides.

/** @typedef {Float32Array | Float64Array | Int32Array | Uint8Array} Numbers */

export class Tensor {
  /**
   * @param {Numbers} data
   * @param {number[]} shape
   * @param {number[]} [strides]
   * @param {number} [offset]
   */
  constructor(data, shape, strides = rowMajor(shape), offset = 0) {
    this.data = data;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
  }

  get size() {
    return product(this.shape);
  }

  get isContiguous() {
    const plain = rowMajor(this.shape);
    return this.shape.every((n, axis) => n === 1 || this.strides[axis] === plain[axis]);
  }

  // The numbers in the order of the shape: shared where they lie so already, else a copy.
  get numbers() {
    if (this.isContiguous) return this.data.subarray(this.offset, this.offset + this.size);
    const found = /** @type {Numbers} */ (new /** @type {any} */ (this.data.constructor)(this.size));
    const inner = this.shape.at(-1) ?? 1;
    const step = this.strides.at(-1) ?? 1;
    let to = 0;
    for (const from of starts(this.shape, this.strides, this.offset)) {
      for (let i = 0; i < inner; i++) found[to++] = this.data[from + i * step];
    }
    return found;
  }

  get floats() {
    return /** @type {Float32Array} */ (this.numbers);
  }

  // The same with its numbers in order.
  plain() {
    return this.isContiguous ? this : new Tensor(this.numbers, this.shape);
  }

  /** @param {number[]} shape one of its sizes may be -1 */
  reshape(shape) {
    const known = shape.reduce((all, n) => (n < 0 ? all : all * n), 1);
    const sizes = shape.map((n) => (n < 0 ? this.size / known : n));
    if (product(sizes) !== this.size) throw new Error(`[${this.shape}] cannot be seen as [${shape}]`);
    return new Tensor(this.numbers, sizes);
  }

  /**
   * @param {number} a
   * @param {number} b
   */
  transpose(a, b) {
    const order = this.shape.map((_, axis) => axis);
    [order[at(this, a)], order[at(this, b)]] = [at(this, b), at(this, a)];
    return new Tensor(
      this.data,
      order.map((axis) => this.shape[axis]),
      order.map((axis) => this.strides[axis]),
      this.offset,
    );
  }

  /** @param {number} axis */
  unsqueeze(axis) {
    const place = axis < 0 ? axis + this.shape.length + 1 : axis;
    const [shape, strides] = [[...this.shape], [...this.strides]];
    shape.splice(place, 0, 1);
    strides.splice(place, 0, 0);
    return new Tensor(this.data, shape, strides, this.offset);
  }

  /**
   * Rows `start` up to, not including, `stop` of an axis.
   * @param {number} axis
   * @param {number} start
   * @param {number} stop
   */
  slice(axis, start, stop) {
    const place = at(this, axis);
    const shape = this.shape.map((n, i) => (i === place ? stop - start : n));
    return new Tensor(this.data, shape, this.strides, this.offset + start * this.strides[place]);
  }

  /** @param {number[]} shape -1 keeps a size */
  expand(shape) {
    const before = shape.length - this.shape.length;
    const sizes = shape.map((n, axis) => (n < 0 ? this.shape[axis - before] : n));
    const strides = sizes.map((n, axis) =>
      axis < before || this.shape[axis - before] !== n ? 0 : this.strides[axis - before],
    );
    return new Tensor(this.data, sizes, strides, this.offset);
  }
}

/** @param {number[]} shape */
export function zeros(shape) {
  return new Tensor(new Float32Array(product(shape)), shape);
}

/** @param {number[]} shape */
export function product(shape) {
  return shape.reduce((all, n) => all * n, 1);
}

/**
 * An axis, counted from the end where it is negative.
 * @param {Tensor} x
 * @param {number} axis
 */
export function at(x, axis) {
  return axis < 0 ? axis + x.shape.length : axis;
}

/** @param {number[]} shape */
function rowMajor(shape) {
  const strides = new Array(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}

/**
 * Where each row along the last axis begins.
 * @param {number[]} shape
 * @param {number[]} strides
 * @param {number} offset
 */
export function starts(shape, strides, offset) {
  let found = [offset];
  for (let axis = 0; axis < shape.length - 1; axis++) {
    const longer = [];
    for (const start of found) for (let i = 0; i < shape[axis]; i++) longer.push(start + i * strides[axis]);
    found = longer;
  }
  return found;
}
