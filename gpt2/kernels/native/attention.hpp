// Attention of some queries of one head, which follow each other in a text: softmax(q k^T * scale) v.
//
// A query's result is made of its own numbers alone, in an order that does not depend on the others. A file that
// includes this one has defined `V`, `P` and `Tiles`.

#pragma once

#include <cmath>

#include "kernels.hpp"

namespace {

// weights[r][j] = q[r] . keys[j] * scale for R queries and `n` keys.
template <class W, int R>
void scores(const Queries& a, const float* q, size_t q_stride, size_t n, float* weights) {
  constexpr int O = 4;
  float sums[R * O + 15];
  const size_t k_stride = a.size * W::BYTES;
  size_t j = 0;
  for (; j + O <= n; j += O) {
    tile<W, R, O, false>(q, q_stride, a.keys + j * k_stride, k_stride, a.size, 0, sums);
    for (int r = 0; r < R; r++)
      for (int o = 0; o < O; o++) weights[r * a.longest + j + o] = sums[r * O + o] * a.scale;
  }
  for (; j < n; j++) {
    tile<W, R, 1, false>(q, q_stride, a.keys + j * k_stride, k_stride, a.size, 0, sums);
    for (int r = 0; r < R; r++) weights[r * a.longest + j] = sums[r] * a.scale;
  }
}

// e^(weight - the largest) of the first n weights, and zeros up to a multiple of eight; returns their sum.
float exponentials(float* weights, size_t n) {
  const size_t padded = (n + 7) / 8 * 8;
  float most = -INFINITY;
  for (size_t j = 0; j < n; j++) most = weights[j] > most ? weights[j] : most;
  for (size_t j = n; j < padded; j++) weights[j] = 0.0f;
  V total = V::zero();
  for (size_t j = 0; j < padded; j += 8) {
    V::store(weights + j, exponential(V::subtract(V::load(weights + j), V::all(most))));
    for (size_t k = n; k < j + 8; k++) weights[k] = 0.0f;
    total = V::multiply_add(V::load(weights + j), V::all(1.0f), total);
  }
  return V::sum(total);
}

// The sums of the values, N times eight numbers from `at` on, of R queries; query r has r keys more than the first one.
template <int R, int N>
void weigh(const Queries& a, size_t first, size_t at, const float* weights, const float* totals) {
  V sum[R * N];
  each<R * N>([&](auto i) INLINE { sum[i] = V::zero(); });
  const size_t common = a.n + first;
  for (size_t j = 0; j < common; j++) {
    V values[N];
    each<N>([&](auto i) INLINE { values[i] = eight(a.values, j * a.size + at + 8 * i, a.half); });
    each<R>([&](auto r) INLINE {
      const V weight = V::all(weights[r * a.longest + j]);
      each<N>([&](auto i) INLINE { sum[r * N + i] = V::multiply_add(weight, values[i], sum[r * N + i]); });
    });
  }
  each<R>([&](auto r) INLINE {
    for (size_t j = common; j < common + r; j++) {
      const V weight = V::all(weights[r * a.longest + j]);
      each<N>([&](auto i) INLINE {
        sum[r * N + i] = V::multiply_add(weight, eight(a.values, j * a.size + at + 8 * i, a.half), sum[r * N + i]);
      });
    }
    float* out = a.out + (first + r) * a.out_stride + at;
    each<N>([&](auto i) INLINE { V::store(out + 8 * i, V::divide(sum[r * N + i], V::all(totals[r]))); });
  });
}

// R queries from `first` on.
template <int R>
void attend_some(const Queries& a, size_t first) {
  const size_t padded = (a.size + P::LANES - 1) / P::LANES * P::LANES, n = a.n + first;
  float *q = a.space, *weights = q + R * padded, totals[R];
  for (int r = 0; r < R; r++)
    for (size_t i = 0; i < padded; i++) q[r * padded + i] = i < a.size ? a.q[(first + r) * a.q_stride + i] : 0.0f;
  a.half ? scores<BFloat16, R>(a, q, padded, n + R - 1, weights) : scores<Float32, R>(a, q, padded, n + R - 1, weights);
  for (int r = 0; r < R; r++) totals[r] = exponentials(weights + r * a.longest, n + r);
  size_t at = 0;
  for (; at + 32 <= a.size; at += 32) weigh<R, 4>(a, first, at, weights, totals);
  for (; at < a.size; at += 8) weigh<R, 1>(a, first, at, weights, totals);
}

void attend(const Queries& a) {
  size_t first = 0;
  for (; first + Tiles::QUERIES <= a.count; first += Tiles::QUERIES) attend_some<Tiles::QUERIES>(a, first);
  for (; first < a.count; first++) attend_some<1>(a, first);
}

}  // namespace
