// SPDX-License-Identifier: MIT
// Correlations tile by tile, compiled once per instruction set. See convolve.hh.
#include "convolve_pixels.hh"

namespace hp {
namespace {

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
void joined(const C* from, int64_t step, int64_t join, C* to) {
  if (join == 2) join_row<C, 2>(from, step, to);
  else if (join == 3) join_row<C, 3>(from, step, to);
  else if (join == 4) join_row<C, 4>(from, step, to);
  else if (join == 8) join_row<C, 8>(from, step, to);
  else
    for (int64_t i = 0; i < kAcross<C>; ++i)
      for (int64_t j = 0; j < join; ++j) to[i * join + j] = from[j * step + i];
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
  const C* rows = join == 1 ? sums : spare;
  const int64_t step = join == 1 ? m_step : join * kAcross<C>;
  if (join > 1)
    for (int64_t m = 0; m < block; ++m) joined(sums + m * m_step, phase_step, join, spare + m * step);
  C* const out = reinterpret_cast<C*>(k.out) + (t.group * k.m + m0) * volume;
  for (int64_t i = begin, next; i < end; i = next) {
    // Registers of one row, or, where rows run on, all.
    const int64_t first = spots.at(i);
    next = spots.by_rows ? smaller(end, (i / spots.per_row + 1) * spots.per_row) : end;
    const int64_t last = first + (next - i) * kLanes<C>;
    for (int64_t r = first / k.row_length; r < t.rows && r * k.row_length < last; ++r) {
      const Row at(k, t, r);
      const int64_t z = k.join[0] * at.z + jz, y = k.join[1] * at.y + jy;
      const int64_t x0 = larger(first - r * k.row_length, 0), x1 = smaller(last - r * k.row_length, t.columns);
      const int64_t from = join * (t.column + x0), to = smaller(join * (t.column + x1), k.out_size[2]);
      if (z >= k.out_size[0] || y >= k.out_size[1] || from >= to || x0 >= x1) continue;
      const C* row = rows + join * ((i - begin) * kLanes<C> + r * k.row_length + x0 - first);
      C* made = out + at.sample * k.groups * k.m * volume + (z * k.out_size[1] + y) * k.out_size[2] + from;
      for (int64_t m = 0; m < block; ++m)
        stream_bytes(reinterpret_cast<const char*>(row + m * step), reinterpret_cast<char*>(made + m * volume), (to - from) * int64_t(sizeof(C)),
                     k.stream);
    }
  }
}

// ------------------------------------------------------------------------------------------------ tasks

template <class C>
struct Room {
  C *panel, *row, *sums, *spare, *kept;
  int64_t bytes = 0;

  Room(const Correlation& k, char* arena) {
    const auto take = [&](int64_t count) { return taken<C>(arena, bytes, count); };
    panel = take(k.c_part * k.panel_step + kAcross<C>);
    row = take(k.split[2] * (k.row_length + kLanes<C>));
    sums = take(k.join[2] * kBlock * kAcross<C>);
    spare = take(k.join[2] * kBlock * kAcross<C>);
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
          const int64_t phase_step = k.sums_length ? k.sums_length : kBlock * kAcross<C>;
          const int64_t m_step = k.sums_length ? phases * k.sums_length : kAcross<C>;
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
          if (c1 == k.c)
            put(k, t, spots, m, block, f / k.join[2] / k.join[1], f / k.join[2] % k.join[1], i, i + wide, sums, m_step, phase_step, room.spare);
        }
    }
  }
  if (k.stream) stream_fence();
}

void pack_any(const Correlation& k, int64_t task) { k.type == Type::f32 ? pack<float>(k, task) : pack<double>(k, task); }
void run_any(const Correlation& k, int64_t task, char* arena) { k.type == Type::f32 ? run<float>(k, task, arena) : run<double>(k, task, arena); }
void outer_any(const Outer& k, int64_t task, char* arena) { k.type == Type::f32 ? outer<float>(k, task, arena) : outer<double>(k, task, arena); }
void pack_pixels_any(const PixelCorrelation& k, int64_t task) { k.type == Type::f32 ? pack_pixels<float>(k, task) : pack_pixels<double>(k, task); }
void pixels_any(const PixelCorrelation& k, int64_t task, char* arena) { k.type == Type::f32 ? pixels<float>(k, task, arena) : pixels<double>(k, task, arena); }
int64_t pixels_arena_any(const PixelCorrelation& k) { return k.type == Type::f32 ? PixelRoom<float>(k, nullptr).bytes : PixelRoom<double>(k, nullptr).bytes; }
int64_t arena_any(const Correlation& k) { return k.type == Type::f32 ? Room<float>(k, nullptr).bytes : Room<double>(k, nullptr).bytes; }
int64_t outer_arena_any(const Outer& k) { return k.type == Type::f32 ? OuterRoom<float>(k, nullptr).bytes : OuterRoom<double>(k, nullptr).bytes; }

}  // namespace

#define HP_NAME2(isa) convolve_##isa
#define HP_NAME(isa) HP_NAME2(isa)
extern const Convolve HP_NAME(HP_ISA);
const Convolve HP_NAME(HP_ISA) = {kBlock, kWide, {kLanes<float>, kLanes<double>}, pack_any, arena_any, run_any, outer_arena_any, outer_any,
                                kWidest, pack_pixels_any, pixels_arena_any, pixels_any};

}  // namespace hp
