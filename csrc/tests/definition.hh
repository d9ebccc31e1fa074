// SPDX-License-Identifier: MIT
// The definition of a Program in plain loops over whole arrays, and random cases for it. Nothing here is shared with the kernels
// but the description of a pass. Compile without contraction: the fused multiply-adds are written out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "band.hh"

namespace definition {

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};
struct Bool {
  uint8_t bits;
};

inline double pow2(int e) { return std::ldexp(1.0, e); }

// To `digits` binary digits, ties to even, exponents from `least` on: from the definition, without looking at bits.
inline double nearest(double v, int digits, int least) {
  if (v == 0 || !std::isfinite(v)) return v;
  const double unit = pow2(std::max(std::ilogb(v), least) - digits + 1);
  return std::nearbyint(v / unit) * unit;
}

template <class T, class C>
C load(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  if constexpr (std::is_same_v<T, Half>) {
    const int exponent = (v.bits >> 10) & 31, mantissa = v.bits & 1023;
    const double magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY) : exponent ? (1024 + mantissa) * pow2(exponent - 25) : mantissa * pow2(-24);
    return C(v.bits & 0x8000 ? -magnitude : magnitude);
  } else if constexpr (std::is_same_v<T, BFloat>) {
    const uint32_t bits = uint32_t(v.bits) << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return C(f);
  } else if constexpr (std::is_same_v<T, Bool>) {
    return C(v.bits != 0);
  } else {
    return C(v);
  }
}

inline double whole(double v, hp::Rounding rounding) {
  const double down = std::floor(v), part = v - down;
  switch (rounding) {
    case hp::Rounding::half_up: return part >= 0.5 ? down + 1 : down;
    case hp::Rounding::half_away: return part > 0.5 || (part == 0.5 && v > 0) ? down + 1 : down;
    case hp::Rounding::half_even: return part > 0.5 || (part == 0.5 && std::fmod(down, 2) != 0) ? down + 1 : down;
    case hp::Rounding::truncate: return std::trunc(v);
  }
  return v;
}

template <class T>
T saturated(double v, hp::Rounding rounding) {
  using L = std::numeric_limits<T>;
  if (std::isnan(v)) return 0;
  v = std::isinf(v) ? v : whole(v, rounding);
  if (v <= double(L::min())) return L::min();
  return v >= double(L::max()) ? L::max() : T(v);  // double(max) of 64 bits is max + 1, and then so is the comparison
}

template <class T, class C>
void store(char* p, C v, hp::Rounding rounding) {
  T out;
  if constexpr (std::is_same_v<T, Half>) {
    const double r = nearest(double(v), 11, -14), m = std::fabs(r);
    int bits = std::isnan(r) ? 0x7e00 : m >= 65520 ? 0x7c00 : 0;
    if (!bits && m > 0) bits = m < pow2(-14) ? int(m * pow2(24)) : int(m * pow2(10 - std::ilogb(m))) - 1024 + ((std::ilogb(m) + 15) << 10);
    out.bits = uint16_t(bits | (std::signbit(r) ? 0x8000 : 0));
  } else if constexpr (std::is_same_v<T, BFloat>) {
    const float f = float(nearest(double(v), 8, -126));
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    out.bits = std::isnan(f) ? uint16_t(0x7fc0) : uint16_t(bits >> 16);
  } else if constexpr (std::is_same_v<T, Bool>) {
    out.bits = std::is_same_v<C, int32_t> ? v != 0 : v >= C(0.5);
  } else if constexpr (std::is_floating_point_v<T>) {
    out = T(v);
  } else {
    out = saturated<T>(double(v), rounding);
  }
  std::memcpy(p, &out, sizeof out);
}

template <class C>
C tap(C w, C x, C sum, const hp::Post& post, bool fused) {
  if constexpr (std::is_same_v<C, int32_t>) return sum + ((w * (x >> post.pre)) >> post.tap_shift);
  else return fused && post.kind == hp::Post::none ? std::fma(w, x, sum) : sum + w * x;  // posts are not fused
}

