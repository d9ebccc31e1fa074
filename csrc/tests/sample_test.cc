// SPDX-License-Identifier: MIT
// Samples at given positions and their gradients against sums over all pixels of the input, in double: every mode, layout, number of
// threads and instruction set; wild positions; memory around arrays.
//
//   sample_test [cases [first seed]]      a failure prints its seed; `sample_test 1 SEED` runs it alone
#include "sample.hh"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cases.hh"
#include "guarded.hh"
#include "parallel.hh"

namespace {

using hp::Draw;
using hp::Outside;
using hp::SampleSpec;
using hp::Type;


// ------------------------------------------------------------------------------------------------ the definition

double folded(double v, double low, double high) {  // back and forth between low and high
  if (high <= low) return 0;
  double rest = std::fmod(std::fabs(v - low), 2 * (high - low));
  if (rest > high - low) rest = 2 * (high - low) - rest;
  return rest + low;
}

// Where the edge rule takes a position, and the derivative of that.
double placed(const SampleSpec& s, int64_t n, double v, double* slope) {
  *slope = 1;
  if (s.outside == Outside::zeros) return v;
  if (s.outside == Outside::reflection) {
    const double low = s.aligned ? 0 : -0.5, high = s.aligned ? double(n - 1) : double(n) - 0.5;
    const double to = folded(v, low, high), span = high - low;
    *slope = span <= 0 ? 0 : (v < low) != (std::fmod(std::fabs(v - low), 2 * span) > span) ? -1 : 1;
    v = to;
  }
  if (!(v > 0 && v < double(n - 1))) *slope = 0;
  return std::clamp(v, 0.0, double(n - 1));
}

double hat(double d) { return std::fabs(d) < 1 ? 1 - std::fabs(d) : 0; }
double keys(double d) {
  const double a = -0.75, x = std::fabs(d);
  return x < 1 ? (a + 2) * x * x * x - (a + 3) * x * x + 1 : x < 2 ? a * (x * x * x - 5 * x * x + 8 * x - 4) : 0;
}
double keys_slope(double d) {
  const double a = -0.75, x = std::fabs(d), sign = d < 0 ? -1 : 1;
  return sign * (x < 1 ? 3 * (a + 2) * x * x - 2 * (a + 3) * x : x < 2 ? a * (3 * x * x - 10 * x + 8) : 0);
}

// The weights of the n samples of an axis at a coordinate, and their derivatives.
struct Line {
  std::vector<double> weight, slope;
};

Line line(const SampleSpec& s, int64_t n, double position, double scale) {
  Line made{std::vector<double>(size_t(n), 0), std::vector<double>(size_t(n), 0)};
  double slope;
  const auto add = [&](double cell, double w, double d) {
    if (cell >= 0 && cell < double(n)) made.weight[size_t(cell)] += w, made.slope[size_t(cell)] += d;
  };
  if (s.draw == Draw::cubic) {
    for (int k = -1; k < 3; ++k) {
      const double cell = std::floor(position) + k, d = position - cell;
      add(placed(s, n, cell, &slope), keys(d), keys_slope(d) * scale);
    }
    return made;
  }
  const double v = placed(s, n, position, &slope), first = std::floor(v);
  if (s.draw == Draw::nearest) add(std::nearbyint(v), 1, 0);
  else
    for (double cell : {first, first + 1}) add(cell, hat(v - cell), (cell == first ? -1 : 1) * slope * scale);
  return made;
}

template <class T>
struct Case {
  SampleSpec s;
  std::vector<T> x, at, grad, y, grad_x, grad_at;
  int64_t cells, pixels;

