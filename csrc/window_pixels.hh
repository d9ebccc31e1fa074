// SPDX-License-Identifier: MIT
// The window kernel with lanes along channels: for channels-last arrays, for any ratio of sizes and for narrow images.
//
// Rows of x become padded rows of pixels, whose channels are padded to whole registers; of planes they are turned on the way.
// Output pixels of one input pixel share its window. Internal linkage, see simd.hh.
#pragma once

#include "window_rows.hh"

namespace hp {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kPixelRegisters = 4;
constexpr int kProductPixels = 4;
#else
constexpr int kPixelRegisters = 2;
constexpr int kProductPixels = 2;
#endif

// Lane i becomes the sum of the lanes of v[i].
template <class R, int... I>
HP_INLINE R pair_sums(R a, R b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...) + __builtin_shufflevector(a, b, (2 * I + 1)...);
}
template <class C>
HP_INLINE V<C> lane_sums(V<C>* v) {
  constexpr int L = kLanes<C>;
  HP_UNROLL for (int n = L / 2; n > 0; n /= 2)
    HP_UNROLL for (int i = 0; i < n; ++i) v[i] = pair_sums(v[2 * i], v[2 * i + 1], LanesUpTo<L>{});
  return v[0];
}

template <class C>
struct Pixels {
  static constexpr int L = kLanes<C>;
  const Window& w;
  const WindowSpec& s;
  const Place at;
  const Codec<C> codec, weight_codec;
  int64_t* tag;
  C *rows, *weights, *soft, *ys, *sums, *spare;
  int64_t longest, weight_pitch;
  int64_t dy0, dy1;  // rows of the window that count

  Pixels(const Window& window, int64_t task, char* arena)
      : w(window), s(window.spec), at(window, task), codec(hp::codec<C>(s.type)), weight_codec(hp::codec<C>(s.weight_type)) {
    tag = reinterpret_cast<int64_t*>(arena + w.at_tags);
    const auto part = [&](int64_t offset) { return reinterpret_cast<C*>(arena + offset); };
    rows = part(w.at_rows), weights = part(w.at_weights), ys = part(w.at_y), sums = part(w.at_sums), spare = part(w.at_spare), soft = part(w.at_soft);
    longest = (larger(larger(s.in[1], s.out[1]), kWindowPad) + kWindowPad - 1) / kWindowPad * kWindowPad;
    weight_pitch = (w.taps + kWindowPad - 1) / kWindowPad * kWindowPad;
  }

  char* element(char* base, const int64_t* size, int64_t c, int64_t row, int64_t col) const {
    const int64_t i = s.last ? ((at.n * size[0] + row) * size[1] + col) * s.channels + c : ((at.n * s.channels + c) * size[0] + row) * size[1] + col;
    return base + i * codec.bytes;
  }

  // ---------------------------------------------------------------------------------------------- rows of pixels

  // A row of so many pixels of the task's channels, from the array and back.
  void pixels_in(char* base, const int64_t* size, int64_t row, C* to) {
    if (s.last) {
      const char* from = element(base, size, at.channel, row, 0);
      for (int64_t i = 0; i < size[1]; ++i, to += w.pitch, from += s.channels * codec.bytes) codec.in(from, at.channels, to);
      return;
    }
    for (int64_t c = 0; c < at.channels; c += kWindowPad) {
      const int64_t some = smaller(kWindowPad, at.channels - c);
      for (int64_t k = 0; k < some; ++k) codec.in(element(base, size, at.channel + c + k, row, 0), size[1], spare + k * longest);
      clear(spare + some * longest, (kWindowPad - some) * longest);
      turn(spare, longest, kWindowPad, size[1], to + c, w.pitch);
    }
  }
  void pixels_out(char* base, const int64_t* size, int64_t row, const C* from, bool stream) {
    if (s.last) {
      char* to = element(base, size, at.channel, row, 0);
      for (int64_t i = 0; i < size[1]; ++i, from += w.pitch, to += s.channels * codec.bytes) codec.out(from, at.channels, to, stream);
      return;
    }
    for (int64_t c = 0; c < at.channels; c += kWindowPad) {
      turn(from + c, w.pitch, size[1], kWindowPad, spare, longest);
      for (int64_t k = 0; k < smaller(kWindowPad, at.channels - c); ++k)
        codec.out(spare + k * longest, size[1], element(base, size, at.channel + c + k, row, 0), stream);
    }
  }

