// SPDX-License-Identifier: MIT
// Blocks of sums in registers, compiled once per instruction set. See convolve.hh.
#include "convolve.hh"

#include "rows.hh"
#include "shuffle.hh"

namespace hp {
namespace {

// A block of kBlock channels by kWide registers of positions leaves room for one register of each factor.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kBlock = 8, kWide = 3;
#elif defined(__AVX2__)
constexpr int kBlock = 4, kWide = 3;
#else
constexpr int kBlock = 4, kWide = 2;
#endif

template <class C>
constexpr int64_t kAcross = kWide * kLanes<C>;

// Channels are taken in blocks of kBlock, the rest in powers of two.
inline int64_t block_of(int64_t rest) {
  int64_t m = kBlock;
  while (m > rest) m /= 2;
  return m;
}

// Registers that are taken together: as many as there are, without one alone after three.
inline int64_t registers_of(int64_t rest) { return rest == 4 ? 2 : smaller(rest, kWide); }

// ------------------------------------------------------------------------------------------------ blocks

template <class C, int M, int N>
struct Sums {
  V<C> v[M][N];

  HP_INLINE void begin(const C* bias) {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = splat<C>(bias ? bias[m] : C(0));
  }
  HP_INLINE void load(const C* from, int64_t step) {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = load_as<V<C>>(from + m * step + n * kLanes<C>);
  }
  HP_INLINE void store(C* to, int64_t step) const {
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int n = 0; n < N; ++n) store_as(to + m * step + n * kLanes<C>, v[m][n]);
  }
  HP_INLINE void add(const C* a, const C* b, const int64_t* at) {
    V<C> across[N];
    HP_UNROLL for (int n = 0; n < N; ++n) across[n] = load_as<V<C>>(b + at[n]);
    HP_UNROLL for (int m = 0; m < M; ++m) {
      const V<C> one = splat<C>(a[m]);
      HP_UNROLL for (int n = 0; n < N; ++n) v[m][n] = madd<C>(one, across[n], v[m][n]);
    }
  }
};

// M channels at N registers of positions: sums over channels of the panel and taps.
template <class C>
struct Product {
  const C *weight, *panel, *bias;
  int64_t at[kWide];  // of each register's positions in the panel
  int64_t channels, panel_step, taps;
  const int64_t* offset;
  C* sums;
  int64_t step;
  bool more;  // on top of what stands in sums
};

template <class C, int M, int N>
void product(const Product<C>& p) {
  Sums<C, M, N> sums;
  if (p.more) sums.load(p.sums, p.step);
  else sums.begin(p.bias);
  const C *a = p.weight, *b = p.panel;
  int64_t at[N];
  HP_UNROLL for (int n = 0; n < N; ++n) at[n] = p.at[n];
  if (p.taps == 1) {
    b += p.offset[0];
    for (int64_t c = 0; c < p.channels; ++c, a += M, b += p.panel_step) sums.add(a, b, at);
  } else {
    for (int64_t c = 0; c < p.channels; ++c, b += p.panel_step)
      for (int64_t t = 0; t < p.taps; ++t, a += M) sums.add(a, b + p.offset[t], at);
  }
  sums.store(p.sums, p.step);
}

// M channels of the gradient by N registers of channels of x: sums over the places of a tile.
template <class C>
struct OuterProduct {
  const C *grad, *x;
  int64_t rows, columns, grad_row, grad_column;
  C* sums;
};

template <class C, int M, int N>
void outer_product(const OuterProduct<C>& p) {
  constexpr int64_t A = N * kLanes<C>;
  Sums<C, M, N> sums;
  sums.load(p.sums, A);
  const C* b = p.x;
  int64_t at[N];
  HP_UNROLL for (int n = 0; n < N; ++n) at[n] = n * kLanes<C>;
  for (int64_t r = 0; r < p.rows; ++r) {
    const C* a = p.grad + r * p.grad_row;
    for (int64_t i = 0; i < p.columns; ++i, a += p.grad_column, b += A) sums.add(a, b, at);
  }
  sums.store(p.sums, A);
}

template <int M, class C>
void product_of(int64_t n, const Product<C>& p) {
  if (n == 1) return product<C, M, 1>(p);
  if (n == 2) return product<C, M, 2>(p);
  if constexpr (kWide > 2) return product<C, M, 3>(p);
}
template <int M, class C>
void product_of(int64_t n, const OuterProduct<C>& p) {
  if (n == 1) return outer_product<C, M, 1>(p);
  if (n == 2) return outer_product<C, M, 2>(p);
  if constexpr (kWide > 2) return outer_product<C, M, 3>(p);
}
template <class P>
void run_product(int64_t m, int64_t n, const P& p) {
  switch (m) {
    case 1: return product_of<1>(n, p);
    case 2: return product_of<2>(n, p);
    case 4: return product_of<4>(n, p);
    default: return product_of<kBlock>(n, p);
  }
}

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

// ------------------------------------------------------------------------------------------------ results

template <class C, int K>
void join_row(const C* from, int64_t step, C* to) {
  constexpr int L = kLanes<C>;
  for (int64_t i = 0; i < kAcross<C>; i += L) {
    V<C> v[K];
    HP_UNROLL for (int j = 0; j < K; ++j) v[j] = load_as<V<C>>(from + j * step + i);
    if constexpr (K == 3) {
      store_as(to, zip3<0>(v, LanesUpTo<L>{}));
      store_as(to + L, zip3<1>(v, LanesUpTo<L>{}));
      store_as(to + 2 * L, zip3<2>(v, LanesUpTo<L>{}));
    } else {
      zip_all<V<C>, L, K>(v);
      HP_UNROLL for (int j = 0; j < K; ++j) store_as(to + j * L, v[j]);
    }
    to += K * L;
  }
}

template <class C>
const C* joined(const C* from, int64_t step, int64_t join, C* to) {
  if (join == 1) return from;
  if (join == 2) join_row<C, 2>(from, step, to);
  else if (join == 3) join_row<C, 3>(from, step, to);
  else if (join == 4) join_row<C, 4>(from, step, to);
  else if (join == 8) join_row<C, 8>(from, step, to);
  else
    for (int64_t i = 0; i < kAcross<C>; ++i)
      for (int64_t j = 0; j < join; ++j) to[i * join + j] = from[j * step + i];
  return to;
}

// Where registers of positions stand: row and column of the first, and how many of the tile's columns are in it.
struct Spots {
  int64_t row_length, per_row, lanes;
  bool by_rows;

