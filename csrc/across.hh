// SPDX-License-Identifier: MIT
// Across lines: output lines out of whole input lines, every element by itself. Internal linkage, see simd.hh.
#pragma once

#include "rows.hh"

namespace hp {
namespace {

// Which of kTogether output lines read a row: those from `first` to `last`.
typedef uint8_t Readers;
constexpr Readers readers_of(int first, int last) { return Readers(1 + first * kTogether + last); }
inline bool reads(Readers readers, int line) { return line >= (readers - 1) / kTogether && line <= (readers - 1) % kTogether; }

// out[i][j] = bias[i] + sum_k weight[i][k] * rows[k][j] for N output lines that read the same rows. Rows of Tin widen as they are
// read, results are stored as Tout.
template <class C, class Tin, class Tout, int N = 1>
struct Across {
  const Tin* const* rows;
  int taps;
  const Post* post;
  Rounding rounding;
  const C* weight[N];
  C bias[N];
  Tout* out[N];
  const Readers* readers = nullptr;  // null: every row is read for all N lines
  int ahead_from = INT32_MAX;        // with these rows and later ones, what stands `ahead` bytes further on is fetched: the next
  int64_t ahead = 0;                 // lines will read it

  static constexpr int64_t L = kLanes<C>;
  // A kernel of ten shapes: for the types where it pays, or the library would grow by half.
  static constexpr bool kReads = N == kTogether && kSame<C, float> && (kSame<Tin, float> || kSame<Tin, uint8_t>) && (kSame<Tout, float> || kSame<Tout, uint8_t>);

  template <int U>
  HP_INLINE void sum(V<C> (&total)[N][U], int64_t j) const {
    HP_UNROLL for (int i = 0; i < N; ++i)
      HP_UNROLL for (int u = 0; u < U; ++u) total[i][u] = splat<C>(bias[i]);
    if constexpr (kReads) {
      if (readers) return sum_of_readers<U>(total, j);
    }
    for (int k = 0; k < taps; ++k) {
      const Tin* p = rows[k] + j;
      V<C> v[U];
      HP_UNROLL for (int u = 0; u < U; ++u) v[u] = widen<Tin, C>(p + u * L);
      HP_UNROLL for (int i = 0; i < N; ++i) {
        V<C> w = splat<C>(weight[i][k]);
        HP_UNROLL for (int u = 0; u < U; ++u) total[i][u] = tap<C>(w, v[u], total[i][u], *post);
      }
    }
  }
  // Windows that differ: each row is read once, for those lines that have a tap there. weight[0] holds N weights a row.
  template <int U>
  HP_INLINE void sum_of_readers(V<C> (&total)[N][U], int64_t j) const {
    for (int k = 0; k < taps; ++k) {
      const Tin* p = rows[k] + j;
      const C* w = weight[0] + k * N;
      V<C> v[U];
      if (k >= ahead_from) {
        HP_UNROLL for (int u = 0; u < U; ++u)
          if (u * L * sizeof(Tin) % 64 == 0) __builtin_prefetch(reinterpret_cast<const char*>(p + u * L) + ahead);
      }
      HP_UNROLL for (int u = 0; u < U; ++u) v[u] = widen<Tin, C>(p + u * L);
      if constexpr (U == 1) {
        HP_UNROLL for (int i = 0; i < N; ++i)
          if (reads(readers[k], i)) total[i][0] = madd<C>(splat<C>(w[i]), v[0], total[i][0]);
        continue;
      }
      auto add = [&]<int A, int B>() {
        HP_UNROLL for (int i = A; i <= B; ++i) {
          V<C> one = splat<C>(w[i]);
          HP_UNROLL for (int u = 0; u < U; ++u) total[i][u] = madd<C>(one, v[u], total[i][u]);
        }
      };
      switch (readers[k]) {
        case readers_of(0, 0): add.template operator()<0, 0>(); break;
        case readers_of(0, 1): add.template operator()<0, 1>(); break;
        case readers_of(0, 2): add.template operator()<0, 2>(); break;
        case readers_of(0, 3): add.template operator()<0, 3>(); break;
        case readers_of(1, 1): add.template operator()<1, 1>(); break;
        case readers_of(1, 2): add.template operator()<1, 2>(); break;
        case readers_of(1, 3): add.template operator()<1, 3>(); break;
        case readers_of(2, 2): add.template operator()<2, 2>(); break;
        case readers_of(2, 3): add.template operator()<2, 3>(); break;
        case readers_of(3, 3): add.template operator()<3, 3>(); break;
      }
    }
  }
  HP_INLINE auto stored(V<C> v) const { return narrow<Tout, C>(post->kind == Post::none ? v : SomePost::finish<C>(v, *post), rounding); }

  template <int U, bool Stream>
  HP_INLINE void block(int64_t j) const {
    V<C> total[N][U];
    sum<U>(total, j);
    HP_UNROLL for (int i = 0; i < N; ++i)
      HP_UNROLL for (int u = 0; u < U; ++u) {
        if constexpr (Stream) store_stream(out[i] + j + u * L, stored(total[i][u]));
        else store_as(out[i] + j + u * L, stored(total[i][u]));
      }
  }
  // Lanes [from, to) of the register at j: what lies beyond is computed but not stored.
  __attribute__((noinline)) void lanes(int64_t j, int64_t from, int64_t to) const {
    V<C> total[N][1];
    sum<1>(total, j);
    HP_UNROLL for (int i = 0; i < N; ++i) store_lanes(out[i] + j, stored(total[i][0]), from, to);
  }

  // What is left beside the blocks: one register, as a call, since it stands in many places.
  __attribute__((noinline)) void single(int64_t j, bool stream) const {
    if (stream) block<1, true>(j);
    else block<1, false>(j);
  }

  __attribute__((noinline)) void partial(int64_t count) const {  // fewer than a register: through buffers, nothing past the end is touched
    HP_UNROLL for (int i = 0; i < N; ++i) {
      V<C> total = splat<C>(bias[i]);
      Tin buffer[L];
      __builtin_memset(buffer, 0, sizeof buffer);
      for (int k = 0; k < taps; ++k) {
        if (readers && !reads(readers[k], i)) continue;
        __builtin_memcpy(buffer, rows[k], size_t(count) * sizeof(Tin));
        total = tap<C>(splat<C>(readers ? weight[0][k * N + i] : weight[i][k]), widen<Tin, C>(buffer), total, *post);
      }
      store_lanes(out[i], stored(total), 0, count);
    }
  }

  void run(int64_t n, bool stream) const {
    if (n < L) return partial(n);
    if constexpr (kReads && kRegister == 64) {
      if (readers) return run_by<4>(n, stream);
    }
    run_by<N == 4 ? 2 : 4>(n, stream);
  }
  template <int64_t U>
  void run_by(int64_t n, bool stream) const {
    int64_t j = 0;
    if (stream) {
      const StreamRange range = stream_range(out[0], n, sizeof(Tout), U * L);
      for (; j + L <= range.begin; j += L) single(j, false);
      if (j < range.begin) lanes(j, 0, range.begin - j);
      for (j = range.begin; j + U * L <= range.end; j += U * L) block<U, true>(j);
      for (; j < range.end; j += L) single(j, true);
    }
    for (; j + U * L <= n; j += U * L) block<U, false>(j);
    for (; j + L <= n; j += L) single(j, false);
    if (j < n) lanes(n - L, L - (n - j), L);
  }
};

}  // namespace
}  // namespace hp
