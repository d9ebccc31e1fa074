// SPDX-License-Identifier: MIT
// Random factors: what they make of a known answer is solved back, on every axis, in every layout of blocks, by 1 and 3 threads.
#include <algorithm>
#include <cmath>

#include "check.hh"
#include "parallel.hh"
#include "solve.hh"

namespace {

int checks = 0;

struct Table {
  std::vector<double> lower, scale, upper, correction;
  std::vector<int64_t> column;
  hp::Factors factors;
};

// Rows after the first few and before the last few are alike, as a spline's are.
Table random_table(std::mt19937& random, int64_t n, int below, int above, int corners) {
  std::uniform_real_distribution<double> entry(-0.2, 0.3);
  Table t;
  const int64_t head = std::min<int64_t>(n - 1, 5), rows = std::min<int64_t>(n, 11);
  t.factors = {rows, head, n - rows, below, above, corners, nullptr, nullptr, nullptr, nullptr, nullptr};
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t i = r <= head ? r : r + n - rows;
    for (int k = 0; k < below; ++k) t.lower.push_back(i - below + k < 0 || random() % 7 == 0 ? 0 : entry(random));
    t.scale.push_back(1 + entry(random));
    for (int k = 0; k < above; ++k) t.upper.push_back(i + 1 + k >= n || random() % 7 == 0 ? 0 : entry(random));
    for (int k = 0; k < corners; ++k) t.correction.push_back(r == head ? 0 : entry(random));
  }
  for (int k = 0; k < corners; ++k) t.column.push_back(k % 2 ? n - 1 : 0);
  t.factors.lower = t.lower.data();
  t.factors.scale = t.scale.data();
  t.factors.upper = t.upper.data();
  t.factors.column = t.column.data();
  t.factors.correction = t.correction.data();
  return t;
}

// The same substitutions on one line, in double.
void definition(const hp::Factors& f, double* y, int64_t step) {
  const int64_t n = f.n();
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < f.below; ++k)
      if (double c = f.lower[f.row(i) * f.below + k]; c != 0) y[i * step] -= c * y[(i - f.below + k) * step];
  for (int64_t i = n; i-- > 0;) {
    y[i * step] *= f.scale[f.row(i)];
    for (int k = 0; k < f.above; ++k)
      if (double c = f.upper[f.row(i) * f.above + k]; c != 0) y[i * step] -= c * y[(i + 1 + k) * step];
  }
  std::vector<double> corner;
  for (int k = 0; k < f.corners; ++k) corner.push_back(y[f.column[k] * step]);
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < f.corners; ++k) y[i * step] -= f.correction[f.row(i) * f.corners + k] * corner[size_t(k)];
}

template <class T>
void one(std::mt19937& random, hp::Type type, std::vector<int64_t> shape, int axis, int below, int above, int corners) {
  const size_t at = size_t(int(shape.size()) + axis);
  const Table table = random_table(random, shape[at], below, above, corners);
  Dense<T> x(shape), first(shape);
  Dense<double> y(shape);
  for (size_t i = 0; i < x.data.size(); ++i) y.data[i] = double(x.data[i] = T(random() % 1000) / T(999));
  const int64_t step = y.view().stride[at];
  for (int64_t i = 0; i < int64_t(y.data.size()); ++i)
    if (i / step % shape[at] == 0) definition(table.factors, y.data.data() + i, step);
  for (int threads : {1, 3})
    for (bool in_place : {false, true}) {
      hp::set_num_threads(threads);
      Dense<T> out(shape, T(NAN));
      if (in_place) out.data = x.data;
      hp::solve(in_place ? out.view() : x.view(), out.view(), axis, type, table.factors);
      for (size_t i = 0; i < out.data.size(); ++i)
        CHECK(std::fabs(double(out.data[i]) - y.data[i]) <= (sizeof(T) == 4 ? 1e-4 : 1e-12), "element %zu: %g, not %g", i,
              double(out.data[i]), y.data[i]);
      if (threads == 1 && !in_place) first = out;
      CHECK(out.data == first.data, "%d threads, in place %d", threads, int(in_place));
      ++checks;
    }
}

template <class T>
void many(hp::Type type) {
  std::mt19937 random(11);
  for (int64_t n : {1, 2, 3, 5, 16, 17, 61, 255})
    for (int width : {1, 2, 3}) {
      const int below = int(std::min<int64_t>(width, n)), above = int(std::min<int64_t>(width % 3 + 1, n));
      for (int corners : {0, 3}) {
        one<T>(random, type, {n}, -1, below, below, corners);
        one<T>(random, type, {7, n}, -1, below, above, corners);
        one<T>(random, type, {150, n}, -1, below, above, corners);
        one<T>(random, type, {n, 37}, -2, below, above, corners);
        one<T>(random, type, {3, n, 5, 29}, -3, below, above, corners);
        for (int64_t channels : {2, 3, 9}) one<T>(random, type, {11, n, channels}, -2, below, above, corners);
      }
    }
  one<T>(random, type, {40001, 5}, -2, 2, 2, 2);  // too long for a block: through `out`
  one<T>(random, type, {5, 40001}, -1, 2, 1, 2);
  one<T>(random, type, {2, 13001, 3}, -2, 1, 2, 2);
  one<T>(random, type, {40001}, -1, 3, 3, 1);
}

}  // namespace

int main() {
  many<float>(hp::Type::f32);
  many<double>(hp::Type::f64);
  std::printf("%d solves\n", checks);
}
