// SPDX-License-Identifier: MIT
// Kernel 3: copies between two orders of the same elements.
//
// Contract
// - x and out have the same shape, any strides in elements, and do not overlap; no two elements of out share memory. Sizes are
//   checked (std::invalid_argument); memory is the caller's to get right.
// - Elements of 1, 2, 4, 8 or 16 bytes are copied as they are. Every one is written once, by any number of threads.
#pragma once

#include "band.hh"

namespace hp {

void rearrange(const Array& x, const Array& out, int element_bytes);

}  // namespace hp
