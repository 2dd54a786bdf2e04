// Products of rows of x with rows of a weight, some numbers at a time.
//
// A file that includes this one has defined, for one kind of processor, `P`: some floats with their operations, and
// `Tiles`: how many rows of w are taken together with one, with two or three, and with MOST rows of x, and how many
// queries of attention. Every element of the result is one chain of multiply-adds for each of the lanes, from the first
// numbers of the two rows to the last, and then the sum of the lanes in a fixed order. So it does not depend on how
// many rows there are, nor on which thread computes it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels.hpp"
#include "mix.hpp"

namespace {

constexpr size_t AHEAD = 8192;  // bytes to fetch ahead where rows are read one behind another

// f(0), ..., f(N - 1), with the numbers known to the compiler: what has such an index stays in registers.
template <class F, size_t... I>
INLINE inline void each_of(F f, std::index_sequence<I...>) {
  (f(std::integral_constant<size_t, I>()), ...);
}

template <size_t N, class F>
INLINE inline void each(F f) {
  each_of(f, std::make_index_sequence<N>());
}

// Weights of float32 or bfloat16 with x in float32.
struct Float32 {
  using X = float;
  using Numbers = P;
  static constexpr size_t BYTES = 4, STEP = P::LANES;  // of a number; numbers at a time
  static P weights(const char* w) { return P::load(reinterpret_cast<const float*>(w)); }
  static P row(const float* x) { return P::load(x); }
  static P add(P row, P numbers, P sum) { return P::multiply_add(row, numbers, sum); }
};

struct BFloat16 : Float32 {
  static constexpr size_t BYTES = 2;
  static P weights(const char* w) { return P::bfloat16(w); }
};

// The last numbers of a row whose length STEP does not divide, with zeros after them.
template <class W>
typename W::Numbers last(const char* w, size_t rest) {
  alignas(64) char numbers[W::STEP * 4] = {};
  std::memcpy(numbers, w, rest * W::BYTES);
  return W::weights(numbers);
}

// sums[r * O + o] = x[r] . w[o], for R rows of x (padded with zeros to a multiple of STEP) and O rows of w. `sums` has
// room for 15 more. With FETCH, what lies `ahead` of each byte is fetched: weights that come from memory.
template <class W, int R, int O, bool FETCH>
void tile(const typename W::X* x, size_t x_stride, const char* w, size_t w_stride, size_t in, size_t ahead, float* sums) {
  P acc[R * O];
  each<R * O>([&](auto i) INLINE { acc[i] = P::zero(); });
  typename W::Numbers numbers[O];
  const auto add = [&](size_t at) INLINE {
    each<R>([&](auto r) INLINE {
      typename W::Numbers row = W::row(x + r * x_stride + at);
      HOLD(row.v);
      each<O>([&](auto o) INLINE { acc[r * O + o] = W::add(row, numbers[o], acc[r * O + o]); });
    });
  };
  const size_t rest = in % W::STEP, whole = in - rest;
  for (size_t at = 0; at < whole; at += W::STEP) {
    each<O>([&](auto o) INLINE {
      const char* from = w + o * w_stride + at * W::BYTES;
      numbers[o] = W::weights(from);
      if (FETCH && at * W::BYTES % 64 == 0) __builtin_prefetch(w + ahead + at * W::BYTES * O + 64 * o, 0, 2);
    });
    add(at);
  }
  if (rest) {
    each<O>([&](auto o) INLINE { numbers[o] = last<W>(w + o * w_stride + whole * W::BYTES, rest); });
    add(whole);
  }
  P::sums<R * O>(acc, sums);
}

// Where the sums of a chunk go, before its outputs are finished: [MOST, end - first].
struct Chunk {
  size_t first, end;
  float* sums;
  size_t stride = end - first;  // from one row to the next

