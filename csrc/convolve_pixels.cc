// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "convolve.hh"
#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {

namespace {

// Chosen by measurement on a processor with 1 MiB of level-2 cache a core.
constexpr int64_t kTile = 192;                   // places of a tile, a multiple of every block
constexpr int64_t kLeastTile = 48;
constexpr int64_t kTileBytes = 512 << 10;        // of x and of the result that a tile reads and makes
constexpr int64_t kWeightBytes = 512 << 10;      // of a piece, so that they stay in the cache from one block of places to the next
constexpr int64_t kStreamBytes = 8 << 20;        // larger results are stored past the caches
constexpr int64_t kThreadProducts = 512 << 10;   // less work than this a thread is not worth waking it
constexpr double kMostTaps = 1 << 16;

int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t product(const int64_t* n) { return n[0] * n[1] * n[2]; }
int64_t bytes_of(Type type) { return type == Type::f32 ? 4 : 8; }
// Rounded to infinity.
int64_t upward(int64_t a, int64_t b) { return a >= 0 ? ceiling(a, b) : -(-a / b); }

struct Lists {
  std::vector<PixelPhase> phases;
  std::vector<PixelTap> taps;
  std::vector<PixelRun> runs;
  std::vector<PixelPiece> pieces, piece_of;
  std::vector<int64_t> phase, number, lane;
};

PixelCorrelation fitted(Direction direction, const ConvolveSpec& s, Type type) {
  PixelCorrelation k{};
  const bool forward = k.forward = direction == Direction::forward;
  k.type = type;
  k.samples = s.samples;
  k.groups = s.groups;
  k.c = forward ? s.c_in : s.c_out;
  k.m = forward ? s.c_out : s.c_in;
  k.taps = product(s.kernel);
  k.weight_by_c = forward != s.weight_swapped;
  k.weight_last = s.weight_last;
  (k.weight_by_c ? k.weight_c : k.weight_m) = (k.weight_by_c ? k.m : k.c) * k.taps;
  (k.weight_by_c ? k.weight_m : k.weight_c) = s.weight_last ? 1 : k.taps;
  k.weight_group = s.c_in * s.c_out * k.taps;
  for (int d = 0; d < 3; ++d) {
    k.split[d] = forward ? 1 : s.stride[d];
    k.join[d] = forward ? s.stride[d] : 1;
    k.x_size[d] = forward ? s.in[d] : s.out[d];
    k.out_size[d] = forward ? s.out[d] : s.in[d];
    k.places[d] = ceiling(k.out_size[d], k.join[d]);
  }
  return k;
}

// A tap of the kernel: the phase of outputs that it reaches, and the pixel that these read through it.
struct Reach {
  int64_t tap, phase[3];
  PixelTap to;
};

std::vector<Reach> reaches(const PixelCorrelation& k, const ConvolveSpec& s) {
  std::vector<Reach> all;
  for (int64_t tap = 0; tap < k.taps; ++tap) {
    const int64_t i[3] = {tap / s.kernel[2] / s.kernel[1], tap / s.kernel[2] % s.kernel[1], tap % s.kernel[2]};
    Reach r{tap, {0, 0, 0}, {}};
    for (int d = 0; d < 3; ++d) {
      const int64_t at = i[d] * s.dilation[d] - s.padding[d];
      r.to.shift[d] = k.forward ? upward(-at, k.join[d]) : at;
      if (k.forward) r.phase[d] = r.to.shift[d] * k.join[d] + at;
    }
    r.to.offset = ((r.to.shift[0] * k.x_size[1] + r.to.shift[1]) * k.x_size[2] + r.to.shift[2]) * k.groups * k.c;
    all.push_back(r);
  }
  // Pixels in the order of memory, whatever the sizes of x.
  std::stable_sort(all.begin(), all.end(), [](const Reach& a, const Reach& b) {
    return std::lexicographical_compare(a.to.shift, a.to.shift + 3, b.to.shift, b.to.shift + 3);
  });
  return all;
}

// The outputs of phase b read the pixels of phase a, or, with `next`, those of a's next place in the row.
bool same_pixels(const std::vector<Reach>& a, const std::vector<Reach>& b, bool next) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const Reach& p, const Reach& q) {
    return p.to.shift[0] == q.to.shift[0] && p.to.shift[1] == q.to.shift[1] && p.to.shift[2] == q.to.shift[2] + int64_t(next);
  });
}

