// SPDX-License-Identifier: MIT
// Maxima of windows, compiled once per instruction set. See pool.hh.
//
// Planar: every input row is padded with -inf and taken apart into the phases of its columns modulo the stride, so that each tap
// of a window reads consecutive elements; rows stay in a ring while windows need them. Channels last: consecutive channels.
#include "pool.hh"

#include "rows.hh"
#include "shuffle.hh"

namespace hp {
namespace {

template <class C>
struct IndexOf {
  typedef int32_t type;
};
template <>
struct IndexOf<double> {
  typedef int64_t type;
};
template <class C>
using Index = typename IndexOf<C>::type;

template <class C>
struct Best {
  V<C> value;
  V<Index<C>> place;
  HP_INLINE void meet(V<C> v, V<Index<C>> at) {
    const auto wins = (v > value) | (v != v);
    value = wins ? v : value;
    place = wins ? at : place;
  }
};

template <class C, class T>
HP_INLINE void put(const Best<C>& best, T* out, int64_t* place, int64_t count) {
  constexpr int L = kLanes<C>;
  const auto values = narrow<T, C>(best.value, Rounding::half_up);
  if (count >= L) {
    store_as(out, values);
    if (place) store_as(place, __builtin_convertvector(best.place, Vec<int64_t, L>));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    store_as(out + i, values[i]);
    if (place) place[i] = best.place[i];
  }
}

template <class C, class T>
void widen_row(const T* x, C* to, int64_t n) {
  constexpr int L = kLanes<C>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store_as(to + i, widen<T, C>(x + i));
  if (i < n) {
    T rest[L] = {};
    __builtin_memcpy(rest, x + i, size_t(n - i) * sizeof(T));
    const V<C> v = widen<T, C>(rest);
    for (int64_t j = i; j < n; ++j) to[j] = v[j - i];
  }
}

template <class C, int K>
void split(const C* x, C* out, int64_t length) {
  constexpr int L = kLanes<C>;
  int64_t i = 0;
  if constexpr (K == 2) {
    for (; i + L <= length; i += L) {
      V<C> a = load_as<V<C>>(x + 2 * i), b = load_as<V<C>>(x + 2 * i + L);
      unzip2(a, b, LanesUpTo<L>{});
      store_as(out + i, a);
      store_as(out + length + i, b);
    }
  }
  for (; i < length; ++i)
    for (int k = 0; k < K; ++k) out[k * length + i] = x[K * i + k];
}

template <class C>
void split_any(const C* x, C* out, int64_t stride, int64_t length) {
  if (stride == 2) return split<C, 2>(x, out, length);
  if (stride == 3) return split<C, 3>(x, out, length);
  for (int64_t k = 0; k < stride; ++k)
    for (int64_t i = 0; i < length; ++i) out[k * length + i] = x[stride * i + k];
}

template <class C>
struct Ring {
  char* memory;
  C* padded;
  Index<C>*column, *first;
  int64_t* tag;
  const C** row;
  int64_t* base;

