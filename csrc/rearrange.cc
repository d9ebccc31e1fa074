// SPDX-License-Identifier: MIT
#include "rearrange.hh"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "dispatch.hh"
#include "move.hh"
#include "parallel.hh"
#include "permute.hh"

namespace hp {

namespace {

constexpr int64_t kThreadBytes = 128 << 10;  // less work than this a thread is not worth waking it
constexpr int64_t kUnitBytes = 32 << 10;
constexpr int64_t kStreamBytes = 4 << 20;    // larger results are stored past the caches
constexpr int64_t kTurnLength = 256, kTurnAcross = 128;
constexpr int64_t kShortRun = 64;  // bytes of a stream below which many short streams are worth their own way

// Axes in the order of the output, slowest first; axes that follow each other in both are one.
std::vector<Axis> merged(const Array& x, const Array& out, int64_t words) {
  std::vector<Axis> axes;
  for (size_t d = 0; d < x.shape.size(); ++d)
    if (x.shape[d] != 1) axes.push_back({x.shape[d], x.stride[d] * words, out.stride[d] * words});
  if (words > 1) axes.push_back({words, 1, 1});
  auto order = [](const Axis& a, const Axis& b) { return std::abs(a.out) > std::abs(b.out); };
  std::stable_sort(axes.begin(), axes.end(), order);
  std::vector<Axis> kept;
  for (const Axis& axis : axes) {
    if (!kept.empty() && kept.back().x == axis.x * axis.size && kept.back().out == axis.out * axis.size) {
      kept.back() = {kept.back().size * axis.size, axis.x, axis.out};
    } else {
      kept.push_back(axis);
    }
  }
  return kept;
}

// Takes out the axes that lie densely below `step` in the side `of`, none of them `but`; true if they fill it.
bool take_streams(std::vector<Axis>& axes, int64_t Axis::*of, int64_t step, const Axis& but, std::vector<Axis>& streams) {
  if (step < 2 || step > kMaxWays) return false;
  int64_t dense = 1;
  std::vector<Axis> rest = axes;
  while (dense < step) {
    auto next = std::find_if(rest.begin(), rest.end(), [&](const Axis& a) { return a.*of == dense && a.size > 1; });
    if (next == rest.end() || (*next).*of == but.*of) return false;
    dense *= next->size;
    streams.push_back(*next);
    rest.erase(next);
  }
  if (dense != step) return false;
  axes = rest;
  return true;
}

// Takes out one axis that lies densely in the side `of`.
void take(std::vector<Axis>& axes, int64_t Axis::*of) {
  axes.erase(std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return a.*of == 1; }));
}

void set_streams(Move& move, const std::vector<Axis>& streams, int64_t Axis::*side) {
  move.ways = 1;
  move.stream[0] = 0;
  for (const Axis& axis : streams) {  // fastest first
    const int had = move.ways;
    for (int64_t i = 1; i < axis.size; ++i)
      for (int k = 0; k < had; ++k) move.stream[move.ways++] = move.stream[k] + i * (axis.*side);
  }
}

// Streams that are one row cut in blocks: whatever a block spills into lies in the row.
bool fill_rows(const int64_t* stream, int64_t ways, int64_t block, int64_t step) {
  const int64_t in_row = step / block;
  if (in_row < 1 || in_row * block != step || ways % in_row) return false;
  for (int64_t k = 0; k < ways; ++k)
    if (k % in_row && stream[k] != stream[k - 1] + block) return false;
  return true;
}

// A short run that goes on along another axis on the side where streams alternate: blocks.
void lengthen(Move& move, std::vector<Axis>& axes, int64_t Axis::*dense, int64_t Axis::*apart) {
  if (move.length * move.bytes >= kShortRun) return;
  auto next = std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return a.*dense == move.length * move.ways; });
  if (next == axes.end()) return;
  const bool zips = move.shape == Shape::zip;
  move.shape = zips ? Shape::zip_blocks : Shape::unzip_blocks;
  move.across = move.length;
  move.length = next->size;
  (zips ? move.out_length : move.x_length) = (*next).*dense;
  (zips ? move.x_length : move.out_length) = (*next).*apart;
  move.spills = !zips && fill_rows(move.stream, move.ways, move.across, (*next).*apart);
  axes.erase(next);
}

// The innermost axes; what is left in `axes` is walked around them.
void choose(Move& move, std::vector<Axis>& axes) {
  move.across = move.x_across = move.out_across = 1;
  const Axis last = axes.back();
  if (last.out != 1) {
    move.shape = Shape::single;
  } else if (last.x == 1) {
    move.shape = Shape::rows;
  } else {
    auto dense = std::find_if(axes.begin(), axes.end(), [](const Axis& a) { return a.x == 1; });
    if (dense == axes.end()) {
      move.shape = Shape::single;
    } else {
      const Axis run = *dense;
      std::vector<Axis> zipped = axes, unzipped = axes, in_streams, out_streams;
      const bool zips = take_streams(zipped, &Axis::out, run.out, run, in_streams);
      const bool unzips = take_streams(unzipped, &Axis::x, last.x, last, out_streams);
      if (zips && (!unzips || run.size >= last.size)) {
        move.shape = Shape::zip;
        set_streams(move, in_streams, &Axis::x);
        axes = zipped;
        take(axes, &Axis::x);
        move.length = run.size;
        move.x_length = 1;
        move.out_length = run.out;
        return lengthen(move, axes, &Axis::out, &Axis::x);
      }
      if (unzips) {
        move.shape = Shape::unzip;
        set_streams(move, out_streams, &Axis::out);
        axes = unzipped;
        take(axes, &Axis::out);
        move.length = last.size;
        move.x_length = last.x;
        move.out_length = 1;
        return lengthen(move, axes, &Axis::x, &Axis::out);
      }
      move.shape = Shape::turn;
      move.length = run.size;
      move.x_length = 1;
      move.out_length = run.out;
      move.across = last.size;
      move.x_across = last.x;
      move.out_across = 1;
      take(axes, &Axis::x);
      take(axes, &Axis::out);
      return;
    }
  }
  move.length = last.size;
  move.x_length = last.x;
  move.out_length = last.out;
  axes.pop_back();
}

