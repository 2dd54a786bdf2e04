// Threads of its own beside those of PyTorch would each wait, spinning, on the processor that the others need.

#include "threads.hpp"

#include <atomic>

namespace {

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
std::atomic<Parallel> parallel{nullptr};

struct Shared {
  const size_t chunks;
  const Work& work;
  std::atomic<size_t> next{0};
  std::atomic<int> threads{0};

  void help() {
    const int who = threads++;
    for (size_t chunk = next++; chunk < chunks; chunk = next++) work(chunk, who);
  }
};

}  // namespace

void use_threads_of(void* gomp_parallel) { parallel = reinterpret_cast<Parallel>(gomp_parallel); }

void share(size_t chunks, int threads, const Work& work) {
  Shared shared{chunks, work};
  const Parallel run = parallel;
  if (run && threads > 1 && chunks > 1)
    run([](void* data) { static_cast<Shared*>(data)->help(); }, &shared, static_cast<unsigned>(threads), 0);
  else
    shared.help();
}
