// SPDX-License-Identifier: MIT
// The window kernel with lanes along the low-resolution columns, where the output's width is a multiple of the input's.
//
// Weights and outputs are taken apart into the phases of their columns, so that lane b of every stream belongs to input column b:
// taps are then shifted loads of padded rows. The weights of a tile are taken apart once and serve all channels of a group.
// Internal linkage, see simd.hh.
#pragma once

#include "window_rows.hh"

namespace hp {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kPassChannels = 4;  // of 32 registers: 16 sums, 4 inputs and what is loaded
#else
constexpr int kPassChannels = 2;
#endif
constexpr int kPassStreams = 4;

// A row of the window, and the distance of its channels: 0 for a row of zeros.
template <class C>
struct TapRowOf {
  const C* row;
  int64_t step;
};

template <class C>
struct Phases {
  typedef TapRowOf<C> TapRow;
  static constexpr int L = kLanes<C>;
  const Window& w;
  const WindowSpec& s;
  const Place at;
  const Codec<C> codec, weight_codec;
  int64_t* tag;
  TapRow* tap_rows;
  C *rows, *zero, *weights, *soft, *streams, *sums, *spare;
  int64_t ways, t0, here;  // streams of a row; the tile's first column and its columns
  int64_t w_pitch, y_pitch;  // of a tap's weights, of a stream: for the gradient of x both lie between margins of 0

  Phases(const Window& window, int64_t task, char* arena)
      : w(window), s(window.spec), at(window, task), codec(hp::codec<C>(s.type)), weight_codec(hp::codec<C>(s.weight_type)) {
    tag = reinterpret_cast<int64_t*>(arena + w.at_tags);
    tap_rows = reinterpret_cast<TapRow*>(tag + s.kernel[0]);
    const auto part = [&](int64_t offset) { return reinterpret_cast<C*>(arena + offset); };
    rows = part(w.at_rows), zero = part(w.at_zero), weights = part(w.at_weights), streams = part(w.at_y), sums = part(w.at_sums);
    spare = part(w.at_spare), soft = part(w.at_soft);
    ways = s.out[1] / s.in[1];
    w_pitch = y_pitch = w.tile;
    if (w.way == WindowWay::back_x && !w.few) {
      w_pitch = y_pitch = w.tile + reach();
      weights += reach(), streams += reach();
    }
    choose(at.tile);
  }
  void choose(int64_t tile) {
    t0 = tile * w.tile;
    here = smaller(w.tile, s.in[1] - t0);
  }

  // Few channels may also come last: their planes are taken apart on the way.
  int64_t element(const int64_t* size, int64_t c, int64_t row, int64_t col) const {
    return s.last ? ((at.n * size[0] + row) * size[1] + col) * s.channels + c : ((at.n * s.channels + c) * size[0] + row) * size[1] + col;
  }
  char* x_row(char* base, int64_t c, int64_t row) const { return base + element(s.in, c, row, 0) * codec.bytes; }
  char* y_row(int64_t c, int64_t row) const { return w.y + element(s.out, c, row, t0 * ways) * codec.bytes; }

  // Channels and planes of phases are many streams, of which processors follow a few: what the next input row takes from each is
  // asked for when this one takes its own.
  static void ask(const char* p, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
  }

  // ---------------------------------------------------------------------------------------------- rows of x

  void padded_row(int64_t b, C* to) {
    const int64_t low = t0 - w.r_w, first = larger(low, 0), last = smaller(t0 + w.tile + w.r_w, s.in[1]);
    for (int64_t c = 0; c < at.channels; ++c, to += w.row) {
      const char* from = x_row(w.x, at.channel + c, b);
      if (s.last) {
        codec.gather(from + first * s.channels * codec.bytes, s.channels, last - first, to + (first - low), 1);
      } else {
        codec.in(from + first * codec.bytes, last - first, to + (first - low));
        ask(from + (first + s.in[1]) * codec.bytes, (last - first) * codec.bytes);
      }
      const C before = s.replicate && first > low ? to[first - low] : C(0), behind = s.replicate ? to[last - 1 - low] : C(0);
      for (int64_t i = 0; i < first - low; ++i) to[i] = before;
      for (int64_t i = last - low; i < w.row; ++i) to[i] = behind;
    }
  }

  // A row of every channel, padded by the window's reach, unless it is there already.
  C* row_of(int64_t b) {
    const int64_t slot = b % s.kernel[0];
    C* made = rows + slot * at.channels * w.row;
    if (tag[slot] == b) return made;
    tag[slot] = b;
    padded_row(b, made);
    return made;
  }

