// SPDX-License-Identifier: MIT
// Element types: how each is read into the compute type and rounded back from it. Internal linkage, see simd.hh.
#pragma once

#include "job.hh"
#include "simd.hh"

namespace hp {
namespace {

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};
struct Bool {
  uint8_t bits;
};

template <class T>
struct Stored {
  using type = T;
};
template <>
struct Stored<Half> {
  using type = uint16_t;
};
template <>
struct Stored<BFloat> {
  using type = uint16_t;
};
template <>
struct Stored<Bool> {
  using type = uint8_t;
};

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;
template <class T>
constexpr bool kFloat = kSame<T, float> || kSame<T, double> || kSame<T, Half> || kSame<T, BFloat>;

inline float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
  if (exponent == 0) {  // zero or subnormal: exact as an integer times 2^-24
    float f = float(mantissa) * 0x1p-24f;
    return sign ? -f : f;
  }
  uint32_t bits = sign | ((exponent == 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
  return load_as<float>(&bits);
}
inline uint16_t float_to_half(float f) {  // to nearest, ties to even
  uint32_t bits = load_as<uint32_t>(&f), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal: let the adder round at 2^-24
    float shifted = load_as<float>(&magnitude) + 0.5f;
    return uint16_t(sign | (load_as<uint32_t>(&shifted) - 0x3f000000));
  }
  uint32_t rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1);
  return uint16_t(sign | (rounded >> 13));
}

// Small integers to one register of int32 and back. GCC 12 splits these conversions into many steps when left to itself.
template <class T>
inline V<int32_t> widen_int(const T* p) {
#if defined(__AVX512F__)
  if constexpr (kSame<T, uint8_t>) return (V<int32_t>)_mm512_cvtepu8_epi32(load_as<__m128i>(p));
  if constexpr (kSame<T, int8_t>) return (V<int32_t>)_mm512_cvtepi8_epi32(load_as<__m128i>(p));
  if constexpr (kSame<T, uint16_t>) return (V<int32_t>)_mm512_cvtepu16_epi32(load_as<__m256i>(p));
  if constexpr (kSame<T, int16_t>) return (V<int32_t>)_mm512_cvtepi16_epi32(load_as<__m256i>(p));
#elif defined(__AVX2__)
  if constexpr (kSame<T, uint8_t>) return (V<int32_t>)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  if constexpr (kSame<T, int8_t>) return (V<int32_t>)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
  if constexpr (kSame<T, uint16_t>) return (V<int32_t>)_mm256_cvtepu16_epi32(load_as<__m128i>(p));
  if constexpr (kSame<T, int16_t>) return (V<int32_t>)_mm256_cvtepi16_epi32(load_as<__m128i>(p));
#elif defined(__SSE4_1__)
  if constexpr (kSame<T, uint8_t>) return (V<int32_t>)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(load_as<int32_t>(p)));
  if constexpr (kSame<T, int8_t>) return (V<int32_t>)_mm_cvtepi8_epi32(_mm_cvtsi32_si128(load_as<int32_t>(p)));
  if constexpr (kSame<T, uint16_t>) return (V<int32_t>)_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i*)p));
  if constexpr (kSame<T, int16_t>) return (V<int32_t>)_mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i*)p));
#endif
  return __builtin_convertvector((load_as<Vec<T, kLanes<int32_t>>>(p)), V<int32_t>);
}

template <class S>
inline Vec<S, kLanes<int32_t>> narrow_int(V<int32_t> v) {  // v lies in S's range
  typedef Vec<S, kLanes<int32_t>> Out;
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 1) return (Out)_mm512_cvtepi32_epi8((__m512i)v);
  else return (Out)_mm512_cvtepi32_epi16((__m512i)v);
#elif defined(__AVX2__)
  const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
  if constexpr (sizeof(S) == 2) return Limits<S>::is_signed ? (Out)_mm_packs_epi32(low, high) : (Out)_mm_packus_epi32(low, high);
  else {
    const __m128i words = _mm_packs_epi32(low, high), bytes = Limits<S>::is_signed ? _mm_packs_epi16(words, words) : _mm_packus_epi16(words, words);
    return load_as<Out>(&bytes);
  }
