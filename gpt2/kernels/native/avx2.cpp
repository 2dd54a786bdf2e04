// The products on a processor with AVX2 and FMA; this file alone is compiled for one.

#include <immintrin.h>

#include <cstddef>

namespace {

struct V {
  using Bits = __m256i;
  __m256 v;
  static V zero() { return {_mm256_setzero_ps()}; }
  static V load(const float* x) { return {_mm256_loadu_ps(x)}; }
  static void store(float* to, V x) { _mm256_storeu_ps(to, x.v); }
  static V multiply_add(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static V bfloat16(const char* w) {
    const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(numbers), 16))};
  }
  static V int8(const char* w) {
    const __m128i numbers = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(w));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(numbers))};
  }
  static Bits bits(const char* w) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)); }
  static V nibbles(Bits q, int k) {  // number k of each lane, times 16^k
    if (k == 7) return {_mm256_cvtepi32_ps(_mm256_srli_epi32(q, 28))};  // the sign bit: this one times 1
    return {_mm256_cvtepi32_ps(_mm256_and_si256(q, _mm256_set1_epi32(15 << (4 * k))))};
  }
  static V halves(float low, float high) { return {_mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low))}; }
  static float sum(V x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
};

}  // namespace

#include "products.hpp"

void part_avx2(const Product& p, size_t first, size_t end, float* space) { part(p, first, end, space); }
