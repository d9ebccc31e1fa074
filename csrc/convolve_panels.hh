// SPDX-License-Identifier: MIT
// Packed weights, and panels of what a correlation reads. Internal linkage, see simd.hh.
#pragma once

#include "convolve_blocks.hh"
#include "shuffle.hh"

namespace hp {
namespace {

// ------------------------------------------------------------------------------------------------ weights

// M channels of every c: to[phase, c, number of the tap, m].
template <class C, int M>
void pack_block(const Correlation& k, const C* weight, int64_t m, C* packed) {
  constexpr int L = kLanes<C>;
  const auto place = [&](int64_t tap, int64_t c) {
    const int64_t first = k.first[k.phase[tap]], count = k.first[k.phase[tap] + 1] - first;
    return packed + first * k.c * k.m + (m * k.c + c * M) * count + k.number[tap] * M;
  };
  for (int64_t c = 0; c < k.c; ++c) {
    const C* from = weight + c * k.weight_c + m * k.weight_m;
    int64_t tap = 0;
    if constexpr (M <= L)
      for (; tap + L <= k.taps; tap += L) {
        V<C> v[M];
        HP_UNROLL for (int i = 0; i < M; ++i) v[i] = load_as<V<C>>(from + i * k.weight_m + tap);
        zip_all<V<C>, L, M>(v);
        HP_UNROLL for (int i = 0; i < L; ++i) __builtin_memcpy(place(tap + i, c), reinterpret_cast<const C*>(v) + i * M, M * sizeof(C));
      }
    for (; tap < k.taps; ++tap) {
      C* to = place(tap, c);
      HP_UNROLL for (int i = 0; i < M; ++i) to[i] = from[i * k.weight_m + tap];
    }
  }
}

template <class C>
void pack(const Correlation& k, int64_t task) {
  const int64_t blocks = k.m / kBlock + (k.m % kBlock != 0);
  const int64_t g = task / blocks, begin = task % blocks * kBlock, end = smaller(k.m, begin + kBlock);
  const C* weight = reinterpret_cast<const C*>(k.weight) + g * k.weight_group;
  C* packed = reinterpret_cast<C*>(k.packed) + g * k.c * k.m * k.taps;
  for (int64_t m = begin, block; m < end; m += block) {
    block = block_of(end - m);
    if (block == 1) pack_block<C, 1>(k, weight, m, packed);
    else if (block == 2) pack_block<C, 2>(k, weight, m, packed);
    else if (block == 4) pack_block<C, 4>(k, weight, m, packed);
    else pack_block<C, kBlock>(k, weight, m, packed);
  }
}

// ------------------------------------------------------------------------------------------------ panels

// out[phase * phase_length + u] = x[K * u + phase], for u in [0, n); x has room for whole registers.
template <class C, int K>
void split_row(const C* x, C* out, int64_t phase_length, int64_t n) {
  constexpr int L = kLanes<C>;
  for (int64_t u = 0; u < n; u += L) {
    V<C> v[K], w[K];
    HP_UNROLL for (int j = 0; j < K; ++j) v[j] = load_as<V<C>>(x + K * u + j * L);
    if constexpr (K == 3) {
      w[0] = unzip3<0>(v, LanesUpTo<L>{});
      w[1] = unzip3<1>(v, LanesUpTo<L>{});
      w[2] = unzip3<2>(v, LanesUpTo<L>{});
    } else {
      unzip_all<V<C>, L, K>(v);
      HP_UNROLL for (int j = 0; j < K; ++j) w[j] = v[j];
    }
    if (u + L <= n) {
      HP_UNROLL for (int j = 0; j < K; ++j) store_as(out + j * phase_length + u, w[j]);
    } else {
      HP_UNROLL for (int j = 0; j < K; ++j) store_lanes(out + j * phase_length + u, w[j], 0, n - u);
    }
  }
}

template <class C>
void split_any(const C* x, int64_t split, C* out, int64_t phase_length, int64_t n) {
  if (split == 2) return split_row<C, 2>(x, out, phase_length, n);
  if (split == 3) return split_row<C, 3>(x, out, phase_length, n);
  if (split == 4) return split_row<C, 4>(x, out, phase_length, n);
  if (split == 8) return split_row<C, 8>(x, out, phase_length, n);
  for (int64_t j = 0; j < split; ++j)
    for (int64_t u = 0; u < n; ++u) out[j * phase_length + u] = x[split * u + j];
}

// out[i] = x[i - lead], for i in [0, n); 0 where that lies outside of [0, size).
template <class C>
void pad_row(const C* x, int64_t size, int64_t lead, C* out, int64_t n) {
  const int64_t low = smaller(n, larger(lead, 0)), high = larger(low, smaller(n, size + lead));
  __builtin_memset(out, 0, size_t(low) * sizeof(C));
  __builtin_memcpy(out + low, x + (low - lead), size_t(high - low) * sizeof(C));
  __builtin_memset(out + high, 0, size_t(n - high) * sizeof(C));
}

// Rows and columns of places, from the sample's, plane's, row's and column's on. With Correlation::batch: all rows of samples.
struct Tile {
  int64_t sample, group, plane, row, column, rows, columns;
};

template <class C>
void fill_panel(const Correlation& k, const Tile& t, int64_t c0, int64_t c1, C* panel, C* row) {
  const int64_t plane = k.x_size[1] * k.x_size[2], volume = k.x_size[0] * plane, height = k.rows + k.halo[1];
  const C* x = reinterpret_cast<const C*>(k.x) + ((t.sample * k.groups + t.group) * k.c + c0) * volume;
  const int64_t across = k.split[2] * k.phase_length;  // phases of columns are innermost
  for (int64_t c = c0; c < c1; ++c, x += volume, panel += k.panel_step)
    for (int64_t jz = 0; jz < k.split[0]; ++jz)
      for (int64_t jy = 0; jy < k.split[1]; ++jy)
        for (int64_t uz = 0; uz <= k.halo[0]; ++uz) {
          const int64_t z = k.split[0] * (t.plane + uz) + jz - k.lead[0];
          for (int64_t uy = 0; uy < t.rows + k.halo[1]; ++uy) {
            const int64_t y = k.split[1] * (t.row + uy) + jy - k.lead[1];
            C* to = panel + (jz * k.split[1] + jy) * across + (uz * height + uy) * k.row_length;
            const bool inside = uint64_t(z) < uint64_t(k.x_size[0]) && uint64_t(y) < uint64_t(k.x_size[1]);
            if (inside) {
              const C* from = x + z * plane + y * k.x_size[2];
              const int64_t lead = k.lead[2] - k.split[2] * t.column;
              pad_row(from, k.x_size[2], lead, k.split[2] == 1 ? to : row, k.split[2] * k.row_length);
              if (k.split[2] > 1) split_any(row, k.split[2], to, k.phase_length, k.row_length);
            } else {
              for (int64_t jx = 0; jx < k.split[2]; ++jx) __builtin_memset(to + jx * k.phase_length, 0, size_t(k.row_length) * sizeof(C));
            }
          }
        }
}

// Where row r of a tile stands.
struct Row {
  int64_t sample, z, y;

