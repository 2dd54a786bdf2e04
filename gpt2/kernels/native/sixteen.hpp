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
  // For weights of 8 bits, see bytes.hpp.
#ifdef __AVX512VNNI__
  using Small = int8_t;
  using Four = __m512i;
  static constexpr size_t DEEP = 64;
  static constexpr bool SHIFTED = true;
  static Four fours(const char* w) { return load_whole(w); }
  static Four four_for_all(const Small* x) {
    int32_t bits;
    std::memcpy(&bits, x, 4);
    __m512i y = _mm512_set1_epi32(bits);
    HOLD(y);
    return y;
  }
  static Whole add_fours(Whole sum, Four w, Four x) {
    // GCC 12 copies each sum twice for its own _mm512_dpbusd_epi32.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
  }
  static Whole add_deep(Whole sum, const char* w, const Small* x) {
    return add_fours(sum, larger(load_whole(w)), load_whole(x));
  }
#else
  using Small = int16_t;
  static constexpr size_t DEEP = 32;
  static constexpr bool SHIFTED = false;
  struct Four {
    __m512i first, second;  // numbers 0 and 1, and 2 and 3, of each four
  };
  static Four fours(const char* w) {
    const __m512i both = load_whole(w);
    const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m512i second = _mm512_add_epi8(first, _mm512_set1_epi16(2));
    return {_mm512_shuffle_epi8(both, first), _mm512_shuffle_epi8(both, second)};
  }
  static Four four_for_all(const Small* x) {
    int32_t bits[2];
    std::memcpy(bits, x, 8);
    Four y{_mm512_set1_epi32(bits[0]), _mm512_set1_epi32(bits[1])};
    HOLD(y.first);
    HOLD(y.second);
    return y;
  }
  static Whole add_fours(Whole sum, Four w, Four x) {
    return add_pairs(add_pairs(sum, w.first, x.first), w.second, x.second);
  }
  static Whole add_deep(Whole sum, const char* w, const Small* x) { return add_pairs(sum, bytes(w), load_whole(x)); }
#endif
  static Whole all_whole(int32_t x) { return _mm512_set1_epi32(x); }
  static Whole add_whole(Whole a, Whole b) { return _mm512_add_epi32(a, b); }
  static Whole sum_each(const Whole* of) {  // lane o: the sum of all lanes of of[o]
    P lanes[16];
    for (int o = 0; o < 16; o++) lanes[o].v = _mm512_castsi512_ps(of[o]);
    return _mm512_castps_si512(each_sum<16, true>(lanes));
  }
  static void beside(const char* const* rows, size_t at, char* to) {  // 16 rows of 16 fours, turned
    __m512i of[16], two[16];
    for (int o = 0; o < 16; o++) of[o] = load_whole(rows[o] + at);
    for (int o = 0; o < 16; o += 2) {
      two[o] = _mm512_unpacklo_epi32(of[o], of[o + 1]);
      two[o + 1] = _mm512_unpackhi_epi32(of[o], of[o + 1]);
    }
    for (int o = 0; o < 16; o += 4)
      for (int i = 0; i < 2; i++) {
        of[o + 2 * i] = _mm512_unpacklo_epi64(two[o + i], two[o + i + 2]);
        of[o + 2 * i + 1] = _mm512_unpackhi_epi64(two[o + i], two[o + i + 2]);
      }
    for (int i = 0; i < 4; i++) {  // now lane l of 128 bits of of[4 o + i] has four 4 l + i of rows 4 o to 4 o + 3
      const __m512i a = _mm512_shuffle_i32x4(of[i], of[i + 4], 0x44), b = _mm512_shuffle_i32x4(of[i], of[i + 4], 0xee);
      const __m512i c = _mm512_shuffle_i32x4(of[i + 8], of[i + 12], 0x44), d = _mm512_shuffle_i32x4(of[i + 8], of[i + 12], 0xee);
      put_larger(to + 64 * i, _mm512_shuffle_i32x4(a, c, 0x88));
      put_larger(to + 64 * (i + 4), _mm512_shuffle_i32x4(a, c, 0xdd));
      put_larger(to + 64 * (i + 8), _mm512_shuffle_i32x4(b, d, 0x88));
      put_larger(to + 64 * (i + 12), _mm512_shuffle_i32x4(b, d, 0xdd));
    }
  }
  static P add(P a, P b) { return {_mm512_add_ps(a.v, b.v)}; }
  static P multiply(P a, P b) { return {_mm512_mul_ps(a.v, b.v)}; }
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
      _mm512_storeu_ps(to, each_sum<N, false>(of));
      if constexpr (N > 16) sums<N - 16>(of + 16, to + 16);
    }
  }

 private:
  static __m512i larger(__m512i w) { return _mm512_xor_si512(w, _mm512_set1_epi8(-128)); }
  static void put_larger(char* to, __m512i w) { _mm512_storeu_si512(to, larger(w)); }
  // Lane i is the sum of register i, of 16 or N registers, as floats or as whole numbers.
  template <int N, bool WHOLE>
  INLINE static __m512 each_sum(const P* of) {
    const __m512 a = folded<0x44, 0xee, WHOLE>(four<N, WHOLE>(of, 0), four<N, WHOLE>(of, 4));
    const __m512 b = folded<0x44, 0xee, WHOLE>(four<N, WHOLE>(of, 8), four<N, WHOLE>(of, 12));
    // number 4 l + k now is the sum of register 4 k + l
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(order, folded<0x88, 0xdd, WHOLE>(a, b));
  }
  // Of four registers, lane l of 128 bits is the sum of the lanes of register `first` + l; those after N are zero.
  template <int N, bool WHOLE>
  INLINE static __m512 four(const P* of, int first) {
    const auto at = [&](int l) INLINE { return first + l < N ? of[first + l].v : _mm512_setzero_ps(); };
    return halved<0x88, 0xdd, WHOLE>(halved<0x44, 0xee, WHOLE>(at(0), at(1)), halved<0x44, 0xee, WHOLE>(at(2), at(3)));
  }
  // Half as many lanes of 128 bits of each of two registers, added to the other half.
  template <int LOW, int HIGH, bool WHOLE>
  INLINE static __m512 halved(__m512 a, __m512 b) {
    return added<WHOLE>(_mm512_shuffle_f32x4(a, b, LOW), _mm512_shuffle_f32x4(a, b, HIGH));
  }
  // The same for the numbers within each lane.
  template <int LOW, int HIGH, bool WHOLE>
  INLINE static __m512 folded(__m512 a, __m512 b) {
    return added<WHOLE>(_mm512_shuffle_ps(a, b, LOW), _mm512_shuffle_ps(a, b, HIGH));
  }
  template <bool WHOLE>
  static __m512 added(__m512 a, __m512 b) {
    if (!WHOLE) return _mm512_add_ps(a, b);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
  }
};

struct Tiles {
  static constexpr int QUERIES = 4, OF_ONE = 2, OF_FEW = 6, MOST = 8, OF_MOST = 3;
};

}  // namespace
