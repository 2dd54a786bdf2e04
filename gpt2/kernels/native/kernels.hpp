// What the files of the kernel share: the numbers, one product, and what there is once for each kind of processor.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#define INLINE __attribute__((always_inline))

enum Kind { FLOAT32, BFLOAT16, INT8, INT4 };

// Numbers of the two types that come in and go out, float32 and bfloat16 (rounded to the nearest, ties to even).
static inline float number(const void* from, size_t i, bool half) {
  if (!half) return static_cast<const float*>(from)[i];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(from)[i]) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static inline void put(void* to, size_t i, float value, bool half) {
  if (!half) {
    static_cast<float*>(to)[i] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  static_cast<uint16_t*>(to)[i] = is_nan ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// A linear map from `in` to `out` numbers; its weights as gpt2/kernels/quantised.py stores them.
struct Map {
  Kind kind;
  const char* w;       // [out, in], contiguous
  const float* scale;  // of INT8 [out] and INT4 [out, in / 32]
  const void* bias;    // [out], or null
  bool half;           // the model, and so the bias, is bfloat16, otherwise float32
  size_t in, out;
};

constexpr size_t BLOCK_OF_8 = 64, BLOCK_OF_4 = 64;  // numbers of x with one scale, for INT8 and INT4
constexpr size_t TOGETHER = 8;  // rows of x that are taken together, at most

// What becomes of a product: it is stored, added to what is there, or goes through GELU first.
enum Then { STORE, ADD, GELU };

// y [rows, out] = x [rows, in] w^T + bias, of which x has been made ready.
struct Product : Map {
  const void* x;             // [rows, x_stride], padded with zeros, float32, or bfloat16 where the way wants it so;
                             // for INT8 and INT4 the next three stand for it: see whole.hpp
  const int16_t* whole;      // [rows, whole blocks]; for INT4 in the order of its nibbles, for INT8 see bytes.hpp
  const float* whole_scale;  // [rows, blocks]
  const int32_t* offset;     // [rows, blocks], of INT4 [rows, blocks, 8]
  void* y;
  size_t rows, x_stride;
  bool half_y;
  Then then;
};

// Queries of one head that follow each other in a text: query i sees keys 0 to n - 1 + i of its row, each of `size`
// numbers, a multiple of eight.
struct Queries {
  const float* q;  // [count, q_stride]
  const char *keys, *values;
  size_t count, n, size;
  float scale;
  bool half;  // keys and values are bfloat16
  size_t q_stride, out_stride;
  float* out;      // [count, out_stride]
  size_t longest;  // n + count and some room, at most so many
  float* space;    // room_of_queries(longest, size) numbers

  static constexpr size_t MOST = 8;  // in one call
};

constexpr size_t room_of_queries(size_t longest, size_t size) { return Queries::MOST * (longest + size + 16); }

// What is compiled once for each kind of processor.
struct Way {
  const char* name;
  size_t step;  // each row of x is padded with zeros to a multiple of so many numbers
  bool halves;  // in a model of bfloat16, x is rounded to bfloat16 for such weights
  void (*part)(const Product&, size_t first, size_t end, float* unpacked, float* sums);  // see way.hpp
  void (*copy)(const void* x, bool half, size_t n, size_t padded, bool to_half, void* to);  // a row, and zeros
  void (*wholes)(const float* x, size_t in, bool four, size_t row, int16_t* whole, float* scale, int32_t* offset);
  void (*attend)(const Queries&);
  void (*norm)(const float* x, size_t n, const void* weight, const void* bias, bool half, float eps, float* y);
};

extern const Way portable, avx2, avx512, avx512_bf16;  // the last three where they are compiled: see hatch_build.py

const Way& way();  // the one for this processor
bool use(const char* name);  // from now on this way, or null: the best; false where the processor cannot

class Member;

// Memory of a product, for x as it is read and for rows of w; made before the threads start, and used again.
struct Ready {
  std::vector<float> padded, scale, unpacked, sums;
  std::vector<int16_t> whole;
  std::vector<int32_t> offset;

  void fit(const Map& map, size_t rows, int threads);  // may throw std::bad_alloc
};

// The product of x [rows, in] (bfloat16 or float32) with a map, by all members of a team: two pieces of work.
constexpr size_t PIECES = 2;
void multiply(Member& member, Ready& ready, const Map& map, const void* x, bool half_x, void* y, bool half_y,
              size_t rows, Then then);
