// SPDX-License-Identifier: MIT
// Kernel 5: transposed convolution and its two gradients, as matrix products of small blocks that never leave the registers.
//
// Contract
// - Arrays are dense and do not overlap: x (samples, groups * c_in, in), weight (groups * c_in, c_out, kernel), y and its gradient
//   (samples, groups * c_out, out), bias (groups * c_out) or null. Three spatial axes; signals and images have leading ones.
// - forward: y[o, i * stride + k * dilation - padding] += x[c, i] * weight[c, o, k], on top of the bias; places outside y are left
//   out. of_input: its transpose. of_weight: the sum over samples and places of x[c, i] * grad[o, i * stride + k * dilation -
//   padding].
// - With `last`, x, y and their gradients are (samples, spatial, channels). The weight of forward and of_input then may
//   have its kernel before the inner channels, with `weight_last`, and of one group its c_out before c_in, with `weight_swapped`;
//   that which of_weight makes never has.
// - Sums run in the element type, in an order that depends on sizes and the instruction set, never on the number of threads.
// - fits() says whether the windows are small enough for the scratch memory; of pixels, which need none, whether they can be counted.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

struct ConvolveSpec {
  int64_t samples, groups, c_in, c_out;  // channels of one group
  int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
  bool last, weight_last, weight_swapped;
};

enum class Direction : uint8_t { forward, of_input, of_weight };

bool fits(Direction direction, const ConvolveSpec& spec, Type type);
// Whether forward and of_input with `last` are no slower than what was measured of oneDNN: not where all strides are 1, nor where a
// register alone has all channels of a pixel (but of groups, and of outputs that are made together), nor for the gradient of
// volumes whose windows overlap.
bool gains(Direction direction, const ConvolveSpec& spec, Type type);
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

// A correlation of pixels, channels last: lanes are channels of the result, and what is splat is x, which is read where it lies.
//
// out[m, join * q + f] = bias[m] + sum over the taps of phase f and c of weight[c, m, tap] * x[c, split * q + shift], for places q;
// x is 0 outside. Outputs that follow each other in a row and read the same pixels are one phase of so many times as many channels.
struct PixelTap {
  int64_t shift[3], offset;  // offset: elements from a pixel of x to the one that it reads
};
struct PixelRun {
  int64_t offset, length;    // elements of neighbouring pixels that follow each other in memory
};
struct PixelPhase {
  int64_t at[3], places[3];        // first output, which may lie before the row, and places per axis
  int64_t channels, registers;     // of the output pixels taken together
  int64_t tap, taps, run, runs;    // the first one, and how many
  int64_t low[3], high[3];         // shifts
  int64_t packed, bias;            // elements from the group's packed memory to weights and bias
};
struct PixelPiece {
  int64_t phase, first, wide;  // registers of the phase's channels that are made together
};
struct PixelCorrelation {
  Type type;
  const char *x, *weight, *bias;
  char *packed, *out;
  int64_t samples, groups, c, m;                      // channels of one group
  int64_t taps, weight_c, weight_m, weight_group;     // of the kernel; strides
  bool forward, stream;
  bool weight_by_c, weight_last;                      // all of a c's weights follow each other, not of an m's; taps before the other
  int64_t split[3], x_size[3], join[3], out_size[3], places[3];
  const PixelPhase* phases;
  const PixelTap* tap;
  const PixelRun* run;
  const PixelPiece *pieces, *piece_of;                // piece_of: of every register of phases, phase by phase
  const int64_t *phase, *number, *lane;               // of a tap of the kernel: phase, number among its taps, and first lane
  int64_t phase_count, piece_count;
  int64_t packed_group, zeros;                        // elements: of a group; from all groups to c zeros
  int64_t tile, tiles, part, parts;                   // places of a tile; pieces of a task
  int64_t taps_part;                                  // taps whose weights a piece runs through before it takes the next places
};

struct Convolve {
  int block, wide;  // channels and registers of positions that are made at a time
  int lanes[2];     // of a register: of 4 bytes, of 8 bytes
  void (*pack)(const Correlation&, int64_t task);     // task: block of channels of a group
  int64_t (*arena)(const Correlation&);
  void (*run)(const Correlation&, int64_t task, char* arena);
  int64_t (*outer_arena)(const Outer&);
  void (*outer)(const Outer&, int64_t task, char* arena);
  int widest;       // registers of channels that are made together, of pixels
  void (*pack_pixels)(const PixelCorrelation&, int64_t task);  // task: kPixelsPacked channels of a group
  int64_t (*pixels_arena)(const PixelCorrelation&);
  void (*pixels)(const PixelCorrelation&, int64_t task, char* arena);
};
constexpr int64_t kPixelsPacked = 16;

// convolve_pixels.cc: forward and of_input with `last`.
void correlate_pixels(Direction direction, const ConvolveSpec& spec, Type type, const char* x, const char* weight, const char* bias, char* out);
bool pixels_fit(const ConvolveSpec& spec);

}  // namespace hp
