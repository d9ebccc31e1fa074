// SPDX-License-Identifier: MIT
// What both ways of the window kernel share: rows of every element type in and out of the compute type, streams that alternate,
// turned rows, and a task's place. Internal linkage, see simd.hh.
#pragma once

#include "rows.hh"
#include "shuffle.hh"
#include "window.hh"

namespace hp {
namespace {

// ------------------------------------------------------------------------------------------------ elements

template <class C>
struct Codec {
  int64_t bytes;
  void (*in)(const char* p, int64_t n, C* out);
  void (*out)(const C* row, int64_t n, char* p, bool stream);
  // Elements that lie apart, in steps of elements on both sides.
  void (*gather)(const char* p, int64_t step, int64_t n, C* out, int64_t out_step);
  void (*scatter)(const C* row, int64_t row_step, int64_t n, char* p, int64_t step);
};

template <class T, class C>
void row_in(const char* p, int64_t n, C* out) {
  widen_row<T, C>(reinterpret_cast<const T*>(p), n, out);
}
template <class T, class C>
void row_out(const C* row, int64_t n, char* p, bool stream) {
  store_row<T, C>(row, n, reinterpret_cast<T*>(p), Rounding::half_up, stream);
}
template <class T, class C>
void gather_in(const char* p, int64_t step, int64_t n, C* out, int64_t out_step) {
  constexpr int L = kLanes<C>;
  const T* x = reinterpret_cast<const T*>(p);
  T some[L];
  __builtin_memset(some, 0, sizeof some);
  for (int64_t i = 0; i < n; i += L) {
    const int64_t here = smaller(L, n - i);
    for (int64_t j = 0; j < here; ++j) some[j] = x[(i + j) * step];
    const V<C> v = widen<T, C>(some);
    for (int64_t j = 0; j < here; ++j) out[(i + j) * out_step] = v[j];
  }
}
template <class T, class C>
void scatter_out(const C* row, int64_t row_step, int64_t n, char* p, int64_t step) {
  constexpr int L = kLanes<C>;
  using S = typename Stored<T>::type;
  S* x = reinterpret_cast<S*>(p);
  for (int64_t i = 0; i < n; i += L) {
    const int64_t here = smaller(L, n - i);
    V<C> v{};
    for (int64_t j = 0; j < here; ++j) v[j] = row[(i + j) * row_step];
    const auto stored = narrow<T, C>(v, Rounding::half_up);
    for (int64_t j = 0; j < here; ++j) x[(i + j) * step] = stored[j];
  }
}

template <class T, class C>
constexpr Codec<C> codec_of() {
  return {int64_t(sizeof(T)), row_in<T, C>, row_out<T, C>, gather_in<T, C>, scatter_out<T, C>};
}
template <class C>
Codec<C> codec(Type type) {
  if constexpr (kSame<C, double>) {
    (void)type;
    return codec_of<double, double>();
  } else {
    if (type == Type::f16) return codec_of<Half, float>();
    if (type == Type::bf16) return codec_of<BFloat, float>();
    return codec_of<float, float>();
  }
}

template <class C>
struct IntegerOf {
  typedef int32_t type;
};
template <>
struct IntegerOf<double> {
  typedef int64_t type;
};

template <class C>
void clear(C* p, int64_t n) {
  if (n > 0) __builtin_memset(p, 0, size_t(n) * sizeof(C));
}

// ------------------------------------------------------------------------------------------------ rows that alternate

template <class C, int K, bool kZip>
void alternate(C* row, C* streams, int64_t pitch, int64_t n) {
  constexpr int L = kLanes<C>;
  for (int64_t i = 0; i < n; i += L) {
    V<C> v[K];
    HP_UNROLL for (int k = 0; k < K; ++k) v[k] = load_as<V<C>>(kZip ? streams + k * pitch + i : row + K * i + k * L);
    if constexpr (kZip) zip_all<V<C>, L, K>(v);
    else unzip_all<V<C>, L, K>(v);
    HP_UNROLL for (int k = 0; k < K; ++k) store_as(kZip ? row + K * i + k * L : streams + k * pitch + i, v[k]);
  }
}

// The streams of n lanes (whole registers) as one row in which they alternate, or the reverse.
template <class C, bool kZip>
void alternated(C* row, C* streams, int64_t pitch, int64_t ways, int64_t n) {
  if (ways == 1) return alternate<C, 1, kZip>(row, streams, pitch, n);
  if (ways == 2) return alternate<C, 2, kZip>(row, streams, pitch, n);
  if (kLanes<C> >= 4 && ways == 4) return alternate<C, kLanes<C> >= 4 ? 4 : 1, kZip>(row, streams, pitch, n);
  if (kLanes<C> >= 8 && ways == 8) return alternate<C, kLanes<C> >= 8 ? 8 : 1, kZip>(row, streams, pitch, n);
  for (int64_t k = 0; k < ways; ++k)
    for (int64_t i = 0; i < n; ++i) {
      if (kZip) row[ways * i + k] = streams[k * pitch + i];
      else streams[k * pitch + i] = row[ways * i + k];
    }
}

// A matrix turned over: `rows` rows of n elements to n rows of so many. Whole registers are read and written: of the input, rows
// and their lengths are rounded up to lanes; of the output, the lengths of its n rows.
template <class C>
void turn(const C* in, int64_t in_pitch, int64_t rows, int64_t n, C* out, int64_t out_pitch) {
  constexpr int L = kLanes<C>;
  for (int64_t r = 0; r < rows; r += L)
    for (int64_t i = 0; i < n; i += L) {
      V<C> v[L];
      HP_UNROLL for (int k = 0; k < L; ++k) v[k] = load_as<V<C>>(in + (r + k) * in_pitch + i);
      zip_all<V<C>, L, L>(v);
      if (i + L <= n) {
        HP_UNROLL for (int k = 0; k < L; ++k) store_as(out + (i + k) * out_pitch + r, v[k]);
      } else {
        for (int k = 0; k < n - i; ++k) store_as(out + (i + k) * out_pitch + r, v[k]);
      }
    }
}

// ------------------------------------------------------------------------------------------------ exponents

// exp(x) for x <= 0, to a unit or so in the last place; 0 where it is no normal number.
template <class C>
HP_INLINE V<C> exponent(V<C> x) {
  constexpr bool kSingle = sizeof(C) == 4;
  typedef V<typename IntegerOf<C>::type> Bits;
  constexpr int kMantissa = kSingle ? 23 : 52, kTerms = kSingle ? 6 : 13;
  const V<C> magic = splat<C>(kSingle ? C(0x1.8p23) : C(0x1.8p52));
  const V<C> shifted = madd<C>(x, splat<C>(C(1.44269504088896340736)), magic);  // its last bits are the power of two
  const V<C> n = shifted - magic;
  V<C> r = madd<C>(n, splat<C>(kSingle ? C(-0x1.62e4p-1) : C(-0x1.62e42fefa38p-1)), x);
  r = madd<C>(n, splat<C>(kSingle ? C(-0x1.7f7d1cp-20) : C(-0x1.ef35793c7673p-45)), r);
  // Single: of least relative error, 3e-9, for |r| <= log(2) / 2. Double: Taylor's.
  constexpr C kNear[] = {1, 1, C(0x1.fffffb8d7f4ddp-2), C(0x1.55548fd746e24p-3), C(0x1.5558f87ea46eep-5), C(0x1.123b030182b5ap-7), C(0x1.6a22560dd0498p-10)};
  C factor[kTerms + 1];
  factor[0] = 1;
  HP_UNROLL for (int i = 1; i <= kTerms; ++i) factor[i] = kSingle ? kNear[kSingle ? i : 0] : factor[i - 1] / C(i);
  V<C> sum = splat<C>(factor[kTerms]);
  HP_UNROLL for (int i = kTerms - 1; i >= 0; --i) sum = madd<C>(sum, r, splat<C>(factor[i]));
  const V<C> result = (V<C>)((Bits)sum + ((Bits)shifted << kMantissa));  // into the exponent, which has room where x is not too low
  return x < splat<C>(kSingle ? C(-87.3) : C(-708.3)) ? V<C>{} : result;
}

// ------------------------------------------------------------------------------------------------ a task

struct Place {
  int64_t n, group, part, strip, tile;
  int64_t channel, channels;  // the first of the task in the array, and how many
  int64_t row, row_end;       // input rows

  Place(const Window& w, int64_t task) {
    const bool tiled = w.way != WindowWay::back_x;
    tile = tiled ? task % w.tiles : 0;
    task /= tiled ? w.tiles : 1;
    strip = task % w.strips;
    task /= w.strips;
    part = task % w.parts;
    task /= w.parts;
    group = task % w.spec.groups;
    n = task / w.spec.groups;
    channel = group * w.group_channels + part * w.part;
    channels = w.way == WindowWay::back_w ? w.group_channels : smaller(w.part, w.group_channels - part * w.part);
    row = strip * w.strip;
    row_end = smaller(w.spec.in[0], row + w.strip);
  }
};

inline int64_t clamped(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

// Passes of at most `most` of n, as equal as can be.
inline int64_t pass_of(int64_t n, int64_t most) {
  const int64_t passes = (n + most - 1) / most;
  return passes ? (n + passes - 1) / passes : 1;
}

template <int N>
struct Count {
  static constexpr int value = N;
};

}  // namespace
}  // namespace hp
