// SPDX-License-Identifier: MIT
// Sums over windows and their gradients against loops: every type, ratio, order of memory, number of threads, instruction set.
//
//   window_test [cases [first seed]]      a failure prints its seed; `window_test 1 SEED` runs it alone
#include "window.hh"

#include <algorithm>
#include <cmath>

#include "cases.hh"
#include "definition.hh"
#include "parallel.hh"

namespace {

using definition::load;
using hp::Type;
using hp::WindowWay;

constexpr int64_t kMargin = 1024;  // bytes

// Elements of a type between margins, or in an allocation as long as they are, where a sanitizer sees one too many.
struct Memory {
  std::vector<char> all;
  int64_t margin, item, count;
  Type type;

  Memory(int64_t n, Type t, bool margins) : margin(margins ? kMargin : 0), item(hp::element_bytes(t)), count(n), type(t) {
    all.assign(size_t(n * item + 2 * margin), char(0x5A));
    all.shrink_to_fit();
  }
  char* data() { return all.data() + margin; }
  double get(int64_t i) {
    const char* p = data() + i * item;
    switch (type) {
      case Type::f16: return load<definition::Half, double>(p);
      case Type::bf16: return load<definition::BFloat, double>(p);
      case Type::f64: return load<double, double>(p);
      default: return load<float, double>(p);
    }
  }
  void set(int64_t i, double v) {
    char* p = data() + i * item;
    switch (type) {
      case Type::f16: return definition::store<definition::Half, double>(p, v, hp::Rounding::half_up);
      case Type::bf16: return definition::store<definition::BFloat, double>(p, v, hp::Rounding::half_up);
      case Type::f64: return definition::store<double, double>(p, v, hp::Rounding::half_up);
      default: return definition::store<float, double>(p, v, hp::Rounding::half_up);
    }
  }
  bool kept() const {
    for (int64_t i = 0; i < margin; ++i)
      if (all[size_t(i)] != 0x5A || all[all.size() - 1 - size_t(i)] != 0x5A) return false;
    return true;
  }
};

hp::WindowSpec random_spec(Random& r, Type type) {
  hp::WindowSpec s{};
  s.groups = r.of({1, 1, 2, 3});
  s.batch = 1 + r.upto(2);
  s.channels = s.groups * r.of({1, 2, 3, 4, 5, 15, 16, 17, 18, 24, 33, 64});
  s.replicate = r.chance(50), s.last = r.chance(40), s.softmax = r.chance(50);
  s.type = s.weight_type = type;
  if ((type == Type::f16 || type == Type::bf16) && r.chance(50)) s.weight_type = Type::f32;
  const bool wide = r.chance(15);
  for (int d = 0; d < 2; ++d) {
    s.kernel[d] = r.of({1, 3, 3, 5, 7});
    s.in[d] = d == 0 ? 1 + r.upto(6) : wide ? r.of({65, 130, 260}) : r.of({1, 2, 3, 7, 11, 12, 13, 15, 16, 17, 31, 33});
    const int64_t scale = r.of({1, 2, 2, 3, 4, 5, 8});
    s.out[d] = s.in[d] * scale;
    if (r.chance(25)) s.out[d] = 1 + r.upto(2 * s.in[d]);
    s.scale[d] = 1;
  }
  if (wide || r.chance(25)) s.channels = s.groups * (1 + r.upto(4));
  if (s.out[0] % s.in[0] == 0 && s.out[1] % s.in[1] == 0 && r.chance(30))
    for (int d = 0; d < 2; ++d) s.scale[d] = s.out[d] / s.in[d];
  const int64_t inner = s.scale[0] * s.scale[1], taps = s.kernel[0] * s.kernel[1];
  const int64_t channels = s.groups * taps * inner, rows = s.out[0] / s.scale[0], cols = s.out[1] / s.scale[1];
  const bool last = r.chance(40);
  const int64_t channel = last ? 1 : rows * cols;
  s.w_sample = channels * rows * cols, s.w_tap = channel * inner;
  s.w_row = last ? cols * channels : cols, s.w_col = last ? channels : 1;
  s.w_sub_row = channel * s.scale[1], s.w_sub_col = channel;
  return s;
}

int64_t place(const hp::WindowSpec& s, const int64_t* size, int64_t n, int64_t c, int64_t row, int64_t col) {
  return s.last ? ((n * size[0] + row) * size[1] + col) * s.channels + c : ((n * s.channels + c) * size[0] + row) * size[1] + col;
}

// f(channel, input pixel or -1, output pixel, weight, number of the weight's softmax) for every product of the form.
template <class F>
void each_product(const hp::WindowSpec& s, const F& f) {
  const int64_t taps = s.kernel[0] * s.kernel[1], each = s.channels / s.groups;
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t p = 0; p < s.out[0]; ++p)
        for (int64_t q = 0; q < s.out[1]; ++q)
          for (int64_t t = 0; t < taps; ++t) {
            int64_t row = int64_t(std::floor((double(p) + 0.5) * double(s.in[0]) / double(s.out[0]))) + t / s.kernel[1] - s.kernel[0] / 2;
            int64_t col = int64_t(std::floor((double(q) + 0.5) * double(s.in[1]) / double(s.out[1]))) + t % s.kernel[1] - s.kernel[1] / 2;
            bool inside = row >= 0 && row < s.in[0] && col >= 0 && col < s.in[1];
            if (s.replicate) row = std::clamp<int64_t>(row, 0, s.in[0] - 1), col = std::clamp<int64_t>(col, 0, s.in[1] - 1), inside = true;
            const int64_t w = s.at(n, g * taps + t, p, q), first = s.at(n, g * taps, p, q);
            for (int64_t c = g * each; c < (g + 1) * each; ++c)
              f(inside ? place(s, s.in, n, c, row, col) : -1, place(s, s.out, n, c, p, q), w, first);
          }
}

