// SPDX-License-Identifier: MIT
#include "depthwise.hh"

#include <algorithm>
#include <atomic>
#include <new>
#include <stdexcept>
#include <vector>

#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {

namespace {

constexpr int64_t kThreadElements = 24 << 10;                   // less work than this a thread is not worth waking it
constexpr int64_t kLeastTask = 4 << 10, kMostTask = 256 << 10;  // elements of the longer side that a task makes or reads
constexpr int64_t kSumsPart = 16;                               // elements for each sum of the weight's gradient, at least
constexpr int64_t kWidest = 16;                                 // lanes of the widest register
constexpr int64_t kSpare = 64;                                  // elements after a row that whole registers may touch
constexpr int64_t kRun = 64;                                    // channels of a run, a multiple of kWidest
constexpr int64_t kColumns = 1024;                              // of a box
constexpr int64_t kPlaneBytes = 48 << 10, kVolumeBytes = 256 << 10, kPixelsBytes = 160 << 10,
                  kSharedBytes = 400 << 10;                     // of a slab

[[noreturn]] void refuse(const char* why) { throw std::invalid_argument(why); }

int64_t quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }  // rounded down
int64_t parts(int64_t n, int64_t part) { return (n + part - 1) / part; }

struct Axis {
  std::vector<int64_t> first, tap, shift;

  Axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    const int64_t count = std::min(stride, out), cells = parts(out, stride);
    std::vector<std::vector<int64_t>> of(static_cast<size_t>(count));
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t f = (k * dilation - padding) - quotient(k * dilation - padding, stride) * stride;
      const int64_t by = (f + padding - k * dilation) / stride;
      if (f < count && by > -cells && by < in) of[size_t(f)].push_back(k);  // else no output of the phase has an input
    }
    first.push_back(0);
    for (int64_t f = 0; f < count; ++f) {
      for (int64_t k : of[size_t(f)]) {
        tap.push_back(k);
        shift.push_back((f + padding - k * dilation) / stride);
      }
      first.push_back(int64_t(tap.size()));
    }
  }
  Phases phases() const { return {int64_t(first.size()) - 1, first.data(), tap.data(), shift.data()}; }
};

bool wide(Type type) { return type == Type::f64; }

void check(const DepthwiseSpec& s, Type type) {
  if (type != Type::f32 && type != Type::f64 && type != Type::f16 && type != Type::bf16) refuse("depthwise: no element type to convolve");
  if (std::min({s.batch, s.channels, s.each}) < 0) refuse("depthwise: sizes must not be negative");
  if (s.last && s.each != 1) refuse("depthwise: with channels last every channel has one output");
  for (int d = 0; d < 3; ++d)
    if (std::min({s.in[d], s.kernel[d], s.stride[d], s.dilation[d]}) < 1 || std::min(s.padding[d], s.out[d]) < 0)
      refuse("depthwise: sizes must be positive");
}

// [taps][padded] of [channels][taps]: channels side by side, zeros after the last.
template <class C>
std::vector<char> turned(const char* weight, int64_t channels, int64_t taps, int64_t padded) {
  std::vector<char> made(size_t(taps * padded) * sizeof(C));
  if (!weight) return made;
  const C* from = reinterpret_cast<const C*>(weight);
  C* to = reinterpret_cast<C*>(made.data());
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t k = 0; k < taps; ++k) to[k * padded + c] = from[c * taps + k];
  return made;
}

// What a slab holds: `step` places from one cell of the result to the next, and `reach` more than one for all taps.
struct Extent {
  int64_t step, reach;
};

int64_t held(const Extent& e, int64_t cells) { return (cells - 1) * e.step + e.reach + 1; }