void add_phase(Lists& l, const PixelCorrelation& k, const int64_t* at, const std::vector<Reach>& taps) {
  PixelPhase f{};
  f.channels = k.m;
  f.tap = int64_t(l.taps.size());
  f.taps = int64_t(taps.size());
  f.run = int64_t(l.runs.size());
  for (int d = 0; d < 3; ++d) {
    f.at[d] = at[d];
    f.places[d] = ceiling(std::max<int64_t>(0, k.out_size[d] - at[d]), k.join[d]);
    for (const Reach& r : taps) {
      f.low[d] = &r == taps.data() ? r.to.shift[d] : std::min(f.low[d], r.to.shift[d]);
      f.high[d] = &r == taps.data() ? r.to.shift[d] : std::max(f.high[d], r.to.shift[d]);
    }
  }
  for (const Reach& r : taps) {
    const bool follows = int64_t(l.runs.size()) > f.run && r.to.offset == l.runs.back().offset + l.runs.back().length;
    if (follows) l.runs.back().length += k.c;
    else l.runs.push_back({r.to.offset, k.c});
    l.taps.push_back(r.to);
  }
  f.runs = int64_t(l.runs.size()) - f.run;
  l.phases.push_back(f);
}

// Phases with their taps; neighbours of a row whose taps read the same pixels are one, with the channels of all. With `back`, the
// first of them may be the last outputs of the place before: of a kernel of twice the stride, whatever its padding, all outputs
// between two pixels are one phase, at the price of one more place in a row.
Lists list_phases(const PixelCorrelation& k, const ConvolveSpec& s, bool back) {
  Lists l;
  std::vector<std::vector<Reach>> each(size_t(product(k.join)));
  for (const Reach& r : reaches(k, s)) each[size_t((r.phase[0] * k.join[1] + r.phase[1]) * k.join[2] + r.phase[2])].push_back(r);
  l.phase.resize(size_t(k.taps)), l.number = l.lane = l.phase;
  const int64_t n = k.join[2];
  for (int64_t row = 0; row < k.join[0] * k.join[1]; ++row) {
    const auto phase = [&](int64_t i) -> const std::vector<Reach>& { return each[size_t(row * n + i)]; };
    const auto joins = [&](int64_t i) { return k.groups == 1 && same_pixels(phase(i ? i - 1 : n - 1), phase(i), i == 0); };
    int64_t begin = 0;
    if (back && !phase(0).empty())
      while (joins(begin)) begin = begin ? begin - 1 : n - 1;  // which ends: over a row's phases, pixels move on by one
    if (begin) begin -= n;
    for (int64_t j = begin; j < begin + n; ++j) {
      std::vector<Reach> taps = phase(j < 0 ? j + n : j);
      if (j < 0)
        for (Reach& r : taps) r.to.shift[2] -= 1, r.to.offset -= k.groups * k.c;
      const int64_t at[3] = {row / k.join[1], row % k.join[1], j};
      if (j > begin && joins(j < 0 ? j + n : j)) l.phases.back().channels += k.m;
      else add_phase(l, k, at, taps);
      for (size_t i = 0; i < taps.size(); ++i) {
        l.phase[size_t(taps[i].tap)] = int64_t(l.phases.size()) - 1;
        l.number[size_t(taps[i].tap)] = int64_t(i);
        l.lane[size_t(taps[i].tap)] = l.phases.back().channels - k.m;
      }
    }
  }
  return l;
}

// Products of registers for a channel of x, roughly: a register alone waits for the values of x.
double cost(const Lists& l, int64_t lanes) {
  double all = 0;
  for (const PixelPhase& f : l.phases) {
    const double registers = double(ceiling(f.channels, lanes));
    all += double(product(f.places) * f.taps) * (registers == 1 ? 1.3 : registers);
  }
  return all;
}

Lists best_phases(PixelCorrelation& k, const ConvolveSpec& s, int64_t lanes) {
  Lists l = list_phases(k, s, false), back = list_phases(k, s, true);
  if (cost(back, lanes) < cost(l, lanes)) l = std::move(back);
  for (const PixelPhase& f : l.phases) k.places[2] = std::max(k.places[2], f.places[2]);
  return l;
}

// Registers that are made together: four only where threes leave one alone.
int64_t wide_of(int64_t rest, int64_t widest) {
  if (rest <= widest || widest < 3) return std::min(rest, widest);
  return rest % 3 == 0 || rest == 5 ? 3 : 4;
}

// Pieces, and where everything lies in the packed memory of a group. Returns that memory's elements.
int64_t list_pieces(Lists& l, const PixelCorrelation& k, int64_t lanes, int64_t widest) {
  int64_t packed = 0;
  for (PixelPhase& f : l.phases) {
    f.registers = ceiling(f.channels, lanes);
    f.bias = packed;
    packed += f.registers * lanes;
  }
  for (size_t i = 0; i < l.phases.size(); ++i) {
    PixelPhase& f = l.phases[i];
    f.packed = packed;
    packed += f.registers * lanes * f.taps * k.c;
    for (int64_t first = 0, wide; first < f.registers; first += wide) {
      wide = wide_of(f.registers - first, widest);
      l.pieces.push_back({int64_t(i), first, wide});
      l.piece_of.insert(l.piece_of.end(), size_t(wide), l.pieces.back());
    }
  }
  return packed;
}

