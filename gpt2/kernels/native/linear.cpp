// The interface of the kernel, in plain C: y [rows, out] = x [rows, in] w^T + bias.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "kernels.hpp"
#include "threads.hpp"

namespace {

constexpr size_t CHUNK = 64 << 10;  // bytes of weights that one thread takes at a time

std::atomic<bool> portable_only{false};

bool wide() {
#ifdef GPT2_WIDE
  static const bool found = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return found && !portable_only;
#else
  return false;
#endif
}

size_t row_bytes(const Product& p) {
  switch (p.kind) {
    case FLOAT32: return 4 * p.in;
    case BFLOAT16: return 2 * p.in;
    case INT8: return p.in;
    default: return p.in / 2;
  }
}

// x as the products read it: float32, each row padded with zeros.
void pad(Product& p, const void* x, std::vector<float>& space) {
  p.x_stride = (p.in + 7) / 8 * 8;
  if (!p.half && p.x_stride == p.in) {
    p.x = static_cast<const float*>(x);
    return;
  }
  space.assign(p.rows * p.x_stride, 0.0f);
  for (size_t r = 0; r < p.rows; r++)
    for (size_t i = 0; i < p.in; i++) space[r * p.x_stride + i] = number(x, r * p.in + i, p.half);
  p.x = space.data();
}

// x for weights of four bits: in the order of their nibbles, with the powers of 16 that these carry, and the offsets.
void order(Product& p, const void* x, std::vector<float>& space) {
  const size_t blocks = (p.in + 63) / 64;
  p.x_stride = 64 * blocks;
  space.assign(p.rows * 72 * blocks, 0.0f);
  float *to = space.data(), *offset = to + p.rows * p.x_stride;
  p.x = to;
  p.offset = offset;
  for (size_t r = 0; r < p.rows; r++)
    for (size_t b = 0; b < blocks; b++, to += 64, offset += 8) {
      float power = 1.0f;
      for (size_t k = 0; k < 8; k++, power /= 16) {
        const float factor = k == 7 ? 1.0f : power;
        for (size_t l = 0; l < 8; l++) {
          const size_t i = 64 * b + 8 * l + k;
          const float value = i < p.in ? number(x, r * p.in + i, p.half) : 0.0f;
          to[8 * k + l] = value * factor;
          offset[l] -= 8 * value;
        }
      }
    }
}

}  // namespace

#define VISIBLE __attribute__((visibility("default")))

extern "C" {

// kind: 0 float32, 1 bfloat16, 2 int8, 3 int4. half: x, bias and y are bfloat16, otherwise float32. All contiguous.
// Returns 0, or 1 where memory was lacking.
VISIBLE int gpt2_linear(int kind, const void* w, const void* scale, const void* x, const void* bias, void* y, int64_t rows,
                int64_t in, int64_t out, int half, int threads) {
  try {
    Product p{};
    p.kind = static_cast<Kind>(kind);
    p.w = static_cast<const char*>(w);
    p.scale = static_cast<const float*>(scale);
    p.bias = bias;
    p.y = y;
    p.rows = static_cast<size_t>(rows);
    p.in = static_cast<size_t>(in);
    p.out = static_cast<size_t>(out);
    p.half = half != 0;
    thread_local std::vector<float> prepared;
    if (p.kind == INT4)
      order(p, x, prepared);
    else
      pad(p, x, prepared);
#ifdef GPT2_WIDE
    const Part part = wide() ? part_avx2 : part_portable;
#else
    const Part part = part_portable;
#endif
    const size_t unit = p.rows == 1 ? 8 : 12;  // how many outputs a tile takes divides it
    const size_t step = unit * std::max<size_t>(1, CHUNK / (unit * std::max<size_t>(1, row_bytes(p))));
    const bool unpacks = p.rows > 4 && (p.kind == BFLOAT16 || p.kind == INT8);
    const size_t room = unpacks ? step * p.x_stride : 0;
    thread_local std::vector<float> unpacked;
    if (unpacked.size() < room * threads) unpacked.resize(room * threads);
    float* space = unpacked.data();
    share((p.out + step - 1) / step, threads, [&](size_t chunk, int who) {
      part(p, chunk * step, std::min(p.out, (chunk + 1) * step), space + room * who);
    });
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Threads for the products: see threads.hpp.
VISIBLE void gpt2_use_threads_of(void* gomp_parallel) { use_threads_of(gomp_parallel); }

// Whether to leave aside what this processor has beside the instructions of any other.
VISIBLE void gpt2_portable_only(int yes) { portable_only = yes != 0; }

// Which instructions the products use here.
VISIBLE const char* gpt2_instructions() { return wide() ? "AVX2" : "portable"; }

}  // extern "C"
