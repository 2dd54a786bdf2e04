// Eight floats, or 16 whole numbers, with the instructions of AVX2 and FMA.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.hpp"

// In a register from here on: a compiler that reads it from memory for each use asks for more than memory can give.
#define HOLD(x) asm("" : "+x"(x))

namespace {

struct V {
  static constexpr int LANES = 8, WHOLES = 16;
  using Whole = __m256i;  // 16 whole numbers of 16 bits, or 8 of 32
  __m256 v;
  static Whole no_whole() { return _mm256_setzero_si256(); }
  static V zero() { return {_mm256_setzero_ps()}; }
  static V load(const float* x) { return {_mm256_loadu_ps(x)}; }
  static void store(float* to, V x) { _mm256_storeu_ps(to, x.v); }
  static V multiply_add(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static V bfloat16(const char* w) {
    const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(numbers), 16))};
  }
  static V all(float x) { return {_mm256_set1_ps(x)}; }
  static V multiply(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
  static Whole load_whole(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static Whole bytes(const char* w) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
  }
  static Whole nibbles(Whole q, int k) {  // number k of the four in each lane of 16 bits
    return k == 3 ? _mm256_srli_epi16(q, 12) : _mm256_and_si256(_mm256_srli_epi16(q, 4 * k), _mm256_set1_epi16(15));
  }
  static Whole pairs(Whole a, Whole b) { return _mm256_madd_epi16(a, b); }  // products, the sums of two neighbours
  static Whole add_pairs(Whole sum, Whole a, Whole b) {
#ifdef __AVX512VNNI__
    return _mm256_dpwssd_epi32(sum, a, b);
#else
    return _mm256_add_epi32(sum, pairs(a, b));
#endif
  }
  static V floats(Whole x) { return {_mm256_cvtepi32_ps(x)}; }
  static V halves(float low, float high) { return {_mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low))}; }
  // For weights of 8 bits, see bytes.hpp.
  using Small = int16_t;
  static constexpr size_t DEEP = 16;
  static constexpr bool SHIFTED = false;
  struct Four {
    __m256i first, second;  // numbers 0 and 1, and 2 and 3, of each four
  };
  static Whole all_whole(int32_t x) { return _mm256_set1_epi32(x); }
  static Whole add_whole(Whole a, Whole b) { return _mm256_add_epi32(a, b); }
  static Four fours(const char* w) {
    const __m256i both = load_whole(w);
    const __m256i first = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi16(2));  // -1 stays: a zero
    return {_mm256_shuffle_epi8(both, first), _mm256_shuffle_epi8(both, second)};
  }
  static Four four_for_all(const Small* x) {
    Four y{pair_for_all(x), pair_for_all(x + 2)};
    HOLD(y.first);
    HOLD(y.second);
    return y;
  }
  static Whole add_fours(Whole sum, Four w, Four x) {
    return _mm256_add_epi32(sum, _mm256_add_epi32(pairs(w.first, x.first), pairs(w.second, x.second)));
  }
  static Whole add_deep(Whole sum, const char* w, const Small* x) {
    return _mm256_add_epi32(sum, pairs(bytes(w), load_whole(x)));
  }
  static Whole sum_each(const Whole* of) {  // lane o: the sum of all lanes of of[o]
    const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(of[0], of[1]), _mm256_hadd_epi32(of[2], of[3]));
    const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(of[4], of[5]), _mm256_hadd_epi32(of[6], of[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
  }
  static void beside(const char* const* rows, size_t at, char* to) {  // 8 rows of 8 fours, turned
    __m256i of[8], two[8];
    for (int o = 0; o < 8; o++) of[o] = load_whole(rows[o] + at);
    for (int o = 0; o < 8; o += 2) {
      two[o] = _mm256_unpacklo_epi32(of[o], of[o + 1]);
      two[o + 1] = _mm256_unpackhi_epi32(of[o], of[o + 1]);
    }
    for (int o = 0; o < 8; o += 4)
      for (int i = 0; i < 2; i++) {
        of[o + 2 * i] = _mm256_unpacklo_epi64(two[o + i], two[o + i + 2]);
        of[o + 2 * i + 1] = _mm256_unpackhi_epi64(two[o + i], two[o + i + 2]);
      }
    for (int i = 0; i < 4; i++) {
      put_larger(to + 32 * i, _mm256_permute2x128_si256(of[i], of[i + 4], 0x20));
      put_larger(to + 32 * (i + 4), _mm256_permute2x128_si256(of[i], of[i + 4], 0x31));
    }
  }
  static V add(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
  static V subtract(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
  static V divide(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
  static V clamp(V x, V low, V high) { return {_mm256_min_ps(high.v, _mm256_max_ps(low.v, x.v))}; }  // a NaN stays
  static V times_two_to(V x, V n) {  // n is a whole number to which 1.5 * 2^23 has been added
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(n.v), 23);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x.v), exponent))};
  }
  static float sum(V x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  template <int N>
  static void sums(const V* of, float* to) {
    for (int i = 0; i < N; i++) to[i] = sum(of[i]);
  }

 private:
  static __m256i pair_for_all(const Small* x) {
    int32_t bits;
    std::memcpy(&bits, x, 4);
    return _mm256_set1_epi32(bits);
  }
  static void put_larger(char* to, __m256i w) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_xor_si256(w, _mm256_set1_epi8(-128)));
  }
};

}  // namespace
