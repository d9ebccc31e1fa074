// SPDX-License-Identifier: MIT
// What the tests share: a check that says where it failed, refusals, arrays with an owner, and random passes.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <stdexcept>
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

struct Random {
  std::mt19937_64 engine;
  int64_t upto(int64_t n) { return int64_t(engine() % uint64_t(n)); }  // [0, n)
  bool chance(int percent) { return upto(100) < percent; }
  int64_t of(std::initializer_list<int64_t> list) { return list.begin()[upto(int64_t(list.size()))]; }
};

template <class F>
void refuses(const char* what, F call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return;
  }
  CHECK(false, "%s was taken", what);
}

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
