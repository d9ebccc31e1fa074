// SPDX-License-Identifier: MIT
#include "permute.hh"

#include <algorithm>
#include <cstring>
#include <memory>

namespace hp {

namespace {

using Side = int64_t Axis::*;

constexpr int64_t kLongestPixel = 4096;  // bytes of all streams
constexpr int64_t kLongRun = 64;         // bytes that lie together on both sides: better copied as they are
constexpr int kSmall = 16;               // the register that picks any byte everywhere
constexpr double kMostSmallTerms = 6, kMostWideTerms = 16;  // on average, where other ways are better

// One way to see the axes: `inside` makes up a pixel of `dense` elements on the dense side; all but `apart` of it is dense on the
// other side too, where it makes `piece` elements.
struct Period {
  Axis walk{};
  Side packed = &Axis::x, other = &Axis::out;
  int64_t dense = 0, piece = 0;
  std::vector<Axis> inside, apart;
};

// How many elements the axes fill without gaps from 0 on, at most `most`; -1 if they overlap or leave gaps.
int64_t filled(std::vector<Axis> axes, Side side) {
  std::sort(axes.begin(), axes.end(), [&](const Axis& a, const Axis& b) { return a.*side < b.*side; });
  int64_t dense = 1;
  for (const Axis& axis : axes) {
    if (axis.*side != dense) return -1;
    dense *= axis.size;
  }
  return dense;
}

bool is_piece(const Axis& axis, const Period& period) { return axis.*period.other > 0 && axis.*period.other < period.piece; }

bool periodic(const std::vector<Axis>& axes, const Axis& walk, Side packed, Side other, int bytes, Period& period) {
  period = {walk, packed, other, walk.*packed, walk.*other, {}, {}};
  if (period.piece < 1 || period.dense < period.piece || period.dense > kLongestPixel / bytes) return false;
  std::vector<Axis> pieces;
  int64_t streams = 1;
  for (const Axis& axis : axes) {
    if (&axis == &walk || axis.*packed <= 0 || axis.*packed >= period.dense) continue;
    period.inside.push_back(axis);
    if (is_piece(axis, period)) {
      pieces.push_back(axis);
    } else {
      period.apart.push_back(axis);
      streams *= axis.size;
    }
  }
  return streams <= kMostStreams && filled(period.inside, packed) == period.dense && filled(pieces, other) == period.piece;
}

// A granule of a pixel: where it begins in its streams, in bytes.
struct Pair {
  int64_t x, out;
};

// `streams` lists of a pixel's granules, one for each stream of the side that has several, ascending in x.
struct Pattern {
  bool gathers;                 // several streams in x, one in out
  std::vector<int64_t> stream;  // where each begins, in bytes
  std::vector<Pair> pairs;
  int64_t each;                 // pairs of a stream
  int64_t x_pixel, out_pixel;
};

// Along it bytes lie together on both sides. (One that is not dense in x, whose elements overlap there, is none.)
bool is_run(const Axis& axis, const Period& period) { return axis.x == 1 && axis.out == 1 && is_piece(axis, period); }

int64_t run_of(const Period& period, int bytes) {
  for (const Axis& axis : period.inside)
    if (is_run(axis, period)) return axis.size * bytes;
  return bytes;
}

struct Step {
  int64_t size, packed, piece, stream;  // in granules, and in streams
};

// The axes of a pixel, and how far each leads on either side.
std::vector<Step> steps_of(const Period& period, int bytes, int granule) {
  std::vector<Step> steps{{run_of(period, bytes) / granule, 1, 1, 0}};
  const auto granules = [&](int64_t elements) { return elements * bytes / granule; };
  for (const Axis& axis : period.inside)
    if (is_piece(axis, period) && !is_run(axis, period)) steps.push_back({axis.size, granules(axis.*period.packed), granules(axis.*period.other), 0});
  int64_t number = 1;
  for (const Axis& axis : period.apart) {
    steps.push_back({axis.size, granules(axis.*period.packed), 0, number});
    number *= axis.size;
  }
  return steps;
}

Pattern pattern_of(const Period& period, int bytes, int granule) {
  Pattern made{period.packed == &Axis::out, {0}, {}, period.piece * bytes / granule, 0, 0};
  for (const Axis& axis : period.apart) {
    const size_t had = made.stream.size();
    for (int64_t i = 1; i < axis.size; ++i)
      for (size_t k = 0; k < had; ++k) made.stream.push_back(made.stream[k] + i * (axis.*period.other) * bytes);
  }
  const std::vector<Step> steps = steps_of(period, bytes, granule);
  std::vector<int64_t> at(steps.size(), 0), place(size_t(made.each * int64_t(made.stream.size())));  // of each dense granule: stream by stream
  int64_t packed = 0, piece = 0;
  for (size_t count = 0; count < place.size(); ++count) {
    place[size_t(packed)] = piece;
    for (size_t s = 0; s < steps.size(); ++s) {
      const int64_t by = ++at[s] < steps[s].size ? 1 : 1 - steps[s].size;
      packed += by * steps[s].packed;
      piece += by * (steps[s].piece + steps[s].stream * made.each);
      if (by == 1) break;
      at[s] = 0;
    }
  }
  made.pairs.resize(place.size());
  std::vector<int64_t> filled(made.stream.size(), 0);
  for (size_t d = 0; d < place.size(); ++d) {
    const int64_t dense = int64_t(d) * granule, stream = place[d] / made.each, in = place[d] % made.each;
    if (made.gathers) made.pairs[size_t(place[d])] = {in * granule, dense};
    else made.pairs[size_t(stream * made.each + filled[size_t(stream)]++)] = {dense, in * granule};
  }
  const int64_t dense = int64_t(place.size()) * granule, one = made.each * granule;
  made.x_pixel = made.gathers ? one : dense;
  made.out_pixel = made.gathers ? dense : one;
  return made;
}

int64_t parts(int64_t n, int64_t part) { return (n + part - 1) / part; }

// The group's size that takes the fewest stores for n pixels; 0 if none fits.
int64_t best_group(const Pattern& pattern, int64_t n, int width) {
  const int64_t least = parts(width, std::min(pattern.x_pixel, pattern.out_pixel)), most = std::min<int64_t>(n, std::max<int64_t>(least, width));
  const int64_t out_streams = pattern.gathers ? 1 : int64_t(pattern.stream.size());
  int64_t best = 0, fewest = INT64_MAX;
  for (int64_t p = least; p <= most; ++p) {
    const int64_t stores = parts(p * pattern.out_pixel, width) * out_streams;
    if (stores > kMostStores) break;
    const int64_t all = parts(n, p) * stores;
    if (all >= fewest) continue;
    best = p;
    fewest = all;
  }
  return best;
}

// Granule `lane` of the last store comes from byte `in` of the last term's register.
void note(Permutation& p, int term, int lane, int64_t in) {
  const int g = p.granule;
  uint8_t* const store = p.index + p.stores * 64;
  p.taken[term] |= uint64_t(1) << lane;
  if (p.width == kSmall)
    for (int b = 0; b < g; ++b) p.index[term * 16 + lane * g + b] = uint8_t(in + b);
  else if (g == 4) reinterpret_cast<uint32_t*>(store)[lane] = uint32_t(in / 4);
  else if (g == 2) reinterpret_cast<uint16_t*>(store)[lane] = uint16_t(in / 2);
  else store[lane] = uint8_t(in);
}

// One store at `at` of the group's stream: a stream of x after the other, in ascending order, a term as far as its register reaches.
bool add_store(const Pattern& pattern, size_t stream, int64_t at, Permutation& p, int& terms) {
  const int64_t furthest = p.pixels * p.x_pixel - p.width, end = at + p.width;
  p.store[p.stores] = {(pattern.gathers ? 0 : pattern.stream[stream]) + at, terms, 0};
  const size_t first = pattern.gathers ? 0 : stream, past = pattern.gathers ? pattern.stream.size() : stream + 1;
  for (size_t list = first; list < past; ++list) {
    const Pair* const pairs = pattern.pairs.data() + int64_t(list) * pattern.each;
    int64_t reach = -1;
    for (int64_t pixel = at / p.out_pixel; pixel * p.out_pixel < end; ++pixel)
      for (int64_t i = 0; i < pattern.each; ++i) {
        const int64_t out = pixel * p.out_pixel + pairs[i].out, x = pixel * p.x_pixel + pairs[i].x;
        if (out < at || out >= end) continue;
        if (x >= reach) {
          if (terms == kMostTerms) return false;
          const int64_t low = std::min(x, furthest);
          reach = low + p.width;
          p.x[terms] = (pattern.gathers ? pattern.stream[list] : 0) + low;
          p.taken[terms] = 0;
          if (p.width == kSmall) std::memset(p.index + terms * 16, 128, 16);
          ++terms;
        }
        note(p, terms - 1, int(out - at) / p.granule, x - (reach - p.width));
      }
  }
  p.store[p.stores].terms = terms - p.store[p.stores].first;
  ++p.stores;
  return true;
}

bool fill(const Pattern& pattern, int64_t n, int width, int granule, Permutation& p) {
  p.width = width;
  p.granule = granule;
  p.pixels = best_group(pattern, n, width);
  if (p.pixels == 0) return false;
  p.x_pixel = pattern.x_pixel;
  p.out_pixel = pattern.out_pixel;
  p.stores = 0;
  int terms = 0;
  const int64_t group = p.pixels * p.out_pixel;
  for (size_t stream = 0; stream < (pattern.gathers ? 1 : pattern.stream.size()); ++stream)
    for (int64_t at = 0; at < group; at += width)
      if (!add_store(pattern, stream, std::min(at, group - width), p, terms)) return false;
  return terms <= p.stores * (width == kSmall ? kMostSmallTerms : kMostWideTerms);
}

bool same(const Axis& a, const Axis& b) { return a.size == b.size && a.x == b.x && a.out == b.out; }

// Takes the axes that a permutation serves out of `axes`, the pixels' into `walk`; false if there is none that is worth it.
bool make(std::vector<Axis>& axes, const Registers& registers, int bytes, Permutation& p, Axis& walk) {
  Period best;
  for (const Axis& axis : axes)
    for (const Side packed : {&Axis::x, &Axis::out}) {
      Period period;
      if (periodic(axes, axis, packed, packed == &Axis::x ? &Axis::out : &Axis::x, bytes, period) && period.dense * axis.size > best.dense * best.walk.size)
        best = period;
    }
  if (best.dense < 2) return false;
  const int64_t run = run_of(best, bytes);
  if (run >= kLongRun) return false;
  const int granule = run % 4 == 0 ? 4 : run % 2 == 0 ? 2 : 1;
  const Pattern pattern = pattern_of(best, bytes, granule);
  const bool wide = registers.bytes == 64 && granule >= registers.least;
  if (!(wide && fill(pattern, best.walk.size, 64, granule, p)) && !fill(pattern, best.walk.size, kSmall, granule, p)) return false;
  walk = best.walk;
  best.inside.push_back(walk);
  for (const Axis& taken : best.inside) axes.erase(std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return same(a, taken); }));
  return true;
}

