// Products of rows of x with weights of 4 bits, in whole numbers; and x in whole numbers for them and for bytes.hpp.
//
// For weights of 4 bits x comes in whole numbers of 16 bits with a scale for each block (`wholes` makes them). Within a
// block everything is exact; the blocks are added as floats, from the first to the last, in lanes. So an element of the
// result depends on its own two rows alone. A file that includes this one has defined `V` and `P`.

#pragma once

#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace {

// Weights of 4 bits, 32 bytes a block, a scale for each 32 of them. The numbers come in the order 4 l + k, which x has
// too. They are stored 8 too large: a block starts from `offset`, -8 times the sums of x. Lanes 0 to 3 are one group of
// 32 numbers, 4 to 7 the next.
struct Int4 {
  static constexpr bool GROUPS = true;

  template <int R, int O, bool FETCH>
  static void tile(const Product& p, size_t row, size_t first, size_t step, float* sums) {
    constexpr size_t BLOCK = BLOCK_OF_4, BYTES = BLOCK / 2;
    const size_t blocks = (p.in + BLOCK - 1) / BLOCK, w_stride = p.in / 2, groups = p.in / 32;
    const int16_t* x = p.whole + row * blocks * BLOCK;
    const int32_t* offset = p.offset + row * blocks * 8;
    const char* w = p.w + first * w_stride;
    V acc[R * O];
    each<R * O>([&](auto i) INLINE { acc[i] = V::zero(); });
    for (size_t b = 0; b < blocks; b++) {
      const bool part = BLOCK * (b + 1) > p.in;
      alignas(32) char space[O][BYTES];
      typename V::Whole bits[O], numbers[O], sum[R * O];
      each<O>([&](auto o) INLINE {
        const char* from = w + o * step * w_stride + BYTES * b;
        if (FETCH && b % 2 == 0) __builtin_prefetch(w + (R == 1 ? AHEAD : O * w_stride) + BYTES * b * O + 64 * o, 0, 2);
        if (part) {
          std::memset(space[o], 0, BYTES);
          std::memcpy(space[o], from, w_stride - BYTES * b);
          from = space[o];
        }
        bits[o] = V::load_whole(from);
      });
      each<R * O>([&](auto i) INLINE { sum[i] = V::load_whole(offset + (i / O * blocks + b) * 8); });
      each<4>([&](auto k) INLINE {
        each<O>([&](auto o) INLINE { numbers[o] = V::nibbles(bits[o], k); });
        each<R>([&](auto r) INLINE {
          const typename V::Whole of_x = V::load_whole(x + (r * blocks + b) * BLOCK + 16 * k);
          each<O>([&](auto o) INLINE { sum[r * O + o] = V::add_pairs(sum[r * O + o], numbers[o], of_x); });
        });
      });
      each<R>([&](auto r) INLINE {
        const V scale = V::all(p.whole_scale[(row + r) * blocks + b]);
        each<O>([&](auto o) INLINE {
          const float* s = p.scale + (first + o * step) * groups + 2 * b;
          const V scales = V::multiply(scale, V::halves(s[0], part ? 0.0f : s[1]));
          acc[r * O + o] = V::multiply_add(scales, V::floats(sum[r * O + o]), acc[r * O + o]);
        });
      });
    }
    V::sums<R * O>(acc, sums);
  }
};

// The sums of rows row..row+R of x with outputs at, at + step, ..., O of them.
template <class W, int R, int O, bool FETCH>
void whole_outputs(const Product& p, const Chunk& c, size_t row, size_t at, size_t step) {
  float sums[R * O + 15];
  W::template tile<R, O, FETCH>(p, row, at, step, sums);
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) {
      const float scale = W::GROUPS ? 1.0f : p.scale[at + o * step];
      c.sums[r * c.size() + at - c.first + o * step] = sums[r * O + o] * scale;
    }
}

// One row of x, by O streams of outputs: see one_row.
template <class W, int O>
void whole_row(const Product& p, const Chunk& c, size_t row, size_t at) {
  const size_t step = (c.end - at) / O;
  for (size_t i = 0; i < step; i++) whole_outputs<W, 1, O, true>(p, c, row, at + i, step);
  if constexpr (O > 1) whole_row<W, 1>(p, c, row, at + O * step);
}

