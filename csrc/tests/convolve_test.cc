// SPDX-License-Identifier: MIT
// Transposed convolution and its gradients against the sum that defines them, in float64: geometries, groups, types, layouts,
// threads and instruction sets.
//
//   convolve_test [cases [first seed]]      a failure prints its seed; `convolve_test 1 SEED` runs it alone
#include "convolve.hh"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cases.hh"
#include "guarded.hh"
#include "parallel.hh"

namespace {

using hp::ConvolveSpec;
using hp::Direction;
using hp::Type;

int64_t product(const int64_t* n) { return n[0] * n[1] * n[2]; }

ConvolveSpec random_spec(Random& r) {
  ConvolveSpec s{};
  s.samples = r.chance(60) ? 1 : 1 + r.upto(5);
  s.groups = r.chance(75) ? 1 : 1 + r.upto(3);
  s.c_in = r.of({1, 2, 3, 5, 8, 15, 16, 17, 33, 49, 70});
  s.c_out = r.of({1, 2, 3, 4, 7, 8, 9, 13, 16, 24, 32, 65});
  const int dims = int(r.of({1, 2, 2, 2, 3}));
  for (int d = 0; d < 3; ++d) {
    const bool flat = d < 3 - dims;
    s.in[d] = flat ? 1 : dims == 3 ? 1 + r.upto(7) : r.chance(10) ? 40 + r.upto(40) : 1 + r.upto(17);
    s.kernel[d] = flat ? 1 : 1 + r.upto(5);
    s.stride[d] = flat ? 1 : r.chance(15) ? 1 + r.upto(9) : 1 + r.upto(4);
    if (!flat && r.chance(20)) s.kernel[d] = s.stride[d] * (1 + r.upto(2));  // outputs between two pixels read the same
    s.dilation[d] = flat || r.chance(70) ? 1 : 1 + r.upto(3);
    const int64_t whole = (s.in[d] - 1) * s.stride[d] + s.dilation[d] * (s.kernel[d] - 1) + 1;
    s.padding[d] = flat ? 0 : r.upto(std::min<int64_t>(whole, 8));
    // Any size, not that of a formula alone: what no input reaches, and what is cut.
    s.out[d] = flat ? 1 : std::max<int64_t>(1, whole - s.padding[d] - r.upto(4) + r.upto(4));
  }
  return s;
}

// f(index in x, index in weight, index in y, index of y's channel) for every product; with `last`, of channels-last x and y.
template <class F>
void each_product(const ConvolveSpec& s, bool last, const F& f) {
  const int64_t taps = product(s.kernel), from = product(s.in), to = product(s.out);
  const auto at = [&](int64_t n, int64_t channel, int64_t channels, int64_t place, int64_t places) {
    return last ? (n * places + place) * channels + channel : (n * channels + channel) * places + place;
  };
  int64_t i[3], k[3], y[3];
  for (i[0] = 0; i[0] < s.in[0]; ++i[0])
    for (i[1] = 0; i[1] < s.in[1]; ++i[1])
      for (i[2] = 0; i[2] < s.in[2]; ++i[2])
        for (int64_t tap = 0; tap < taps; ++tap) {
          k[0] = tap / s.kernel[2] / s.kernel[1], k[1] = tap / s.kernel[2] % s.kernel[1], k[2] = tap % s.kernel[2];
          bool inside = true;
          for (int d = 0; d < 3; ++d) {
            y[d] = i[d] * s.stride[d] + k[d] * s.dilation[d] - s.padding[d];
            inside = inside && y[d] >= 0 && y[d] < s.out[d];
          }
          if (!inside) continue;
          const int64_t place = (i[0] * s.in[1] + i[1]) * s.in[2] + i[2], made = (y[0] * s.out[1] + y[1]) * s.out[2] + y[2];
          for (int64_t n = 0; n < s.samples; ++n)
            for (int64_t g = 0; g < s.groups; ++g)
              for (int64_t c = 0; c < s.c_in; ++c)
                for (int64_t o = 0; o < s.c_out; ++o)
                  f(at(n, g * s.c_in + c, s.groups * s.c_in, place, from), ((g * s.c_in + c) * s.c_out + o) * taps + tap,
                    at(n, g * s.c_out + o, s.groups * s.c_out, made, to), g * s.c_out + o);
        }
}

template <class T>
std::vector<T> some(Random& r, int64_t count) {
  std::vector<T> x(static_cast<size_t>(count));
  for (T& v : x) v = T(double(r.upto(2001) - 1000) / 1000);
  return x;
}

// The weight as forward and of_input take it, from (groups * c_in, c_out, kernel).
template <class T>
std::vector<T> laid(const ConvolveSpec& s, const std::vector<T>& weight) {
  const int64_t taps = product(s.kernel);
  std::vector<T> to(weight.size());
  for (int64_t i = 0; i < int64_t(weight.size()); ++i) {
    const int64_t tap = i % taps, o = i / taps % s.c_out, c = i / taps / s.c_out;
    const int64_t outer = s.weight_swapped ? o : c, inner = s.weight_swapped ? c : o, each = s.weight_swapped ? s.c_in : s.c_out;
    to[size_t(s.weight_last ? (outer * taps + tap) * each + inner : (outer * each + inner) * taps + tap)] = weight[size_t(i)];
  }
  return to;
}

template <class T>
void runs(Random& r, const char* what, Direction direction, const ConvolveSpec& s, Type type, const std::vector<T>& a, const std::vector<T>& b,
          const std::vector<T>* bias, const std::vector<double>& want, const std::vector<double>& size) {
  const auto bytes = [](const std::vector<T>& v) { return reinterpret_cast<const char*>(v.data()); };
  std::vector<T> first;
  for (int threads : {1, int(2 + r.upto(4))}) {
    hp::set_num_threads(threads);
    Guarded<T> out(int64_t(want.size()), r.chance(50), T(-1e30));
    hp::convolve(direction, s, type, bytes(a), bytes(b), bias ? bytes(*bias) : nullptr, reinterpret_cast<char*>(out.data()));
    EXPECT(out.kept(), "%s: memory around the result was written", what);
    for (size_t i = 0; i < want.size(); ++i) {
      // `size`: the sum of the products' magnitudes, to which roundings are relative.
      const double error = std::abs(double(out.data()[i]) - want[i]), unit = sizeof(T) == 4 ? 0x1p-23 : 0x1p-52;
      EXPECT(error <= 8 * unit * (size[i] + 1e-6), "%s: element %zu is %.9g, not %.9g", what, i, double(out.data()[i]), want[i]);
    }
    const std::vector<T> made(out.data(), out.data() + want.size());
    if (threads == 1) first = made;
    else EXPECT(std::memcmp(first.data(), made.data(), made.size() * sizeof(T)) == 0, "%s: depends on the number of threads", what);
  }
}

template <class T>
void check(Random& r, Type type) {
  ConvolveSpec s = random_spec(r);
  const bool last = s.last = r.chance(50), with_bias = r.chance(50);
  s.weight_last = last && r.chance(50), s.weight_swapped = last && s.groups == 1 && r.chance(50);
  const std::vector<T> weight = some<T>(r, s.groups * s.c_in * s.c_out * product(s.kernel)), bias = some<T>(r, s.groups * s.c_out);
  const std::vector<T> x = some<T>(r, s.samples * s.groups * s.c_in * product(s.in)), y = some<T>(r, s.samples * s.groups * s.c_out * product(s.out));
  for (Direction direction : {Direction::forward, Direction::of_input, Direction::of_weight})
    EXPECT(hp::fits(direction, s, type), "a small geometry does not fit");

  std::vector<double> want(y.size()), size(y.size());
  if (with_bias)
    for (size_t i = 0; i < y.size(); ++i) want[i] = bias[i / size_t(last ? 1 : product(s.out)) % bias.size()], size[i] = 1;
  each_product(s, last, [&](int64_t i, int64_t w, int64_t o, int64_t) {
    const double v = double(x[size_t(i)]) * double(weight[size_t(w)]);
    want[size_t(o)] += v, size[size_t(o)] += std::abs(v);
  });
  runs(r, "forward", Direction::forward, s, type, x, laid(s, weight), with_bias ? &bias : nullptr, want, size);

  want.assign(x.size(), 0), size.assign(x.size(), 0);
  each_product(s, last, [&](int64_t i, int64_t w, int64_t o, int64_t) {
    const double v = double(y[size_t(o)]) * double(weight[size_t(w)]);
    want[size_t(i)] += v, size[size_t(i)] += std::abs(v);
  });
  runs<T>(r, "of_input", Direction::of_input, s, type, y, laid(s, weight), nullptr, want, size);

  s.weight_last = s.weight_swapped = false;
  want.assign(weight.size(), 0), size.assign(weight.size(), 0);
  each_product(s, last, [&](int64_t i, int64_t w, int64_t o, int64_t) {
    const double v = double(x[size_t(i)]) * double(y[size_t(o)]);
    want[size_t(w)] += v, size[size_t(w)] += std::abs(v);
  });
  runs<T>(r, "of_weight", Direction::of_weight, s, type, x, y, nullptr, want, size);
}

// Infinities and NaN of one row stay in the outputs that read it: padding and neighbours in registers add nothing.
void check_infinite() {
  ConvolveSpec s{1, 1, 3, 5, {1, 4, 19}, {1, 8, 38}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}, {1, 1, 1}, false, false, false};
  std::vector<float> x(3 * 4 * 19, 1), weight(3 * 5 * 4, 1), y(5 * 8 * 38, 1), out(y.size()), gradient(weight.size());
  x[18] = INFINITY, y[37] = NAN;
  hp::convolve(Direction::forward, s, Type::f32, (const char*)x.data(), (const char*)weight.data(), nullptr, (char*)out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    const bool reads = i % 38 >= 36 && i / 38 % 8 < 2;
    CHECK(reads ? std::isinf(out[i]) : out[i] == 3, "%zu: %g", i, double(out[i]));
  }
  std::vector<float> pixels(x.size(), 1), made(y.size());
  pixels[18 * 3] = INFINITY;
  ConvolveSpec last = s;
  last.last = true;
  hp::convolve(Direction::forward, last, Type::f32, (const char*)pixels.data(), (const char*)weight.data(), nullptr, (char*)made.data());
  for (size_t i = 0; i < made.size(); ++i) {
    const bool reads = i / 5 % 38 >= 36 && i / 5 / 38 < 2;
    CHECK(reads ? std::isinf(made[i]) : made[i] == 3, "%zu: %g", i, double(made[i]));
  }
  x[18] = 1;
  hp::convolve(Direction::of_weight, s, Type::f32, (const char*)x.data(), (const char*)y.data(), nullptr, (char*)gradient.data());
  for (size_t i = 0; i < gradient.size(); ++i) {
    const bool reads = i / 4 % 5 == 0 && i % 4 == 1;
    CHECK(reads ? std::isnan(gradient[i]) : gradient[i] == 76, "%zu: %g", i, double(gradient[i]));
  }
}

