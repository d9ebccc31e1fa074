// SPDX-License-Identifier: MIT
// Kernel 1: bands applied along axes of an array.
//
// Contract
// - A Program is a list of passes, each a band on one axis, in the order in which they are applied. It is immutable; run() may be
//   called from several threads at once.
// - x and out have the same number of dimensions, any strides in elements (zero and negative ones too, zero only in x), sizes that
//   agree with the passes along their axes and with each other elsewhere, and do not overlap. run() checks the sizes and throws
//   std::invalid_argument before anything is written; overlap is the caller's to exclude.
// - Every element of out is written once, by arithmetic that depends on the passes and the element type alone: the result does not
//   change with the number of threads, the strides, the batch, or the way in which the work is cut.
// - Memory: a few rows per thread, kept by the thread for the next call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "job.hh"

namespace hp {

struct PassSpec {
  int axis;  // negative, from the end
  int64_t n_in, n_out;
  int taps;
  bool periodic;
  std::vector<int64_t> start;   // [n_out]
  std::vector<double> weight;   // [n_out][taps]
  std::vector<double> bias;     // [n_out], or empty
  Post post;
};

struct Array {
  char* data;
  std::vector<int64_t> shape, stride;  // stride in elements
};

struct Reduction;
struct Threshold;

class Program {
 public:
  Program(std::vector<PassSpec> passes, Compute compute, Rounding rounding);
  ~Program();
  void run(const Array& x, const Array& out, Type type) const;
  void reduce(const Array& x, int dim, const Reduction& to, Type type) const;  // see reduce.hh
  void above(const Array& x, const Array& out, const Threshold& threshold, Type type) const;
  bool copies() const { return copies_; }

 private:
  struct Tables;
  struct Prepared;
  struct Parting;
  struct Strips;
  struct Key {
    int wide;  // 0 copies, 1 float, 2 double, 3 int32
    int64_t pivot, channels;
    int register_bytes;
    int element_bytes;
    bool by_lanes;
    auto operator<=>(const Key&) const = default;
  };
  std::vector<int> dimensions(int ndim) const;  // of the passes
  // The job of x and out; dims: the passes' dimensions. False: nothing is to be written.
  bool prepare(const Array& x, const Array& out, Type type, const std::vector<int>& dims, const Parting& parting, Prepared& ready) const;
  std::shared_ptr<const Tables> tables(const Key& key, const Isa& isa) const;

  std::vector<PassSpec> passes_;
  Compute compute_;
  Rounding rounding_;
  bool copies_, periodic_;
  mutable std::map<Key, std::shared_ptr<const Tables>> tables_;  // under fork_safe_lock()
};

int element_bytes(Type type);

// Instruction sets: the best that the processor runs is chosen; set_isa() chooses another.
std::vector<std::string> isas();
std::string isa();
bool set_isa(const std::string& name);

}  // namespace hp
