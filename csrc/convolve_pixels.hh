// SPDX-License-Identifier: MIT
// Correlations of pixels: blocks of places by registers of channels. Internal linkage, see simd.hh.
#pragma once

#include "convolve_outer.hh"

namespace hp {
namespace {

// Registers of channels, at most; and of so many, places. Their sums leave room for the weights and for one value of x.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kWidest = 4;
constexpr int kDeep[kWidest + 1] = {0, 12, 12, 8, 6};
#elif defined(__AVX2__)
constexpr int kWidest = 2;
constexpr int kDeep[kWidest + 1] = {0, 12, 6};
#else
constexpr int kWidest = 2;
constexpr int kDeep[kWidest + 1] = {0, 8, 4};
#endif
constexpr int kDeepest = 12;

// ------------------------------------------------------------------------------------------------ weights

// Weights of a piece: [tap][c][lanes of its registers].
template <class C>
struct Packed {
  const PixelCorrelation& k;
  C* group;

  // Lanes of a phase's channels from `lane` on: as many of `count` as lie in one piece. Returns their place.
  C* at(int64_t phase, int64_t number, int64_t c, int64_t lane, int64_t& count) const {
    constexpr int64_t L = kLanes<C>;
    const PixelPhase& f = k.phases[phase];
    const PixelPiece& piece = k.piece_of[f.bias / L + lane / L];
    count = smaller(count, (piece.first + piece.wide) * L - lane);
    return group + f.packed + f.taps * k.c * L * piece.first + (number * k.c + c) * piece.wide * L + lane - piece.first * L;
  }
  void put(int64_t tap, int64_t c, int64_t channel, const C* from, int64_t count) const {
    int64_t lane = k.lane[tap] + channel;
    for (int64_t n = count; count; lane += n, from += n, count -= n, n = count) {
      C* to = at(k.phase[tap], k.number[tap], c, lane, n);
      if (n == kPixelsPacked) __builtin_memcpy(to, from, kPixelsPacked * sizeof(C));
      else
        for (int64_t i = 0; i < n; ++i) to[i] = from[i];
    }
  }
};

// Channels in whose rows n elements follow each other: to part[element][channel], kPixelsPacked elements at a time.
template <class C, class F>
void turned(const C* from, int64_t step, int64_t count, int64_t n, const F& put) {
  constexpr int64_t kPart = 64;
  alignas(64) C part[kPart * kPixelsPacked];
  for (int64_t begin = 0; begin < n; begin += kPart) {
    const int64_t some = smaller(kPart, n - begin);
    for (int64_t i = 0, block; i < count; i += block) {
      block = kPixelsPacked;
      while (block > count - i) block /= 2;
      turn_block(block, from + i * step + begin, step, part + i, kPixelsPacked, some);
    }
    for (int64_t e = 0; e < some; ++e) put(begin + e, part + e * kPixelsPacked);
  }
}

template <class C>
void pack_channels(const PixelCorrelation& k, const Packed<C>& packed, const C* weight, int64_t m, int64_t count) {
  weight += m * k.weight_m;
  if (!k.weight_by_c) {
    int64_t c = 0, tap = 0;
    turned(weight, k.weight_m, count, k.c * k.taps, [&](int64_t, const C* row) {
      packed.put(tap, c, m, row, count);
      if (k.weight_last) {
        if (++c == k.c) c = 0, ++tap;
      } else if (++tap == k.taps) {
        tap = 0, ++c;
      }
    });
    return;
  }
  const bool zipped = !k.weight_last && count == kPixelsPacked && (k.taps == 2 || k.taps == 3 || k.taps == 4 || k.taps == 8);
  alignas(64) C part[8 * kPixelsPacked];
  for (int64_t c = 0; c < k.c; ++c, weight += k.weight_c) {
    if (k.weight_last) {
      for (int64_t tap = 0; tap < k.taps; ++tap) packed.put(tap, c, m, weight + tap * k.m, count);
    } else if (zipped) {
      split_any(weight, k.taps, part, kPixelsPacked, kPixelsPacked);
      for (int64_t tap = 0; tap < k.taps; ++tap) packed.put(tap, c, m, part + tap * kPixelsPacked, count);
    } else {
      turned(weight, k.weight_m, count, k.taps, [&](int64_t tap, const C* row) { packed.put(tap, c, m, row, count); });
    }
  }
}

// Lanes without a channel compute too: from zeros, which are never slow.
template <class C>
void pack_rest(const PixelCorrelation& k, const Packed<C>& packed, const C* bias) {
  for (int64_t p = 0; p < k.phase_count; ++p) {
    const PixelPhase& f = k.phases[p];
    const int64_t lanes = f.registers * kLanes<C>;
    C* to = packed.group + f.bias;
    for (int64_t lane = 0; lane < lanes; ++lane) to[lane] = bias && lane < f.channels ? bias[lane % k.m] : C(0);
    if (lanes > f.channels)
      for (int64_t number = 0; number < f.taps; ++number)
        for (int64_t c = 0; c < k.c; ++c) {
          int64_t count = lanes - f.channels;
          C* rest = packed.at(p, number, c, f.channels, count);
          for (int64_t i = 0; i < count; ++i) rest[i] = 0;
        }
  }
}

template <class C>
void pack_pixels(const PixelCorrelation& k, int64_t task) {
  const int64_t blocks = (k.m + kPixelsPacked - 1) / kPixelsPacked, g = task / blocks, m = task % blocks * kPixelsPacked;
  const Packed<C> packed{k, reinterpret_cast<C*>(k.packed) + g * k.packed_group};
  pack_channels(k, packed, reinterpret_cast<const C*>(k.weight) + g * k.weight_group, m, smaller(kPixelsPacked, k.m - m));
  if (m == 0) pack_rest(k, packed, k.bias ? reinterpret_cast<const C*>(k.bias) + g * k.m : nullptr);
  if (task == 0) __builtin_memset(reinterpret_cast<C*>(k.packed) + k.zeros, 0, size_t(k.c) * sizeof(C));
}

// ------------------------------------------------------------------------------------------------ places

struct Place {
  int64_t x, out;    // elements from the first pixel of the group
  int64_t at[3];     // in x, without a tap's shift
  int64_t low, high; // of the phase's channels: those that lie in the output
  bool inside;       // all taps are
};

// The places of a phase among [begin, end) of the correlation's. Returns how many.
inline int64_t list_places(const PixelCorrelation& k, const PixelPhase& f, int64_t begin, int64_t end, Place* to) {
  const int64_t *n = k.places, *in = k.x_size, *out = k.out_size;
  const int64_t pixel_x = k.groups * k.c, pixel_out = k.groups * k.m;
  int64_t x = begin % n[2], y = begin / n[2] % n[1], z = begin / n[2] / n[1] % n[0], sample = begin / n[2] / n[1] / n[0];
  int64_t count = 0;
  for (int64_t i = begin; i < end;) {
    const int64_t row_end = smaller(n[2], x + end - i), last = smaller(f.places[2], row_end);
    if (z < f.places[0] && y < f.places[1]) {
      const int64_t from[2] = {k.split[0] * z, k.split[1] * y};
      bool inside = true;
      for (int d = 0; d < 2; ++d) inside = inside && from[d] + f.low[d] >= 0 && from[d] + f.high[d] < in[d];
      const int64_t row = ((sample * in[0] + from[0]) * in[1] + from[1]) * in[2];
      const int64_t made = ((sample * out[0] + k.join[0] * z + f.at[0]) * out[1] + k.join[1] * y + f.at[1]) * out[2] + f.at[2];
      for (int64_t q = x; q < last; ++q) {
        const int64_t column = k.split[2] * q, at = k.join[2] * q;
        Place& p = to[count++];
        p.x = (row + column) * pixel_x;
        p.out = (made + at) * pixel_out;
        p.at[0] = from[0], p.at[1] = from[1], p.at[2] = column;
        p.low = larger(0, -(at + f.at[2])) * k.m;
        p.high = smaller(f.channels, (out[2] - at - f.at[2]) * k.m);
        p.inside = inside && column + f.low[2] >= 0 && column + f.high[2] < in[2];
      }
    }
    i += row_end - x;
    x = 0;
    if (++y == n[1]) {
      y = 0;
      if (++z == n[0]) z = 0, ++sample;
    }
  }
  return count;
}

// ------------------------------------------------------------------------------------------------ blocks

template <class C>
struct PixelProduct {
  const PixelCorrelation& k;
  const C *x, *weight, *bias, *zeros;
  const PixelTap* tap;
  int64_t taps;
  const PixelRun* run;
  int64_t runs;
  const Place* place;
  int64_t count;   // of places
  const Place* next;  // as many as a block has, whose pixels are fetched ahead; or null
  bool inside, more, whole;  // more: on top of what stands in sums; whole: to out, all lanes of all places
  C *sums, *out;
};

template <class C, int M, int N>
HP_INLINE void add_run(Sums<C, M, N>& s, const C* const* at, const C*& weight, int64_t n) {
  constexpr int L = kLanes<C>;
  const C* w = weight;
  for (int64_t i = 0; i < n; ++i, w += N * L) {
    V<C> across[N];
    HP_UNROLL for (int j = 0; j < N; ++j) across[j] = load_as<V<C>>(w + j * L);
    HP_UNROLL for (int m = 0; m < M; ++m) {
      const V<C> one = splat<C>(at[m][i]);
      HP_UNROLL for (int j = 0; j < N; ++j) s.v[m][j] = madd<C>(one, across[j], s.v[m][j]);
    }
  }
  weight = w;
}

// Runs of pixels are too short for the processor to see what comes next.
template <class C>
inline void fetch(const C* x, const Place* place, int count, const PixelRun& run) {
  for (int i = 0; i < count; ++i) {
    const C* from = x + place[i].x + run.offset;
    for (int64_t at = 0; at < run.length; at += 64 / int64_t(sizeof(C))) __builtin_prefetch(from + at);
  }
}

template <class C, int M, int N>
void pixel_product(const PixelProduct<C>& p) {
  constexpr int64_t L = kLanes<C>;
  Sums<C, M, N> s;
  if (p.more) {
    s.load(p.sums, N * L);
  } else {
    V<C> bias[N];
    HP_UNROLL for (int j = 0; j < N; ++j) bias[j] = load_as<V<C>>(p.bias + j * L);
    HP_UNROLL for (int m = 0; m < M; ++m)
      HP_UNROLL for (int j = 0; j < N; ++j) s.v[m][j] = bias[j];
  }
  const C* weight = p.weight;
  const C *home[M], *at[M];
  HP_UNROLL for (int m = 0; m < M; ++m) home[m] = p.x + p.place[smaller(m, p.count - 1)].x;
  if (p.inside) {
    for (int64_t r = 0; r < p.runs; ++r) {
      if (p.next) fetch(p.x, p.next, M, p.run[r]);
      HP_UNROLL for (int m = 0; m < M; ++m) at[m] = home[m] + p.run[r].offset;
      add_run(s, at, weight, p.run[r].length);
    }
  } else {
    const int64_t* n = p.k.x_size;
    for (int64_t t = 0; t < p.taps; ++t) {
      const PixelTap& tap = p.tap[t];
      for (int m = 0; m < M; ++m) {
        const int64_t* from = p.place[smaller(m, p.count - 1)].at;
        const bool in = (uint64_t(from[0] + tap.shift[0]) < uint64_t(n[0])) & (uint64_t(from[1] + tap.shift[1]) < uint64_t(n[1])) &
                        (uint64_t(from[2] + tap.shift[2]) < uint64_t(n[2]));
        at[m] = in ? home[m] + tap.offset : p.zeros;
      }
      add_run(s, at, weight, p.k.c);
    }
  }
  if (!p.whole) {
    s.store(p.sums, N * L);
    return;
  }
  HP_UNROLL for (int m = 0; m < M; ++m) {
    C* to = p.out + p.place[m].out;
    if (p.k.stream) {
      HP_UNROLL for (int j = 0; j < N; ++j) store_stream(to + j * L, s.v[m][j]);
    } else {
      HP_UNROLL for (int j = 0; j < N; ++j) store_as(to + j * L, s.v[m][j]);
    }
  }
}

// The smallest block that has all places.
template <class C, int N>
void product_deep(const PixelProduct<C>& p) {
  constexpr int D = kDeep[N], kQuarter = D / 4 > 2 ? D / 4 : 2;
  if (p.count > D / 2) return pixel_product<C, D, N>(p);
  if (p.count > kQuarter) return pixel_product<C, D / 2, N>(p);
  if (p.count > 1) return pixel_product<C, kQuarter, N>(p);
  pixel_product<C, 1, N>(p);
}
template <class C>
void run_pixel_product(int64_t wide, const PixelProduct<C>& p) {
  if (wide == 1) return product_deep<C, 1>(p);
  if (wide == 2) return product_deep<C, 2>(p);
  if constexpr (kWidest > 2) {
    if (wide == 3) return product_deep<C, 3>(p);
    product_deep<C, 4>(p);
  }
}

// ------------------------------------------------------------------------------------------------ tasks

template <class C>
struct PixelRoom {
  Place* places;
  C* sums;
  int64_t bytes = 0;