  // The rows of the window around row b.
  void look(int64_t b) {
    for (int64_t dy = 0; dy < s.kernel[0]; ++dy) {
      const int64_t row = b + dy - w.r_h;
      if (!s.replicate && (row < 0 || row >= s.in[0])) tap_rows[dy] = {zero, 0};
      else tap_rows[dy] = {row_of(clamped(row, s.in[0])), w.row};
    }
  }
  void forget() {
    for (int64_t i = 0; i < s.kernel[0]; ++i) tag[i] = -1;
    clear(zero, w.row);
  }

  // ---------------------------------------------------------------------------------------------- weights

  // Calls f for every row of weights (of a tap, of one output row): where it is, the steps to the next column and to the next
  // phase, and its first stream.
  template <class B, class F>
  void each_weights(B* base, C* memory, int64_t oh, int64_t oh_end, const F& f) {
    const bool shuffled = s.scale[1] > 1;
    const int64_t next = shuffled ? s.w_col : s.w_col * ways, phase = shuffled ? s.w_sub_col : s.w_col;
    for (int64_t o = oh; o < oh_end; ++o)
      for (int64_t t = 0; t < w.taps; ++t)
        f(base + (s.at(at.n, at.group * w.taps + t, o, 0) + t0 * next) * weight_codec.bytes, next, phase, memory + ((o - oh) * ways * w.taps + t) * w_pitch);
  }

  void weights_in(int64_t oh, int64_t oh_end) {
    logits_in(w.w, weights, oh, oh_end);
    if (s.softmax) exponents(weights, (oh_end - oh) * ways);
  }

  // Weights before a pixel shuffle, channels last: blocks of an input row's pixels and channels are turned over.
  bool turns(int64_t oh, int64_t oh_end) const {
    const int64_t inner = s.scale[0] * s.scale[1];
    return inner > 1 && s.w_sub_col == 1 && s.w_sub_row == s.scale[1] && s.w_tap == inner && oh % s.scale[0] == 0 && oh_end - oh == s.scale[0] &&
           w.taps * inner >= L && weight_codec.bytes == int64_t(sizeof(C));
  }
  void turned_in(const char* base, C* memory, int64_t oh) {
    const int64_t inner = s.scale[0] * s.scale[1], all = w.taps * inner, pitch = w.taps * w_pitch;
    const C* first = reinterpret_cast<const C*>(base) + s.at(at.n, at.group * w.taps, oh, 0) + t0 * s.w_col;
    for (int64_t i = 0; i < w.tile; i += L)
      for (int64_t k = 0;; k = smaller(k + L, all - L)) {
        V<C> v[L];
        HP_UNROLL for (int l = 0; l < L; ++l) v[l] = i + l < here ? load_as<V<C>>(first + (i + l) * s.w_col + k) : V<C>{};
        zip_all<V<C>, L, L>(v);
        alignas(64) C some[L * L];
        HP_UNROLL for (int l = 0; l < L; ++l) store_as(some + l * L, v[l]);
        for (int64_t l = 0, tap = k / inner, phase = k % inner; l < L; ++l) {
          store_as(memory + phase * pitch + tap * w_pitch + i, load_as<V<C>>(some + l * L));
          if (++phase == inner) phase = 0, ++tap;
        }
        if (k == all - L) break;
      }
  }

  void logits_in(const char* base, C* memory, int64_t oh, int64_t oh_end) {
    const int64_t pitch = w.taps * w_pitch, bytes = weight_codec.bytes;
    if (turns(oh, oh_end)) return turned_in(base, memory, oh);
    each_weights(base, memory, oh, oh_end, [&](const char* p, int64_t next, int64_t phase, C* to) {
      if (next == ways && phase == 1 && ways > 1) {
        weight_codec.in(p, here * ways, spare);
        clear(spare + here * ways, (w.tile - here) * ways);
        return alternated<C, false>(spare, to, pitch, ways, w.tile);
      }
      for (int64_t j = 0; j < ways; ++j) {
        if (s.scale[1] > 1) ask(p + (j * phase + s.w_row) * bytes, here * bytes);
        if (next == 1) weight_codec.in(p + j * phase * bytes, here, to + j * pitch);
        else weight_codec.gather(p + j * phase * bytes, next, here, to + j * pitch, 1);
        clear(to + j * pitch + here, w.tile - here);
      }
    });
  }

