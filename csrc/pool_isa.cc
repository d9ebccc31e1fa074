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

template <class C, class T>
void channels_last(const Pool& pool, int64_t plane, int64_t line, int64_t line_end, char* arena) {
  constexpr int L = kLanes<C>;
  const PoolSpec& s = pool.spec;
  const T* x = reinterpret_cast<const T*>(pool.x) + plane * s.in[0] * s.in[1] * s.in[2] * s.channels;
  const int64_t at = plane * s.out[0] * s.out[1] * s.out[2] * s.channels;
  int64_t* taps = reinterpret_cast<int64_t*>(arena);
  for (; line < line_end; ++line)
    for (int64_t ow = 0; ow < s.out[2]; ++ow) {
      const int64_t o[3] = {line / s.out[1], line % s.out[1], ow};
      int64_t count = 0;
      for (int64_t i = 0; i < s.kernel[0]; ++i)
        for (int64_t j = 0; j < s.kernel[1]; ++j)
          for (int64_t k = 0; k < s.kernel[2]; ++k) {
            const int64_t d = o[0] * s.stride[0] - s.padding[0] + i * s.dilation[0], h = o[1] * s.stride[1] - s.padding[1] + j * s.dilation[1];
            const int64_t w = o[2] * s.stride[2] - s.padding[2] + k * s.dilation[2];
            if (d >= 0 && d < s.in[0] && h >= 0 && h < s.in[1] && w >= 0 && w < s.in[2]) taps[count++] = (d * s.in[1] + h) * s.in[2] + w;
          }
      const int64_t pixel = at + (line * s.out[2] + ow) * s.channels;
      for (int64_t c = 0; c < s.channels; c += L) {
        const int64_t here = smaller(L, s.channels - c);
        Best<C> best{splat<C>(C(-__builtin_inf())), splat<Index<C>>(Index<C>(count ? taps[0] : 0))};
        for (int64_t t = 0; t < count; ++t) {
          const T* p = x + taps[t] * s.channels + c;
          T rest[L];
          if (here < L) {
            __builtin_memset(rest, 0, sizeof rest);
            __builtin_memcpy(rest, p, size_t(here) * sizeof(T));
            p = rest;
          }
          best.meet(widen<T, C>(p), splat<Index<C>>(Index<C>(taps[t])));
        }
        put<C, T>(best, reinterpret_cast<T*>(pool.out) + pixel + c, pool.place ? pool.place + pixel + c : nullptr, here);
      }
    }
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
