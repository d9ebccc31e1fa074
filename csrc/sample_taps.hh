// SPDX-License-Identifier: MIT
// From positions to taps: cells of the input, weights, and how the weights change with the position. Internal linkage, see simd.hh.
#pragma once

#include "rows.hh"
#include "sample.hh"
#include "shuffle.hh"

namespace hp {
namespace {

template <class C>
struct CellOf {
  typedef int32_t type;
};
template <>
struct CellOf<double> {
  typedef int64_t type;
};
template <class C>
using Cell = V<typename CellOf<C>::type>;

template <class C>
inline Cell<C> cells(int64_t n) {
  return splat<typename CellOf<C>::type>(typename CellOf<C>::type(n));
}
template <class C>
inline Cell<C> to_cell(V<C> v) {
  return __builtin_convertvector(v, Cell<C>);
}
template <class C>
inline V<C> to_real(Cell<C> i) {
  return __builtin_convertvector(i, V<C>);
}
template <class C>
inline V<C> at_least(V<C> v, C low) {  // NaN becomes the bound
  return v > splat<C>(low) ? v : splat<C>(low);
}
template <class C>
inline V<C> at_most(V<C> v, C high) {
  return v < splat<C>(high) ? v : splat<C>(high);
}
template <class C>
inline V<C> floored(V<C> v) {  // of values that an integer holds
  const V<C> whole = to_real<C>(to_cell<C>(v));
  return whole - (whole > v ? splat<C>(1) : splat<C>(0));
}
// Values of at least this size are whole numbers.
template <class C>
constexpr C kWhole = C(sizeof(C) == 4 ? 0x1p23 : 0x1p52);

// One axis of one kind of sampling.
template <class C>
struct Axis {
  int64_t n;
  C scale, shift;  // coordinate to position
  C low, span;     // of reflections: twice the length
  Outside outside;
  bool image;      // as torch's two kernels differ: images round once, and treat NaN as the first sample

  Axis(const SampleSpec& s, int axis) : n(s.in[axis]), outside(s.outside), image(s.dims == 2) {
    scale = s.aligned ? C(n - 1) / 2 : C(n) / 2;
    shift = s.aligned ? C(0) : C(-0.5);
    low = s.aligned ? C(0) : C(-0.5);
    span = C(2 * (s.aligned ? n - 1 : n));
  }

  HP_INLINE V<C> position(V<C> coordinate) const {
    const V<C> from = coordinate + splat<C>(1);
    if (image) return madd<C>(from, splat<C>(scale), splat<C>(shift));
    return apart(from * splat<C>(scale)) + splat<C>(shift);
  }

  HP_INLINE V<C> clipped(V<C> v) const {
    const C last = C(n - 1);
    return image ? at_most<C>(at_least<C>(v, 0), last) : at_least<C>(at_most<C>(v, last), 0);
  }

  // Back and forth between the borders; `slope` changes its sign where the way is back.
  HP_INLINE V<C> reflected(V<C> v, V<C>& slope) const {
    if (span <= 0) {
      slope = splat<C>(0);
      return splat<C>(0);
    }
    const V<C> from = v - splat<C>(low), far = from < splat<C>(0) ? -from : from;
    const V<C> times = far / splat<C>(span);
    const V<C> whole = times < splat<C>(kWhole<C>) ? to_real<C>(to_cell<C>(at_most<C>(times, kWhole<C>))) : times;
    const V<C> rest = madd<C>(-whole, splat<C>(span), far), other = splat<C>(span) - rest;
    const auto back = rest > other;
    slope = (from < splat<C>(0)) ^ back ? -slope : slope;
    return (back ? other : rest) + splat<C>(low);
  }

  // The position that is sampled; `slope` is its derivative by the coordinate.
  HP_INLINE V<C> moved_inside(V<C> v, V<C>& slope) const {
    if (outside == Outside::zeros) return v;
    if (outside == Outside::reflection) v = reflected(v, slope);
    slope = (v > splat<C>(0)) & (v < splat<C>(C(n - 1))) ? slope : splat<C>(0);
    return clipped(v);
  }

  // Whatever the position, a number that an integer holds; where `zeros` has taps, the position itself.
  HP_INLINE V<C> bounded(V<C> v) const { return at_most<C>(at_least<C>(v, C(-4)), C(n + 3)); }

