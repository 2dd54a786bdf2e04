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
constexpr size_t LARGER = 2;  // times as many bytes where there are many rows, each of which is read for every chunk

std::atomic<const Way*> chosen{nullptr};

// The ways that this processor can go, the best one first.
std::vector<const Way*> possible() {
  std::vector<const Way*> found;
#if defined(GPT2_AVX512) || defined(GPT2_AVX512_BF16)
  const bool wider = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("fma");
#endif
#ifdef GPT2_AVX512_BF16
  if (wider && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni"))
    found.push_back(&avx512_bf16);
#endif
#ifdef GPT2_AVX512
  if (wider) found.push_back(&avx512);
#endif
#ifdef GPT2_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2);
#endif
  found.push_back(&portable);
  return found;
}

size_t row_bytes(const Map& map) {
  switch (map.kind) {
    case FLOAT32: return 4 * map.in;
    case BFLOAT16: return 2 * map.in;
    case INT8: return map.in;
    default: return map.in / 2;
  }
}

constexpr size_t OF_BYTES = 48;  // outputs of weights of 8 bits that are computed together for many rows
constexpr size_t MANY = 8;  // rows from which several threads make them ready

bool in_whole(const Map& map) { return map.kind == INT8 || map.kind == INT4; }

size_t block(const Map& map) { return map.kind == INT4 ? BLOCK_OF_4 : BLOCK_OF_8; }

size_t blocks(const Map& map) { return (map.in + block(map) - 1) / block(map); }

size_t stride(const Map& map) {
  const size_t step = in_whole(map) ? 1 : way().step;
  return (map.in + step - 1) / step * step;
}

bool in_halves(const Map& map) { return map.kind == BFLOAT16 && map.half && way().halves; }

// How many outputs one thread takes at a time: tiles take a number that divides 12, or 8 where there is one row.
size_t outputs(const Map& map, size_t rows, int threads) {
  const size_t unit = map.kind == INT8 ? (rows == 1 ? 16 : OF_BYTES) : rows == 1 ? 8 : 12;
  const size_t bytes = std::max<size_t>(1, row_bytes(map));
  const size_t larger = rows > TOGETHER ? LARGER : 1;
  const size_t chunk = std::clamp(map.out * bytes / (TURNS * static_cast<size_t>(threads)), LEAST, larger * MOST);
  return unit * std::max<size_t>(1, chunk / (unit * bytes));
}

size_t room(const Map& map, size_t rows, int threads) {
  if (map.kind == INT8) return rows > 1 ? OF_BYTES * ((map.in + 3) / 4) + 32 : 16 * (map.in + 64) / 4 + 32;
  return rows > TOGETHER && map.kind == BFLOAT16 && !in_halves(map) ? outputs(map, rows, threads) * stride(map) : 0;
}

// One row of x as the products read it.
void make_ready(Ready& ready, const Product& p, const void* x, bool half, size_t r) {
  const char* from = static_cast<const char*>(x) + r * p.in * (half ? 2 : 4);
  if (!in_whole(p)) {
    const bool halves = in_halves(p);
    char* to = reinterpret_cast<char*>(ready.padded.data()) + r * p.x_stride * (halves ? 2 : 4);
    return way().copy(from, half, p.in, p.x_stride, halves, to);
  }
  if (half) {
    float* to = ready.padded.data() + r * p.x_stride;
    way().copy(from, half, p.in, p.in, false, to);
    from = reinterpret_cast<const char*>(to);
  }
  way().wholes(reinterpret_cast<const float*>(from), p.in, p.kind == INT4, r, ready.whole.data(), ready.scale.data(),
               ready.offset.data());
}

template <class T>
void grow(std::vector<T>& of, size_t size) {
  if (of.size() < size) of.resize(size);
}

}  // namespace

const Way& way() {
  static const Way* best = possible().front();
  const Way* asked = chosen;
  return asked ? *asked : *best;
}

bool use(const char* name) {
  const Way* found = nullptr;
  for (const Way* one : possible())
    if (name && std::strcmp(one->name, name) == 0) found = one;
  chosen = found;
  return found || !name;
}

void Ready::fit(const Map& map, size_t rows, int threads) {
  grow(padded, rows * stride(map));
  grow(unpacked, room(map, rows, threads) * static_cast<size_t>(threads));
  grow(sums, TOGETHER * outputs(map, rows, threads) * static_cast<size_t>(threads));
  if (!in_whole(map)) return;
  grow(whole, rows * blocks(map) * block(map));
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
  p.x = half_x != in_halves(map) || p.x_stride != p.in ? ready.padded.data() : x;
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
  const size_t who = static_cast<size_t>(member.who);
  float* unpacked = ready.unpacked.data() + room(map, rows, member.threads) * who;
  float* sums = ready.sums.data() + TOGETHER * step * who;
  member.share((p.out + step - 1) / step, [&](size_t chunk) {
    way().part(p, chunk * step, std::min(p.out, (chunk + 1) * step), unpacked, sums);
  });
}
