// SPDX-License-Identifier: MIT
#include "convolve.hh"

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

// Chosen by measurement on a processor with 1 MiB of level-2 cache a core.
constexpr int64_t kPanelBytes = 512 << 10;      // of a task's panel
constexpr int64_t kSumsBytes = 512 << 10;       // of the gradient of the weight that a task keeps
constexpr int64_t kOuterBytes = 256 << 10;      // of the gradient's rows in a tile, and half of that of x's
constexpr int64_t kLargestPanel = 4 << 20;      // of the fewest channels and places; above, nothing fits
constexpr int64_t kSmallMap = 256;               // places of a map that shares a tile with other samples'
constexpr int64_t kStreamBytes = 8 << 20;        // larger results are stored past the caches
constexpr int64_t kMostPhases = 4096;
constexpr int64_t kThreadProducts = 512 << 10;  // less work than this a thread is not worth waking it
constexpr int64_t kLeastColumns = 16;
constexpr int64_t kMostRows = 64;

int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t product(const int64_t* n) { return n[0] * n[1] * n[2]; }
int64_t bytes_of(Type type) { return type == Type::f32 ? 4 : 8; }
int64_t lanes_of(const Convolve& isa, Type type) { return isa.lanes[type == Type::f64]; }

int threads_for(double products) { return int(std::min<double>(num_threads(), products / kThreadProducts + 1)); }

// ------------------------------------------------------------------------------------------------ correlations

struct Taps {
  std::vector<int64_t> first, offset, phase, number, shift;
};

// Rounded to -infinity.
int64_t down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Output phase e of forward reads x from down((e + padding - dilation * tap), stride) on; those that reach furthest:
int64_t lowest(const ConvolveSpec& s, int d) { return down(s.padding[d] - s.dilation[d] * (s.kernel[d] - 1), s.stride[d]); }
int64_t highest(const ConvolveSpec& s, int d) { return down(s.padding[d] + s.stride[d] - 1, s.stride[d]); }

void fit(Correlation& k, Direction direction, const ConvolveSpec& s) {
  const bool forward = direction == Direction::forward;
  const int64_t taps = product(s.kernel);
  k.samples = s.samples;
  k.groups = s.groups;
  k.c = forward ? s.c_in : s.c_out;
  k.m = forward ? s.c_out : s.c_in;
  k.weight_c = forward ? s.c_out * taps : taps;
  k.weight_m = forward ? taps : s.c_out * taps;
  k.weight_group = s.c_in * s.c_out * taps;
  k.taps = taps;
  for (int d = 0; d < 3; ++d) {
    k.halo[d] = forward ? highest(s, d) - lowest(s, d) : s.dilation[d] * (s.kernel[d] - 1) / s.stride[d];
    k.split[d] = forward ? 1 : s.stride[d];
    k.join[d] = forward ? s.stride[d] : 1;
    k.lead[d] = forward ? -lowest(s, d) : s.padding[d];
    k.x_size[d] = forward ? s.in[d] : s.out[d];
    k.out_size[d] = forward ? s.out[d] : s.in[d];
    k.places[d] = forward ? ceiling(s.out[d], s.stride[d]) : s.in[d];
  }
}

// The panel of a tile of so many rows and columns.
void shape_panel(Correlation& k, int64_t rows, int64_t columns) {
  const int64_t line = 64 / bytes_of(k.type);
  k.rows = rows;
  k.columns = columns;
  k.row_length = columns + k.halo[2];
  k.phase_length = (1 + k.halo[0]) * (rows + k.halo[1]) * k.row_length;
  k.panel_step = (ceiling(product(k.split) * k.phase_length, line) | 1) * line;  // channels in different sets of the caches
  const int64_t parts = std::max<int64_t>(1, ceiling(k.c * k.panel_step * bytes_of(k.type), kPanelBytes));
  k.c_part = ceiling(k.c, std::min(parts, k.c));
}

// The same for a tile of all places of so many samples, at most `shifts` copies of them.
void shape_batch(Correlation& k, int64_t batch, int64_t shifts) {
  const int64_t line = 64 / bytes_of(k.type);
  k.batch = batch;
  k.rows = batch * k.places[0] * k.places[1];
  k.columns = k.row_length = k.places[2];
  k.phase_length = up_to(k.rows * k.columns, line);
  k.panel_step = (shifts * k.phase_length / line | 1) * line;
  const int64_t parts = std::max<int64_t>(1, ceiling(k.c * k.panel_step * bytes_of(k.type), kPanelBytes));
  k.c_part = ceiling(k.c, std::min(parts, k.c));
  k.by_rows = false;
}

