// One linear map: x is made ready, and the threads share the outputs.

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "kernels.hpp"
#include "team.hpp"

namespace {

constexpr size_t LEAST = 8 << 10, MOST = 64 << 10;  // bytes of weights that one thread takes at a time
constexpr size_t TURNS = 8;  // times that a thread takes some, where there is enough for so many

std::atomic<bool> portable_only{false};

size_t row_bytes(const Map& map) {
  switch (map.kind) {
    case FLOAT32: return 4 * map.in;
    case BFLOAT16: return 2 * map.in;
    case INT8: return map.in;
    default: return map.in / 2;
  }
}

constexpr size_t MANY = 8;  // rows from which several threads make them ready

bool in_whole(const Map& map) { return map.kind == INT8 || map.kind == INT4; }

size_t blocks(const Map& map) { return (map.in + 63) / 64; }

size_t stride(const Map& map) { return in_whole(map) ? map.in : (map.in + 7) / 8 * 8; }

// How many outputs one thread takes at a time: tiles take a number that divides 12, or 8 where there is one row.
size_t outputs(const Map& map, size_t rows, int threads) {
  const size_t unit = rows == 1 ? 8 : 12, bytes = std::max<size_t>(1, row_bytes(map));
  const size_t chunk = std::clamp(map.out * bytes / (TURNS * static_cast<size_t>(threads)), LEAST, MOST);
  return unit * std::max<size_t>(1, chunk / (unit * bytes));
}

size_t room(const Map& map, size_t rows, int threads) {
  return rows > 4 && map.kind == BFLOAT16 ? outputs(map, rows, threads) * stride(map) : 0;
}

// One row of x as the products read it.
void make_ready(Ready& ready, const Product& p, const void* x, bool half, size_t r) {
  const float* from = static_cast<const float*>(x) + r * p.in;
  if (p.x != x) {
    float* to = ready.padded.data() + r * p.x_stride;
    for (size_t i = 0; i < p.x_stride; i++) to[i] = i < p.in ? number(x, r * p.in + i, half) : 0.0f;
    from = to;
  }
  const size_t b = blocks(p);
  if (in_whole(p))
    way().wholes(from, p.in, p.kind == INT4, ready.whole.data() + r * b * 64, ready.scale.data() + r * b,
                 ready.offset.data() + r * b * 8);
}

template <class T>
void grow(std::vector<T>& of, size_t size) {
  if (of.size() < size) of.resize(size);
}

}  // namespace

const Way& way() {
#ifdef GPT2_WIDE
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide && !portable_only) return avx2;
#endif
  return portable;
}

void leave_wide_aside(bool yes) { portable_only = yes; }

void Ready::fit(const Map& map, size_t rows, int threads) {
  grow(padded, rows * (map.in + 7) / 8 * 8 + 8 * rows);
  grow(unpacked, room(map, rows, threads) * static_cast<size_t>(threads));
  if (!in_whole(map)) return;
  grow(whole, rows * blocks(map) * 64);
  grow(scale, rows * blocks(map));
  grow(offset, rows * blocks(map) * 8);
}

void multiply(Member& member, Ready& ready, const Map& map, const void* x, bool half_x, void* y, bool half_y,
              size_t rows, Then then) {
  Product p{};
  static_cast<Map&>(p) = map;
  p.y = y;
  p.rows = rows;
  p.half_y = half_y;
  p.then = then;
  p.x_stride = stride(map);
  p.x = half_x || p.x_stride != p.in ? ready.padded.data() : static_cast<const float*>(x);
  p.whole = ready.whole.data();
  p.whole_scale = ready.scale.data();
  p.offset = ready.offset.data();
  const bool as_it_is = p.x == x && !in_whole(map);
  const size_t parts = as_it_is ? 0 : rows < MANY ? 1 : rows;
  member.share(parts, [&](size_t part) {
    if (parts == rows) return make_ready(ready, p, x, half_x, part);
    for (size_t r = 0; r < rows; r++) make_ready(ready, p, x, half_x, r);
  });
  const size_t step = outputs(map, rows, member.threads);
  float* space = ready.unpacked.data() + room(map, rows, member.threads) * static_cast<size_t>(member.who);
  member.share((p.out + step - 1) / step, [&](size_t chunk) {
    way().part(p, chunk * step, std::min(p.out, (chunk + 1) * step), space);
  });
}