  Ring(const Pool& pool, char* arena) {
    const PoolSpec& s = pool.spec;
    const int64_t width = pool.phase_length * s.stride[2], rows = pool.slots * s.kernel[0];
    const auto take = [&](int64_t bytes) {
      char* at = arena;
      arena += (bytes + 63) / 64 * 64;
      return at;
    };
    padded = reinterpret_cast<C*>(take(width * sizeof(C)));
    memory = take(rows * width * int64_t(sizeof(C)));
    column = reinterpret_cast<Index<C>*>(take(pool.phase_length * sizeof(C)));
    first = reinterpret_cast<Index<C>*>(take(pool.phase_length * sizeof(C)));
    tag = reinterpret_cast<int64_t*>(take(rows * 8));
    row = reinterpret_cast<const C**>(take(s.kernel[0] * s.kernel[1] * 8));
    base = reinterpret_cast<int64_t*>(take(s.kernel[0] * s.kernel[1] * 8));
    for (int64_t i = 0; i < rows; ++i) tag[i] = -1;
    for (int64_t i = 0; i < pool.phase_length; ++i) {
      int64_t at = i * s.stride[2] - s.padding[2];
      column[i] = Index<C>(at);
      if (at < 0) at += (-at + s.dilation[2] - 1) / s.dilation[2] * s.dilation[2];
      first[i] = Index<C>(at);
    }
  }
};

// The row's phases, made unless they are still there.
template <class C, class T>
const C* phases(const Pool& pool, Ring<C>& ring, const T* plane, int64_t slot, int64_t line) {
  const PoolSpec& s = pool.spec;
  const int64_t width = pool.phase_length * s.stride[2];
  C* made = reinterpret_cast<C*>(ring.memory) + slot * width;
  if (ring.tag[slot] == line) return made;
  ring.tag[slot] = line;
  C* padded = s.stride[2] == 1 ? made : ring.padded;
  const C none = C(-__builtin_inf());
  const int64_t held = smaller(s.in[2], width - s.padding[2]);
  for (int64_t i = 0; i < s.padding[2]; ++i) padded[i] = none;
  widen_row<C, T>(plane + line * s.in[2], padded + s.padding[2], held);
  for (int64_t i = s.padding[2] + held; i < width; ++i) padded[i] = none;
  if (padded != made) split_any(padded, made, s.stride[2], pool.phase_length);
  return made;
}

template <class C, class T>
void planar(const Pool& pool, int64_t plane, int64_t line, int64_t line_end, char* arena) {
  constexpr int L = kLanes<C>;
  const PoolSpec& s = pool.spec;
  Ring<C> ring(pool, arena);
  const T* x = reinterpret_cast<const T*>(pool.x) + plane * s.in[0] * s.in[1] * s.in[2];
  const int64_t at = plane * s.out[0] * s.out[1] * s.out[2];
  for (; line < line_end; ++line) {
    const int64_t od = line / s.out[1], oh = line % s.out[1];
    int64_t rows = 0;
    for (int64_t i = 0; i < s.kernel[0]; ++i) {
      const int64_t d = od * s.stride[0] - s.padding[0] + i * s.dilation[0];
      if (d < 0 || d >= s.in[0]) continue;
      for (int64_t j = 0; j < s.kernel[1]; ++j) {
        const int64_t h = oh * s.stride[1] - s.padding[1] + j * s.dilation[1];
        if (h < 0 || h >= s.in[1]) continue;
        ring.row[rows] = phases<C, T>(pool, ring, x, i * pool.slots + h % pool.slots, d * s.in[1] + h);
        ring.base[rows++] = (d * s.in[1] + h) * s.in[2];
      }
    }
    T* out = reinterpret_cast<T*>(pool.out) + at + line * s.out[2];
    int64_t* place = pool.place ? pool.place + at + line * s.out[2] : nullptr;
    for (int64_t b = 0; b < s.out[2]; b += L) {
      const V<Index<C>> column = load_as<V<Index<C>>>(ring.column + b);
      Best<C> best{splat<C>(C(-__builtin_inf())), load_as<V<Index<C>>>(ring.first + b) + splat<Index<C>>(Index<C>(rows ? ring.base[0] : 0))};
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t k = 0, reach = 0; k < s.kernel[2]; ++k, reach += s.dilation[2]) {
          const C* p = ring.row[r] + reach % s.stride[2] * pool.phase_length + reach / s.stride[2] + b;
          best.meet(load_as<V<C>>(p), column + splat<Index<C>>(Index<C>(ring.base[r] + reach)));
        }
      put<C, T>(best, out + b, place ? place + b : nullptr, s.out[2] - b);
    }
  }
}

// The taps of a window that lie in the volume, in ascending order: elements, and positions, after the first one's.
template <class C>
struct Taps {
  int64_t* element;
  Index<C>* place;
  int64_t count;
};

// How a line of windows lies in memory: elements of a pixel, and between windows; elements of x and of the line from where they may
// not be read and written.
struct Line {
  int64_t channels, x_step, place_step, x_end, out_end;
  bool past_caches;  // registers of results are parts of whole lines, which are stored past the caches
};

template <class X>
HP_INLINE void put_register(void* to, X x, bool past_caches) {
  if (past_caches) store_stream(to, x);
  else store_as(to, x);
}

template <class C>
HP_INLINE void put_places(int64_t* to, V<Index<C>> place, int64_t base, bool past_caches) {
  const V<int64_t> first = splat<int64_t>(base);
  if constexpr (sizeof(C) == 8) {
    put_register(to, place + first, past_caches);
  } else {
#if defined(__AVX512F__)
    put_register(to, (V<int64_t>)_mm512_cvtepi32_epi64(_mm512_castsi512_si256((__m512i)place)) + first, past_caches);
    put_register(to + 8, (V<int64_t>)_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64((__m512i)place, 1)) + first, past_caches);
#elif defined(__AVX2__)
    put_register(to, (V<int64_t>)_mm256_cvtepi32_epi64(_mm256_castsi256_si128((__m256i)place)) + first, past_caches);
    put_register(to + 4, (V<int64_t>)_mm256_cvtepi32_epi64(_mm256_extracti128_si256((__m256i)place, 1)) + first, past_caches);
#elif defined(__SSE4_1__)
    put_register(to, (V<int64_t>)_mm_cvtepi32_epi64((__m128i)place) + first, past_caches);
    put_register(to + 2, (V<int64_t>)_mm_cvtepi32_epi64(_mm_unpackhi_epi64((__m128i)place, (__m128i)place)) + first, past_caches);
#else
    HP_UNROLL for (int i = 0; i < kLanes<C>; ++i) to[i] = base + place[i];
#endif
  }
}

