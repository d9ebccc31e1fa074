// SPDX-License-Identifier: MIT
// The gradient of the weight. Internal linkage, see simd.hh.
#pragma once

#include "convolve_panels.hh"

namespace hp {
namespace {

// out[i * out_step + r] = row r, element i, of K rows (a power of two) that lie `step` elements apart, n elements of each.
template <class C, int K>
void turn_rows(const C* x, int64_t step, C* out, int64_t out_step, int64_t n) {
  constexpr int L = kLanes<C>, kPart = K < L ? K : L;  // registers fall into parts of K rows, or K rows into registers
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    V<C> v[K];
    HP_UNROLL for (int r = 0; r < K; ++r) v[r] = load_as<V<C>>(x + r * step + i);
    zip_all<V<C>, L, K>(v);
    if (out_step == K) {
      HP_UNROLL for (int r = 0; r < K; ++r) store_as(out + i * K + r * L, v[r]);
    } else {
      HP_UNROLL for (int r = 0; r < K; ++r)
        HP_UNROLL for (int e = 0; e < L; e += kPart) {
          const int at = r * L + e;
          __builtin_memcpy(out + (i + at / K) * out_step + at % K, reinterpret_cast<const C*>(&v[r]) + e, kPart * sizeof(C));
        }
    }
  }
  for (; i < n; ++i)
    for (int r = 0; r < K; ++r) out[i * out_step + r] = x[r * step + i];
}

template <class C>
void turn_block(int64_t rows, const C* x, int64_t step, C* out, int64_t out_step, int64_t n) {
  switch (rows) {
    case 1: return turn_rows<C, 1>(x, step, out, out_step, n);
    case 2: return turn_rows<C, 2>(x, step, out, out_step, n);
    case 4: return turn_rows<C, 4>(x, step, out, out_step, n);
    case 8: return turn_rows<C, 8>(x, step, out, out_step, n);
    default: return turn_rows<C, 16>(x, step, out, out_step, n);
  }
}

// n pixels of a few neighbouring channels.
template <class C, int K>
void copy_pixels(const C* from, int64_t from_step, C* to, int64_t to_step, int64_t n) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * to_step, from + i * from_step, K * sizeof(C));
}

// Rows of places, x or the gradient, with neighbouring channels next to each other: `count` channels from c on.
template <class C>
struct Pixels {
  const C* data;
  int64_t channels, volume;  // of a pixel; pixels of a sample
  bool last;

  Pixels(const char* all, bool last_, int64_t sample, int64_t groups, int64_t group, int64_t each, const int64_t* size)
      : channels(groups * each), volume(size[0] * size[1] * size[2]), last(last_) {
    data = reinterpret_cast<const C*>(all) + sample * channels * volume + group * each * (last ? 1 : volume);
  }
  // A power of two of channels, up to 16.
  void block(int64_t count, int64_t c, int64_t pixel, C* to, int64_t step, int64_t n) const {
    if (!last) return turn_block(count, data + c * volume + pixel, volume, to, step, n);
    const C* from = data + pixel * channels + c;
    switch (count) {
      case 1: return copy_pixels<C, 1>(from, channels, to, step, n);
      case 2: return copy_pixels<C, 2>(from, channels, to, step, n);
      case 4: return copy_pixels<C, 4>(from, channels, to, step, n);
      case 8: return copy_pixels<C, 8>(from, channels, to, step, n);
      default: return copy_pixels<C, 16>(from, channels, to, step, n);
    }
  }
};

template <class C>
void fill_x(const Outer& k, const Tile& t, int64_t c0, int64_t c1, C* to) {
  constexpr int64_t L = kLanes<C>;
  const Pixels<C> x(k.x, k.last, t.sample, k.groups, t.group, k.c, k.in);
  for (int64_t c = c0, n; c < c1; c += n * L) {
    n = registers_of((c1 - c + L - 1) / L);
    const int64_t across = n * L, here = smaller(c1 - c, across);
    for (int64_t r = 0; r < t.rows; ++r) {
      C* row = to + r * t.columns * across;
      for (int64_t j = 0, block; j < here; j += block) {
        block = 16;
        while (block > here - j) block /= 2;
        x.block(block, c + j, (t.plane * k.in[1] + t.row + r) * k.in[2] + t.column, row + j, across, t.columns);
      }
      if (here < across)  // lanes without a channel compute too: from zeros, which are never slow
        for (int64_t i = 0; i < t.columns; ++i) __builtin_memset(row + i * across + here, 0, size_t(across - here) * sizeof(C));
    }
    to += t.rows * t.columns * across;
  }
}

// Rows of the gradient that a tile reads; 0 outside.
template <class C>
void fill_grad(const Outer& k, const Tile& t, int64_t z, int64_t m0, int64_t m1, C* to) {
  const Pixels<C> grad(k.grad, k.last, t.sample, k.groups, t.group, k.m, k.grad_size);
  const int64_t left = k.stride[2] * t.column - k.padding[2], top = k.stride[1] * t.row - k.padding[1];
  const int64_t low = smaller(k.grad_columns, larger(0, -left)), high = larger(low, smaller(k.grad_columns, k.grad_size[2] - left));
  for (int64_t m = m0, block; m < m1; m += block) {
    block = block_of(m1 - m);
    for (int64_t r = 0; r < k.grad_rows; ++r, to += k.grad_columns * block) {
      const int64_t y = top + r;
      if (uint64_t(y) >= uint64_t(k.grad_size[1])) {
        __builtin_memset(to, 0, size_t(k.grad_columns * block) * sizeof(C));
        continue;
      }
      __builtin_memset(to, 0, size_t(low * block) * sizeof(C));
      if (low < high) grad.block(block, m, (z * k.grad_size[1] + y) * k.grad_size[2] + left + low, to + low * block, block, high - low);
      __builtin_memset(to + high * block, 0, size_t((k.grad_columns - high) * block) * sizeof(C));
    }
  }
}

