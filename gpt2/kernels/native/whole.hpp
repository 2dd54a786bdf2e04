// Products of rows of x with weights of 8 and 4 bits, in whole numbers.
//
// x comes in whole numbers of 16 bits with a scale for each block of 64 (`wholes` makes them). Within a block
// everything is exact; the blocks are added as floats, from the first to the last, in eight lanes. So an element of the
// result depends on its own two rows alone. A file that includes this one has defined `V`.

#pragma once

#include <cmath>

#include "kernels.hpp"

namespace {

constexpr size_t BLOCK = 64;

// Weights of 8 bits, 64 bytes a block, one scale for a row.
struct Int8 {
  static constexpr size_t BYTES = 64;
  static constexpr bool GROUPS = false;
  using Bits = const char*;
  static Bits bits(const char* w) { return w; }
  static V::Whole numbers(Bits w, int k) { return V::bytes(w + 16 * k); }
};

// Weights of 4 bits, 32 bytes a block. The numbers come in the order 4 l + k, which x has too. They are stored 8 too
// large: a block starts from `offset`, -8 times the sums of x. Lanes 0 to 3 are one group of 32 numbers, 4 to 7 the next.
struct Int4 {
  static constexpr size_t BYTES = 32;
  static constexpr bool GROUPS = true;
  using Bits = V::Whole;
  static Bits bits(const char* w) { return V::load_whole(w); }
  static V::Whole numbers(Bits w, int k) { return V::nibbles(w, k); }
};

// sums[r * O + o] = x[row + r] . w[first + o * step], without the scale of a row of w.
template <class W, int R, int O>
void whole_tile(const Product& p, size_t row, size_t first, size_t step, float* sums) {
  const size_t blocks = (p.in + BLOCK - 1) / BLOCK, w_stride = p.in * W::BYTES / BLOCK, groups = p.in / 32;
  const int16_t* x = p.whole + row * blocks * BLOCK;
  const float* x_scale = p.whole_scale + row * blocks;
  const int32_t* offset = p.offset + row * blocks * 8;
  const char* w = p.w + first * w_stride;
  V acc[R][O];
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) acc[r][o] = V::zero();
  for (size_t b = 0; b < blocks; b++) {
    const bool part = BLOCK * (b + 1) > p.in;
    alignas(32) char space[O][BLOCK];
    typename W::Bits bits[O];
    for (int o = 0; o < O; o++) {
      const char* from = w + o * step * w_stride + W::BYTES * b;
      if (W::BYTES == 64 || b % 2 == 0) __builtin_prefetch(from + AHEAD);
      if (part) {
        std::memset(space[o], 0, BLOCK);
        std::memcpy(space[o], from, w_stride - W::BYTES * b);
        from = space[o];
      }
      bits[o] = W::bits(from);
    }
    V::Whole sum[R][O];
    for (int r = 0; r < R; r++)
      for (int o = 0; o < O; o++)
        if constexpr (W::GROUPS) sum[r][o] = V::load_whole(offset + (r * blocks + b) * 8);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      V::Whole numbers[O];
      for (int o = 0; o < O; o++) numbers[o] = W::numbers(bits[o], k);
      for (int r = 0; r < R; r++) {
        const V::Whole row_of_x = V::load_whole(x + (r * blocks + b) * BLOCK + 16 * k);
        for (int o = 0; o < O; o++) {
          const V::Whole pairs = V::pairs(numbers[o], row_of_x);
          sum[r][o] = !W::GROUPS && k == 0 ? pairs : V::add(sum[r][o], pairs);
        }
      }
    }
    for (int r = 0; r < R; r++) {
      const V scale = V::all(x_scale[r * blocks + b]);
      for (int o = 0; o < O; o++) {
        V scales = scale;
        if constexpr (W::GROUPS) {
          const float* s = p.scale + (first + o * step) * groups + 2 * b;
          scales = V::multiply(scale, V::halves(s[0], part ? 0.0f : s[1]));
        }
        acc[r][o] = V::multiply_add(scales, V::floats(sum[r][o]), acc[r][o]);
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int o = 0; o < O; o++) sums[r * O + o] = V::sum(acc[r][o]);
}

// Rows row..row+R of x with outputs first..end, O of them at a time.
template <class W, int R, int O>
void whole_outputs(const Product& p, size_t row, size_t first, size_t step) {
  float sums[R * O];
  whole_tile<W, R, O>(p, row, first, step, sums);
  if constexpr (!W::GROUPS)
    for (int r = 0; r < R; r++)
      for (int o = 0; o < O; o++) sums[r * O + o] *= p.scale[first + o * step];
  store<R, O>(p, row, first, step, sums);
}

template <class W, int O>
void whole_row(const Product& p, size_t row, size_t first, size_t end) {
  const size_t step = (end - first) / O;
  for (size_t i = 0; i < step; i++) whole_outputs<W, 1, O>(p, row, first + i, step);
  if constexpr (O > 1) whole_row<W, 1>(p, row, first + O * step, end);
}

template <class W, int R, int O>
void whole_rows(const Product& p, size_t row, size_t first, size_t end) {
  for (; first + O <= end; first += O) whole_outputs<W, R, O>(p, row, first, 1);
  if constexpr (O > 1)
    if (first < end) whole_rows<W, R, 1>(p, row, first, end);
}

template <class W, int R, int O, int ONE>
void whole(const Product& p, size_t first, size_t end) {
  size_t row = 0;
  for (; row + R <= p.rows; row += R) whole_rows<W, R, O>(p, row, first, end);
  if constexpr (R == 4)
    if (p.rows - row == 3) return whole_rows<W, 3, O>(p, row, first, end);
  if (p.rows - row == 2) whole_rows<W, 2, O>(p, row, first, end);
  if (p.rows - row == 1) whole_row<W, ONE>(p, row, first, end);
}

// One row of x for weights of 8 bits, or of `four`: each block's largest magnitude becomes 32767. What is not finite makes
// the whole block NaN.
void wholes(const float* x, size_t in, bool four, int16_t* whole, float* scale, int32_t* offset) {
  constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: a float that has it added to it is rounded to a whole number
  for (size_t b = 0; b < (in + BLOCK - 1) / BLOCK; b++, whole += BLOCK) {
    float from[BLOCK] = {};
    std::memcpy(from, x + BLOCK * b, sizeof(float) * (BLOCK * (b + 1) > in ? in - BLOCK * b : BLOCK));
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
    scale[b] = finite ? largest / 32767 : NAN;
    const float by = finite && scale[b] > 0 ? 1 / scale[b] : 0.0f;
    int32_t numbers[BLOCK];
    for (size_t i = 0; i < BLOCK; i++) {
      const float y = finite ? from[i] * by : 0.0f;
      numbers[i] = static_cast<int32_t>((y + ROUND) - ROUND);
      numbers[i] = numbers[i] > 32767 ? 32767 : numbers[i] < -32767 ? -32767 : numbers[i];
    }
    if (!four) {
      for (size_t i = 0; i < BLOCK; i++) whole[i] = static_cast<int16_t>(numbers[i]);
      continue;
    }
    for (size_t l = 0; l < 16; l++)
      for (size_t k = 0; k < 4; k++) whole[16 * k + l] = static_cast<int16_t>(numbers[4 * l + k]);
    for (size_t l = 0; l < 8; l++, offset++) {
      int32_t sum = 0;
      for (size_t i = 0; i < 8; i++) sum += numbers[8 * l + i];
      *offset = -8 * sum;
    }
  }
}

}  // namespace
