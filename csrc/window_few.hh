// SPDX-License-Identifier: MIT
// The window kernel for a softmax and few channels, such as optical flow: nearly all work is per weight, and weights are read once.
//
// Lanes lie along the low-resolution columns. For each phase of an output row maximum, exponentials, their sum and the channels' sums
// are made of one register of every tap; the gradients of x and of logits in one reading too. All rows of a strip are gone through
// for one output row of each before the next, so that every phase's plane of logits is read in the order of memory.
// Internal linkage, see simd.hh.
#pragma once

#include "window_phases.hh"

namespace hp {
namespace {

template <class C>
struct Few : Phases<C> {
  typedef Phases<C> Base;
  static constexpr int L = Base::L;
  using Base::at;
  using Base::codec;
  using Base::here;
  using Base::s;
  using Base::spare;
  using Base::streams;
  using Base::w;
  using Base::ways;
  using Base::weight_codec;
  using Base::weights;
  C *xs, *sums, *acc;  // padded rows of x and of its gradient; what taps add to the gradient, column by column
  int64_t next, phase;  // steps of weights: to the next column, to the next phase
  bool direct;          // logits are read and written where they lie
  int64_t span;         // columns that are gone through: at least a register

  Few(const Window& window, int64_t task, char* arena) : Base(window, task, arena), xs(Base::rows), sums(Base::sums), acc(Base::soft) {
    const bool shuffled = s.scale[1] > 1;
    next = shuffled ? s.w_col : s.w_col * ways;
    phase = shuffled ? s.w_sub_col : s.w_col;
    direct = next == 1 && here >= L && weight_codec.bytes == int64_t(sizeof(C));
    span = direct ? here : w.tile;
  }

  int64_t channels() const { return w.group_channels; }
  char* weight_row(char* base, int64_t o) const { return base + s.at(at.n, at.group * w.taps, o, 0) * weight_codec.bytes; }

  // Rows [row - reach, row_end + reach) of every channel, padded; those outside are 0, or with `replicate` the nearest.
  void xs_in() {
    C* to = xs;
    for (int64_t b = at.row - w.r_h; b < at.row_end + w.r_h; ++b, to += channels() * w.row) {
      const bool outside = b < 0 || b >= s.in[0];
      if (outside && !s.replicate) clear(to, channels() * w.row);
      else this->padded_row(clamped(b, s.in[0]), to);
    }
  }
  const C* window_of(int64_t b) const { return xs + (b - at.row) * channels() * w.row; }

  // f(input row, output row, and the next one or -1): one output row of each input row, then the next of each.
  template <class F>
  void each_output(int64_t begin, int64_t end, const F& f) {
    int64_t last_b = -1, last_o = -1;
    for (int64_t i = 0, any = 1; any; ++i) {
      any = 0;
      for (int64_t b = begin; b < end; ++b) {
        const int64_t o = w.first_row[b] + i;
        if (o >= w.first_row[b + 1]) continue;
        if (last_o >= 0) f(last_b, last_o, o);
        last_b = b, last_o = o, any = 1;
      }
    }
    if (last_o >= 0) f(last_b, last_o, -1);
  }

  // The logits of an output row's phase: the first tap's, the step between taps, and how far the next row's are.
  struct Logits {
    const C* first;
    int64_t step, ahead;
  };
  void logits_of_row(const char* base, int64_t o) {
    if (!direct) this->logits_in(base, weights, o, o + 1);
  }
  Logits logits_of(const char* base, int64_t o, int64_t o_next, int64_t j) {
    if (!direct) return {weights + j * w.taps * w.tile, w.tile, 0};
    const int64_t place = s.at(at.n, at.group * w.taps, o, 0);
    return {reinterpret_cast<const C*>(base) + place + j * phase, s.w_tap, o_next < 0 ? 0 : s.at(at.n, at.group * w.taps, o_next, 0) - place};
  }

  // Calls f(i, first lane that is new) for registers that cover the columns; the last may overlap the one before.
  template <class F>
  HP_INLINE void each_register(const F& f) {
    int64_t i = 0;
    for (; i + L <= span; i += L) f(i, 0);
    if (i < span) f(span - L, i - (span - L));
  }

