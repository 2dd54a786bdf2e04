// Products of rows of x with weights of 8 bits, in whole numbers of 8 bits.
//
// x comes in whole numbers from -127 to 127 with a scale for each block (whole.hpp makes them). Weights are taken 128
// too large, from 0 to 255, as the instruction that multiplies four numbers at a time wants one side; a block starts
// from `offset`, -128 times the sum of x, to make up for it. Its sum is exact, and so does not depend on the order; the
// blocks are added as floats, from the first to the last, by a product and a sum that each round. So an element of the
// result has the same bits in any company, on any thread, and with any instructions. A file that includes this one has
// defined `P`.
//
// Many rows of x: weights are put side by side first, four numbers of one output beside four of the next, so that a
// lane is an output. One row of x: lanes are numbers of one output, and are summed for each block.

#pragma once

#include <algorithm>

#include "kernels.hpp"

namespace {

constexpr size_t BESIDE = 3;  // times LANES outputs are computed together for many rows

// Where the weights of some outputs begin; those behind the last one are the last one again.
struct Rows {
  const char* at[P::LANES];

  Rows(const Product& p, size_t first, size_t count) {
    for (size_t o = 0; o < P::LANES; o++) at[o] = p.w + (first + std::min(o, count - 1)) * p.in;
  }
};

size_t fours(const Product& p) { return (p.in + 3) / 4; }

// LANES rows of w side by side: to [fours, LANES, 4], 128 too large.
void put_beside(const Product& p, const Rows& rows, char* to) {
  constexpr size_t WIDE = 4 * P::LANES;
  size_t at = 0;
  for (; at + WIDE <= p.in; at += WIDE, to += WIDE * P::LANES) {
    const char* next = rows.at[0] + P::LANES * (p.in + at);
    for (size_t line = 0; line < P::LANES * WIDE; line += 64) __builtin_prefetch(next + line, 0, 2);
    P::beside(rows.at, at, to);
  }
  for (; at < p.in; at += 4)
    for (size_t o = 0; o < P::LANES; o++)
      for (size_t i = at; i < at + 4; i++) *to++ = static_cast<char>((i < p.in ? rows.at[o][i] : 0) ^ 0x80);
}

// sums[r * BESIDE * LANES + o] = x[row + r] . w[o] for R rows and O times LANES outputs side by side, without the scale
// of an output.
template <int R, int O>
void bytes_tile(const Product& p, size_t row, const char* w, float* sums) {
  constexpr size_t BLOCK = BLOCK_OF_8, STRIDE = BESIDE * P::LANES, WIDE = 4 * P::LANES;
  const size_t blocks = (p.in + BLOCK - 1) / BLOCK, apart = fours(p) * WIDE;
  const auto* x = reinterpret_cast<const typename P::Small*>(p.whole) + row * blocks * BLOCK;
  for (size_t b = 0; b < blocks; b++) {
    typename P::Whole sum[R * O];
    each<R>([&](auto r) INLINE {
      const typename P::Whole offset = P::all_whole(p.offset[(row + r) * blocks + b]);
      each<O>([&](auto o) INLINE { sum[r * O + o] = offset; });
    });
    const size_t end = std::min(fours(p), BLOCK / 4 * (b + 1));
    size_t four = BLOCK / 4 * b;
    do {  // a block has at least one; GCC keeps sums in registers only where it knows that
      typename P::Four numbers[O];
      each<O>([&](auto o) INLINE { numbers[o] = P::fours(w + o * apart + four * WIDE); });
      each<R>([&](auto r) INLINE {
        const typename P::Four of_x = P::four_for_all(x + r * blocks * BLOCK + 4 * four);
        each<O>([&](auto o) INLINE { sum[r * O + o] = P::add_fours(sum[r * O + o], numbers[o], of_x); });
      });
    } while (++four < end);
    each<R>([&](auto r) INLINE {
      const P scale = P::all(p.whole_scale[(row + r) * blocks + b]);
      each<O>([&](auto o) INLINE {
        float* to = sums + r * STRIDE + o * P::LANES;
        const P before = b ? P::load(to) : P::zero();
        P::store(to, P::add(before, P::multiply(scale, P::floats(sum[r * O + o]))));
      });
    });
  }
}

template <int R>
void bytes_tiles(const Product& p, size_t row, const char* w, size_t many, float* sums) {
  if (many == 3) return bytes_tile<R, 3>(p, row, w, sums);
  if (many == 2) return bytes_tile<R, 2>(p, row, w, sums);
  bytes_tile<R, 1>(p, row, w, sums);
}

void finish_bytes(const Product& p, const Chunk& c, size_t row, size_t rows) {
  for (size_t r = 0; r < rows; r++)
    for (size_t o = 0; o < c.size(); o++) c.sums[r * c.stride + o] *= p.scale[c.first + o];
  finish(p, c, row, rows);
}

// Outputs first..end of all rows, at most BESIDE * LANES of them.
void bytes_of_rows(const Product& p, size_t first, size_t end, char* beside) {
  alignas(64) float sums[TOGETHER * BESIDE * P::LANES];
  const Chunk chunk{first, end, sums, BESIDE * P::LANES};
  size_t many = 0;
  for (size_t at = first; at < end; at += P::LANES, many++)
    put_beside(p, Rows(p, at, std::min<size_t>(P::LANES, end - at)), beside + many * fours(p) * 4 * P::LANES);
  for (size_t row = 0, rows; row < p.rows; row += rows) {
    const size_t left = p.rows - row;
    rows = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (rows == 8) bytes_tiles<8>(p, row, beside, many, sums);
    if (rows == 4) bytes_tiles<4>(p, row, beside, many, sums);
    if (rows == 2) bytes_tiles<2>(p, row, beside, many, sums);
    if (rows == 1) bytes_tiles<1>(p, row, beside, many, sums);
    finish_bytes(p, chunk, row, rows);
  }
}

// LANES outputs of the only row of x. Each row of w is read from its first byte to its last, as memory gives it the
// fastest; `sums` [LANES, blocks] holds what a block came to, in lanes, until all outputs are there.
P bytes_of_row(const Product& p, const Rows& rows, typename P::Whole* sums) {
  constexpr size_t BLOCK = BLOCK_OF_8, DEEP = P::DEEP;
  const size_t blocks = (p.in + BLOCK - 1) / BLOCK;
  const auto* x = reinterpret_cast<const typename P::Small*>(p.whole);
  for (size_t o = 0; o < P::LANES; o++)
    for (size_t b = 0; b < blocks; b++) {
      const size_t end = std::min(p.in, BLOCK * (b + 1)), rest = end % DEEP, whole = end - rest;
      typename P::Whole sum = P::no_whole();
      for (size_t at = BLOCK * b; at < whole; at += DEEP) {
        if (at % 64 == 0) __builtin_prefetch(rows.at[o] + AHEAD + at, 0, 2);
        sum = P::add_deep(sum, rows.at[o] + at, x + at);
      }
      if (rest) {
        char last[DEEP] = {};
        std::memcpy(last, rows.at[o] + whole, rest);
        sum = P::add_deep(sum, last, x + whole);
      }
      sums[o * blocks + b] = sum;
    }
  P acc = P::zero();
  for (size_t b = 0; b < blocks; b++) {
    typename P::Whole of[P::LANES];
    for (size_t o = 0; o < P::LANES; o++) of[o] = sums[o * blocks + b];
    const typename P::Whole exact = P::add_whole(P::sum_each(of), P::all_whole(P::SHIFTED ? p.offset[b] : 0));
    acc = P::add(acc, P::multiply(P::all(p.whole_scale[b]), P::floats(exact)));
  }
  return acc;
}

void bytes(const Product& p, const Chunk& c, float* space) {
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(space) + 63) / 64 * 64);
  if (p.rows > 1) {
    for (size_t at = c.first; at < c.end; at += BESIDE * P::LANES)
      bytes_of_rows(p, at, std::min(c.end, at + BESIDE * P::LANES), aligned);
    return;
  }
  auto* sums = reinterpret_cast<typename P::Whole*>(aligned);
  for (size_t at = c.first; at < c.end; at += P::LANES)
    P::store(c.sums + at - c.first, bytes_of_row(p, Rows(p, at, std::min<size_t>(P::LANES, c.end - at)), sums));
  finish_bytes(p, c, 0, 1);
}

}  // namespace
