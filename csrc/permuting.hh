// SPDX-License-Identifier: MIT
// Runs a Permutation: see permute.hh. Internal linkage, see simd.hh.
#pragma once

#include "permute.hh"
#include "simd.hh"

namespace hp {
namespace {

typedef Vec<uint8_t, 16> Bytes;

// Byte m[i] of v, 0 where that is 128.
HP_INLINE Bytes picked(Bytes v, Bytes m) {
#if defined(__SSSE3__)
  return (Bytes)_mm_shuffle_epi8((__m128i)v, (__m128i)m);
#elif defined(__aarch64__)
  return (Bytes)vqtbl1q_u8((uint8x16_t)v, (uint8x16_t)m);
#else
  return __builtin_shuffle(v, m & 15) & (Bytes)(m < 16);
#endif
}

// One term after the other: those of a store, which stay in registers while it runs along the groups. T = 0: any number.
template <int T>
struct SmallTerms {
  static constexpr int kWidth = 16;
  const uint8_t* index;
  const int64_t* x;
  int terms;
  Bytes m[T ? T : 1];
  int64_t at[T ? T : 1];

  SmallTerms(const Permutation& p, const Permutation::Store& s) : index(p.index + s.first * 16), x(p.x + s.first), terms(s.terms) {
    HP_UNROLL for (int t = 0; t < T; ++t) m[t] = load_as<Bytes>(index + t * 16), at[t] = x[t];
  }
  HP_INLINE Bytes of(const char* from) const {
    Bytes v;
    if constexpr (T > 0) {
      v = picked(load_as<Bytes>(from + at[0]), m[0]);
      HP_UNROLL for (int t = 1; t < T; ++t) v |= picked(load_as<Bytes>(from + at[t]), m[t]);
    } else {
      v = Bytes{};
      for (int t = 0; t < terms; ++t) v |= picked(load_as<Bytes>(from + x[t]), load_as<Bytes>(index + t * 16));
    }
    return v;
  }
};

#if defined(__AVX512BW__)
// Lanes `k` of v from where `index` says. Bytes by name: only processors that have the instruction are sent here, and the rest of
// this unit must not use it.
template <int G>
HP_INLINE __m512i picked(__m512i v, uint64_t k, __m512i index, const char* from) {
  const __m512i x = load_as<__m512i>(from);
  if constexpr (G == 4) return _mm512_mask_permutexvar_epi32(v, __mmask16(k), index, x);
  if constexpr (G == 2) return _mm512_mask_permutexvar_epi16(v, __mmask32(k), index, x);
  asm("vpermb %[x], %[index], %[v]%{%[k]%}" : [v] "+v"(v) : [x] "v"(x), [index] "v"(index), [k] "Yk"(__mmask64(k)));
  return v;
}
template <int G>
HP_INLINE __m512i picked(__m512i index, const char* from) {
  const __m512i x = load_as<__m512i>(from);
  if constexpr (G == 4) return _mm512_permutexvar_epi32(index, x);
  if constexpr (G == 2) return _mm512_permutexvar_epi16(index, x);
  __m512i v;
  asm("vpermb %[x], %[index], %[v]" : [v] "=v"(v) : [x] "v"(x), [index] "v"(index));
  return v;
}

template <int G, int T>
struct WideTerms {
  static constexpr int kWidth = 64;
  const int64_t* x;
  const uint64_t* taken;
  int terms;
  __m512i index;
  uint64_t k[T ? T : 1];
  int64_t at[T ? T : 1];

