// The products on a processor with AVX2 and FMA; this file alone is compiled for one.

#include "eight.hpp"

namespace {

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

const Way avx2 = {"AVX2", Float32::STEP, false, part, copy, wholes, attend, norm};
