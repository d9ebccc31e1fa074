// SPDX-License-Identifier: MIT
// Kernel 4: maxima of windows with their places, and the maps between windows and places.
//
// Contract
// - Arrays are dense: `planes` planes of `in` (depth, height, width) elements, or with `last`, `planes` volumes of pixels of
//   `channels` elements. Places are positions in a plane, int64. Arrays do not overlap.
// - max_pool: the first of equal maxima wins, NaN counts as the maximum and its last occurrence wins (torch's rule). Padding never
//   wins. `place` may be null. Planes have fewer than 2^31 elements.
// - unpool: out is 0 but for out[place[i]] = x[i]; of equal places the last wins. pool_back: sums at equal places, in ascending
//   order of i. gather: out[i] = x[place[i]], and with `winners` 0 where a later i has the same place: unpool's transpose.
// - Places are checked: the functions return the position of one outside the plane, or -1; then out is incomplete, and no memory
//   outside was touched.
// - Results do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "job.hh"

namespace hp {

struct PoolSpec {
  int64_t planes, channels;
  bool last;
  int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
};

struct Pool {
  PoolSpec spec;
  Type type;
  const char* x;
  char* out;
  int64_t* place;
  int64_t lines;         // output lines (of a plane or volume) in a task
  int64_t parts;         // tasks of a plane
  int64_t phase_length;  // elements of one phase of a padded row
  int64_t slots;         // rows kept for each slice of the window
  bool large;            // results that are better stored past the caches
};

struct Places {
  int64_t planes, channels;  // channels: 1 for planar arrays
  int64_t n_in, n_out;       // positions in a plane
};

void max_pool(const PoolSpec& given, Type type, const char* x, char* out, int64_t* place);
int64_t unpool(const Places& p, int element_bytes, const char* x, const int64_t* place, char* out);
int64_t pool_back(const Places& p, Type type, const char* x, const int64_t* place, char* out);
int64_t gather(const Places& p, int element_bytes, bool winners, const char* x, const int64_t* place, char* out);

}  // namespace hp