// Boxes as large as their slabs and the number of tasks allow; lines first, then slices, but a few slices before that.
void plan(Depthwise& d, const Extent (&extent)[3], int64_t phases, int64_t total, int64_t per_cell) {
  const DepthwiseSpec& s = d.spec;
  const int64_t bytes = wide(d.type) ? 8 : 4, target = std::clamp(total / 32, kLeastTask, kMostTask);
  const int64_t budget = s.last ? kPixelsBytes : d.cells[0] > 1 ? kVolumeBytes : kPlaneBytes;
  const auto pitch = [&](int64_t columns) {
    if (s.last) return held(extent[2], columns) * d.run;
    return phases * (up_to(up_to(columns, kWidest) + extent[2].reach, kWidest) + kWidest);
  };
  const auto fits = [&](int64_t slices, int64_t lines, int64_t columns) {
    const int64_t slab = held(extent[0], slices) * held(extent[1], lines) * pitch(columns) * bytes;
    const bool shared = held(extent[1], lines) < 3 * extent[1].reach;  // with the next box, too many of the lines
    return slab <= (shared ? kSharedBytes : budget) && slices * lines * columns * per_cell * d.run <= target;
  };
  const auto grown = [](int64_t from, int64_t most, const auto& fits) {
    while (from < most && fits(from + 1)) ++from;
    return from;
  };
  d.run = s.last ? std::min(kRun, up_to(s.channels, kWidest)) : 1;
  while (d.run > kWidest && !fits(1, 1, std::min<int64_t>(d.cells[2], 16))) d.run = up_to(d.run / 2, kWidest);
  d.padded = up_to(s.channels, kRun);
  d.units = s.last ? parts(s.channels, d.run) : s.channels;
  int64_t few = s.last ? 16 : std::clamp(up_to(target / per_cell, kWidest), 16 * kWidest, kColumns);
  if (s.last) few = grown(std::min(few, d.cells[2]), std::min(d.cells[2], kColumns), [&](int64_t n) { return fits(1, 8, n) || (d.cells[1] == 1 && fits(1, 1, n)); });
  const auto even = [&](int axis, int64_t most) {
    d.box[axis] = parts(d.cells[axis], parts(d.cells[axis], std::min(most, d.cells[axis])));
    d.parts[axis] = parts(d.cells[axis], d.box[axis]);
  };
  even(2, few);
  int64_t slices = grown(1, std::min<int64_t>(d.cells[0], 4), [&](int64_t n) { return fits(n, std::min<int64_t>(d.cells[1], 4), d.box[2]); });
  even(1, grown(1, d.cells[1], [&](int64_t n) { return fits(slices, n, d.box[2]); }));
  even(0, grown(slices, d.cells[0], [&](int64_t n) { return fits(n, d.box[1], d.box[2]); }));
  for (int a = 0; a < 3; ++a) d.held[a] = held(extent[a], d.box[a]);
  d.pitch = pitch(d.box[2]);
  if (!s.last) d.held[2] = d.pitch / std::max<int64_t>(phases, 1);
  d.boxes = d.parts[0] * d.parts[1] * d.parts[2];
  d.group = std::max<int64_t>(target / (d.box[0] * d.box[1] * d.box[2] * per_cell * d.run), 1);
}

struct Running {
  const Depthwise* d;
  void (*run)(const Depthwise&, int64_t, char*);
  std::atomic<bool> out_of_memory{false};
};

void run_one(void* context, int64_t task) {
  Running& running = *static_cast<Running*>(context);
  if (!with_scratch(running.d->arena_bytes, [&](char* arena) { running.run(*running.d, task, arena); })) running.out_of_memory = true;
}

void run_all(const Depthwise& d, int64_t tasks, int64_t work) {
  Running running{&d, current_isa()->depthwise};
  parallel_for(tasks, int(std::min<int64_t>(num_threads(), work / kThreadElements + 1)), run_one, &running);
  if (running.out_of_memory) throw std::bad_alloc();
}

template <class C>
void add_blocks(const Depthwise& d, int64_t blocks, char* grad_weight) {
  const DepthwiseSpec& s = d.spec;
  const int64_t all = s.each * d.taps, lanes = d.run, block = d.units * all * lanes;
  C* out = reinterpret_cast<C*>(grad_weight);
  for (int64_t c = 0; c < s.channels; ++c)
    for (int64_t k = 0; k < all; ++k) {
      const double* from = d.partial + (c / lanes * all + k) * lanes + c % lanes;
      double sum = 0;
      for (int64_t b = 0; b < blocks; ++b) sum += from[b * block];
      out[c * all + k] = C(sum);
    }
}

}  // namespace

void depthwise(const DepthwiseSpec& given, Type type, const char* x, const char* weight, const char* bias, char* out) {
  check(given, type);
  Depthwise d{};
  d.spec = given;
  const DepthwiseSpec& s = d.spec;
  d.type = type;
  d.x = x;
  d.out = out;
  d.weight = weight;
  d.bias = bias;
  d.taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  const int64_t total = s.batch * s.channels * s.each * s.out[0] * s.out[1] * s.out[2], bytes = wide(type) ? 8 : 4;
  if (total == 0) return;
  std::vector<Axis> axes;
  Extent extent[3];
  int64_t per_cell = 1;
  for (int a = 0; a < 3; ++a) {
    axes.emplace_back(s.in[a], s.out[a], s.kernel[a], s.stride[a], s.padding[a], s.dilation[a]);
    d.phases[a] = axes.back().phases();
    d.cells[a] = parts(s.out[a], s.stride[a]);
    per_cell *= std::min(s.stride[a], s.out[a]);
    const auto& shift = axes.back().shift;
    int64_t high = 0;
    if (!shift.empty()) {
      d.low[a] = *std::min_element(shift.begin(), shift.end());
      high = *std::max_element(shift.begin(), shift.end());
    }
    if (a == 2 && !s.last) d.low[a] = quotient(d.low[a], kWidest) * kWidest;
    extent[a] = {1, high - d.low[a]};
  }
  plan(d, extent, 1, total, per_cell);
  if (!s.last) d.units = s.channels * s.each;
  std::vector<char> weights, biases;
  if (s.last) {
    weights = wide(type) ? turned<double>(weight, s.channels, d.taps, d.padded) : turned<float>(weight, s.channels, d.taps, d.padded);
    biases = wide(type) ? turned<double>(bias, s.channels, 1, d.padded) : turned<float>(bias, s.channels, 1, d.padded);
    d.weight = weights.data();
    d.bias = biases.data();
  }
  // The slab, the taps of a phase, and for strides without their own loop the phases of a line, apart and together.
  const int64_t phases = d.phases[2].count;
  const int64_t line = s.last ? 0 : up_to(phases, kWidest) * up_to(d.box[2], kWidest) + (d.box[2] + kWidest) * phases + kSpare;
  d.arena_bytes = (d.held[0] * d.held[1] * d.pitch + kSpare + line + d.taps) * bytes + 8 * (2 * d.taps + phases + 1) + 8 * 64;
  const int64_t all = s.batch * d.units * d.boxes;
  d.groups = parts(all, std::min(d.group, all));
  run_all(d, d.groups, total);
}

