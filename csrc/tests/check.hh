// SPDX-License-Identifier: MIT
// What the tests share: a check that says where it failed, arrays with an owner, and the definition of a pass.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "band.hh"

#define CHECK(condition, ...)                                       \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "%s:%d: %s ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                            \
      std::fprintf(stderr, "\n");                                   \
      std::exit(1);                                                 \
    }                                                               \
  } while (false)

template <class T>
struct Dense {
  std::vector<T> data;
  std::vector<int64_t> shape;

  explicit Dense(std::vector<int64_t> s, T value = T{}) : shape(std::move(s)) {
    int64_t count = 1;
    for (int64_t n : shape) count *= n;
    data.assign(size_t(count), value);
  }
  hp::Array view() const {
    hp::Array a{(char*)data.data(), shape, std::vector<int64_t>(shape.size())};
    int64_t stride = 1;
    for (size_t k = shape.size(); k-- > 0; stride *= shape[k]) a.stride[k] = stride;
    return a;
  }
};

inline hp::PassSpec random_pass(std::mt19937& random, int axis, int64_t n_in, int64_t n_out, int taps, bool periodic) {
  hp::PassSpec pass{axis, n_in, n_out, int(std::min<int64_t>(taps, n_in)), periodic, {}, {}, {}, {}};
  std::uniform_real_distribution<double> weight(-0.2, 1.0);
  for (int64_t i = 0; i < n_out; ++i) {
    int64_t last = periodic ? n_in - 1 : n_in - pass.taps;
    pass.start.push_back(std::min(i * n_in / n_out, last));
    for (int k = 0; k < pass.taps; ++k) pass.weight.push_back(random() % 5 == 0 ? 0.0 : weight(random) / pass.taps);
  }
  return pass;
}

// Along the middle of (outer, n, inner), in double, taps in order.
inline Dense<double> definition(const Dense<double>& x, const hp::PassSpec& pass) {
  size_t axis = x.shape.size() + size_t(pass.axis);
  Dense<double> y([&] {
    auto shape = x.shape;
    shape[axis] = pass.n_out;
    return shape;
  }());
  int64_t outer = 1, inner = 1;
  for (size_t k = 0; k < axis; ++k) outer *= x.shape[k];
  for (size_t k = axis + 1; k < x.shape.size(); ++k) inner *= x.shape[k];
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < pass.n_out; ++i)
      for (int64_t c = 0; c < inner; ++c) {
        double sum = 0;
        for (int k = 0; k < pass.taps; ++k) {
          double w = pass.weight[size_t(i * pass.taps + k)];
          if (w != 0) sum += w * x.data[size_t((o * pass.n_in + (pass.start[size_t(i)] + k) % pass.n_in) * inner + c)];
        }
        y.data[size_t((o * pass.n_out + i) * inner + c)] = sum;
      }
  return y;
}
