// SPDX-License-Identifier: MIT
// Depthwise transposed convolution, compiled once per instruction set. See depthwise.hh.
//
// Planar: lanes are cells of `stride` outputs; each phase of the stride is summed by itself, then the phases alternate in the output
// row. Backwards a slab's rows are the phases of their columns, one after the other, so that each tap reads consecutive elements.
// Channels last: lanes are channels.
#include "depthwise.hh"

#include "rows.hh"
#include "shuffle.hh"

namespace hp {
namespace {

constexpr Rounding kRounding = Rounding::half_even;

template <class C>
void clear(C* to, int64_t n) {
  if (n > 0) __builtin_memset(to, 0, size_t(n) * sizeof(C));
}

// A task's memory, taken piece by piece.
struct Arena {
  char* at;
  template <class X>
  X* take(int64_t count) {
    X* here = reinterpret_cast<X*>(at);
    at += (count * int64_t(sizeof(X)) + 63) / 64 * 64;
    return here;
  }
};

// Elements [begin, begin + length) of a row of n, zeros outside.
template <class C, class T>
void pad_row(const T* x, int64_t n, int64_t begin, int64_t length, C* to) {
  const int64_t a = smaller(larger(-begin, 0), length), b = smaller(larger(n - begin, a), length);
  clear(to, a);
  widen_row<T, C>(x + begin + a, b - a, to + a);
  clear(to + b, length - b);
}

// The same of pixels of `channels`, of which `here` are taken, in steps of `step`. What follows these in a register is of no meaning:
// lanes never meet. It is read from the pixels that follow.
template <class C, class T>
void pad_pixels(const T* x, int64_t channels, int64_t here, int64_t n, int64_t begin, int64_t length, int64_t step, C* to) {
  constexpr int L = kLanes<C>;
  const int64_t a = smaller(larger(-begin, 0), length), b = smaller(larger(n - begin, a), length);
  clear(to, a * step);
  clear(to + b * step, (length - b) * step);
  if (here == channels && here == step) return widen_row<T, C>(x + (begin + a) * channels, (b - a) * step, to + a * step);
  const int64_t follow = L / channels + 1;
  for (int64_t i = a; i < b; ++i) {
    const T* const from = x + (begin + i) * channels;
    if (begin + i + follow < n) {
      for (int64_t c = 0; c < here; c += L) store_as(to + i * step + c, widen<T, C>(from + c));
    } else {
      widen_row<T, C>(from, here, to + i * step);
      clear(to + i * step + here, step - here);
    }
  }
}

// A square of L registers, turned over its diagonal.
template <class C>
HP_INLINE void load_turned(const C* x, int64_t step, V<C>* v) {
  constexpr int L = kLanes<C>;
  HP_UNROLL for (int i = 0; i < L; ++i) v[i] = load_as<V<C>>(x + i * step);
  zip_all<V<C>, L, L>(v);
}

// ------------------------------------------------------------------------------------------------ forwards, planar

// The taps of lines of one phase, for every phase of their columns: where they read, and their weights (channels last: places of
// these in the table).
template <class C>
struct Meeting {
  int64_t *first, *at, *place;
  C* weight;
  int64_t each;  // taps of every phase, or 0 where they differ
};

// Lines of a box that are made alike.
template <class C, class T>
struct Lines {
  const C* x;
  T* out;
  int64_t x_step, out_step, count, columns, n;  // n outputs of a line, in `columns` cells
};

// N taps of phase f, or with 0 any number.
template <class C, int N, int R>
HP_INLINE void phase(const Meeting<C>& m, int64_t f, const C* x, V<C>* sum) {
  constexpr int L = kLanes<C>;
  const auto meet = [&](int64_t t) __attribute__((always_inline)) {
    const V<C> by = splat<C>(m.weight[t]);
    const C* const from = x + m.at[t];
    HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = madd<C>(load_as<V<C>>(from + i * L), by, sum[i]);
  };
  if constexpr (N == 0) {
    for (int64_t t = m.first[f]; t < m.first[f + 1]; ++t) meet(t);
  } else {
    HP_UNROLL for (int t = 0; t < N; ++t) meet(f * N + t);
  }
}

template <class C, class T, int S>
HP_INLINE void put_cells(V<C>* v, T* out, int64_t left) {
  constexpr int L = kLanes<C>;
  V<C> w[S];
  if constexpr (S == 3) {
    w[0] = zip3<0>(v, LanesUpTo<L>{});
    w[1] = zip3<1>(v, LanesUpTo<L>{});
    w[2] = zip3<2>(v, LanesUpTo<L>{});
  } else {
    zip_all<V<C>, L, S>(v);
    HP_UNROLL for (int k = 0; k < S; ++k) w[k] = v[k];
  }
  if (left >= S * L) {
    HP_UNROLL for (int k = 0; k < S; ++k) store_as(out + k * L, narrow<T, C>(w[k], kRounding));
  } else {
    HP_UNROLL for (int k = 0; k < S; ++k) {
      const int64_t here = left - k * L;
      if (here >= L) store_as(out + k * L, narrow<T, C>(w[k], kRounding));
      else if (here > 0) store_lanes(out + k * L, narrow<T, C>(w[k], kRounding), 0, here);
    }
  }
}

template <class C, class T, int S, int N, int R, int... F>
HP_INLINE void some_cells(const Meeting<C>& m, const C* x, V<C> bias, T* out, int64_t left, Lanes<F...>) {
  constexpr int L = kLanes<C>;
  V<C> sum[S][R];
  HP_UNROLL for (int i = 0; i < R; ++i) ((sum[F][i] = bias), ...);
  (phase<C, N, R>(m, F, x, sum[F]), ...);
  HP_UNROLL for (int i = 0; i < R; ++i) {
    V<C> v[S] = {sum[F][i]...};
    put_cells<C, T, S>(v, out + i * L * S, left - i * L * S);
  }
}

template <class C, class T, int S, int N>
void lines_of(const Meeting<C>& given, const Lines<C, T>& lines, C bias) {
  constexpr int L = kLanes<C>, R = S <= 2 ? 4 : S <= 4 || kRegister == 64 ? 2 : 1;
  constexpr LanesUpTo<S> all{};
  const V<C> first = splat<C>(bias);
  Meeting<C> m = given;
  C weight[N ? S * N : 1];  // not in memory that a store could change
  int64_t at[N ? S * N : 1];
  if constexpr (N > 0) {
    for (int t = 0; t < S * N; ++t) {
      weight[t] = given.weight[t];
      at[t] = given.at[t];
    }
    m.weight = weight;
    m.at = at;
  }
  const C* x = lines.x;
  T* out = lines.out;
  for (int64_t line = 0; line < lines.count; ++line, x += lines.x_step, out += lines.out_step) {
    int64_t u = 0;
    for (; u + (R - 1) * L < lines.columns; u += R * L) some_cells<C, T, S, N, R>(m, x + u, first, out + u * S, lines.n - u * S, all);
    if constexpr (R > 2)
      for (; u + L < lines.columns; u += 2 * L) some_cells<C, T, S, N, 2>(m, x + u, first, out + u * S, lines.n - u * S, all);
    if constexpr (R > 1)
      for (; u < lines.columns; u += L) some_cells<C, T, S, N, 1>(m, x + u, first, out + u * S, lines.n - u * S, all);
  }
}

template <class C, class T, int S>
void lines_by(const Meeting<C>& m, const Lines<C, T>& lines, C bias) {
  if constexpr (kSame<T, float>) {
    if (m.each == 1) return lines_of<C, T, S, 1>(m, lines, bias);
    if (m.each == 4) return lines_of<C, T, S, 4>(m, lines, bias);
  }
  return lines_of<C, T, S, 0>(m, lines, bias);
}

// Any number of phases: each for itself, then turned.
template <class C, class T>
void lines_of_any(const Meeting<C>& m, const Lines<C, T>& lines, C bias, int64_t count, C* apart, C* together) {
  constexpr int L = kLanes<C>;
  const int64_t step = (lines.columns + L - 1) / L * L;
  const C* x = lines.x;
  T* out = lines.out;
  for (int64_t line = 0; line < lines.count; ++line, x += lines.x_step, out += lines.out_step) {
    for (int64_t f = 0; f < count; ++f)
      for (int64_t u = 0; u < step; u += L) {
        V<C> sum[1] = {splat<C>(bias)};
        phase<C, 0, 1>(m, f, x + u, sum);
        store_as(apart + f * step + u, sum[0]);
      }
    // What a register spills over the end of its cell belongs to the next one, whose first phases come after.
    for (int64_t u = 0; u < step; u += L)
      for (int64_t f = (count - 1) / L * L; f >= 0; f -= L) {
        V<C> v[L];
        load_turned<C>(apart + f * step + u, step, v);
        HP_UNROLL for (int i = 0; i < L; ++i) store_as(together + (u + i) * count + f, v[i]);
      }
    store_row<T, C>(together, lines.n, out, kRounding, false);
  }
}

template <class C, class T>
void planar_lines(const Meeting<C>& m, const Lines<C, T>& lines, C bias, int64_t stride, int64_t count, C* apart, C* together) {
  switch (count == stride ? stride : 0) {
    case 1: return lines_by<C, T, 1>(m, lines, bias);
    case 2: return lines_by<C, T, 2>(m, lines, bias);
    case 3: return lines_by<C, T, 3>(m, lines, bias);
    case 4: return lines_by<C, T, 4>(m, lines, bias);
    case 8: return lines_by<C, T, 8>(m, lines, bias);
  }
  return lines_of_any<C, T>(m, lines, bias, count, apart, together);
}

// ------------------------------------------------------------------------------------------------ forwards, channels last

constexpr int kPixels = kRegister == 64 ? 8 : 4;  // that are made together

// What lanes of R pixels, `step` apart in the slab, sum over taps [begin, end).
template <class C, int R>
HP_INLINE void pixels(const int64_t* at, const int64_t* place, int64_t begin, int64_t end, const C* x, int64_t step, const C* weight, V<C>* sum) {
  for (int64_t t = begin; t < end; ++t) {
    const V<C> by = load_as<V<C>>(weight + place[t]);
    const C* const from = x + at[t];
    HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = madd<C>(load_as<V<C>>(from + i * step), by, sum[i]);
  }
}

template <class C, class T, int R>
HP_INLINE void put_pixels(const V<C>* sum, T* out, int64_t step, int64_t left) {
  if (left >= kLanes<C>) {
    HP_UNROLL for (int i = 0; i < R; ++i) store_as(out + i * step, narrow<T, C>(sum[i], kRounding));
  } else {
    HP_UNROLL for (int i = 0; i < R; ++i) store_lanes(out + i * step, narrow<T, C>(sum[i], kRounding), 0, left);
  }
}

template <class C, class T, int R>
HP_INLINE void some_pixels(const Depthwise& d, const Meeting<C>& m, int64_t f, const C* x, const C* weight, const C* bias, int64_t here, T* out) {
  const int64_t step = d.spec.stride[2] * d.spec.channels;
  for (int64_t c = 0; c < here; c += kLanes<C>) {
    V<C> sum[R];
    HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = load_as<V<C>>(bias + c);
    pixels<C, R>(m.at, m.place, m.first[f], m.first[f + 1], x + c, d.run, weight + c, sum);
    put_pixels<C, T, R>(sum, out + c, step, here - c);
  }
}

template <class C, class T>
void lines_of_pixels(const Depthwise& d, const Meeting<C>& m, const Lines<C, T>& lines, const C* weight, const C* bias, int64_t here) {
  const int64_t stride = d.spec.stride[2], channels = d.spec.channels, count = d.phases[2].count;
  const C* x = lines.x;
  T* out = lines.out;
  for (int64_t line = 0; line < lines.count; ++line, x += lines.x_step, out += lines.out_step) {
    int64_t u = 0;
    for (; (u + kPixels) * stride <= lines.n; u += kPixels)
      for (int64_t f = 0; f < count; ++f)
        some_pixels<C, T, kPixels>(d, m, f, x + u * d.run, weight, bias, here, out + (u * stride + f) * channels);
    for (; u < lines.columns; ++u)
      for (int64_t f = 0; f < count && u * stride + f < lines.n; ++f)
        some_pixels<C, T, 1>(d, m, f, x + u * d.run, weight, bias, here, out + (u * stride + f) * channels);
  }
}

// ------------------------------------------------------------------------------------------------ forwards

// The input's part that a box at `corner` (in cells) reads.
template <class C, class T>
void fill(const Depthwise& d, const T* x, const int64_t* corner, int64_t here, C* slab) {
  const DepthwiseSpec& s = d.spec;
  const int64_t pixel = s.last ? s.channels : 1;
  for (int64_t i = 0; i < d.held[0]; ++i)
    for (int64_t j = 0; j < d.held[1]; ++j, slab += d.pitch) {
      const int64_t z = corner[0] + d.low[0] + i, y = corner[1] + d.low[1] + j;
      if (z < 0 || z >= s.in[0] || y < 0 || y >= s.in[1]) {
        clear(slab, d.pitch);
        continue;
      }
      const T* const from = x + (z * s.in[1] + y) * s.in[2] * pixel;
      if (s.last) pad_pixels<C, T>(from, pixel, here, s.in[2], corner[2] + d.low[2], d.held[2], d.run, slab);
      else pad_row<C, T>(from, s.in[2], corner[2] + d.low[2], d.pitch, slab);
    }
}

// The taps of outputs of phases fd and fh, from the first slab element that the box's corner reads with shift `low`.
template <class C>
void meet(const Depthwise& d, int64_t fd, int64_t fh, const C* weight, Meeting<C>& m) {
  const DepthwiseSpec& s = d.spec;
  const Phases &pd = d.phases[0], &ph = d.phases[1], &pw = d.phases[2];
  const int64_t step = s.last ? d.run : 1;
  int64_t n = 0;
  m.first[0] = 0;
  m.each = -1;
  for (int64_t f = 0; f < pw.count; ++f) {
    for (int64_t i = pd.first[fd]; i < pd.first[fd + 1]; ++i)
      for (int64_t j = ph.first[fh]; j < ph.first[fh + 1]; ++j)
        for (int64_t k = pw.first[f]; k < pw.first[f + 1]; ++k, ++n) {
          const int64_t tap = (pd.tap[i] * s.kernel[1] + ph.tap[j]) * s.kernel[2] + pw.tap[k];
          const int64_t row = (pd.shift[i] - d.low[0]) * d.held[1] + ph.shift[j] - d.low[1];
          m.at[n] = row * d.pitch + (pw.shift[k] - d.low[2]) * step;
          if (s.last) m.place[n] = tap * d.padded;
          else m.weight[n] = weight[tap];
        }
    m.first[f + 1] = n;
    const int64_t count = n - m.first[f];
    m.each = m.each < 0 || m.each == count ? count : 0;
  }
}

template <class C, class T>
void forward(const Depthwise& d, int64_t task, char* memory) {
  const DepthwiseSpec& s = d.spec;
  const int64_t count = d.phases[2].count, pixel = s.last ? s.channels : 1;
  Arena arena{memory};
  C* const slab = arena.take<C>(d.held[0] * d.held[1] * d.pitch + 64);
  Meeting<C> m{arena.take<int64_t>(count + 1), arena.take<int64_t>(d.taps), arena.take<int64_t>(d.taps), arena.take<C>(d.taps), 0};
  C *together = nullptr, *apart = nullptr;
  if (!s.last) {
    together = arena.take<C>((d.box[2] + 16) * count + 64);
    apart = reinterpret_cast<C*>(arena.at);
  }
  const int64_t size_in = s.in[0] * s.in[1] * s.in[2], size_out = s.out[0] * s.out[1] * s.out[2];
  for (int64_t box = task * d.group; box < smaller((task + 1) * d.group, s.batch * d.units * d.boxes); ++box) {
    int64_t corner[3], end[3], plane = box;  // in cells, in outputs
    for (int a = 2; a >= 0; --a) {
      corner[a] = plane % d.parts[a] * d.box[a];
      end[a] = smaller((corner[a] + d.box[a]) * s.stride[a], s.out[a]);
      plane /= d.parts[a];
    }
    const int64_t first_column = corner[2] * s.stride[2], unit = plane % d.units;
    const int64_t from = s.last ? unit * d.run : 0, here = s.last ? smaller(d.run, s.channels - from) : 1;
    const T* const x = reinterpret_cast<const T*>(d.x) + (s.last ? plane / d.units * size_in * pixel + from : plane / s.each * size_in);
    T* const out = reinterpret_cast<T*>(d.out) + (s.last ? plane / d.units * size_out * pixel + from : plane * size_out);
    const C* const weight = reinterpret_cast<const C*>(d.weight) + (s.last ? from : unit * d.taps);
    const C* const bias = reinterpret_cast<const C*>(d.bias);
    fill<C, T>(d, x, corner, here, slab);
    for (int64_t fd = 0; fd < d.phases[0].count; ++fd)
      for (int64_t fh = 0; fh < d.phases[1].count; ++fh) {
        meet<C>(d, fd, fh, weight, m);
        for (int64_t od = corner[0] * s.stride[0] + fd, z = 0; od < end[0]; od += s.stride[0], ++z) {
          const int64_t oh = corner[1] * s.stride[1] + fh;
          Lines<C, T> lines{slab + z * d.held[1] * d.pitch, out + ((od * s.out[1] + oh) * s.out[2] + first_column) * pixel, d.pitch,
                            s.stride[1] * s.out[2] * pixel, (end[1] - oh + s.stride[1] - 1) / s.stride[1], smaller(d.box[2], d.cells[2] - corner[2]),
                            end[2] - first_column};
          if (s.last) lines_of_pixels<C, T>(d, m, lines, weight, bias + from, here);
          else planar_lines<C, T>(m, lines, bias ? bias[unit] : C(0), s.stride[2], count, apart, together);
        }
      }
  }
}

// ------------------------------------------------------------------------------------------------ backwards: rows by phases

// Cells of S elements into S rows `step` apart. Returns how many are done.
template <class C, class T, int S>
int64_t unzip(const T* x, int64_t cells, C* to, int64_t step) {
  constexpr int L = kLanes<C>;
  constexpr int64_t kElementsAhead = 2048 / int64_t(sizeof(T));  // speed, never results: rows follow each other
  int64_t i = 0;
  for (; i + L <= cells; i += L) {
    V<C> v[S];
    HP_UNROLL for (int k = 0; k < S; ++k) __builtin_prefetch(x + i * S + k * L + kElementsAhead);
    HP_UNROLL for (int k = 0; k < S; ++k) v[k] = widen<T, C>(x + i * S + k * L);
    if constexpr (S == 3) {
      store_as(to + i, unzip3<0>(v, LanesUpTo<L>{}));
      store_as(to + step + i, unzip3<1>(v, LanesUpTo<L>{}));
      store_as(to + 2 * step + i, unzip3<2>(v, LanesUpTo<L>{}));
    } else {
      unzip_all<V<C>, L, S>(v);
      HP_UNROLL for (int k = 0; k < S; ++k) store_as(to + k * step + i, v[k]);
    }
  }
  return i;
}

template <class C, class T>
int64_t unzip_any(const T* x, int64_t stride, int64_t count, int64_t cells, int64_t length, C* to, int64_t step) {
  constexpr int L = kLanes<C>;
  int64_t i = 0;
  for (; i + L <= cells; i += L)
    for (int64_t f = 0; f < count; f += L) {
      V<C> v[L];
      if ((i + L - 1) * stride + f + L <= length) {
        HP_UNROLL for (int k = 0; k < L; ++k) v[k] = widen<T, C>(x + (i + k) * stride + f);
        zip_all<V<C>, L, L>(v);
        for (int64_t k = 0; k < smaller(L, count - f); ++k) store_as(to + (f + k) * step + i, v[k]);
      } else {
        for (int64_t k = f; k < smaller(f + L, count); ++k)
          for (int64_t j = i; j < i + L; ++j) {
            C one[1];
            widen_row<T, C>(x + j * stride + k, 1, one);
            to[k * step + j] = one[0];
          }
      }
    }
  return i;
}

template <class C, class T>
int64_t unzip_all_of(const T* x, int64_t stride, int64_t count, int64_t cells, int64_t length, C* to, int64_t step) {
  switch (count == stride ? stride : 0) {
    case 1: return unzip<C, T, 1>(x, cells, to, step);
    case 2: return unzip<C, T, 2>(x, cells, to, step);
    case 3: return unzip<C, T, 3>(x, cells, to, step);
    case 4: return unzip<C, T, 4>(x, cells, to, step);
    case 8: return unzip<C, T, 8>(x, cells, to, step);
  }
  return unzip_any<C, T>(x, stride, count, cells, length, to, step);
}

// The phases of cells [begin, begin + width - 16) of a row of n elements, zeros outside.
template <class C, class T>
void split_row(const Depthwise& d, const T* x, int64_t begin, C* to, C* rest) {
  constexpr int L = kLanes<C>;
  const int64_t stride = d.spec.stride[2], count = d.phases[2].count, n = d.spec.out[2], cells = (n + stride - 1) / stride;
  const int64_t length = d.held[2] - 16, a = smaller(larger(-begin, 0), length), b = smaller(larger(cells - begin, a), length);
  for (int64_t f = 0; f < count; ++f) clear(to + f * d.held[2], a);
  if (b > a) {
    const T* from = x + (begin + a) * stride;
    const int64_t left = smaller(n - (begin + a) * stride, (b - a) * stride);
    int64_t done = unzip_all_of<C, T>(from, stride, count, left / stride, left, to + a, d.held[2]);
    while (done < b - a) {  // registers of zeros but for the row's end
      const int64_t here = smaller(left - done * stride, L * count);
      widen_row<T, C>(from + done * stride, here, rest);
      clear(rest + here, L * count - here);
      unzip_all_of<C, C>(rest, count, count, L, L * count, to + a + done, d.held[2]);
      done += L;
    }
  }
  for (int64_t f = 0; f < count; ++f) clear(to + f * d.held[2] + b, d.held[2] - b);
}

// ------------------------------------------------------------------------------------------------ backwards: sums

// Every tap that meets the gradient, for all places of a box alike.
template <class C>
struct Taps {
  int64_t count;
  int64_t *at, *place;  // in the slab; the tap's number
  int64_t* offset;      // channels last: of its weights
  C* weight;            // planar
};

template <class C, class T, int R>
HP_INLINE void some_columns(const Taps<C>& taps, const C* x, T* out, int64_t left) {
  constexpr int L = kLanes<C>;
  V<C> sum[R];
  HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = V<C>{};
  for (int64_t t = 0; t < taps.count; ++t) {
    const V<C> by = splat<C>(taps.weight[t]);
    const C* const from = x + taps.at[t];
    HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = madd<C>(load_as<V<C>>(from + i * L), by, sum[i]);
  }
  HP_UNROLL for (int i = 0; i < R; ++i) {
    const int64_t here = left - i * L;
    if (here >= L) store_as(out + i * L, narrow<T, C>(sum[i], kRounding));
    else if (here > 0) store_lanes(out + i * L, narrow<T, C>(sum[i], kRounding), 0, here);
  }
}

template <class C, class T>
void correlate(const Taps<C>& taps, const Lines<C, T>& lines) {
  constexpr int L = kLanes<C>;
  const C* x = lines.x;
  T* out = lines.out;
  for (int64_t line = 0; line < lines.count; ++line, x += lines.x_step, out += lines.out_step) {
    int64_t u = 0;
    for (; u + 3 * L < lines.n; u += 4 * L) some_columns<C, T, 4>(taps, x + u, out + u, lines.n - u);
    for (; u + L < lines.n; u += 2 * L) some_columns<C, T, 2>(taps, x + u, out + u, lines.n - u);
    for (; u < lines.n; u += L) some_columns<C, T, 1>(taps, x + u, out + u, lines.n - u);
  }
}

template <class C, class T, int R>
HP_INLINE void some_places(const Depthwise& d, const Taps<C>& taps, const C* x, const C* weight, int64_t here, T* out) {
  for (int64_t c = 0; c < here; c += kLanes<C>) {
    V<C> sum[R];
    HP_UNROLL for (int i = 0; i < R; ++i) sum[i] = V<C>{};
    pixels<C, R>(taps.at, taps.offset, 0, taps.count, x + c, d.spec.stride[2] * d.run, weight + c, sum);
    put_pixels<C, T, R>(sum, out + c, d.spec.channels, here - c);
  }
}

template <class C, class T>
void correlate_pixels(const Depthwise& d, const Taps<C>& taps, const Lines<C, T>& lines, const C* weight, int64_t here) {
  const int64_t step = d.spec.stride[2] * d.run, channels = d.spec.channels;
  const C* x = lines.x;
  T* out = lines.out;
  for (int64_t line = 0; line < lines.count; ++line, x += lines.x_step, out += lines.out_step) {
    int64_t u = 0;
    for (; u + kPixels <= lines.n; u += kPixels) some_places<C, T, kPixels>(d, taps, x + u * step, weight, here, out + u * channels);
    for (; u < lines.n; ++u) some_places<C, T, 1>(d, taps, x + u * step, weight, here, out + u * channels);
  }
}

// Registers of x and of the gradient whose products are summed: `count` of them a line.
template <class C>
struct Factors {
  const C *x, *grad;
  int64_t x_step, grad_step, count, x_line, grad_line, lines;
};

// G taps from t on; lanes of tap k lie at sums + place[k] * apart, in double.
template <class C, int G>
HP_INLINE void some_products(const Factors<C>& given, const Taps<C>& taps, int64_t t, int64_t flush, double* sums, int64_t apart) {
  constexpr int L = kLanes<C>, H = kRegister / 8;
  const Factors<C> p = given;
  int64_t at[G];
  HP_UNROLL for (int g = 0; g < G; ++g) at[g] = taps.at[t + g];
  for (int64_t begin = 0; begin < p.lines; begin += flush) {
    V<C> sum[G];
    HP_UNROLL for (int g = 0; g < G; ++g) sum[g] = V<C>{};
    for (int64_t line = begin; line < smaller(p.lines, begin + flush); ++line) {
      const C *x = p.x + line * p.x_line, *grad = p.grad + line * p.grad_line;
      for (int64_t i = 0; i < p.count; ++i, x += p.x_step, grad += p.grad_step) {
        const V<C> v = load_as<V<C>>(x);
        HP_UNROLL for (int g = 0; g < G; ++g) sum[g] = madd<C>(v, load_as<V<C>>(grad + at[g]), sum[g]);
      }
    }
    for (int g = 0; g < G; ++g) {
      C lanes[L];
      store_as(lanes, sum[g]);
      double* const to = sums + taps.place[t + g] * apart;
      HP_UNROLL for (int i = 0; i < L; i += H) {
        const auto part = __builtin_convertvector((load_as<Vec<C, H>>(lanes + i)), Vec<double, H>);
        store_as(to + i, load_as<Vec<double, H>>(to + i) + part);
      }
    }
  }
}

template <class C>
void products(const Factors<C>& p, const Taps<C>& taps, int64_t flush, double* sums, int64_t apart) {
  int64_t t = 0;
  for (; t + 8 <= taps.count; t += 8) some_products<C, 8>(p, taps, t, flush, sums, apart);
  for (; t + 4 <= taps.count; t += 4) some_products<C, 4>(p, taps, t, flush, sums, apart);
  for (; t + 2 <= taps.count; t += 2) some_products<C, 2>(p, taps, t, flush, sums, apart);
  for (; t < taps.count; ++t) some_products<C, 1>(p, taps, t, flush, sums, apart);
}

// ------------------------------------------------------------------------------------------------ backwards

// The gradient's part that the places of a box at `corner` were part of, output after output.
template <class C, class T>
void fill_back(const Depthwise& d, const T* grad, const int64_t* corner, int64_t here, C* slab, C* rest) {
  const DepthwiseSpec& s = d.spec;
  const int64_t size = s.out[0] * s.out[1] * s.out[2];
  const int64_t first = corner[2] * (s.last ? s.stride[2] : 1) + d.low[2];
  for (int64_t output = 0; output < s.each; ++output, grad += size)
    for (int64_t i = 0; i < d.held[0]; ++i)
      for (int64_t j = 0; j < d.held[1]; ++j, slab += d.pitch) {
        const int64_t z = corner[0] * s.stride[0] + d.low[0] + i, y = corner[1] * s.stride[1] + d.low[1] + j, line = (z * s.out[1] + y) * s.out[2];
        if (z < 0 || z >= s.out[0] || y < 0 || y >= s.out[1]) clear(slab, d.pitch);
        else if (s.last) pad_pixels<C, T>(grad + line * s.channels, s.channels, here, s.out[2], first, d.held[2], d.run, slab);
        else split_row<C, T>(d, grad + line, first, slab, rest);
      }
}

template <class C>
void reach(const Depthwise& d, Taps<C>& taps) {
  const DepthwiseSpec& s = d.spec;
  const Reached &rd = d.reached[0], &rh = d.reached[1], &rw = d.reached[2];
  taps.count = 0;
  for (int64_t output = 0; output < s.each; ++output)
    for (int64_t i = 0; i < rd.count; ++i)
      for (int64_t j = 0; j < rh.count; ++j)
        for (int64_t k = 0; k < rw.count; ++k, ++taps.count) {
          taps.place[taps.count] = ((output * s.kernel[0] + rd.tap[i]) * s.kernel[1] + rh.tap[j]) * s.kernel[2] + rw.tap[k];
          taps.at[taps.count] = ((output * d.held[0] + rd.at[i]) * d.held[1] + rh.at[j]) * d.pitch + rw.at[k] * (s.last ? d.run : 1);
        }
}

template <class C, class T>
void backward(const Depthwise& d, int64_t task, char* memory) {
  constexpr int L = kLanes<C>;
  const DepthwiseSpec& s = d.spec;
  const int64_t all = s.each * d.taps, unit = task % d.units, block = task / d.units, pixel = s.last ? s.channels : 1;
  const int64_t wide_row = s.last ? d.box[2] * d.run : (d.box[2] + 15) / 16 * 16, lanes = s.last ? d.run : L, sums = d.partial ? all * lanes : 0;
  Arena arena{memory};
  C* const slab = arena.take<C>(s.each * d.held[0] * d.held[1] * d.pitch + 64);
  C* const own = arena.take<C>(d.box[0] * d.box[1] * wide_row);
  C* const rest = arena.take<C>(16 * d.phases[2].count);
  double* const whole = arena.take<double>(sums);
  Taps<C> taps{0, arena.take<int64_t>(all), arena.take<int64_t>(all), arena.take<int64_t>(all), arena.take<C>(all)};
  reach<C>(d, taps);
  clear(whole, sums);

  const int64_t size_in = s.in[0] * s.in[1] * s.in[2], size_out = s.out[0] * s.out[1] * s.out[2];
  const int64_t from = s.last ? unit * d.run : 0, here = s.last ? smaller(d.run, s.channels - from) : 1;
  const int64_t slice = s.stride[0] * d.held[1] * d.pitch, line = s.stride[1] * d.pitch;
  const C* const weight = reinterpret_cast<const C*>(d.weight) + (s.last ? from : unit * all);
  for (int64_t t = 0; t < taps.count; ++t) {
    taps.offset[t] = taps.place[t] * d.padded;
    taps.weight[t] = s.last ? C(0) : weight[taps.place[t]];
  }
  for (int64_t box = block * d.group; box < smaller((block + 1) * d.group, s.batch * d.boxes); ++box) {
    int64_t corner[3], size[3], batch = box;
    for (int a = 2; a >= 0; --a) {
      corner[a] = batch % d.parts[a] * d.box[a];
      size[a] = smaller(d.box[a], s.in[a] - corner[a]);
      batch /= d.parts[a];
    }
    const int64_t registers = (size[2] + L - 1) / L;
    const int64_t plane = batch * s.channels + unit;
    const T* const grad = reinterpret_cast<const T*>(d.grad) + (s.last ? batch * size_out * pixel + from : plane * s.each * size_out);
    fill_back<C, T>(d, grad, corner, here, slab, rest);
    for (int64_t z = 0; z < size[0]; ++z) {
      const int64_t place = ((corner[0] + z) * s.in[1] + corner[1]) * s.in[2] + corner[2];
      const int64_t image = s.last ? (batch * size_in + place) * pixel + from : plane * size_in + place;
      if (d.grad_x) {
        const Lines<C, T> lines{slab + z * slice, reinterpret_cast<T*>(d.grad_x) + image, line, s.in[2] * pixel, size[1], size[2], size[2]};
        if (s.last) correlate_pixels<C, T>(d, taps, lines, weight, here);
        else correlate<C, T>(taps, lines);
      }
      if (!d.partial) continue;
      const T* const x = reinterpret_cast<const T*>(d.x) + image;
      for (int64_t y = 0; y < size[1]; ++y) {
        if (s.last) pad_pixels<C, T>(x + y * s.in[2] * pixel, pixel, here, size[2], 0, size[2], d.run, own + y * wide_row);
        else pad_row<C, T>(x + y * s.in[2], size[2], 0, registers * L, own + y * wide_row);
      }
      if (s.last) {
        for (int64_t c = 0; c < here; c += L)
          products<C>({own + c, slab + z * slice + c, d.run, s.stride[2] * d.run, size[2], wide_row, line, size[1]}, taps, d.flush, whole + c, lanes);
      } else {
        products<C>({own, slab + z * slice, L, L, registers, wide_row, line, size[1]}, taps, d.flush, whole, lanes);
      }
    }
  }
  if (!d.partial) return;
  double* to = d.partial + (block * d.units + unit) * all * d.run;
  if (s.last) {
    __builtin_memcpy(to, whole, size_t(sums) * sizeof(double));
  } else {
    for (int64_t k = 0; k < all; ++k) {
      double sum = 0;
      for (int i = 0; i < L; ++i) sum += whole[k * L + i];
      to[k] = sum;
    }
  }
}

template <class C, class T>
void either(const Depthwise& d, int64_t task, char* arena) {
  if (d.out) forward<C, T>(d, task, arena);
  else backward<C, T>(d, task, arena);
}

}  // namespace

#define HP_NAME2(isa) depthwise_##isa
#define HP_NAME(isa) HP_NAME2(isa)
void HP_NAME(HP_ISA)(const Depthwise& d, int64_t task, char* arena);
void HP_NAME(HP_ISA)(const Depthwise& d, int64_t task, char* arena) {
  switch (d.type) {
    case Type::f32: return either<float, float>(d, task, arena);
    case Type::f16: return either<float, Half>(d, task, arena);
    case Type::bf16: return either<float, BFloat>(d, task, arena);
    case Type::f64: return either<double, double>(d, task, arena);
    default: return;
  }
}

}  // namespace hp
