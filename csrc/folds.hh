// SPDX-License-Identifier: MIT
// Largest and smallest elements with their positions, and comparisons with a threshold. Internal linkage, see simd.hh.
#pragma once

#include "rows.hh"

namespace hp {
namespace {

template <int N>
struct IndexOf {
  typedef int32_t type;
};
template <>
struct IndexOf<8> {
  typedef int64_t type;
};
template <class K>
using Index = typename IndexOf<sizeof(K)>::type;

// Where `next` comes before `best`: NaN before numbers, and nothing before NaN or an equal number.
template <bool Smallest, class X>
inline auto comes_before(X next, X best) {
  return ~(Smallest ? next >= best : next <= best) & (best == best);
}
template <bool Smallest, class K>
inline bool comes_before1(K next, K best) {
  return !(Smallest ? next >= best : next <= best) && best == best;
}

template <bool Smallest, class K>
HP_INLINE void take_better(V<K> next, V<Index<K>> number, V<K>& best, V<Index<K>>& index) {
#if defined(__AVX512F__)
  if constexpr (kSame<K, float>) {
    const __mmask16 better = _mm512_cmp_ps_mask((__m512)next, (__m512)best, Smallest ? _CMP_NGE_UQ : _CMP_NLE_UQ);
    const __mmask16 take = _mm512_mask_cmp_ps_mask(better, (__m512)best, (__m512)best, _CMP_ORD_Q);
    best = (V<K>)_mm512_mask_blend_ps(take, (__m512)best, (__m512)next);
    index = (V<Index<K>>)_mm512_mask_blend_epi32(take, (__m512i)index, (__m512i)number);
    return;
  }
#endif
  const auto take = comes_before<Smallest>(next, best);
  best = take ? next : best;
  index = take ? number : index;
}

// N channels more; number 0 begins.
template <int N, class T, class K, bool Smallest>
void add_channels(const char* rows, int64_t apart, int64_t n, int64_t number, K* best, Index<K>* index) {
  typedef V<Index<K>> I;
  constexpr int64_t L = kLanes<K>;
  auto at = [&](int k, int64_t j) { return widen<T, K>(reinterpret_cast<const T*>(rows + k * apart) + j); };
  for (int64_t j = 0; j < n; j += L) {
    V<K> so_far;
    I where;
    if (number == 0) {
      so_far = at(0, j);
      where = I{};
    } else {
      so_far = load_as<V<K>>(best + j);
      where = load_as<I>(index + j);
      take_better<Smallest, K>(at(0, j), splat<Index<K>>(Index<K>(number)), so_far, where);
    }
    HP_UNROLL for (int k = 1; k < N; ++k) take_better<Smallest, K>(at(k, j), splat<Index<K>>(Index<K>(number + k)), so_far, where);
    store_as(best + j, so_far);
    store_as(index + j, where);
  }
}

template <class T, class K, bool Smallest>
void add_channels(const char* rows, int64_t apart, int count, int64_t n, int64_t number, K* best, Index<K>* index) {
  if (count == kTogether) return add_channels<kTogether, T, K, Smallest>(rows, apart, n, number, best, index);
  for (int k = 0; k < count; ++k) add_channels<1, T, K, Smallest>(rows + k * apart, apart, n, number + k, best, index);
}

template <bool Smallest, class K>
inline void better_lane(const K* value, const Index<K>* number, int count, K& best, Index<K>& index) {
  best = value[0];
  index = number[0];
  for (int i = 1; i < count; ++i) {
    const bool ahead = comes_before1<Smallest, K>(value[i], best), level = value[i] == best || (value[i] != value[i] && best != best);
    if (ahead || (level && number[i] < index)) {
      best = value[i];
      index = number[i];
    }
  }
}

// The first best lane, whichever lane holds it.
template <bool Smallest, class K>
HP_INLINE void best_lane(V<K> value, V<Index<K>> number, K& best, Index<K>& index) {
#if defined(__AVX512F__)
  if constexpr (kSame<K, float>) {
    const __m512 v = (__m512)value;
    __mmask16 level = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    if (!level) level = _mm512_cmp_ps_mask(v, _mm512_set1_ps(Smallest ? _mm512_reduce_min_ps(v) : _mm512_reduce_max_ps(v)), _CMP_EQ_OQ);
    index = _mm512_mask_reduce_min_epi32(level, (__m512i)number);
    const __mmask16 it = _mm512_mask_cmpeq_epi32_mask(level, (__m512i)number, _mm512_set1_epi32(index));
    best = _mm512_cvtss_f32(_mm512_maskz_compress_ps(it, v));
    return;
  }
#endif
  K values[kLanes<K>];
  Index<K> numbers[kLanes<K>];
  store_as(values, value);
  store_as(numbers, number);
  better_lane<Smallest, K>(values, numbers, kLanes<K>, best, index);
}

// Groups shorter than a register, one to a lane.
template <class T, class K, bool Smallest>
void reduce_short_groups(const T* row, int64_t count, int64_t size, K* best, Index<K>* index) {
  constexpr int64_t L = kLanes<K>;
  int64_t g = 0;
#if defined(__AVX512F__)
  if constexpr (kSame<K, float>) {
    V<int32_t> lane;
    HP_UNROLL for (int i = 0; i < L; ++i) lane[i] = int32_t(i * size);
    float wide[L * L];
    for (; g + L <= count; g += L, row += L * size) {
      const float* from = wide;
      if constexpr (kSame<T, float>) from = row;
      else
        for (int64_t j = 0; j < L * size; j += L) store_as(wide + j, widen<T, K>(row + j));
      V<K> so_far = (V<K>)_mm512_i32gather_ps((__m512i)lane, from, 4);
      V<int32_t> where{};
      for (int64_t k = 1; k < size; ++k)
        take_better<Smallest, K>((V<K>)_mm512_i32gather_ps((__m512i)lane, from + k, 4), splat<int32_t>(int32_t(k)), so_far, where);
      store_as(best + g, so_far);
      store_as(index + g, where);
    }
  }
#endif
  for (; g < count; ++g, row += size) {
    K value[L];
    store_as(value, widen<T, K>(row));  // rows have room for a register more
    K so_far = value[0];
    Index<K> where = 0;
    for (int64_t k = 1; k < size; ++k) {
      const bool take = comes_before1<Smallest, K>(value[k], so_far);
      so_far = take ? value[k] : so_far;
      where = take ? Index<K>(k) : where;
    }
    best[g] = so_far;
    index[g] = where;
  }
}

// Groups of `size` neighbours; each lane keeps its own best, and what a last register reads twice keeps its number.
template <class T, class K, bool Smallest>
void reduce_groups(const T* row, int64_t count, int64_t size, K* best, Index<K>* index) {
  typedef V<Index<K>> I;
  constexpr int64_t L = kLanes<K>;
  if (size < L) return reduce_short_groups<T, K, Smallest>(row, count, size, best, index);
  I lane;
  HP_UNROLL for (int i = 0; i < L; ++i) lane[i] = Index<K>(i);
  for (int64_t g = 0; g < count; ++g, row += size) {
    V<K> so_far = widen<T, K>(row);
    I where = lane;
    int64_t j = L;
    for (; j + L <= size; j += L) take_better<Smallest, K>(widen<T, K>(row + j), lane + splat<Index<K>>(Index<K>(j)), so_far, where);
    if (j < size) take_better<Smallest, K>(widen<T, K>(row + size - L), lane + splat<Index<K>>(Index<K>(size - L)), so_far, where);
    best_lane<Smallest, K>(so_far, where, best[g], index[g]);
  }
}

template <class T, class K>
void compare_above(const T* row, int64_t n, K threshold, uint8_t* out) {
  constexpr int64_t L = kLanes<K>;
  const V<K> t = splat<K>(threshold);
  for (int64_t j = 0; j < n; j += L) {
    const auto above = (widen<T, K>(row + j) > t) & 1;
    if constexpr (sizeof(K) == 4) store_as(out + j, narrow_int<uint8_t>(above));
    else store_as(out + j, __builtin_convertvector(above, Vec<uint8_t, L>));
  }
}

template <class F>
void by_key(Type type, F&& f) {
  switch (type) {
    case Type::f32: return f.template operator()<float, float>();
    case Type::f16: return f.template operator()<Half, float>();
    case Type::bf16: return f.template operator()<BFloat, float>();
    case Type::u8: return f.template operator()<uint8_t, float>();
    case Type::i8: return f.template operator()<int8_t, float>();
    case Type::u16: return f.template operator()<uint16_t, float>();
    case Type::i16: return f.template operator()<int16_t, float>();
    case Type::boolean: return f.template operator()<Bool, float>();
    case Type::f64: return f.template operator()<double, double>();
    case Type::i32: return f.template operator()<int32_t, double>();
    case Type::u32: return f.template operator()<uint32_t, double>();
    case Type::i64: return f.template operator()<int64_t, int64_t>();
    case Type::u64: return f.template operator()<uint64_t, uint64_t>();
  }
}

template <class X>
X* as(char* p) {
  return reinterpret_cast<X*>(p);
}
template <class X>
const X* as(const char* p) {
  return reinterpret_cast<const X*>(p);
}

void fold_channels(Type type, bool smallest, const char* rows, int64_t apart, int count, int64_t n, int64_t number, char* best, char* index) {
  by_key(type, [&]<class T, class K>() {
    if (smallest) add_channels<T, K, true>(rows, apart, count, n, number, as<K>(best), as<Index<K>>(index));
    else add_channels<T, K, false>(rows, apart, count, n, number, as<K>(best), as<Index<K>>(index));
  });
}

void fold_groups(Type type, bool smallest, const char* row, int64_t count, int64_t size, char* best, char* index) {
  by_key(type, [&]<class T, class K>() {
    if (smallest) reduce_groups<T, K, true>(as<T>(row), count, size, as<K>(best), as<Index<K>>(index));
    else reduce_groups<T, K, false>(as<T>(row), count, size, as<K>(best), as<Index<K>>(index));
  });
}

void fold_store(Type type, const char* best, int64_t n, char* out) {
  by_key(type, [&]<class T, class K>() { store_row<T, K>(as<K>(best), n, as<T>(out), Rounding::half_up, false); });
}

void fold_above(Type type, const char* row, int64_t n, double real, int64_t whole, uint8_t* out) {
  by_key(type, [&]<class T, class K>() { compare_above<T, K>(as<T>(row), n, kFloat<K> ? K(real) : K(whole), out); });
}

}  // namespace
}  // namespace hp
