// Products of rows of x with rows of a weight, eight numbers at a time.
//
// A file that includes this one has defined `V`, eight floats with their operations, for one kind of processor.
// Every element of the result is one chain of multiply-adds for each of the eight lanes, from the first numbers of the
// two rows to the last, and then the sum of the lanes in a fixed order. So it does not depend on how many rows there
// are, nor on which thread computes it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.hpp"

namespace {

constexpr size_t LANES = 8;
constexpr size_t AHEAD = 8192;  // bytes to fetch ahead: rows lie one behind another, so that they come soon
constexpr int MOST = 4;  // rows of x that are taken together

// How each type of weight is read: eight numbers from row `w` on, `k` times eight numbers after its start.
struct Float32 {
  static constexpr size_t BYTES = 4;
  static V at(const char* w, size_t k) { return V::load(reinterpret_cast<const float*>(w) + LANES * k); }
};

struct BFloat16 {
  static constexpr size_t BYTES = 2;
  static V at(const char* w, size_t k) { return V::bfloat16(w + 2 * LANES * k); }
};

// The last numbers of a row whose length eight does not divide, with zeros after them.
template <class W>
V last(const char* w, size_t k, size_t rest) {
  alignas(32) char numbers[LANES * 4] = {};
  std::memcpy(numbers, w + LANES * W::BYTES * k, rest * W::BYTES);
  return W::at(numbers, 0);
}

// sums[r * O + o] = x[r] . w[o], for R rows of x (padded with zeros to a multiple of eight) and O rows of w.
template <class W, int R, int O>
void tile(const float* x, size_t x_stride, const char* w, size_t w_stride, size_t in, float* sums) {
  V acc[R][O];
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) acc[r][o] = V::zero();
  auto add = [&](const V* numbers, size_t k) {
    for (int r = 0; r < R; r++) {
      const V row = V::load(x + r * x_stride + LANES * k);
      for (int o = 0; o < O; o++) acc[r][o] = V::multiply_add(row, numbers[o], acc[r][o]);
    }
  };
  V numbers[O];
  const size_t whole = in / LANES, rest = in % LANES;
  for (size_t k = 0; k < whole; k++) {
    for (int o = 0; o < O; o++) {
      numbers[o] = W::at(w + o * w_stride, k);
      if (k % (64 / (LANES * W::BYTES)) == 0) __builtin_prefetch(w + o * w_stride + LANES * W::BYTES * k + AHEAD);
    }
    add(numbers, k);
  }
  if (rest) {
    for (int o = 0; o < O; o++) numbers[o] = last<W>(w + o * w_stride, whole, rest);
    add(numbers, whole);
  }
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) sums[r * O + o] = V::sum(acc[r][o]);
}

// What a tile gave for outputs first, first + step, ...
template <int R, int O>
void store(const Product& p, size_t row, size_t first, size_t step, const float* sums) {
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) {
      float y = sums[r * O + o];
      const size_t at = (row + r) * p.out + first + o * step;
      if (p.bias) y += number(p.bias, first + o * step, p.half);
      if (p.then == ADD) y += number(p.y, at, p.half_y);
      put(p.y, at, y, p.half_y);
    }
}

// Rows row..row+R of x with rows first..end of w, O of them at a time.
template <class W, int R, int O>
void rows_of(const Product& p, size_t row, size_t first, size_t end, const char* w, size_t w_stride) {
  float sums[R * O];
  const float* x = p.x + row * p.x_stride;
  for (; first + O <= end; first += O, w += O * w_stride) {
    tile<W, R, O>(x, p.x_stride, w, w_stride, p.in, sums);
    store<R, O>(p, row, first, 1, sums);
  }
  if constexpr (O > 1)
    if (first < end) rows_of<W, R, 1>(p, row, first, end, w, w_stride);
}

// One row of x: each of O streams of outputs is read from its first byte to its last, as memory gives them the fastest.
template <class W, int O>
void one_row(const Product& p, size_t row, size_t first, size_t end, const char* w, size_t w_stride) {
  const size_t step = (end - first) / O;
  float sums[O];
  for (size_t i = 0; i < step; i++) {
    tile<W, 1, O>(p.x + row * p.x_stride, p.x_stride, w + i * w_stride, step * w_stride, p.in, sums);
    store<1, O>(p, row, first + i, step, sums);
  }
  if constexpr (O > 1) one_row<W, 1>(p, row, first + O * step, end, w + O * step * w_stride, w_stride);
}

template <class W>
void all_rows(const Product& p, size_t first, size_t end, const char* w, size_t w_stride) {
  size_t row = 0;
  for (; row + MOST <= p.rows; row += MOST) rows_of<W, MOST, 3>(p, row, first, end, w, w_stride);
  switch (p.rows - row) {
    case 1: return one_row<W, 2>(p, row, first, end, w, w_stride);
    case 2: return rows_of<W, 2, 4>(p, row, first, end, w, w_stride);
    case 3: return rows_of<W, 3, 4>(p, row, first, end, w, w_stride);
    default: return;
  }
}

// The rows of w as float32, once, for many rows of x.
template <class W>
void unpack(const Product& p, size_t first, size_t end, float* space) {
  const size_t whole = p.in / LANES, rest = p.in % LANES, stride = (p.in + LANES - 1) / LANES * LANES;
  for (size_t o = first; o < end; o++, space += stride) {
    const char* w = p.w + o * p.in * W::BYTES;
    for (size_t k = 0; k < whole; k++) V::store(space + LANES * k, W::at(w, k));
    if (rest) V::store(space + LANES * whole, last<W>(w, whole, rest));
  }
}

template <class W>
void any_rows(const Product& p, size_t first, size_t end, float* space) {
  if (p.rows <= MOST || W::BYTES == 4)
    return all_rows<W>(p, first, end, p.w + first * p.in * W::BYTES, p.in * W::BYTES);
  unpack<W>(p, first, end, space);
  const size_t stride = (p.in + LANES - 1) / LANES * LANES * 4;
  all_rows<Float32>(p, first, end, reinterpret_cast<const char*>(space), stride);
}

}  // namespace