  C* slot(int64_t row) { return rows + row % s.kernel[0] * w.row; }

  C* row_of(int64_t b) {
    C* made = slot(b);
    if (tag[b % s.kernel[0]] == b) return made;
    tag[b % s.kernel[0]] = b;
    C* inside = made + w.r_w * w.pitch;
    pixels_in(w.x, s.in, b, inside);
    if (s.replicate) {
      const C *first = inside, *last = inside + (s.in[1] - 1) * w.pitch;
      for (int64_t i = 0; i < w.r_w; ++i) {
        __builtin_memcpy(made + i * w.pitch, first, size_t(w.pitch) * sizeof(C));
        __builtin_memcpy(inside + (s.in[1] + i) * w.pitch, last, size_t(w.pitch) * sizeof(C));
      }
    }
    return made;
  }
  void look(int64_t b) {
    dy0 = s.replicate ? 0 : larger(0, w.r_h - b);
    dy1 = s.replicate ? s.kernel[0] : smaller(s.kernel[0], s.in[0] + w.r_h - b);
    for (int64_t dy = dy0; dy < dy1; ++dy) row_of(clamped(b + dy - w.r_h, s.in[0]));
  }
  void forget() {
    for (int64_t i = 0; i < s.kernel[0]; ++i) tag[i] = -1;
    clear(rows, s.kernel[0] * w.row);  // margins and lanes without a channel stay 0
  }

  // ---------------------------------------------------------------------------------------------- weights, a pixel's together

  C* weight(int64_t o, int64_t col) { return weights + (o * s.out[1] + col) * weight_pitch; }
  template <class B>
  B* weight_at(B* base, int64_t tap, int64_t row, int64_t col) const { return base + s.at(at.n, at.group * w.taps + tap, row, col) * weight_codec.bytes; }

  void weights_in(int64_t oh, int64_t oh_end) {
    logits_in(w.w, weights, oh, oh_end);
    if (s.softmax) exponents(weights, (oh_end - oh) * s.out[1]);
  }

  void logits_in(const char* base, C* memory, int64_t oh, int64_t oh_end) {
    const int64_t n = s.out[1];
    for (int64_t o = oh; o < oh_end; ++o) {
      C* to = memory + (o - oh) * s.out[1] * weight_pitch;
      if (s.w_tap == 1) {
        for (int64_t i = 0; i < n; ++i) weight_codec.in(weight_at(base, 0, o, i), w.taps, to + i * weight_pitch);
      } else if (s.scale[1] == 1 && s.w_col == 1) {
        for (int64_t t = 0; t < w.taps; t += kWindowPad) {
          for (int64_t k = 0; k < smaller(kWindowPad, w.taps - t); ++k) weight_codec.in(weight_at(base, t + k, o, 0), n, spare + k * longest);
          turn(spare, longest, kWindowPad, n, to + t, weight_pitch);
        }
      } else {
        for (int64_t t = 0; t < w.taps; ++t)
          for (int64_t j = 0; j < s.scale[1]; ++j)
            weight_codec.gather(weight_at(base, t, o, j), s.w_col, n / s.scale[1], to + j * weight_pitch + t, s.scale[1] * weight_pitch);
      }
    }
  }
  // Logits become their softmax over taps; lanes behind the last tap become 0.
  void exponents(C* memory, int64_t pixels) {
    for (; pixels > 0; --pixels, memory += weight_pitch) {
      for (int64_t t = w.taps; t < weight_pitch; ++t) memory[t] = C(-__builtin_inf());
      V<C> top = load_as<V<C>>(memory), sum{};
      for (int64_t t = L; t < weight_pitch; t += L) {
        const V<C> v = load_as<V<C>>(memory + t);
        top = v > top ? v : top;
      }
      C most = top[0], whole = 0;
      for (int i = 1; i < L; ++i) most = top[i] > most ? top[i] : most;
      for (int64_t t = 0; t < weight_pitch; t += L) {
        const V<C> e = exponent<C>(load_as<V<C>>(memory + t) - splat<C>(most));
        store_as(memory + t, e);
        sum += e;
      }
      for (int i = 0; i < L; ++i) whole += sum[i];
      const V<C> part = splat<C>(1 / whole);
      for (int64_t t = 0; t < weight_pitch; t += L) store_as(memory + t, load_as<V<C>>(memory + t) * part);
    }
  }

