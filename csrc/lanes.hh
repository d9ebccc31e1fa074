// SPDX-License-Identifier: MIT
// Lines of an array side by side: lane w of row i is element i of line w. Copies between the array and such rows, either way.
#pragma once

#include <cstdint>
#include <cstring>

namespace hp {
namespace {

constexpr int kMaxLanes = 128;
constexpr int kRowsAhead = 32, kElementsAhead = 64;  // from what is copied to what is fetched meanwhile; speed, never results

// The lanes of a block in one of the two arrays.
template <class C>
struct Side {
  C* data;
  int64_t step;            // along the axis
  int lanes, runs;         // a run: neighbouring lanes that are neighbours in memory
  bool by_runs, turned;    // copied row by row; lane by lane, from contiguous lines
  int64_t offset[kMaxLanes];
  int first[kMaxLanes + 1];  // lane of each run

  void close() {
    runs = 0;
    for (int w = 0; w < lanes; ++w)
      if (w == 0 || offset[w] != offset[w - 1] + 1) first[runs++] = w;
    first[runs] = lanes;
    by_runs = runs * 4 <= lanes;
    turned = step == 1;
  }
};

template <class C, int N>
struct VecOf {
  typedef C type __attribute__((vector_size(sizeof(C) * N)));
};
template <class V>
V load_as(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// A square of 4 by 4 or 2 by 2 elements turned over its diagonal.
inline void turn(const float* const from[], float* const to[]) {
  using V = VecOf<float, 4>::type;
  using I = VecOf<int32_t, 4>::type;
  const V a = load_as<V>(from[0]), b = load_as<V>(from[1]), c = load_as<V>(from[2]), d = load_as<V>(from[3]);
  const V ac = __builtin_shuffle(a, c, I{0, 4, 1, 5}), bd = __builtin_shuffle(b, d, I{0, 4, 1, 5});
  const V ca = __builtin_shuffle(a, c, I{2, 6, 3, 7}), db = __builtin_shuffle(b, d, I{2, 6, 3, 7});
  const V rows[4] = {__builtin_shuffle(ac, bd, I{0, 4, 1, 5}), __builtin_shuffle(ac, bd, I{2, 6, 3, 7}),
                     __builtin_shuffle(ca, db, I{0, 4, 1, 5}), __builtin_shuffle(ca, db, I{2, 6, 3, 7})};
  for (int i = 0; i < 4; ++i) std::memcpy(to[i], &rows[i], sizeof(V));
}
inline void turn(const double* const from[], double* const to[]) {
  using V = VecOf<double, 2>::type;
  using I = VecOf<int64_t, 2>::type;
  const V a = load_as<V>(from[0]), b = load_as<V>(from[1]);
  const V rows[2] = {__builtin_shuffle(a, b, I{0, 2}), __builtin_shuffle(a, b, I{1, 3})};
  for (int i = 0; i < 2; ++i) std::memcpy(to[i], &rows[i], sizeof(V));
}
template <class C>
constexpr int kSquare = 16 / int(sizeof(C));

// What will be read or written next, on the way forwards or backwards. Streams are many, and rows lie pages apart: processors do
// not look ahead by themselves there.
template <bool kIn, class C>
inline void fetch(const C* p, int64_t distance, size_t bytes) {
  const char* q = reinterpret_cast<const char*>(kIn ? p + distance : p - distance);
  for (size_t b = 0; b < bytes; b += 64) __builtin_prefetch(q + b, !kIn);
}

// Rows [i0, i1) of a block between memory and scratch; `row` is where row i0 begins there.
template <bool kIn, class C>
void copy_lane(const Side<C>& side, C* row, int64_t pitch, int w, int64_t i0, int64_t i1) {
  C* line = side.data + side.offset[w] + i0 * side.step;
  for (int64_t i = 0; i < i1 - i0; ++i) {
    if constexpr (kIn) row[i * pitch + w] = line[i * side.step];
    else line[i * side.step] = row[i * pitch + w];
  }
}

template <bool kIn, class C>
void copy_turned(const Side<C>& side, C* row, int64_t pitch, int64_t i0, int64_t i1) {
  constexpr int S = kSquare<C>;
  const int whole = side.lanes / S * S;
  const int64_t count = i1 - i0, squares = count / S * S;
  for (int w = 0; w < whole; w += S) {
    for (int s = 0; s < S; ++s) fetch<kIn>(side.data + side.offset[w + s] + i0, kElementsAhead, sizeof(C));
    for (int64_t i = 0; i < squares; i += S) {
      C *line[S], *across[S];
      for (int s = 0; s < S; ++s) {
        line[s] = side.data + side.offset[w + s] + i0 + i;
        across[s] = row + (i + s) * pitch + w;
      }
      if constexpr (kIn) turn(line, across);
      else turn(across, line);
    }
    for (int s = 0; s < S; ++s) copy_lane<kIn>(side, row + squares * pitch, pitch, w + s, i0 + squares, i1);
  }
  for (int w = whole; w < side.lanes; ++w) copy_lane<kIn>(side, row, pitch, w, i0, i1);
}

template <bool kIn, class C>
void copy_runs(const Side<C>& side, C* row, int64_t pitch, int64_t i0, int64_t i1) {
  for (int64_t i = i0; i < i1; ++i, row += pitch)
    for (int r = 0; r < side.runs; ++r) {
      const int w = side.first[r];
      C* line = side.data + side.offset[w] + i * side.step;
      const size_t bytes = size_t(side.first[r + 1] - w) * sizeof(C);
      fetch<kIn>(line, kRowsAhead * side.step, bytes);
      if constexpr (kIn) std::memcpy(row + w, line, bytes);
      else std::memcpy(line, row + w, bytes);
    }
}

template <bool kIn, class C>
void copy(const Side<C>& side, C* row, int64_t pitch, int64_t i0, int64_t i1) {
  if (side.by_runs) copy_runs<kIn>(side, row, pitch, i0, i1);
  else if (side.turned) copy_turned<kIn>(side, row, pitch, i0, i1);
  else
    for (int w = 0; w < side.lanes; ++w) copy_lane<kIn>(side, row, pitch, w, i0, i1);
  if (kIn && side.lanes < pitch)  // lanes without a line compute too: from zeros, not from what was there
    for (int64_t i = 0; i < i1 - i0; ++i) std::memset(row + i * pitch + side.lanes, 0, size_t(pitch - side.lanes) * sizeof(C));
}

}  // namespace
}  // namespace hp
