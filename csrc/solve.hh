// SPDX-License-Identifier: MIT
// Banded solves along one axis: the prefilter of interpolating splines.
//
// Contract
// - solve() writes into out, along `axis`, the solution of M y = x for every line of x. M comes factored without pivoting as L U,
//   plus a term of few columns for what stands in the corners of a periodic M.
// - x and out have equal shapes, any strides in elements (zero only in x), and are the same array or share no memory. Shapes and
//   factors are checked before anything is written; std::invalid_argument says what is wrong.
// - A line's arithmetic is its own and always the same: one rounding for every product and every difference, in the order of the
//   columns, entries of 0 not read. The result does not change with threads, strides, batch, blocks or instruction set.
// - Memory: one block of lines per thread, at most a few MiB, kept by the thread for the next call.
#pragma once

#include <cstdint>

#include "band.hh"

namespace hp {

struct Factors {
  int64_t rows;              // of the tables; row `head` stands for `repeats` more after it
  int64_t head, repeats;
  int below, above, corners;
  const double* lower;       // [rows][below]: t[i] = x[i] - sum of lower[i][k] t[i - below + k]
  const double* scale;       // [rows]
  const double* upper;       // [rows][above]: y[i] = scale[i] t[i] - sum of upper[i][k] y[i + 1 + k]
  const int64_t* column;     // [corners]
  const double* correction;  // [rows][corners]: then y[i] -= sum of correction[i][k] y[column[k]], all at once

  int64_t n() const { return rows + repeats; }
  int64_t row(int64_t i) const { return i <= head ? i : i - repeats > head ? i - repeats : head; }
};

// type: f32 or f64, of both arrays and of the arithmetic. axis: negative, from the end.
void solve(const Array& x, const Array& out, int axis, Type type, const Factors& factors);

}  // namespace hp
