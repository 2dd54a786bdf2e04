// Answers as they travel: JSON, with every array moved into a binary tail (gpt2/server/wire.py writes them).
// In: bytes. Out: plain objects, in which an array is {data, shape}, data a typed array.

export function unpack(buffer, start = 0) {
  const view = new DataView(buffer, start);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, start + 4, length)));
  return filled(header, buffer, start + 4 + length);
}

function filled(value, buffer, tail) {
  if (Array.isArray(value)) return value.map((item) => filled(item, buffer, tail));
  if (value === null || typeof value !== "object") return value;
  if (value.$) return array(value.$, buffer, tail);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, buffer, tail)]));
}

function array([offset, dtype, shape], buffer, tail) {
  const count = shape.reduce((a, b) => a * b, 1);
  const size = dtype === "f2" ? 2 : 4;
  const bytes = buffer.slice(tail + offset, tail + offset + count * size); // a copy: aligned, wherever it began
  if (dtype === "i4") return { data: new Int32Array(bytes), shape };
  if (dtype === "f4") return { data: new Float32Array(bytes), shape };
  return { data: Float32Array.from(new Uint16Array(bytes), half), shape };
}

// A number of IEEE 754 half precision, from its 16 bits.
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// One element, and one row along the first axes: at(x, 2, 3) is x[2][3], row(x, 2) is x[2] as a typed array.
export function at(x, ...index) {
  let place = 0;
  index.forEach((i, axis) => (place = place * x.shape[axis] + i));
  return x.data[place];
}

export function row(x, ...index) {
  const rest = x.shape.slice(index.length).reduce((a, b) => a * b, 1);
  let place = 0;
  index.forEach((i, axis) => (place = place * x.shape[axis] + i));
  return x.data.subarray(place * rest, (place + 1) * rest);
}