// Pixels whose result goes past the caches, and weights that are run through in parts: small integers, whose sums are exact.
void check_large_pixels() {
  const ConvolveSpec cases[] = {
      {1, 1, 3, 16, {1, 130, 260}, {1, 260, 521}, {1, 2, 4}, {1, 2, 2}, {0, 0, 1}, {1, 1, 1}, true, false, false},
      {1, 2, 2, 32, {1, 100, 180}, {1, 200, 359}, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}, true, true, false},
      {1, 1, 700, 19, {1, 3, 7}, {1, 3, 7}, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}, true, false, false},
      {2, 1, 2100, 5, {1, 2, 9}, {1, 4, 18}, {1, 4, 4}, {1, 2, 2}, {0, 1, 1}, {1, 1, 1}, true, true, true},
  };
  for (const ConvolveSpec& s : cases) {
    std::vector<float> x(size_t(s.samples * s.groups * s.c_in * product(s.in))), y(size_t(s.samples * s.groups * s.c_out * product(s.out)));
    std::vector<float> weight(size_t(s.groups * s.c_in * s.c_out * product(s.kernel))), bias(size_t(s.groups * s.c_out)), want = y;
    for (size_t i = 0; i < x.size(); ++i) x[i] = float(i * 7 % 13) - 6;
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = float(i * 5 % 11) - 5;
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = float(i);
    for (size_t i = 0; i < y.size(); ++i) want[i] = bias[i % bias.size()];
    each_product(s, true, [&](int64_t i, int64_t w, int64_t o, int64_t) { want[size_t(o)] += x[size_t(i)] * weight[size_t(w)]; });
    const std::vector<float> given = laid(s, weight);
    for (int threads : {1, 3}) {
      hp::set_num_threads(threads);
      char* const room = static_cast<char*>(std::aligned_alloc(64, (y.size() * 4 + 127) / 64 * 64));
      for (int64_t shift : {0, 4}) {  // lines of the result, and none
        hp::convolve(Direction::forward, s, Type::f32, (const char*)x.data(), (const char*)given.data(), (const char*)bias.data(), room + shift);
        CHECK(std::memcmp(room + shift, want.data(), want.size() * 4) == 0, "pixels of a large result or of many channels, %d threads", threads);
      }
      std::free(room);
    }
  }
}