int64_t parts(int64_t n, int64_t part) { return (n + part - 1) / part; }

// Whether every store of a permutation but the overlapping ones is a line of the caches.
bool lines_are_whole(const Move& move) {
  constexpr int64_t kLine = 64;
  const Permutation& p = *move.permutation;
  int64_t steps = int64_t(reinterpret_cast<uintptr_t>(move.out)) | move.out_line * move.bytes | p.pixels * p.out_pixel;
  for (int d = 0; d < move.outer; ++d) steps |= move.out_step[d] * move.bytes;
  for (int i = 0; i < p.stores; ++i) steps |= p.store[i].out;
  return p.width == kLine && steps % kLine == 0;
}

struct Running {
  const Move* move;
  void (*run)(const Move&, int64_t, int64_t);
  int64_t units, group;
};

void run_one(void* context, int64_t task) {
  const Running& running = *static_cast<Running*>(context);
  running.run(*running.move, task * running.group, std::min(running.units, (task + 1) * running.group));
}

}  // namespace

void rearrange(const Array& x, const Array& out, int element_bytes) {
  if (x.shape != out.shape) throw std::invalid_argument("rearrange: x and out differ in shape");
  int64_t total = 1;
  for (int64_t n : x.shape) total *= n;
  if (total == 0) return;
  const int words = element_bytes == 16 ? 2 : 1;
  Move move{};
  move.bytes = element_bytes / words;
  if (move.bytes != 1 && move.bytes != 2 && move.bytes != 4 && move.bytes != 8) throw std::invalid_argument("rearrange: elements of 1, 2, 4, 8 or 16 bytes");
  move.x = x.data;
  move.out = out.data;
  std::vector<Axis> axes = merged(x, out, words);
  if (axes.empty()) axes.push_back({1, 1, 1});
  if (axes.size() > size_t(kMaxOuter)) throw std::invalid_argument("rearrange: more than 32 axes");
  Axis walk{};
  const Isa* isa = current_isa();
  move.permutation = find_permutation(axes, {isa->register_bytes, permutes_bytes() ? 1 : 2}, move.bytes, walk);
  if (move.permutation) {
    move.shape = Shape::permute;
    move.length = walk.size;
    move.x_length = walk.x;
    move.out_length = walk.out;
    move.across = move.x_across = move.out_across = 1;
  } else {
    choose(move, axes);
  }

  move.lines = 1;
  if (!axes.empty()) {
    move.lines = axes.back().size;
    move.x_line = axes.back().x;
    move.out_line = axes.back().out;
    axes.pop_back();
  }
  move.outer = int(axes.size());
  int64_t units = 1;
  for (int d = 0; d < move.outer; ++d) {
    move.size[d] = axes[d].size;
    move.x_step[d] = axes[d].x;
    move.out_step[d] = axes[d].out;
    units *= axes[d].size;
  }
  const int64_t ways = std::max(move.ways, 1);
  if (move.shape == Shape::turn) {
    move.length_part = kTurnLength;
    move.across_part = kTurnAcross;
  } else if (move.shape == Shape::zip_blocks || move.shape == Shape::unzip_blocks) {
    move.length_part = kBlocksBytes / (move.bytes * ways * move.across);
    move.across_part = move.across;
  } else {
    move.length_part = std::max<int64_t>(kUnitBytes / (move.bytes * ways) / 64 * 64, 64);
    move.across_part = 1;
  }
  if (move.shape == Shape::permute) {  // whole groups, and the last part what is left too: none is shorter than a group
    const int64_t whole = move.length / move.permutation->pixels;
    const int64_t bytes = move.length * std::max(move.permutation->x_pixel, move.permutation->out_pixel);
    move.length_part = parts(whole, std::clamp<int64_t>(bytes / kUnitBytes, 1, whole)) * move.permutation->pixels;
    move.past_caches = total * element_bytes >= kStreamBytes && lines_are_whole(move);
  }
  move.length_part = std::min(move.length_part, move.length);
  move.across_part = std::min(move.across_part, move.across);
  move.length_parts = move.shape == Shape::permute ? std::max<int64_t>(move.length / move.length_part, 1) : parts(move.length, move.length_part);
  move.across_parts = parts(move.across, move.across_part);
  const int64_t together = move.shape == Shape::permute ? std::max(walk.x, walk.out) : move.across_part * ways;
  const int64_t line = move.length_part * together * move.bytes;
  move.lines_part = std::clamp<int64_t>(kUnitBytes / line, 1, move.lines);
  move.lines_parts = parts(move.lines, move.lines_part);
  units *= move.length_parts * move.across_parts * move.lines_parts;

  const int64_t bytes = total * element_bytes;
  const int threads = int(std::min<int64_t>(num_threads(), bytes / kThreadBytes + 1));
  const int64_t tasks = std::min<int64_t>(units, threads == 1 ? 1 : 8 * int64_t(threads));
  Running running{&move, isa->move, units, parts(units, tasks)};
  parallel_for(parts(units, running.group), threads, run_one, &running);
}

}  // namespace hp