  template <int K, class F>
  HP_INLINE void each_tap(const F& f) const {
    if constexpr (K > 0) {
      HP_UNROLL for (int dy = 0; dy < K; ++dy)
        HP_UNROLL for (int dx = 0; dx < K; ++dx) f(dy * K + dx, dy, dx);
    } else {
      int64_t t = 0;
      for (int64_t dy = 0; dy < s.kernel[0]; ++dy)
        for (int64_t dx = 0; dx < s.kernel[1]; ++dx) f(t++, dy, dx);
    }
  }
  // The largest of a register of every tap.
  template <int K>
  HP_INLINE V<C> top_of(const C* from, int64_t step) const {
    V<C> top = load_as<V<C>>(from);
    each_tap<K>([&](int64_t t, int64_t, int64_t) {
      const V<C> v = load_as<V<C>>(from + t * step);
      top = v > top ? v : top;
    });
    return top;
  }

  // ---------------------------------------------------------------------------------------------- forward

  template <int CB, int K>
  HP_INLINE void phase_forward(const Logits& logits, const C* x, C* to) {
    each_register([&](int64_t i, int64_t) {
      const C* from = logits.first + i;
      const V<C> top = top_of<K>(from, logits.step);
      V<C> whole{}, sum[CB] = {};
      each_tap<K>([&](int64_t t, int64_t dy, int64_t dx) {
        const C* p = from + t * logits.step;
        const V<C> e = exponent<C>(load_as<V<C>>(p) - top);
        __builtin_prefetch(p + logits.ahead, 0, 2);
        whole += e;
        HP_UNROLL for (int k = 0; k < CB; ++k) sum[k] = madd<C>(e, load_as<V<C>>(x + (dy * CB + k) * w.row + i + dx), sum[k]);
      });
      const V<C> part = splat<C>(1) / whole;
      HP_UNROLL for (int k = 0; k < CB; ++k) store_as(to + k * ways * w.tile + i, sum[k] * part);
    });
  }

  template <int CB, int K>
  void rows_forward() {
    xs_in();
    each_output(at.row, at.row_end, [&](int64_t b, int64_t o, int64_t o_next) {
      logits_of_row(w.w, o);
      for (int64_t j = 0; j < ways; ++j) phase_forward<CB, K>(logits_of(w.w, o, o_next, j), window_of(b), streams + j * w.tile);
      this->ys_out(0, CB, o, o + 1, streams, ways * w.tile);
    });
    if (w.stream) stream_fence();
  }

  // ---------------------------------------------------------------------------------------------- gradients

  // Of a phase: the gradient of logits to `to`, and what every tap adds to x's.
  template <int CB, int K>
  HP_INLINE void phase_back(const Logits& logits, const C* x, const C* y, C* to, int64_t to_step) {
    const int64_t tile = w.tile, taps = K ? K * K : w.taps;
    V<typename IntegerOf<C>::type> lane;
    HP_UNROLL for (int l = 0; l < L; ++l) lane[l] = l;
    each_register([&](int64_t i, int64_t first) {
      const C* from = logits.first + i;
      V<C> kept[K ? K * K : 1];  // exponentials; in memory where they are too many for registers
      const auto keep = [&](int64_t t, V<C> v) {
        if constexpr (K > 0) kept[t] = v;
        else store_as(spare + t * L, v);
      };
      const auto get = [&](int64_t t) -> V<C> {
        if constexpr (K > 0) return kept[t];
        else return load_as<V<C>>(spare + t * L);
      };
      const V<C> top = top_of<K>(from, logits.step);
      V<C> whole{};
      each_tap<K>([&](int64_t t, int64_t, int64_t) {
        const V<C> e = exponent<C>(load_as<V<C>>(from + t * logits.step) - top);
        __builtin_prefetch(from + t * logits.step + logits.ahead, 0, 2);
        keep(t, e);
        whole += e;
      });
      const V<C> part = splat<C>(1) / whole;
      V<C> g[CB], of[CB];
      HP_UNROLL for (int k = 0; k < CB; ++k) {
        g[k] = load_as<V<C>>(y + k * ways * tile + i) * part;
        of[k] = lane >= splat<typename IntegerOf<C>::type>(typename IntegerOf<C>::type(first)) ? g[k] : V<C>{};
      }
      if (w.grad_x)
        each_tap<K>([&](int64_t t, int64_t, int64_t) {
          HP_UNROLL for (int k = 0; k < CB; ++k) {
            C* a = acc + (k * taps + t) * tile + i;
            store_as(a, madd<C>(get(t), of[k], load_as<V<C>>(a)));
          }
        });
      if (!to) return;
      // With e the exponentials and d = sum over channels of g x / sum(e): e (d - sum(e d) / sum(e)).
      const auto dot = [&](int64_t dy, int64_t dx) {
        const C* at_tap = x + dy * CB * w.row + i + dx;
        V<C> d = g[0] * load_as<V<C>>(at_tap);
        HP_UNROLL for (int k = 1; k < CB; ++k) d = madd<C>(g[k], load_as<V<C>>(at_tap + k * w.row), d);
        return d;
      };
      V<C> mean{};
      each_tap<K>([&](int64_t t, int64_t dy, int64_t dx) { mean = madd<C>(get(t), dot(dy, dx), mean); });
      mean *= part;
      each_tap<K>([&](int64_t t, int64_t dy, int64_t dx) {
        const V<C> made = get(t) * (dot(dy, dx) - mean);
        C* out = to + t * to_step + i;
        if (w.stream && uintptr_t(out) % sizeof made == 0) store_stream(out, made);
        else store_as(out, made);
      });
    });
  }

