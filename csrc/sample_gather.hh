// SPDX-License-Identifier: MIT
// Samples of few channels with lanes along the output's pixels: every tap is a gather, nothing is turned but channels that come last.
// Internal linkage, see simd.hh.
#pragma once

#include "sample_taps.hh"

namespace hp {
namespace {

// A group's channels in an array of pixels.
struct Place {
  bool last;
  int64_t pixels, channels, groups;  // of a plane; of a group; of a sample
  int64_t first(int64_t b, int64_t channel) const {  // element of pixel 0
    return last ? b / groups * pixels * step() + b % groups * channels + channel : (b * channels + channel) * pixels;
  }
  int64_t step() const { return last ? groups * channels : 1; }  // to the next pixel
  int64_t apart() const { return last ? 1 : pixels; }            // to the next channel
};

Place place_of_input(const Sampling& job) { return {job.spec.x_last, job.cells, job.spec.channels, job.spec.groups}; }
Place place_of_output(const Sampling& job) { return {job.spec.out_last, job.pixels, job.spec.channels, job.spec.groups}; }

// x[step * cell] for every lane, 0 where the cell is -1.
template <class C, class T>
HP_INLINE V<C> gathered(const T* x, int32_t step, const int32_t* cell) {
  constexpr int L = kLanes<C>;
#if defined(__AVX512F__)
  if constexpr (kSame<T, float> && kSame<C, float>) {
    const __m512i at = _mm512_loadu_si512(cell);
    const __mmask16 inside = _mm512_cmpge_epi32_mask(at, _mm512_setzero_si512());
    return (V<C>)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), inside, step == 1 ? at : _mm512_mullo_epi32(at, _mm512_set1_epi32(step)), x, 4);
  }
  if constexpr (kSame<T, double> && kSame<C, double>) {
    const __m256i at = _mm256_loadu_si256((const __m256i*)cell);
    const __mmask8 inside = _mm256_cmpge_epi32_mask(at, _mm256_setzero_si256());
    return (V<C>)_mm512_mask_i32gather_pd(_mm512_setzero_pd(), inside, _mm256_mullo_epi32(at, _mm256_set1_epi32(step)), x, 8);
  }
#endif
  const T zero{};
  alignas(64) T some[L];
  HP_UNROLL for (int i = 0; i < L; ++i) some[i] = cell[i] < 0 ? zero : x[int64_t(cell[i]) * step];
  return widen<T, C>(some);
}

// `count` pixels of every channel to rows of their own, and back.
template <class C, class T>
void rows_in(const Place& place, const T* x, int64_t count, C (*rows)[kSampled]) {
  if (!place.last || place.channels == 1) {
    for (int64_t c = 0; c < place.channels; ++c) {
      if (place.step() == 1) widen_row<T, C>(x + c * place.apart(), count, rows[c]);
      else
        for (int64_t p = 0; p < count; ++p) widen_row<T, C>(x + p * place.step(), 1, rows[c] + p);
    }
    return;
  }
  C together[4 * kSampled];
  if (place.step() == place.channels) {
    widen_row<T, C>(x, count * place.channels, together);
  } else {
    for (int64_t p = 0; p < count; ++p) widen_row<T, C>(x + p * place.step(), place.channels, together + p * place.channels);
  }
  for (int64_t c = 0; c < place.channels; ++c)
    for (int64_t p = 0; p < count; ++p) rows[c][p] = together[p * place.channels + c];
}

template <class C, int D>
void interleave(const C (*rows)[kSampled], C* to) {
  constexpr int L = kLanes<C>;
  for (int p = 0; p < kSampled; p += L, to += D * L) {
    V<C> v[4] = {};
    HP_UNROLL for (int c = 0; c < D; ++c) v[c] = load_as<V<C>>(rows[c] + p);
    if constexpr (D == 3) {
      store_as(to, zip3<0>(v, LanesUpTo<L>{}));
      store_as(to + L, zip3<1>(v, LanesUpTo<L>{}));
      store_as(to + 2 * L, zip3<2>(v, LanesUpTo<L>{}));
    } else {
      if constexpr (D <= L) zip_all<V<C>, L, D>(v);
      HP_UNROLL for (int c = 0; c < D; ++c) store_as(to + c * L, v[c]);
    }
  }
}