// Registers of positions of a whole tile.
int64_t registers(const Correlation& k, int64_t lanes) {
  return k.by_rows ? k.rows * ceiling(k.columns, lanes) : ceiling((k.rows - 1) * k.row_length + k.columns, lanes);
}

// Tiles, and how they are parted further so that all threads have work: parts of a tile fill the panel each for itself.
int64_t part(Correlation& k, const Convolve& isa, int threads) {
  const int64_t blocks = ceiling(k.m, isa.block);
  k.row_tiles = k.batch ? 1 : ceiling(k.places[1], k.rows);
  k.column_tiles = k.batch ? 1 : ceiling(k.places[2], k.columns);
  const int64_t tiles = (k.batch ? ceiling(k.samples, k.batch) : k.samples * k.places[0]) * k.groups * k.row_tiles * k.column_tiles;
  k.m_parts = threads == 1 || tiles >= 4 * threads ? 1 : std::min(ceiling(2 * threads, tiles), blocks);
  k.m_part = ceiling(blocks, k.m_parts) * isa.block;
  k.m_parts = ceiling(k.m, k.m_part);
  return tiles;
}

// Cycles of all tiles for a channel of x, roughly: two products each, and two elements of the panel (of copies, less than one).
double cost(Correlation& k, const Convolve& isa, int threads) {
  const double tiles = double(part(k, isa, threads)), made = double(registers(k, lanes_of(isa, k.type)) * k.m);
  const double products = made * double(k.taps) / 2, filling = double(k.panel_step * k.m_parts) * (k.batch ? 1.5 : 0.5);
  const double keeping = k.c_part < k.c ? made * double(product(k.join)) * 2 / double(k.c_part) : 0;
  return tiles * (products + filling + keeping);
}

void choose_tile(Correlation& k, const Convolve& isa, int threads) {
  double best = 0;
  Correlation chosen = k;
  const auto consider = [&] {
    const double price = cost(k, isa, threads);
    if (best > 0 && price >= best) return;
    best = price;
    chosen = k;
  };
  for (int64_t pieces = 1; pieces <= 64 && (pieces == 1 || ceiling(k.places[2], pieces) >= kLeastColumns); ++pieces)
    for (int64_t rows = 1; rows <= std::min(k.places[1], kMostRows); ++rows) {
      shape_panel(k, rows, ceiling(k.places[2], pieces));
      if (best > 0 && k.panel_step * std::min<int64_t>(k.c, 16) * bytes_of(k.type) > kPanelBytes) break;
      for (const bool by_rows : {false, true}) {
        k.by_rows = by_rows;
        consider();
      }
    }
  if (product(k.places) <= kSmallMap) {
    int64_t shifts = product(k.split);
    for (int d = 0; d < 3; ++d) shifts *= k.halo[d] + 1;
    for (int64_t parts = k.samples; parts > 0; parts = parts > 1 ? parts / 2 : 0) {
      shape_batch(k, ceiling(k.samples, parts), std::min(shifts, k.taps));
      if (k.batch > 1 && k.rows * k.columns > 2 * kSmallMap) break;
      consider();
    }
  }
  k = chosen;
  k.sums_length = k.c_part < k.c ? up_to(registers(k, lanes_of(isa, k.type)), isa.wide) * lanes_of(isa, k.type) : 0;
}

// The number of a tap's shift; a new one if no tap before had it. u: whole steps of a forward tap from the lowest.
int64_t shift_of(Taps& taps, const int64_t* tap, const int64_t* u, bool forward, const ConvolveSpec& s) {
  int64_t shift[3];
  for (int d = 0; d < 3; ++d) shift[d] = forward ? u[d] + lowest(s, d) : tap[d] * s.dilation[d] - s.padding[d];
  const int64_t count = int64_t(taps.shift.size()) / 3;
  for (int64_t i = 0; i < count; ++i)
    if (std::equal(shift, shift + 3, taps.shift.begin() + i * 3)) return i;
  taps.shift.insert(taps.shift.end(), shift, shift + 3);
  return count;
}