  // Gradients of weights become those of the logits: w (g - sum of w g).
  void through_softmax(int64_t oh, int64_t oh_end) {
    const int64_t pixels = (oh_end - oh) * s.out[1];
    logits_in(w.logits, soft, oh, oh_end);
    exponents(soft, pixels);
    for (int64_t i = 0; i < pixels; ++i) {
      C *grad = weights + i * weight_pitch, *by = soft + i * weight_pitch;
      C sum = 0;
      for (int64_t t = 0; t < w.taps; ++t) sum = madd1<C>(by[t], grad[t], sum);
      for (int64_t t = 0; t < w.taps; ++t) grad[t] = by[t] * (grad[t] - sum);
    }
  }

  void weights_out(int64_t oh, int64_t oh_end) {
    if (s.softmax) through_softmax(oh, oh_end);
    const int64_t n = s.out[1];
    for (int64_t o = oh; o < oh_end; ++o) {
      const C* from = weight(o - oh, 0);
      if (s.w_tap == 1) {
        for (int64_t i = 0; i < n; ++i) weight_codec.out(from + i * weight_pitch, w.taps, weight_at(w.w, 0, o, i), false);
      } else if (s.scale[1] == 1 && s.w_col == 1) {
        for (int64_t t = 0; t < w.taps; t += kWindowPad) {
          turn(from + t, weight_pitch, n, kWindowPad, spare, longest);
          for (int64_t k = 0; k < smaller(kWindowPad, w.taps - t); ++k) weight_codec.out(spare + k * longest, n, weight_at(w.w, t + k, o, 0), false);
        }
      } else {
        for (int64_t t = 0; t < w.taps; ++t)
          for (int64_t j = 0; j < s.scale[1]; ++j)
            weight_codec.scatter(from + j * weight_pitch + t, s.scale[1] * weight_pitch, n / s.scale[1], weight_at(w.w, t, o, j), s.w_col);
      }
    }
  }

  // ---------------------------------------------------------------------------------------------- the pixels of a cell

  struct Cell {
    int64_t count;
    int64_t row[4], col[4];   // of y
    const C* weight[4];
    C* y[4];                  // as padded pixels
  };

  // f(cell) for the output pixels in rows [oh, oh_end) of input column bx, `most` at a time.
  template <class F>
  void each_cell(int64_t bx, int64_t oh, int64_t oh_end, int64_t most, const F& f) {
    const int64_t col = w.first_col[bx], wide = w.first_col[bx + 1] - col, count = wide * (oh_end - oh);
    const int64_t each = pass_of(count, most);
    for (int64_t first = 0; first < count; first += each) {
      Cell cell;
      cell.count = smaller(each, count - first);
      for (int64_t i = 0; i < cell.count; ++i) {
        const int64_t o = (first + i) / wide, c = col + (first + i) % wide;
        cell.row[i] = oh + o, cell.col[i] = c;
        cell.weight[i] = weight(o, c);
        cell.y[i] = ys + (s.last ? i : o * s.out[1] + c) * w.pitch;
      }
      f(cell);
    }
  }
  // Rows of planes are turned beforehand, pixels of channels are read where they are wanted.
  void ys_in(int64_t oh, int64_t oh_end) {
    if (s.last) return;
    for (int64_t o = oh; o < oh_end; ++o) pixels_in(w.y, s.out, o, ys + (o - oh) * s.out[1] * w.pitch);
  }
  void y_in(const Cell& cell) {
    if (!s.last) return;
    for (int64_t i = 0; i < cell.count; ++i) codec.in(element(w.y, s.out, at.channel, cell.row[i], cell.col[i]), at.channels, cell.y[i]);
  }