  PixelRoom(const PixelCorrelation& k, char* arena) {
    places = taken<Place>(arena, bytes, k.tile);
    sums = taken<C>(arena, bytes, (k.tile + kDeepest) * kWidest * kLanes<C>);
  }
};

// A piece's sums of some places, which stand in `sums`: those lanes that are channels in the output.
template <class C>
void put_pixels(const PixelPiece& piece, const Place* place, int64_t count, const C* sums, C* out) {
  constexpr int64_t L = kLanes<C>;
  const int64_t first = piece.first * L, step = piece.wide * L;
  for (int64_t i = 0; i < count; ++i, sums += step) {
    C* to = out + place[i].out;
    const int64_t low = place[i].low - first, high = place[i].high - first;
    for (int64_t j = 0; j < step && j < high; j += L) {
      const int64_t from = larger(0, low - j), end = smaller(L, high - j);
      if (end - from == L) store_as(to + j, load_as<V<C>>(sums + j));
      else if (from < end) store_lanes(to + j, load_as<V<C>>(sums + j), from, end);
    }
  }
}

template <class C>
void run_piece(const PixelCorrelation& k, const PixelPiece& piece, int64_t g, const Place* places, int64_t count, bool fresh, C* kept) {
  constexpr int64_t L = kLanes<C>;
  const PixelPhase& f = k.phases[piece.phase];
  const C* packed = reinterpret_cast<const C*>(k.packed) + g * k.packed_group;
  const int64_t row = k.c * piece.wide * L, deep = kDeep[piece.wide];
  PixelProduct<C> p{k, reinterpret_cast<const C*>(k.x) + g * k.c, packed + f.packed + f.taps * k.c * L * piece.first, packed + f.bias + piece.first * L,
                    reinterpret_cast<const C*>(k.packed) + k.zeros, k.tap + f.tap, 0, k.run + f.run, f.runs, nullptr, 0, nullptr, false, false, false, kept,
                    reinterpret_cast<C*>(k.out) + g * k.m + piece.first * L};
  const bool parted = k.taps_part < f.taps;
  const int64_t full = (piece.first + piece.wide) * L;
  for (int64_t t = 0; t == 0 || t < f.taps; t += p.taps, p.tap += p.taps, p.weight += p.taps * row) {
    p.taps = smaller(k.taps_part, f.taps - t);
    const bool final = t + p.taps == f.taps;
    for (int64_t i = 0; i < count; i += deep) {
      p.place = places + i;
      p.count = smaller(deep, count - i);
      p.next = fresh && i + 2 * deep <= count ? places + i + deep : nullptr;
      p.more = t > 0;
      p.inside = !parted;
      p.whole = final && p.count == deep;
      p.sums = parted ? kept + i * piece.wide * L : kept;
      for (int64_t j = 0; j < p.count; ++j) {
        p.inside = p.inside && p.place[j].inside;
        p.whole = p.whole && p.place[j].low <= piece.first * L && p.place[j].high >= full;
      }
      run_pixel_product(piece.wide, p);
      if (final && !p.whole) put_pixels(piece, p.place, p.count, p.sums, p.out);
    }
    if (!p.taps) break;
  }
}

template <class C>
void pixels(const PixelCorrelation& k, int64_t task, char* arena) {
  const PixelRoom<C> room(k, arena);
  const int64_t first = task % k.parts * k.part, last = smaller(k.piece_count, first + k.part);
  task /= k.parts;
  const int64_t tiles = k.tiles / k.groups, g = task / tiles, begin = task % tiles * k.tile;
  const int64_t end = smaller(begin + k.tile, k.samples * k.places[0] * k.places[1] * k.places[2]);
  int64_t count = 0;
  for (int64_t i = first, phase = -1; i < last; ++i) {
    const PixelPiece& piece = k.pieces[i];
    if (piece.phase != phase) count = list_places(k, k.phases[phase = piece.phase], begin, end, room.places);
    run_piece(k, piece, g, room.places, count, i == first, room.sums);
  }
  if (k.stream) stream_fence();
}

}  // namespace
}  // namespace hp