  int64_t of_x(int64_t b, int64_t c, int64_t p) const { return index(s.x_last, cells, b, c, p); }
  int64_t of_y(int64_t b, int64_t c, int64_t p) const { return index(s.out_last, pixels, b, c, p); }
  int64_t index(bool last, int64_t count, int64_t b, int64_t c, int64_t p) const {
    const int64_t sample = b / s.groups, channel = b % s.groups * s.channels + c, channels = s.groups * s.channels;
    return last ? (sample * count + p) * channels + channel : (sample * channels + channel) * count + p;
  }
  // Element of `at` for axis d (0: x) of output pixel p.
  int64_t of_at(int64_t b, int64_t p, int d) const {
    if (!s.scale) return (b * pixels + p) * s.dims + d;
    const int64_t row = p / s.out[2], column = p % s.out[2], k = s.scale, sample = b / s.groups;
    int64_t plane = d * s.groups + b % s.groups, planes = 2 * s.groups, h = row, w = column, height = s.out[1], width = s.out[2];
    if (!s.fine) {
      plane = (plane * k + row % k) * k + column % k;
      planes *= k * k;
      h /= k, w /= k, height /= k, width /= k;
    }
    return s.at_last ? ((sample * height + h) * width + w) * planes + plane : ((sample * planes + plane) * height + h) * width + w;
  }

  Line along(int64_t b, int64_t p, int axis) const {  // axis of `in`: 0 depth .. 2 width
    const int64_t n = s.in[axis];
    const double given = double(at[size_t(of_at(b, p, 2 - axis))]);
    if (s.scale) {
      const int64_t o = axis == 2 ? p % s.out[2] : p / s.out[2];
      return line(s, n, (double(o) + 0.5) / double(s.scale) - 0.5 + given, 1);
    }
    const double half = double(s.aligned ? n - 1 : n) / 2;
    return line(s, n, (given + 1) * half - (s.aligned ? 0 : 0.5), half);
  }

