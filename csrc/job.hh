// SPDX-License-Identifier: MIT
// What the portable half (band.cc) hands to the half that is compiled once per instruction set (band_isa.cc): plain data only.
#pragma once

#include <cstdint>

namespace hp {

enum class Type : uint8_t { f32, f64, f16, bf16, u8, i8, u16, i16, i32, u32, i64, u64, boolean };
enum class Compute : uint8_t { natural, real64, fixed32 };
enum class Rounding : uint8_t { half_up, half_even, half_away, truncate };

template <class T>
struct Limits {
  static constexpr bool is_signed = T(-1) < T(0);
  static constexpr int bits = int(sizeof(T)) * 8 - int(is_signed);
  static constexpr T high = T(T(1) << (bits - 1)) - T(1) + T(T(1) << (bits - 1));
  static constexpr T low = is_signed ? T(-high - 1) : T(0);
  template <class C>
  static constexpr C above() {  // high + 1, exact in a floating type
    return C(uint64_t(1) << (bits - 1)) * C(2);
  }
};

// Applied to the result of a pass before the next pass reads it.
struct Post {
  enum Kind : uint8_t { none, fixed, round_away, float32 } kind = none;
  int pre = 0, tap_shift = 0, shift = 0;
  double low = 0, high = 0;
};

constexpr int kPixelChunk = 256;  // pixels that are made before they are stored
constexpr int kTogether = 4;  // rows that run through a pass together
constexpr int kFewRows = 64;  // a window of more rows is not put on the stack

// The nonzero taps of each output: input index and weight, in ascending tap order.
struct TapList {
  int64_t n_in, n_out;
  const int64_t* first;  // [n_out + 1] into index and weight
  const int64_t* index;
  const void* weight;  // compute type
  const void* bias;    // compute type [n_out], or null
  int longest;         // most taps of any output
  int64_t window;      // largest (last index - first index + 1)
  int64_t reach;       // the same over kTogether outputs in a row
};

// Consecutive blocks of one register of outputs that run through the same instantiation.
struct Run {
  int64_t begin, end;
  int32_t reach, taps;
  int32_t sharing;     // taps whose lanes lie in the registers loaded for the first of them: 1, 2 or 4
  bool masked, listed;  // listed: lanes follow the tap list one by one (windows that cross the end of a periodic axis)
};

// A pass along the row: outputs in blocks of one register; equal blocks share a pattern.
struct FlatTable {
  int64_t blocks;
  const int64_t* base;       // [blocks] first input element of the block's window
  const int32_t* pattern;    // [blocks]
  const uint8_t* patterns;   // index lanes (as wide as the compute type), lane offsets (int32), then weights [taps][lanes]
  int64_t pattern_bytes;
  const Run* runs;
  int64_t run_count;
  const void* bias;          // compute type [blocks * lanes], or null
  int stride;                // elements between taps = channels
};

// The same for plain copies: 16 output bytes a block.
struct CopyTable {
  int64_t blocks;
  const int64_t* base;       // byte offset of a 16-byte window, or -1: follow `source`
  const uint8_t* lane;       // [blocks][16]
  const int64_t* source;     // [n_out] input pixel of each output pixel
};

constexpr int kMaxLines = 8;
constexpr int kMaxStages = kMaxLines + 1;
constexpr int kMaxBatch = 64;

struct Level {            // rows that come out of a stage (level 0: of the source), kept for reuse
  int64_t mask[kMaxLines];
  int shift[kMaxLines];
  int64_t tag_step[kMaxLines];
  int64_t slots;
  int64_t low, length;    // filled per column tile: first element and number of elements of a row
  int64_t row_bytes;      // distance of slots, padding included
  int64_t offset;         // of the slots in the arena
  int64_t tag_offset;
};

struct Stage {
  int line;               // slot of a line axis, or -1: the pivot, along the row
  TapList taps;
  Post post;
  int64_t pointers;       // arena offset of room for the pointers to the rows of one output, where they are more than kFewRows
  bool selects;           // every output has one tap of weight 1, no bias: rows pass through untouched
};

struct Tile {             // columns of the output row, in units of blocks, pixels or elements, and what they need before the pivot
  int64_t begin, end;
  int64_t out_low, out_high;
  int64_t in_low, in_high;
};

// No pivot; pivot by blocks of lanes; by single pixels of 1 to 4 channels, whose taps lie too far apart for registers; with many
// channels.
enum class RowMode : uint8_t { none, flat, pixels, channels };

struct Job {
  const char* x;
  char* out;
  Type type;
  Compute compute;
  Rounding rounding;
  int stage_count, line_count, batch_count;
  Stage stage[kMaxStages];
  Level level[kMaxStages + 1];
  int pivot;                                     // stage index of the pivot, or -1
  RowMode mode;
  FlatTable flat;
  CopyTable copy;
  int64_t channels;                              // elements of a pixel
  int64_t row_in, row_out;                       // elements of a whole row
  bool x_contiguous, out_contiguous;             // rows are dense
  bool direct;                                   // the pivot may read the source row in place
  bool widen_in_pass;                            // a first line pass converts as it reads
  int64_t ahead;                                 // lines between a row and the one that is prefetched with it
  bool stream;                                   // store past the caches
  bool planes;                                   // the last pass takes all rows of a task along the innermost line axis as one
  int64_t x_pixel, x_channel, out_pixel, out_channel;  // strides within a row, in elements
  int64_t x_line[kMaxLines], out_line[kMaxLines];      // strides of line axes, in elements
  int64_t n_in[kMaxLines], n_out[kMaxLines], extent[kMaxLines], parts[kMaxLines];
  int64_t batch_size[kMaxBatch], x_batch[kMaxBatch], out_batch[kMaxBatch];
  int64_t batches, group, groups;
  const Tile* tiles;
  int64_t tile_count;
  int64_t tasks;
  int64_t arena_bytes;
  int64_t row_buffer;                            // arena offset of one spare row in the compute type
  int element_bytes;                             // for copies
  bool copies, copy_by_lanes;
};

struct Move;
struct Pool;
struct Convolve;
struct Depthwise;
struct Window;
struct Sampling;
enum class SampleStep : uint8_t;
// Rows of results taken together, element by element or group by group. Keys are what is compared: float for elements of up to two
// bytes and float, double for those of 32 bits and double, and 64-bit integers as they are; indices are as wide as keys.
struct Folds {
  // `count` rows, `apart` bytes from each other; `number` is the first one's, and 0 begins.
  void (*channels)(Type type, bool smallest, const char* row, int64_t apart, int count, int64_t n, int64_t number, char* best, char* index);
  void (*groups)(Type type, bool smallest, const char* row, int64_t count, int64_t size, char* best, char* index);
  void (*store)(Type type, const char* best, int64_t n, char* out);
  void (*above)(Type type, const char* row, int64_t n, double real, int64_t whole, uint8_t* out);
};
constexpr int64_t kFoldStep = 64;  // rows of keys and elements may be read and written up to a multiple of it

struct Isa {
  const char* name;
  int register_bytes;
  bool permutes32, permutes64;                   // reach 1, 2, 4 without touching memory lane by lane
  void (*run)(const Job& job, int64_t task, char* arena);
  Folds folds;
  void (*move)(const Move& move, int64_t begin, int64_t end);  // rearrange_isa.cc
  void (*pool)(const Pool& pool, int64_t task, char* arena);   // pool_isa.cc
  const Convolve* convolve;                                    // convolve_isa.cc
  void (*depthwise)(const Depthwise& d, int64_t task, char* arena);  // depthwise_isa.cc
  void (*window)(const Window& window, int64_t task, char* arena);  // window_isa.cc
  void (*sample)(SampleStep step, const Sampling& job, int64_t task, char* arena);  // sample_isa.cc
};

}  // namespace hp
