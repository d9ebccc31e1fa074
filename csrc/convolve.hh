// SPDX-License-Identifier: MIT
// Kernel 5: transposed convolution and its two gradients, as matrix products of small blocks that never leave the registers.
//
// Contract
// - Arrays are dense and do not overlap: x (samples, groups * c_in, in), weight (groups * c_in, c_out, kernel), y and its gradient
//   (samples, groups * c_out, out), bias (groups * c_out) or null. Three spatial axes; signals and images have leading ones.
// - forward: y[o, i * stride + k * dilation - padding] += x[c, i] * weight[c, o, k], on top of the bias; places outside y are left
//   out. of_input: its transpose. of_weight: the sum over samples and places of x[c, i] * grad[o, i * stride + k * dilation -
//   padding].
// - With `last`, which of_weight alone takes, x and the gradient are (samples, spatial, channels).
// - Sums run in the element type, in an order that depends on sizes and the instruction set, never on the number of threads.
// - fits() says whether the windows are small enough for the scratch memory.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

struct ConvolveSpec {
  int64_t samples, groups, c_in, c_out;  // channels of one group
  int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
  bool last;
};

enum class Direction : uint8_t { forward, of_input, of_weight };

bool fits(Direction direction, const ConvolveSpec& spec, Type type);
void convolve(Direction direction, const ConvolveSpec& spec, Type type, const char* x, const char* y, const char* bias, char* out);

// What convolve.cc hands to convolve_isa.cc.
//
// A correlation: out[m, join * q + f] = bias[m] + sum over c and the taps of phase f of weight[c, m, tap] * panel[c, q + offset], for
// places q. The panel of a tile of places holds the rows of x that its taps read, padded with zeros and taken apart into `split`
// phases: panel[c, phase, u] = x[c, split * u + phase - lead]. forward: `join` is the stride, and x is one phase. of_input: `split`
// is the stride, and out is one phase.
//
// Positions of a tile, which are made a register at a time, are those of the panel's rows from the first to the last; or, with
// `by_rows`, each row begins a register, so that none spans the halo between two. Where maps are small, a tile is all places of
// `batch` samples without any halo, and the panel has a copy of x for every `shift`: panel[c, shift, q] = x[c, split * q + shift].
struct Correlation {
  Type type;
  const char *x, *weight, *bias;
  char *packed, *out;
  int64_t samples, groups, c, m;
  int64_t weight_c, weight_m, weight_group;           // strides
  int64_t split[3], lead[3], x_size[3], halo[3];
  int64_t join[3], out_size[3], places[3];
  const int64_t *first, *offset;                      // taps of phase f: [first[f], first[f + 1])
  const int64_t *phase, *number;                      // of tap k of the kernel: its phase, and its number among the phase's taps
  int64_t taps;
  int64_t rows, columns, row_tiles, column_tiles;     // of a tile, of a plane of places
  int64_t row_length, phase_length, panel_step;       // of the panel: of a row, of a phase, of a channel
  int64_t c_part, m_part, m_parts;                    // channels in a panel; made by a task
  bool by_rows, stream;                               // stream: store past the caches
  int64_t batch, shifts;                              // 0: one sample, and no shifts
  const int64_t* shift;                               // [shifts][3]
  int64_t sums_length;                                // positions of a tile's sums between panels; 0: there is one panel alone
};

// The gradient of the weight: out[c, m, k] = sum over samples and places of x[c, i] * grad[m, stride * i + dilation * k - padding].
struct Outer {
  Type type;
  const char *x, *grad;
  char* out;
  int64_t samples, groups, c, m;
  int64_t in[3], grad_size[3], kernel[3], stride[3], padding[3], dilation[3];
  bool last;                                          // channels last
  int64_t rows, columns, row_tiles, column_tiles;     // of a tile, of a plane of places
  int64_t grad_rows, grad_columns;                    // that a tile reads
  int64_t c_part, m_part, c_parts, m_parts;           // of a task
};

struct Convolve {
  int block, wide;  // channels and registers of positions that are made at a time
  int lanes[2];     // of a register: of 4 bytes, of 8 bytes
  void (*pack)(const Correlation&, int64_t task);     // task: block of channels of a group
  int64_t (*arena)(const Correlation&);
  void (*run)(const Correlation&, int64_t task, char* arena);
  int64_t (*outer_arena)(const Outer&);
  void (*outer)(const Outer&, int64_t task, char* arena);
};

}  // namespace hp
