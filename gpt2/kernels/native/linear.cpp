// One linear map: x is made ready, and the threads share the outputs.

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "kernels.hpp"
#include "threads.hpp"

namespace {

constexpr size_t CHUNK = 64 << 10;  // bytes of weights that one thread takes at a time

std::atomic<bool> portable_only{false};

size_t row_bytes(const Map& map) {
  switch (map.kind) {
    case FLOAT32: return 4 * map.in;
    case BFLOAT16: return 2 * map.in;
    case INT8: return map.in;
    default: return map.in / 2;
  }
}

// x as the products read it, in memory that is used again.
struct Ready {
  std::vector<float> padded, scale, unpacked;
  std::vector<int16_t> whole;
  std::vector<int32_t> offset;

  void take(Product& p, const void* x, bool half) {
    const bool in_whole = p.kind == INT8 || p.kind == INT4;
    p.x_stride = (p.in + 7) / 8 * 8;
    p.x = static_cast<const float*>(x);
    if (half || (p.x_stride != p.in && !in_whole)) {
      if (in_whole) p.x_stride = p.in;
      padded.assign(p.rows * p.x_stride, 0.0f);
      for (size_t r = 0; r < p.rows; r++)
        for (size_t i = 0; i < p.in; i++) padded[r * p.x_stride + i] = number(x, r * p.in + i, half);
      p.x = padded.data();
    }
    if (!in_whole) return;
    const size_t blocks = (p.in + 63) / 64;
    whole.resize(p.rows * blocks * 64);
    scale.resize(p.rows * blocks);
    offset.resize(p.rows * blocks * 8);
    for (size_t r = 0; r < p.rows; r++)
      way().wholes(p.x + r * p.in, p.in, p.kind == INT4, whole.data() + r * blocks * 64, scale.data() + r * blocks,
                   offset.data() + r * blocks * 8);
    p.whole = whole.data();
    p.whole_scale = scale.data();
    p.offset = offset.data();
  }
};

}  // namespace

const Way& way() {
#ifdef GPT2_WIDE
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide && !portable_only) return avx2;
#endif
  return portable;
}

void leave_wide_aside(bool yes) { portable_only = yes; }

void multiply(const Map& map, const void* x, bool half_x, void* y, bool half_y, size_t rows, Then then, int threads) {
  Product p{};
  static_cast<Map&>(p) = map;
  p.y = y;
  p.rows = rows;
  p.half_y = half_y;
  p.then = then;
  thread_local Ready ready;
  ready.take(p, x, half_x);
  const size_t unit = rows == 1 ? 8 : 12;  // how many outputs a tile takes divides it
  const size_t step = unit * std::max<size_t>(1, CHUNK / (unit * std::max<size_t>(1, row_bytes(p))));
  const size_t room = rows > 4 && p.kind == BFLOAT16 ? step * p.x_stride : 0;
  if (ready.unpacked.size() < room * threads) ready.unpacked.resize(room * threads);
  float* space = ready.unpacked.data();
  share((p.out + step - 1) / step, threads, [&](size_t chunk, int who) {
    way().part(p, chunk * step, std::min(p.out, (chunk + 1) * step), space + room * who);
  });
}