// Every tap's phase and its position in the panel, by phase.
Taps list_taps(const Correlation& k, Direction direction, const ConvolveSpec& s) {
  const bool forward = direction == Direction::forward;
  std::vector<std::vector<int64_t>> phases(size_t(product(k.join)));
  Taps taps;
  int64_t i[3];
  for (i[0] = 0; i[0] < s.kernel[0]; ++i[0])
    for (i[1] = 0; i[1] < s.kernel[1]; ++i[1])
      for (i[2] = 0; i[2] < s.kernel[2]; ++i[2]) {
        int64_t u[3], phase = 0;
        for (int d = 0; d < 3; ++d) {
          // forward: the output phase e for which (e + padding - at) / stride is whole, and that number.
          const int64_t at = i[d] * s.dilation[d], step = s.stride[d], from = forward ? down(s.padding[d] - at + step - 1, step) : at / step;
          u[d] = forward ? from - lowest(s, d) : from;
          phase = phase * step + (forward ? from * step + at - s.padding[d] : at % step);
        }
        const int64_t offset = (u[0] * (k.rows + k.halo[1]) + u[1]) * k.row_length + u[2];
        std::vector<int64_t>& row = phases[forward ? size_t(phase) : 0];
        taps.phase.push_back(forward ? phase : 0);
        taps.number.push_back(int64_t(row.size()));
        if (k.batch) row.push_back(shift_of(taps, i, u, forward, s) * k.phase_length);
        else row.push_back(forward ? offset : phase * k.phase_length + offset);
      }
  taps.first.push_back(0);
  for (const auto& row : phases) {
    taps.offset.insert(taps.offset.end(), row.begin(), row.end());
    taps.first.push_back(int64_t(taps.offset.size()));
  }
  return taps;
}

struct Correlating {
  const Correlation* k;
  const Convolve* isa;
  int64_t arena_bytes;
  std::atomic<bool> out_of_memory{false};
};

void correlate(Direction direction, const ConvolveSpec& s, Correlation k) {
  const Convolve& isa = *current_isa()->convolve;
  fit(k, direction, s);
  const int threads = threads_for(double(k.samples * k.groups * k.c * k.m) * double(product(s.in) * k.taps));
  choose_tile(k, isa, threads);
  const Taps taps = list_taps(k, direction, s);
  k.first = taps.first.data();
  k.offset = taps.offset.data();
  k.phase = taps.phase.data();
  k.number = taps.number.data();
  k.shift = taps.shift.data();
  k.shifts = int64_t(taps.shift.size()) / 3;
  const int64_t tiles = part(k, isa, threads), blocks = ceiling(k.m, isa.block);
  k.stream = k.samples * k.groups * k.m * product(k.out_size) * bytes_of(k.type) >= kStreamBytes;
  Correlating work{&k, &isa, isa.arena(k)};
  const int64_t packed = k.groups * k.c * k.m * k.taps * bytes_of(k.type);
  const bool had = with_tables(packed, [&](char* memory) {
    k.packed = memory;
    const auto pack = [](void* context, int64_t task) {
      Correlating& w = *static_cast<Correlating*>(context);
      w.isa->pack(*w.k, task);
    };
    parallel_for(k.groups * blocks, packed < (1 << 18) ? 1 : threads, pack, &work);
    const auto run = [](void* context, int64_t task) {
      Correlating& w = *static_cast<Correlating*>(context);
      if (!with_scratch(w.arena_bytes, [&](char* arena) { w.isa->run(*w.k, task, arena); })) w.out_of_memory = true;
    };
    parallel_for(tiles * k.m_parts, threads, run, &work);
  });
  if (!had || work.out_of_memory) throw std::bad_alloc();
}

// ------------------------------------------------------------------------------------------------ the gradient of the weight

void shape_tile(Outer& k, int64_t rows, int64_t columns) {
  k.rows = rows;
  k.columns = columns;
  k.grad_rows = k.stride[1] * (rows - 1) + k.dilation[1] * (k.kernel[1] - 1) + 1;
  k.grad_columns = k.stride[2] * (columns - 1) + k.dilation[2] * (k.kernel[2] - 1) + 1;
}

bool tile_fits(const Outer& k) {
  const int64_t size = bytes_of(k.type);
  return k.c_part * k.rows * k.columns * size <= kOuterBytes / 2 && k.m_part * k.grad_rows * k.grad_columns * size <= kOuterBytes;
}

void choose_tile(Outer& k, const Convolve& isa) {
  const int64_t across = isa.wide * lanes_of(isa, k.type), block = isa.block;
  k.c_part = std::min(k.c, 3 * across);
  k.m_part = std::min(k.m, 4 * block);
  // Parts must not depend on the number of threads, since tiles, and with them the order of sums, depend on parts.
  while (k.m_part > block && (k.c_part * k.m_part * product(k.kernel) * bytes_of(k.type) > kSumsBytes ||
                              k.groups * ceiling(k.c, k.c_part) * ceiling(k.m, k.m_part) < 4))
    k.m_part = up_to(k.m_part / 2, block);
  k.c_parts = ceiling(k.c, k.c_part);
  k.m_parts = ceiling(k.m, k.m_part);
  int64_t rows = 1, columns = k.in[2];
  shape_tile(k, rows, columns);
  while (!tile_fits(k) && columns > kLeastColumns) shape_tile(k, rows, columns = ceiling(columns, 2));
  while (rows < k.in[1]) {
    shape_tile(k, rows + 1, columns);
    if (!tile_fits(k)) break;
    ++rows;
  }
  rows = ceiling(k.in[1], ceiling(k.in[1], rows));
  shape_tile(k, rows, columns);
  k.row_tiles = ceiling(k.in[1], rows);
  k.column_tiles = ceiling(k.in[2], columns);
}

