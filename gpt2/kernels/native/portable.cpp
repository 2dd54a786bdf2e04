// The products on any processor: the compiler makes of eight floats what it can.

#include <cstddef>
#include <cstdint>
#include <cstring>

#define HOLD(x)

namespace {

struct V {
  static constexpr int LANES = 8, WHOLES = 16;
  struct Whole {  // 16 whole numbers of 16 bits, or 8 of 32
    union {
      int16_t h[16];
      int32_t v[8];
    };
  };
  float v[8];
  template <class F>
  static V each(F f) {
    V y;
    for (int l = 0; l < 8; l++) y.v[l] = f(l);
    return y;
  }
  static Whole no_whole() { return {}; }
  static Whole all_whole(int32_t x) {
    Whole y;
    for (int l = 0; l < 8; l++) y.v[l] = x;
    return y;
  }
  static Whole add_whole(Whole a, Whole b) {
    for (int l = 0; l < 8; l++) a.v[l] += b.v[l];
    return a;
  }
  static V zero() {
    return each([](int) { return 0.0f; });
  }
  static V load(const float* x) {
    return each([=](int l) { return x[l]; });
  }
  static void store(float* to, V x) { std::memcpy(to, x.v, sizeof x.v); }
  static V multiply_add(V a, V b, V c) {
    return each([&](int l) { return a.v[l] * b.v[l] + c.v[l]; });
  }
  static V bfloat16(const char* w) {
    V y;
    for (int l = 0; l < 8; l++) {
      uint16_t upper;
      std::memcpy(&upper, w + 2 * l, 2);
      const uint32_t bits = static_cast<uint32_t>(upper) << 16;
      std::memcpy(&y.v[l], &bits, 4);
    }
    return y;
  }
  static V all(float x) {
    return each([=](int) { return x; });
  }
  static V multiply(V a, V b) {
    return each([&](int l) { return a.v[l] * b.v[l]; });
  }
  static Whole load_whole(const void* from) {
    Whole x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  static Whole bytes(const char* w) {
    Whole x;
    for (int l = 0; l < 16; l++) x.h[l] = static_cast<signed char>(w[l]);
    return x;
  }
  static Whole nibbles(Whole q, int k) {  // number k of the four in each lane of 16 bits
    for (int l = 0; l < 16; l++) q.h[l] = static_cast<int16_t>(static_cast<uint16_t>(q.h[l]) >> (4 * k) & 15);
    return q;
  }
  static Whole pairs(Whole a, Whole b) {  // products, the sums of two neighbours
    Whole y;
    for (int l = 0; l < 8; l++) y.v[l] = a.h[2 * l] * b.h[2 * l] + a.h[2 * l + 1] * b.h[2 * l + 1];
    return y;
  }
  static Whole add_pairs(Whole sum, Whole a, Whole b) {
    a = pairs(a, b);
    for (int l = 0; l < 8; l++) sum.v[l] += a.v[l];
    return sum;
  }
  static V floats(Whole x) {
    return each([&](int l) { return static_cast<float>(x.v[l]); });
  }
  static V halves(float low, float high) {
    return each([=](int l) { return l < 4 ? low : high; });
  }
  // For weights of 8 bits, see bytes.hpp.
  using Small = int8_t;
  static constexpr size_t DEEP = 16;
  static constexpr bool SHIFTED = false;
  struct Four {
    uint8_t of[32];
  };
  static Four fours(const char* w) {
    Four y;
    std::memcpy(y.of, w, 32);
    return y;
  }
  static Four four_for_all(const Small* x) {
    Four y;
    for (int l = 0; l < 8; l++) std::memcpy(y.of + 4 * l, x, 4);
    return y;
  }
  static Whole add_fours(Whole sum, const Four& w, const Four& x) {
    for (int l = 0; l < 8; l++)
      for (int i = 4 * l; i < 4 * l + 4; i++) sum.v[l] += w.of[i] * static_cast<int8_t>(x.of[i]);
    return sum;
  }
  static Whole add_deep(Whole sum, const char* w, const Small* x) {
    for (int l = 0; l < 8; l++)
      for (int i = 2 * l; i < 2 * l + 2; i++) sum.v[l] += static_cast<signed char>(w[i]) * x[i];
    return sum;
  }
  static Whole sum_each(const Whole* of) {
    Whole y = {};
    for (int o = 0; o < 8; o++)
      for (int l = 0; l < 8; l++) y.v[o] += of[o].v[l];
    return y;
  }
  static void beside(const char* const* rows, size_t at, char* to) {
    for (int four = 0; four < 8; four++)
      for (int o = 0; o < 8; o++)
        for (int i = 0; i < 4; i++) *to++ = static_cast<char>(rows[o][at + 4 * four + i] ^ 0x80);
  }
  static V add(V a, V b) {
    return each([&](int l) { return a.v[l] + b.v[l]; });
  }
  static V subtract(V a, V b) {
    return each([&](int l) { return a.v[l] - b.v[l]; });
  }
  static V divide(V a, V b) {
    return each([&](int l) { return a.v[l] / b.v[l]; });
  }
  static V clamp(V x, V low, V high) {  // a NaN stays
    return each([&](int l) { return x.v[l] < low.v[l] ? low.v[l] : x.v[l] > high.v[l] ? high.v[l] : x.v[l]; });
  }
  static V times_two_to(V x, V n) {  // n is a whole number to which 1.5 * 2^23 has been added
    return each([&](int l) {
      uint32_t bits, power;
      std::memcpy(&bits, &x.v[l], 4);
      std::memcpy(&power, &n.v[l], 4);
      bits += power << 23;
      float y;
      std::memcpy(&y, &bits, 4);
      return y;
    });
  }
  static float sum(V x) {
    const float a = x.v[0] + x.v[4], b = x.v[1] + x.v[5], c = x.v[2] + x.v[6], d = x.v[3] + x.v[7];
    return (a + c) + (b + d);
  }
  template <int N>
  static void sums(const V* of, float* to) {
    for (int i = 0; i < N; i++) to[i] = sum(of[i]);
  }
};

using P = V;
struct Tiles {
  static constexpr int QUERIES = 2, OF_ONE = 2, OF_FEW = 3, MOST = 4, OF_MOST = 3;
};

}  // namespace

#include "products.hpp"

namespace {

using OfBFloat16 = BFloat16;

}  // namespace

#include "attention.hpp"
#include "bytes.hpp"
#include "whole.hpp"
#include "way.hpp"

const Way portable = {"portable", Float32::STEP, false, part, copy, wholes, attend, norm};
