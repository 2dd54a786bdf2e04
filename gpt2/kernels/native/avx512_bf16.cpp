// The products on a processor whose AVX-512 multiplies bfloat16 and whole numbers; this file alone is compiled for one.

#include "sixteen.hpp"
#include "products.hpp"

namespace {

// Weights and x in bfloat16: two products a lane, each added in float32.
struct OfBFloat16 {
  using X = uint16_t;
  struct Numbers {
    __m512bh v;
  };
  static constexpr size_t BYTES = 2, STEP = 32;
  static Numbers weights(const char* w) { return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(w))}; }
  static Numbers row(const uint16_t* x) { return {reinterpret_cast<__m512bh>(_mm512_loadu_si512(x))}; }
  static P add(Numbers row, Numbers numbers, P sum) { return {_mm512_dpbf16_ps(sum.v, row.v, numbers.v)}; }
};

}  // namespace

#include "attention.hpp"
#include "bytes.hpp"
#include "whole.hpp"
#include "way.hpp"

const Way avx512_bf16 = {"AVX-512 with bf16", OfBFloat16::STEP, true, part, copy, wholes, attend, norm};