// v where it is greater, else w; one instruction where there is one that chooses w for equal ones, zeros and NaN.
template <class C>
HP_INLINE V<C> greater(V<C> v, V<C> w) {
#if defined(__AVX512F__)
  if constexpr (sizeof(C) == 4) return (V<C>)_mm512_max_ps((__m512)v, (__m512)w);
  else return (V<C>)_mm512_max_pd((__m512d)v, (__m512d)w);
#elif defined(__AVX2__)
  if constexpr (sizeof(C) == 4) return (V<C>)_mm256_max_ps((__m256)v, (__m256)w);
  else return (V<C>)_mm256_max_pd((__m256d)v, (__m256d)w);
#elif defined(__SSE4_1__)
  if constexpr (sizeof(C) == 4) return (V<C>)_mm_max_ps((__m128)v, (__m128)w);
  else return (V<C>)_mm_max_pd((__m128d)v, (__m128d)w);
#else
  return v > w ? v : w;
#endif
}

// Whether lanes of v or w are NaN, gathered over several pairs.
template <class C>
struct Nans {
#if defined(__AVX512F__)
  uint32_t lanes = 0;
  HP_INLINE void add(V<C> v, V<C> w) {
    if constexpr (sizeof(C) == 4) lanes |= _mm512_cmp_ps_mask((__m512)v, (__m512)w, _CMP_UNORD_Q);
    else lanes |= _mm512_cmp_pd_mask((__m512d)v, (__m512d)w, _CMP_UNORD_Q);
  }
  HP_INLINE bool any() const { return lanes; }
#else
  V<Index<C>> lanes = {};
  HP_INLINE void add(V<C> v, V<C> w) { lanes |= (v != v) | (w != w); }
  HP_INLINE bool any() const {
#if defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)lanes);
#elif defined(__SSE4_1__)
    return _mm_movemask_epi8((__m128i)lanes);
#else
    Index<C> all = 0;
    HP_UNROLL for (int i = 0; i < kLanes<C>; ++i) all |= lanes[i];
    return all;
#endif
  }
#endif
};

template <int N, class C>
HP_INLINE V<C> most(const V<C>* v) {
  if constexpr (N == 1) return v[0];
  else return greater<C>(most<N - N / 2, C>(v + N / 2), most<N / 2, C>(v));
}

// Of N values the maximum and the first that equals it: no step waits for the comparison before it. With a NaN among them, in order.
template <int N, class C, class T>
HP_INLINE Best<C> best_of(const T* p, const int64_t* element, const V<Index<C>>* number) {
  V<C> v[N];
  HP_UNROLL for (int t = 0; t < N; ++t) v[t] = widen<T, C>(p + element[t]);
  if constexpr (kFloat<T>) {
    Nans<C> nans;
    HP_UNROLL for (int t = 0; t < N; t += 2) nans.add(v[t], v[t + 1 < N ? t + 1 : t]);
    if (__builtin_expect(nans.any(), 0)) {
      Best<C> best{v[0], number[0]};
      HP_UNROLL for (int t = 1; t < N; ++t) best.meet(v[t], number[t]);
      return best;
    }
  }
  Best<C> best{most<N, C>(v), number[N - 1]};
  HP_UNROLL for (int t = N - 2; t >= 0; --t) best.place = v[t] == best.value ? number[t] : best.place;
  return best;
}