void check_arguments() {
  const ConvolveSpec good{1, 1, 1, 1, {1, 1, 2}, {1, 1, 4}, {1, 1, 2}, {1, 1, 2}, {0, 0, 0}, {1, 1, 1}, false, false, false};
  const float x[2] = {1, 2}, weight[2] = {1, 10};
  float out[4] = {};
  const auto run = [&](const ConvolveSpec& s, Type type) {
    hp::convolve(Direction::forward, s, type, (const char*)x, (const char*)weight, nullptr, (char*)out);
  };
  run(good, Type::f32);
  CHECK(out[0] == 1 && out[1] == 10 && out[2] == 2 && out[3] == 20, "%g %g %g %g", double(out[0]), double(out[1]), double(out[2]), double(out[3]));
  for (auto field : {&ConvolveSpec::in, &ConvolveSpec::out, &ConvolveSpec::kernel, &ConvolveSpec::stride, &ConvolveSpec::dilation})
    refuses("a size of 0", [&] { auto s = good; (s.*field)[2] = 0; run(s, Type::f32); });
  refuses("negative padding", [&] { auto s = good; s.padding[1] = -1; run(s, Type::f32); });
  for (auto field : {&ConvolveSpec::samples, &ConvolveSpec::groups, &ConvolveSpec::c_in, &ConvolveSpec::c_out})
    refuses("nothing", [&] { auto s = good; s.*field = 0; run(s, Type::f32); });
  for (Type type : {Type::f16, Type::bf16, Type::i32, Type::u8}) refuses("a type", [&] { run(good, type); });
  refuses("an order of contiguous weights", [&] { auto s = good; s.weight_last = true; run(s, Type::f32); });
  refuses("an order of groups' weights", [&] { auto s = good; s.last = s.weight_swapped = true, s.groups = 2; run(s, Type::f32); });
  auto far = good;
  far.dilation[1] = far.dilation[2] = int64_t(1) << 40, far.kernel[1] = 2;
  for (Direction direction : {Direction::forward, Direction::of_input, Direction::of_weight})
    CHECK(!hp::fits(direction, far, Type::f32), "a window of 2^40 fits");
  auto pixels = far;
  pixels.last = true, pixels.in[1] = pixels.in[2] = int64_t(1) << 20;
  for (Direction direction : {Direction::forward, Direction::of_input})
    CHECK(!hp::fits(direction, pixels, Type::f32), "pixels beyond counting fit");
  refuses("a window of 2^40", [&] { run(far, Type::f32); });
  auto wide = good;
  wide.stride[0] = wide.stride[1] = int64_t(1) << 40;
  CHECK(!hp::fits(Direction::forward, wide, Type::f32), "2^80 phases fit");
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, 150, [] { check_arguments(); check_infinite(); check_large_pixels(); }, [](Random& r) {
    check<float>(r, Type::f32);
    check<double>(r, Type::f64);
  });
}
