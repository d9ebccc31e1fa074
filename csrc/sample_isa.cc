// SPDX-License-Identifier: MIT
// Sampling at given positions, compiled once per instruction set. See sample.hh.
//
// Lanes are channels: a tap is a load of consecutive channels, whatever the positions. Planes apart are first turned into blocks of
// a few channels, a pixel's side by side, and results are turned back tile by tile; both cost less than gathers do.
#include "sample_gather.hh"

namespace hp {
namespace {

constexpr int kTile = 16;  // pixels that are turned together

constexpr int log2_of(int n) { return n == 1 ? 0 : 1 + log2_of(n / 2); }

// A block of L channels as registers.
template <class C, int L>
struct Block {
  static constexpr int kWidth = L < kLanes<C> ? L : kLanes<C>, kCount = L / kWidth;
  typedef Vec<C, kWidth> R;
};
template <class C, int W>
HP_INLINE Vec<C, W> spread(C x) {
  return x - Vec<C, W>{};
}
template <class T, class C, int W>
HP_INLINE Vec<C, W> read_block(const T* p) {
  if constexpr (kSame<T, C>) return load_as<Vec<C, W>>(p);
  else return widen<T, C>(p);
}

// ------------------------------------------------------------------------------------------------ tiles

// [L channels][kTile pixels] to [kTile][L], and back: the bits of addresses go round.
template <class C, int L, bool kBack>
void turn_tile(const C* from, C* to) {
  constexpr int M = kTile * L / kLanes<C>, kRounds = log2_of(L);
  V<C> v[M], w[M];
  HP_UNROLL for (int i = 0; i < M; ++i) v[i] = load_as<V<C>>(from + i * kLanes<C>);
  HP_UNROLL for (int round = 0; round < kRounds; ++round) {
    HP_UNROLL for (int i = 0; i < M / 2; ++i) {
      if constexpr (kBack) {
        w[i] = v[2 * i];
        w[i + M / 2] = v[2 * i + 1];
        unzip2(w[i], w[i + M / 2], LanesUpTo<kLanes<C>>{});
      } else {
        w[2 * i] = v[i];
        w[2 * i + 1] = v[i + M / 2];
        zip2(w[2 * i], w[2 * i + 1], LanesUpTo<kLanes<C>>{});
      }
    }
    HP_UNROLL for (int i = 0; i < M; ++i) v[i] = w[i];
  }
  HP_UNROLL for (int i = 0; i < M; ++i) store_as(to + i * kLanes<C>, v[i]);
}

// The sums of every pixel's L values.
template <class C, int L>
void sum_tile(const C* tile, C* sums) {
  constexpr int M = kTile * L / kLanes<C>;
  V<C> v[M];
  HP_UNROLL for (int i = 0; i < M; ++i) v[i] = load_as<V<C>>(tile + i * kLanes<C>);
  HP_UNROLL for (int left = M / 2; left >= kTile / kLanes<C>; left /= 2)
    HP_UNROLL for (int i = 0; i < left; ++i) {
      V<C> a = v[2 * i], b = v[2 * i + 1];
      unzip2(a, b, LanesUpTo<kLanes<C>>{});
      v[i] = a + b;
    }
  HP_UNROLL for (int i = 0; i < kTile / kLanes<C>; ++i) store_as(sums + i * kLanes<C>, v[i]);
}

// kTile pixels of D channels that lie side by side, to L apiece or back.
template <class C, int L, int D, bool kBack>
HP_INLINE void space_out(const C* from, C* to) {
  HP_UNROLL for (int p = 0; p < kTile; ++p)
    HP_UNROLL for (int c = 0; c < D; ++c) {
      if constexpr (kBack) to[p * D + c] = from[p * L + c];
      else to[p * L + c] = from[p * D + c];
    }
}
template <class C, int L, bool kBack>
void space_out_any(int64_t channels, const C* from, C* to) {
  switch (channels) {
    case 1: return space_out<C, L, 1, kBack>(from, to);
    case 2: return space_out<C, L, L < 2 ? L : 2, kBack>(from, to);
    case 3: return space_out<C, L, L < 3 ? L : 3, kBack>(from, to);
    default: return space_out<C, L, L < 4 ? L : 4, kBack>(from, to);
  }
}

constexpr int64_t kAhead = 2 * kTile;  // pixels from a tile to what is fetched meanwhile: planes are too many streams for a processor

// `count` pixels of `channels` channels to a tile; what is missing is 0.
template <class C, class T, int L>
void take_tile(const Place& place, const T* x, int64_t channels, int64_t count, C* tile) {
  if (place.last) {
    if (channels < L) __builtin_memset(tile, 0, size_t(count * L) * sizeof(C));
    if (L <= 4 && place.step() == channels && count == kTile) {
      C together[4 * kTile];
      widen_row<T, C>(x, kTile * channels, together);
      return space_out_any<C, L, false>(channels, together, tile);
    }
    for (int64_t p = 0; p < count; ++p) {
      __builtin_prefetch(x + (p + kAhead) * place.step());
      if (channels == L && L >= kLanes<C>) {
        HP_UNROLL for (int i = 0; i < L; i += kLanes<C>) store_as(tile + p * L + i, widen<T, C>(x + p * place.step() + i));
      } else {
        widen_row<T, C>(x + p * place.step(), channels, tile + p * L);
      }
    }
    return;
  }
  alignas(64) C rows[L * kTile];
  if (channels < L || count < kTile) __builtin_memset(rows, 0, sizeof rows);
  for (int64_t c = 0; c < channels; ++c, x += place.pixels) {
    __builtin_prefetch(x + kAhead);
    if (count == kTile) {
      HP_UNROLL for (int i = 0; i < kTile; i += kLanes<C>) store_as(rows + c * kTile + i, widen<T, C>(x + i));
    } else {
      widen_row<T, C>(x, count, rows + c * kTile);
    }
  }
  turn_tile<C, L, false>(rows, tile);
}

template <class C, class T, int L>
void put_tile(const Place& place, const C* tile, int64_t channels, int64_t count, T* out, bool stream) {
  const Rounding even = Rounding::half_even;
  if (place.last) {
    if (L <= 4 && place.step() == channels && count == kTile) {
      C together[4 * kTile];
      space_out_any<C, L, true>(channels, tile, together);
      return store_row<T, C>(together, kTile * channels, out, even, false);
    }
    for (int64_t p = 0; p < count; ++p) {
      if (channels == L && L >= kLanes<C>) {
        HP_UNROLL for (int i = 0; i < L; i += kLanes<C>) store_as(out + p * place.step() + i, narrow<T, C>(load_as<V<C>>(tile + p * L + i), even));
      } else {
        store_row<T, C>(tile + p * L, channels, out + p * place.step(), even, false);
      }
    }
    return;
  }
  alignas(64) C rows[L * kTile];
  turn_tile<C, L, true>(tile, rows);
  for (int64_t c = 0; c < channels; ++c, out += place.pixels) {
    if (count < kTile) {
      store_row<T, C>(rows + c * kTile, count, out, even, false);
      continue;
    }
    HP_UNROLL for (int i = 0; i < kTile; i += kLanes<C>) {
      const auto v = narrow<T, C>(load_as<V<C>>(rows + c * kTile + i), even);
      if (stream && uintptr_t(out) % 64 == 0) store_stream(out + i, v);
      else store_as(out + i, v);
    }
  }
}

// ------------------------------------------------------------------------------------------------ forward

template <class T>
HP_INLINE T* cell_of(T* x, int64_t step, T* nowhere, int32_t cell) {
  return cell < 0 ? nowhere : x + cell * step;
}

template <class C, class T, int L, int K>
void draw_tile(const T* x, int64_t step, const T* nowhere, const Taps<C>& taps, int64_t first, int64_t count, C* tile) {
  typedef Block<C, L> B;
  for (int64_t p = first; p < first + count; ++p, tile += L) {
    typename B::R sum[B::kCount];
    HP_UNROLL for (int k = 0; k < K; ++k) {
      const T* from = cell_of(x, step, nowhere, taps.cell[k][p]);
      const auto weight = spread<C, B::kWidth>(taps.weight[k][p]);
      HP_UNROLL for (int i = 0; i < B::kCount; ++i) {
        const auto v = read_block<T, C, B::kWidth>(from + i * B::kWidth);
        sum[i] = k == 0 ? weight * v : sum[i] + weight * v;
      }
    }
    HP_UNROLL for (int i = 0; i < B::kCount; ++i) store_as(tile + i * B::kWidth, sum[i]);
  }
}

// All channels of a group, at least a register of them, from pixels to pixels.
template <class C, class T, int K>
void draw_pixels(const T* x, int64_t step, const T* nowhere, const Taps<C>& taps, int64_t count, int64_t channels, T* out,
                 bool stream) {
  constexpr int W = kLanes<C>;
  for (int64_t p = 0; p < count; ++p, out += step) {
    const T* from[K];
    HP_UNROLL for (int k = 0; k < K; ++k) from[k] = cell_of(x, step, nowhere, taps.cell[k][p]);
    for (int64_t c = 0;; c = smaller(c + W, channels - W)) {
      V<C> sum;
      HP_UNROLL for (int k = 0; k < K; ++k) {
        const V<C> weight = splat<C>(taps.weight[k][p]), v = widen<T, C>(from[k] + c);
        sum = k == 0 ? weight * v : sum + weight * v;
      }
      const auto v = narrow<T, C>(sum, Rounding::half_even);
      if (stream && uintptr_t(out + c) % sizeof v == 0) store_stream(out + c, v);
      else store_as(out + c, v);
      if (c == channels - W) break;
    }
  }
}

int taps_count(const SampleSpec& s) { return s.draw == Draw::nearest ? 1 : s.draw == Draw::cubic ? 16 : s.dims == 3 ? 8 : 4; }

template <class C, class T, int L>
void draw_any(int taps_of_pixel, const T* x, int64_t step, const T* nowhere, const Taps<C>& taps, int64_t first, int64_t count, C* tile) {
  switch (taps_of_pixel) {
    case 1: return draw_tile<C, T, L, 1>(x, step, nowhere, taps, first, count, tile);
    case 4: return draw_tile<C, T, L, 4>(x, step, nowhere, taps, first, count, tile);
    case 8: return draw_tile<C, T, L, 8>(x, step, nowhere, taps, first, count, tile);
    default: return draw_tile<C, T, L, 16>(x, step, nowhere, taps, first, count, tile);
  }
}
template <class C, class T>
void draw_pixels_any(int taps_of_pixel, const T* x, int64_t step, const T* nowhere, const Taps<C>& taps, int64_t count, int64_t channels, T* out,
                     bool stream) {
  switch (taps_of_pixel) {
    case 1: return draw_pixels<C, T, 1>(x, step, nowhere, taps, count, channels, out, stream);
    case 4: return draw_pixels<C, T, 4>(x, step, nowhere, taps, count, channels, out, stream);
    case 8: return draw_pixels<C, T, 8>(x, step, nowhere, taps, count, channels, out, stream);
    default: return draw_pixels<C, T, 16>(x, step, nowhere, taps, count, channels, out, stream);
  }
}

// A block of channels with a cell of zeros at the end.
template <class C, class T, int L>
void fill_block(const Place& place, const T* x, int64_t channels, C* block) {
  for (int64_t p = 0; p < place.pixels; p += kTile) {
    const int64_t count = smaller(kTile, place.pixels - p);
    if (count == kTile) {
      take_tile<C, T, L>(place, x + p * place.step(), channels, count, block + p * L);
    } else {
      alignas(64) C tile[kTile * L];
      take_tile<C, T, L>(place, x + p * place.step(), channels, count, tile);
      __builtin_memcpy(block + p * L, tile, size_t(count * L) * sizeof(C));
    }
  }
  __builtin_memset(block + place.pixels * L, 0, L * sizeof(C));
}

template <class C>
char* after_taps(char* arena) {
  return arena + (sizeof(Taps<C>) + 63) / 64 * 64;
}

struct Part {
  int64_t begin, end;
  Part(const Sampling& job, int64_t number) : begin(number * job.part), end(smaller(job.pixels, begin + job.part)) {}
};

// Groups take turns at every few pixels, so that results are written in the order of memory.
template <class C, class T>
void forward_direct(const Sampling& job, int64_t task, char* arena) {
  const SampleSpec& s = job.spec;
  constexpr int L = 64 / int(sizeof(C));
  Taps<C>& taps = *reinterpret_cast<Taps<C>*>(arena);
  T* nowhere = reinterpret_cast<T*>(after_taps<C>(arena));
  __builtin_memset(static_cast<void*>(nowhere), 0, size_t(s.channels) * sizeof(T));
  const Place in = place_of_input(job), out = place_of_output(job);
  const Part part(job, task % job.parts);
  for (int64_t p = part.begin; p < part.end; p += kSampled)
    for (int64_t group = 0; group < s.groups; ++group) {
      const int64_t count = smaller(kSampled, part.end - p), b = task / job.parts * s.groups + group;
      const T* x = reinterpret_cast<const T*>(job.x) + in.first(b, 0);
      T* to = reinterpret_cast<T*>(job.out);
      taps_of<C, false>(job, b, p, count, taps);
      if (out.last) {
        to += out.first(b, 0) + p * out.step();
        draw_pixels_any<C, T>(taps_count(s), x, in.step(), nowhere, taps, count, s.channels, to, job.stream && sizeof(V<C>) == 64);
        continue;
      }
      for (int64_t q = 0; q < count; q += kTile)
        for (int64_t c = 0;; c = smaller(c + L, s.channels - L)) {  // the last block may repeat some channels
          alignas(64) C tile[kTile * L];
          const int64_t here = smaller(kTile, count - q);
          draw_any<C, T, L>(taps_count(s), x + c, in.step(), nowhere, taps, q, here, tile);
          put_tile<C, T, L>(out, tile, L, here, to + out.first(b, c) + p + q, job.stream);
          if (c == s.channels - L) break;
        }
    }
}

template <class C, class T, int L>
void forward(const Sampling& job, int64_t task, char* arena) {
  const SampleSpec& s = job.spec;
  Taps<C>& taps = *reinterpret_cast<Taps<C>*>(arena);
  C* memory = reinterpret_cast<C*>(after_taps<C>(arena));
  const int64_t chunks = (job.blocks + job.together - 1) / job.together, chunk = task / job.parts % chunks, b = task / job.parts / chunks;
  const int64_t first = chunk * job.together, last = smaller(job.blocks, first + job.together), size = (job.cells + 1) * L;
  const Place in = place_of_input(job), out = place_of_output(job);
  for (int64_t j = first; j < last; ++j)
    fill_block<C, T, L>(in, reinterpret_cast<const T*>(job.x) + in.first(b, j * L), smaller(L, s.channels - j * L), memory + (j - first) * size);
  T* to = reinterpret_cast<T*>(job.out);
  const Part part(job, task % job.parts);
  for (int64_t p = part.begin; p < part.end; p += kSampled) {
    const int64_t count = smaller(kSampled, part.end - p);
    taps_of<C, false>(job, b, p, count, taps);
    for (int64_t q = 0; q < count; q += kTile)
      for (int64_t j = first; j < last; ++j) {
        alignas(64) C tile[kTile * L];
        const C* block = memory + (j - first) * size;
        const int64_t here = smaller(kTile, count - q);
        draw_any<C, C, L>(taps_count(s), block, L, block + job.cells * L, taps, q, here, tile);
        put_tile<C, T, L>(out, tile, smaller(L, s.channels - j * L), here, to + out.first(b, j * L) + (p + q) * out.step(), job.stream);
      }
  }
}

// ------------------------------------------------------------------------------------------------ gradients of positions

template <class C>
void write_positions(Type type, const C* from, int64_t first, int64_t count, char* at) {
  const Rounding even = Rounding::half_even;
  if constexpr (kSame<C, double>) return store_row<double, C>(from, count, reinterpret_cast<double*>(at) + first, even, false);
  else if (type == Type::f16) return store_row<Half, C>(from, count, reinterpret_cast<Half*>(at) + first, even, false);
  else if (type == Type::bf16) return store_row<BFloat, C>(from, count, reinterpret_cast<BFloat*>(at) + first, even, false);
  else return store_row<float, C>(from, count, reinterpret_cast<float*>(at) + first, even, false);
}

template <class C>
void put_offsets(const Sampling& job, int64_t b, int64_t first, int64_t count, const C (*sum)[kSampled]) {
  for_offsets(job.spec, b, first, count, [&](int axis, const OffsetRun& run) {
    const C* from = sum[axis] + run.pixel;
    if (run.step == 1 && run.every == 1) return write_positions<C>(job.at_type, from, run.at, run.count, job.grad_at);
    C together[kSampled];
    for (int64_t k = 0; k < run.count; ++k) together[k] = from[k * run.every];
    if (run.step == 1) return write_positions<C>(job.at_type, together, run.at, run.count, job.grad_at);
    if (job.at_type == Type::f32 || job.at_type == Type::f64) {
      C* to = reinterpret_cast<C*>(job.grad_at) + run.at;
      for (int64_t k = 0; k < run.count; ++k) to[k * run.step] = together[k];
      return;
    }
    for (int64_t k = 0; k < run.count; ++k) write_positions<C>(job.at_type, together + k, run.at + k * run.step, 1, job.grad_at);
  });
}

template <class C>
void alternate(const C* x, const C* y, C* to) {
  for (int i = 0; i < kSampled; i += kLanes<C>) {
    V<C> a = load_as<V<C>>(x + i), b = load_as<V<C>>(y + i);
    zip2(a, b, LanesUpTo<kLanes<C>>{});
    store_as(to + 2 * i, a);
    store_as(to + 2 * i + kLanes<C>, b);
  }
}

// The gradient of positions of some pixels of a plane.
template <class C>
void put_positions(const Sampling& job, int64_t b, int64_t p, int64_t count, const C (*sum)[kSampled]) {
  const SampleSpec& s = job.spec;
  if (s.scale) return put_offsets<C>(job, b, p, count, sum);
  alignas(64) C together[3 * kSampled];
  if (s.dims == 2) alternate<C>(sum[0], sum[1], together);
  else
    for (int64_t i = 0; i < count; ++i)
      for (int d = 0; d < 3; ++d) together[i * 3 + d] = sum[d][i];
  write_positions<C>(job.at_type, together, (b * job.pixels + p) * s.dims, count * s.dims, job.grad_at);
}

// ------------------------------------------------------------------------------------------------ backward

// The gradient `grad` of a tile's pixels goes to the cells of `sums`, and by the slopes of x to `dots`.
template <class C, int L, int K, int N, bool kX, bool kAt>
void back_tile(const C* x, C* sums, int64_t cells, const Taps<C>& taps, int64_t first, int64_t count, const C* grad, C* dots) {
  typedef Block<C, L> B;
  typedef typename B::R R;
  for (int64_t p = first; p < first + count; ++p, grad += L, dots += L) {
    R g[B::kCount], slope[N][B::kCount];
    HP_UNROLL for (int i = 0; i < B::kCount; ++i) g[i] = load_as<R>(grad + i * B::kWidth);
    HP_UNROLL for (int k = 0; k < K; ++k) {
      const int32_t cell = taps.cell[k][p];
      if constexpr (kX) {
        const R weight = spread<C, B::kWidth>(taps.weight[k][p]);
        C* to = sums + (cell < 0 ? cells : int64_t(cell)) * L;
        HP_UNROLL for (int i = 0; i < B::kCount; ++i) store_as(to + i * B::kWidth, load_as<R>(to + i * B::kWidth) + weight * g[i]);
      }
      if constexpr (kAt) {
        const C* from = x + (cell < 0 ? cells : int64_t(cell)) * L;
        HP_UNROLL for (int i = 0; i < B::kCount; ++i) {
          const R v = load_as<R>(from + i * B::kWidth);
          HP_UNROLL for (int d = 0; d < N; ++d) {
            const R by = spread<C, B::kWidth>(taps.slope[d][k][p]);
            slope[d][i] = k == 0 ? by * v : slope[d][i] + by * v;
          }
        }
      }
    }
    if constexpr (kAt)
      HP_UNROLL for (int d = 0; d < N; ++d)
        HP_UNROLL for (int i = 0; i < B::kCount; ++i) store_as(dots + d * kTile * L + i * B::kWidth, g[i] * slope[d][i]);
  }
}

template <class C, int L, int K, int N>
void back_some(const C* x, C* sums, int64_t cells, const Taps<C>& taps, int64_t first, int64_t count, const C* grad, C* dots) {
  if constexpr (K > 1) {
    if (x && sums) return back_tile<C, L, K, N, true, true>(x, sums, cells, taps, first, count, grad, dots);
    if (x) return back_tile<C, L, K, N, false, true>(x, sums, cells, taps, first, count, grad, dots);
  }
  back_tile<C, L, K, N, true, false>(x, sums, cells, taps, first, count, grad, dots);
}

template <class C, int L>
void back_any(int taps_of_pixel, const C* x, C* sums, int64_t cells, const Taps<C>& taps, int64_t first, int64_t count, const C* grad,
              C* dots) {
  switch (taps_of_pixel) {
    case 1: return back_some<C, L, 1, 2>(x, sums, cells, taps, first, count, grad, dots);
    case 4: return back_some<C, L, 4, 2>(x, sums, cells, taps, first, count, grad, dots);
    case 8: return back_some<C, L, 8, 3>(x, sums, cells, taps, first, count, grad, dots);
    default: return back_some<C, L, 16, 2>(x, sums, cells, taps, first, count, grad, dots);
  }
}

// Tiles of a block [cells][L] to their place.
template <class C, class T, int L>
void put_block(const Place& place, const C* block, int64_t begin, int64_t end, int64_t channels, T* out) {
  for (int64_t p = begin; p < end; p += kTile) {
    const int64_t count = smaller(kTile, end - p);
    alignas(64) C rest[kTile * L];
    const C* tile = block + p * L;
    if (count < kTile) {
      __builtin_memset(rest, 0, sizeof rest);
      __builtin_memcpy(rest, tile, size_t(count * L) * sizeof(C));
      tile = rest;
    }
    put_tile<C, T, L>(place, tile, channels, count, out + p * place.step(), false);
  }
}

template <class C, class T, int L>
void backward(const Sampling& job, int64_t task, char* arena) {
  const SampleSpec& s = job.spec;
  Taps<C>& taps = *reinterpret_cast<Taps<C>*>(arena);
  C* memory = reinterpret_cast<C*>(after_taps<C>(arena));
  const int64_t size = (job.cells + 1) * L, planes = s.batch * s.groups;
  const int64_t number = task % job.parts, j = task / job.parts % job.blocks, b = task / job.parts / job.blocks;
  const int64_t channels = smaller(L, s.channels - j * L);
  const Place in = place_of_input(job), out = place_of_output(job);
  alignas(64) C tile[kTile * L] = {}, dots[3 * kTile * L] = {};
  const C* x = nullptr;
  C* sums = nullptr;
  if (job.grad_x) {
    sums = job.sums ? reinterpret_cast<C*>(job.sums) + task * size : memory;
    __builtin_memset(sums, 0, size_t(size) * sizeof(C));
    if (!job.sums) memory += size;
  }
  if (job.grad_at && !job.gathers) {
    fill_block<C, T, L>(in, reinterpret_cast<const T*>(job.x) + in.first(b, j * L), channels, memory);
    x = memory;
  }
  const T* grad = reinterpret_cast<const T*>(job.grad) + out.first(b, j * L);
  C* partial = reinterpret_cast<C*>(job.partial) + (j * planes + b) * s.dims * job.pixels;
  const Part part(job, number);
  for (int64_t p = part.begin; p < part.end; p += kSampled) {
    const int64_t count = smaller(kSampled, part.end - p);
    if (job.grad_at) taps_of<C, true>(job, b, p, count, taps);
    else taps_of<C, false>(job, b, p, count, taps);
    if (job.grad_at && job.gathers) {
      alignas(64) C rows[4][kSampled] = {};
      rows_in<C, T>(out, grad + p * out.step(), count, rows);
      const T* from = reinterpret_cast<const T*>(job.x) + in.first(b, 0);
      alignas(64) C sum[3][kSampled];
      if (s.dims == 3) gather_slopes<C, T, 8, 3>(in, from, taps, count, rows, sum);
      else gather_slopes<C, T, 4, 2>(in, from, taps, count, rows, sum);
      put_positions<C>(job, b, p, count, sum);
      if (!sums) continue;
    }
    for (int64_t q = 0; q < count; q += kTile) {
      const int64_t here = smaller(kTile, count - q);
      take_tile<C, T, L>(out, grad + (p + q) * out.step(), channels, here, tile);
      back_any<C, L>(taps_count(s), x, sums, job.cells, taps, q, here, tile, dots);
      if (!x) continue;
      for (int d = 0; d < s.dims; ++d) {
        alignas(64) C sum[kTile];
        sum_tile<C, L>(dots + d * kTile * L, sum);
        __builtin_memcpy(partial + d * job.pixels + p + q, sum, size_t(here) * sizeof(C));
      }
    }
  }
  if (sums && !job.sums)
    put_block<C, T, L>(in, sums, 0, job.cells, channels, reinterpret_cast<T*>(job.grad_x) + in.first(b, j * L));
}

// The parts' gradients of x, added in their order; a task takes some cells of a block.
template <class C, class T, int L>
void fold_x(const Sampling& job, int64_t task) {
  const SampleSpec& s = job.spec;
  const int64_t runs = (job.cells + kFoldedCells - 1) / kFoldedCells, size = (job.cells + 1) * L;
  const int64_t begin = task % runs * kFoldedCells, end = smaller(job.cells, begin + kFoldedCells);
  const int64_t block = task / runs, j = block % job.blocks, b = block / job.blocks;
  C* first = reinterpret_cast<C*>(job.sums) + block * job.parts * size;
  for (int64_t number = 1; number < job.parts; ++number) {
    const C* more = first + number * size;
    for (int64_t i = begin * L; i < end * L; i += Block<C, L>::kWidth) {
      typedef typename Block<C, L>::R R;
      store_as(first + i, load_as<R>(first + i) + load_as<R>(more + i));
    }
  }
  const Place in = place_of_input(job);
  put_block<C, T, L>(in, first, begin, end, smaller(L, s.channels - j * L), reinterpret_cast<T*>(job.grad_x) + in.first(b, j * L));
}

// The blocks' gradients of positions, added in their order; a task takes a part of a plane's pixels.
template <class C>
void fold_at(const Sampling& job, int64_t task) {
  const SampleSpec& s = job.spec;
  const int64_t planes = s.batch * s.groups, b = task / job.parts;
  const Part part(job, task % job.parts);
  for (int64_t p = part.begin; p < part.end; p += kSampled) {
    const int64_t count = smaller(kSampled, part.end - p);
    alignas(64) C sum[3][kSampled] = {};
    for (int d = 0; d < s.dims; ++d)
      for (int64_t j = 0; j < job.blocks; ++j) {
        const C* from = reinterpret_cast<const C*>(job.partial) + ((j * planes + b) * s.dims + d) * job.pixels + p;
        int64_t i = 0;
        for (; i + kLanes<C> <= count; i += kLanes<C>) store_as(sum[d] + i, load_as<V<C>>(sum[d] + i) + load_as<V<C>>(from + i));
        for (; i < count; ++i) sum[d][i] += from[i];
      }
    put_positions<C>(job, b, p, count, sum);
  }
}

template <class C, class T, int L>
void run_block(SampleStep step, const Sampling& job, int64_t task, char* arena) {
  if (step == SampleStep::forward) {
    if (L == 1 && job.gathers) {
      switch (taps_count(job.spec)) {
        case 1: return gather_forward<C, T, 1>(job, task, arena);
        case 4: return gather_forward<C, T, 4>(job, task, arena);
        default: return gather_forward<C, T, 8>(job, task, arena);
      }
    }
    if constexpr (L == 64 / int(sizeof(C)))
      if (job.direct) return forward_direct<C, T>(job, task, arena);
    return forward<C, T, L>(job, task, arena);
  }
  if (step == SampleStep::backward) return backward<C, T, L>(job, task, arena);
  fold_x<C, T, L>(job, task);
}

template <class C, class T>
void run_step(SampleStep step, const Sampling& job, int64_t task, char* arena) {
  if (step == SampleStep::fold_at) return fold_at<C>(job, task);
  if (job.width == 1) return run_block<C, T, 1>(step, job, task, arena);
  if (job.width == 2) return run_block<C, T, 2>(step, job, task, arena);
  if (job.width == 4) return run_block<C, T, 4>(step, job, task, arena);
  run_block<C, T, 64 / int(sizeof(C))>(step, job, task, arena);
}

}  // namespace

#define HP_NAME2(isa) sample_##isa
#define HP_NAME(isa) HP_NAME2(isa)
void HP_NAME(HP_ISA)(SampleStep step, const Sampling& job, int64_t task, char* arena);
void HP_NAME(HP_ISA)(SampleStep step, const Sampling& job, int64_t task, char* arena) {
  switch (job.type) {
    case Type::f32: run_step<float, float>(step, job, task, arena); break;
    case Type::f16: run_step<float, Half>(step, job, task, arena); break;
    case Type::bf16: run_step<float, BFloat>(step, job, task, arena); break;
    case Type::f64: run_step<double, double>(step, job, task, arena); break;
    default: return;
  }
  if (job.stream) stream_fence();
}

}  // namespace hp
