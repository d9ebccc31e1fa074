// SPDX-License-Identifier: MIT
// A Program's passes fitted to two arrays: what run() and reduce() share. Internal to the portable half.
#pragma once

#include <functional>

#include "dispatch.hh"
#include "tables.hh"

namespace hp {

// How a task's part of the output is bounded, where it goes to a buffer first.
struct Program::Parting {
  int64_t strip = 0;  // elements that a task may make; 0: as many as is best
  int64_t group = 1;  // elements of a row that may not be parted
  int64_t times = 1;  // how often each task runs
};

struct Program::Prepared {
  Job job;
  const Isa* isa;
  std::shared_ptr<const Tables> tables;
  std::vector<Tile> tiles;
  int threads;
  int64_t longest;  // elements of a tile's row
};

inline int64_t up_to(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Memory of the calling thread, aligned to 64 bytes and kept for its next call; false if there is none.
bool with_scratch(int64_t bytes, const std::function<void(char*)>& work);
// The same memory for what a call prepares for its tasks: work may use with_scratch.
bool with_tables(int64_t bytes, const std::function<void(char*)>& work);

}  // namespace hp
