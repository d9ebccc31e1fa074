// SPDX-License-Identifier: MIT
// Resize and reduce in one pass: the result of the resize is never whole in memory.
//
// Contract
// - reduce() takes, of the resized x, the largest or smallest element along dimension `dim` and its position: the first of equal
//   ones; NaN comes before every number. above() compares every element of the resized x with a threshold; NaN is not above.
// - The compared elements are those that run() would store, bit for bit. Results do not change with threads, strides or batch.
// - `values` and `index` have x's dimensions without `dim`, resized; equal strides where both are there. above() writes 0 or 1.
//   None of them shares memory with x. Sizes are checked before anything is written; std::invalid_argument says what is wrong.
// - Memory: a strip of the resized x, of one channel or of all where channels lie side by side in memory, per thread.
#pragma once

#include "band.hh"

namespace hp {

struct Reduction {
  bool smallest = false;
  const Array* values = nullptr;  // elements of x's type
  const Array* index = nullptr;   // integers of index_bytes
  int index_bytes = 8;
};

struct Threshold {
  double real;    // for floating types and integers of up to 32 bits
  int64_t whole;  // for 64-bit integers; the bits of an unsigned one
};

}  // namespace hp
