// What a block of GPT-2 computes beside its linear maps and attention: GELU, the norm.
//
// Every result is made of its own row alone, in an order that does not depend on the others. A file that includes this
// one has defined `V`.

#pragma once

#include <cmath>
#include <initializer_list>

#include "kernels.hpp"

namespace {

// e^x, to about one part in ten million: e^x = 2^n e^f with whole n and |f| <= ln(2) / 2, e^f by its Taylor series.
inline V exponential(V x) {
  const V round = V::all(12582912.0f);  // 1.5 * 2^23
  x = V::clamp(x, V::all(-87.0f), V::all(88.0f));
  const V n = V::multiply_add(x, V::all(1.44269504f), round);
  const V whole = V::subtract(n, round);
  V f = V::multiply_add(whole, V::all(-0.693359375f), x);  // ln(2) in two parts, of which the first has few bits
  f = V::multiply_add(whole, V::all(2.12194440e-4f), f);
  V y = V::all(1.0f / 5040);
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    y = V::multiply_add(y, f, V::all(factor));
  return V::times_two_to(y, n);
}

// The tanh form of GELU: 0.5 x (1 + tanh(z)) = x / (1 + e^(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3).
inline V gelu(V x) {
  const V square = V::multiply(x, x);
  const V z = V::multiply(x, V::multiply_add(square, V::all(0.0713548162726f), V::all(1.59576912161f)));
  return V::divide(x, V::multiply_add(V::all(1.0f), exponential(V::subtract(V::zero(), z)), V::all(1.0f)));
}

void gelu(float* x, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) V::store(x + i, gelu(V::load(x + i)));
  if (i == n) return;
  float rest[8] = {};
  std::memcpy(rest, x + i, sizeof(float) * (n - i));
  V::store(rest, gelu(V::load(rest)));
  std::memcpy(x + i, rest, sizeof(float) * (n - i));
}

inline V eight(const char* from, size_t i, bool half) {
  return half ? V::bfloat16(from + 2 * i) : V::load(reinterpret_cast<const float*>(from) + i);
}

// (x - mean) / sqrt(variance + eps) * weight + bias; n is a multiple of eight.
void norm(const float* x, size_t n, const void* weight, const void* bias, bool half, float eps, float* y) {
  V sum = V::zero(), squares = V::zero();
  for (size_t i = 0; i < n; i += 8) sum = V::multiply_add(V::load(x + i), V::all(1.0f), sum);
  const V mean = V::all(V::sum(sum) / static_cast<float>(n));
  for (size_t i = 0; i < n; i += 8) {
    const V centred = V::subtract(V::load(x + i), mean);
    squares = V::multiply_add(centred, centred, squares);
  }
  const V by = V::all(1 / std::sqrt(V::sum(squares) / static_cast<float>(n) + eps));
  const char *w = static_cast<const char*>(weight), *b = static_cast<const char*>(bias);
  for (size_t i = 0; i < n; i += 8) {
    const V normed = V::multiply(V::subtract(V::load(x + i), mean), by);
    V::store(y + i, V::multiply_add(normed, eight(w, i, half), eight(b, i, half)));
  }
}

}  // namespace
