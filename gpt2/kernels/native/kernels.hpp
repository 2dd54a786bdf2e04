// What the files of the kernel share: one product, and the two ways to compute a part of it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

enum Kind { FLOAT32, BFLOAT16, INT8, INT4 };

// y [rows, out] = x [rows, in] w^T + bias. `half`: bias and y are bfloat16, otherwise float32.
struct Product {
  Kind kind;
  const char* w;        // [out, in], contiguous; its numbers as gpt2/kernels/quantised.py stores them
  const float* scale;   // of INT8 [out] and INT4 [out, in / 32]
  const float* x;       // [rows, x_stride], padded with zeros; for INT4 in the order of its nibbles
  const float* offset;  // of INT4: see products.hpp
  const void* bias;     // [out], or null
  void* y;
  size_t rows, in, out, x_stride;
  bool half;
};

// Outputs first..end of a product. `space` has room for as many rows of w in float32.
using Part = void (*)(const Product&, size_t first, size_t end, float* space);

void part_portable(const Product& p, size_t first, size_t end, float* space);
#ifdef GPT2_WIDE
void part_avx2(const Product& p, size_t first, size_t end, float* space);
#endif

// Numbers of the two types that come in and go out, float32 and bfloat16 (rounded to the nearest, ties to even).
static inline float number(const void* from, size_t i, bool half) {
  if (!half) return static_cast<const float*>(from)[i];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(from)[i]) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static inline void put(void* to, size_t i, float value, bool half) {
  if (!half) {
    static_cast<float*>(to)[i] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  static_cast<uint16_t*>(to)[i] = is_nan ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
