// A block as Python describes it (gpt2/kernels/blocks.py, the same fields in the same order), and where its keys and
// values are.

#pragma once

#include "kernels.hpp"

struct BlockMap {
  int64_t kind;
  const void *w, *scale, *bias;
};

struct Block {
  int64_t width, heads, inner, half;
  float eps, scale;  // scores are multiplied by `scale`
  const void *norm_1, *shift_1, *norm_2, *shift_2;
  BlockMap attn, out, up, down;
};

// Keys and values [rows, heads, capacity, size]; position n of the pass is slot `slot[n]` of row `row[n]`.
struct Cache {
  void *keys, *values;
  int64_t row_stride, head_stride;  // in numbers
  const int64_t *row, *slot;
};

// x [positions, width] through `count` blocks of one model, in place; each position sees its row up to its own slot,
// which it fills. May throw std::bad_alloc.
void blocks(const Block* of, size_t count, void* x, const Cache* caches, size_t positions, int threads);
