// SPDX-License-Identifier: MIT
// What the bindings share: arrays, element codes, and the interpreter's lock.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include "band.hh"

namespace nb = nanobind;
using namespace nb::literals;

using In = nb::ndarray<nb::numpy, nb::ro>;
using Out = nb::ndarray<nb::numpy>;

void bind_layers(nb::module_& m);  // module_layers.cc

inline hp::Type type_of(const char* code) {
  static const std::pair<const char*, hp::Type> kTypes[] = {
      {"f32", hp::Type::f32}, {"f64", hp::Type::f64}, {"f16", hp::Type::f16}, {"bf16", hp::Type::bf16}, {"u8", hp::Type::u8},
      {"i8", hp::Type::i8},   {"u16", hp::Type::u16}, {"i16", hp::Type::i16}, {"i32", hp::Type::i32},   {"u32", hp::Type::u32},
      {"i64", hp::Type::i64}, {"u64", hp::Type::u64}, {"bool", hp::Type::boolean}};
  for (auto& [name, type] : kTypes)
    if (std::strcmp(name, code) == 0) return type;
  throw std::invalid_argument(std::string("unknown element code ") + code);
}

// Releases the interpreter lock. Before Python 3.14 a thread that asks for the lock while the interpreter shuts down is unwound and
// ended, which C++ answers by aborting the whole process; later ones let it hang until the process is gone, and so does this.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

template <class A>
hp::Array array_of(const A& a) {
  hp::Array out{static_cast<char*>(const_cast<void*>(static_cast<const void*>(a.data()))), {}, {}};
  out.shape.resize(a.ndim());
  out.stride.resize(a.ndim());
  for (size_t d = 0; d < a.ndim(); ++d) {
    out.shape[d] = int64_t(a.shape(d));
    out.stride[d] = a.stride(d);
  }
  return out;
}

inline const char* bytes_of(const In& x) { return static_cast<const char*>(x.data()); }
inline char* bytes_of(Out& x) { return static_cast<char*>(x.data()); }

// How many elements sizes make.
inline int64_t items(std::initializer_list<int64_t> sizes) {
  int64_t count = 1;
  for (int64_t n : sizes)
    if (n < 0 || __builtin_mul_overflow(count, n, &count)) throw std::invalid_argument("sizes must not be negative, nor their product beyond 2^63");
  return count;
}

template <class A>
bool dense(const A& a) {
  int64_t step = 1;
  for (size_t d = a.ndim(); d-- > 0; step *= int64_t(a.shape(d)))
    if (a.shape(d) > 1 && a.stride(d) != step) return false;
  return true;
}

// Rows of three numbers each, for a geometry's sizes.
inline void read_sizes(const char* who, const std::vector<std::vector<int64_t>>& sizes, std::initializer_list<int64_t*> rows) {
  bool fit = sizes.size() == rows.size();
  for (const auto& row : sizes) fit = fit && row.size() == 3;
  if (!fit) throw std::invalid_argument(std::string(who) + ": sizes are in, out, kernel, stride, padding, dilation, three of each");
  auto from = sizes.begin();
  for (int64_t* to : rows) std::copy(from->begin(), from->end(), to), ++from;
}

inline hp::Type typed(const In& x, const Out& out, const char* code) {
  const hp::Type type = type_of(code);
  if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != x.itemsize()) throw std::invalid_argument("the element code does not fit the arrays");
  return type;
}
