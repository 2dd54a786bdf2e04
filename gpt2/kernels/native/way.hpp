// The part of a product that one thread computes, whatever its weights are. See products.hpp.

#pragma once

namespace {

// Outputs first..end of the product; `space` holds as many rows of w in float32.
void part(const Product& p, size_t first, size_t end, float* space) {
  switch (p.kind) {
    case FLOAT32: any_rows<Float32>(p, first, end, space); break;
    case BFLOAT16: any_rows<BFloat16>(p, first, end, space); break;
    case INT8: whole<Int8, 4, 3, 2>(p, first, end); break;
    case INT4: whole<Int4, 4, 3, 2>(p, first, end); break;
  }
  if (p.then == GELU)
    for (size_t r = 0; r < p.rows; r++) gelu(static_cast<float*>(p.y) + r * p.out + first, end - first);
}

}  // namespace