template <class C>
C finish(C v, const hp::Post& post) {
  if constexpr (std::is_same_v<C, int32_t>) {
    if (post.kind != hp::Post::fixed) return v;
    if (post.shift) v = (v + (1 << (post.shift - 1))) >> post.shift;
    return std::min(std::max(v, C(post.low)), C(post.high));
  } else {
    if (post.kind == hp::Post::float32) return C(float(v));
    if (post.kind != hp::Post::round_away || std::isnan(v)) return v;
    return std::min(std::max(C(whole(double(v), hp::Rounding::half_away)) + 0, C(post.low)), C(post.high));  // a zero is +0
  }
}

// One pass over a dense array of `outer` x n x `inner`.
template <class C>
std::vector<C> passed(const std::vector<C>& x, const hp::PassSpec& pass, int64_t outer, int64_t inner, bool fused) {
  std::vector<C> y(size_t(outer * pass.n_out * inner));
  for (int64_t a = 0; a < outer; ++a)
    for (int64_t o = 0; o < pass.n_out; ++o)
      for (int64_t c = 0; c < inner; ++c) {
        C sum = pass.bias.empty() ? C(-0.0) : C(pass.bias[size_t(o)]);
        for (int k = 0; k < pass.taps; ++k) {
          const double w = pass.weight[size_t(o * pass.taps + k)];
          if (w == 0) continue;
          const int64_t i = (pass.start[size_t(o)] + k) % pass.n_in;
          sum = tap<C>(C(w), x[size_t((a * pass.n_in + i) * inner + c)], sum, pass.post, fused);
        }
        y[size_t((a * pass.n_out + o) * inner + c)] = finish<C>(sum, pass.post);
      }
  return y;
}

template <class F>
void each_index(const std::vector<int64_t>& shape, F body) {
  std::vector<int64_t> at(shape.size(), 0);
  for (;;) {
    body(at);
    int d = int(shape.size()) - 1;
    for (; d >= 0 && ++at[size_t(d)] == shape[size_t(d)]; --d) at[size_t(d)] = 0;
    if (d < 0) return;
  }
}

inline int64_t offset(const hp::Array& a, const std::vector<int64_t>& at) {
  int64_t sum = 0;
  for (size_t d = 0; d < at.size(); ++d) sum += at[d] * a.stride[d];
  return sum;
}

// What Program::run promises to write, at the same places.
template <class C, class T>
void run(const std::vector<hp::PassSpec>& passes, hp::Rounding rounding, bool copies, bool fused, const hp::Array& x, const hp::Array& out) {
  if (copies) {
    each_index(out.shape, [&](std::vector<int64_t> at) {
      char* to = out.data + offset(out, at) * int64_t(sizeof(T));
      for (const auto& pass : passes) {
        int64_t& i = at[size_t(int(at.size()) + pass.axis)];
        const double* w = pass.weight.data() + i * pass.taps;
        int k = 0;
        while (w[k] == 0) ++k;
        i = (pass.start[size_t(i)] + k) % pass.n_in;
      }
      std::memcpy(to, x.data + offset(x, at) * int64_t(sizeof(T)), sizeof(T));
    });
    return;
  }
  std::vector<C> v;
  each_index(x.shape, [&](const std::vector<int64_t>& at) { v.push_back(load<T, C>(x.data + offset(x, at) * int64_t(sizeof(T)))); });
  std::vector<int64_t> shape = x.shape;
  for (const auto& pass : passes) {
    const size_t d = size_t(int(shape.size()) + pass.axis);
    int64_t outer = 1, inner = 1;
    for (size_t e = 0; e < shape.size(); ++e) (e < d ? outer : inner) *= e == d ? 1 : shape[e];
    v = passed<C>(v, pass, outer, inner, fused);
    shape[d] = pass.n_out;
  }
  size_t i = 0;
  each_index(out.shape, [&](const std::vector<int64_t>& at) { store<T, C>(out.data + offset(out, at) * int64_t(sizeof(T)), v[i++], rounding); });
}

}  // namespace definition