  // What every tap added, each moved by its tap, onto the rows of the gradient.
  template <int CB>
  void spread(int64_t b) {
    for (int64_t dy = 0; dy < s.kernel[0]; ++dy) {
      int64_t row = b + dy - w.r_h;
      if (s.replicate) row = clamped(row, s.in[0]);
      if (row < at.row || row >= at.row_end) continue;
      for (int k = 0; k < CB; ++k) {
        C* to = sums + ((row - at.row) * CB + k) * w.row;
        const C* from = acc + (k * w.taps + dy * s.kernel[1]) * w.tile;
        for (int64_t dx = 0; dx < s.kernel[1]; ++dx, from += w.tile)
          for (int64_t i = 0; i < w.tile; i += L) store_as(to + i + dx, load_as<V<C>>(to + i + dx) + load_as<V<C>>(from + i));
      }
    }
  }

  template <int CB, int K>
  void rows_back() {
    const bool of_x = w.grad_x, of_w = w.way == WindowWay::back_w;
    const char* base = of_w ? w.logits : w.w;
    if (of_w) xs_in();
    if (of_x) clear(sums, (at.row_end - at.row) * CB * w.row);
    const int64_t reach = of_x ? w.r_h : 0;
    each_output(larger(0, at.row - reach), smaller(s.in[0], at.row_end + reach), [&](int64_t b, int64_t o, int64_t o_next) {
      const bool own = of_w && b >= at.row && b < at.row_end;
      logits_of_row(base, o);
      this->ys_in(0, CB, o, o + 1, streams, ways * w.tile);
      if (of_x) clear(acc, CB * w.taps * w.tile);
      for (int64_t j = 0; j < ways; ++j) {
        const Logits logits = logits_of(base, o, o_next, j);
        C* to = nullptr;
        if (own) to = direct ? reinterpret_cast<C*>(w.w) + (logits.first - reinterpret_cast<const C*>(base)) : weights + j * w.taps * w.tile;
        phase_back<CB, K>(logits, own ? window_of(b) : nullptr, streams + j * w.tile, to, logits.step);
      }
      if (own && !direct) this->gradients_out(o, o + 1);
      if (of_x) spread<CB>(b);
    });
    if (of_x)
      for (int64_t row = at.row; row < at.row_end; ++row) this->emit_row(w.grad_x, row, sums + (row - at.row) * CB * w.row);
    if (w.stream) stream_fence();
  }

  // ---------------------------------------------------------------------------------------------- kinds

  template <int CB>
  void channels_run() {
    const bool three = s.kernel[0] == 3 && s.kernel[1] == 3;
    if (w.way == WindowWay::forward) return three ? rows_forward<CB, 3>() : rows_forward<CB, 0>();
    return three ? rows_back<CB, 3>() : rows_back<CB, 0>();
  }
  void run() {
    switch (channels()) {
      case 1: return channels_run<1>();
      case 2: return channels_run<2>();
      case 3: return channels_run<3>();
      default: return channels_run<4>();
    }
  }
};

}  // namespace
}  // namespace hp
