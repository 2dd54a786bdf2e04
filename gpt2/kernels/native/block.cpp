// One block of GPT-2 for new positions of rows that have keys and values already, see gpt2/block.py:
// x + attn(norm(x)), then x + mlp(norm(x)).

#include "block.hpp"

#include <algorithm>
#include <vector>

#include "threads.hpp"

namespace {

constexpr size_t MANY = 16;  // positions from which threads share what is small

// Everything between x and x, in memory that is used again.
struct Space {
  std::vector<float> stream, normed, qkv, mixed, inner, weights;
};

Map map_of(const BlockMap& map, size_t in, size_t out, bool half) {
  return {static_cast<Kind>(map.kind), static_cast<const char*>(map.w), static_cast<const float*>(map.scale), map.bias,
          half, in, out};
}

}  // namespace

void block(const Block& b, void* x, const Cache& cache, size_t positions, int threads) {
  thread_local Space space;
  Space& s = space;
  const size_t width = b.width, heads = b.heads, size = width / heads, number_bytes = b.half ? 2 : 4;
  s.stream.resize(positions * width);
  s.normed.resize(positions * width);
  s.qkv.resize(positions * 3 * width);
  s.mixed.resize(positions * width);
  s.inner.resize(positions * b.inner);
  const size_t longest = static_cast<size_t>(*std::max_element(cache.slot, cache.slot + positions)) + 8;
  if (s.weights.size() < longest * threads) s.weights.resize(longest * threads);
  for (size_t i = 0; i < positions * width; i++) s.stream[i] = number(x, i, b.half);

  const auto each = [&](auto work) {
    const int few = positions < MANY ? 1 : threads;
    if (few == 1)
      for (size_t n = 0; n < positions; n++) work(n);
    else
      share(positions, few, [&](size_t n, int) { work(n); });
  };
  const auto norm = [&](const void* weight, const void* bias) {
    each([&](size_t n) {
      way().norm(s.stream.data() + n * width, width, weight, bias, b.half, b.eps, s.normed.data() + n * width);
    });
  };
  const auto at = [&](const void* tensor, size_t n, size_t head) {
    const int64_t place = cache.row[n] * cache.row_stride + static_cast<int64_t>(head) * cache.head_stride;
    return static_cast<char*>(const_cast<void*>(tensor)) + place * static_cast<int64_t>(number_bytes);
  };

  norm(b.norm_1, b.shift_1);
  multiply(map_of(b.attn, width, 3 * width, b.half), s.normed.data(), false, s.qkv.data(), false, positions, STORE, threads);
  each([&](size_t n) {
    for (size_t head = 0; head < heads; head++)
      for (int which = 0; which < 2; which++) {
        const float* from = s.qkv.data() + n * 3 * width + (which + 1) * width + head * size;
        char* to = at(which ? cache.values : cache.keys, n, head) + cache.slot[n] * size * number_bytes;
        for (size_t i = 0; i < size; i++) put(to, i, from[i], b.half);
      }
  });
  share(positions * heads, threads, [&](size_t task, int who) {
    const size_t n = positions - 1 - task / heads, head = task % heads;  // the longest first
    way().attend({s.qkv.data() + n * 3 * width + head * size, at(cache.keys, n, head), at(cache.values, n, head),
                  static_cast<size_t>(cache.slot[n]) + 1, size, b.scale, b.half != 0, s.weights.data() + who * longest,
                  s.mixed.data() + n * width + head * size});
  });
  multiply(map_of(b.out, width, width, b.half), s.mixed.data(), false, s.stream.data(), false, positions, ADD, threads);
  norm(b.norm_2, b.shift_2);
  multiply(map_of(b.up, width, b.inner, b.half), s.normed.data(), false, s.inner.data(), false, positions, GELU, threads);
  multiply(map_of(b.down, b.inner, width, b.half), s.inner.data(), false, s.stream.data(), false, positions, ADD, threads);
  for (size_t i = 0; i < positions * width; i++) put(x, i, s.stream[i], b.half);
}
