// Threads that share out the chunks of one piece of work after another.

#pragma once

#include <cstddef>
#include <functional>

// One chunk, computed by the thread `who`: 0 is the one that called, the others are 1 to `threads` - 1.
using Work = std::function<void(size_t chunk, int who)>;

// Calls `work` once for each chunk from 0 to `chunks` - 1, on this thread and up to `threads` - 1 others, and returns
// when all are done. Work must not throw. Of several threads that call at once, the first has the others' help, and the
// rest work alone.
void share(size_t chunks, int threads, const Work& work);