template <class C, class T>
void rows_out(const Place& place, const C (*rows)[kSampled], int64_t count, T* out, bool stream) {
  const Rounding even = Rounding::half_even;
  const int64_t channels = place.channels;
  if (place.step() == 1) {
    for (int64_t c = 0; c < channels; ++c) store_row<T, C>(rows[c], count, out + c * place.apart(), even, stream);
    return;
  }
  C together[4 * kSampled];
  if (kLanes<C> >= 4 || channels < 4) {
    switch (channels) {
      case 1: interleave<C, 1>(rows, together); break;
      case 2: interleave<C, 2>(rows, together); break;
      case 3: interleave<C, 3>(rows, together); break;
      default: interleave<C, kLanes<C> >= 4 ? 4 : 1>(rows, together); break;
    }
  } else {
    for (int64_t p = 0; p < count; ++p)
      for (int64_t c = 0; c < channels; ++c) together[p * channels + c] = rows[c][p];
  }
  if (place.step() == channels) return store_row<T, C>(together, count * channels, out, even, stream);
  for (int64_t p = 0; p < count; ++p) store_row<T, C>(together + p * channels, channels, out + p * place.step(), even, false);
}

template <class C, class T, int K>
void gather_forward(const Sampling& job, int64_t task, char* arena) {
  const SampleSpec& s = job.spec;
  Taps<C>& taps = *reinterpret_cast<Taps<C>*>(arena);
  const Place in = place_of_input(job), out = place_of_output(job);
  const int64_t b = task / job.parts, begin = task % job.parts * job.part, end = smaller(job.pixels, begin + job.part);
  const T* x = reinterpret_cast<const T*>(job.x) + in.first(b, 0);
  T* to = reinterpret_cast<T*>(job.out) + out.first(b, 0);
  const int32_t step = int32_t(in.step());
  alignas(64) C rows[4][kSampled];
  for (int64_t p = begin; p < end; p += kSampled) {
    const int64_t count = smaller(kSampled, end - p);
    taps_of<C, false>(job, b, p, count, taps);
    for (int64_t i = 0; i < count; i += kLanes<C>)
      for (int64_t c = 0; c < s.channels; ++c) {
        V<C> sum;
        HP_UNROLL for (int k = 0; k < K; ++k) {
          const V<C> weight = load_as<V<C>>(taps.weight[k] + i), v = gathered<C, T>(x + c * in.apart(), step, taps.cell[k] + i);
          sum = k == 0 ? weight * v : madd<C>(weight, v, sum);
        }
        store_as(rows[c] + i, sum);
      }
    rows_out<C, T>(out, rows, count, to + p * out.step(), job.stream);
  }
}

// The gradient of positions for `count` pixels whose gradient is in rows: sums over channels, an axis in each row of `sums`.
template <class C, class T, int K, int N>
void gather_slopes(const Place& in, const T* x, const Taps<C>& taps, int64_t count, const C (*grad)[kSampled], C (*sums)[kSampled]) {
  const int32_t step = int32_t(in.step());
  for (int64_t i = 0; i < count; i += kLanes<C>) {
    V<C> dot[N] = {};
    for (int64_t c = 0; c < in.channels; ++c) {
      V<C> slope[N];
      HP_UNROLL for (int k = 0; k < K; ++k) {
        const V<C> v = gathered<C, T>(x + c * in.apart(), step, taps.cell[k] + i);
        HP_UNROLL for (int d = 0; d < N; ++d) {
          const V<C> by = load_as<V<C>>(taps.slope[d][k] + i);
          slope[d] = k == 0 ? by * v : madd<C>(by, v, slope[d]);
        }
      }
      HP_UNROLL for (int d = 0; d < N; ++d) dot[d] = madd<C>(load_as<V<C>>(grad[c] + i), slope[d], dot[d]);
    }
    HP_UNROLL for (int d = 0; d < N; ++d) store_as(sums[d] + i, dot[d]);
  }
}

}  // namespace
}  // namespace hp
