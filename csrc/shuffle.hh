// SPDX-License-Identifier: MIT
// Registers whose lanes alternate, and transposed tiles. Internal linkage, see simd.hh.
#pragma once

#include "simd.hh"

namespace hp {
namespace {

template <int... I>
struct Lanes {};
template <int N, int... I>
struct UpTo : UpTo<N - 1, N - 1, I...> {};
template <int... I>
struct UpTo<0, I...> { typedef Lanes<I...> type; };
template <int N>
using LanesUpTo = typename UpTo<N>::type;

// Bytes: registers of 16, whose shuffles every instruction set has. Others: at most 16 lanes, so that a tile stays in registers.
template <class T>
constexpr int kMoved = sizeof(T) == 1 ? 16 : kRegister / int(sizeof(T)) > 16 ? 16 : kRegister / int(sizeof(T));

// The same for streams, of which a few registers are enough.
template <class T>
constexpr int kStreamed = sizeof(T) == 1 ? (kRegister < 32 ? kRegister : 32) : kRegister / int(sizeof(T));

template <class R, int... I>
HP_INLINE void zip2(R& a, R& b, Lanes<I...>) {
  constexpr int L = sizeof...(I);
  const R low = __builtin_shufflevector(a, b, (I / 2 + I % 2 * L)...);
  b = __builtin_shufflevector(a, b, (L / 2 + I / 2 + I % 2 * L)...);
  a = low;
}

template <class R, int... I>
HP_INLINE void unzip2(R& a, R& b, Lanes<I...>) {
  const R even = __builtin_shufflevector(a, b, (2 * I)...);
  b = __builtin_shufflevector(a, b, (2 * I + 1)...);
  a = even;
}

// K streams of L elements become K registers in which they alternate; K is a power of two. With K = L: a transposed tile.
template <class R, int L, int K>
HP_INLINE void zip_all(R* v) {
  if constexpr (K > 1) {
    R w[K];
    HP_UNROLL for (int round = 1; round < K; round *= 2) {
      HP_UNROLL for (int i = 0; i < K / 2; ++i) {
        w[2 * i] = v[i];
        w[2 * i + 1] = v[i + K / 2];
        zip2(w[2 * i], w[2 * i + 1], LanesUpTo<L>{});
      }
      HP_UNROLL for (int i = 0; i < K; ++i) v[i] = w[i];
    }
  }
}

template <class R, int L, int K>
HP_INLINE void unzip_all(R* v) {
  R w[K];
  HP_UNROLL for (int round = 1; round < K; round *= 2) {
    HP_UNROLL for (int i = 0; i < K / 2; ++i) {
      w[i] = v[2 * i];
      w[i + K / 2] = v[2 * i + 1];
      unzip2(w[i], w[i + K / 2], LanesUpTo<L>{});
    }
    HP_UNROLL for (int i = 0; i < K; ++i) v[i] = w[i];
  }
}

// Register M of three streams that alternate, and stream M of three that did.
template <int M, class R, int... I>
HP_INLINE R zip3(const R* v, Lanes<I...>) {
  constexpr int L = sizeof...(I);
  const R two = __builtin_shufflevector(v[0], v[1], ((M * L + I) % 3 == 2 ? 0 : (M * L + I) / 3 + (M * L + I) % 3 * L)...);
  return __builtin_shufflevector(two, v[2], ((M * L + I) % 3 == 2 ? L + (M * L + I) / 3 : I)...);
}

template <int M, class R, int... I>
HP_INLINE R unzip3(const R* v, Lanes<I...>) {
  constexpr int L = sizeof...(I);
  const R two = __builtin_shufflevector(v[0], v[1], (3 * I + M < 2 * L ? 3 * I + M : 0)...);
  return __builtin_shufflevector(two, v[2], (3 * I + M < 2 * L ? I : 3 * I + M - L)...);
}

}  // namespace
}  // namespace hp
