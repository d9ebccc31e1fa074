// SPDX-License-Identifier: MIT
// Label maps resized by votes: every input element of an output's window gives its label a weight, and the heaviest label wins.
//
// Contract
// - The window of an output is the product of its windows along the axes, the weight of an element the product of its weights.
//   Weights are positive integers, so that sums are exact and ties are ties; of equal labels the smallest wins.
// - Elements that hold the ignored label have no weight; an output whose window holds nothing else gets that label.
// - x and out have the same number of dimensions, any strides in elements (zero only in x), and share no memory. Sizes and tables are
//   checked before anything is written; std::invalid_argument says what is wrong. That the sum of a window's weights fits in 63 bits
//   is the caller's to see to.
// - Results do not change with threads, strides or batch. Memory: the labels of one window a thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "band.hh"

namespace hp {

struct LabelAxis {
  int axis;               // negative, from the end
  int64_t n_in, n_out;
  const int64_t* first;   // [n_out + 1] into index and weight; no window is empty
  const int64_t* index;
  const int64_t* weight;
};

// type: an integer or bool. ignored: the bits of the label, sign-extended.
void resize_labels(const Array& x, const Array& out, Type type, const std::vector<LabelAxis>& axes, std::optional<int64_t> ignored);

}  // namespace hp