// Sums do not depend on it: tiles may be smaller so that all threads have work.
void part(PixelCorrelation& k, int threads) {
  const int64_t places = k.samples * product(k.places), bytes = (product(k.split) * k.c + product(k.join) * k.m) * bytes_of(k.type);
  k.tile = kTile;
  while (k.tile > kLeastTile && k.tile * bytes > kTileBytes) k.tile /= 2;
  k.tile = std::min(k.tile, places);
  k.tiles = k.groups * ceiling(places, k.tile);
  k.parts = threads == 1 || k.tiles >= 4 * threads ? 1 : std::min(ceiling(4 * threads, k.tiles), k.piece_count);
  k.part = ceiling(k.piece_count, k.parts);
  k.parts = ceiling(k.piece_count, k.part);
}

bool streams(const PixelCorrelation& k, int64_t register_bytes, int64_t widest) {
  const int64_t size = bytes_of(k.type), made = k.samples * k.groups * k.m * product(k.out_size) * size;
  // Lines are stored as a whole.
  return made >= kStreamBytes && k.m * size % 64 == 0 && widest * register_bytes % 64 == 0 && uintptr_t(k.out) % 64 == 0;
}

struct Working {
  const PixelCorrelation* k;
  const Convolve* isa;
  int64_t arena_bytes;
  std::atomic<bool> out_of_memory{false};
};

}  // namespace

bool pixels_fit(const ConvolveSpec& s) {
  double volume = double(std::max(s.c_in, s.c_out)) * double(s.groups), reach = 0, taps = 1;
  for (int d = 0; d < 3; ++d) {
    taps *= double(s.kernel[d]);
    reach = std::max(reach, double(s.dilation[d]) * double(s.kernel[d]) + double(s.padding[d]));
    volume *= double(std::max(s.in[d], s.out[d]));
  }
  return taps <= kMostTaps && reach * volume < double(int64_t(1) << 60);
}

bool gains(Direction direction, const ConvolveSpec& s, Type type) {
  if (!s.last || direction == Direction::of_weight || !fits(direction, s, type)) return false;
  const int64_t lanes = current_isa()->convolve->lanes[type == Type::f64];
  PixelCorrelation k = fitted(direction, s, type);
  if (product(s.stride) == 1) return false;
  if (!k.forward) return k.m > lanes && (s.kernel[0] <= s.stride[0] || s.kernel[2] <= s.stride[2]);
  const Lists l = best_phases(k, s, lanes);
  const auto several = [&](const PixelPhase& f) { return f.channels > std::min(k.m, lanes); };
  return k.groups > 1 || std::any_of(l.phases.begin(), l.phases.end(), several);
}

void correlate_pixels(Direction direction, const ConvolveSpec& s, Type type, const char* x, const char* weight, const char* bias, char* out) {
  const Convolve& isa = *current_isa()->convolve;
  PixelCorrelation k = fitted(direction, s, type);
  k.x = x;
  k.weight = weight;
  k.bias = bias;
  k.out = out;
  const int64_t lanes = isa.lanes[type == Type::f64], size = bytes_of(type);
  Lists l = best_phases(k, s, lanes);
  k.packed_group = list_pieces(l, k, lanes, isa.widest);
  k.zeros = k.groups * k.packed_group;
  k.phases = l.phases.data(), k.tap = l.taps.data(), k.run = l.runs.data();
  k.pieces = l.pieces.data(), k.piece_of = l.piece_of.data();
  k.phase = l.phase.data(), k.number = l.number.data(), k.lane = l.lane.data();
  k.phase_count = int64_t(l.phases.size()), k.piece_count = int64_t(l.pieces.size());
  k.taps_part = std::max<int64_t>(1, kWeightBytes / (k.c * isa.widest * lanes * size));
  k.stream = streams(k, lanes * size, isa.widest);
  const double products = double(k.samples * k.groups * k.c * k.m) * double(product(s.in)) * double(k.taps);
  const int threads = int(std::min<double>(num_threads(), products / kThreadProducts + 1));
  part(k, threads);
  Working work{&k, &isa, isa.pixels_arena(k)};
  const int64_t packed = (k.zeros + k.c) * size;
  const bool had = with_tables(packed, [&](char* memory) {
    k.packed = memory;
    const auto pack = [](void* context, int64_t task) {
      Working& w = *static_cast<Working*>(context);
      w.isa->pack_pixels(*w.k, task);
    };
    parallel_for(k.groups * ceiling(k.m, kPixelsPacked), packed < (1 << 18) ? 1 : threads, pack, &work);
    const auto run = [](void* context, int64_t task) {
      Working& w = *static_cast<Working*>(context);
      if (!with_scratch(w.arena_bytes, [&](char* arena) { w.isa->pixels(*w.k, task, arena); })) w.out_of_memory = true;
    };
    parallel_for(k.tiles * k.parts, threads, run, &work);
  });
  if (!had || work.out_of_memory) throw std::bad_alloc();
}

}  // namespace hp
