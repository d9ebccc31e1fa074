// SPDX-License-Identifier: MIT
// Along the row: outputs in blocks of one register, or pixel by pixel. Internal linkage, see simd.hh.
#pragma once

#include "rows.hh"

namespace hp {
namespace {

// A few rows at once share the index and weight registers and give the multiply-adds room to overlap.
template <class C>
struct RowSet {
  const C* from[kTogether];  // at input element 0, possibly outside memory that may be read
  C* to[kTogether];          // at the first block asked for
  int count;                 // 1 or kTogether
};

// G taps share what was loaded for the first of them: their lanes lie inside the same registers.
template <class C, int R, int K, int G, bool Masked, int M>
void along_blocks(const FlatTable& table, const Run& run, int64_t begin, int64_t end, const RowSet<C>& rows, int64_t skip, const Post& post) {
  constexpr int L = kLanes<C>;
  const int taps = K ? K : run.taps;
  const int64_t stride = table.stride;
  for (int64_t b = begin; b < end; ++b) {
    const uint8_t* pattern = table.patterns + table.pattern[b] * table.pattern_bytes;
    const auto index = load_as<V<int64_t>>(pattern);
    const int32_t* lane = reinterpret_cast<const int32_t*>(pattern + kRegister);
    const C* weight = reinterpret_cast<const C*>(pattern + kRegister + L * sizeof(int32_t));
    const int64_t base = table.base[b];
    V<C> sum[M];
    HP_UNROLL for (int m = 0; m < M; ++m) sum[m] = table.bias ? load_as<V<C>>(static_cast<const C*>(table.bias) + b * L) : splat<C>(C(-0.0));
    auto add = [&](int k, int64_t from, V<int64_t> at) {
      V<C> w = load_as<V<C>>(weight + k * L);
      HP_UNROLL for (int m = 0; m < M; ++m) {
        V<C> next = tap<C>(w, pick<C, R>(rows.from[m] + base + from, at, lane), sum[m], post);
        if constexpr (Masked) sum[m] = w != 0 ? next : sum[m];
        else sum[m] = next;
      }
    };
    if constexpr (K > 0) {
      HP_UNROLL for (int k = 0; k < K; ++k) add(k, (k - k % G) * stride, k % G ? moved<C>(index, (k % G) * stride) : index);
    } else {
      int k = 0;
      if constexpr (G == 2) {
        const auto next = moved<C>(index, stride);
        for (; k + 2 <= taps; k += 2) add(k, k * stride, index), add(k + 1, k * stride, next);
      }
      for (; k < taps; ++k) add(k, k * stride, index);
    }
    HP_UNROLL for (int m = 0; m < M; ++m) store_as(rows.to[m] + skip + (b - begin) * L, post.kind == Post::none ? sum[m] : SomePost::finish<C>(sum[m], post));
  }
}

template <class C, int R, bool Masked, int M>
inline void along_taps(const FlatTable& table, const Run& run, int64_t begin, int64_t end, const RowSet<C>& rows, int64_t skip, const Post& post) {
  if constexpr (R != kReachAny && kSame<C, float>) {
    if constexpr (R != kReach4) {
      if (run.taps == 2 && run.sharing >= 2) return along_blocks<C, R, 2, 2, Masked, M>(table, run, begin, end, rows, skip, post);
      if (run.taps == 4 && run.sharing >= 4) return along_blocks<C, R, 4, 4, Masked, M>(table, run, begin, end, rows, skip, post);
      if (run.taps == 4 && run.sharing >= 2) return along_blocks<C, R, 4, 2, Masked, M>(table, run, begin, end, rows, skip, post);
    }
    if (run.sharing >= 2) return along_blocks<C, R, 0, 2, Masked, M>(table, run, begin, end, rows, skip, post);
  }
  return along_blocks<C, R, 0, 1, Masked, M>(table, run, begin, end, rows, skip, post);
}

template <class C, int M>
inline void along_run(const FlatTable& table, const Run& run, int64_t begin, int64_t end, const RowSet<C>& rows, int64_t skip, const Post& post) {
  const bool masked = run.masked;
  auto go = [&]<int R>() {
    masked ? along_taps<C, R, true, M>(table, run, begin, end, rows, skip, post) : along_taps<C, R, false, M>(table, run, begin, end, rows, skip, post);
  };
  if constexpr (kPermutes) {
    if (run.reach == kReach1) return go.template operator()<kReach1>();
    if (run.reach == kReach2) return go.template operator()<kReach2>();
    if (run.reach == kReach4) return go.template operator()<kReach4>();
  }
  go.template operator()<kReachAny>();
}

template <class C>
void along_listed(const TapList& taps, int stride, int64_t begin, int64_t end, const C* row, C* out, const Post& post) {
  constexpr int L = kLanes<C>;
  for (int64_t j = begin * L; j < end * L; ++j) {
    int64_t o = j / stride, c = j % stride;
    C sum = C(-0.0);
    if (o < taps.n_out) {
      if (taps.bias) sum = static_cast<const C*>(taps.bias)[o];
      for (int64_t k = taps.first[o]; k < taps.first[o + 1]; ++k) {
        C w = static_cast<const C*>(taps.weight)[k], v = row[taps.index[k] * stride + c];
        if constexpr (kSame<C, int32_t>) sum += (w * (v >> post.pre)) >> post.tap_shift;
        else sum = tap1<C>(w, v, sum, post);
      }
    }
    out[j - begin * L] = (post.kind == Post::none ? splat<C>(sum) : SomePost::finish<C>(splat<C>(sum), post))[0];
  }
}

// Blocks [begin, end) of the rows' outputs, in whole registers; only what the blocks' windows name is read.
template <class C>
void along(const Job& job, const Stage& stage, int64_t begin, int64_t end, const RowSet<C>& rows) {
  constexpr int L = kLanes<C>;
  const FlatTable& table = job.flat;
  for (int64_t r = 0; r < table.run_count; ++r) {
    const Run& run = table.runs[r];
    const int64_t b = larger(run.begin, begin), e = smaller(run.end, end), skip = (b - begin) * L;
    if (b >= e) continue;
    if (run.listed) {
      for (int m = 0; m < rows.count; ++m) along_listed<C>(stage.taps, table.stride, b, e, rows.from[m], rows.to[m] + skip, stage.post);
    } else if (rows.count == kTogether) {
      along_run<C, kTogether>(table, run, b, e, rows, skip, stage.post);
    } else {
      along_run<C, 1>(table, run, b, e, rows, skip, stage.post);
    }
  }
}

// Pixels [begin, end), each a short vector of its channels; four lanes are read and written whatever the number of channels is,
// so rows have room for them and pixels are written in order. Row pointers as in RowSet, `to` at pixel `begin`.
template <class C, int M>
void along_pixels(const TapList& taps, int64_t channels, int64_t begin, int64_t end, const RowSet<C>& rows) {
  for (int64_t o = begin; o < end; ++o) {
    const int64_t first = taps.first[o], last = taps.first[o + 1];
    const C bias = taps.bias ? static_cast<const C*>(taps.bias)[o] : C(-0.0);
    const C* weight = static_cast<const C*>(taps.weight);
    if (channels == 1) {
      C sum[M];
      HP_UNROLL for (int m = 0; m < M; ++m) sum[m] = bias;
      for (int64_t k = first; k < last; ++k)
        HP_UNROLL for (int m = 0; m < M; ++m) sum[m] = madd1<C>(weight[k], rows.from[m][taps.index[k]], sum[m]);
      HP_UNROLL for (int m = 0; m < M; ++m) rows.to[m][o - begin] = sum[m];
    } else {
      typedef Vec<C, 4> P;
      P sum[M];
      HP_UNROLL for (int m = 0; m < M; ++m) sum[m] = bias - P{};
      for (int64_t k = first; k < last; ++k) {
        const P w = weight[k] - P{};
        HP_UNROLL for (int m = 0; m < M; ++m) sum[m] = madd4<C>(w, load_as<P>(rows.from[m] + taps.index[k] * channels), sum[m]);
      }
      HP_UNROLL for (int m = 0; m < M; ++m) store_as(rows.to[m] + (o - begin) * channels, sum[m]);
    }
  }
}

// One pixel of many channels out of K others; at least a register of channels.
template <int K, class C, class Tout>
inline void pixel_of(const C* const* rows, const C* weight, C bias, int64_t channels, Tout* out, Rounding rounding) {
  constexpr int64_t L = kLanes<C>;
  V<C> w[K];
  HP_UNROLL for (int k = 0; k < K; ++k) w[k] = splat<C>(weight[k]);
  auto at = [&](int64_t c) {
    V<C> sum = splat<C>(bias);
    HP_UNROLL for (int k = 0; k < K; ++k) sum = madd<C>(w[k], load_as<V<C>>(rows[k] + c), sum);
    return narrow<Tout, C>(sum, rounding);
  };
  int64_t c = 0;
  for (; c + L <= channels; c += L) store_as(out + c, at(c));
  if (c < channels) store_lanes(out + channels - L, at(channels - L), L - (channels - c), L);
}

}  // namespace
}  // namespace hp