template <class C>
struct OuterRoom {
  C *x, *grad, *sums;
  int64_t bytes = 0;

  OuterRoom(const Outer& k, char* arena) {
    const auto take = [&](int64_t count) { return taken<C>(arena, bytes, count); };
    const int64_t across = (k.c_part + kLanes<C> - 1) / kLanes<C> * kLanes<C>;
    x = take(across * k.rows * k.columns);
    grad = take(k.m_part * k.grad_rows * k.grad_columns);
    sums = take(across * k.m_part * k.kernel[0] * k.kernel[1] * k.kernel[2]);
  }
};

// f(first channel of x, registers, first channel of the gradient, channels, sums of these channels and the first tap), for every block
template <class C, class F>
void over_blocks(const Outer& k, int64_t channels, int64_t m0, int64_t m1, C* sums, const F& f) {
  constexpr int64_t L = kLanes<C>;
  const int64_t taps = k.kernel[0] * k.kernel[1] * k.kernel[2];
  for (int64_t c = 0, n; c < channels; c += n * L) {
    n = registers_of((channels - c + L - 1) / L);
    for (int64_t m = m0, block; m < m1; m += block) {
      block = block_of(m1 - m);
      f(c, n, m, block, sums);
      sums += taps * block * n * L;
    }
  }
}

template <class C>
void add_tile(const Outer& k, const Tile& t, int64_t kz, int64_t channels, int64_t m0, int64_t m1, const OuterRoom<C>& room) {
  const int64_t planar = k.kernel[1] * k.kernel[2];
  over_blocks(k, channels, m0, m1, room.sums, [&](int64_t c, int64_t n, int64_t m, int64_t block, C* sums) {
    const int64_t across = n * kLanes<C>, row = k.grad_columns * block;
    const C* grad = room.grad + (m - m0) * k.grad_rows * k.grad_columns;
    const C* x = room.x + c * t.rows * t.columns;
    sums += kz * planar * block * across;
    // Taps of a row whose columns follow each other: their channels are next to each other too, and make larger blocks.
    const int64_t joined = k.dilation[2] == 1 ? k.kernel[2] : 1;
    for (int64_t i = 0; i < planar; i += joined) {
      const int64_t ky = i / k.kernel[2], kx = i % k.kernel[2];
      const C* from = grad + k.dilation[1] * ky * row + k.dilation[2] * kx * block;
      for (int64_t j = 0, some; j < joined * block; j += some, sums += some * across) {
        some = block_of(joined * block - j);
        run_product(some, n, OuterProduct<C>{from + j, x, t.rows, t.columns, k.stride[1] * row, k.stride[2] * block, sums});
      }
    }
  });
}

template <class C>
void outer(const Outer& k, int64_t task, char* arena) {
  const OuterRoom<C> room(k, arena);
  const int64_t m0 = task % k.m_parts * k.m_part, m1 = smaller(k.m, m0 + k.m_part);
  task /= k.m_parts;
  const int64_t c0 = task % k.c_parts * k.c_part, c1 = smaller(k.c, c0 + k.c_part);
  const int64_t taps = k.kernel[0] * k.kernel[1] * k.kernel[2];
  __builtin_memset(room.sums, 0, size_t(arena + room.bytes - reinterpret_cast<char*>(room.sums)));
  Tile t;
  t.group = task / k.c_parts;
  for (t.sample = 0; t.sample < k.samples; ++t.sample)
    for (t.plane = 0; t.plane < k.in[0]; ++t.plane)
      for (t.row = 0; t.row < k.in[1]; t.row += k.rows)
        for (t.column = 0; t.column < k.in[2]; t.column += k.columns) {
          t.rows = smaller(k.rows, k.in[1] - t.row);
          t.columns = smaller(k.columns, k.in[2] - t.column);
          fill_x(k, t, c0, c1, room.x);
          for (int64_t kz = 0; kz < k.kernel[0]; ++kz) {
            const int64_t z = k.stride[0] * t.plane + k.dilation[0] * kz - k.padding[0];
            if (uint64_t(z) >= uint64_t(k.grad_size[0])) continue;
            fill_grad(k, t, z, m0, m1, room.grad);
            add_tile(k, t, kz, c1 - c0, m0, m1, room);
          }
        }
  C* out = reinterpret_cast<C*>(k.out) + t.group * k.c * k.m * taps;
  over_blocks(k, c1 - c0, m0, m1, room.sums, [&](int64_t c, int64_t n, int64_t m, int64_t block, const C* sums) {
    const int64_t across = n * kLanes<C>, here = smaller(across, c1 - c0 - c);
    for (int64_t i = 0; i < here; ++i)
      for (int64_t j = 0; j < block; ++j)
        for (int64_t tap = 0; tap < taps; ++tap) out[((c0 + c + i) * k.m + m + j) * taps + tap] = sums[(tap * block + j) * across + i];
  });
}

}  // namespace
}  // namespace hp
