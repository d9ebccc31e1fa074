// SPDX-License-Identifier: MIT
// rearrange() against a loop over indices: every way to copy, element sizes, strides of either side, threads and instruction sets.
//
//   rearrange_test [cases [first seed]]      a failure prints its seed; `rearrange_test 1 SEED` runs it alone
#include "rearrange.hh"

#include <algorithm>

#include "check.hh"
#include "definition.hh"
#include "dispatch.hh"
#include "parallel.hh"
#include "permute.hh"

namespace {

using Order = std::vector<size_t>;  // of axes in memory, slowest first

struct Side {
  Order order;
  std::vector<int64_t> gap;  // elements left out after each axis, by axis; negative: those that overlap, in x
  std::vector<int> sign;     // 1, -1, and 0 where all elements of an axis are one
  int64_t step = 1;          // of the fastest axis
};

struct Case {
  std::string kind;
  std::vector<int64_t> shape;
  Side x, out;
  int element;
};

// Bytes, as many as the elements reach over and a margin on either side. Without one a sanitizer sees a byte too many.
struct Memory {
  std::vector<unsigned char> bytes;
  hp::Array array;
};

Memory lay_out(const std::vector<int64_t>& shape, const Side& side, int element, size_t margin, unsigned char filler) {
  Memory m;
  m.array.shape = shape;
  m.array.stride.resize(shape.size());
  int64_t step = side.step, low = 0, high = 0;
  for (size_t k = side.order.size(); k-- > 0;) {
    const size_t d = side.order[k];
    m.array.stride[d] = side.sign[d] * step;
    (side.sign[d] < 0 ? low : high) += m.array.stride[d] * (shape[d] - 1);
    if (side.sign[d]) step = std::max<int64_t>(1, step * shape[d] + side.gap[d]);
  }
  m.bytes.assign(size_t((high - low + 1) * element) + 2 * margin, filler);
  m.bytes.shrink_to_fit();
  m.array.data = reinterpret_cast<char*>(m.bytes.data()) + margin - low * element;
  return m;
}

int64_t some_length(Random& r) { return r.of({1, 2, 3, 5, 7, 8, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97, 128, 129}); }

Side dense(Order order) {
  const size_t n = order.size();
  return {std::move(order), std::vector<int64_t>(n, 0), std::vector<int>(n, 1), 1};
}

// Named after what the two orders in memory are meant to reach; the kernel may find something better.
Case meant(Random& r, int64_t many) {
  const int64_t ways = r.chance(20) ? 1 + r.upto(18) : r.of({2, 3, 4, 8, 16});
  const int64_t block = r.chance(40) ? r.of({2, 4, 8}) : 1 + r.upto(r.chance(20) ? 70 : 17);  // powers of two fill buffers to the brim
  const int64_t outer = 1 + r.upto(4), count = many ? many / (ways * block) + 1 : 1 + r.upto(60);
  const int64_t n = many ? many / (ways * outer) + 1 : some_length(r);
  Case c;
  switch (r.upto(9)) {
    case 0: c = {"rows", {outer, n, ways}, dense({0, 1, 2}), dense({1, 0, 2}), 0}; break;
    case 1: c = {"streams", {outer, n, ways}, dense({0, 2, 1}), dense({0, 1, 2}), 0}; break;
    case 2: c = {"streams of two axes", {outer, n, 1 + r.upto(4), 1 + r.upto(4)}, dense({2, 0, 3, 1}), dense({0, 1, 2, 3}), 0}; break;
    case 3: c = {"blocks", {count, block, ways}, dense({2, 0, 1}), dense({0, 1, 2}), 0}; c.x.gap[1] = 1 + r.upto(20); break;
    case 4: c = {"blocks in rows", {count, block, ways}, dense({0, 2, 1}), dense({0, 1, 2}), 0}; break;
    case 5: c = {"blocks in several rows", {count, block, 1 + r.upto(4), 1 + r.upto(4)}, dense({2, 0, 3, 1}), dense({0, 1, 2, 3}), 0}; break;
    case 6: c = {"blocks apart", {count, outer, block, ways}, dense({3, 0, 1, 2}), dense({1, 0, 2, 3}), 0}; break;
    default: {
      const int64_t a = many ? r.of({129, 257, 300, 521}) : some_length(r), b = many ? many / a + 1 : 17 + some_length(r);
      c = {"turn", {many ? 1 : outer, a, b}, dense({0, 2, 1}), dense({0, 1, 2}), 0};
    }
  }
  if (r.chance(50)) std::swap(c.x, c.out);
  return c;
}

// Pixels of `channels` whose blocks of `rows` x `columns` are packed into channels, and spread over lines: axes lines, pixels, rows,
// columns, channels. Short ones too, whose pixels fill no register or just one.
Case shuffle(Random& r, int64_t many) {
  const int64_t channels = 1 + r.upto(r.chance(20) ? 40 : 9), rows = r.of({1, 2, 2, 3, 4, 5, 8}), columns = r.of({1, 2, 2, 3, 4, 7, 8});
  const int64_t pixels = many ? many / (channels * rows * columns) + 1 : r.chance(50) ? 1 + r.upto(70) : some_length(r);
  Case c{"", {many ? 2 : 1 + r.upto(3), pixels, rows, columns, channels}, {}, {}, 0};
  switch (r.upto(3)) {
    case 0: c.kind = "shuffle of channels, then blocks", c.x = dense({0, 1, 4, 2, 3}), c.out = dense({0, 2, 1, 3, 4}); break;
    case 1: c.kind = "shuffle of blocks, then channels", c.x = dense({0, 1, 2, 3, 4}), c.out = dense({0, 2, 1, 3, 4}); break;
    default: c.kind = "shuffle of planes", c.x = dense({4, 2, 3, 0, 1}), c.out = dense({4, 0, 2, 1, 3});
  }
  if (r.chance(20)) c.out.gap[2] = 1 + r.upto(40);  // lines that are parts of longer ones
  if (r.chance(50)) std::swap(c.x, c.out);
  return c;
}

Case random_case(Random& r) {
  const bool large = r.chance(6);
  Case c;
  const int element = int(r.of({1, 2, 4, 8, 16}));
  const int64_t bytes = r.of({100'000, 300'000, 700'000});
  if (r.chance(40)) {
    c = shuffle(r, large ? bytes / element : 0);
  } else if (large || r.chance(60)) {
    c = meant(r, large ? bytes / element : 0);
  } else {
    c.kind = "any";
    const size_t n = size_t(r.upto(7));
    Order order(n);
    int64_t room = 20'000;
    for (size_t d = 0; d < n; ++d) {
      order[d] = d;
      c.shape.push_back(std::min(r.chance(50) ? 1 + r.upto(5) : some_length(r), room));
      room /= c.shape[d];
    }
    for (Side* side : {&c.x, &c.out}) {
      std::shuffle(order.begin(), order.end(), r.engine);
      *side = dense(order);
    }
  }
  c.element = element;
  if (r.chance(25)) {
    for (size_t d = 0; d < c.shape.size(); ++d)
      for (Side* side : {&c.x, &c.out}) {
        if (r.chance(15)) side->gap[d] += r.upto(9);
        if (r.chance(15)) side->sign[d] = -1;
        else if (side == &c.x && r.chance(10)) side->sign[d] = 0;
        else if (side == &c.x && r.chance(15)) side->gap[d] -= r.upto(4);
      }
    if (r.chance(20)) (r.chance(50) ? c.x : c.out).step = 2 + r.upto(2);
  }
  return c;
}

bool right(Random& r, const Case& c) {
  Memory x = lay_out(c.shape, c.x, c.element, 0, 0);
  for (unsigned char& byte : x.bytes) byte = static_cast<unsigned char>(r.engine());
  const size_t margin = r.chance(50) ? 128 : 0;
  unsigned char filler = 0xA5;
  for (int threads : {1, 2, 5}) {  // another filler each time: what is not written differs once at least
    Memory out = lay_out(c.shape, c.out, c.element, margin, filler);
    Memory want = lay_out(c.shape, c.out, c.element, margin, filler);
    definition::each_index(c.shape, [&](const std::vector<int64_t>& at) {
      std::memcpy(want.array.data + definition::offset(want.array, at) * c.element, x.array.data + definition::offset(x.array, at) * c.element, size_t(c.element));
    });
    hp::set_num_threads(threads);
    hp::rearrange(x.array, out.array, c.element);
    const auto differs = std::mismatch(out.bytes.begin(), out.bytes.end(), want.bytes.begin());
    if (differs.first != out.bytes.end()) {
      std::printf("byte %td of %zu (margins of %zu) with %d threads; ", differs.first - out.bytes.begin(), out.bytes.size(), margin, threads);
      return false;
    }
    filler = static_cast<unsigned char>(filler + 77);
  }
  return true;
}

void describe(const Case& c, uint64_t seed, const std::string& isa) {
  std::printf("FAILED seed %llu on %s: %s, %d bytes, shape", (unsigned long long)seed, isa.c_str(), c.kind.c_str(), c.element);
  for (int64_t n : c.shape) std::printf(" %lld", (long long)n);
  for (const Side* side : {&c.x, &c.out}) {
    std::printf("; in memory");
    for (size_t d : side->order) std::printf(" %zu(%+d, gap %lld)", d, side->sign[d], (long long)side->gap[d]);
  }
  std::printf("\n");
}

void check_arguments() {
  Dense<float> a({3, 4}), b({4, 3});
  refuses("another shape", [&] { hp::rearrange(a.view(), b.view(), 4); });
  for (int bytes : {0, 3, 5, 32}) refuses("an element size", [&] { hp::rearrange(a.view(), a.view(), bytes); });
  std::vector<char> memory(2), other(2);
  hp::Array many{memory.data(), std::vector<int64_t>(33, 2), std::vector<int64_t>(33)}, to = many;
  int64_t step = 1;
  for (int64_t& stride : to.stride) stride = step *= 3;  // no two axes are one; memory is never touched
  to.data = other.data();
  refuses("33 axes", [&] { hp::rearrange(many, to, 1); });
  hp::Array none{nullptr, {5, 0, 2}, {1, 1, 1}};
  hp::rearrange(none, none, 4);  // nothing to copy
}

// That the usual shuffles are permutations of few registers, each byte of the result picked once, and stores that fill the group.
void check_permutations() {
  struct Usual {
    std::vector<hp::Axis> axes;
    hp::Registers registers;
    int bytes, width;
    double terms;  // of a store, at most
  };
  const std::vector<hp::Axis> rgb = {{200, 12, 6}, {2, 2, 1200}, {2, 1, 3}, {3, 4, 1}};  // channels-last, by 2
  const std::vector<hp::Axis> planes = {{500, 1, 3}, {3, 500, 1}};                       // three that alternate
  const Usual usual[] = {{rgb, {16, 2}, 1, 16, 4}, {rgb, {64, 1}, 1, 64, 3}, {rgb, {64, 2}, 1, 16, 4}, {rgb, {64, 2}, 2, 64, 3}, {rgb, {64, 2}, 4, 64, 3},
                         {planes, {16, 2}, 1, 16, 3}, {planes, {64, 1}, 1, 64, 3}};
  for (const Usual& u : usual) {
    std::vector<hp::Axis> left = u.axes;
    hp::Axis walk;
    const hp::Permutation* p = hp::find_permutation(left, u.registers, u.bytes, walk);
    CHECK(p && left.empty() && p->width == u.width && walk.size == u.axes[0].size, "a usual shuffle of %d bytes", u.bytes);
    int terms = 0;
    for (int s = 0; s < p->stores; ++s) {
      uint64_t taken = 0;
      for (int t = p->store[s].first; t < p->store[s].first + p->store[s].terms; ++t) {
        CHECK(!(taken & p->taken[t]), "store %d: lanes are picked twice", s);
        taken |= p->taken[t];
      }
      const int lanes = p->width / p->granule;
      CHECK(taken == (lanes == 64 ? ~uint64_t(0) : (uint64_t(1) << lanes) - 1), "store %d: lanes are missing", s);
      terms += p->store[s].terms;
    }
    CHECK(terms <= u.terms * p->stores, "%d terms for %d stores", terms, p->stores);
  }
  std::vector<hp::Axis> rows = {{7, 300, 200}, {200, 1, 1}}, single = {{9, 100, 3}, {8, 7, 30}};
  hp::Axis walk;
  CHECK(!hp::find_permutation(rows, {64, 1}, 1, walk) && !hp::find_permutation(single, {64, 1}, 1, walk), "nothing to permute");
}

// Calls that differ in one stride, size or element alone must not get each other's tables.
void check_neighbours() {
  Random r{std::mt19937_64(1)};
  Case c{"shuffle", {2, 70, 2, 2, 3}, dense({0, 1, 4, 2, 3}), dense({0, 2, 1, 3, 4}), 1};
  for (int round = 0; round < 2; ++round)
    for (int element : {1, 2})
      for (int64_t pixels : {70, 71})
        for (int64_t gap : {0, 1, 7})
          for (Side* side : {&c.x, &c.out}) {
            c.element = element;
            c.shape[1] = pixels;
            side->gap[side == &c.x ? 1 : 2] = gap;
            CHECK(right(r, c), "%d bytes, %lld pixels, a gap of %lld", element, (long long)pixels, (long long)gap);
          }
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t cases = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2500, first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  int failures = 0;
  check_arguments();
  check_permutations();
  check_neighbours();
  for (uint64_t seed = first; seed < first + cases && failures < 20; ++seed)
    for (const std::string& isa : hp::isas()) {
      Random r{std::mt19937_64(seed)};
      const Case c = random_case(r);
      hp::set_isa(isa);
      hp::set_permutes_bytes(seed % 2 == 0);
      if (right(r, c)) continue;
      describe(c, seed, isa);
      ++failures;
    }
  std::printf("%s: %llu cases on each of %zu instruction sets\n", failures ? "FAILED" : "ok", (unsigned long long)cases, hp::isas().size());
  return failures ? 1 : 0;
}
