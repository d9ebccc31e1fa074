// SPDX-License-Identifier: MIT
// Random shapes, strides and threads: reduce() and above() against run() and loops over its result, labels against sums by label.
//
//   reduce_test [cases]
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "check.hh"
#include "labels.hh"
#include "parallel.hh"
#include "reduce.hh"

namespace {

int64_t upto(std::mt19937& random, int64_t n) { return 1 + int64_t(random() % uint64_t(n)); }

// The same elements in an order of memory of the test's choice, between guards.
template <class T>
struct Placed {
  std::vector<T> data;
  hp::Array array;

  Placed(std::mt19937& random, const std::vector<int64_t>& shape, T guard) : array{nullptr, shape, std::vector<int64_t>(shape.size())} {
    std::vector<size_t> order(shape.size());
    for (size_t d = 0; d < order.size(); ++d) order[d] = d;
    if (random() % 2) std::shuffle(order.begin(), order.end(), random);
    int64_t count = 1;
    for (size_t k = order.size(); k-- > 0; count *= shape[order[k]]) array.stride[order[k]] = count;
    data.assign(size_t(count) + 2, guard);
    array.data = reinterpret_cast<char*>(data.data() + 1);
  }
  T& at(const std::vector<int64_t>& index) {
    int64_t offset = 0;
    for (size_t d = 0; d < index.size(); ++d) offset += index[d] * array.stride[d];
    return reinterpret_cast<T*>(array.data)[offset];
  }
};

template <class F>
void each(const std::vector<int64_t>& shape, F&& f) {
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t n : shape)
    if (n == 0) return;
  for (;;) {
    f(index);
    size_t d = shape.size();
    while (d-- > 0 && ++index[d] == shape[d]) index[d] = 0;
    if (d == size_t(-1)) return;
  }
}

struct Case {
  std::vector<int64_t> shape, resized;
  std::vector<hp::PassSpec> passes;
  int dim;
};

Case random_case(std::mt19937& random) {
  Case c;
  const int ndim = 2 + int(random() % 3);
  c.dim = int(random() % unsigned(ndim));
  for (int d = 0; d < ndim; ++d) c.shape.push_back(d == c.dim ? upto(random, 40) : upto(random, ndim == 2 ? 300 : 30));
  c.resized = c.shape;
  for (int d = ndim; d-- > 0;) {
    if (d == c.dim || (random() % 4 == 0 && !c.passes.empty())) continue;
    c.resized[size_t(d)] = upto(random, ndim == 2 ? 5000 : 60);
    c.passes.push_back(random_pass(random, d - ndim, c.shape[size_t(d)], c.resized[size_t(d)], 4, random() % 4 == 0));
  }
  return c;
}

template <class T>
void reduces(std::mt19937& random, hp::Type type) {
  const Case c = random_case(random);
  Placed<T> x(random, c.shape, T(0));
  each(c.shape, [&](const auto& i) { x.at(i) = T(random() % 7); });
  if constexpr (std::numeric_limits<T>::has_quiet_NaN) x.data[1 + random() % (x.data.size() - 2)] = std::numeric_limits<T>::quiet_NaN();
  const hp::Program program(c.passes, hp::Compute::natural, hp::Rounding::half_up);
  Placed<T> y(random, c.resized, T(99));
  program.run(x.array, y.array, type);

  std::vector<int64_t> shape = c.resized;
  shape.erase(shape.begin() + c.dim);
  const bool smallest = random() % 2;
  Placed<T> values(random, shape, T(99));
  Placed<int32_t> index(random, shape, -5);
  index.array.stride = values.array.stride;
  const hp::Reduction to{smallest, &values.array, &index.array, 4};
  program.reduce(x.array, c.dim, to, type);
  each(shape, [&](const auto& i) {
    auto where = i;
    where.insert(where.begin() + c.dim, 0);
    T best = y.at(where);
    int32_t number = 0;
    for (int64_t k = 1; k < c.shape[size_t(c.dim)]; ++k) {
      where[size_t(c.dim)] = k;
      const T next = y.at(where);
      if (!std::isnan(double(best)) && (std::isnan(double(next)) || (smallest ? next < best : next > best))) best = next, number = int32_t(k);
    }
    CHECK(index.at(i) == number, "type %d", int(type));
    CHECK(values.at(i) == best || (std::isnan(double(best)) && std::isnan(double(values.at(i)))), "type %d", int(type));
  });
  CHECK(index.data.front() == -5 && index.data.back() == -5, "the index' guards");
  CHECK(values.data.front() == T(99) && values.data.back() == T(99), "the values' guards");

  Placed<uint8_t> bits(random, c.resized, 77);
  program.above(x.array, bits.array, {2.5, 2}, type);
  const bool real = std::numeric_limits<T>::has_quiet_NaN;
  each(c.resized, [&](const auto& i) { CHECK(bits.at(i) == (real ? double(y.at(i)) > 2.5 : double(y.at(i)) > (type == hp::Type::i64 ? 2 : 2.5)), "above"); });
  CHECK(bits.data.front() == 77 && bits.data.back() == 77, "the guards");
}

