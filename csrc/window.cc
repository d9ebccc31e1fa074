// SPDX-License-Identifier: MIT
#include "window.hh"

#include <algorithm>
#include <atomic>
#include <new>
#include <stdexcept>
#include <vector>

#include "band.hh"
#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {

namespace {

constexpr int64_t kThreadWork = 64 << 10;      // multiply-adds; a thread is not worth waking for less
constexpr int64_t kTileBytes = 32 << 10;       // of the weights of a tile, which every channel reads again
constexpr int64_t kCellsBytes = 8 << 10;       // of the weights of a few input pixels
constexpr int64_t kRowsBytes = 512 << 10;      // of the rows that a window needs
constexpr int64_t kStreamBytes = 4 << 20;      // results from here on would only push others out of the caches
constexpr int64_t kFewColumns = 12;            // fewer leave most lanes empty
constexpr int64_t kFewWidth = 4096;            // of a row that is worked on as one

[[noreturn]] void refuse(const char* why) { throw std::invalid_argument(why); }

bool real(Type type) { return type == Type::f32 || type == Type::f64 || type == Type::f16 || type == Type::bf16; }

void check(const WindowSpec& s) {
  if (!real(s.type)) refuse("window: x must be of a floating type");
  const bool halves = s.type == Type::f16 || s.type == Type::bf16;
  if (s.weight_type != s.type && !(halves && s.weight_type == Type::f32)) refuse("window: weights have x's type, or float32 beside halves");
  if (std::min({s.batch, s.channels, s.out[0], s.out[1]}) < 0 || std::min({s.in[0], s.in[1], s.groups}) < 1) refuse("window: sizes must be positive");
  if (std::max({s.in[0], s.in[1], s.out[0], s.out[1]}) > INT32_MAX / 4) refuse("window: a side of 2^29 or more");
  if (s.channels % s.groups) refuse("window: groups must divide the channels");
  for (int d = 0; d < 2; ++d) {
    if (s.kernel[d] < 1 || s.kernel[d] % 2 == 0 || s.kernel[d] > 1 << 12) refuse("window: kernels are odd");
    if (s.scale[d] < 1 || (s.scale[d] > 1 && s.out[d] != s.in[d] * s.scale[d])) refuse("window: the scale of weights is that of the sizes");
  }
}

// For each input position the first output whose base it is, and the end.
std::vector<int32_t> firsts(int64_t in, int64_t out) {
  std::vector<int32_t> first(size_t(in + 1), 0);
  for (int64_t p = 0; p < out; ++p) ++first[size_t((2 * p + 1) * in / (2 * out) + 1)];
  for (size_t b = 1; b < first.size(); ++b) first[b] += first[b - 1];
  return first;
}

int64_t most(const std::vector<int32_t>& first) {
  int32_t n = 1;
  for (size_t b = 1; b < first.size(); ++b) n = std::max(n, first[b] - first[b - 1]);
  return n;
}

int64_t parts_of(int64_t n, int64_t part) { return (n + part - 1) / part; }

// n in so many parts, of a multiple of `step`.
int64_t part_of(int64_t n, int64_t parts, int64_t step) { return up_to(parts_of(std::max<int64_t>(n, 1), std::max<int64_t>(parts, 1)), step); }

void tile(Window& w, int64_t item) {
  const WindowSpec& s = w.spec;
  const int64_t fits = kTileBytes / (w.streams * w.taps * item) / kWindowPad * kWindowPad;
  w.tiles = parts_of(s.in[1], std::clamp<int64_t>(fits, kWindowPad, 128));
  w.tile = up_to(parts_of(s.in[1], w.tiles), kWindowPad);
  w.tiles = parts_of(s.in[1], w.tile);
}

// Columns as lanes: rows are padded columns of each channel.
void lay_phases(Window& w, int64_t item, int threads) {
  const WindowSpec& s = w.spec;
  w.rows_together = std::max<int64_t>(1, 4 / w.streams);
  w.streams *= w.rows_together;
  tile(w, item);
  w.pitch = w.tile;
  const int64_t reach = up_to(2 * w.r_w, kWindowPad);
  w.row = w.way == WindowWay::back_x ? w.tiles * w.tile + reach + kWindowPad : up_to(w.tile + 2 * w.r_w, kWindowPad);
  if (w.way != WindowWay::back_w) {
    const int64_t fits = std::max<int64_t>(4, kRowsBytes / (s.kernel[0] * w.row * item));
    int64_t parts = parts_of(w.group_channels, fits);
    if (w.way == WindowWay::back_x && threads > 1) {
      const int64_t wanted = parts_of(2 * threads, s.batch * s.groups);
      parts = std::max(parts, std::min(wanted, w.group_channels / 16));
    }
    w.part = part_of(w.group_channels, parts, 4);
  }
}

// Channels last, the weights of an input pixel before a pixel shuffle lie together: [tap][output pixel].
void lay_cells(Window& w) {
  const WindowSpec& s = w.spec;
  const int64_t inner = s.scale[0] * s.scale[1];
  w.cells = s.last && inner > 1 && s.w_sub_col == 1 && s.w_sub_row == s.scale[1] && s.w_tap == inner;
  w.phase_pitch = kWindowPad % inner == 0 ? inner : up_to(inner, kWindowPad);
  w.cells_together = std::clamp<int64_t>(kCellsBytes / (w.taps * w.phase_pitch * 4), 1, 8);
}

// Channels as lanes: rows are padded pixels.
void lay_pixels(Window& w, int64_t item, int threads) {
  const WindowSpec& s = w.spec;
  lay_cells(w);
  w.rows_together = std::max<int64_t>(1, 4 / w.streams);
  w.streams *= w.rows_together;
  w.tile = s.in[1];
  w.tiles = 1;
  if (w.way != WindowWay::back_w) {
    int64_t parts = parts_of(s.kernel[0] * (s.in[1] + 2 * w.r_w) * up_to(w.group_channels, kWindowPad) * item, 2 * kRowsBytes);
    if (w.way == WindowWay::back_x && threads > 1) parts = std::max(parts, parts_of(2 * threads, s.batch * s.groups));
    w.part = part_of(w.group_channels, std::clamp<int64_t>(parts, 1, std::max<int64_t>(1, w.group_channels / 64)), kWindowPad);
  }
  w.pitch = up_to(w.part, kWindowPad);
  w.row = (s.in[1] + 2 * w.r_w) * w.pitch;
}

void lay_scratch(Window& w, int64_t item) {
  const WindowSpec& s = w.spec;
  const bool soft = s.softmax && w.way == WindowWay::back_w;
  int64_t at = 0;
  const auto take = [&](int64_t elements) {
    const int64_t here = at;
    at += up_to(elements * item, 64);
    return here;
  };
  w.at_tags = take(s.kernel[0] * 6);
  if (w.phases) {
    const int64_t reach = up_to(2 * w.r_w, kWindowPad), together = w.way == WindowWay::back_w ? kWindowTurn : 4;
    w.at_rows = take(s.kernel[0] * w.part * w.row);
    w.at_zero = take(w.row);
    const int64_t margin = w.way == WindowWay::back_x ? reach : 0, ends = margin + kWindowPad;
    w.at_weights = take(w.streams * w.taps * (w.tile + margin) + ends);
    w.at_soft = take(soft ? w.streams * w.taps * w.tile : 0);
    w.at_y = take(w.streams * together * (w.tile + margin) + ends);
    w.at_sums = take(0);
    w.at_spare = take((s.last ? 2 * s.channels : 1) * w.streams * w.tile + kWindowPad);
  } else {
    const int64_t pixels = w.rows_together * s.out[1], longest = up_to(std::max({s.in[1], s.out[1], kWindowPad}), kWindowPad);
    w.at_rows = take(s.kernel[0] * w.row);
    w.at_zero = take(0);
    const int64_t all = w.cells ? w.cells_together * up_to(w.taps * w.phase_pitch, kWindowPad) : (pixels + kWindowPad) * up_to(w.taps, kWindowPad);
    w.at_weights = take(all);
    w.at_soft = take(soft ? all : 0);
    w.at_y = take((s.last ? 4 : pixels + kWindowPad) * w.pitch);
    w.at_sums = take(32 * kWindowPad);
    w.at_spare = take(kWindowPad * longest + kWindowPad);
  }
  w.scratch_bytes = at + 64;
}

// Strips of input rows, so that there is work for every thread; each pays for the rows that its window reaches into.
void lay_strips(Window& w, int threads) {
  const WindowSpec& s = w.spec;
  const bool back_x = w.way == WindowWay::back_x;
  w.parts = w.way == WindowWay::back_w ? 1 : parts_of(w.group_channels, w.part);
  const int64_t others = s.batch * s.groups * w.parts * (back_x ? 1 : w.tiles);
  const int64_t needed = std::max<int64_t>(1, parts_of(threads, others));
  const int64_t wanted = threads == 1 || back_x ? needed : std::max<int64_t>(1, parts_of(4 * threads, others));
  w.strip = std::max(parts_of(s.in[0], wanted), std::min(parts_of(s.in[0], needed), s.kernel[0]));
  w.strips = parts_of(s.in[0], w.strip);
  w.tasks = others * w.strips;
}

// A softmax for few channels: all columns together, and a strip's rows of x and of its gradient.
void lay_few(Window& w, int64_t item, int threads) {
  const WindowSpec& s = w.spec;
  w.rows_together = w.parts = w.tiles = 1;
  w.tile = w.pitch = up_to(s.in[1], kWindowPad);
  w.row = up_to(w.tile + 2 * w.r_w, kWindowPad);
  const int64_t others = s.batch * s.groups, row = w.group_channels * w.row, arrays = 1 + (w.grad_x != nullptr);
  const int64_t needed = std::max<int64_t>(parts_of(threads, others), parts_of(s.in[0] * row * arrays * item, kRowsBytes));
  const int64_t wanted = threads == 1 || w.grad_x ? needed : std::max(needed, parts_of(4 * threads, others));
  w.strip = std::max(parts_of(s.in[0], wanted), std::min(parts_of(s.in[0], needed), s.kernel[0]));
  w.strips = parts_of(s.in[0], w.strip);
  w.tasks = others * w.strips;
  int64_t at = 0;
  const auto take = [&](int64_t elements) {
    const int64_t here = at;
    at += up_to(elements * item, 64);
    return here;
  };
  w.at_tags = take(s.kernel[0] * 6);
  w.at_rows = take((w.strip + 2 * w.r_h) * row);
  w.at_weights = take(w.streams * w.taps * w.tile);
  w.at_soft = take(w.group_channels * w.taps * w.tile);
  w.at_y = take(w.group_channels * w.streams * w.tile);
  w.at_sums = take(w.grad_x ? w.strip * row : 0);
  w.at_spare = take((s.last ? 2 * s.channels : 1) * w.streams * w.tile + w.taps * kWindowPad);
  w.scratch_bytes = at + 64;
}

struct Running {
  const Window* window;
  void (*run)(const Window&, int64_t, char*);
  std::atomic<bool> out_of_memory{false};
};

void run_one(void* context, int64_t task) {
  Running& r = *static_cast<Running*>(context);
  if (!with_scratch(r.window->scratch_bytes, [&](char* arena) { r.run(*r.window, task, arena); })) r.out_of_memory = true;
}

}  // namespace