  // Logits become their softmax over taps.
  void exponents(C* memory, int64_t count) {
    for (int64_t p = 0; p < count; ++p, memory += w.taps * w_pitch)
      for (int64_t i = 0; i < w.tile; i += L) {
        C* at = memory + i;
        V<C> top = load_as<V<C>>(at), sum{};
        for (int64_t t = 1; t < w.taps; ++t) {
          const V<C> v = load_as<V<C>>(at + t * w_pitch);
          top = v > top ? v : top;
        }
        for (int64_t t = 0; t < w.taps; ++t) {
          const V<C> e = exponent<C>(load_as<V<C>>(at + t * w_pitch) - top);
          store_as(at + t * w_pitch, e);
          sum += e;
        }
        const V<C> part = splat<C>(1) / sum;
        for (int64_t t = 0; t < w.taps; ++t) store_as(at + t * w_pitch, load_as<V<C>>(at + t * w_pitch) * part);
      }
  }

  // Gradients of weights become those of the logits: w (g - sum of w g).
  void through_softmax(int64_t oh, int64_t oh_end) {
    logits_in(w.logits, soft, oh, oh_end);
    const int64_t count = (oh_end - oh) * ways;
    exponents(soft, count);
    for (int64_t p = 0; p < count; ++p)
      for (int64_t i = 0; i < w.tile; i += L) {
        C *grad = weights + p * w.taps * w.tile + i, *by = soft + p * w.taps * w.tile + i;
        V<C> sum{};
        for (int64_t t = 0; t < w.taps; ++t) sum = madd<C>(load_as<V<C>>(by + t * w.tile), load_as<V<C>>(grad + t * w.tile), sum);
        for (int64_t t = 0; t < w.taps; ++t)
          store_as(grad + t * w.tile, load_as<V<C>>(by + t * w.tile) * (load_as<V<C>>(grad + t * w.tile) - sum));
      }
  }

  void weights_out(int64_t oh, int64_t oh_end) {
    if (s.softmax) through_softmax(oh, oh_end);
    gradients_out(oh, oh_end);
  }
  void gradients_out(int64_t oh, int64_t oh_end) {
    const int64_t pitch = w.taps * w_pitch, bytes = weight_codec.bytes;
    each_weights(w.w, weights, oh, oh_end, [&](char* p, int64_t next, int64_t phase, C* from) {
      if (next == ways && phase == 1 && ways > 1) {
        alternated<C, true>(spare, from, pitch, ways, w.tile);
        return weight_codec.out(spare, here * ways, p, false);
      }
      for (int64_t j = 0; j < ways; ++j) {
        if (next == 1) weight_codec.out(from + j * pitch, here, p + j * phase * bytes, false);
        else weight_codec.scatter(from + j * pitch, 1, here, p + j * phase * bytes, next);
      }
    });
  }

  // ---------------------------------------------------------------------------------------------- y

  // The rows [oh, oh_end) of channels [c, c + count) as streams, channels `pitch` apart, lanes beyond the tile's columns 0; and back.
  void ys_in(int64_t c, int64_t count, int64_t oh, int64_t oh_end, C* streams, int64_t pitch) {
    const int64_t n = here * ways;
    for (int64_t o = oh; o < oh_end; ++o, streams += ways * y_pitch) {
      if (s.last) planes_in(c, count, o);
      for (int64_t k = 0; k < count; ++k) {
        C *row = s.last ? plane(k) : spare, *to = streams + k * pitch;
        if (!s.last) {
          const char* from = y_row(at.channel + c + k, o);
          ask(from + (oh_end - oh) * s.out[1] * codec.bytes, n * codec.bytes);
          if (codec.bytes == int64_t(sizeof(C)) && here == w.tile) {
            alternated<C, false>(const_cast<C*>(reinterpret_cast<const C*>(from)), to, y_pitch, ways, w.tile);
            continue;
          }
          if (ways == 1) row = to;
          codec.in(from, n, row);
        }
        clear(row + n, (w.tile - here) * ways);
        if (row != to) alternated<C, false>(row, to, y_pitch, ways, w.tile);
      }
    }
  }
  void ys_out(int64_t c, int64_t count, int64_t oh, int64_t oh_end, C* streams, int64_t pitch) {
    const int64_t n = here * ways;
    for (int64_t o = oh; o < oh_end; ++o, streams += ways * y_pitch) {
      for (int64_t k = 0; k < count; ++k) {
        C *row = s.last ? plane(k) : spare, *from = streams + k * pitch;
        char* to = s.last ? nullptr : y_row(at.channel + c + k, o);
        if (!s.last && codec.bytes == int64_t(sizeof(C)) && here % L == 0) {
          C* row_of_y = reinterpret_cast<C*>(to);
          if (!w.stream) {
            alternated<C, true>(row_of_y, from, y_pitch, ways, here);
            continue;
          }
          if (ways == 2 && uintptr_t(to) % sizeof(V<C>) == 0) {
            for (int64_t i = 0; i < here; i += L) {
              V<C> a = load_as<V<C>>(from + i), b = load_as<V<C>>(from + y_pitch + i);
              zip2(a, b, LanesUpTo<L>{});
              store_stream(row_of_y + 2 * i, a);
              store_stream(row_of_y + 2 * i + L, b);
            }
            continue;
          }
        }
        if (ways == 1 && !s.last) row = from;
        else alternated<C, true>(row, from, y_pitch, ways, w.tile);
        if (!s.last) codec.out(row, n, to, w.stream);
      }
      if (s.last) planes_out(c, count, o);
    }
  }