struct Outing {
  const Outer* k;
  const Convolve* isa;
  int64_t arena_bytes;
  std::atomic<bool> out_of_memory{false};
};

Outer outer_of(const ConvolveSpec& s, Type type) {
  Outer k{};
  k.type = type;
  k.samples = s.samples;
  k.groups = s.groups;
  k.c = s.c_in;
  k.m = s.c_out;
  k.last = s.last;
  for (int d = 0; d < 3; ++d) {
    k.in[d] = s.in[d];
    k.grad_size[d] = s.out[d];
    k.kernel[d] = s.kernel[d];
    k.stride[d] = s.stride[d];
    k.padding[d] = s.padding[d];
    k.dilation[d] = s.dilation[d];
  }
  return k;
}

void outer(const ConvolveSpec& s, Type type, const char* x, const char* grad, char* out) {
  const Convolve& isa = *current_isa()->convolve;
  Outer k = outer_of(s, type);
  k.x = x;
  k.grad = grad;
  k.out = out;
  choose_tile(k, isa);
  const int threads = threads_for(double(k.samples * k.groups * k.c * k.m) * double(product(s.in) * product(s.kernel)));
  Outing work{&k, &isa, isa.outer_arena(k)};
  const auto run = [](void* context, int64_t task) {
    Outing& w = *static_cast<Outing*>(context);
    if (!with_scratch(w.arena_bytes, [&](char* arena) { w.isa->outer(*w.k, task, arena); })) w.out_of_memory = true;
  };
  parallel_for(k.groups * k.c_parts * k.m_parts, threads, run, &work);
  if (work.out_of_memory) throw std::bad_alloc();
}

}  // namespace

bool fits(Direction direction, const ConvolveSpec& s, Type type) {
  if ((type != Type::f32 && type != Type::f64) || !current_isa()) return false;
  double phases = 1;
  for (int d = 0; d < 3; ++d) phases *= double(s.stride[d]);
  if (phases > double(kMostPhases)) return false;
  if (s.last && direction != Direction::of_weight) return pixels_fit(s);
  const auto reach = [&](int d) { return double(s.dilation[d]) * double(s.kernel[d] - 1); };
  const double size = double(bytes_of(type)), wide = double(std::min<int64_t>(s.in[2], kLeastColumns));
  if (direction == Direction::of_weight) {
    const double tile = (reach(1) + 1) * (double(s.stride[2]) * wide + reach(2)) * 32, sums = 96.0 * 8 * double(product(s.kernel));
    return (tile + sums) * size <= double(kLargestPanel);
  }
  double panel = size;
  for (int d = 0; d < 3; ++d) panel *= (d == 2 ? wide : 1) + reach(d) / double(s.stride[d]);
  return panel * (direction == Direction::of_input ? phases : 1) <= double(kLargestPanel);
}

void convolve(Direction direction, const ConvolveSpec& spec, Type type, const char* x, const char* y, const char* bias, char* out) {
  for (int d = 0; d < 3; ++d)
    if (std::min({spec.in[d], spec.out[d], spec.kernel[d], spec.stride[d], spec.dilation[d]}) < 1 || spec.padding[d] < 0)
      throw std::invalid_argument("convolve: sizes must be positive");
  if (std::min({spec.samples, spec.groups, spec.c_in, spec.c_out}) < 1) throw std::invalid_argument("convolve: no samples, groups or channels");
  if ((spec.weight_last || spec.weight_swapped) && (!spec.last || direction == Direction::of_weight || (spec.weight_swapped && spec.groups > 1)))
    throw std::invalid_argument("convolve: the weight's order is not taken");
  if (!fits(direction, spec, type)) throw std::invalid_argument("convolve: the windows are too large, or this type is not taken");
  if (direction == Direction::of_weight) return outer(spec, type, x, y, out);
  if (spec.last) return correlate_pixels(direction, spec, type, x, y, bias, out);
  Correlation k{};
  k.type = type;
  k.x = x;
  k.weight = y;
  k.bias = bias;
  k.out = out;
  correlate(direction, spec, k);
}

}  // namespace hp