  Spots(const Correlation& k, const Tile& t, int64_t n) : row_length(k.row_length), per_row((t.columns + n - 1) / n), lanes(n), by_rows(k.by_rows) {}
  int64_t count(const Tile& t) const { return by_rows ? t.rows * per_row : ((t.rows - 1) * row_length + t.columns + lanes - 1) / lanes; }
  int64_t at(int64_t i) const { return by_rows ? i / per_row * row_length + i % per_row * lanes : i * lanes; }
};

// Sums of M channels in registers [begin, end) of positions of the tile, for every phase of a row: to their rows of the output.
template <class C>
void put(const Correlation& k, const Tile& t, const Spots& spots, int64_t m0, int64_t block, int64_t jz, int64_t jy, int64_t begin, int64_t end,
         const C* sums, int64_t m_step, int64_t phase_step, C* spare) {
  const int64_t volume = k.out_size[0] * k.out_size[1] * k.out_size[2], join = k.join[2];
  for (int64_t m = 0; m < block; ++m) {
    C* out = reinterpret_cast<C*>(k.out) + (t.group * k.m + m0 + m) * volume;
    const C* row = joined(sums + m * m_step, phase_step, join, spare);
    for (int64_t i = begin; i < end;) {
      // Registers of one row, or, where rows run on, all.
      const int64_t r0 = spots.at(i) / k.row_length, next = spots.by_rows ? smaller(end, (i / spots.per_row + 1) * spots.per_row) : end;
      const int64_t first = spots.at(i), last = first + (next - i) * kLanes<C>;
      for (int64_t r = r0; r < t.rows && r * k.row_length < last; ++r) {
        const Row at(k, t, r);
        const int64_t z = k.join[0] * at.z + jz, y = k.join[1] * at.y + jy, x0 = larger(first - r * k.row_length, 0), x1 = smaller(last - r * k.row_length, t.columns);
        const int64_t from = join * (t.column + x0), to = smaller(join * (t.column + x1), k.out_size[2]);
        if (z >= k.out_size[0] || y >= k.out_size[1] || from >= to || x0 >= x1) continue;
        const int64_t lane = (i - begin) * kLanes<C> + r * k.row_length + x0 - first;
        stream_bytes(reinterpret_cast<const char*>(row + join * lane), reinterpret_cast<char*>(out + at.sample * k.groups * k.m * volume + (z * k.out_size[1] + y) * k.out_size[2] + from),
                     (to - from) * int64_t(sizeof(C)), k.stream);
      }
      i = next;
    }
  }
}

// ------------------------------------------------------------------------------------------------ tasks

// Room for `count` elements of the arena, from whole lines; without an arena, they are counted alone.
template <class C>
C* taken(char* arena, int64_t& used, int64_t count) {
  C* at = arena ? reinterpret_cast<C*>(arena + used) : nullptr;
  used += (count * int64_t(sizeof(C)) + 63) / 64 * 64;
  return at;
}

template <class C>
struct Room {
  C *panel, *row, *sums, *spare, *kept;
  int64_t bytes = 0;

