// One block of GPT-2 for new positions of rows that have keys and values already, see gpt2/block.py:
// x + attn(norm(x)), then x + mlp(norm(x)).

#include "block.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "team.hpp"

namespace {

constexpr size_t MANY = 16;                   // positions from which threads share what is small
constexpr size_t OF_BLOCK = 4 * PIECES + 4;  // pieces of work of a block

// Everything between x and x, in memory that is used again.
struct Space {
  std::vector<float> stream, normed, qkv, mixed, inner, weights;
  std::vector<std::pair<size_t, size_t>> texts;  // first and count of positions that follow each other in a text
  Ready ready;
};

Map map_of(const BlockMap& map, size_t in, size_t out, bool half) {
  return {static_cast<Kind>(map.kind), static_cast<const char*>(map.w), static_cast<const float*>(map.scale), map.bias,
          half, in, out};
}

struct Maps {
  Map attn, out, up, down;

  Maps(const Block& b)
      : attn(map_of(b.attn, b.width, 3 * b.width, b.half)),
        out(map_of(b.out, b.width, b.width, b.half)),
        up(map_of(b.up, b.width, b.inner, b.half)),
        down(map_of(b.down, b.inner, b.width, b.half)) {}
};

// The stream through one block, by all members of a team.
void block(Member& member, Space& s, const Block& b, const Cache& cache, size_t positions, size_t longest) {
  const size_t width = b.width, heads = b.heads, size = width / heads, number_bytes = b.half ? 2 : 4;
  const Maps maps(b);
  const auto each = [&](auto work) {
    const size_t parts = positions < MANY ? 1 : positions;
    member.share(parts, [&](size_t part) {
      if (parts == positions) return work(part);
      for (size_t n = 0; n < positions; n++) work(n);
    });
  };
  const auto norm = [&](const void* weight, const void* bias) {
    each([&](size_t n) {
      way().norm(s.stream.data() + n * width, width, weight, bias, b.half, b.eps, s.normed.data() + n * width);
    });
  };
  const auto product = [&](const Map& map, const std::vector<float>& x, std::vector<float>& y, Then then) {
    multiply(member, s.ready, map, x.data(), false, y.data(), false, positions, then);
  };
  const auto at = [&](const void* tensor, size_t n, size_t head) {
    const int64_t place = cache.row[n] * cache.row_stride + static_cast<int64_t>(head) * cache.head_stride;
    return static_cast<char*>(const_cast<void*>(tensor)) + place * static_cast<int64_t>(number_bytes);
  };

  norm(b.norm_1, b.shift_1);
  product(maps.attn, s.normed, s.qkv, STORE);
  each([&](size_t n) {
    for (size_t head = 0; head < heads; head++)
      for (size_t which = 0; which < 2; which++) {
        const float* from = s.qkv.data() + (3 * n + 1 + which) * width + head * size;
        char* to = at(which ? cache.values : cache.keys, n, head) + cache.slot[n] * size * number_bytes;
        for (size_t i = 0; i < size; i++) put(to, i, from[i], b.half);
      }
  });
  member.share(s.texts.size() * heads, [&](size_t part) {
    const auto [n, count] = s.texts[s.texts.size() - 1 - part / heads];  // the longest first
    const size_t head = part % heads, slot = static_cast<size_t>(cache.slot[n]);
    way().attend({s.qkv.data() + n * 3 * width + head * size, at(cache.keys, n, head), at(cache.values, n, head), count,
                  slot + 1, size, b.scale, b.half != 0, 3 * width, width, s.mixed.data() + n * width + head * size,
                  longest, s.weights.data() + member.who * room_of_queries(longest, size)});
  });
  product(maps.out, s.mixed, s.stream, ADD);
  norm(b.norm_2, b.shift_2);
  product(maps.up, s.normed, s.inner, GELU);
  product(maps.down, s.inner, s.stream, ADD);
}

}  // namespace

void blocks(const Block* of, size_t count, void* x, const Cache* caches, size_t positions, int threads) {
  thread_local Space space;
  Space& s = space;  // the caller's, for all threads
  const size_t width = of->width, longest = *std::max_element(caches->slot, caches->slot + positions) + 8;
  size_t inner = 0;
  for (size_t i = 0; i < count; i++) {
    const Maps maps(of[i]);
    for (const Map& map : {maps.attn, maps.out, maps.up, maps.down}) s.ready.fit(map, positions, threads);
    inner = std::max<size_t>(inner, of[i].inner);
  }
  s.stream.resize(positions * width);
  s.normed.resize(positions * width);
  s.qkv.resize(positions * 3 * width);
  s.mixed.resize(positions * width);
  s.inner.resize(positions * inner);
  s.weights.resize(room_of_queries(longest, width / of->heads) * threads);
  s.texts.clear();
  for (size_t n = 0; n < positions; n++) {
    const bool follows = n && caches->row[n] == caches->row[n - 1] && caches->slot[n] == caches->slot[n - 1] + 1;
    if (follows && s.texts.back().second < Queries::MOST)
      s.texts.back().second++;
    else
      s.texts.emplace_back(n, 1);
  }
  for (size_t i = 0; i < positions * width; i++) s.stream[i] = number(x, i, of->half);
  together(count * OF_BLOCK, threads, [&](Member& member) {
    for (size_t i = 0; i < count; i++) block(member, s, of[i], caches[i], positions, longest);
  });
  for (size_t i = 0; i < positions * width; i++) put(x, i, s.stream[i], of->half);
}
