// The part of a product that one thread computes, whatever its weights are. See products.hpp.

#pragma once

namespace {

// Outputs first..end of the product; `unpacked` holds as many rows of w in float32, `sums` is TOGETHER times as many
// numbers.
void part(const Product& p, size_t first, size_t end, float* unpacked, float* sums) {
  const Chunk chunk{first, end, sums};
  switch (p.kind) {
    case FLOAT32: return any_rows<Float32>(p, chunk, unpacked);
    case BFLOAT16:
      return p.half ? any_rows<OfBFloat16>(p, chunk, unpacked) : any_rows<BFloat16>(p, chunk, unpacked);
    case INT8: return bytes(p, chunk, unpacked);
    case INT4: return whole<Int4>(p, chunk);
  }
}

template <class T>
void copy_row(const void* x, bool half, size_t n, size_t padded, T* to) {
  if (half)
    for (size_t i = 0; i < n; i++) put(to, i, number(x, i, true), sizeof(T) == 2);
  else
    for (size_t i = 0; i < n; i++) put(to, i, number(x, i, false), sizeof(T) == 2);
  for (size_t i = n; i < padded; i++) to[i] = 0;
}

// One row of x in float32 or bfloat16, with zeros behind it.
void copy(const void* x, bool half, size_t n, size_t padded, bool to_half, void* to) {
  to_half ? copy_row(x, half, n, padded, static_cast<uint16_t*>(to)) : copy_row(x, half, n, padded, static_cast<float*>(to));
}

}  // namespace