  Row(const Correlation& k, const Tile& t, int64_t r) : sample(t.sample), z(t.plane), y(t.row + r) {
    if (!k.batch) return;
    sample = t.sample + r / k.places[1] / k.places[0];
    z = r / k.places[1] % k.places[0];
    y = r % k.places[1];
  }
};

template <class C>
void fill_shifts(const Correlation& k, const Tile& t, int64_t c0, int64_t c1, C* panel) {
  const int64_t plane = k.x_size[1] * k.x_size[2], volume = k.x_size[0] * plane, split = k.split[2];
  const C* x = reinterpret_cast<const C*>(k.x) + (t.group * k.c + c0) * volume;
  for (int64_t c = c0; c < c1; ++c, x += volume, panel += k.panel_step)
    for (int64_t i = 0; i < k.shifts; ++i) {
      const int64_t* shift = k.shift + 3 * i;
      // Within [low, high) columns lie inside.
      const int64_t low = smaller(t.columns, shift[2] < 0 ? (-shift[2] + split - 1) / split : 0);
      const int64_t high = larger(low, smaller(t.columns, k.x_size[2] > shift[2] ? (k.x_size[2] - shift[2] + split - 1) / split : 0));
      C* to = panel + i * k.phase_length;
      for (int64_t r = 0; r < t.rows; ++r, to += t.columns) {
        const Row row(k, t, r);
        const int64_t z = k.split[0] * row.z + shift[0], y = k.split[1] * row.y + shift[1];
        const bool inside = uint64_t(z) < uint64_t(k.x_size[0]) && uint64_t(y) < uint64_t(k.x_size[1]);
        const int64_t begin = inside ? low : t.columns, end = inside ? high : t.columns;
        for (int64_t q = 0; q < begin; ++q) to[q] = 0;
        if (inside) {
          const C* from = x + row.sample * k.groups * k.c * volume + z * plane + y * k.x_size[2] + shift[2];
          for (int64_t q = begin; q < end; ++q) to[q] = from[split * q];
        }
        for (int64_t q = end; q < t.columns; ++q) to[q] = 0;
      }
    }
}

}  // namespace
}  // namespace hp