void near(Memory& got, const std::vector<double>& want, const std::vector<double>& size, const char* what, const hp::WindowSpec& s) {
  const double unit = got.type == Type::f64 ? 1e-13 : got.type == Type::f32 ? 1e-5 : got.type == Type::f16 ? 2e-3 : 1.2e-2;
  for (int64_t i = 0; i < got.count; ++i)
    EXPECT(std::fabs(got.get(i) - want[size_t(i)]) <= unit * (size[size_t(i)] + 1e-2), "%s, type %d: element %lld is %g, not %g (%lldx%lld to %lldx%lld, last %d)", what,
           int(s.type), (long long)i, got.get(i), want[size_t(i)], (long long)s.in[0], (long long)s.in[1], (long long)s.out[0], (long long)s.out[1], int(s.last));
}

// Leaves NaN wherever scratch memory is not written before it is read.
void poison() {
  hp::WindowSpec s{};
  s.batch = s.groups = 1, s.channels = 16;
  s.type = s.weight_type = Type::f32;
  for (int d = 0; d < 2; ++d) s.in[d] = d ? 128 : 4, s.out[d] = 2 * s.in[d], s.kernel[d] = 5, s.scale[d] = 1;
  s.w_sample = 25 * 8 * 256, s.w_tap = 8 * 256, s.w_row = 256, s.w_col = 1;
  std::vector<float> all(size_t(25 * 8 * 256), NAN), result(all.size());
  for (bool last : {false, true}) {
    s.last = last;
    for (int way = 0; way < 3; ++way) {
      const auto at = [&](int written) { return reinterpret_cast<char*>((way == written ? result : all).data()); };
      hp::window(s, WindowWay(way), at(1), at(0), at(2));
    }
  }
}