template <class T>
void elects(std::mt19937& random, hp::Type type) {
  const int ndim = 1 + int(random() % 3);
  std::vector<int64_t> shape, resized;
  struct Table {
    std::vector<int64_t> first{0}, index, weight;
  };
  std::vector<Table> tables(static_cast<size_t>(ndim));
  std::vector<hp::LabelAxis> axes;
  for (int d = 0; d < ndim; ++d) {
    const int64_t n = upto(random, 20), m = d > 0 && random() % 3 == 0 ? n : upto(random, 25);
    shape.push_back(n);
    resized.push_back(m);
    Table& t = tables[size_t(d)];
    const bool passes = d > 0 && m == n;
    for (int64_t o = 0; o < m; ++o) {
      const int64_t taps = passes ? 1 : upto(random, std::min<int64_t>(n, 5)), start = passes ? o : int64_t(random() % uint64_t(n - taps + 1));
      for (int64_t k = 0; k < taps; ++k) t.index.push_back(start + k), t.weight.push_back(upto(random, 3));
      t.first.push_back(int64_t(t.index.size()));
    }
    if (!passes) axes.push_back({d - ndim, n, m, t.first.data(), t.index.data(), t.weight.data()});
  }
  const unsigned labels = random() % 2 ? 3 : 60;
  Placed<T> x(random, shape, T(0)), y(random, resized, T(99));
  each(shape, [&](const auto& i) { x.at(i) = T(int(random() % labels) - (T(-1) < T(0) ? 2 : 0)); });
  std::optional<int64_t> ignored;
  if (random() % 2) ignored = 1;
  hp::resize_labels(x.array, y.array, type, axes, ignored);
  each(resized, [&](const auto& o) {
    std::map<T, int64_t> score;
    std::vector<int64_t> counts, at(o.size());
    for (size_t d = 0; d < o.size(); ++d) counts.push_back(tables[d].first[size_t(o[d]) + 1] - tables[d].first[size_t(o[d])]);
    each(counts, [&](const auto& k) {
      int64_t weight = 1;
      for (size_t d = 0; d < o.size(); ++d) {
        const size_t entry = size_t(tables[d].first[size_t(o[d])] + k[d]);
        at[d] = tables[d].index[entry];
        if (shape[d] != resized[d] || d == 0) weight *= tables[d].weight[entry];
      }
      if (!(ignored && x.at(at) == T(*ignored))) score[x.at(at)] += weight;
    });
    T best = T(ignored.value_or(0));
    int64_t most = 0;
    for (auto [label, weight] : score)
      if (weight > most) most = weight, best = label;
    CHECK(y.at(o) == best, "labels of type %d", int(type));
  });
  CHECK(y.data.front() == T(99) && y.data.back() == T(99), "the labels' guards");
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 300;
  std::mt19937 random(1);
  for (const std::string& isa : hp::isas()) {
    hp::set_isa(isa);
    for (int i = 0; i < cases; ++i) {
      hp::set_num_threads(1 + i % 3);
      reduces<float>(random, hp::Type::f32);
      reduces<double>(random, hp::Type::f64);
      reduces<uint8_t>(random, hp::Type::u8);
      reduces<int16_t>(random, hp::Type::i16);
      reduces<int32_t>(random, hp::Type::i32);
      reduces<int64_t>(random, hp::Type::i64);
      elects<uint8_t>(random, hp::Type::u8);
      elects<int32_t>(random, hp::Type::i32);
      elects<int64_t>(random, hp::Type::i64);
    }
  }
  std::printf("ok: %d cases of every type on each of %zu instruction sets\n", cases, hp::isas().size());
  return 0;
}