  void define() {
    std::vector<double> sums(x.size(), 0);
    for (int64_t b = 0; b < s.batch * s.groups; ++b)
      for (int64_t p = 0; p < pixels; ++p) {
        const Line w = along(b, p, 2), h = along(b, p, 1), d = s.dims == 3 ? along(b, p, 0) : Line{{1}, {0}};
        double to[3] = {0, 0, 0};
        std::vector<double> y_now(size_t(s.channels), 0);
        for (int64_t cell = 0; cell < cells; ++cell) {
          const size_t i = size_t(cell % s.in[2]), j = size_t(cell / s.in[2] % s.in[1]), k = size_t(cell / s.in[2] / s.in[1]);
          const double weight = w.weight[i] * h.weight[j] * d.weight[k];
          const double slope[3] = {w.slope[i] * h.weight[j] * d.weight[k], w.weight[i] * h.slope[j] * d.weight[k], w.weight[i] * h.weight[j] * d.slope[k]};
          if (weight == 0 && slope[0] == 0 && slope[1] == 0 && slope[2] == 0) continue;
          for (int64_t c = 0; c < s.channels; ++c) {
            const double v = double(x[size_t(of_x(b, c, cell))]), g = double(grad[size_t(of_y(b, c, p))]);
            y_now[size_t(c)] += weight * v;
            sums[size_t(of_x(b, c, cell))] += weight * g;
            for (int a = 0; a < 3; ++a) to[a] += slope[a] * v * g;
          }
        }
        for (int64_t c = 0; c < s.channels; ++c) y[size_t(of_y(b, c, p))] = T(y_now[size_t(c)]);
        for (int a = 0; a < s.dims; ++a) grad_at[size_t(of_at(b, p, a))] = T(to[a]);
      }
    for (size_t i = 0; i < sums.size(); ++i) grad_x[i] = T(sums[i]);
  }
};

template <class T>
Case<T> random_case(Random& r) {
  Case<T> c;
  SampleSpec& s = c.s;
  const bool offsets = r.chance(35);
  s.dims = offsets || r.chance(60) ? 2 : 3;
  s.scale = offsets ? r.of({1, 2, 2, 3}) : 0;
  s.groups = offsets ? 1 + r.upto(3) : 1;
  s.channels = r.of({1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 35});
  s.batch = 1 + r.upto(2);
  for (int d = 0; d < 3; ++d) {
    s.in[d] = d == 0 && s.dims == 2 ? 1 : s.dims == 3 ? r.of({1, 2, 3, 5}) : r.of({1, 1, 2, 3, 5, 7, 11});
    s.out[d] = d == 0 && s.dims == 2 ? 1 : offsets ? s.in[d] * s.scale : s.dims == 3 ? r.of({1, 2, 3, 5}) : r.of({1, 2, 3, 5, 9, 17});
  }
  s.draw = offsets ? Draw::linear : s.dims == 3 ? (r.chance(70) ? Draw::linear : Draw::nearest) : Draw(r.upto(3));
  s.outside = offsets ? Outside::border : Outside(r.upto(3));
  s.aligned = !offsets && r.chance(50);
  s.x_last = r.chance(50), s.out_last = r.chance(50), s.at_last = offsets && r.chance(50), s.fine = offsets && r.chance(40);
  c.cells = s.in[0] * s.in[1] * s.in[2], c.pixels = s.out[0] * s.out[1] * s.out[2];
  const int64_t channels = s.batch * s.groups * s.channels;
  const auto some = [&](std::vector<T>& v, int64_t n, double reach) {
    v.resize(size_t(n));
    for (T& e : v) e = T((double(r.upto(200001)) / 100000 - 1) * reach);
    v.shrink_to_fit();
  };
  some(c.x, channels * c.cells, 1);
  some(c.grad, channels * c.pixels, 1);
  some(c.at, s.batch * s.groups * c.pixels * s.dims, r.of({1, 1, 2, 5}) * 1.1);
  c.y.resize(c.grad.size()), c.grad_x.resize(c.x.size()), c.grad_at.resize(c.at.size());
  return c;
}

// Positions near a step of what is computed are no cases for a comparison by tolerance: where rounding decides, gradients jump.
template <class T>
bool near_step(const Case<T>& c, int64_t b, int64_t p) {
  for (int axis = 3 - c.s.dims; axis < 3; ++axis) {
    const int64_t n = c.s.in[axis];
    const double given = double(c.at[size_t(c.of_at(b, p, 2 - axis))]);
    if (n == 1 && c.s.aligned) continue;  // one place whatever the coordinate
    double v;
    if (c.s.scale) v = (double(axis == 2 ? p % c.s.out[2] : p / c.s.out[2]) + 0.5) / double(c.s.scale) - 0.5 + given;
    else v = (given + 1) * double(c.s.aligned ? n - 1 : n) / 2 - (c.s.aligned ? 0 : 0.5);
    const double halves = v * 2;
    if (std::fabs(halves - std::nearbyint(halves)) < 1e-4) return true;
  }
  return false;
}

const char* bytes(const void* p) { return static_cast<const char*>(p); }
template <class T>
char* bytes(Guarded<T>& g) { return reinterpret_cast<char*>(g.data()); }

template <class T>
void agrees(Random& r, Type type) {
  Case<T> c = random_case<T>(r);
  const SampleSpec& s = c.s;
  for (int64_t b = 0; b < s.batch * s.groups; ++b)
    for (int64_t p = 0; p < c.pixels; ++p)
      for (int tries = 0; tries < 60 && near_step(c, b, p); ++tries)
        for (int d = 0; d < s.dims; ++d) c.at[size_t(c.of_at(b, p, d))] = tries > 50 ? T(0.0123 * (d + 1)) : T((double(r.upto(200001)) / 100000 - 1) * 1.3);
  c.define();
  const bool margins = r.chance(50), moves = s.draw != Draw::nearest;
  const T filler = T(77);
  const double tolerance = type == Type::f64 ? 1e-10 : 2e-4;
  const auto compare = [&](const char* what, const T* got, const std::vector<T>& want) {
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT(std::fabs(double(got[i]) - double(want[i])) <= tolerance * (1 + std::fabs(double(want[i]))), "%s %zu of %zu: %g, not %g (draw %d, outside %d, %d-D, %lld channels, scale %lld)",
             what, i, want.size(), double(got[i]), double(want[i]), int(s.draw), int(s.outside), s.dims, (long long)s.channels, (long long)s.scale);
  };
  std::vector<T> first[3];
  for (int threads : {1, 2, 5}) {
    hp::set_num_threads(threads);
    Guarded<T> y(int64_t(c.y.size()), margins, filler), grad_x(int64_t(c.x.size()), margins, filler), grad_at(int64_t(c.at.size()), margins, filler);
    hp::sample(s, type, type, bytes(c.x.data()), bytes(c.at.data()), bytes(y));
    hp::sample_back(s, type, type, bytes(c.grad.data()), bytes(c.x.data()), bytes(c.at.data()), bytes(grad_x), moves ? bytes(grad_at) : nullptr);
    EXPECT(y.kept() && grad_x.kept() && grad_at.kept(), "memory around the results was written, %d threads", threads);
    compare("sample", y.data(), c.y);
    compare("gradient of x", grad_x.data(), c.grad_x);
    if (moves) compare("gradient of positions", grad_at.data(), c.grad_at);
    Guarded<T>* const all[3] = {&y, &grad_x, &grad_at};
    for (int k = 0; k < 3; ++k) {
      if (threads == 1) first[k] = all[k]->all;
      EXPECT(first[k] == all[k]->all, "result %d depends on the number of threads", k);
    }
    if (!moves) continue;
    Guarded<T> alone(int64_t(c.at.size()), margins, filler);
    hp::sample_back(s, type, type, bytes(c.grad.data()), bytes(c.x.data()), bytes(c.at.data()), nullptr, bytes(alone));
    EXPECT(alone.all == grad_at.all, "the gradient of positions alone is another");
  }
}

// No position leads outside of an array.
template <class T>
void wild(Random& r, Type type) {
  Case<T> c = random_case<T>(r);
  for (T& v : c.at) {
    const double huge = std::numeric_limits<T>::max();
    const double some[] = {NAN, INFINITY, -INFINITY, huge, -huge, 1e9, -1e9, 3e9, -3e9, 1e4, -1e4, 0, -0.0, 1, -1, double(std::numeric_limits<T>::denorm_min())};
    v = T(some[r.upto(16)]);
  }
  const T filler = T(77);
  const bool margins = r.chance(50);
  hp::set_num_threads(int(r.of({1, 3})));
  Guarded<T> y(int64_t(c.y.size()), margins, filler), grad_x(int64_t(c.x.size()), margins, filler), grad_at(int64_t(c.at.size()), margins, filler);
  hp::sample(c.s, type, type, bytes(c.x.data()), bytes(c.at.data()), bytes(y));
  hp::sample_back(c.s, type, type, bytes(c.grad.data()), bytes(c.x.data()), bytes(c.at.data()), bytes(grad_x), c.s.draw == Draw::nearest ? nullptr : bytes(grad_at));
  EXPECT(y.kept() && grad_x.kept() && grad_at.kept(), "memory around the results was written for wild positions");
  if (c.s.outside == Outside::zeros || c.s.draw == Draw::cubic) return;
  for (size_t i = 0; i < c.y.size(); ++i) EXPECT(std::fabs(double(y.data()[i])) <= 1.0001, "sample %zu is %g", i, double(y.data()[i]));
}

// Few planes of many pixels: the parts of the gradient.
void parts() {
  SampleSpec s{1, 1, 2, 2, {1, 37, 41}, {1, 150, 130}, Draw::linear, Outside::zeros, false, false, false, 0, false, false};
  const int64_t cells = 37 * 41, pixels = 150 * 130;
  std::mt19937 random(5);
  const auto some = [&](int64_t n) {
    std::vector<float> v(static_cast<size_t>(n));
    for (float& e : v) e = float(int(random() % 2001) - 1000) / 900;
    return v;
  };
  const std::vector<float> x = some(2 * cells), at = some(2 * pixels), grad = some(2 * pixels);
  std::vector<float> first;
  double want = 0, got = 0;
  std::vector<float> y(size_t(2 * pixels));
  for (int threads : {1, 2, 3, 7}) {
    hp::set_num_threads(threads);
    std::vector<float> grad_x(size_t(2 * cells), NAN), grad_at(size_t(2 * pixels), NAN);
    hp::sample(s, Type::f32, Type::f32, bytes(x.data()), bytes(at.data()), reinterpret_cast<char*>(y.data()));
    hp::sample_back(s, Type::f32, Type::f32, bytes(grad.data()), bytes(x.data()), bytes(at.data()), reinterpret_cast<char*>(grad_x.data()), reinterpret_cast<char*>(grad_at.data()));
    grad_x.insert(grad_x.end(), grad_at.begin(), grad_at.end());
    if (first.empty()) first = grad_x;
    CHECK(first == grad_x, "%s: the gradient depends on the number of threads", isa_now.c_str());
  }
  for (size_t i = 0; i < y.size(); ++i) want += double(y[i]) * double(grad[i]);  // <B x, g> = <x, B.T g>
  for (size_t i = 0; i < x.size(); ++i) got += double(x[i]) * double(first[i]);
  CHECK(std::fabs(want - got) < 1e-2, "%s: %g is not %g", isa_now.c_str(), got, want);
}

void check_arguments() {
  const SampleSpec good{1, 1, 1, 2, {1, 2, 2}, {1, 1, 1}, Draw::linear, Outside::zeros, false, false, false, 0, false, false};
  const float x[4] = {1, 2, 3, 4}, at[2] = {0, 0};
  float out[4] = {};
  const auto run = [&](const SampleSpec& s, Type a = Type::f32, Type b = Type::f32) { hp::sample(s, a, b, bytes(x), bytes(at), reinterpret_cast<char*>(out)); };
  run(good);
  CHECK(out[0] == 2.5f, "%g", double(out[0]));
  refuses("an empty input", [&] { auto s = good; s.in[1] = 0; run(s); });
  refuses("a deep image", [&] { auto s = good; s.in[0] = 2; run(s); });
  refuses("one dimension", [&] { auto s = good; s.dims = 1; run(s); });
  refuses("a plane of 2^30", [&] { auto s = good; s.in[1] = s.in[2] = 1 << 15; run(s); });
  refuses("sizes beyond 2^63", [&] { auto s = good; s.in[1] = s.in[2] = int64_t(1) << 40; run(s); });
  refuses("cubic volumes", [&] { auto s = good; s.dims = 3, s.draw = Draw::cubic; run(s); });
  refuses("offsets that do not fit", [&] { auto s = good; s.scale = 2, s.outside = Outside::border; run(s); });
  refuses("integers", [&] { run(good, Type::i32); });
  refuses("float positions of doubles", [&] { run(good, Type::f64, Type::f32); });
  refuses("slopes of nearest", [&] {
    auto s = good;
    s.draw = Draw::nearest;
    hp::sample_back(s, Type::f32, Type::f32, bytes(x), bytes(x), bytes(at), nullptr, reinterpret_cast<char*>(out));
  });
  auto none = good;
  none.batch = 0;
  hp::sample(none, Type::f32, Type::f32, nullptr, nullptr, nullptr);  // nothing to write
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, 2000, [] { check_arguments(); parts(); }, [](Random& r) {
    agrees<float>(r, Type::f32);
    agrees<double>(r, Type::f64);
    wild<float>(r, Type::f32);
    wild<double>(r, Type::f64);
  });
}
