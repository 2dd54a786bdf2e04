// The products on any processor: the compiler makes of eight floats what it can.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

struct V {
  struct Bits {
    uint32_t v[8];
  };
  float v[8];
  template <class F>
  static V each(F f) {
    V y;
    for (int l = 0; l < 8; l++) y.v[l] = f(l);
    return y;
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
  static V int8(const char* w) {
    return each([=](int l) { return static_cast<float>(static_cast<signed char>(w[l])); });
  }
  static Bits bits(const char* w) {
    Bits q;
    std::memcpy(q.v, w, sizeof q.v);
    return q;
  }
  static V nibbles(Bits q, int k) {  // number k of each lane, times 16^k; the last one times 1
    if (k == 7) return each([&](int l) { return static_cast<float>(q.v[l] >> 28); });
    return each([&](int l) { return static_cast<float>(static_cast<int32_t>(q.v[l] & (15u << (4 * k)))); });
  }
  static V halves(float low, float high) {
    return each([=](int l) { return l < 4 ? low : high; });
  }
  static float sum(V x) {
    const float a = x.v[0] + x.v[4], b = x.v[1] + x.v[5], c = x.v[2] + x.v[6], d = x.v[3] + x.v[7];
    return (a + c) + (b + d);
  }
};

}  // namespace

#include "products.hpp"

void part_portable(const Product& p, size_t first, size_t end, float* space) { part(p, first, end, space); }
