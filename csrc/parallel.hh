// SPDX-License-Identifier: MIT
// The only place that knows threads.
//
// parallel_for runs body(task, worker) for every task in [0, tasks), in any order, on up to `threads` threads, the calling one
// included. When the process has an OpenMP runtime loaded (torch brings one), the loop runs on that, so that two pools never
// fight for the same cores; otherwise on a pool of our own. Calls from several threads at once are served: one of them gets the
// pool, the others run their loops themselves. After fork() the child starts with no pool and makes its own when it needs one.
#pragma once

#include <cstdint>
#include <mutex>

namespace hp {

int num_threads();
void set_num_threads(int n);  // n >= 1
const char* thread_runtime();  // "openmp" or "own"

// For state that calls share: fork() waits until nobody holds it, so that a child never finds it locked for ever. Hold it shortly.
std::mutex& fork_safe_lock();

void parallel_for(int64_t tasks, int threads, void (*body)(void* context, int64_t task), void* context);

}  // namespace hp
