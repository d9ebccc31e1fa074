// SPDX-License-Identifier: MIT
// Kernel 5: images and volumes sampled at given positions, and the gradients.
//
// Contract
// - x is `batch` samples of groups * channels planes (depth, height, width; images have depth 1), planes apart or, with x_last,
//   channels last; so is the result (out_last), and so are their gradients. Arrays are dense and do not overlap; planes have fewer
//   than 2^30 pixels. A group's channels share their positions.
// - Positions: a grid (batch * groups, *out, dims) of coordinates in [-1, 1], x first; or, with scale > 0, offsets in input pixels
//   from the half-pixel grid of that scale: (batch, 2, groups, scale, scale, height, width), x first; with `fine`
//   (batch, 2, groups, *out). Offsets are sampled by `linear` with `border`.
// - Positions and weights are float, or double for elements of that type; coordinates are scaled as torch 2.13 does it, rounding
//   included. Taps outside count as 0 with `zeros`; no position, NaN and infinity included, reads or writes outside of an array.
//   A position that is not finite: `zeros` gives NaN in images (0 where nearest, and in volumes), cubic gives NaN, and `border` and
//   `reflection` take the first sample in images, the last one in volumes; infinite ones go to their border.
// - Gradients are sums in ascending order of output pixels, in parts that follow from the shape: no result depends on the number
//   of threads. Where a coordinate was moved to a border its gradient is 0, at the border too.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

enum class Draw : uint8_t { linear, nearest, cubic };
enum class Outside : uint8_t { zeros, border, reflection };

struct SampleSpec {
  int64_t batch, groups, channels;  // channels of a group
  int dims;                         // 2 or 3
  int64_t in[3], out[3];
  Draw draw;
  Outside outside;
  bool aligned, x_last, out_last;
  int64_t scale;  // of offsets; 0: a grid
  bool fine, at_last;  // offsets: of the output's size; channels last
};

// What sample.cc hands to sample_isa.cc.
struct Sampling {
  SampleSpec spec;
  Type type, at_type;  // of elements, of positions
  const char *x, *at, *grad;
  char *out, *grad_x, *grad_at;
  int64_t cells, pixels;     // of a plane of the input, of the output
  int64_t width;             // channels of a block
  int64_t blocks, together;  // blocks of a group; those of a task
  int64_t parts, part;       // parts of the output's pixels, and their length
  bool direct;               // forward: x is read where it lies
  bool gathers;              // few channels: lanes are pixels, x is read where it lies
  bool stream;               // results are stored past the caches
  char *sums, *partial;      // gradients of x of each part, where there are several; of positions, of each block
};

enum class SampleStep : uint8_t { forward, backward, fold_x, fold_at };

constexpr int64_t kSampled = 64;    // pixels whose taps are computed together
constexpr int64_t kMostTaps = 16;
constexpr int64_t kFoldedCells = 4096;  // cells whose parts are added by one task

void sample(const SampleSpec& spec, Type type, Type at_type, const char* x, const char* at, char* out);
// grad_x or grad_at may be null; the latter has the type and layout of positions.
void sample_back(const SampleSpec& spec, Type type, Type at_type, const char* grad, const char* x, const char* at, char* grad_x, char* grad_at);
// Bytes of memory that a task needs for itself.
int64_t sample_memory(const SampleSpec& spec, Type type);

}  // namespace hp