void window(const WindowSpec& given, WindowWay way, char* x, char* y, char* weights, const char* logits, char* grad_x) {
  check(given);
  WindowSpec s = given;
  s.last = s.last && s.channels > 1;
  if ((way == WindowWay::back_w && s.softmax) != (logits != nullptr)) refuse("window: logits belong to the gradient of a softmax");
  if (grad_x && !logits) refuse("window: both gradients are those of a softmax");
  if (s.batch == 0 || s.channels == 0) return;
  if (s.out[0] * s.out[1] == 0 && way != WindowWay::back_x) {
    if (grad_x) window(given, WindowWay::back_x, grad_x, y, const_cast<char*>(logits));
    return;
  }
  const std::vector<int32_t> rows = firsts(s.in[0], s.out[0]), columns = firsts(s.in[1], s.out[1]);
  Window w{};
  w.spec = s;
  w.way = way;
  w.x = x, w.y = y, w.w = weights, w.logits = logits;
  w.first_row = rows.data(), w.first_col = columns.data();
  w.r_h = s.kernel[0] / 2, w.r_w = s.kernel[1] / 2, w.taps = s.kernel[0] * s.kernel[1];
  w.part = w.group_channels = s.channels / s.groups;
  w.streams = most(columns);
  const bool whole = s.out[1] % s.in[1] == 0 && s.out[1] > 0;
  const bool few = w.group_channels <= kFewChannels;
  w.phases = whole && (s.last ? few && s.groups == 1 : s.in[1] >= kFewColumns || w.group_channels < kWindowPad);
  w.few = w.phases && few && s.softmax && s.in[1] <= kFewWidth;
  w.grad_x = !w.few ? nullptr : way == WindowWay::back_x ? x : grad_x;
  const double work = double(s.batch * s.channels) * double(s.out[0] * s.out[1]) * double(w.taps);
  const int threads = int(std::min<double>(num_threads(), work / kThreadWork + 1));
  const int64_t item = s.type == Type::f64 ? 8 : 4;
  w.stream = way == WindowWay::forward && s.batch * s.channels * s.out[0] * s.out[1] * element_bytes(s.type) >= kStreamBytes;
  if (w.few && way == WindowWay::back_w) w.stream = s.batch * s.groups * w.taps * s.out[0] * s.out[1] * element_bytes(s.weight_type) >= kStreamBytes;
  if (w.few) {
    lay_few(w, item, threads);
  } else {
    (w.phases ? lay_phases : lay_pixels)(w, item, threads);
    lay_scratch(w, item);
    lay_strips(w, threads);
  }
  Running running{&w, current_isa()->window};
  parallel_for(w.tasks, threads, run_one, &running);
  if (running.out_of_memory) throw std::bad_alloc();
  if (grad_x && !w.few) window(given, WindowWay::back_x, grad_x, y, const_cast<char*>(logits));
}

}  // namespace hp