  template <class F>
  void each_rows(int64_t b, const F& f) {
    for (int64_t o = w.first_row[b]; o < w.first_row[b + 1]; o += w.rows_together) f(o, smaller(w.first_row[b + 1], o + w.rows_together));
  }
  template <class F>
  static void counted(int64_t n, const F& f) {
    if (n == 1) f(Count<1>{});
    else if (n == 2) f(Count<2>{});
    else if (n == 3) f(Count<3>{});
    else f(Count<4>{});
  }

  // ---------------------------------------------------------------------------------------------- forward

  template <int P, int R>
  void sums_of(const Cell& cell, int64_t b, int64_t bx, int64_t c) {
    V<C> sum[P][R] = {};
    for (int64_t dy = dy0; dy < dy1; ++dy) {
      const C* x = slot(clamped(b + dy - w.r_h, s.in[0])) + bx * w.pitch + c;
      for (int64_t dx = 0, t = dy * s.kernel[1]; dx < s.kernel[1]; ++dx, ++t, x += w.pitch) {
        V<C> v[R];
        HP_UNROLL for (int r = 0; r < R; ++r) v[r] = load_as<V<C>>(x + r * L);
        HP_UNROLL for (int p = 0; p < P; ++p) {
          const V<C> by = splat<C>(cell.weight[p][t]);
          HP_UNROLL for (int r = 0; r < R; ++r) sum[p][r] = madd<C>(by, v[r], sum[p][r]);
        }
      }
    }
    HP_UNROLL for (int p = 0; p < P; ++p)
      HP_UNROLL for (int r = 0; r < R; ++r) store_as(cell.y[p] + c + r * L, sum[p][r]);
  }

