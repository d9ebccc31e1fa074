// SPDX-License-Identifier: MIT
// Program::run against the definition, bit for bit: random passes, element types, strides, threads, on every instruction set.
//
//   band_test [cases [first seed]]      a failure prints its seed; `band_test 1 SEED` runs it alone
#include <cstdio>
#include <cstdlib>

#include "definition.hh"
#include "parallel.hh"

namespace {

using hp::Compute;
using hp::Type;

struct Random {
  std::mt19937_64 engine;
  int64_t upto(int64_t n) { return int64_t(engine() % uint64_t(n)); }  // [0, n)
  bool chance(double p) { return double(engine() >> 11) * 0x1p-53 < p; }
  double real(double low, double high) { return low + (high - low) * (double(engine() >> 11) * 0x1p-53); }
  template <class T>
  T of(std::initializer_list<T> list) {
    return list.begin()[upto(int64_t(list.size()))];
  }
};

struct Case {
  std::vector<hp::PassSpec> passes;
  Compute compute = Compute::natural;
  hp::Rounding rounding = hp::Rounding::half_up;
  Type type = Type::f32;
  std::vector<int64_t> shape_in, shape_out;
  int threads = 1;
};

const char* name(Type type) {
  static const char* const names[] = {"f32", "f64", "f16", "bf16", "u8", "i8", "u16", "i16", "i32", "u32", "i64", "u64", "bool"};
  return names[int(type)];
}

int64_t length(Random& r, bool large) {
  if (large) return r.of<int64_t>({600, 1023, 1500, 2100});
  return r.chance(0.3) ? r.of<int64_t>({1, 2, 3, 4, 8, 16, 17, 32, 33, 64, 65, 128}) : 1 + r.upto(r.chance(0.2) ? 150 : 40);
}

hp::PassSpec random_pass(Random& r, int axis, int64_t n_in, int64_t n_out, bool selects, bool fixed, Compute compute) {
  hp::PassSpec pass;
  pass.axis = axis;
  pass.n_in = n_in;
  pass.n_out = n_out;
  pass.periodic = r.chance(0.15);
  pass.taps = int(std::min<int64_t>(n_in, selects ? 1 + r.upto(2) : r.chance(0.05) ? 70 : r.of<int64_t>({1, 2, 2, 3, 4, 4, 5, 6, 8, 11, 16})));
  const bool scattered = r.chance(0.1);
  const double zeros = r.of<double>({0, 0, 0.2, 0.6});
  for (int64_t o = 0; o < n_out; ++o) {
    const int64_t most = pass.periodic ? n_in - 1 : n_in - pass.taps;
    int64_t s = scattered ? r.upto(most + 1) : (2 * o + 1) * n_in / (2 * n_out) - pass.taps / 2;
    if (pass.periodic) s = ((s % n_in) + n_in) % n_in;
    pass.start.push_back(std::min(std::max<int64_t>(s, 0), most));
    const int only = int(r.upto(pass.taps));
    for (int k = 0; k < pass.taps; ++k) {
      double w = fixed ? double(r.upto(801) - 200) : r.real(-0.3, 1.0) / (pass.taps > 4 ? 4 : pass.taps);
      if (selects) w = k == only;
      else if (r.chance(zeros)) w = 0;
      pass.weight.push_back(w);
    }
  }
  if (!selects && r.chance(0.2))
    for (int64_t o = 0; o < n_out; ++o) pass.bias.push_back(fixed ? double(r.upto(100)) : r.real(-2, 2));
  if (fixed && r.chance(0.8)) pass.post = {hp::Post::fixed, int(r.upto(3)), int(r.upto(3)), int(r.upto(12)), r.of<double>({0, -300}), r.of<double>({255, 4000})};
  if (!selects && compute == Compute::real64 && r.chance(0.4)) pass.post = {r.of({hp::Post::round_away, hp::Post::float32}), 0, 0, 0, 0, 1000};
  return pass;
}

Case random_case(Random& r) {
  Case c;
  const bool large = r.chance(0.004), selects = r.chance(0.2);
  c.compute = r.of({Compute::natural, Compute::natural, Compute::natural, Compute::real64, Compute::fixed32});
  if (selects) c.compute = Compute::natural;
  const bool fixed = c.compute == Compute::fixed32;
  c.type = fixed ? r.of({Type::u8, Type::i8, Type::u16, Type::i16}) : Type(r.upto(13));
  if (r.chance(0.3) && !fixed) c.type = r.of({Type::f32, Type::u8});
  c.rounding = r.chance(0.6) ? hp::Rounding::half_up : hp::Rounding(r.upto(4));
  c.threads = r.of({1, 1, 2, 3, 7});
  const int ndim = large ? 2 : 1 + int(r.upto(4));
  int64_t room = large ? INT64_MAX : 60000;
  std::vector<int> axes;
  for (int d = 0; d < ndim; ++d) {
    int64_t n = std::min(length(r, large), std::max<int64_t>(1, room));
    room /= n;
    int64_t m = n;
    if (large || d == 0 || r.chance(0.5)) {
      m = std::min(length(r, large), std::max<int64_t>(1, room * 4));
      if (m > n) room = room * n / m;
      axes.push_back(d);
    } else if (r.chance(0.03)) {
      n = m = std::min<int64_t>(300, std::max<int64_t>(1, room * n));
    }
    c.shape_in.push_back(n);
    c.shape_out.push_back(m);
  }
  std::vector<int> order(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) order[i] = axes[i];
  std::shuffle(order.begin(), order.end(), r.engine);
  for (int d : order) c.passes.push_back(random_pass(r, d - ndim, c.shape_in[size_t(d)], c.shape_out[size_t(d)], selects || r.chance(0.1), fixed, c.compute));
  return c;
}

// An array in its own allocation, exactly as long as its farthest element, so that a sanitizer sees a byte too many. Dimensions lie
// in any order, with gaps, backwards, or (x only) all in one place.
struct Memory {
  std::vector<char> bytes;
  hp::Array array;
  std::vector<int64_t> span;
};

Memory lay_out(Random& r, const std::vector<int64_t>& shape, int element, bool input) {
  Memory m;
  const size_t n = shape.size();
  std::vector<size_t> order(n);
  for (size_t d = 0; d < n; ++d) order[d] = n - 1 - d;
  if (r.chance(0.6)) std::shuffle(order.begin(), order.end(), r.engine);
  m.array.shape = shape;
  m.array.stride.resize(n);
  int64_t step = r.chance(0.15) ? 2 : 1, low = 0, high = 0;
  for (size_t d : order) {
    const bool still = input && r.chance(0.04);
    m.array.stride[d] = still ? 0 : r.chance(0.1) ? -step : step;
    const int64_t reach = m.array.stride[d] * (shape[d] - 1);
    (reach < 0 ? low : high) += reach;
    if (!still) step *= shape[d];
    if (r.chance(0.15)) step += 1 + r.upto(5);
  }
  m.bytes.resize(size_t((high - low + 1) * element));
  m.bytes.shrink_to_fit();
  m.array.data = m.bytes.data() - low * element;
  return m;
}

template <class T>
void fill(Random& r, Memory& m) {
  const bool special = r.chance(0.15);
  for (size_t at = 0; at < m.bytes.size(); at += sizeof(T)) {
    double v = r.real(-300, 300);
    if (special && r.chance(0.02)) v = r.of<double>({NAN, INFINITY, -INFINITY, -0.0, 1e30});
    if constexpr (std::is_integral_v<T>) {
      const uint64_t bits = r.engine();
      std::memcpy(m.bytes.data() + at, &bits, sizeof(T));
    } else {
      definition::store<T, double>(m.bytes.data() + at, v, hp::Rounding::half_up);
    }
  }
}

template <class T>
bool same(const char* a, const char* b) {
  if (std::memcmp(a, b, sizeof(T)) == 0) return true;
  if constexpr (std::is_integral_v<T> || std::is_same_v<T, definition::Bool>) return false;
  else return std::isnan(definition::load<T, double>(a)) && std::isnan(definition::load<T, double>(b));
}

template <class C, class T>
bool check(Random& r, const Case& c, const std::string& isa) {
  const hp::Program program(c.passes, c.compute, c.rounding);
  Memory x = lay_out(r, c.shape_in, sizeof(T), true), out = lay_out(r, c.shape_out, sizeof(T), false);
  fill<T>(r, x);
  std::fill(out.bytes.begin(), out.bytes.end(), char(0xA5));
  Memory expected = out;
  expected.array.data = expected.bytes.data() + (out.array.data - out.bytes.data());
  const bool fused = isa != "v2";
  definition::run<C, T>(c.passes, c.rounding, program.copies(), fused, x.array, expected.array);
  for (int again = 0; again < 2; ++again) {
    program.run(x.array, out.array, c.type);
    for (size_t at = 0; at < out.bytes.size(); at += sizeof(T))
      if (!same<T>(out.bytes.data() + at, expected.bytes.data() + at)) {
        std::printf("element %zu is %.9g, not %.9g\n", at / sizeof(T), definition::load<T, double>(out.bytes.data() + at), definition::load<T, double>(expected.bytes.data() + at));
        return false;
      }
    hp::set_num_threads(c.threads + 1);  // the second time with another number of threads, over the first one's result
  }
  return true;
}

template <class T>
bool check_as(Random& r, const Case& c, const std::string& isa) {
  constexpr bool small = sizeof(T) <= 2 || std::is_same_v<T, float>;
  if (c.compute == Compute::real64) return check<double, T>(r, c, isa);
  if constexpr (std::is_integral_v<T> && sizeof(T) <= 2)
    if (c.compute == Compute::fixed32) return check<int32_t, T>(r, c, isa);
  return check<std::conditional_t<small, float, double>, T>(r, c, isa);
}

bool check_type(Random& r, const Case& c, const std::string& isa) {
  switch (c.type) {
    case Type::f32: return check_as<float>(r, c, isa);
    case Type::f64: return check_as<double>(r, c, isa);
    case Type::f16: return check_as<definition::Half>(r, c, isa);
    case Type::bf16: return check_as<definition::BFloat>(r, c, isa);
    case Type::u8: return check_as<uint8_t>(r, c, isa);
    case Type::i8: return check_as<int8_t>(r, c, isa);
    case Type::u16: return check_as<uint16_t>(r, c, isa);
    case Type::i16: return check_as<int16_t>(r, c, isa);
    case Type::i32: return check_as<int32_t>(r, c, isa);
    case Type::u32: return check_as<uint32_t>(r, c, isa);
    case Type::i64: return check_as<int64_t>(r, c, isa);
    case Type::u64: return check_as<uint64_t>(r, c, isa);
    case Type::boolean: return check_as<definition::Bool>(r, c, isa);
  }
  return false;
}

void describe(const Case& c, uint64_t seed, const std::string& isa) {
  std::printf("FAILED seed %llu on %s: %s, compute %d, rounding %d, %d threads, shape", (unsigned long long)seed, isa.c_str(), name(c.type), int(c.compute), int(c.rounding), c.threads);
  for (size_t d = 0; d < c.shape_in.size(); ++d) std::printf(" %lld->%lld", (long long)c.shape_in[d], (long long)c.shape_out[d]);
  for (const auto& p : c.passes) std::printf(", pass on %d with %d taps%s%s post %d", p.axis, p.taps, p.periodic ? " periodic" : "", p.bias.empty() ? "" : " biased", int(p.post.kind));
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t cases = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2000, first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  int failures = 0;
  for (uint64_t seed = first; seed < first + cases && failures < 20; ++seed)
    for (const std::string& isa : hp::isas()) {
      Random r{std::mt19937_64(seed)};
      const Case c = random_case(r);
      hp::set_isa(isa);
      hp::set_num_threads(c.threads);
      if (check_type(r, c, isa)) continue;
      describe(c, seed, isa);
      ++failures;
    }
  std::printf("%s: %llu cases on each of %zu instruction sets\n", failures ? "FAILED" : "ok", (unsigned long long)cases, hp::isas().size());
  return failures ? 1 : 0;
}