#elif defined(__SSE4_1__)
  const __m128i words = Limits<S>::is_signed || sizeof(S) == 1 ? _mm_packs_epi32((__m128i)v, (__m128i)v) : _mm_packus_epi32((__m128i)v, (__m128i)v);
  if constexpr (sizeof(S) == 2) return load_as<Out>(&words);
  else {
    const __m128i bytes = Limits<S>::is_signed ? _mm_packs_epi16(words, words) : _mm_packus_epi16(words, words);
    return load_as<Out>(&bytes);
  }
#else
  return __builtin_convertvector(v, Out);
#endif
}

template <class T, class C>
inline V<C> widen(const T* p) {
  constexpr int L = kLanes<C>;
  if constexpr (kSame<T, C>) {
    return load_as<V<C>>(p);
  } else if constexpr (kSame<T, Half>) {
#if defined(__AVX512F__)
    if constexpr (sizeof(C) == 4) return (V<C>)_mm512_cvtph_ps(load_as<__m256i>(p));
#elif defined(__F16C__)
    if constexpr (sizeof(C) == 4) return (V<C>)_mm256_cvtph_ps(load_as<__m128i>(p));
#endif
    V<C> v;
    HP_UNROLL for (int i = 0; i < L; ++i) v[i] = C(half_to_float(p[i].bits));
    return v;
  } else if constexpr (kSame<T, BFloat>) {
    if constexpr (kSame<C, float>) return (V<C>)(widen_int<uint16_t>(reinterpret_cast<const uint16_t*>(p)) << 16);
    Vec<uint32_t, L> bits = __builtin_convertvector((load_as<Vec<uint16_t, L>>(p)), Vec<uint32_t, L>) << 16;
    return __builtin_convertvector((Vec<float, L>)bits, V<C>);
  } else if constexpr (kSame<T, Bool>) {
    Vec<uint8_t, L> v = load_as<Vec<uint8_t, L>>(p);
    return __builtin_convertvector((v != 0) & 1, V<C>);
  } else if constexpr (sizeof(T) <= 2 && kSame<C, float>) {
    return __builtin_convertvector(widen_int<T>(p), V<C>);
  } else if constexpr (sizeof(T) <= 2 && kSame<C, int32_t>) {
    return widen_int<T>(p);
  } else {
    return __builtin_convertvector((load_as<Vec<T, L>>(p)), V<C>);
  }
}

template <class C>
inline V<C> rounded(V<C> v, Rounding rounding) {  // exact for every v: no half is added before the fraction is known
  V<C> whole;
  HP_UNROLL for (int i = 0; i < kLanes<C>; ++i) whole[i] = sizeof(C) == 4 ? C(__builtin_truncf(float(v[i]))) : C(__builtin_trunc(double(v[i])));
  V<C> part = v - whole, half = splat<C>(C(0.5)), one = splat<C>(1), zero = splat<C>(0);
  switch (rounding) {
    case Rounding::half_up: return whole + (part >= half ? one : zero) - (part < -half ? one : zero);
    case Rounding::half_away: return whole + (part >= half ? one : zero) - (part <= -half ? one : zero);
    case Rounding::truncate: return whole;
    case Rounding::half_even: break;
  }
  V<C> halved = whole * half, even;
  HP_UNROLL for (int i = 0; i < kLanes<C>; ++i) even[i] = sizeof(C) == 4 ? C(__builtin_truncf(float(halved[i]))) : C(__builtin_trunc(double(halved[i])));
  auto odd = even != halved;
  auto up = (part > half) | ((part == half) & odd), down = (part < -half) | ((part == -half) & odd);
  return whole + (up ? one : zero) - (down ? one : zero);
}

// To float on the way to something shorter: where a double does not fit, towards zero with the last bit set, so that the rounding
// that follows is the only one.
template <class C>
inline Vec<float, kLanes<C>> to_odd_float(V<C> v) {
  const auto single = __builtin_convertvector(v, Vec<float, kLanes<C>>);
  if constexpr (kSame<C, double>) {
    typedef Vec<int32_t, kLanes<C>> Bits;
    const V<C> back = __builtin_convertvector(single, V<C>);
    const auto further = (back < 0 ? -back : back) > (v < 0 ? -v : v), differs = back != v;  // comparisons give -1
    return (Vec<float, kLanes<C>>)(((Bits)single + __builtin_convertvector(further, Bits)) | (__builtin_convertvector(differs, Bits) & 1));
  } else {
    return single;
  }
}

