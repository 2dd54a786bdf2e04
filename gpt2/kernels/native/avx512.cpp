// The products on a processor with AVX-512; this file alone is compiled for one.

#include "sixteen.hpp"
#include "products.hpp"

namespace {

using OfBFloat16 = BFloat16;

}  // namespace

#include "attention.hpp"
#include "bytes.hpp"
#include "whole.hpp"
#include "way.hpp"

const Way avx512 = {"AVX-512", Float32::STEP, false, part, copy, wholes, attend, norm};