template <class W, int R, int O, bool FETCH>
void whole_rows(const Product& p, const Chunk& c, size_t row, size_t at) {
  for (; at + O <= c.end; at += O) whole_outputs<W, R, O, FETCH>(p, c, row, at, 1);
  if constexpr (O > 1)
    if (at < c.end) whole_rows<W, R, 1, FETCH>(p, c, row, at);
}

template <class W, bool FETCH>
size_t some_wholes(const Product& p, const Chunk& c, size_t row) {
  const size_t left = p.rows - row;
  if (left >= 4) return whole_rows<W, 4, 3, FETCH>(p, c, row, c.first), 4;
  if (left == 3) return whole_rows<W, 3, 3, FETCH>(p, c, row, c.first), 3;
  if (left == 2) return whole_rows<W, 2, 3, FETCH>(p, c, row, c.first), 2;
  return whole_row<W, 2>(p, c, row, c.first), 1;
}

template <class W>
void whole(const Product& p, const Chunk& c) {
  for (size_t row = 0, rows; row < p.rows; row += rows) {
    rows = row ? some_wholes<W, false>(p, c, row) : some_wholes<W, true>(p, c, row);
    finish(p, c, row, rows);
  }
}

// A block of x, padded with zeros, in whole numbers of which the largest magnitude becomes MOST. What is not finite
// makes the whole block NaN, and what is smaller than `least` counts as zero.
template <size_t BLOCK, int32_t MOST>
void whole_block(const float* x, size_t size, int32_t* numbers, float* scale) {
  constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: a float that has it added to it is rounded to a whole number
  constexpr float least = 1e-30f;
  float from[BLOCK] = {};
  std::memcpy(from, x, sizeof(float) * std::min(size, BLOCK));
  uint32_t most = 0;  // magnitudes are in order as whole numbers too
  for (size_t i = 0; i < BLOCK; i++) {
    uint32_t bits;
    std::memcpy(&bits, from + i, 4);
    bits &= 0x7fffffff;
    most = bits > most ? bits : most;
  }
  float largest;
  std::memcpy(&largest, &most, 4);
  const bool finite = most < 0x7f800000;
  *scale = finite ? largest / MOST : NAN;
  const float by = finite && largest >= least ? MOST / largest : 0.0f;
  for (size_t i = 0; i < BLOCK; i++) {
    const float y = finite ? from[i] * by : 0.0f;
    const auto number = static_cast<int32_t>((y + ROUND) - ROUND);
    numbers[i] = number > MOST ? MOST : number < -MOST ? -MOST : number;
  }
}

// One row of x for weights of 8 bits: see bytes.hpp.
void wholes_for_8(const float* x, size_t in, P::Small* whole, float* scale, int32_t* offset) {
  constexpr size_t BLOCK = BLOCK_OF_8;
  for (size_t at = 0; at < in; at += BLOCK, whole += BLOCK, scale++, offset++) {
    int32_t numbers[BLOCK], sum = 0;
    whole_block<BLOCK, 127>(x + at, in - at, numbers, scale);
    for (size_t i = 0; i < BLOCK; i++) {
      whole[i] = static_cast<P::Small>(numbers[i]);
      sum += numbers[i];
    }
    *offset = -128 * sum;
  }
}

// One row of x for weights of 4 bits.
void wholes_for_4(const float* x, size_t in, int16_t* whole, float* scale, int32_t* offset) {
  constexpr size_t BLOCK = BLOCK_OF_4;
  for (size_t at = 0; at < in; at += BLOCK, whole += BLOCK, scale++) {
    int32_t numbers[BLOCK];
    whole_block<BLOCK, 32767>(x + at, in - at, numbers, scale);
    for (size_t l = 0; l < 16; l++)
      for (size_t k = 0; k < 4; k++) whole[16 * k + l] = static_cast<int16_t>(numbers[4 * l + k]);
    for (size_t l = 0; l < 8; l++, offset++) {
      int32_t sum = 0;
      for (size_t i = 0; i < 8; i++) sum += numbers[8 * l + i];
      *offset = -8 * sum;
    }
  }
}

void wholes(const float* x, size_t in, bool four, size_t row, int16_t* whole, float* scale, int32_t* offset) {
  const size_t block = four ? BLOCK_OF_4 : BLOCK_OF_8, blocks = (in + block - 1) / block, first = row * blocks;
  if (four) return wholes_for_4(x, in, whole + first * block, scale + first, offset + first * 8);
  wholes_for_8(x, in, reinterpret_cast<P::Small*>(whole) + first * block, scale + first, offset + first);
}

}  // namespace