// The value as stored, one register of C to one vector of T. NaN becomes 0 in integers; out of range saturates.
template <class T, class C>
inline Vec<typename Stored<T>::type, kLanes<C>> narrow(V<C> v, Rounding rounding) {
  constexpr int L = kLanes<C>;
  using S = typename Stored<T>::type;
  if constexpr (kSame<T, C>) {
    return v;
  } else if constexpr (kSame<T, Half>) {
#if defined(__AVX512F__)
    if constexpr (sizeof(C) == 4) return (Vec<S, L>)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__F16C__)
    if constexpr (sizeof(C) == 4) return (Vec<S, L>)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#endif
    Vec<S, L> out;
    const Vec<float, L> single = to_odd_float<C>(v);
    HP_UNROLL for (int i = 0; i < L; ++i) out[i] = float_to_half(single[i]);
    return out;
  } else if constexpr (kSame<T, BFloat>) {
    Vec<uint32_t, L> bits = (Vec<uint32_t, L>)to_odd_float<C>(v);
    Vec<uint32_t, L> up = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    Vec<uint32_t, L> nan = (bits >> 16) | 0x40;
    const Vec<uint32_t, L> chosen = (bits & 0x7fffffff) > 0x7f800000 ? nan : up;
    if constexpr (kSame<C, float>) return narrow_int<S>((V<int32_t>)chosen);
    return __builtin_convertvector(chosen, Vec<S, L>);
  } else if constexpr (kSame<T, Bool>) {
    if constexpr (kSame<C, int32_t>) return __builtin_convertvector((v != 0) & 1, Vec<S, L>);
    else return __builtin_convertvector((v >= splat<C>(C(0.5))) & 1, Vec<S, L>);
  } else if constexpr (kSame<T, float> || kSame<T, double>) {
    return __builtin_convertvector(v, Vec<S, L>);
  } else if constexpr (kSame<C, int32_t>) {
    if constexpr (sizeof(S) < 4) {
      V<C> low = splat<C>(Limits<S>::low), high = splat<C>(Limits<S>::high);
      v = v < low ? low : v;
      v = v > high ? high : v;
      return narrow_int<S>(v);
    }
    return __builtin_convertvector(v, Vec<S, L>);
  } else if constexpr (sizeof(S) < 4 && sizeof(C) == 4) {
    // Clamping first is exact, and it keeps the conversion in range; the first comparison also sends NaN to 0.
    V<C> low = splat<C>(C(Limits<S>::low)), high = splat<C>(C(Limits<S>::high));
    if constexpr (Limits<S>::low == 0) {
      // Adding the half first is exact here but for the one value below 0.5, and saves half of the work.
      if (rounding == Rounding::half_up) {
        v = (v > low ? v : low) + splat<C>(C(0.5));
#if defined(__AVX512F__)
        const __m512i whole = _mm512_cvttps_epi32((__m512)v);  // out of range gives 2^31, which saturates below
        if constexpr (sizeof(S) == 1) return (Vec<S, L>)_mm512_cvtusepi32_epi8(whole);
        else return (Vec<S, L>)_mm512_cvtusepi32_epi16(whole);
#else
        v = v < high ? v : high;
        return narrow_int<S>(__builtin_convertvector(v, Vec<int32_t, L>));
#endif
      }
    }
    if constexpr (Limits<S>::low < 0) v = v == v ? v : V<C>{};
    v = v > low ? v : low;
    v = v < high ? v : high;
    if (rounding != Rounding::half_up) return narrow_int<S>(__builtin_convertvector(rounded<C>(v, rounding), Vec<int32_t, L>));
    Vec<int32_t, L> whole = __builtin_convertvector(v, Vec<int32_t, L>);
    V<C> part = v - __builtin_convertvector(whole, V<C>);
    whole -= part >= splat<C>(C(0.5));  // comparisons give -1
    if constexpr (Limits<S>::low < 0) whole += part < splat<C>(C(-0.5));
    return narrow_int<S>(whole);
  } else {
    V<C> r = rounded<C>(v, rounding);
    Vec<S, L> out;
    for (int i = 0; i < L; ++i) {
      C x = r[i];
      if (!(x > C(Limits<S>::low))) out[i] = x == x ? Limits<S>::low : S(0);
      else if (x >= Limits<S>::template above<C>()) out[i] = Limits<S>::high;
      else out[i] = S(x);
    }
    return out;
  }
}

}  // namespace
}  // namespace hp
