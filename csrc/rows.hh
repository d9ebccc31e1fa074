// SPDX-License-Identifier: MIT
// Rows in and out of the compute type, what is done to a pass' result, and stores past the caches. Internal linkage, see simd.hh.
#pragma once

#include "element.hh"

namespace hp {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// ------------------------------------------------------------------------------------------------ finishing a pass

struct SomePost {
  template <class C>
  static V<C> finish(V<C> v, const Post& post) {
    if constexpr (kSame<C, int32_t>) {
      if (post.kind != Post::fixed) return v;
      if (post.shift) v = (v + splat<C>(1 << (post.shift - 1))) >> post.shift;
      V<C> low = splat<C>(C(post.low)), high = splat<C>(C(post.high));
      v = v < low ? low : v;
      return v > high ? high : v;
    } else {
      if (post.kind == Post::float32) return __builtin_convertvector(__builtin_convertvector(v, Vec<float, kLanes<C>>), V<C>);
      if (post.kind != Post::round_away) return v;
      v = rounded<C>(v, Rounding::half_away);
      V<C> low = splat<C>(C(post.low)), high = splat<C>(C(post.high));
      v = v < low ? low : v;
      return v > high ? high : v;
    }
  }
};

template <class C>
inline V<C> tap(V<C> weight, V<C> value, V<C> sum, const Post& post) {
  if constexpr (kSame<C, int32_t>) {
    if (post.pre | post.tap_shift) return sum + ((weight * (value >> post.pre)) >> post.tap_shift);
  } else {
    // A pass that is rounded to another library's type follows that library's arithmetic: two roundings a tap, not one.
    if (post.kind != Post::none) return sum + apart(weight * value);
  }
  return madd<C>(weight, value, sum);
}
template <class C>
inline C tap1(C weight, C value, C sum, const Post& post) {
  if (post.kind != Post::none) return sum + apart(weight * value);
  return madd1<C>(weight, value, sum);
}

// ------------------------------------------------------------------------------------------------ stores past the caches

// A cache line must be stored either past the caches as a whole or not at all: mixing the two on one line costs more than both.
// [begin, end) are the elements of the whole lines, a multiple of `step` elements; empty where there are too few or the
// elements straddle lines.
struct StreamRange {
  int64_t begin, end;
};
inline StreamRange stream_range(const void* out, int64_t n, int64_t element, int64_t step) {
  constexpr int64_t kLine = 64;
  const int64_t misaligned = int64_t(uintptr_t(out) % kLine), head = (kLine - misaligned) % kLine;
  const int64_t unit = step * element > kLine ? step : kLine / element;
  if (head % element || n < head / element + 4 * unit) return {0, 0};
  const int64_t begin = head / element, whole = kLine / element;
  return {begin, begin + (n - begin) / whole * whole};
}

template <class T, class X>
inline void store_lanes(T* out, X v, int64_t from, int64_t to) {
#if defined(__AVX512F__)
  const uint64_t keep = ((uint64_t(1) << (to - from)) - 1) << from;
  if constexpr (sizeof v == 64 && sizeof(T) == 4) return _mm512_mask_storeu_epi32(out, __mmask16(keep), (__m512i)v);
  if constexpr (sizeof v == 64 && sizeof(T) == 8) return _mm512_mask_storeu_epi64(out, __mmask8(keep), (__m512i)v);
  if constexpr (sizeof v == 32 && sizeof(T) == 2) return _mm256_mask_storeu_epi16(out, __mmask16(keep), (__m256i)v);
  if constexpr (sizeof v == 16 && sizeof(T) == 1) return _mm_mask_storeu_epi8(out, __mmask16(keep), (__m128i)v);
#endif
  __builtin_memcpy(out + from, reinterpret_cast<const char*>(&v) + from * int64_t(sizeof(T)), size_t(to - from) * sizeof(T));
}

// ------------------------------------------------------------------------------------------------ rows in and out

template <class T, class C>
void widen_row(const T* x, int64_t n, C* out) {
  constexpr int L = kLanes<C>;
  int64_t j = 0;
  for (; j + L <= n; j += L) store_as(out + j, widen<T, C>(x + j));
  if (j < n) {
    T buffer[L];
    __builtin_memset(buffer, 0, sizeof buffer);
    __builtin_memcpy(buffer, x + j, size_t(n - j) * sizeof(T));
    auto v = widen<T, C>(buffer);
    __builtin_memcpy(out + j, &v, size_t(n - j) * sizeof(C));
  }
}

template <class T, class C>
void store_row(const C* row, int64_t n, T* out, Rounding rounding, bool stream) {
  constexpr int64_t L = kLanes<C>;
  auto at = [&](int64_t j) { return narrow<T, C>(load_as<V<C>>(row + j), rounding); };
  int64_t j = 0;
  if (stream) {
    const StreamRange range = stream_range(out, n, sizeof(T), L);
    for (; j + L <= range.begin; j += L) store_as(out + j, at(j));
    if (j < range.begin) store_lanes(out + j, at(j), 0, range.begin - j);
    for (j = range.begin; j < range.end; j += L) store_stream(out + j, at(j));
  }
  for (; j + L <= n; j += L) store_as(out + j, at(j));
  if (j == n) return;
  if (n >= L) return store_lanes(out + n - L, at(n - L), L - (n - j), L);
  C buffer[L];
  __builtin_memset(buffer, 0, sizeof buffer);
  __builtin_memcpy(buffer, row, size_t(n) * sizeof(C));
  store_lanes(out, narrow<T, C>(load_as<V<C>>(buffer), rounding), 0, n);
}

inline void stream_bytes(const char* from, char* to, int64_t n, bool stream) {
  typedef Vec<uint8_t, kRegister> B;
  if (!stream) {
    __builtin_memcpy(to, from, size_t(n));
    return;
  }
  const StreamRange range = stream_range(to, n, 1, kRegister);
  __builtin_memcpy(to, from, size_t(range.begin));
  for (int64_t j = range.begin; j < range.end; j += kRegister) store_stream(to + j, load_as<B>(from + j));
  __builtin_memcpy(to + range.end, from + range.end, size_t(n - range.end));
}

template <int N>
void copy_element(const char* from, char* to) {
  __builtin_memcpy(to, from, N);
}

}  // namespace
}  // namespace hp
