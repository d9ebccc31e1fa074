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

// In every lane the most, or the sum, of the lanes that lie a multiple of F away.
template <int F, class R, int... I>
HP_INLINE R fold_most(R v, Lanes<I...> lanes) {
  if constexpr (F >= int(sizeof...(I))) return v;
  else {
    const R other = __builtin_shufflevector(v, v, (I ^ F)...);
    return fold_most<2 * F>(v > other ? v : other, lanes);
  }
}
template <int F, class R, int... I>
HP_INLINE R fold_sum(R v, Lanes<I...> lanes) {
  if constexpr (F >= int(sizeof...(I))) return v;
  else return fold_sum<2 * F>(v + __builtin_shufflevector(v, v, (I ^ F)...), lanes);
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
  int64_t tap_step;         // from a pixel's weight to that of its next tap
  bool lent_y, lent_w;      // y, weights are read and written where they lie
  int64_t dy0, dy1;  // rows of the window that count

  Pixels(const Window& window, int64_t task, char* arena)
      : w(window), s(window.spec), at(window, task), codec(hp::codec<C>(s.type)), weight_codec(hp::codec<C>(s.weight_type)) {
    tag = reinterpret_cast<int64_t*>(arena + w.at_tags);
    const auto part = [&](int64_t offset) { return reinterpret_cast<C*>(arena + offset); };
    rows = part(w.at_rows), weights = part(w.at_weights), ys = part(w.at_y), sums = part(w.at_sums), spare = part(w.at_spare), soft = part(w.at_soft);
    longest = (larger(larger(s.in[1], s.out[1]), kWindowPad) + kWindowPad - 1) / kWindowPad * kWindowPad;
    weight_pitch = (w.taps + kWindowPad - 1) / kWindowPad * kWindowPad;
    lent_y = s.last && codec.bytes == int64_t(sizeof(C)) && at.channels % L == 0;
    lent_w = !s.softmax && weight_codec.bytes == int64_t(sizeof(C)) && w.way != WindowWay::back_w && (w.cells || s.w_tap == 1);
    tap_step = !w.cells ? 1 : lent_w ? s.w_tap : w.phase_pitch;
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
  // Logits in `n` registers become their softmax. A lane's taps are those of its place in every F lanes: what is no tap is -inf.
  template <int F>
  HP_INLINE void soften(C* memory, int64_t n) {
    V<C> top = load_as<V<C>>(memory), sum{};
    for (int64_t i = 1; i < n; ++i) {
      const V<C> v = load_as<V<C>>(memory + i * L);
      top = v > top ? v : top;
    }
    top = fold_most<F>(top, LanesUpTo<L>{});
    for (int64_t i = 0; i < n; ++i) {
      const V<C> e = exponent<C>(load_as<V<C>>(memory + i * L) - top);
      store_as(memory + i * L, e);
      sum += e;
    }
    const V<C> part = splat<C>(1) / fold_sum<F>(sum, LanesUpTo<L>{});
    for (int64_t i = 0; i < n; ++i) store_as(memory + i * L, load_as<V<C>>(memory + i * L) * part);
  }
  // Gradients of weights become those of the logits: w (g - sum of w g).
  template <int F>
  HP_INLINE void through(const C* by, C* grad, int64_t n) {
    V<C> sum{};
    for (int64_t i = 0; i < n; ++i) sum = madd<C>(load_as<V<C>>(by + i * L), load_as<V<C>>(grad + i * L), sum);
    sum = fold_sum<F>(sum, LanesUpTo<L>{});
    for (int64_t i = 0; i < n; ++i) store_as(grad + i * L, load_as<V<C>>(by + i * L) * (load_as<V<C>>(grad + i * L) - sum));
  }

  void exponents(C* memory, int64_t pixels) {
    for (; pixels > 0; --pixels, memory += weight_pitch) {
      for (int64_t t = w.taps; t < weight_pitch; ++t) memory[t] = C(-__builtin_inf());
      soften<1>(memory, weight_pitch / L);
    }
  }
  void through_softmax(int64_t oh, int64_t oh_end) {
    const int64_t pixels = (oh_end - oh) * s.out[1];
    logits_in(w.logits, soft, oh, oh_end);
    exponents(soft, pixels);
    for (int64_t i = 0; i < pixels; ++i) {
      C* grad = weights + i * weight_pitch;
      for (int64_t t = w.taps; t < weight_pitch; ++t) grad[t] = 0;
      through<1>(soft + i * weight_pitch, grad, weight_pitch / L);
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

  // ---------------------------------------------------------------------------------------------- weights of an input pixel
  //
  // Channels last and before a pixel shuffle, the weights of an input pixel's outputs lie together, a tap's side by side.

  int64_t cell_lanes() const { return w.taps * w.phase_pitch; }
  template <class B>
  B* cell_at(B* base, int64_t b, int64_t bx) const {
    return base + (at.n * s.w_sample + at.group * w.taps * s.w_tap + b * s.w_row + bx * s.w_col) * weight_codec.bytes;
  }
  // f(lanes) where a register holds several taps, lane by lane a multiple of so many apart; otherwise for whole registers of a tap.
  template <class F>
  void each_phases(const F& f) {
    switch (w.phase_pitch) {
      case 1: return f(Count<1>{});
      case 2: return f(Count<2>{});
      case 4: return f(Count<4>{});
      case 8: return f(Count<8>{});
      default: return f(Count<L>{});
    }
  }
  int64_t cell_registers() const { return (cell_lanes() + L - 1) / L; }

  void cell_in(const char* from, C* to) {
    if (w.phase_pitch == s.w_tap) weight_codec.in(from, cell_lanes(), to);
    else
      for (int64_t t = 0; t < w.taps; ++t) weight_codec.in(from + t * s.w_tap * weight_codec.bytes, s.w_tap, to + t * w.phase_pitch);
  }
  void cell_softmax(C* memory) {
    for (int64_t i = cell_lanes(); i % L; ++i) memory[i] = C(-__builtin_inf());
    if (w.phase_pitch >= L) return soften_rows(memory);
    each_phases([&](auto lanes) { soften<decltype(lanes)::value>(memory, cell_registers()); });
  }
  void soften_rows(C* memory) {
    const int64_t step = w.phase_pitch;
    for (int64_t p = 0; p < step; p += L) {
      C* from = memory + p;
      V<C> top = load_as<V<C>>(from), sum{};
      for (int64_t t = 1; t < w.taps; ++t) {
        const V<C> v = load_as<V<C>>(from + t * step);
        top = v > top ? v : top;
      }
      for (int64_t t = 0; t < w.taps; ++t) {
        const V<C> e = exponent<C>(load_as<V<C>>(from + t * step) - top);
        store_as(from + t * step, e);
        sum += e;
      }
      const V<C> part = splat<C>(1) / sum;
      for (int64_t t = 0; t < w.taps; ++t) store_as(from + t * step, load_as<V<C>>(from + t * step) * part);
    }
  }

  // Some input pixels at a time: while one's softmax waits for its sum, others' go on.
  const C* cell_weights(int64_t b, int64_t bx) {
    const char* base = w.w;
    if (lent_w) return reinterpret_cast<const C*>(cell_at(base, b, bx));
    const int64_t here = bx % w.cells_together, pitch = cell_registers() * L;
    if (here == 0)
      for (int64_t i = 0; i < smaller(w.cells_together, s.in[1] - bx); ++i) {
        cell_in(cell_at(base, b, bx + i), weights + i * pitch);
        if (s.softmax) cell_softmax(weights + i * pitch);
      }
    return weights + here * pitch;
  }
  // The gradients of an input pixel's weights, to where they belong.
  void cell_out(int64_t b, int64_t bx) {
    if (s.softmax) {
      cell_in(cell_at(w.logits, b, bx), soft);
      cell_softmax(soft);
      if (w.phase_pitch < L) each_phases([&](auto lanes) { through<decltype(lanes)::value>(soft, weights, cell_registers()); });
      else through_rows();
    }
    char* to = cell_at(w.w, b, bx);
    if (w.phase_pitch == s.w_tap) return weight_codec.out(weights, cell_lanes(), to, false);
    for (int64_t t = 0; t < w.taps; ++t) weight_codec.out(weights + t * w.phase_pitch, s.w_tap, to + t * s.w_tap * weight_codec.bytes, false);
  }
  void through_rows() {
    for (int64_t p = 0; p < w.phase_pitch; p += L) {
      V<C> sum{};
      for (int64_t i = p; i < cell_lanes(); i += w.phase_pitch) sum = madd<C>(load_as<V<C>>(soft + i), load_as<V<C>>(weights + i), sum);
      for (int64_t i = p; i < cell_lanes(); i += w.phase_pitch)
        store_as(weights + i, load_as<V<C>>(soft + i) * (load_as<V<C>>(weights + i) - sum));
    }
  }

  // ---------------------------------------------------------------------------------------------- the pixels of a cell

  struct Cell {
    int64_t count;
    int64_t row[4], col[4];   // of y
    const C* weight[4];
    C* y[4];                  // as padded pixels
  };

  // f(cell) for the output pixels in rows [oh, oh_end) of input column bx, `most` at a time; their weights, if they are a cell's.
  template <class F>
  void each_cell(int64_t bx, int64_t oh, int64_t oh_end, int64_t most, const C* cells, const F& f) {
    const int64_t left = w.first_col[bx], right = w.first_col[bx + 1], count = (right - left) * (oh_end - oh);
    const int64_t each = count <= most ? count : pass_of(count, most);
    int64_t o = oh, c = left;
    for (int64_t first = 0; first < count; first += each) {
      Cell cell;
      cell.count = smaller(each, count - first);
      for (int64_t i = 0; i < cell.count; ++i) {
        cell.row[i] = o, cell.col[i] = c;
        if (cells) cell.weight[i] = cells + first + i;
        else cell.weight[i] = lent_w ? reinterpret_cast<const C*>(weight_at(w.w, 0, o, c)) : weight(o - oh, c);
        if (lent_y) cell.y[i] = reinterpret_cast<C*>(element(w.y, s.out, at.channel, o, c));
        else cell.y[i] = ys + (s.last ? i : (o - oh) * s.out[1] + c) * w.pitch;
        if (++c == right) c = left, ++o;
      }
      f(cell);
    }
  }
  // f(first output row, end) for the rows of input row b that are worked on together.
  template <class F>
  void each_rows(int64_t b, const F& f) {
    const int64_t together = w.cells ? w.first_row[b + 1] - w.first_row[b] : w.rows_together;
    for (int64_t o = w.first_row[b]; o < w.first_row[b + 1]; o += together) f(o, smaller(w.first_row[b + 1], o + together));
  }
  // Rows of planes are turned beforehand, pixels of channels are read where they are wanted.
  void ys_in(int64_t oh, int64_t oh_end) {
    if (s.last) return;
    for (int64_t o = oh; o < oh_end; ++o) pixels_in(w.y, s.out, o, ys + (o - oh) * s.out[1] * w.pitch);
  }
  void y_in(const Cell& cell) {
    if (!s.last || lent_y) return;
    for (int64_t i = 0; i < cell.count; ++i) codec.in(element(w.y, s.out, at.channel, cell.row[i], cell.col[i]), at.channels, cell.y[i]);
  }

  template <class F>
  static void counted(int64_t n, const F& f) {
    if (n == 1) f(Count<1>{});
    else if (n == 2) f(Count<2>{});
    else if (n == 3) f(Count<3>{});
    else f(Count<4>{});
  }

  // ---------------------------------------------------------------------------------------------- forward

  template <int P, int R, bool kCells>
  void sums_of(const Cell& cell, int64_t b, int64_t bx, int64_t c) {
    V<C> sum[P][R] = {};
    for (int64_t dy = dy0; dy < dy1; ++dy) {
      const C* x = slot(clamped(b + dy - w.r_h, s.in[0])) + bx * w.pitch + c;
      const int64_t first = dy * s.kernel[1] * tap_step, end = first + s.kernel[1] * tap_step;
      for (int64_t t = first; t < end; t += tap_step, x += w.pitch) {
        V<C> v[R];
        HP_UNROLL for (int r = 0; r < R; ++r) v[r] = load_as<V<C>>(x + r * L);
        HP_UNROLL for (int p = 0; p < P; ++p) {
          const V<C> by = splat<C>(kCells ? cell.weight[0][t + p] : cell.weight[p][t]);
          HP_UNROLL for (int r = 0; r < R; ++r) sum[p][r] = madd<C>(by, v[r], sum[p][r]);
        }
      }
    }
    HP_UNROLL for (int p = 0; p < P; ++p) {
      C* to = cell.y[p] + c;
      if (past_caches(to)) HP_UNROLL for (int r = 0; r < R; ++r) store_stream(to + r * L, sum[p][r]);
      else HP_UNROLL for (int r = 0; r < R; ++r) store_as(to + r * L, sum[p][r]);
    }
  }
  int64_t lanes() const { return lent_y ? at.channels : w.pitch; }  // that a pixel of y has
  bool past_caches(const C* y) const { return lent_y && w.stream && uintptr_t(y) % sizeof(V<C>) == 0; }
  template <int P, bool kCells>
  void all_sums_of(const Cell& cell, int64_t b, int64_t bx) {
    int64_t c = 0;
    for (; c + kPixelRegisters * L <= lanes(); c += kPixelRegisters * L) sums_of<P, kPixelRegisters, kCells>(cell, b, bx, c);
    for (; c < at.channels; c += L) sums_of<P, 1, kCells>(cell, b, bx, c);
  }

  void forward() {
    forget();
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end) {
        if (!w.cells && !lent_w) weights_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx)
          each_cell(bx, oh, oh_end, 4, w.cells ? cell_weights(b, bx) : nullptr, [&](const Cell& cell) {
            counted(cell.count, [&](auto count) {
              constexpr int P = decltype(count)::value;
              if (w.cells) all_sums_of<P, true>(cell, b, bx);
              else all_sums_of<P, false>(cell, b, bx);
            });
            if (s.last && !lent_y)
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
    for (int64_t c = 0; c < at.channels; c += L) {
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
      for (int d = 0; d < D; ++d) const_cast<C*>(cell.weight[p])[(tap + d) * tap_step] = out[p * D + d];
  }

  void back_w() {
    forget();
    clear(ys, (s.last ? 4 : w.rows_together * s.out[1]) * w.pitch);
    const int64_t kw = s.kernel[1];
    for (int64_t b = at.row; b < at.row_end; ++b) {
      if (w.first_row[b] == w.first_row[b + 1]) continue;
      look(b);
      each_rows(b, [&](int64_t oh, int64_t oh_end) {
        if (!w.cells) clear(weights, (oh_end - oh) * s.out[1] * weight_pitch);
        ys_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx) {
          if (w.cells) clear(weights, cell_registers() * L);
          each_cell(bx, oh, oh_end, kProductPixels, w.cells ? weights : nullptr, [&](const Cell& cell) {
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
          if (w.cells) cell_out(b, bx);
        }
        if (!w.cells) weights_out(oh, oh_end);
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
      const int64_t first = dy * s.kernel[1] * tap_step, end = first + s.kernel[1] * tap_step;
      for (int64_t t = first; t < end; t += tap_step, to += w.pitch) {
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
        if (!w.cells && !lent_w) weights_in(oh, oh_end);
        ys_in(oh, oh_end);
        for (int64_t bx = 0; bx < s.in[1]; ++bx)
          each_cell(bx, oh, oh_end, 4, w.cells ? cell_weights(b, bx) : nullptr, [&](const Cell& cell) {
            y_in(cell);
            counted(cell.count, [&](auto count) {
              constexpr int P = decltype(count)::value;
              int64_t c = 0;
              for (; c + kPixelRegisters * L <= lanes(); c += kPixelRegisters * L) spread<P, kPixelRegisters>(cell, b, bx, c);
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
