// SPDX-License-Identifier: MIT
// Depthwise transposed convolution and its gradients against loops in double: every type, geometry, order of memory, number of
// threads and instruction set.
//
//   depthwise_test [cases [first seed]]      a failure prints its seed; `depthwise_test 1 SEED` runs it alone
#include "depthwise.hh"

#include <algorithm>
#include <cmath>
#include <functional>

#include "cases.hh"
#include "definition.hh"
#include "parallel.hh"

namespace {

using definition::load;
using hp::Type;

constexpr int64_t kMargin = 1024;  // bytes

// Elements between margins of NaN, or in an allocation as long as they are, where a sanitizer sees one too many.
template <class T>
struct Guarded {
  std::vector<T> all;
  int64_t margin;

  Guarded(int64_t count, bool margins) : margin(margins ? kMargin / int64_t(sizeof(T)) : 0) {
    all.resize(size_t(count + 2 * margin));
    std::memset(all.data(), 0xFF, all.size() * sizeof(T));
    all.shrink_to_fit();
  }
  T* data() { return all.data() + margin; }
  char* bytes() { return reinterpret_cast<char*>(data()); }
  int64_t size() const { return int64_t(all.size()) - 2 * margin; }
  double at(int64_t i) const { return load<T, double>(reinterpret_cast<const char*>(all.data() + margin + i)); }
  bool kept() const {
    const auto untouched = [&](int64_t i) {
      const unsigned char* p = reinterpret_cast<const unsigned char*>(all.data() + i);
      return std::all_of(p, p + sizeof(T), [](unsigned char c) { return c == 0xFF; });
    };
    for (int64_t i = 0; i < margin; ++i)
      if (!untouched(i) || !untouched(int64_t(all.size()) - 1 - i)) return false;
    return true;
  }
};

hp::DepthwiseSpec random_spec(Random& r) {
  hp::DepthwiseSpec s{};
  const bool large = r.chance(3);
  s.last = r.chance(40);
  s.batch = 1 + r.upto(3);
  s.channels = s.last ? r.of({1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 97}) : 1 + r.upto(5);
  s.each = s.last ? 1 : r.of({1, 1, 1, 2, 3});
  for (int d = 0; d < 3; ++d) {
    const bool flat = d == 0 ? r.chance(60) : r.chance(15);
    s.kernel[d] = flat ? 1 : r.chance(8) ? 1 + r.upto(17) : 1 + r.upto(5);
    s.stride[d] = r.chance(15) ? 1 + r.upto(20) : 1 + r.upto(4);
    s.dilation[d] = r.chance(25) ? 1 + r.upto(7) : 1;
    s.padding[d] = r.chance(8) ? r.upto(40) : r.upto(s.kernel[d] + 1);
    s.in[d] = d == 2 ? (r.chance(50) ? 1 + r.upto(40) : r.of({1, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65})) : 1 + r.upto(flat ? 3 : 8);
    if (s.last) s.in[d] = std::min<int64_t>(s.in[d], 17);
    if (large && d > 0) s.in[d] = s.last ? r.of({23, 41}) : r.of({61, 130});
    const int64_t size = (s.in[d] - 1) * s.stride[d] - 2 * s.padding[d] + s.dilation[d] * (s.kernel[d] - 1) + 1 + r.upto(s.stride[d]);
    s.out[d] = std::max<int64_t>(size, r.chance(20) ? 0 : 1);
    if (r.chance(5)) s.out[d] = 1 + r.upto(30);  // the contract asks for no relation
    if (d == 2 && large && r.chance(20)) s.in[d] = 2500, s.out[d] = s.last ? 2600 : 5003;
  }
  if (s.last && large) s.channels = std::min<int64_t>(s.channels, 17);
  if (large) s.batch = 1, s.in[0] = 1, s.out[0] = std::min<int64_t>(s.out[0], 2);
  return s;
}

struct Layout {
  const hp::DepthwiseSpec& s;
  int64_t in(int64_t n, int64_t c, const int64_t* p) const { return place(s.in, s.channels, n, c, p); }
  int64_t out(int64_t n, int64_t c, const int64_t* p) const { return place(s.out, s.channels * s.each, n, c, p); }
  int64_t place(const int64_t* size, int64_t channels, int64_t n, int64_t c, const int64_t* p) const {
    const int64_t at = (p[0] * size[1] + p[1]) * size[2] + p[2], all = size[0] * size[1] * size[2];
    return s.last ? (n * all + at) * channels + c : (n * channels + c) * all + at;
  }
};

// f(place in x, in out, in weight) of every product of the definition.
void each_product(const hp::DepthwiseSpec& s, const std::function<void(int64_t, int64_t, int64_t)>& f) {
  const Layout at{s};
  const int64_t taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  int64_t o[3], k[3], q[3];
  for (o[0] = 0; o[0] < s.in[0]; ++o[0])
    for (o[1] = 0; o[1] < s.in[1]; ++o[1])
      for (o[2] = 0; o[2] < s.in[2]; ++o[2])
        for (k[0] = 0; k[0] < s.kernel[0]; ++k[0])
          for (k[1] = 0; k[1] < s.kernel[1]; ++k[1])
            for (k[2] = 0; k[2] < s.kernel[2]; ++k[2]) {
              bool inside = true;
              for (int d = 0; d < 3; ++d) {
                q[d] = o[d] * s.stride[d] + k[d] * s.dilation[d] - s.padding[d];
                inside = inside && q[d] >= 0 && q[d] < s.out[d];
              }
              if (!inside) continue;
              const int64_t tap = (k[0] * s.kernel[1] + k[1]) * s.kernel[2] + k[2];
              for (int64_t n = 0; n < s.batch; ++n)
                for (int64_t c = 0; c < s.channels * s.each; ++c) f(at.in(n, c / s.each, o), at.out(n, c, q), c * taps + tap);
            }
}

// Sums, and the sums of their terms' magnitudes, to which errors are relative.
struct Sums {
  std::vector<double> value, size;
  explicit Sums(int64_t n) : value(size_t(n)), size(size_t(n)) {}
  void add(int64_t i, double v) {
    value[size_t(i)] += v;
    size[size_t(i)] += std::fabs(v);
  }
};

template <class T>
void compare(Guarded<T>& got, const Sums& want, double unit, double stored, double least, const char* what, const hp::DepthwiseSpec& s) {
  for (int64_t i = 0; i < got.size(); ++i) {
    const double v = got.at(i), w = want.value[size_t(i)], room = unit * want.size[size_t(i)] + stored * std::fabs(w) + least;
    EXPECT(std::fabs(v - w) <= room, "%s[%lld] is %.9g, not %.9g: last %d batch %lld channels %lld each %lld in %lld %lld %lld out %lld %lld %lld kernel "
           "%lld %lld %lld stride %lld %lld %lld padding %lld %lld %lld dilation %lld %lld %lld", what, (long long)i, v, w, s.last,
           (long long)s.batch, (long long)s.channels, (long long)s.each, (long long)s.in[0], (long long)s.in[1], (long long)s.in[2],
           (long long)s.out[0], (long long)s.out[1], (long long)s.out[2], (long long)s.kernel[0], (long long)s.kernel[1], (long long)s.kernel[2],
           (long long)s.stride[0], (long long)s.stride[1], (long long)s.stride[2], (long long)s.padding[0], (long long)s.padding[1],
           (long long)s.padding[2], (long long)s.dilation[0], (long long)s.dilation[1], (long long)s.dilation[2]);
  }
  EXPECT(got.kept(), "%s: memory beside it was written", what);
}

template <class T>
void fill(Guarded<T>& a, Random& r) {
  for (int64_t i = 0; i < a.size(); ++i) {
    const double v = double(r.upto(2001) - 1000) / 1000;
    definition::store<T, double>(reinterpret_cast<char*>(a.data() + i), v, hp::Rounding::half_up);
  }
}

template <class T, class C>
void convolves(Random& r, Type type) {
  const hp::DepthwiseSpec s = random_spec(r);
  const int64_t places = s.in[0] * s.in[1] * s.in[2], outs = s.out[0] * s.out[1] * s.out[2], taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  if (places * s.batch * s.channels * s.each * taps > 3000000) return;
  const bool margins = r.chance(50), with_bias = r.chance(50);
  const int64_t all = s.channels * s.each;
  Guarded<T> x(s.batch * s.channels * places, margins), out(s.batch * all * outs, margins), grad(s.batch * all * outs, margins);
  Guarded<C> weight(all * taps, margins), bias(all, margins);
  fill(x, r), fill(grad, r), fill(weight, r), fill(bias, r);
  Sums made(out.size()), of_x(x.size()), of_weight(weight.size());
  if (with_bias) {
    const Layout at{s};
    int64_t q[3];
    for (int64_t n = 0; n < s.batch; ++n)
      for (int64_t c = 0; c < all; ++c)
        for (q[0] = 0; q[0] < s.out[0]; ++q[0])
          for (q[1] = 0; q[1] < s.out[1]; ++q[1])
            for (q[2] = 0; q[2] < s.out[2]; ++q[2]) made.add(at.out(n, c, q), bias.at(c));
  }
  each_product(s, [&](int64_t i, int64_t o, int64_t k) {
    made.add(o, x.at(i) * weight.at(k));
    of_x.add(i, grad.at(o) * weight.at(k));
    of_weight.add(k, grad.at(o) * x.at(i));
  });
  const double unit = sizeof(C) == 4 ? 0x1p-24 : 0x1p-53, stored = sizeof(T) == sizeof(C) ? unit : type == Type::f16 ? 0x1p-11 : 0x1p-8;
  const double least = type == Type::f16 ? 0x1p-25 : 1e-300, sum = double(taps * s.each + 4) * unit;
  // In double or in lanes of kFlush, then rounded once.
  const double flushed = (double(sizeof(C) == 4 ? hp::kFlush : s.batch * places) + 4) * unit;

  hp::set_num_threads(1 + int(r.upto(3)));
  hp::depthwise(s, type, x.bytes(), weight.bytes(), with_bias ? bias.bytes() : nullptr, out.bytes());
  compare(out, made, sum, stored, least, "out", s);
  Guarded<T> grad_x(x.size(), margins);
  Guarded<C> grad_weight(weight.size(), margins);
  hp::depthwise_back(s, type, grad.bytes(), x.bytes(), weight.bytes(), grad_x.bytes(), grad_weight.bytes());
  compare(grad_x, of_x, sum, stored, least, "grad_x", s);
  compare(grad_weight, of_weight, flushed, unit, 1e-300, "grad_weight", s);

  // Bit by bit the same by other threads, and each gradient alone.
  hp::set_num_threads(4);
  Guarded<T> again(out.size(), margins), again_x(x.size(), margins);
  Guarded<C> again_weight(weight.size(), margins);
  hp::depthwise(s, type, x.bytes(), weight.bytes(), with_bias ? bias.bytes() : nullptr, again.bytes());
  hp::depthwise_back(s, type, grad.bytes(), x.bytes(), weight.bytes(), again_x.bytes(), nullptr);
  const auto same = [](auto& a, auto& b) { return a.size() == 0 || std::memcmp(a.bytes(), b.bytes(), size_t(a.size()) * sizeof(*a.data())) == 0; };
  EXPECT(same(out, again), "out differs with threads");
  EXPECT(same(grad_x, again_x), "grad_x differs with threads or alone");
  hp::set_num_threads(3);
  Guarded<C> both(weight.size(), margins);
  hp::depthwise_back(s, type, grad.bytes(), x.bytes(), weight.bytes(), again_x.bytes(), both.bytes());
  EXPECT(same(grad_weight, both), "grad_weight differs with threads");
  hp::set_num_threads(1);
  hp::depthwise_back(s, type, grad.bytes(), x.bytes(), weight.bytes(), nullptr, again_weight.bytes());
  EXPECT(again_weight.kept() && again_x.kept() && again.kept(), "memory beside results was written");
  compare(again_weight, of_weight, flushed, unit, 1e-300, "grad_weight alone", s);
}

void check_arguments() {
  float a[64] = {};
  char* p = reinterpret_cast<char*>(a);
  const hp::DepthwiseSpec good{1, 1, 1, false, {1, 1, 4}, {1, 1, 8}, {1, 1, 2}, {1, 1, 2}, {0, 0, 0}, {1, 1, 1}};
  const auto both = [&](const hp::DepthwiseSpec& s, Type type) {
    refuses("a forward call", [&] { hp::depthwise(s, type, p, p, p, p); });
    refuses("a backward call", [&] { hp::depthwise_back(s, type, p, p, p, p, p); });
  };
  both(good, Type::i32);
  for (int64_t hp::DepthwiseSpec::*unused : {&hp::DepthwiseSpec::batch, &hp::DepthwiseSpec::channels, &hp::DepthwiseSpec::each}) {
    hp::DepthwiseSpec s = good;
    s.*unused = -1;
    both(s, Type::f32);
  }
  for (auto sizes : {&hp::DepthwiseSpec::in, &hp::DepthwiseSpec::kernel, &hp::DepthwiseSpec::stride, &hp::DepthwiseSpec::dilation, &hp::DepthwiseSpec::padding,
                     &hp::DepthwiseSpec::out}) {
    hp::DepthwiseSpec s = good;
    (s.*sizes)[2] = -1;
    both(s, Type::f32);
  }
  hp::DepthwiseSpec s = good;
  s.last = true;
  s.each = 2;
  both(s, Type::f32);
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, 150, check_arguments, [](Random& r) {
    convolves<float, float>(r, Type::f32);
    convolves<double, double>(r, Type::f64);
    convolves<definition::Half, float>(r, Type::f16);
    convolves<definition::BFloat, float>(r, Type::bf16);
  });
}