  // A row of y, channels last, from and to planes of its channels.
  C* plane(int64_t k) const { return spare + (s.channels + k) * ways * w.tile; }
  void planes_in(int64_t c, int64_t count, int64_t o) {
    const int64_t n = here * ways;
    if (count == s.channels) {
      codec.in(y_row(0, o), n * count, spare);
      return alternated<C, false>(spare, plane(0), ways * w.tile, count, (n + L - 1) / L * L);
    }
    for (int64_t k = 0; k < count; ++k) codec.gather(y_row(at.channel + c + k, o), s.channels, n, plane(k), 1);
  }
  void planes_out(int64_t c, int64_t count, int64_t o) {
    const int64_t n = here * ways;
    if (count == s.channels) {
      alternated<C, true>(spare, plane(0), ways * w.tile, count, (n + L - 1) / L * L);
      return codec.out(spare, n * count, y_row(0, o), w.stream);
    }
    for (int64_t k = 0; k < count; ++k) codec.scatter(plane(k), 1, n, y_row(at.channel + c + k, o), s.channels);
  }

  // f(first output row, end, streams) for the rows of input row b, as many together as belong together.
  template <class F>
  void each_rows(int64_t b, const F& f) {
    for (int64_t o = w.first_row[b]; o < w.first_row[b + 1]; o += w.rows_together) {
      const int64_t end = smaller(w.first_row[b + 1], o + w.rows_together);
      f(o, end, (end - o) * ways);
    }
  }

  // ---------------------------------------------------------------------------------------------- forward

  template <int P, int CB>
  void sums_of(int64_t c, int64_t first) {
    const int64_t kw = s.kernel[1], tile = w.tile;
    for (int64_t i = 0; i < tile; i += L) {
      V<C> sum[P][CB] = {};
      const C* weight = weights + first * w.taps * tile + i;
      for (int64_t dy = 0; dy < s.kernel[0]; ++dy) {
        const TapRow from = tap_rows[dy];
        const C* x = from.row + c * from.step + i;
        for (int64_t dx = 0; dx < kw; ++dx, weight += tile) {
          V<C> v[CB];
          HP_UNROLL for (int k = 0; k < CB; ++k) v[k] = load_as<V<C>>(x + k * from.step + dx);
          HP_UNROLL for (int p = 0; p < P; ++p) {
            const V<C> by = load_as<V<C>>(weight + p * w.taps * tile);
            HP_UNROLL for (int k = 0; k < CB; ++k) sum[p][k] = madd<C>(by, v[k], sum[p][k]);
          }
        }
      }
      HP_UNROLL for (int p = 0; p < P; ++p)
        HP_UNROLL for (int k = 0; k < CB; ++k) store_as(streams + ((k * w.streams) + first + p) * tile + i, sum[p][k]);
    }
  }

  template <int CB>
  void channels_forward(int64_t c, int64_t oh, int64_t oh_end, int64_t count) {
    const int64_t each = pass_of(count, kPassStreams);
    for (int64_t first = 0; first < count; first += each) {
      switch (smaller(each, count - first)) {
        case 1: sums_of<1, CB>(c, first); break;
        case 2: sums_of<2, CB>(c, first); break;
        case 3: sums_of<3, CB>(c, first); break;
        default: sums_of<4, CB>(c, first); break;
      }
    }
    ys_out(c, CB, oh, oh_end, streams, w.streams * w.tile);
  }