  HP_INLINE Cell<C> inside(Cell<C> i) const { return (i >= cells<C>(0)) & (i < cells<C>(n)) ? i : cells<C>(-1); }
};

template <Draw D>
constexpr int kTaps = D == Draw::nearest ? 1 : D == Draw::linear ? 2 : 4;

// The taps along one axis: cells (-1: outside), weights, and the weights' derivatives by the coordinate.
template <class C, Draw D>
struct AxisTaps {
  Cell<C> cell[kTaps<D>];
  V<C> weight[kTaps<D>], slope[kTaps<D>];

  HP_INLINE void linear(const Axis<C>& axis, Cell<C> first, V<C> t, V<C> slope_of_t) {
    cell[0] = axis.inside(first);
    cell[1] = axis.inside(first + cells<C>(1));
    weight[0] = splat<C>(1) - t;
    weight[1] = t;
    slope[0] = -slope_of_t;
    slope[1] = slope_of_t;
  }

  HP_INLINE void cubic(V<C> t, V<C> slope_of_t) {
    constexpr C A = C(-0.75);
    const auto near = [&](V<C> x) { return ((A + 2) * x - (A + 3)) * x * x + C(1); };
    const auto far = [&](V<C> x) { return ((A * x - 5 * A) * x + 8 * A) * x - 4 * A; };
    const auto near_slope = [&](V<C> x) { return (3 * (A + 2) * x - 2 * (A + 3)) * x; };
    const auto far_slope = [&](V<C> x) { return (3 * A * x - 10 * A) * x + 8 * A; };
    const V<C> u = splat<C>(1) - t;
    weight[0] = far(t + splat<C>(1));
    weight[1] = near(t);
    weight[2] = near(u);
    weight[3] = far(u + splat<C>(1));
    slope[0] = slope_of_t * far_slope(t + splat<C>(1));
    slope[1] = slope_of_t * near_slope(t);
    slope[2] = -slope_of_t * near_slope(u);
    slope[3] = -slope_of_t * far_slope(u + splat<C>(1));
  }

  HP_INLINE void at_coordinate(const Axis<C>& axis, V<C> coordinate) {
    V<C> v = axis.position(coordinate), slope_of_t = splat<C>(axis.scale);
    if constexpr (D == Draw::cubic) {
      const V<C> safe = at_most<C>(at_least<C>(v, -kWhole<C>), kWhole<C>);
      const auto large = (v < splat<C>(0) ? -v : v) >= splat<C>(kWhole<C>);
      const V<C> whole = large ? v : floored<C>(safe);
      cubic(large ? v - v : safe - whole + (v - v), slope_of_t);  // a position that is no number has weights that are none
      for (int k = 0; k < 4; ++k) {
        V<C> unused = splat<C>(1);
        const V<C> to = axis.moved_inside(whole + splat<C>(C(k - 1)), unused);
        cell[k] = axis.inside(to_cell<C>(axis.bounded(to)));
      }
    } else {
      v = axis.moved_inside(v, slope_of_t);
      const V<C> safe = axis.bounded(v);
      if constexpr (D == Draw::nearest) {
        const C shifter = C(1.5) * kWhole<C>;  // to nearest, ties to even
        cell[0] = axis.inside(to_cell<C>((safe + splat<C>(shifter)) - splat<C>(shifter)));
        weight[0] = splat<C>(1);
        slope[0] = splat<C>(0);
      } else {
        const V<C> whole = floored<C>(safe);
        // In images a position that is no number has weights that are none.
        const V<C> t = axis.image ? safe - whole + (v - v) : safe - whole;
        linear(axis, to_cell<C>(whole), t, slope_of_t);
      }
    }
  }