  void forward() {
    forget();
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end) {
        weights_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx)
          each_cell(bx, oh, oh_end, 4, [&](const Cell& cell) {
            counted(cell.count, [&](auto count) {
              constexpr int P = decltype(count)::value;
              int64_t c = 0;
              for (; c + kPixelRegisters * L <= w.pitch; c += kPixelRegisters * L) sums_of<P, kPixelRegisters>(cell, b, bx, c);
              for (; c < at.channels; c += L) sums_of<P, 1>(cell, b, bx, c);
            });
            if (s.last)
              for (int64_t i = 0; i < cell.count; ++i)
                codec.out(cell.y[i], at.channels, element(w.y, s.out, at.channel, cell.row[i], cell.col[i]), w.stream);
          });
        if (!s.last)
          for (int64_t o = oh; o < oh_end; ++o) pixels_out(w.y, s.out, o, ys + (o - oh) * s.out[1] * w.pitch, w.stream);
      });
    }
    if (w.stream) stream_fence();
  }

  // ---------------------------------------------------------------------------------------------- the gradient of weights

  template <int P, int D>
  void products_of(const Cell& cell, const C* x, int64_t tap) {
    constexpr int N = (P * D + L - 1) / L * L;
    V<C> sum[N] = {};
    for (int64_t c = 0; c < w.pitch; c += L) {
      V<C> v[D];
      HP_UNROLL for (int d = 0; d < D; ++d) v[d] = load_as<V<C>>(x + d * w.pitch + c);
      HP_UNROLL for (int p = 0; p < P; ++p) {
        const V<C> by = load_as<V<C>>(cell.y[p] + c);
        HP_UNROLL for (int d = 0; d < D; ++d) sum[p * D + d] = madd<C>(by, v[d], sum[p * D + d]);
      }
    }
    C* out = sums;
    HP_UNROLL for (int i = 0; i < N; i += L) store_as(out + i, lane_sums<C>(sum + i));
    for (int p = 0; p < P; ++p)
      for (int d = 0; d < D; ++d) const_cast<C*>(cell.weight[p])[tap + d] = out[p * D + d];
  }

  void back_w() {
    forget();
    clear(ys, (s.last ? 4 : w.rows_together * s.out[1]) * w.pitch);
    const int64_t kw = s.kernel[1];
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end) {
        clear(weights, (oh_end - oh) * s.out[1] * weight_pitch);
        ys_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx)
          each_cell(bx, oh, oh_end, kProductPixels, [&](const Cell& cell) {
            y_in(cell);
            counted(cell.count, [&](auto count) {
              constexpr int P = decltype(count)::value;
              for (int64_t dy = dy0; dy < dy1; ++dy) {
                const C* x = slot(clamped(b + dy - w.r_h, s.in[0])) + bx * w.pitch;
                int64_t dx = 0;
                for (; dx + 5 <= kw; dx += 5) products_of<P, 5>(cell, x + dx * w.pitch, dy * kw + dx);
                for (; dx + 3 <= kw; dx += 3) products_of<P, 3>(cell, x + dx * w.pitch, dy * kw + dx);
                for (; dx < kw; ++dx) products_of<P, 1>(cell, x + dx * w.pitch, dy * kw + dx);
              }
            });
          });
        weights_out(oh, oh_end);
      });
    }
  }

  // ---------------------------------------------------------------------------------------------- the gradient of x

  template <int P, int R>
  void spread(const Cell& cell, int64_t b, int64_t bx, int64_t c) {
    V<C> y[P][R];
    HP_UNROLL for (int p = 0; p < P; ++p)
      HP_UNROLL for (int r = 0; r < R; ++r) y[p][r] = load_as<V<C>>(cell.y[p] + c + r * L);
    for (int64_t dy = 0; dy < s.kernel[0]; ++dy) {
      int64_t row = b + dy - w.r_h;
      if (s.replicate) row = clamped(row, s.in[0]);
      if (row < at.row || row >= at.row_end) continue;
      C* to = slot(row) + bx * w.pitch + c;
      for (int64_t dx = 0, t = dy * s.kernel[1]; dx < s.kernel[1]; ++dx, ++t, to += w.pitch) {
        V<C> sum[R];
        HP_UNROLL for (int r = 0; r < R; ++r) sum[r] = load_as<V<C>>(to + r * L);
        HP_UNROLL for (int p = 0; p < P; ++p) {
          const V<C> by = splat<C>(cell.weight[p][t]);
          HP_UNROLL for (int r = 0; r < R; ++r) sum[r] = madd<C>(by, y[p][r], sum[r]);
        }
        HP_UNROLL for (int r = 0; r < R; ++r) store_as(to + r * L, sum[r]);
      }
    }
  }

  void emit(int64_t row) {
    C* sum = slot(row);
    C* inside = sum + w.r_w * w.pitch;
    if (s.replicate)
      for (int64_t i = 0; i < w.r_w; ++i)
        for (int64_t c = 0; c < w.pitch; ++c) {
          inside[c] += sum[i * w.pitch + c];
          inside[(s.in[1] - 1) * w.pitch + c] += inside[(s.in[1] + i) * w.pitch + c];
        }
    pixels_out(w.x, s.in, row, inside, false);
    clear(sum, w.row);
  }

  void back_x() {
    clear(rows, s.kernel[0] * w.row);
    clear(ys, (s.last ? 4 : w.rows_together * s.out[1]) * w.pitch);
    int64_t done = at.row;
    const int64_t begin = larger(0, at.row - w.r_h), end = smaller(s.in[0], at.row_end + w.r_h);
    for (int64_t b = begin; b < end; ++b) {
      each_rows(b, [&](int64_t oh, int64_t oh_end) {
        weights_in(oh, oh_end);
        ys_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx)
          each_cell(bx, oh, oh_end, 4, [&](const Cell& cell) {
            y_in(cell);
            counted(cell.count, [&](auto count) {
              constexpr int P = decltype(count)::value;
              int64_t c = 0;
              for (; c + kPixelRegisters * L <= w.pitch; c += kPixelRegisters * L) spread<P, kPixelRegisters>(cell, b, bx, c);
              for (; c < at.channels; c += L) spread<P, 1>(cell, b, bx, c);
            });
          });
      });
      for (; done < at.row_end && done <= b - w.r_h; ++done) emit(done);
    }
    for (; done < at.row_end; ++done) emit(done);
  }
};

}  // namespace
}  // namespace hp
