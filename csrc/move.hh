// SPDX-License-Identifier: MIT
// What rearrange.cc hands to rearrange_isa.cc: plain data only.
#pragma once

#include <cstdint>

namespace hp {

constexpr int kMaxOuter = 32;
constexpr int kMaxWays = 16;
constexpr int64_t kBlocksBytes = 8 << 10;  // of streams that are kept between zipping and storing

// The innermost axes of a rearrangement, by where elements lie next to each other:
enum class Shape : uint8_t {
  rows,    // along the same axis in both: `length` elements at once
  zip,     // `ways` input streams of `length` elements, which alternate in the output
  unzip,   // the reverse
  zip_blocks, unzip_blocks,  // the same where streams are `length` blocks of `across` elements
  turn,    // along axis a (`length`) in the input, along b (`across`) in the output: a matrix and its transpose
  single,  // nowhere
  permute, // `length` pixels whose bytes repeat a permutation
};

struct Permutation;

struct Move {
  const char* x;
  char* out;
  int bytes;                // of an element: 1, 2, 4 or 8
  Shape shape;
  int64_t length, across;
  int64_t x_length, out_length;  // strides along `length` (in elements; ones where the shape says so)
  int64_t x_across, out_across;  // turn: strides along `across`
  int ways;
  int64_t stream[kMaxWays];  // zip: offsets of streams in the input; unzip: in the output
  const Permutation* permutation;
  bool spills;              // unzip_blocks: a block may be stored with what follows it, since that is stored later
  bool past_caches;         // permute: whole lines of a large result are stored past the caches
  int64_t length_part, across_part;    // a unit of work takes so many; the last one of `length` what is left
  int64_t length_parts, across_parts;
  int64_t lines, lines_part, lines_parts, x_line, out_line;  // the same once more for every line; a unit takes lines_part
  int outer;                // and so on for the remaining axes, slowest first
  int64_t size[kMaxOuter], x_step[kMaxOuter], out_step[kMaxOuter];
};

}  // namespace hp