void one_case(Random& r, Type type) {
  hp::set_num_threads(1);
  if (r.chance(30)) poison();
  const hp::WindowSpec s = random_spec(r, type);
  const int64_t taps = s.kernel[0] * s.kernel[1];
  const int64_t nx = s.batch * s.channels * s.in[0] * s.in[1], ny = s.batch * s.channels * s.out[0] * s.out[1], nw = s.batch * s.groups * taps * s.out[0] * s.out[1];
  const bool margins = r.chance(50), one_alone = r.chance(30);
  Memory x(nx, s.type, margins), y(ny, s.type, margins), w(nw, s.weight_type, margins);
  for (Memory* m : {&x, &y, &w})
    for (int64_t i = 0; i < m->count; ++i) m->set(i, double(r.upto(2001) - 1000) / 500);
  if (s.softmax && r.chance(20)) w.set(r.upto(nw), taps > 1 ? -INFINITY : 0.0);
  std::vector<double> weight(static_cast<size_t>(nw)), sums(size_t(nw), 0.0);
  for (int64_t i = 0; i < nw; ++i) weight[size_t(i)] = s.softmax ? std::exp(w.get(i)) : w.get(i);
  const auto each_tap = [&](auto f) {
    for (int64_t n = 0; n < s.batch; ++n)
      for (int64_t g = 0; g < s.groups; ++g)
        for (int64_t p = 0; p < s.out[0]; ++p)
          for (int64_t q = 0; q < s.out[1]; ++q)
            for (int64_t t = 0; t < taps; ++t) f(size_t(s.at(n, g * taps + t, p, q)), size_t(s.at(n, g * taps, p, q)));
  };
  if (s.softmax) {
    each_tap([&](size_t i, size_t first) { sums[first] += weight[i]; });
    each_tap([&](size_t i, size_t first) { weight[i] /= sums[first]; });
  }
  std::vector<double> of_y(size_t(ny), 0.0), of_x(size_t(nx), 0.0), of_w(size_t(nw), 0.0), size_y = of_y, size_x = of_x, size_w = of_w;
  each_product(s, [&](int64_t from, int64_t to, int64_t i, int64_t) {
    if (from < 0) return;
    const double a = x.get(from), b = weight[size_t(i)], c = y.get(to);
    of_y[size_t(to)] += a * b, size_y[size_t(to)] += std::fabs(a * b);
    of_x[size_t(from)] += b * c, size_x[size_t(from)] += std::fabs(b * c);
    of_w[size_t(i)] += a * c, size_w[size_t(i)] += std::fabs(a * c);
  });
  if (s.softmax) {
    std::vector<double> dot(size_t(nw), 0.0), most(size_t(nw), 0.0);
    each_tap([&](size_t i, size_t first) { dot[first] += weight[i] * of_w[i], most[first] = std::max(most[first], size_w[i]); });
    each_tap([&](size_t i, size_t first) { of_w[i] = weight[i] * (of_w[i] - dot[first]), size_w[i] = most[first]; });
  }
  struct Way {
    WindowWay way;
    const char* name;
    Memory* out;
    const std::vector<double>*want, *size;
  };
  const Way ways[] = {{WindowWay::forward, "forward", &y, &of_y, &size_y}, {WindowWay::back_x, "back_x", &x, &of_x, &size_x}, {WindowWay::back_w, "back_w", &w, &of_w, &size_w}};
  for (const Way& one : ways) {
    std::vector<char> first, first_more;
    for (int threads : {1, 2, 5}) {
      Memory out(one.out->count, one.out->type, margins);
      const auto given = [&](Memory& m) { return &m == one.out ? out.data() : m.data(); };
      hp::set_num_threads(threads);
      const bool soft = s.softmax && one.way == WindowWay::back_w, both = soft && !one_alone;
      Memory more(nx, s.type, margins);
      hp::window(s, one.way, given(x), given(y), given(w), soft ? w.data() : nullptr, both ? more.data() : nullptr);
      if (both) {
        EXPECT(more.kept(), "both: memory around the gradient of x was written, %d threads", threads);
        if (threads == 1) near(more, of_x, size_x, "both", s), first_more = more.all;
        EXPECT(first_more == more.all, "both, type %d: other bits with %d threads", int(type), threads);
      }
      EXPECT(out.kept(), "%s: memory around the result was written, %d threads", one.name, threads);
      if (threads == 1) {
        first = out.all;
        near(out, *one.want, *one.size, one.name, s);
      }
      EXPECT(first == out.all, "%s, type %d: other bits with %d threads", one.name, int(type), threads);
    }
    EXPECT(x.kept() && y.kept() && w.kept(), "%s: memory around what is read was written", one.name);
  }
}

void check_arguments() {
  hp::WindowSpec good{};
  good.batch = good.channels = good.groups = 1;
  for (int d = 0; d < 2; ++d) good.in[d] = 2, good.out[d] = 2, good.kernel[d] = 1, good.scale[d] = 1;
  good.type = good.weight_type = Type::f32;
  good.w_sample = 4, good.w_tap = 4, good.w_row = 2, good.w_col = 1;
  float x[4] = {1, 2, 3, 4}, w[4] = {1, 2, 3, 4}, y[4] = {};
  const auto run = [&](const hp::WindowSpec& s, const char* logits = nullptr) {
    hp::window(s, WindowWay::forward, reinterpret_cast<char*>(x), reinterpret_cast<char*>(y), reinterpret_cast<char*>(w), logits);
  };
  run(good);
  CHECK(y[3] == 16 && y[1] == 4, "%g %g", double(y[1]), double(y[3]));
  refuses("an even kernel", [&] { auto s = good; s.kernel[1] = 2; run(s); });
  refuses("a kernel of 0", [&] { auto s = good; s.kernel[0] = 0; run(s); });
  refuses("an empty input", [&] { auto s = good; s.in[1] = 0; run(s); });
  refuses("a negative output", [&] { auto s = good; s.out[0] = -1; run(s); });
  refuses("a long side", [&] { auto s = good; s.out[0] = int64_t(1) << 31; run(s); });
  refuses("groups that do not divide", [&] { auto s = good; s.groups = 2; run(s); });
  refuses("a scale that is none", [&] { auto s = good; s.scale[0] = 2; run(s); });
  refuses("integers", [&] { auto s = good; s.type = s.weight_type = Type::i32; run(s); });
  refuses("narrower weights", [&] { auto s = good; s.weight_type = Type::f16; run(s); });
  refuses("logits of no softmax", [&] { run(good, reinterpret_cast<const char*>(w)); });
  auto none = good;
  none.batch = 0;
  hp::window(none, WindowWay::back_x, nullptr, nullptr, nullptr);  // nothing to write
  auto empty = good;
  empty.out[0] = 0;
  hp::window(empty, WindowWay::back_x, reinterpret_cast<char*>(x), nullptr, nullptr);
  CHECK(x[0] == 0 && x[3] == 0, "%g", double(x[0]));
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, 600, check_arguments, [](Random& r) {
    for (Type type : {Type::f32, Type::f64, Type::f16, Type::bf16}) one_case(r, type);
  });
}
