// Threads of our own, where there are none to borrow (threads.hpp).
//
// A thread that has nothing to do spins for as long as a forward pass takes between two products, and then sleeps; so
// does the caller, while it waits for the last chunks. A thread that waits awake takes the processor from the one it
// waits for where another program runs beside them.

#include "threads.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto SPIN = std::chrono::microseconds(50);

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Whether `ready` came true within SPIN.
template <class F>
bool spin(F ready) {
  const auto until = Clock::now() + SPIN;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      pause_briefly();
    }
  } while (Clock::now() < until);
  return false;
}

class Pool {
 public:
  explicit Pool(int helpers) : helpers_(helpers) {
    try {
      for (int i = 1; i <= helpers; i++) threads_.emplace_back([this, i] { help(i); });
    } catch (const std::system_error&) {  // the system gives no more: those that there are must do
    }
  }

  ~Pool() {
    stop_ = true;
    wake(work_waits_, work_comes_);
    for (auto& thread : threads_) thread.join();
  }

  int helpers() const { return helpers_; }

  void run(size_t chunks, const Work& work) {
    work_ = &work;
    chunks_ = static_cast<long>(chunks);
    done_ = 0;
    left_ = static_cast<long>(chunks);  // from here on helpers may take chunks, and only then read the two above
    wake(work_waits_, work_comes_);
    while (take(0)) {
    }
    if (!spin([&] { return done_ == chunks_; })) sleep(end_waits_, end_comes_, [&] { return done_ == chunks_; });
  }

 private:
  // Compute one chunk, where one is left. `left_` only ever falls while a piece of work lasts, and who found it
  // above zero has a chunk: the work cannot end, nor `chunks_` change, before that chunk is done.
  bool take(int who) {
    if (left_ <= 0) return false;
    const long left = left_.fetch_sub(1);
    if (left <= 0) return false;
    const long all = chunks_;
    (*work_)(static_cast<size_t>(all - left), who);
    if (done_.fetch_add(1) + 1 == all) wake(end_waits_, end_comes_);
    return true;
  }

  void help(int who) {
    while (!stop_)
      if (!take(who) && !spin([&] { return left_ > 0 || stop_; }))
        sleep(work_waits_, work_comes_, [&] { return left_ > 0 || stop_; });
  }

  template <class F>
  void sleep(std::atomic<int>& waits, std::condition_variable& comes, F ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    waits++;
    comes.wait(lock, ready);
    waits--;
  }

  void wake(std::atomic<int>& waits, std::condition_variable& comes) {
    if (waits == 0) return;
    { const std::lock_guard<std::mutex> lock(mutex_); }  // who has just found nothing is asleep by now
    comes.notify_all();
  }

  const Work* work_ = nullptr;
  std::atomic<long> chunks_{0}, left_{0}, done_{0};
  std::atomic<int> work_waits_{0}, end_waits_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable work_comes_, end_comes_;
  const int helpers_;
  std::vector<std::thread> threads_;
};

// Never destroyed: at the end of a process its threads are asleep. A forked process has none of them.
struct Shared {
  std::mutex in_use;
  std::unique_ptr<Pool> pool;
};
Shared* shared = new Shared;

[[maybe_unused]] const int forked = pthread_atfork(nullptr, nullptr, [] { shared = new Shared; });

}  // namespace

bool share_by_pool(size_t chunks, int threads, const Work& work) {
  const std::unique_lock<std::mutex> mine(shared->in_use, std::try_to_lock);
  if (!mine) return false;
  if (!shared->pool || shared->pool->helpers() != threads - 1) {
    shared->pool.reset();
    shared->pool = std::make_unique<Pool>(threads - 1);
  }
  shared->pool->run(chunks, work);
  return true;
}