void depthwise_back(const DepthwiseSpec& given, Type type, const char* grad, const char* x, const char* weight, char* grad_x, char* grad_weight) {
  check(given, type);
  Depthwise d{};
  d.spec = given;
  const DepthwiseSpec& s = d.spec;
  d.type = type;
  d.x = x;
  d.grad = grad;
  d.grad_x = grad_x;
  d.weight = weight;
  d.taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
  const int64_t bytes = wide(type) ? 8 : 4, places = s.in[0] * s.in[1] * s.in[2];
  const int64_t longer = std::max(s.each * s.out[0] * s.out[1] * s.out[2], places), total = s.batch * s.channels * longer;
  if (s.batch * s.channels * s.each == 0) {
    if (grad_weight) std::fill_n(grad_weight, s.channels * s.each * d.taps * bytes, char(0));
    return;
  }
  const int64_t phases = s.last ? 1 : std::clamp<int64_t>(s.out[2], 1, s.stride[2]);
  Extent extent[3];
  std::vector<int64_t> tap[3], at[3], phase;
  for (int a = 0; a < 3; ++a) {
    const bool apart = a == 2 && !s.last;  // cells of phases instead of places
    int64_t high = INT64_MIN;
    d.low[a] = INT64_MAX;
    for (int64_t k = 0; k < s.kernel[a]; ++k) {
      const int64_t from = k * s.dilation[a] - s.padding[a], cell = quotient(from, s.stride[a]), f = from - cell * s.stride[a];
      if (from >= s.out[a] || from + (s.in[a] - 1) * s.stride[a] < 0 || (apart && f >= phases)) continue;
      tap[a].push_back(k);
      at[a].push_back(apart ? cell : from);
      if (apart) phase.push_back(f);
      d.low[a] = std::min(d.low[a], at[a].back());
      high = std::max(high, at[a].back());
    }
    if (tap[a].empty()) d.low[a] = high = 0;
    if (apart) d.low[a] = quotient(d.low[a], kWidest) * kWidest;
    extent[a] = {apart ? 1 : s.stride[a], high - d.low[a]};
    d.cells[a] = s.in[a];
  }
  extent[0].reach = (extent[0].reach + 1) * s.each - 1;  // for the plan alone: a channel's outputs lie one after the other
  plan(d, extent, phases, total, std::max<int64_t>(longer / places, 1));
  d.held[0] = held({extent[0].step, (extent[0].reach + 1) / s.each - 1}, d.box[0]);
  for (int a = 0; a < 3; ++a) {
    for (size_t i = 0; i < at[a].size(); ++i) at[a][i] += (a == 2 && !s.last ? phase[i] * d.held[2] : 0) - d.low[a];
    d.reached[a] = {int64_t(tap[a].size()), tap[a].data(), at[a].data()};
  }
  d.phases[2].count = phases;
  std::vector<char> weights;
  if (s.last) {
    weights = wide(type) ? turned<double>(weight, s.channels, d.taps, d.padded) : turned<float>(weight, s.channels, d.taps, d.padded);
    d.weight = weights.data();
  }
  const int64_t all = s.each * d.taps;
  // Sums of all taps are no more than a small part of what they are made of.
  if (grad_weight) d.group = std::max(d.group, all * kSumsPart / (d.box[0] * d.box[1] * d.box[2] * std::max<int64_t>(longer / places, 1)));
  d.group = std::min(d.group, s.batch * d.boxes);
  d.groups = parts(s.batch * d.boxes, d.group);
  std::vector<double> partial(grad_weight ? size_t(d.groups * d.units * all * d.run) : 0);
  d.partial = grad_weight ? partial.data() : nullptr;
  const int64_t registers = s.last ? d.box[2] : parts(d.box[2], current_isa()->register_bytes / bytes);
  d.flush = std::max<int64_t>(kFlush / registers, 1);
  const int64_t own = d.box[0] * d.box[1] * up_to(d.box[2], s.last ? 1 : kWidest) * d.run, sums = grad_weight ? all * (s.last ? d.run : kWidest) : 0;
  d.arena_bytes = (s.each * d.held[0] * d.held[1] * d.pitch + own + 3 * kSpare + kWidest * phases + all) * bytes + sums * 8 + 24 * all + 9 * 64;
  run_all(d, d.groups * d.units, total);
  if (!grad_weight) return;
  if (wide(type)) add_blocks<double>(d, d.groups, grad_weight);
  else add_blocks<float>(d, d.groups, grad_weight);
}

}  // namespace hp