// Windows [from, to) of a line, all of the same N taps (0: any number), at x and with the place `base` of the first one's first tap.
template <int N, class C, class T>
void windows(const Line& line, const Taps<C>& taps, int64_t x_at, const T* x, T* out, int64_t* place, int64_t base, int64_t from, int64_t to) {
  constexpr int L = kLanes<C>;
  typedef V<Index<C>> P;
  const int64_t count = N ? N : taps.count, channels = line.channels, last = taps.element[count - 1];
  int64_t element[N ? N : 1];
  P number[N ? N : 1];
  HP_UNROLL for (int t = 0; t < N; ++t) element[t] = taps.element[t], number[t] = splat<Index<C>>(taps.place[t]);
  const auto best_at = [&](const T* p) {
    if constexpr (N > 0) {
      return best_of<N, C, T>(p, element, number);
    } else {
      Best<C> best{widen<T, C>(p + taps.element[0]), splat<Index<C>>(taps.place[0])};
      for (int64_t t = 1; t < count; ++t) best.meet(widen<T, C>(p + taps.element[t]), splat<Index<C>>(taps.place[t]));
      return best;
    }
  };
  const auto put_at = [&](const Best<C>& best, int64_t c, int64_t at) {
    const auto values = narrow<T, C>(best.value, Rounding::half_up);
    put_register(out + c, values, kSame<T, C> && line.past_caches);
    if (place) put_places<C>(place + c, best.place, at, line.past_caches);
  };
  out += from * channels;
  if (place) place += from * channels;
  for (int64_t i = from; i < to; ++i, x_at += line.x_step, base += line.place_step, out += channels) {
    const T* p = x + x_at;
    int64_t c = 0;
    for (; c + L <= channels; c += L) put_at(best_at(p + c), c, base);
    // A rest is computed together with channels before it, or with the next pixels', which are computed again after it.
    if (c < channels) {
      if (channels >= L) {
        put_at(best_at(p + channels - L), channels - L, base);
      } else if (x_at + last + L <= line.x_end && i * channels + L <= line.out_end) {
        put_at(best_at(p), 0, base);
      } else {
        Best<C> best;
        for (int64_t t = 0; t < count; ++t) {
          T rest[L];
          __builtin_memset(rest, 0, sizeof rest);
          __builtin_memcpy(rest, p + taps.element[t], size_t(channels) * sizeof(T));
          const P at = splat<Index<C>>(taps.place[t]);
          if (t == 0) best = {widen<T, C>(rest), at};
          else best.meet(widen<T, C>(rest), at);
        }
        const auto values = narrow<T, C>(best.value, Rounding::half_up);
        for (int64_t j = 0; j < channels; ++j) {
          store_as(out + j, values[j]);
          if (place) place[j] = base + best.place[j];
        }
      }
    }
    if (place) place += channels;
  }
}

template <class C, class T>
void windows_any(const Line& line, const Taps<C>& taps, int64_t x_at, const T* x, T* out, int64_t* place, int64_t base, int64_t from, int64_t to) {
  if (taps.count == 4) return windows<4, C, T>(line, taps, x_at, x, out, place, base, from, to);
  if (taps.count == 9) return windows<9, C, T>(line, taps, x_at, x, out, place, base, from, to);
  return windows<0, C, T>(line, taps, x_at, x, out, place, base, from, to);
}

// Nothing but padding.
template <class C, class T>
void no_taps(T* out, int64_t* place, int64_t channels) {
  const auto none = narrow<T, C>(splat<C>(C(-__builtin_inf())), Rounding::half_up);
  for (int64_t c = 0; c < channels; ++c) {
    store_as(out + c, none[0]);
    if (place) place[c] = 0;
  }
}

// The first and the past-the-last of the window's taps that lie in [0, n).
struct Within {
  int64_t begin, end;
  Within(int64_t first, int64_t step, int64_t taps, int64_t n) {
    begin = first < 0 ? smaller(taps, (-first + step - 1) / step) : 0;
    end = first >= n ? 0 : smaller(taps, (n - 1 - first) / step + 1);
    if (end < begin) end = begin;
  }
};

