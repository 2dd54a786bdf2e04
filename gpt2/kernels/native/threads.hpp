// The threads that share a product: those of the OpenMP library that PyTorch has loaded, or else our own.

#pragma once

#include <cstddef>
#include <functional>

// One chunk, computed by the thread `who`: the numbers are 0 to `threads` - 1.
using Work = std::function<void(size_t chunk, int who)>;

// Calls `work` once for each chunk from 0 to `chunks` - 1 on up to `threads` threads, and returns when all are done.
// A thread takes the next chunk when it is done with one, so that a slow one holds the others up for one chunk at most.
// Work must not throw.
void share(size_t chunks, int threads, const Work& work);

// GOMP_parallel of that library: void(void (*body)(void*), void* data, unsigned threads, unsigned flags). With null the
// threads are our own.
void use_threads_of(void* gomp_parallel);

// `share` by threads of our own; false, and nothing is done, while another thread has their help.
bool share_by_pool(size_t chunks, int threads, const Work& work);