  void forward() {
    forget();
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end, int64_t count) {
        weights_in(oh, oh_end);
        int64_t c = 0;
        for (; c + kPassChannels <= at.channels; c += kPassChannels) channels_forward<kPassChannels>(c, oh, oh_end, count);
        if (kPassChannels > 2 && c + 2 <= at.channels) channels_forward<2>(c, oh, oh_end, count), c += 2;
        if (c < at.channels) channels_forward<1>(c, oh, oh_end, count);
      });
    }
    if (w.stream) stream_fence();
  }

  // ---------------------------------------------------------------------------------------------- the gradient of weights

  template <int P, int D>
  void products_of(const TapRow& from, int64_t c, int64_t channels, int64_t first, int64_t tap, int64_t dx) {
    const int64_t tile = w.tile;
    for (int64_t i = 0; i < tile; i += L) {
      C* to = weights + (first * w.taps + tap) * tile + i;
      V<C> sum[P][D];
      HP_UNROLL for (int p = 0; p < P; ++p)
        HP_UNROLL for (int d = 0; d < D; ++d) sum[p][d] = load_as<V<C>>(to + (p * w.taps + d) * tile);
      const C* x = from.row + c * from.step + i + dx;
      const C* y = streams + first * tile + i;
      for (int64_t k = 0; k < channels; ++k, x += from.step, y += w.streams * tile) {
        V<C> v[D];
        HP_UNROLL for (int d = 0; d < D; ++d) v[d] = load_as<V<C>>(x + d);
        HP_UNROLL for (int p = 0; p < P; ++p) {
          const V<C> by = load_as<V<C>>(y + p * tile);
          HP_UNROLL for (int d = 0; d < D; ++d) sum[p][d] = madd<C>(by, v[d], sum[p][d]);
        }
      }
      HP_UNROLL for (int p = 0; p < P; ++p)
        HP_UNROLL for (int d = 0; d < D; ++d) store_as(to + (p * w.taps + d) * tile, sum[p][d]);
    }
  }

  template <int D>
  void streams_back_w(const TapRow& from, int64_t c, int64_t channels, int64_t count, int64_t dy, int64_t dx) {
    const int64_t each = pass_of(count, kPassChannels), tap = dy * s.kernel[1] + dx;  // as many streams as registers allow
    for (int64_t first = 0; first < count; first += each) {
      switch (smaller(each, count - first)) {
        case 1: products_of<1, D>(from, c, channels, first, tap, dx); break;
        case 2: products_of<2, D>(from, c, channels, first, tap, dx); break;
        case 3: products_of<3, D>(from, c, channels, first, tap, dx); break;
        default: products_of<4, D>(from, c, channels, first, tap, dx); break;
      }
    }
  }

  void back_w() {
    forget();
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end, int64_t count) {
        clear(weights, count * w.taps * w.tile);
        for (int64_t c = 0; c < at.channels; c += kWindowTurn) {
          const int64_t channels = smaller(kWindowTurn, at.channels - c);
          ys_in(c, channels, oh, oh_end, streams, w.streams * w.tile);
          for (int64_t dy = 0; dy < s.kernel[0]; ++dy) {
            const TapRow from = tap_rows[dy];
            if (from.step == 0) continue;
            int64_t dx = 0;
            for (; dx + 5 <= s.kernel[1]; dx += 5) streams_back_w<5>(from, c, channels, count, dy, dx);
            for (; dx + 3 <= s.kernel[1]; dx += 3) streams_back_w<3>(from, c, channels, count, dy, dx);
            for (; dx < s.kernel[1]; ++dx) streams_back_w<1>(from, c, channels, count, dy, dx);
          }
        }
        weights_out(oh, oh_end);
      });
    }
  }

  // ---------------------------------------------------------------------------------------------- the gradient of x

  int64_t reach() const { return (2 * w.r_w + kWindowPad - 1) / kWindowPad * kWindowPad; }

  // D rows of the window: their gradients stay in registers while taps' columns and streams go by.
  template <int D, int CB>
  void spread(int64_t c, int64_t row, int64_t dy, int64_t count) {
    const int64_t kw = s.kernel[1], step = s.kernel[1] * w_pitch, channel = w.streams * y_pitch;
    C* to[D];
    HP_UNROLL for (int d = 0; d < D; ++d) to[d] = rows + ((row + d) % s.kernel[0] * at.channels + c) * w.row + t0;
    for (int64_t u = 0; u < w.tile + 2 * w.r_w; u += L) {
      V<C> sum[D][CB];
      HP_UNROLL for (int d = 0; d < D; ++d)
        HP_UNROLL for (int k = 0; k < CB; ++k) sum[d][k] = load_as<V<C>>(to[d] + k * w.row + u);
      for (int64_t p = 0; p < count; ++p) {
        const C *weight = weights + (p * w.taps + dy * kw) * w_pitch + u, *y = streams + p * y_pitch + u;
        for (int64_t dx = 0; dx < kw; ++dx, weight += w_pitch - 1, --y) {
          V<C> v[CB];
          HP_UNROLL for (int k = 0; k < CB; ++k) v[k] = load_as<V<C>>(y + k * channel);
          HP_UNROLL for (int d = 0; d < D; ++d) {
            const V<C> by = load_as<V<C>>(weight + d * step);
            HP_UNROLL for (int k = 0; k < CB; ++k) sum[d][k] = madd<C>(by, v[k], sum[d][k]);
          }
        }
      }
      HP_UNROLL for (int d = 0; d < D; ++d)
        HP_UNROLL for (int k = 0; k < CB; ++k) store_as(to[d] + k * w.row + u, sum[d][k]);
    }
  }

  template <int CB>
  void channels_back_x(int64_t b, int64_t c, int64_t oh, int64_t oh_end, int64_t count) {
    ys_in(c, CB, oh, oh_end, streams, w.streams * y_pitch);
    for (int64_t dy = 0, some; dy < s.kernel[0]; dy += some) {
      // Rows of the window that are neighbours in the task; what the border stands for goes by itself.
      const int64_t wanted = b + dy - w.r_h, row = s.replicate ? clamped(wanted, s.in[0]) : wanted;
      some = 1;
      if (row < at.row || row >= at.row_end) continue;
      if (row == wanted) some = larger(1, smaller(smaller(5, s.kernel[0] - dy), at.row_end - row));
      switch (some) {
        case 1: spread<1, CB>(c, row, dy, count); break;
        case 2: spread<2, CB>(c, row, dy, count); break;
        case 3: spread<3, CB>(c, row, dy, count); break;
        case 4: spread<4, CB>(c, row, dy, count); break;
        default: spread<5, CB>(c, row, dy, count); break;
      }
    }
  }

  // A row of the gradient is complete: what lies in the padding goes to the nearest column, or nowhere.
  void emit(int64_t row) {
    C* sum = rows + row % s.kernel[0] * at.channels * w.row;
    emit_row(w.x, row, sum);
    clear(sum, at.channels * w.row);
  }
  void emit_row(char* base, int64_t row, C* sum) {
    for (int64_t c = 0; c < at.channels; ++c, sum += w.row) {
      if (s.replicate)
        for (int64_t i = 0; i < w.r_w; ++i) {
          sum[w.r_w] += sum[i];
          sum[w.r_w + s.in[1] - 1] += sum[w.r_w + s.in[1] + i];
        }
      char* to = x_row(base, at.channel + c, row);
      if (s.last) codec.scatter(sum + w.r_w, 1, s.in[1], to, s.channels);
      else codec.out(sum + w.r_w, s.in[1], to, false);
    }
  }

  void back_x() {
    clear(rows, s.kernel[0] * at.channels * w.row);
    clear(weights - reach(), w.streams * w.taps * w_pitch + reach() + kWindowPad);  // the margins stay 0
    clear(streams - reach(), 4 * w.streams * y_pitch + reach() + kWindowPad);
    int64_t done = at.row;
    const int64_t begin = larger(0, at.row - w.r_h), end = smaller(s.in[0], at.row_end + w.r_h);
    for (int64_t b = begin; b < end; ++b) {
      each_rows(b, [&](int64_t oh, int64_t oh_end, int64_t count) {
        for (int64_t tile = 0; tile < w.tiles; ++tile) {
          choose(tile);
          weights_in(oh, oh_end);
          int64_t c = 0;
          for (; c + kPassChannels <= at.channels; c += kPassChannels) channels_back_x<kPassChannels>(b, c, oh, oh_end, count);
          if (kPassChannels > 2 && c + 2 <= at.channels) channels_back_x<2>(b, c, oh, oh_end, count), c += 2;
          if (c < at.channels) channels_back_x<1>(b, c, oh, oh_end, count);
        }
      });
      for (; done < at.row_end && done <= b - w.r_h; ++done) emit(done);
    }
    for (; done < at.row_end; ++done) emit(done);
  }
};

}  // namespace
}  // namespace hp
