// SPDX-License-Identifier: MIT
// Blocks of sums in registers: the products of convolve_isa.cc. Internal linkage, see simd.hh.
#pragma once

#include "convolve.hh"
#include "rows.hh"

namespace hp {
namespace {

// A block of kBlock channels by kWide registers of positions leaves room for one register of each factor.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kBlock = 8, kWide = 3;
#elif defined(__AVX2__)
constexpr int kBlock = 4, kWide = 3;
#else
constexpr int kBlock = 4, kWide = 2;
#endif

template <class C>
constexpr int64_t kAcross = kWide * kLanes<C>;

// Channels are taken in blocks of kBlock, the rest in powers of two.
inline int64_t block_of(int64_t rest) {
  int64_t m = kBlock;
  while (m > rest) m /= 2;
  return m;
}

// Registers that are taken together: as many as there are, without one alone after three.
inline int64_t registers_of(int64_t rest) { return rest == 4 ? 2 : smaller(rest, kWide); }

// Room for `count` elements of the arena, from whole lines; without an arena, they are counted alone.
template <class C>
C* taken(char* arena, int64_t& used, int64_t count) {
  C* at = arena ? reinterpret_cast<C*>(arena + used) : nullptr;
  used += (count * int64_t(sizeof(C)) + 63) / 64 * 64;
  return at;
}

// ------------------------------------------------------------------------------------------------ blocks

template <class C, int M, int N>
struct Sums {
  V<C> v[M][N];

  HP_INLINE void begin(const C* bias) {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = splat<C>(bias ? bias[m] : C(0));
  }
  HP_INLINE void load(const C* from, int64_t step) {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = load_as<V<C>>(from + m * step + n * kLanes<C>);
  }
  HP_INLINE void store(C* to, int64_t step) const {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) store_as(to + m * step + n * kLanes<C>, v[m][n]);
  }
  HP_INLINE void add(const C* a, const C* b, const int64_t* at) {
    V<C> across[N];
    HP_UNROLL for (int n = 0; n < N; ++n) across[n] = load_as<V<C>>(b + at[n]);
    HP_UNROLL for (int m = 0; m < M; ++m) {
      const V<C> one = splat<C>(a[m]);
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = madd<C>(one, across[n], v[m][n]);
    }
  }
};

// M channels at N registers of positions: sums over channels of the panel and taps.
template <class C>
struct Product {
  const C *weight, *panel, *bias;
  int64_t at[kWide];  // of each register's positions in the panel
  int64_t channels, panel_step, taps;
  const int64_t* offset;
  C* sums;
  int64_t step;
  bool more;  // on top of what stands in sums
};

template <class C, int M, int N>
void product(const Product<C>& p) {
  Sums<C, M, N> sums;
  if (p.more) sums.load(p.sums, p.step);
  else sums.begin(p.bias);
  const C *a = p.weight, *b = p.panel;
  int64_t at[N];
  HP_UNROLL for (int n = 0; n < N; ++n) at[n] = p.at[n];
  if (p.taps == 1) {
    b += p.offset[0];
    for (int64_t c = 0; c < p.channels; ++c, a += M, b += p.panel_step) sums.add(a, b, at);
  } else {
    for (int64_t c = 0; c < p.channels; ++c, b += p.panel_step)
      for (int64_t t = 0; t < p.taps; ++t, a += M) sums.add(a, b + p.offset[t], at);
  }
  sums.store(p.sums, p.step);
}

// M channels of the gradient by N registers of channels of x: sums over the places of a tile.
template <class C>
struct OuterProduct {
  const C *grad, *x;
  int64_t rows, columns, grad_row, grad_column;
  C* sums;
};

template <class C, int M, int N>
void outer_product(const OuterProduct<C>& p) {
  constexpr int64_t A = N * kLanes<C>;
  Sums<C, M, N> sums;
  sums.load(p.sums, A);
  const C* b = p.x;
  int64_t at[N];
  HP_UNROLL for (int n = 0; n < N; ++n) at[n] = n * kLanes<C>;
  for (int64_t r = 0; r < p.rows; ++r) {
    const C* a = p.grad + r * p.grad_row;
    for (int64_t i = 0; i < p.columns; ++i, a += p.grad_column, b += A) sums.add(a, b, at);
  }
  sums.store(p.sums, A);
}

template <int M, class C>
void product_of(int64_t n, const Product<C>& p) {
  if (n == 1) return product<C, M, 1>(p);
  if (n == 2) return product<C, M, 2>(p);
  if constexpr (kWide > 2) return product<C, M, 3>(p);
}
template <int M, class C>
void product_of(int64_t n, const OuterProduct<C>& p) {
  if (n == 1) return outer_product<C, M, 1>(p);
  if (n == 2) return outer_product<C, M, 2>(p);
  if constexpr (kWide > 2) return outer_product<C, M, 3>(p);
}
template <class P>
void run_product(int64_t m, int64_t n, const P& p) {
  switch (m) {
    case 1: return product_of<1>(n, p);
    case 2: return product_of<2>(n, p);
    case 4: return product_of<4>(n, p);
    default: return product_of<kBlock>(n, p);
  }
}

}  // namespace
}  // namespace hp