  size_t size() const { return end - first; }
};

// Outputs of R rows of x from their sums, first the bias, then what becomes of them.
template <class T>
void finish(const Product& p, const Chunk& c, size_t row, size_t rows, T* y) {
  constexpr bool half = sizeof(T) == 2;
  for (size_t r = 0; r < rows; r++) {
    float* sums = c.sums + r * c.stride;
    T* to = y + (row + r) * p.out + c.first;
    if (p.bias && p.half)
      for (size_t i = 0; i < c.size(); i++) sums[i] += number(p.bias, c.first + i, true);
    if (p.bias && !p.half)
      for (size_t i = 0; i < c.size(); i++) sums[i] += number(p.bias, c.first + i, false);
    if (p.then == ADD)
      for (size_t i = 0; i < c.size(); i++) sums[i] += number(to, i, half);
    if (p.then == GELU) gelu(sums, c.size());
    for (size_t i = 0; i < c.size(); i++) put(to, i, sums[i], half);
  }
}

void finish(const Product& p, const Chunk& c, size_t row, size_t rows) {
  p.half_y ? finish(p, c, row, rows, static_cast<uint16_t*>(p.y)) : finish(p, c, row, rows, static_cast<float*>(p.y));
}

// The rows of x from one on, as weights of type W want them.
template <class W>
const typename W::X* from_row(const Product& p, size_t row) {
  return static_cast<const typename W::X*>(p.x) + row * p.x_stride;
}

// Rows row..row+R of x with rows `at`..c.end of w, O of them at a time.
template <class W, int R, int O, bool FETCH>
void rows_of(const Product& p, const Chunk& c, size_t row, size_t at, const char* w, size_t w_stride) {
  float sums[R * O + 15];
  for (; at + O <= c.end; at += O, w += O * w_stride) {
    tile<W, R, O, FETCH>(from_row<W>(p, row), p.x_stride, w, w_stride, p.in, O * w_stride, sums);
    for (int r = 0; r < R; r++)
      for (int o = 0; o < O; o++) c.sums[r * c.size() + at - c.first + o] = sums[r * O + o];
  }
  if constexpr (O > 1)
    if (at < c.end) rows_of<W, R, 1, FETCH>(p, c, row, at, w, w_stride);
}

// One row of x: each of O streams of outputs is read from its first byte to its last, as memory gives them the fastest.
template <class W, int O>
void one_row(const Product& p, const Chunk& c, size_t row, size_t at, const char* w, size_t w_stride) {
  const size_t step = (c.end - at) / O;
  float sums[O + 15];
  for (size_t i = 0; i < step; i++) {
    tile<W, 1, O, true>(from_row<W>(p, row), p.x_stride, w + i * w_stride, step * w_stride, p.in, AHEAD, sums);
    for (int o = 0; o < O; o++) c.sums[at - c.first + i + o * step] = sums[o];
  }
  if constexpr (O > 1) one_row<W, 1>(p, c, row, at + O * step, w + O * step * w_stride, w_stride);
}

// As many rows from `row` on as are taken together; it returns how many.
template <class W, bool FETCH>
size_t some_rows(const Product& p, const Chunk& c, size_t row, const char* w, size_t w_stride) {
  const size_t left = p.rows - row;
  if (left >= Tiles::MOST) return rows_of<W, Tiles::MOST, Tiles::OF_MOST, FETCH>(p, c, row, c.first, w, w_stride), Tiles::MOST;
  if (left >= 4) return rows_of<W, 4, Tiles::OF_FEW, FETCH>(p, c, row, c.first, w, w_stride), 4;
  if (left == 3) return rows_of<W, 3, Tiles::OF_FEW, FETCH>(p, c, row, c.first, w, w_stride), 3;
  if (left == 2) return rows_of<W, 2, Tiles::OF_FEW, FETCH>(p, c, row, c.first, w, w_stride), 2;
  return one_row<W, Tiles::OF_ONE>(p, c, row, c.first, w, w_stride), 1;
}

template <class W>
void all_rows(const Product& p, const Chunk& c, const char* w, size_t w_stride) {
  for (size_t row = 0, rows; row < p.rows; row += rows) {
    const char* next = reinterpret_cast<const char*>(from_row<W>(p, row + Tiles::MOST));
    const size_t bytes = row + 2 * Tiles::MOST <= p.rows ? Tiles::MOST * p.x_stride * sizeof(typename W::X) : 0;
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(next + at, 0, 2);
    rows = row ? some_rows<W, false>(p, c, row, w, w_stride) : some_rows<W, true>(p, c, row, w, w_stride);
    finish(p, c, row, rows);
  }
}

// The rows of w as float32, once, for many rows of x.
template <class W>
void unpack(const Product& p, const Chunk& c, float* space) {
  const size_t rest = p.in % W::STEP, whole = p.in - rest, stride = (p.in + W::STEP - 1) / W::STEP * W::STEP;
  for (size_t o = c.first; o < c.end; o++, space += stride) {
    const char* w = p.w + o * p.in * W::BYTES;
    for (size_t at = 0; at < whole; at += W::STEP) P::store(space + at, W::weights(w + at * W::BYTES));
    if (rest) P::store(space + whole, last<W>(w + whole * W::BYTES, rest));
  }
}

template <class W>
void any_rows(const Product& p, const Chunk& c, float* space) {
  if constexpr (std::is_same_v<W, BFloat16>)
    if (p.rows > TOGETHER) {
      unpack<W>(p, c, space);
      const size_t stride = (p.in + W::STEP - 1) / W::STEP * W::STEP * 4;
      return all_rows<Float32>(p, c, reinterpret_cast<const char*>(space), stride);
    }
  all_rows<W>(p, c, p.w + c.first * p.in * W::BYTES, p.in * W::BYTES);
}

}  // namespace
