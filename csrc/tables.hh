// SPDX-License-Identifier: MIT
// A Program's passes turned into what the kernels read, for one compute type, channel count and register width.
#pragma once

#include <cstdint>
#include <vector>

#include "band.hh"

namespace hp {

enum class Wide : int { copies, real32, real64, int32 };

struct TapVectors {
  std::vector<int64_t> first, index;
  std::vector<double> weight;
  std::vector<char> weight_cast, bias_cast;  // in the compute type
  TapList list;
  bool selects;
  void build(const PassSpec& pass, Wide wide, bool unwrapped);
};

struct FlatVectors {
  std::vector<int64_t> base, need_low, need_high;
  std::vector<int32_t> pattern;
  std::vector<uint8_t> patterns;
  std::vector<char> bias;
  std::vector<Run> runs;
  FlatTable table;
  int lanes;
  void build(const PassSpec& pass, const TapVectors& taps, Wide wide, int channels, int register_bytes, bool permutes);
};

struct CopyVectors {
  std::vector<int64_t> base, need_low, need_high, source;
  std::vector<uint8_t> lane;
  CopyTable table;
  void build(const TapVectors& taps, int64_t channels, int element_bytes, bool blocks);
};

struct Program::Tables {
  std::vector<TapVectors> taps;  // one a pass
  FlatVectors flat;              // of the pivot, if it runs by blocks
  CopyVectors copy;
};

}  // namespace hp
