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
};

}  // namespace
