// Several threads that go through the same pieces of work, one piece after the other.
//
// Every thread takes parts of a piece while some are left, waits until all parts are done, and goes on with the next
// piece. It does not matter how many threads come, nor whether one comes late: the others do its parts. So a whole pass
// takes one start of the threads, and a thread that has lost its processor holds up the others for one part at most.

#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "threads.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

struct Piece {
  std::atomic<size_t> next{0}, done{0};
};

// One thread's way through the pieces.
class Member {
 public:
  Member(std::vector<Piece>& pieces, int who, int threads) : who(who), threads(threads), pieces_(pieces) {}

  // Calls `work` for the parts 0 to `parts` - 1, here or on another thread; returns when all are done.
  template <class F>
  void share(size_t parts, F work) {
    Piece& piece = pieces_[at_++];
    size_t mine = 0;
    for (size_t part = piece.next++; part < parts; part = piece.next++, mine++) work(part);
    if (mine) piece.done += mine;
    for (int turn = 0; piece.done != parts; turn++) wait(turn);
  }

  const int who;      // 0 to `threads` - 1, for memory of its own
  const int threads;  // at most so many

 private:
  static void wait(int turn) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
#if defined(__unix__) || defined(__APPLE__)
    if (turn > 1000 && turn % 64 == 0) sched_yield();  // who has the part may be waiting for this processor
#endif
  }

  std::vector<Piece>& pieces_;
  size_t at_ = 0;
};

// Runs `way` on up to `threads` threads, each with a Member; all of them go through the same `pieces` pieces.
template <class F>
void together(size_t pieces, int threads, F way) {
  std::vector<Piece> all(pieces);
  share(static_cast<size_t>(threads), threads, [&](size_t, int who) {
    Member member(all, who, threads);
    way(member);
  });
}
