// SPDX-License-Identifier: MIT
// Kernel 2: sums over a kh x kw window of low-resolution pixels around each output pixel, with weights of the pixel's own.
//
//   y[n, c, p] = sum over taps t of w[n, g(c), t, p] x[n, c, base(p) + t],  base(p) = floor((p + 1/2) in / out) along each axis,
// taps ascending and centred (kernels are odd), g(c) = c / (channels / groups). It is linear in each of x and w, and its two
// gradients are the same sum over other letters.
//
// Contract
// - x (batch, channels, *in) and y (batch, channels, *out) are dense, with `last` in the order (batch, *size, channels). They have
//   one type, float to bfloat16; sums are of float, or of double for doubles. Weights have that type, or float32 beside halves.
// - Weights lie by strides, in elements: see at(). So they may come channels-last, or before a pixel shuffle.
// - With `softmax` weights are logits, and the weights are their softmax over the taps of a group; back_w writes their gradient and
//   reads them too, and given a place for it writes the gradient of x as well. Results of exp below the least normal number are 0.
// - Taps outside of the input count nothing, and with `replicate` are the nearest pixel.
// - Every element that is written is one sum in a fixed order: results depend neither on the number of threads nor on how work is
//   parted. A result is written once; arrays do not overlap.
// - Memory beside the arrays is that of some rows a thread.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

enum class WindowWay : uint8_t { forward, back_x, back_w };  // writes y, x, w from the other two

struct WindowSpec {
  int64_t batch, channels, groups;
  int64_t in[2], out[2], kernel[2];
  bool replicate, last, softmax;
  Type type, weight_type;
  int64_t scale[2];   // of weights before a pixel shuffle; 1 for others
  int64_t w_sample, w_tap, w_row, w_col, w_sub_row, w_sub_col;

  // Of the weight of a sample and tap (groups follow each other in steps of the window) at an output pixel.
  int64_t at(int64_t n, int64_t tap, int64_t row, int64_t col) const {
    return n * w_sample + tap * w_tap + row / scale[0] * w_row + row % scale[0] * w_sub_row + col / scale[1] * w_col +
           col % scale[1] * w_sub_col;
  }
};

constexpr int64_t kWindowPad = 16;   // lanes of the widest register
constexpr int64_t kFewChannels = 4;  // whose sums stay in registers together
constexpr int64_t kWindowTurn = 16;  // channels whose products are summed before their sums are put away

struct Window {
  WindowSpec spec;
  WindowWay way;
  char *x, *y, *w;
  const char* logits;         // of back_w with softmax; lie as w does
  char* grad_x;               // the gradient of x, with few channels: of back_x, or of back_w too
  const int32_t *first_row, *first_col;  // first output row of each input row, and of the end; the same for columns
  bool phases;                // lanes along the low-resolution columns, otherwise along channels
  bool few;                   // a softmax for few channels
  bool cells;                 // without phases: an input pixel's weights lie together, those of its outputs side by side
  int64_t phase_pitch;        // then: lanes of a tap
  int64_t cells_together;     // then: input pixels whose weights are made together
  bool stream;                // y is stored past the caches; of the gradient of logits with few channels, that
  int64_t r_h, r_w, taps;     // reach of the window, its size
  int64_t group_channels;
  int64_t part, parts;        // channels of a group in a task
  int64_t strip, strips;      // input rows in a task
  int64_t tile, tiles;        // input columns that are worked on together; in a task, but for back_x
  int64_t rows_together;      // output rows of an input row that are worked on together
  int64_t streams;            // output pixels of an input pixel in such rows, at most
  int64_t pitch;              // lanes: padded columns of a tile, or padded channels
  int64_t row;                // elements of a padded row
  int64_t at_rows, at_tags, at_zero, at_weights, at_soft, at_y, at_sums, at_spare;  // scratch of a task, in bytes
  int64_t scratch_bytes, tasks;
};

// What is not written is only read. Throws std::invalid_argument where the sizes or types are none of the contract's.
void window(const WindowSpec& spec, WindowWay way, char* x, char* y, char* w, const char* logits = nullptr, char* grad_x = nullptr);

}  // namespace hp