// What a thread asked for last: tables take longer to make than a small tensor takes to copy.
struct Kept {
  std::vector<Axis> asked, left;
  Registers registers;
  int bytes;
  bool found;
  Axis walk;
  Permutation permutation;
};
constexpr size_t kMostKept = 8;

}  // namespace

const Permutation* find_permutation(std::vector<Axis>& axes, const Registers& registers, int bytes, Axis& walk) {
  thread_local std::vector<std::unique_ptr<Kept>> all;
  thread_local size_t oldest = 0;
  const auto asks = [&](const std::unique_ptr<Kept>& k) {
    return k->bytes == bytes && k->registers.bytes == registers.bytes && k->registers.least == registers.least &&
           std::equal(axes.begin(), axes.end(), k->asked.begin(), k->asked.end(), same);
  };
  const auto had = std::find_if(all.begin(), all.end(), asks);
  Kept* kept = had == all.end() ? nullptr : had->get();
  if (!kept) {
    auto made = std::make_unique_for_overwrite<Kept>();
    made->asked = made->left = axes;
    made->registers = registers;
    made->bytes = bytes;
    made->found = make(made->left, registers, bytes, made->permutation, made->walk);
    kept = made.get();
    if (all.size() < kMostKept) all.push_back(std::move(made));
    else all[oldest++ % kMostKept] = std::move(made);
  }
  if (!kept->found) return nullptr;
  axes = kept->left;
  walk = kept->walk;
  return &kept->permutation;
}

}  // namespace hp
