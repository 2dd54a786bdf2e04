// PyTorch's threads spin for a while after each piece of work, and so would others beside them, on the processor that
// the first ones need next. So the kernel borrows PyTorch's.

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
  const bool alone = threads < 2 || chunks < 2;
  if (!alone && !run && share_by_pool(chunks, threads, work)) return;
  if (!alone && run)
    run([](void* data) { static_cast<Shared*>(data)->help(); }, &shared, static_cast<unsigned>(threads), 0);
  else
    shared.help();
}
