// The interface of the kernel, in plain C. What returns a number returns 0, or 1 where memory was lacking.

#include <new>

#include "block.hpp"
#include "team.hpp"

#define VISIBLE __attribute__((visibility("default")))

namespace {

template <class F>
int guarded(F work) {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

extern "C" {

// y [rows, out] = x [rows, in] w^T + bias. kind: 0 float32, 1 bfloat16, 2 int8, 3 int4. half: x, bias and y are
// bfloat16, otherwise float32. All contiguous.
VISIBLE int gpt2_linear(int kind, const void* w, const void* scale, const void* x, const void* bias, void* y,
                        int64_t rows, int64_t in, int64_t out, int half, int threads) {
  return guarded([&] {
    const Map map{static_cast<Kind>(kind), static_cast<const char*>(w), static_cast<const float*>(scale), bias,
                  half != 0, static_cast<size_t>(in), static_cast<size_t>(out)};
    thread_local Ready ready;
    Ready& mine = ready;  // the caller's, for all threads
    mine.fit(map, static_cast<size_t>(rows), threads);
    together(PIECES, threads, [&](Member& member) {
      multiply(member, mine, map, x, half != 0, y, half != 0, static_cast<size_t>(rows), STORE);
    });
  });
}

// x [positions, width] through `count` blocks, in place. See block.hpp.
VISIBLE int gpt2_blocks(const Block* of, int64_t count, void* x, const Cache* caches, int64_t positions,
                        int threads) {
  return guarded([&] {
    blocks(of, static_cast<size_t>(count), x, caches, static_cast<size_t>(positions), threads);
  });
}

// Threads for the products: see threads.hpp.
VISIBLE void gpt2_use_threads_of(void* gomp_parallel) { use_threads_of(gomp_parallel); }

// Use the instructions of this name, or with null the best ones that this processor has; 0 where it lacks them.
VISIBLE int gpt2_use(const char* name) { return use(name); }

// Which instructions the products use here.
VISIBLE const char* gpt2_instructions() { return way().name; }

}  // extern "C"