  // `offset` from cell `base`, at the border where that lies outside: the sum is never rounded.
  HP_INLINE void at_offset(const Axis<C>& axis, Cell<C> base, V<C> offset) {
    const C most = C(axis.n + 1);
    const V<C> safe = at_most<C>(at_least<C>(offset, -most), most), whole = floored<C>(safe);
    const Cell<C> first = base + to_cell<C>(whole), last = cells<C>(axis.n - 1);
    V<C> t = safe - whole;
    const auto low = first < cells<C>(0), high = first >= last;
    const auto still = low | high | ((first == cells<C>(0)) & (t == splat<C>(0)));
    t = low | high ? splat<C>(0) : t;
    linear(axis, low ? cells<C>(0) : high ? last : first, t, still ? splat<C>(0) : splat<C>(1));
  }
};

// kSampled positions and their taps. Taps of a pixel lie kSampled apart.
template <class C>
struct Taps {
  C at[3][kSampled];                  // coordinates, innermost axis first; or offsets
  typename CellOf<C>::type base[2][kSampled];
  int32_t cell[kMostTaps][kSampled];  // -1: outside
  C weight[kMostTaps][kSampled];
  C slope[3][kMostTaps][kSampled];    // by each coordinate, innermost axis first
};

template <class C>
inline void put_cells(int32_t* to, Cell<C> cell) {
  store_as(to, __builtin_convertvector(cell, Vec<int32_t, kLanes<C>>));
}

// The product of the taps of all axes, for `count` pixels (rounded up to whole registers).
template <class C, Draw D, int N, bool kSlopes>
void make_taps(const SampleSpec& s, Taps<C>& taps, int64_t count) {
  constexpr int A = kTaps<D>;
  const Axis<C> x_axis(s, 2), y_axis(s, 1), z_axis(s, 0);
  for (int64_t i = 0; i < count; i += kLanes<C>) {
    AxisTaps<C, D> x, y, z;
    if (D == Draw::linear && N == 2 && s.scale) {
      if constexpr (D == Draw::linear) {
        x.at_offset(x_axis, load_as<Cell<C>>(taps.base[0] + i), load_as<V<C>>(taps.at[0] + i));
        y.at_offset(y_axis, load_as<Cell<C>>(taps.base[1] + i), load_as<V<C>>(taps.at[1] + i));
      }
    } else {
      x.at_coordinate(x_axis, load_as<V<C>>(taps.at[0] + i));
      y.at_coordinate(y_axis, load_as<V<C>>(taps.at[1] + i));
      if constexpr (N == 3) z.at_coordinate(z_axis, load_as<V<C>>(taps.at[2] + i));
    }
    int k = 0;
    HP_UNROLL for (int c = 0; c < (N == 3 ? A : 1); ++c)
      HP_UNROLL for (int b = 0; b < A; ++b) {
        Cell<C> row = y.cell[b] * cells<C>(s.in[2]);
        Cell<C> gone = y.cell[b];
        V<C> weight = y.weight[b];
        if constexpr (N == 3) {
          row += z.cell[c] * cells<C>(s.in[1] * s.in[2]);
          gone |= z.cell[c];
          weight *= z.weight[c];
        }
        HP_UNROLL for (int a = 0; a < A; ++a, ++k) {
          put_cells<C>(taps.cell[k] + i, (gone | x.cell[a]) < cells<C>(0) ? cells<C>(-1) : row + x.cell[a]);
          store_as(taps.weight[k] + i, weight * x.weight[a]);
          if constexpr (kSlopes) {
            store_as(taps.slope[0][k] + i, weight * x.slope[a]);
            V<C> down = y.slope[b] * x.weight[a];
            if constexpr (N == 3) {
              store_as(taps.slope[2][k] + i, z.slope[c] * y.weight[b] * x.weight[a]);
              down *= z.weight[c];
            }
            store_as(taps.slope[1][k] + i, down);
          }
        }
      }
  }
}

// ------------------------------------------------------------------------------------------------ positions

template <class C>
void read_positions(Type type, const char* at, int64_t first, int64_t count, C* to) {
  if constexpr (kSame<C, double>) return widen_row<double, C>(reinterpret_cast<const double*>(at) + first, count, to);
  else if (type == Type::f16) return widen_row<Half, C>(reinterpret_cast<const Half*>(at) + first, count, to);
  else if (type == Type::bf16) return widen_row<BFloat, C>(reinterpret_cast<const BFloat*>(at) + first, count, to);
  else return widen_row<float, C>(reinterpret_cast<const float*>(at) + first, count, to);
}

// Pixels [first, first + count) of plane b = sample * groups + group.
template <class C>
void grid_positions(const Sampling& job, int64_t b, int64_t first, int64_t count, Taps<C>& taps) {
  const int dims = job.spec.dims;
  C read[3 * kSampled] = {};
  read_positions<C>(job.at_type, job.at, (b * job.pixels + first) * dims, count * dims, read);
  if (dims == 2) {
    for (int64_t i = 0; i < count; i += kLanes<C>) {
      V<C> x = load_as<V<C>>(read + 2 * i), y = load_as<V<C>>(read + 2 * i + kLanes<C>);
      unzip2(x, y, LanesUpTo<kLanes<C>>{});
      store_as(taps.at[0] + i, x);
      store_as(taps.at[1] + i, y);
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    for (int d = 0; d < dims; ++d) taps.at[d][i] = read[i * dims + d];
}

// Pixels pixel, pixel + every ... of some, whose offsets lie `step` elements apart from `at` on.
struct OffsetRun {
  int64_t pixel, every, count, at, step;
};

// f(axis, run) for the offsets of pixels [first, first + count) of plane b.
template <class F>
void for_offsets(const SampleSpec& s, int64_t b, int64_t first, int64_t count, const F& f) {
  const int64_t scale = s.scale, sample = b / s.groups, group = b % s.groups, block = s.fine ? 1 : scale * scale;
  const int64_t height = s.fine ? s.out[1] : s.in[1], width = s.fine ? s.out[2] : s.in[2], planes = 2 * s.groups * block;
  const int64_t step = s.at_last ? planes : 1;
  // Where offset (h, w) of a plane lies.
  const auto place = [&](int64_t plane, int64_t h, int64_t w) {
    return s.at_last ? ((sample * height + h) * width + w) * planes + plane : ((sample * planes + plane) * height + h) * width + w;
  };
  for (int64_t done = 0; done < count;) {
    const int64_t row = (first + done) / s.out[2], column = (first + done) % s.out[2], here = smaller(count - done, s.out[2] - column);
    for (int axis = 0; axis < 2; ++axis) {
      const int64_t plane = (axis * s.groups + group) * block;
      if (s.fine) {
        f(axis, OffsetRun{done, 1, here, place(plane, row, column), step});
        continue;
      }
      for (int64_t j = 0; j < scale; ++j) {
        // Pixels column + k with (column + k) % scale = j.
        const int64_t k = (j - column % scale + scale) % scale;
        if (k >= here) continue;
        f(axis, OffsetRun{done + k, scale, (here - k + scale - 1) / scale, place(plane + row % scale * scale + j, row / scale, (column + k) / scale), step});
      }
    }
    done += here;
  }
}

template <class C>
void offset_positions(const Sampling& job, int64_t b, int64_t first, int64_t count, Taps<C>& taps) {
  const SampleSpec& s = job.spec;
  for_offsets(s, b, first, count, [&](int axis, const OffsetRun& run) {
    C* to = taps.at[axis] + run.pixel;
    if (run.step == 1 && run.every == 1) return read_positions<C>(job.at_type, job.at, run.at, run.count, to);
    if (run.step == 1) {
      C read[kSampled];
      read_positions<C>(job.at_type, job.at, run.at, run.count, read);
      for (int64_t k = 0; k < run.count; ++k) to[k * run.every] = read[k];
      return;
    }
    if (job.at_type == Type::f32 || job.at_type == Type::f64) {
      const C* from = reinterpret_cast<const C*>(job.at) + run.at;
      for (int64_t k = 0; k < run.count; ++k) to[k * run.every] = from[k * run.step];
      return;
    }
    for (int64_t k = 0; k < run.count; ++k) read_positions<C>(job.at_type, job.at, run.at + k * run.step, 1, to + k * run.every);
  });
  const C part = C(1) / C(2 * s.scale);
  int64_t row = first / s.out[2], w = first % s.out[2] / s.scale, j = first % s.out[2] % s.scale;
  for (int64_t k = 0; k < count; ++k) {
    taps.at[0][k] += C(2 * j + 1 - s.scale) * part;
    taps.at[1][k] += C(2 * (row % s.scale) + 1 - s.scale) * part;
    taps.base[0][k] = typename CellOf<C>::type(w);
    taps.base[1][k] = typename CellOf<C>::type(row / s.scale);
    if (++j == s.scale) j = 0, ++w;
    if (w == s.in[2]) w = 0, ++row;
  }
}

template <class C>
void positions(const Sampling& job, int64_t b, int64_t first, int64_t count, Taps<C>& taps) {
  if (job.spec.scale) offset_positions<C>(job, b, first, count, taps);
  else grid_positions<C>(job, b, first, count, taps);
  // The lanes that follow compute too.
  for (int64_t i = count; i % kLanes<C>; ++i) {
    for (int d = 0; d < 3; ++d) taps.at[d][i] = 0;
    taps.base[0][i] = taps.base[1][i] = 0;
  }
}

template <class C, bool kSlopes>
void taps_of(const Sampling& job, int64_t b, int64_t first, int64_t count, Taps<C>& taps) {
  const SampleSpec& s = job.spec;
  positions<C>(job, b, first, count, taps);
  if (s.dims == 3) {
    if (s.draw == Draw::nearest) return make_taps<C, Draw::nearest, 3, false>(s, taps, count);
    return make_taps<C, Draw::linear, 3, kSlopes>(s, taps, count);
  }
  if (s.draw == Draw::nearest) return make_taps<C, Draw::nearest, 2, false>(s, taps, count);
  if (s.draw == Draw::cubic) return make_taps<C, Draw::cubic, 2, kSlopes>(s, taps, count);
  return make_taps<C, Draw::linear, 2, kSlopes>(s, taps, count);
}

}  // namespace
}  // namespace hp
