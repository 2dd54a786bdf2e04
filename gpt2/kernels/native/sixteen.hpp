// Sixteen floats with the instructions of AVX-512, and how many rows of w its 32 registers take together.

#pragma once

#include "eight.hpp"

#undef HOLD
#define HOLD(x) asm("" : "+v"(x))  // one of all 32

namespace {

struct P {
  using Whole = __m512i;  // 32 whole numbers of 16 bits, or 16 of 32
  static constexpr int LANES = 16, WHOLES = 32;
  __m512 v;
  static P zero() { return {_mm512_setzero_ps()}; }
  static P load(const float* x) { return {_mm512_loadu_ps(x)}; }
  static void store(float* to, P x) { _mm512_storeu_ps(to, x.v); }
  static P multiply_add(P a, P b, P c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static P bfloat16(const char* w) {
    const __m256i numbers = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(numbers), 16))};
  }
  static P all(float x) { return {_mm512_set1_ps(x)}; }
  static Whole no_whole() { return _mm512_setzero_si512(); }
  static Whole load_whole(const void* from) { return _mm512_loadu_si512(from); }
  static Whole bytes(const char* w) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  }
  static Whole add_pairs(Whole sum, Whole a, Whole b) {
#ifdef __AVX512VNNI__
    return _mm512_dpwssd_epi32(sum, a, b);
#else
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
#endif
  }
  static P floats(Whole x) { return {_mm512_cvtepi32_ps(x)}; }
  static float sum(P x) {
    return V::sum({_mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1))});
  }
  // Each sum in the order of `sum`, sixteen together: lanes are put beside their partners in other registers.
  template <int N>
  INLINE static void sums(const P* of, float* to) {
    if constexpr (N < 8) {
      for (int i = 0; i < N; i++) to[i] = sum(of[i]);
    } else {
      const __m512 a = folded<0x44, 0xee>(four<N>(of, 0), four<N>(of, 4)), b = folded<0x44, 0xee>(four<N>(of, 8), four<N>(of, 12));
      // number 4 l + k now is the sum of register 4 k + l
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
      _mm512_storeu_ps(to, _mm512_permutexvar_ps(order, folded<0x88, 0xdd>(a, b)));
      if constexpr (N > 16) sums<N - 16>(of + 16, to + 16);
    }
  }

 private:
  // Of four registers, lane l of 128 bits is the sum of the lanes of register `first` + l; those after N are zero.
  template <int N>
  INLINE static __m512 four(const P* of, int first) {
    const auto at = [&](int l) INLINE { return first + l < N ? of[first + l].v : _mm512_setzero_ps(); };
    return halved<0x88, 0xdd>(halved<0x44, 0xee>(at(0), at(1)), halved<0x44, 0xee>(at(2), at(3)));
  }
  // Half as many lanes of 128 bits of each of two registers, added to the other half.
  template <int LOW, int HIGH>
  INLINE static __m512 halved(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, LOW), _mm512_shuffle_f32x4(a, b, HIGH));
  }
  // The same for the numbers within each lane.
  template <int LOW, int HIGH>
  INLINE static __m512 folded(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, LOW), _mm512_shuffle_ps(a, b, HIGH));
  }
};

struct Tiles {
  static constexpr int QUERIES = 4, OF_ONE = 2, OF_FEW = 6, MOST = 8, OF_MOST = 3;
};

}  // namespace