  WideTerms(const Permutation& p, const Permutation::Store& s)
      : x(p.x + s.first), taken(p.taken + s.first), terms(s.terms), index(load_as<__m512i>(p.index + (&s - p.store) * 64)) {
    HP_UNROLL for (int t = 0; t < T; ++t) k[t] = taken[t], at[t] = x[t];
  }
  HP_INLINE __m512i of(const char* from) const {
    __m512i v;
    if constexpr (T > 0) {
      v = picked<G>(index, from + at[0]);
      HP_UNROLL for (int t = 1; t < T; ++t) v = picked<G>(v, k[t], index, from + at[t]);
    } else {
      v = picked<G>(index, from + x[0]);
      for (int t = 1; t < terms; ++t) v = picked<G>(v, taken[t], index, from + x[t]);
    }
    return v;
  }
};
#endif

// What one call permutes: `groups` whole ones of each line, and where the last one begins that overlaps them.
struct Stretch {
  const char* x;
  char* out;
  int64_t groups, x_group, out_group;
  bool past_caches, overlaps;
  int64_t x_last, out_last;
  int64_t lines, x_line, out_line;
};

template <class Terms, bool kPast>
void along_by(const Permutation& p, const Permutation::Store& s, const Stretch& on) {
  const Terms terms(p, s);
  const char* x = on.x;
  char* out = on.out + s.out;
  for (int64_t line = 0; line < on.lines; ++line, x += on.x_line, out += on.out_line) {
    const char* from = x;
    char* to = out;
    for (int64_t i = 0; i < on.groups; ++i, from += on.x_group, to += on.out_group) {
      if constexpr (kPast) store_stream(to, terms.of(from));
      else store_as(to, terms.of(from));
    }
    if (on.overlaps) store_as(out + on.out_last, terms.of(x + on.x_last));
  }
}

template <class Terms>
void along(const Permutation& p, const Permutation::Store& s, const Stretch& on) {
  if constexpr (Terms::kWidth == 64)
    if (on.past_caches) return along_by<Terms, true>(p, s, on);
  along_by<Terms, false>(p, s, on);
}

template <template <int> class Terms>
void stretch(const Permutation& p, const Stretch& on) {
  for (int i = 0; i < p.stores; ++i) {
    const Permutation::Store& s = p.store[i];
    switch (s.terms) {
      case 1: along<Terms<1>>(p, s, on); break;
      case 2: along<Terms<2>>(p, s, on); break;
      case 3: along<Terms<3>>(p, s, on); break;
      case 4: along<Terms<4>>(p, s, on); break;
      case 5: along<Terms<5>>(p, s, on); break;
      case 6: along<Terms<6>>(p, s, on); break;
      case 7: along<Terms<7>>(p, s, on); break;
      case 8: along<Terms<8>>(p, s, on); break;
      default: along<Terms<0>>(p, s, on);
    }
  }
}

#if defined(__AVX512BW__)
template <int T>
using WideBytes = WideTerms<1, T>;
template <int T>
using WideWords = WideTerms<2, T>;
template <int T>
using WideQuads = WideTerms<4, T>;
#endif

inline void stretch_any(const Permutation& p, const Stretch& on) {
#if defined(__AVX512BW__)
  if (p.width == 64) return p.granule == 1 ? stretch<WideBytes>(p, on) : p.granule == 2 ? stretch<WideWords>(p, on) : stretch<WideQuads>(p, on);
#endif
  stretch<SmallTerms>(p, on);
}

// `lines` runs of n pixels, at least a group each. Stores run along the groups one after the other: what they share stays in the
// nearest cache.
inline void permute(const Permutation& p, bool past_caches, const char* x, char* out, int64_t n, int64_t lines, int64_t x_line, int64_t out_line) {
  constexpr int64_t kNear = 4 << 10;
  const int64_t x_group = p.pixels * p.x_pixel, out_group = p.pixels * p.out_pixel, whole = n / p.pixels;
  const int64_t group = p.stores * p.width, once = group * whole < kNear ? whole : kNear / group > 1 ? kNear / group : 1;
  const int64_t together = once < whole ? 1 : kNear / (group * whole) > 1 ? kNear / (group * whole) : 1;
  for (int64_t line = 0; line < lines; line += together) {
    Stretch on{x + line * x_line, out + line * out_line, 0, x_group, out_group, past_caches, false, 0, 0, together < lines - line ? together : lines - line, x_line, out_line};
    for (int64_t first = 0; first < whole; first += once, on.x += once * x_group, on.out += once * out_group) {
      on.groups = once < whole - first ? once : whole - first;
      on.overlaps = first + on.groups == whole && whole * p.pixels < n;
      on.x_last = (n - p.pixels - first * p.pixels) * p.x_pixel;
      on.out_last = (n - p.pixels - first * p.pixels) * p.out_pixel;
      stretch_any(p, on);
    }
  }
}

}  // namespace
}  // namespace hp
