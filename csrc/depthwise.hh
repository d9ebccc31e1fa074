// SPDX-License-Identifier: MIT
// Kernel 6: depthwise transposed convolution, and its gradients with respect to the input and the weight.
//
//   out[n, c * each + j, q] = bias[c * each + j] + sum over k, o of x[n, c, o] * weight[c * each + j, k],
//   over every tap k and input place o with o * stride + k * dilation - padding = q, along (depth, height, width) at once.
//
// Contract
// - Arrays are dense: (batch, channels, depth, height, width), or with `last` (batch, depth, height, width, channels), where
//   `each` is 1. Any `out` size is allowed: what no input reaches is the bias, what lies outside is dropped. Arrays do not overlap.
// - x, out and their gradients are float32, float64, float16 or bfloat16. Weight, bias and the weight's gradient are dense
//   (channels, each, kernel), in the compute type: double for float64, else float. Halves are rounded once, when stored.
// - Sums: out and the input's gradient in the compute type, in an order fixed by the sizes. The weight's gradient in lanes of the
//   compute type over at most kFlush products each, then in double.
// - Results do not depend on the number of threads: tasks, and the order in which their sums are added, follow from the sizes alone.
// - Zeros stand in for places outside of the input and the gradient: a weight that is not finite makes NaN at the edges, and an
//   input or gradient that is not finite makes NaN in the weight's gradient.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

struct DepthwiseSpec {
  int64_t batch, channels, each;
  bool last;
  int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
};

// The taps that make the outputs of each phase (place modulo stride) of an axis: output u * stride + f takes input u + shift.
struct Phases {
  int64_t count;         // phases that have outputs
  const int64_t* first;  // [count + 1] into the others
  const int64_t* tap;
  const int64_t* shift;
};

// The taps of an axis that meet the gradient of any output, and where, from the first place that a slab holds.
struct Reached {
  int64_t count;
  const int64_t *tap, *at;
};

// A task makes boxes of results of a plane (channels last: of a run of channels), one after the other, and of planes that follow.
// What a box reads is first copied into a slab, with zeros where there is nothing to read: every result of a phase has the same taps.
struct Depthwise {
  DepthwiseSpec spec;
  Type type;
  const char *x, *weight, *bias, *grad;  // backwards: grad is the output's
  char *out, *grad_x;
  double* partial;      // [block][unit][each * taps][run]: sums of the weight's gradient, or null
  Phases phases[3];     // forwards
  Reached reached[3];   // backwards
  int64_t taps;         // of a channel and its output
  int64_t run;          // channels that are computed together: 1, or some of channels last
  int64_t units;        // planes of results, or runs of channels
  int64_t padded;       // channels last: elements from one tap's weights to the next one's
  int64_t cells[3], box[3], parts[3];  // results: cells of `stride` outputs, or places of the input
  int64_t boxes;                       // of a plane
  int64_t group, groups;               // boxes of a task, and tasks (backwards: of a unit)
  int64_t low[3];       // where a slab begins, from the first place that its box reads with shift 0
  int64_t held[3];      // slices and lines of a slab, and columns of a row; planar backwards: of each phase of a row
  int64_t pitch;        // elements of a row
  int64_t flush;        // lines whose products are summed in lanes
  int64_t arena_bytes;
};

constexpr int64_t kFlush = 128;  // products of one lane

void depthwise(const DepthwiseSpec& given, Type type, const char* x, const char* weight, const char* bias, char* out);
// Either gradient may be null.
void depthwise_back(const DepthwiseSpec& given, Type type, const char* grad, const char* x, const char* weight, char* grad_x, char* grad_weight);

}  // namespace hp