  Room(const Correlation& k, char* arena) {
    const auto take = [&](int64_t count) { return taken<C>(arena, bytes, count); };
    panel = take(k.c_part * k.panel_step + kAcross<C>);
    row = take(k.split[2] * (k.row_length + kLanes<C>));
    sums = take(k.join[2] * kBlock * kAcross<C>);
    spare = take(k.join[2] * kAcross<C>);
    kept = take(k.join[0] * k.join[1] * k.join[2] * k.m_part * k.sums_length);
  }
};

inline Tile tile_of(const Correlation& k, int64_t task) {
  Tile t;
  if (k.batch) {
    t = {task / k.groups * k.batch, task % k.groups, 0, 0, 0, 0, k.columns};
    t.rows = smaller(k.batch, k.samples - t.sample) * k.places[0] * k.places[1];
    return t;
  }
  t.column = task % k.column_tiles * k.columns;
  task /= k.column_tiles;
  t.row = task % k.row_tiles * k.rows;
  task /= k.row_tiles;
  t.plane = task % k.places[0];
  task /= k.places[0];
  t.group = task % k.groups;
  t.sample = task / k.groups;
  t.rows = smaller(k.rows, k.places[1] - t.row);
  t.columns = smaller(k.columns, k.places[2] - t.column);
  return t;
}

template <class C>
void run(const Correlation& k, int64_t task, char* arena) {
  constexpr int64_t L = kLanes<C>;
  const Room<C> room(k, arena);
  const Tile t = tile_of(k, task / k.m_parts);
  const Spots spots(k, t, L);
  const int64_t m_begin = task % k.m_parts * k.m_part, m_end = smaller(k.m, m_begin + k.m_part);
  const C* packed = reinterpret_cast<const C*>(k.packed) + t.group * k.c * k.m * k.taps;
  const C* bias = k.bias ? reinterpret_cast<const C*>(k.bias) + t.group * k.m : nullptr;
  const int64_t registers = spots.count(t), phases = k.join[0] * k.join[1] * k.join[2];
  for (int64_t i = 0; i < kAcross<C>; ++i) room.panel[k.c_part * k.panel_step + i] = 0;
  for (int64_t c0 = 0; c0 < k.c; c0 += k.c_part) {
    const int64_t c1 = smaller(k.c, c0 + k.c_part);
    if (k.batch) fill_shifts(k, t, c0, c1, room.panel);
    else fill_panel(k, t, c0, c1, room.panel, room.row);
    for (int64_t m = m_begin, block; m < m_end; m += block) {
      block = block_of(m_end - m);
      for (int64_t f = 0; f < phases; f += k.join[2])
        for (int64_t i = 0, wide; i < registers; i += wide) {
          wide = registers_of(registers - i);
          C* sums = k.sums_length ? room.kept + ((m - m_begin) * phases + f) * k.sums_length + i * L : room.sums;
          const int64_t phase_step = k.sums_length ? k.sums_length : kBlock * kAcross<C>, m_step = k.sums_length ? phases * k.sums_length : kAcross<C>;
          Product<C> p{nullptr, room.panel, bias ? bias + m : nullptr, {}, 0, k.panel_step, 0, nullptr, sums, m_step, c0 > 0};
          for (int64_t n = 0; n < wide; ++n) p.at[n] = spots.at(i + n);
          for (int64_t j = 0; j < k.join[2]; ++j, p.sums += phase_step) {
            const int64_t first = k.first[f + j];
            p.taps = k.first[f + j + 1] - first;
            p.channels = p.taps ? c1 - c0 : 0;
            p.offset = k.offset + first;
            p.weight = packed + first * k.c * k.m + (m * k.c + c0 * block) * p.taps;
            run_product(block, wide, p);
          }
          if (c1 == k.c) put(k, t, spots, m, block, f / k.join[2] / k.join[1], f / k.join[2] % k.join[1], i, i + wide, sums, m_step, phase_step, room.spare);
        }
    }
  }
  if (k.stream) stream_fence();
}

// ------------------------------------------------------------------------------------------------ the gradient of the weight

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

void pack_any(const Correlation& k, int64_t task) { k.type == Type::f32 ? pack<float>(k, task) : pack<double>(k, task); }
void run_any(const Correlation& k, int64_t task, char* arena) { k.type == Type::f32 ? run<float>(k, task, arena) : run<double>(k, task, arena); }
void outer_any(const Outer& k, int64_t task, char* arena) { k.type == Type::f32 ? outer<float>(k, task, arena) : outer<double>(k, task, arena); }
int64_t arena_any(const Correlation& k) { return k.type == Type::f32 ? Room<float>(k, nullptr).bytes : Room<double>(k, nullptr).bytes; }
int64_t outer_arena_any(const Outer& k) { return k.type == Type::f32 ? OuterRoom<float>(k, nullptr).bytes : OuterRoom<double>(k, nullptr).bytes; }

}  // namespace

#define HP_NAME2(isa) convolve_##isa
#define HP_NAME(isa) HP_NAME2(isa)
extern const Convolve HP_NAME(HP_ISA);
const Convolve HP_NAME(HP_ISA) = {kBlock, kWide, {kLanes<float>, kLanes<double>}, pack_any, arena_any, run_any, outer_arena_any, outer_any};

}  // namespace hp