template <class C, class T>
void channels_last(const Pool& pool, int64_t plane, int64_t line, int64_t line_end, char* arena) {
  const PoolSpec& s = pool.spec;
  const int64_t volume = s.in[0] * s.in[1] * s.in[2], channels = s.channels, wide = s.out[2];
  const T* x = reinterpret_cast<const T*>(pool.x) + plane * volume * channels;
  const bool lines = (reinterpret_cast<uintptr_t>(pool.out) | reinterpret_cast<uintptr_t>(pool.place) | uintptr_t(channels * sizeof(T))) % 64 == 0 && channels % kLanes<C> == 0;
  const bool past = pool.large && lines;
  const Line along{channels, s.stride[2] * channels, s.stride[2], (s.planes - plane) * volume * channels, wide * channels, past};
  Taps<C> taps{reinterpret_cast<int64_t*>(arena), reinterpret_cast<Index<C>*>(arena + s.kernel[0] * s.kernel[1] * s.kernel[2] * 8), 0};
  // Windows that reach over neither end: [inner, outer).
  const int64_t inner = smaller(wide, (s.padding[2] + s.stride[2] - 1) / s.stride[2]), room = s.in[2] - 1 - (s.kernel[2] - 1) * s.dilation[2] + s.padding[2];
  const int64_t outer = room < 0 ? inner : larger(inner, smaller(wide, room / s.stride[2] + 1));
  for (; line < line_end; ++line) {
    const int64_t d = line / s.out[1] * s.stride[0] - s.padding[0], h = line % s.out[1] * s.stride[1] - s.padding[1];
    const Within ds(d, s.dilation[0], s.kernel[0], s.in[0]), hs(h, s.dilation[1], s.kernel[1], s.in[1]);
    const int64_t pixel = ((plane * s.out[0] * s.out[1]) + line) * wide * channels;
    T* out = reinterpret_cast<T*>(pool.out) + pixel;
    int64_t* place = pool.place ? pool.place + pixel : nullptr;
    for (int64_t ow = 0; ow < wide;) {
      const int64_t w = ow * s.stride[2] - s.padding[2], next = ow == inner && inner < outer ? outer : ow + 1;
      const Within ws(w, s.dilation[2], s.kernel[2], s.in[2]);
      int64_t base = -1;
      taps.count = 0;
      for (int64_t i = ds.begin; i < ds.end; ++i)
        for (int64_t j = hs.begin; j < hs.end; ++j)
          for (int64_t k = ws.begin; k < ws.end; ++k) {
            const int64_t at = ((d + i * s.dilation[0]) * s.in[1] + h + j * s.dilation[1]) * s.in[2] + w + k * s.dilation[2];
            if (base < 0) base = at;
            taps.place[taps.count] = Index<C>(at - base);
            taps.element[taps.count++] = (at - base) * channels;
          }
      if (taps.count) windows_any<C, T>(along, taps, base * channels, x, out, place, base, ow, next);
      else
        for (int64_t i = ow; i < next; ++i) no_taps<C, T>(out + i * channels, place ? place + i * channels : nullptr, channels);
      ow = next;
    }
  }
  if (past) stream_fence();
}

template <class C, class T>
void run_task(const Pool& pool, int64_t task, char* arena) {
  const int64_t plane = task / pool.parts, lines = pool.spec.out[0] * pool.spec.out[1];
  const int64_t begin = task % pool.parts * pool.lines, end = smaller(lines, begin + pool.lines);
  if (pool.spec.last) return channels_last<C, T>(pool, plane, begin, end, arena);
  return planar<C, T>(pool, plane, begin, end, arena);
}

}  // namespace

#define HP_NAME2(isa) pool_##isa
#define HP_NAME(isa) HP_NAME2(isa)
void HP_NAME(HP_ISA)(const Pool& pool, int64_t task, char* arena);
void HP_NAME(HP_ISA)(const Pool& pool, int64_t task, char* arena) {
  switch (pool.type) {
    case Type::f32: return run_task<float, float>(pool, task, arena);
    case Type::f16: return run_task<float, Half>(pool, task, arena);
    case Type::bf16: return run_task<float, BFloat>(pool, task, arena);
    case Type::u8: return run_task<float, uint8_t>(pool, task, arena);
    case Type::i8: return run_task<float, int8_t>(pool, task, arena);
    case Type::i16: return run_task<float, int16_t>(pool, task, arena);
    case Type::f64: return run_task<double, double>(pool, task, arena);
    case Type::i32: return run_task<double, int32_t>(pool, task, arena);
    default: return;
  }
}

}  // namespace hp
