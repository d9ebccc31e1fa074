// SPDX-License-Identifier: MIT
// Vectors of one register, in the words of GCC's vector extension, with intrinsics only where the extension has none.
//
// This header belongs to translation units that are compiled once per instruction set. Everything in it has internal linkage
// (an anonymous namespace), and such units use no standard-library templates: otherwise the linker could keep the AVX-512 copy
// of a shared inline function for a processor that lacks it.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// The loops over the registers of a block must become straight code, at -O2 too.
#define HP_UNROLL _Pragma("GCC unroll 64")
// Sums that live in registers must not cross a call.
#define HP_INLINE inline __attribute__((always_inline))

namespace hp {
namespace {

#if defined(__AVX512F__)
constexpr int kRegister = 64;
#elif defined(__AVX2__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif

template <class T, int N>
struct VecOf {
  typedef T type __attribute__((vector_size(sizeof(T) * N)));
};
template <class T, int N>
using Vec = typename VecOf<T, N>::type;

template <class C>
constexpr int kLanes = kRegister / int(sizeof(C));
template <class C>
using V = Vec<C, kLanes<C>>;

template <class X>
inline X load_as(const void* p) {
  X x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
template <class X>
inline void store_as(void* p, X x) {
  __builtin_memcpy(p, &x, sizeof x);
}
template <class C>
inline V<C> splat(C x) {
  return x - V<C>{};  // x + 0 would turn -0.0 into +0.0
}

// One multiply-add, fused exactly where the instruction set has it, the same for vectors and scalars.
template <class C>
inline V<C> madd(V<C> a, V<C> b, V<C> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(C) == 4 && C(0.5) != 0) return (V<C>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  if constexpr (sizeof(C) == 8 && C(0.5) != 0) return (V<C>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(C) == 4 && C(0.5) != 0) return (V<C>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  if constexpr (sizeof(C) == 8 && C(0.5) != 0) return (V<C>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)  // by name: a compiler fuses a sum with its product only where both stand in one block
  if constexpr (sizeof(C) == 4 && C(0.5) != 0) return (V<C>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  if constexpr (sizeof(C) == 8 && C(0.5) != 0) return (V<C>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
  return c + a * b;
}
template <class C>
inline Vec<C, 4> madd4(Vec<C, 4> a, Vec<C, 4> b, Vec<C, 4> c) {
#if defined(__AVX2__) && defined(__FMA__)
  if constexpr (sizeof(C) == 4 && C(0.5) != 0) return (Vec<C, 4>)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
  if constexpr (sizeof(C) == 8 && C(0.5) != 0) return (Vec<C, 4>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  if constexpr (sizeof(C) == 4 && C(0.5) != 0) return (Vec<C, 4>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  if constexpr (sizeof(C) == 8 && C(0.5) != 0) {
    HP_UNROLL for (int i = 0; i < 4; ++i) c[i] = C(__builtin_fma(a[i], b[i], c[i]));
    return c;
  }
#endif
  return c + a * b;
}
template <class C>
inline C madd1(C a, C b, C c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  if constexpr (C(0.5) != 0) return sizeof(C) == 4 ? C(__builtin_fmaf(float(a), float(b), float(c))) : C(__builtin_fma(a, b, c));
#endif
  return c + a * b;
}

// A product that may not be fused with the sum that follows.
template <class X>
inline X apart(X product) {
#if defined(__x86_64__)
  asm("" : "+x"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#endif
  return product;
}

// Stores past the caches. The address must be aligned to the size of the value.
template <class X>
inline void store_stream(void* p, X x) {
#if defined(__AVX512F__)
  if constexpr (sizeof x == 64) return _mm512_stream_si512((__m512i*)p, (__m512i)x);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof x == 32) return _mm256_stream_si256((__m256i*)p, (__m256i)x);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof x == 16) return _mm_stream_si128((__m128i*)p, (__m128i)x);
#endif
  store_as(p, x);
}
inline void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Lane numbers moved on by n.
template <class C>
inline V<int64_t> moved(V<int64_t> index, int64_t n) {
  if constexpr (sizeof(C) == 4) return (V<int64_t>)((V<int32_t>)index + splat<int32_t>(int32_t(n)));
  else return index + splat<int64_t>(n);
}

// How lanes find their inputs: by permuting 1, 2 or 4 registers loaded from consecutive addresses, or one by one.
enum Reach : int { kReach1 = 1, kReach2 = 2, kReach4 = 4, kReachAny = 0 };

#if defined(__AVX512F__)
constexpr bool kPermutes = true;
template <class C>
inline V<C> permute2(V<C> a, V<C> b, V<int64_t> index) {
  if constexpr (sizeof(C) == 4) return (V<C>)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
  else return (V<C>)_mm512_permutex2var_pd((__m512d)a, (__m512i)index, (__m512d)b);
}
template <class C, int R>
inline V<C> pick(const C* p, V<int64_t> index, const int32_t* lane) {
  constexpr int L = kLanes<C>;
  if constexpr (R == kReach1) {
    if constexpr (sizeof(C) == 4) return (V<C>)_mm512_permutexvar_ps((__m512i)index, (__m512)load_as<V<C>>(p));
    else return (V<C>)_mm512_permutexvar_pd((__m512i)index, (__m512d)load_as<V<C>>(p));
  } else if constexpr (R == kReach2) {
    return permute2<C>(load_as<V<C>>(p), load_as<V<C>>(p + L), index);
  } else if constexpr (R == kReach4) {
    V<C> low = permute2<C>(load_as<V<C>>(p), load_as<V<C>>(p + L), index);
    V<C> high = permute2<C>(load_as<V<C>>(p + 2 * L), load_as<V<C>>(p + 3 * L), index);
    if constexpr (sizeof(C) == 4) {
      __mmask16 upper = _mm512_test_epi32_mask((__m512i)index, _mm512_set1_epi32(2 * L));
      return (V<C>)_mm512_mask_blend_ps(upper, (__m512)low, (__m512)high);
    } else {
      __mmask8 upper = _mm512_test_epi64_mask((__m512i)index, _mm512_set1_epi64(2 * L));
      return (V<C>)_mm512_mask_blend_pd(upper, (__m512d)low, (__m512d)high);
    }
  } else {
    V<C> v;
    HP_UNROLL for (int i = 0; i < L; ++i) v[i] = p[lane[i]];
    return v;
  }
}
#elif defined(__AVX2__)
constexpr bool kPermutes = true;
template <class C, int R>
inline V<C> pick(const C* p, V<int64_t> index, const int32_t* lane) {
  constexpr int L = kLanes<C>;
  if constexpr (sizeof(C) == 4 && R == kReach1) {
    return (V<C>)_mm256_permutevar8x32_ps((__m256)load_as<V<C>>(p), (__m256i)index);
  } else if constexpr (sizeof(C) == 4 && (R == kReach2 || R == kReach4)) {
    auto two = [&](const C* q) {
      __m256 low = _mm256_permutevar8x32_ps((__m256)load_as<V<C>>(q), (__m256i)index);
      __m256 high = _mm256_permutevar8x32_ps((__m256)load_as<V<C>>(q + L), (__m256i)index);
      return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)index, 28)));  // bit 3 chooses
    };
    if constexpr (R == kReach2) return (V<C>)two(p);
    else return (V<C>)_mm256_blendv_ps(two(p), two(p + 2 * L), _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)index, 27)));
  } else {
    V<C> v;
    HP_UNROLL for (int i = 0; i < L; ++i) v[i] = p[lane[i]];
    return v;
  }
}
#else
constexpr bool kPermutes = false;
template <class C, int R>
inline V<C> pick(const C* p, V<int64_t>, const int32_t* lane) {
  V<C> v;
  HP_UNROLL for (int i = 0; i < kLanes<C>; ++i) v[i] = p[lane[i]];
  return v;
}
#endif

}  // namespace
}  // namespace hp
