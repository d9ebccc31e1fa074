// SPDX-License-Identifier: MIT
// Max pooling, unpooling, its sums and gathers against loops: every type, geometry, order of memory, threads and instruction sets.
//
//   pool_test [cases [first seed]]      a failure prints its seed; `pool_test 1 SEED` runs it alone
#include "pool.hh"

#include <algorithm>
#include <functional>

#include "cases.hh"
#include "definition.hh"
#include "guarded.hh"
#include "parallel.hh"

namespace {

using definition::load;
using hp::Type;

constexpr int64_t kGuard = -0x5A5A5A5A5A5A5A5B;

template <class T>
bool same(const T& a, const T& b) {
  if (std::memcmp(&a, &b, sizeof(T)) == 0) return true;
  const double v = load<T, double>(reinterpret_cast<const char*>(&a)), w = load<T, double>(reinterpret_cast<const char*>(&b));
  return std::isnan(v) && std::isnan(w);
}

template <class T>
T stored(double v) {
  T t;
  definition::store<T, double>(reinterpret_cast<char*>(&t), v, hp::Rounding::half_up);
  return t;
}

// ------------------------------------------------------------------------------------------------ pooling

hp::PoolSpec random_spec(Random& r) {
  hp::PoolSpec s{};
  const bool large = r.chance(4);
  s.last = r.chance(40);
  s.planes = large ? r.of({1, 2, 7}) : 1 + r.upto(3);
  s.channels = s.last ? r.of({1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 40}) : 1;
  const int64_t usual = r.chance(40) ? r.of({2, 3}) : 0;  // 2x2 and 3x3, whose taps are counted when compiled
  for (int d = 0; d < 3; ++d) {
    const bool flat = d == 0 ? r.chance(60) : r.chance(10);
    s.kernel[d] = flat ? 1 : 1 + r.upto(5);
    s.stride[d] = r.chance(10) ? 1 + r.upto(20) : 1 + r.upto(4);
    s.dilation[d] = r.chance(30) ? 1 + r.upto(5) : 1;
    // More than half a window is no pooling of torch's, but the contract has no such bound.
    const bool far = r.chance(8);
    s.padding[d] = far ? r.upto(60) : r.upto(s.kernel[d] / 2 + 1);
    s.in[d] = d == 2 ? (r.chance(50) ? 1 + r.upto(40) : r.of({1, 15, 16, 17, 31, 32, 33, 64, 65, 127, 200})) : 1 + r.upto(flat ? 3 : 11);
    if (large && d > 0) s.in[d] = r.of({61, 97, 130});
    if (usual) s.kernel[d] = d == 0 ? 1 : usual, s.stride[d] = 1 + r.upto(2), s.dilation[d] = r.chance(10) ? 2 : 1, s.padding[d] = r.upto(usual / 2 + 1);
    const int64_t room = s.in[d] + 2 * s.padding[d] - s.dilation[d] * (s.kernel[d] - 1) - 1;
    s.out[d] = room < 0 ? 1 : room / s.stride[d] + 1;
    if (r.chance(30)) s.out[d] = room < 0 ? 1 : (room + s.stride[d] - 1) / s.stride[d] + 1;  // ceil
    if (r.chance(far ? 50 : 5)) s.out[d] = 1 + r.upto(std::min<int64_t>(s.out[d], 20));
  }
  if (s.last && large) s.channels = std::min<int64_t>(s.channels, 8);
  return s;
}

struct Winner {
  int64_t from = -1;  // element of the input; none: the window misses it
  int64_t place = -1;
};

// Element by element, in the order of the input.
template <class T>
void pool_by_loop(const hp::PoolSpec& s, const T* x, const std::function<void(int64_t, Winner)>& put) {
  for (int64_t p = 0; p < s.planes; ++p)
    for (int64_t od = 0; od < s.out[0]; ++od)
      for (int64_t oh = 0; oh < s.out[1]; ++oh)
        for (int64_t ow = 0; ow < s.out[2]; ++ow)
          for (int64_t c = 0; c < s.channels; ++c) {
            Winner best;
            double value = 0;
            definition::each_index({s.kernel[0], s.kernel[1], s.kernel[2]}, [&](const std::vector<int64_t>& k) {
              const int64_t o[3] = {od, oh, ow};
              int64_t place = 0;
              for (size_t d = 0; d < 3; ++d) {
                const int64_t at = o[d] * s.stride[d] - s.padding[d] + k[d] * s.dilation[d];
                if (at < 0 || at >= s.in[d]) return;
                place = place * s.in[d] + at;
              }
              const int64_t from = (p * s.in[0] * s.in[1] * s.in[2] + place) * s.channels + c;
              const double v = load<T, double>(reinterpret_cast<const char*>(x + from));
              if (best.from >= 0 && !(v > value) && !std::isnan(v)) return;
              best = {from, place};
              value = v;
            });
            put((((p * s.out[0] + od) * s.out[1] + oh) * s.out[2] + ow) * s.channels + c, best);
          }
}

template <class T>
T random_element(Random& r, bool special) {
  if (special && r.chance(10)) {
    static const double kSpecial[] = {NAN, INFINITY, -INFINITY, -INFINITY, -INFINITY, 0.0, -0.0};
    return stored<T>(kSpecial[r.upto(7)]);
  }
  if (r.chance(5)) {
    const uint64_t bits = r.engine();
    T t;
    std::memcpy(&t, &bits, sizeof t);  // all the numbers that there are
    return t;
  }
  return stored<T>(double(r.upto(9) - 4));  // few, so that maxima are equal often
}

template <class T>
void pools(Random& r, Type type) {
  const hp::PoolSpec s = random_spec(r);
  const int64_t n_in = s.planes * s.channels * s.in[0] * s.in[1] * s.in[2], n_out = s.planes * s.channels * s.out[0] * s.out[1] * s.out[2];
  Guarded<T> x(n_in, false, T{});
  const bool special = r.chance(60), margins = r.chance(50), nothing = r.chance(5);
  for (int64_t i = 0; i < n_in; ++i) x.data()[i] = nothing ? stored<T>(-INFINITY) : random_element<T>(r, special);
  const T filler = stored<T>(77);
  Guarded<T> alone(n_out, margins, filler);
  hp::set_num_threads(3);
  hp::max_pool(s, type, reinterpret_cast<const char*>(x.data()), reinterpret_cast<char*>(alone.data()), nullptr);
  Guarded<T> first(n_out, margins, filler);
  Guarded<int64_t> places(n_out, margins, kGuard);
  for (int threads : {1, 2, 5}) {
    Guarded<T> out(n_out, margins, filler);
    Guarded<int64_t> place(n_out, margins, kGuard);
    hp::set_num_threads(threads);
    hp::max_pool(s, type, reinterpret_cast<const char*>(x.data()), reinterpret_cast<char*>(out.data()), place.data());
    EXPECT(out.kept() && place.kept(), "type %d: memory around the result was written, %d threads", int(type), threads);
    if (threads == 1) {
      first.all = out.all;
      places.all = place.all;
    }
    EXPECT(std::memcmp(first.data(), out.data(), size_t(n_out) * sizeof(T)) == 0 && places.all == place.all, "type %d: other bits with %d threads", int(type), threads);
  }
  EXPECT(alone.kept() && std::memcmp(first.data(), alone.data(), size_t(n_out) * sizeof(T)) == 0, "type %d: other values without places", int(type));
  pool_by_loop<T>(s, x.data(), [&](int64_t i, Winner want) {
    const T value = want.from < 0 ? stored<T>(-INFINITY) : x.data()[want.from];
    EXPECT(same(first.data()[i], value), "type %d, last %d: value %lld", int(type), int(s.last), (long long)i);
    if (want.from >= 0)
      EXPECT(places.data()[i] == want.place, "type %d, last %d: place %lld is %lld, not %lld", int(type), int(s.last), (long long)i, (long long)places.data()[i], (long long)want.place);
  });
}

// ------------------------------------------------------------------------------------------------ places

struct Mapped {
  hp::Places p;
  std::vector<int64_t> place;
  bool margins;
  int64_t windows() const { return p.planes * p.channels * p.n_in; }
  int64_t elements() const { return p.planes * p.channels * p.n_out; }
};

Mapped random_places(Random& r) {
  Mapped m;
  const bool large = r.chance(8);
  m.p = {1 + r.upto(4), r.chance(50) ? 1 : r.of({2, 3, 5, 16, 17, 33, 50}), 1 + r.upto(40), 1 + r.upto(60)};
  if (large) m.p = {1 + r.upto(5), r.of({1, 1, 3, 40, 70}), 1000 + r.upto(2000), 1 + r.upto(3000)};
  m.margins = r.chance(50);
  for (int64_t i = 0; i < m.windows(); ++i) m.place.push_back(r.upto(m.p.n_out));
  return m;
}

// f(window, element of the plane's side) in ascending order of windows.
template <class F>
void each_window(const Mapped& m, F f) {
  for (int64_t i = 0; i < m.windows(); ++i) {
    const int64_t plane = i / (m.p.n_in * m.p.channels), c = i % m.p.channels;
    f(i, (plane * m.p.n_out + m.place[size_t(i)]) * m.p.channels + c);
  }
}

template <class T>
using Run = std::function<int64_t(const Mapped&, const T*, const int64_t*, T*)>;

// Right on every number of threads; and a place that is none is told, and nothing around the result is written.
template <class T>
void maps(Random& r, const char* what, Mapped m, const std::vector<T>& x, const std::vector<T>& want, const Run<T>& run) {
  const T filler = T(77);
  std::vector<T> from = x;
  from.shrink_to_fit();
  m.place.shrink_to_fit();
  for (int threads : {1, 2, 5}) {
    Guarded<T> out(int64_t(want.size()), m.margins, filler);
    hp::set_num_threads(threads);
    const int64_t wrong = run(m, from.data(), m.place.data(), out.data());
    EXPECT(wrong == -1, "%s: place %lld was refused", what, (long long)wrong);
    EXPECT(out.kept(), "%s: memory around the result was written, %d threads", what, threads);
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT(std::memcmp(out.data() + i, &want[i], sizeof(T)) == 0, "%s: element %zu of %zu, %d threads", what, i, want.size(), threads);
  }
  const bool low = r.chance(50);  // beyond the first plane's begin, beyond the last one's end
  const int64_t windows = m.p.n_in * m.p.channels, at = low ? r.upto(windows) : m.windows() - 1 - r.upto(windows);
  m.place[size_t(at)] = low ? r.of({-1, -2, INT64_MIN, -(int64_t(1) << 40)}) : r.of({m.p.n_out, m.p.n_out + 1, INT64_MAX, int64_t(1) << 32, int64_t(1) << 40});
  Guarded<T> out(int64_t(want.size()), m.margins, filler);
  hp::set_num_threads(int(r.of({1, 2, 5})));
  const int64_t wrong = run(m, from.data(), m.place.data(), out.data());
  EXPECT(wrong == at, "%s: place %lld at %lld was answered with %lld", what, (long long)m.place[size_t(at)], (long long)at, (long long)wrong);
  EXPECT(out.kept(), "%s: memory around the result was written for place %lld", what, (long long)m.place[size_t(at)]);
}

template <class T>
std::vector<T> some_numbers(Random& r, int64_t count) {
  std::vector<T> x(static_cast<size_t>(count));
  for (T& v : x) v = std::is_floating_point_v<T> ? T(double(r.upto(20001) - 10000) / 77) : T(r.engine());
  return x;
}

template <class T>
void copies_by_place(Random& r) {
  const auto bytes = [](const T* p) { return reinterpret_cast<const char*>(p); };
  Mapped m = random_places(r);
  std::vector<T> x = some_numbers<T>(r, m.windows()), spread(size_t(m.elements()), T(0));
  each_window(m, [&](int64_t i, int64_t to) { spread[size_t(to)] = x[size_t(i)]; });
  maps<T>(r, "unpool", m, x, spread, [&](const Mapped& n, const T* from, const int64_t* place, T* out) {
    return hp::unpool(n.p, sizeof(T), bytes(from), place, reinterpret_cast<char*>(out));
  });

  const std::vector<T> y = some_numbers<T>(r, m.elements());
  std::vector<int64_t> last(y.size(), -1);
  each_window(m, [&](int64_t i, int64_t to) { last[size_t(to)] = i; });
  for (bool winners : {false, true}) {
    std::vector<T> want(x.size());
    each_window(m, [&](int64_t i, int64_t to) { want[size_t(i)] = !winners || last[size_t(to)] == i ? y[size_t(to)] : T(0); });
    maps<T>(r, winners ? "gather of winners" : "gather", m, y, want, [&](const Mapped& n, const T* from, const int64_t* place, T* out) {
      return hp::gather(n.p, sizeof(T), winners, bytes(from), place, reinterpret_cast<char*>(out));
    });
  }
}

template <class T>
void sums_by_place(Random& r, Type type) {
  Mapped m = random_places(r);
  std::vector<T> x = some_numbers<T>(r, m.windows()), sum(size_t(m.elements()), T(0));
  each_window(m, [&](int64_t i, int64_t to) { sum[size_t(to)] += x[size_t(i)]; });
  maps<T>(r, "pool_back", m, x, sum, [&](const Mapped& n, const T* from, const int64_t* place, T* out) {
    return hp::pool_back(n.p, type, reinterpret_cast<const char*>(from), place, reinterpret_cast<char*>(out));
  });
}

// ------------------------------------------------------------------------------------------------ arguments

void check_arguments() {
  const hp::PoolSpec good{1, 1, false, {1, 2, 2}, {1, 1, 1}, {1, 2, 2}, {1, 2, 2}, {0, 0, 0}, {1, 1, 1}};
  const float x[4] = {1, 2, 3, 4};
  float out[4] = {};
  int64_t place[4] = {};
  const auto pool = [&](const hp::PoolSpec& s) { hp::max_pool(s, Type::f32, reinterpret_cast<const char*>(x), reinterpret_cast<char*>(out), place); };
  pool(good);
  CHECK(out[0] == 4 && place[0] == 3, "%g at %lld", double(out[0]), (long long)place[0]);
  for (auto field : {&hp::PoolSpec::in, &hp::PoolSpec::kernel, &hp::PoolSpec::stride, &hp::PoolSpec::dilation})
    refuses("a size of 0", [&] { auto s = good; (s.*field)[1] = 0; pool(s); });
  for (auto field : {&hp::PoolSpec::out, &hp::PoolSpec::padding}) refuses("a negative size", [&] { auto s = good; (s.*field)[2] = -1; pool(s); });
  refuses("a plane of 2^31", [&] { auto s = good; s.in[0] = 1 << 11, s.in[1] = 1 << 10, s.in[2] = 1 << 10; pool(s); });
  for (Type type : {Type::u16, Type::u32, Type::i64, Type::u64, Type::boolean})
    refuses("an element type", [&] { hp::max_pool(good, type, reinterpret_cast<const char*>(x), reinterpret_cast<char*>(out), place); });
  auto none = good;
  none.out[1] = 0;
  hp::max_pool(none, Type::f32, nullptr, nullptr, nullptr);  // nothing to write
  auto wide = good;  // steps that lead nowhere cost no memory
  for (int d = 1; d < 3; ++d) wide.stride[d] = int64_t(1) << 40;
  pool(wide);
  CHECK(out[0] == 4 && place[0] == 3, "%g at %lld", double(out[0]), (long long)place[0]);
  auto far = good;  // a window that lies in the padding alone, which is longer than all that the window needs
  far.padding[2] = 1 << 20;
  pool(far);
  CHECK(out[0] == -INFINITY, "%g", double(out[0]));

  const hp::Places p{1, 1, 4, 4};
  char* const to = reinterpret_cast<char*>(out);
  for (int bytes : {0, 3, 16}) {
    refuses("unpool's elements", [&] { hp::unpool(p, bytes, reinterpret_cast<const char*>(x), place, to); });
    refuses("gather's elements", [&] { hp::gather(p, bytes, true, reinterpret_cast<const char*>(x), place, to); });
  }
  for (Type type : {Type::f16, Type::bf16, Type::u8, Type::i64}) refuses("a sum", [&] { hp::pool_back(p, type, reinterpret_cast<const char*>(x), place, to); });
}

}  // namespace

int main(int argc, char** argv) {
  return run_cases(argc, argv, 300, check_arguments, [](Random& r) {
    pools<float>(r, Type::f32);
    pools<double>(r, Type::f64);
    pools<definition::Half>(r, Type::f16);
    pools<definition::BFloat>(r, Type::bf16);
    pools<uint8_t>(r, Type::u8);
    pools<int8_t>(r, Type::i8);
    pools<int16_t>(r, Type::i16);
    pools<int32_t>(r, Type::i32);
    copies_by_place<uint8_t>(r);
    copies_by_place<uint16_t>(r);
    copies_by_place<uint32_t>(r);
    copies_by_place<uint64_t>(r);
    sums_by_place<float>(r, Type::f32);
    sums_by_place<double>(r, Type::f64);
  });
}
