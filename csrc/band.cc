// SPDX-License-Identifier: MIT
#include "band.hh"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>

#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {
namespace {

// Chosen by measurement on a processor with 1 MiB of level-2 cache a core; they change speed, never results.
constexpr int64_t kCacheBytes = 256 << 10;     // rows that a task keeps in use
constexpr int64_t kLeastTile = 1024;           // output elements; below it the windows' overlap shows
constexpr int64_t kStreamBytes = 8 << 20;      // larger outputs are stored past the caches
constexpr int64_t kLine = 64;
constexpr int64_t kLongRow = 8 << 10;           // bytes of a row whose broken lines at both ends do not matter
constexpr int64_t kThreadElements = 24 << 10;  // less work than this a thread is not worth waking it
constexpr int64_t kTaskElements = 16 << 10;
constexpr int64_t kKeptArena = 8 << 20;
constexpr size_t kKeptTables = 16;  // a plan used with ever new channel counts must not grow without bound

struct Dim {
  int64_t size, x, out;
};

struct Arena {
  char* data = nullptr;
  int64_t bytes = 0;
  ~Arena() { std::free(data); }
  char* get(int64_t wanted) {
    if (wanted <= bytes) return data;
    std::free(data);
    bytes = (wanted + 4095) / 4096 * 4096;
    data = static_cast<char*>(std::aligned_alloc(64, size_t(bytes)));
    if (!data) bytes = 0;
    return data;
  }
  void trim() {
    if (bytes <= kKeptArena) return;
    std::free(data);
    data = nullptr;
    bytes = 0;
  }
};
thread_local Arena arena, shared_arena;

bool with(Arena& a, int64_t bytes, const std::function<void(char*)>& work) {
  char* const memory = a.get(bytes);
  if (memory) work(memory);
  a.trim();
  return memory != nullptr;
}

// Dimensions that are not resampled: memory order, neighbours merged.
std::vector<Dim> merged(std::vector<Dim> dims) {
  std::stable_sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return std::abs(a.x) > std::abs(b.x); });
  std::vector<Dim> out;
  for (const Dim& d : dims) {
    if (!out.empty() && out.back().x == d.x * d.size && out.back().out == d.out * d.size) out.back() = {out.back().size * d.size, d.x, d.out};
    else out.push_back(d);
  }
  return out;
}

}  // namespace

bool with_scratch(int64_t bytes, const std::function<void(char*)>& work) { return with(arena, bytes, work); }
bool with_tables(int64_t bytes, const std::function<void(char*)>& work) { return with(shared_arena, bytes, work); }

int element_bytes(Type type) {
  switch (type) {
    case Type::u8: case Type::i8: case Type::boolean: return 1;
    case Type::f16: case Type::bf16: case Type::u16: case Type::i16: return 2;
    case Type::f32: case Type::i32: case Type::u32: return 4;
    default: return 8;
  }
}

Program::Program(std::vector<PassSpec> passes, Compute compute, Rounding rounding)
    : passes_(std::move(passes)), compute_(compute), rounding_(rounding), copies_(true), periodic_(false) {
  if (passes_.empty() || passes_.size() > kMaxStages) throw std::invalid_argument("Program: between 1 and 9 passes are needed");
  for (size_t i = 0; i < passes_.size(); ++i) {
    const PassSpec& p = passes_[i];
    if (p.axis >= 0) throw std::invalid_argument("Program: axes are counted from the end and negative");
    for (size_t j = 0; j < i; ++j)
      if (passes_[j].axis == p.axis) throw std::invalid_argument("Program: an axis has two passes");
    if (p.n_in < 1 || p.n_out < 1 || p.taps < 1) throw std::invalid_argument("Program: n_in, n_out and taps must be at least 1");
    if (int64_t(p.start.size()) != p.n_out || int64_t(p.weight.size()) != p.n_out * p.taps || (!p.bias.empty() && int64_t(p.bias.size()) != p.n_out))
      throw std::invalid_argument("Program: start, weight and bias do not fit n_out and taps");
    for (int64_t o = 0; o < p.n_out; ++o) {  // no weight may read outside the axis
      int64_t s = p.start[o];
      for (int k = 0; k < p.taps; ++k) {
        if (p.weight[o * p.taps + k] == 0) continue;
        if (s < 0 || (p.periodic ? s >= p.n_in || k >= p.n_in : s + k >= p.n_in)) throw std::invalid_argument("Program: a tap lies outside the axis");
      }
    }
    TapVectors taps;
    taps.build(p, Wide::real64, true);
    copies_ = copies_ && taps.selects;
    periodic_ = periodic_ || p.periodic;
  }
}

Program::~Program() = default;

std::shared_ptr<const Program::Tables> Program::tables(const Key& key, const Isa& isa) const {
  {
    std::lock_guard<std::mutex> lock(fork_safe_lock());
    if (auto known = tables_.find(key); known != tables_.end()) return known->second;
  }
  auto made = std::make_shared<Tables>();
  made->taps.resize(passes_.size());
  const Wide wide = Wide(key.wide);
  for (size_t i = 0; i < passes_.size(); ++i) made->taps[i].build(passes_[i], wide, int64_t(i) != key.pivot);
  if (key.pivot >= 0) {
    const TapVectors& taps = made->taps[key.pivot];
    const bool lanes64 = key.element_bytes == 8;
    if (wide == Wide::copies && key.by_lanes) {
      made->flat.build(passes_[key.pivot], taps, lanes64 ? Wide::real64 : Wide::real32, int(key.channels), key.register_bytes, lanes64 ? isa.permutes64 : isa.permutes32);
    } else if (wide == Wide::copies) {
      made->copy.build(taps, key.channels, key.element_bytes, key.channels > 0 && key.channels * key.element_bytes < 32);
    } else if (key.channels > 0) {
      made->flat.build(passes_[key.pivot], taps, wide, int(key.channels), key.register_bytes, wide == Wide::real64 ? isa.permutes64 : isa.permutes32);
    }
  }
  std::lock_guard<std::mutex> lock(fork_safe_lock());
  if (tables_.size() >= kKeptTables) tables_.clear();
  return tables_.try_emplace(key, std::move(made)).first->second;
}

std::vector<int> Program::dimensions(int ndim) const {
  std::vector<int> dims;
  for (const PassSpec& pass : passes_) {
    dims.push_back(ndim + pass.axis);
    if (dims.back() < 0) throw std::invalid_argument("run: x has too few dimensions");
  }
  return dims;
}

void Program::run(const Array& x, const Array& out, Type type) const {
  Prepared ready;
  if (!prepare(x, out, type, dimensions(int(x.shape.size())), {}, ready)) return;
  struct Running {
    const Prepared& ready;
    std::atomic<bool> out_of_memory{false};
  } running{ready};
  parallel_for(ready.job.tasks, ready.threads, [](void* context, int64_t task) {
    auto& running = *static_cast<Running*>(context);
    const Job& job = running.ready.job;
    if (char* memory = arena.get(job.arena_bytes)) running.ready.isa->run(job, task, memory);
    else running.out_of_memory.store(true);
    arena.trim();
  }, &running);
  if (running.out_of_memory.load()) throw std::bad_alloc();
}

bool Program::prepare(const Array& x, const Array& out, Type type, const std::vector<int>& dims, const Parting& parting, Prepared& ready) const {
  const Isa* isa = current_isa();
  if (!isa) throw std::runtime_error("this processor runs none of the compiled instruction sets");
  const int ndim = int(x.shape.size());
  if (int(out.shape.size()) != ndim) throw std::invalid_argument("run: x and out differ in their number of dimensions");
  const int passes = int(passes_.size());
  std::vector<int> pass_of(ndim, -1);
  for (int i = 0; i < passes; ++i) {
    const int d = dims[i];
    if (x.shape[d] != passes_[i].n_in || out.shape[d] != passes_[i].n_out) throw std::invalid_argument("run: the sizes of x or out do not fit the plan");
    pass_of[d] = i;
  }
  std::vector<Dim> others;
  int64_t total_out = 1, total_in = 1;
  for (int d = 0; d < ndim; ++d) {
    total_out *= out.shape[d];
    total_in *= x.shape[d];
    if (pass_of[d] >= 0) continue;
    if (x.shape[d] != out.shape[d]) throw std::invalid_argument("run: x and out differ along a dimension that is not resampled");
    if (x.shape[d] != 1) others.push_back({x.shape[d], x.stride[d], out.stride[d]});
  }
  if (total_out == 0) return false;
  others = merged(std::move(others));

  Job& job = ready.job;
  job = {};
  job.x = x.data;
  job.out = out.data;
  job.type = type;
  job.compute = compute_;
  job.rounding = rounding_;
  job.copies = copies_;
  job.element_bytes = element_bytes(type);
  job.stage_count = passes;
  job.channels = 1;
  if (!others.empty() && others.back().x == 1 && others.back().out == 1) {
    job.channels = others.back().size;
    job.x_channel = job.out_channel = 1;
    others.pop_back();
  }
  if (others.size() > kMaxBatch) throw std::invalid_argument("run: too many dimensions");

  // Which resampled axis runs along the row: the one nearest in memory, unless the channels alone make long rows.
  int pivot_dim = -1;
  if (job.channels < 256) {
    for (int d = 0; d < ndim; ++d) {
      if (pass_of[d] < 0) continue;
      if (pivot_dim < 0 || std::abs(x.stride[d]) <= std::abs(x.stride[pivot_dim])) pivot_dim = d;
    }
  }
  job.pivot = pivot_dim < 0 ? -1 : pass_of[pivot_dim];
  int line_of[kMaxStages];
  for (int d = 0; d < ndim; ++d) {
    if (pass_of[d] < 0 || d == pivot_dim) continue;
    if (job.line_count == kMaxLines) throw std::invalid_argument("run: at most 9 axes");
    line_of[pass_of[d]] = job.line_count;
    job.x_line[job.line_count] = x.stride[d];
    job.out_line[job.line_count] = out.stride[d];
    job.n_out[job.line_count] = out.shape[d];
    job.n_in[job.line_count] = x.shape[d];
    ++job.line_count;
  }

  // Without another resampled axis the innermost remaining dimension serves as lines that only pass through.
  if (job.line_count == 0 && job.pivot >= 0 && !others.empty()) {
    job.x_line[0] = others.back().x;
    job.out_line[0] = others.back().out;
    job.n_in[0] = job.n_out[0] = others.back().size;
    job.line_count = 1;
    others.pop_back();
  }

  Wide wide = Wide::real32;
  if (copies_) wide = Wide::copies;
  else if (compute_ == Compute::fixed32) wide = Wide::int32;
  else if (compute_ == Compute::real64 || type == Type::f64 || (job.element_bytes >= 4 && type != Type::f32)) wide = Wide::real64;
  if (wide == Wide::int32 && (job.element_bytes > 2 || type == Type::f16 || type == Type::bf16 || type == Type::boolean))
    throw std::invalid_argument("run: fixed-point arithmetic takes 8- and 16-bit integers only");
  const int wide_bytes = wide == Wide::copies ? job.element_bytes : wide == Wide::real64 ? 8 : 4;
  job.copy_by_lanes = wide == Wide::copies && job.channels < 16 && ((job.element_bytes == 4 && isa->permutes32) || (job.element_bytes == 8 && isa->permutes64)) && !periodic_;
  const bool by_bytes = wide == Wide::copies && !job.copy_by_lanes;
  const int lanes = by_bytes ? 16 / job.element_bytes : isa->register_bytes / wide_bytes;
  job.mode = job.pivot < 0 ? RowMode::none : RowMode::channels;
  if (job.pivot >= 0 && (by_bytes ? job.channels * job.element_bytes < 32 : job.channels < 16)) job.mode = RowMode::flat;
  if (job.mode == RowMode::flat) {
    const int64_t n_in = x.shape[pivot_dim], n_out = out.shape[pivot_dim];
    bool plain = wide != Wide::int32;
    for (const PassSpec& pass : passes_) plain = plain && pass.post.kind == Post::none;
    const bool few = by_bytes ? n_in > n_out && (job.channels * job.element_bytes <= 4 || job.channels * job.element_bytes == 6 || job.channels * job.element_bytes == 8)
                              : !copies_ && plain && job.channels <= 4 && n_in > (job.channels >= 3 ? 2 : 4) * n_out;
    if (few) job.mode = RowMode::pixels;
  }
  ready.isa = isa;
  ready.tables = this->tables({int(wide), job.pivot, job.mode == RowMode::flat ? job.channels : 0, isa->register_bytes, job.element_bytes, job.copy_by_lanes}, *isa);
  const std::shared_ptr<const Tables>& tables = ready.tables;
  const FlatVectors& flat = tables->flat;
  job.flat = flat.table;
  job.copy = tables->copy.table;

  int made_at[kMaxLines];  // stage that resamples line a, or -1
  std::fill(made_at, made_at + kMaxLines, -1);
  for (int i = 0; i < passes; ++i) {
    Stage& stage = job.stage[i];
    stage.line = i == job.pivot ? -1 : line_of[i];
    stage.taps = tables->taps[i].list;
    stage.post = passes_[i].post;
    stage.selects = tables->taps[i].selects;
    if (stage.line >= 0) made_at[stage.line] = i;
  }

  const int64_t pixels_in = pivot_dim < 0 ? 1 : x.shape[pivot_dim], pixels_out = pivot_dim < 0 ? 1 : out.shape[pivot_dim];
  job.row_in = pixels_in * job.channels;
  job.row_out = pixels_out * job.channels;
  job.x_pixel = pivot_dim < 0 ? 0 : x.stride[pivot_dim];
  job.out_pixel = pivot_dim < 0 ? 0 : out.stride[pivot_dim];
  job.x_contiguous = pixels_in == 1 || job.x_pixel == job.channels;
  job.out_contiguous = pixels_out == 1 || job.out_pixel == job.channels;
  const bool same = wide == Wide::copies || (wide == Wide::real32 && type == Type::f32) || (wide == Wide::real64 && type == Type::f64);
  job.widen_in_pass = !same && job.x_contiguous && job.pivot != 0 && !tables->taps[0].selects && job.stage[0].taps.first[job.stage[0].taps.n_out] <= 8 * job.stage[0].taps.n_in;
  job.ahead = std::clamp<int64_t>(8192 / std::max<int64_t>(1, job.row_in * job.element_bytes), 2, 16);
  // Rows that begin inside a cache line share it with their neighbour; short ones are then better left to the caches.
  bool whole_lines = reinterpret_cast<uintptr_t>(out.data) % kLine == 0;
  for (int a = 0; a < job.line_count; ++a) whole_lines = whole_lines && job.out_line[a] * job.element_bytes % kLine == 0;
  for (const Dim& d : others) whole_lines = whole_lines && d.out * job.element_bytes % kLine == 0;

  // Where the rows of a plane follow each other and are made by one pass, the last pass, from plane to plane, need not know rows.
  const int rows_of = job.line_count - 1;
  job.planes = !copies_ && passes >= 2 && job.out_contiguous && job.row_out < 2 * kLeastTile && job.stage[passes - 1].line >= 0 &&
               job.stage[passes - 1].line != rows_of && job.stage[passes - 2].line == rows_of && !job.stage[passes - 2].selects &&
               job.out_line[rows_of] == job.row_out;
  const int64_t long_row = job.planes ? job.row_out * job.n_out[rows_of] : job.row_out;
  job.stream = !parting.strip && total_out * job.element_bytes >= kStreamBytes && (whole_lines || long_row * job.element_bytes >= kLongRow);

  job.batch_count = int(others.size());
  job.batches = 1;
  for (int i = 0; i < job.batch_count; ++i) {
    job.batch_size[i] = others[i].size;
    job.x_batch[i] = others[i].x;
    job.out_batch[i] = others[i].out;
    job.batches *= others[i].size;
  }

  // Columns: units are blocks of lanes, pixels, or elements.
  const std::vector<int64_t>* need_low = nullptr;
  const std::vector<int64_t>* need_high = nullptr;
  if (job.mode == RowMode::flat) {
    need_low = by_bytes ? &tables->copy.need_low : &flat.need_low;
    need_high = by_bytes ? &tables->copy.need_high : &flat.need_high;
  }
  const bool by_pixels = job.mode == RowMode::channels || job.mode == RowMode::pixels;
  const int64_t unit = job.mode == RowMode::flat ? lanes : by_pixels ? job.channels : 1;
  const int64_t units = job.mode == RowMode::flat ? int64_t(need_low->size()) : by_pixels ? pixels_out : job.row_out;
  std::vector<Tile>& tiles = ready.tiles;
  const int64_t together = parting.group / std::gcd(parting.group, unit);  // units that are not parted
  int64_t longest_in = 0, longest_out = 0, furthest = 0;
  auto cut = [&](int64_t count) {
    const int64_t step = up_to(std::max<int64_t>(1, (units + count - 1) / count), together);
    tiles.clear();
    longest_in = longest_out = furthest = 0;
    for (int64_t begin = 0; begin < units; begin += step) {
      Tile t{begin, std::min(begin + step, units), 0, 0, 0, 0};
      t.out_low = t.begin * unit;
      t.out_high = std::min(t.end * unit, job.row_out);
      int64_t low = INT64_MAX, high = 0;
      if (job.mode == RowMode::flat) {
        for (int64_t b = t.begin; b < t.end; ++b) low = std::min(low, (*need_low)[b]), high = std::max(high, (*need_high)[b]);
      } else if (by_pixels) {
        const TapList& taps = job.stage[job.pivot].taps;
        for (int64_t i = taps.first[t.begin]; i < taps.first[t.end]; ++i) low = std::min(low, taps.index[i]), high = std::max(high, taps.index[i] + 1);
        if (high == 0) low = 0, high = 1;
        low *= job.channels;
        high *= job.channels;
        if (job.mode == RowMode::pixels && !copies_ && job.channels > 1) high += 4 - job.channels;
      } else {
        low = t.out_low;
        high = t.out_high;
      }
      furthest = std::max(furthest, high);
      longest_in = std::max(longest_in, high - low);
      t.in_low = low;
      t.in_high = std::min(high, job.row_in);
      longest_out = std::max(longest_out, (t.end - t.begin) * unit);
      tiles.push_back(t);
    }
    // Reading in place must not pass the row's end, unless a pass in between makes rows of its own.
    bool remade = job.pivot < 0;
    for (int i = 0; i < job.pivot; ++i) remade = remade || !job.stage[i].selects;
    job.direct = job.x_contiguous && (remade || furthest <= job.row_in);
  };

  // Rows kept at each level: a ring as long as the window along the axis that the next line pass reads, and a whole strip along
  // the axes that are walked inside it.
  int64_t in_use = 0;
  const int ahead = job.pivot < 0 ? -1 : job.pivot + 1 < passes ? job.stage[job.pivot + 1].line : job.line_count - 1;
  auto lay_out = [&] {
    int64_t offset = 0;
    in_use = 0;
    for (int s = 0; s <= passes; ++s) {
      Level& level = job.level[s];
      level = {};
      const bool before = job.pivot >= 0 && s <= job.pivot;
      level.length = before ? longest_in : longest_out;
      level.row_bytes = up_to(level.length * wide_bytes + 5 * isa->register_bytes, 64);
      if (level.row_bytes % 4096 == 0) level.row_bytes += 192;  // rows of one ring should not meet in the same cache sets
      const bool plane = job.planes && s == passes - 1;
      if (plane) level.row_bytes = job.row_out * wide_bytes;  // rows follow each other
      int64_t slots = 1;
      int bits = 0;
      const bool last = s == passes;
      bool to_pivot = job.pivot >= 0 && s <= job.pivot;  // as they are: passes that select rows hand them on untouched
      for (int i = s; i < job.pivot; ++i) to_pivot = to_pivot && job.stage[i].selects;
      const int consumer = last ? -1 : job.stage[s].line;
      int64_t step = 1;
      for (int a = job.line_count - 1; a >= 0; --a) {
        const bool to_come = made_at[a] >= s;
        int64_t keep = 1;
        if (!last && consumer >= 0) {
          if (to_come) keep = job.stage[made_at[a]].taps.reach + (s > 0 && s - 1 == job.pivot && a == consumer ? kTogether : 0);
          else if (a > consumer) keep = job.extent[a];
        }
        if (to_pivot && a == ahead) keep = std::max<int64_t>(keep, kTogether);  // the pivot takes a few rows at a time
        const int log = std::bit_width(uint64_t(keep - 1));
        level.mask[a] = (int64_t(1) << log) - 1;
        level.shift[a] = bits;
        bits += log;
        slots <<= log;
        level.tag_step[a] = step;
        step *= 2 * std::max(job.n_in[a], job.n_out[a]);
      }
      level.slots = slots;
      const bool stored = !last && !(s == 0 && (job.direct && same)) && !(s == 0 && job.widen_in_pass) && !(s > 0 && job.stage[s - 1].selects && job.stage[s - 1].line >= 0);
      if (!last) in_use += slots * level.row_bytes;
      if (!stored) level.slots = 0;
      level.offset = offset;
      offset += plane ? up_to(level.slots * level.row_bytes + 5 * isa->register_bytes, 64) : level.slots * level.row_bytes;
      level.tag_offset = offset;
      offset += up_to(level.slots * 8, 64);
    }
    for (int s = 0; s < passes; ++s) {
      Stage& stage = job.stage[s];
      stage.pointers = offset;
      if (stage.taps.longest > kFewRows) offset += up_to(stage.taps.longest * int64_t(sizeof(void*)), 64);
    }
    job.row_buffer = offset;
    offset += std::max(up_to(longest_out * wide_bytes + 5 * isa->register_bytes, 64), int64_t(kTogether) * std::max<int64_t>(64 * isa->register_bytes, (kPixelChunk * job.channels + 4) * wide_bytes));
    job.arena_bytes = offset;
  };

  for (int a = 0; a < job.line_count; ++a) job.extent[a] = job.n_out[a];
  // Parts of a plane are powers of two, so that their rows do not wrap around in its ring.
  auto part = [&](int a, int64_t extent) {
    if (extent < job.extent[a]) job.extent[a] = job.planes && a == rows_of ? int64_t(std::bit_floor(uint64_t(extent))) : extent;
  };
  int64_t columns = 1;
  cut(columns);
  lay_out();
  while (in_use > kCacheBytes && longest_out >= 2 * kLeastTile && columns < units) {
    columns *= 2;
    cut(columns);
    lay_out();
  }
  for (;;) {
    int widest = -1;
    for (int a = 1; a < job.line_count; ++a)
      if (job.extent[a] > 8 && (widest < 0 || job.extent[a] > job.extent[widest])) widest = a;
    if (in_use <= 2 * kCacheBytes || widest < 0) break;
    part(widest, (job.extent[widest] + 1) / 2);
    lay_out();
  }

  // A task that hands its results on has a buffer for them, not the output.
  for (int64_t before = 0; parting.strip;) {
    int longest = -1;
    int64_t made = longest_out;
    for (int a = 0; a < job.line_count; ++a) {
      made *= job.extent[a];
      if (longest < 0 || job.extent[a] > job.extent[longest]) longest = a;
    }
    if (made <= parting.strip || made == before) break;
    before = made;
    if (columns < units && (longest < 0 || job.extent[longest] <= 8) && longest_out >= 2 * kLeastTile) columns *= 2, cut(columns);
    else if (longest >= 0 && job.extent[longest] > 1) part(longest, (job.extent[longest] + 1) / 2);
    else if (columns < units) columns *= 2, cut(columns);
    lay_out();
  }

  // Threads, and enough tasks to keep them level.
  const int64_t work = std::max(total_out, total_in) * parting.times;
  const int threads = int(std::min<int64_t>(num_threads(), work / kThreadElements + 1));
  auto parts = [&] {
    int64_t n = int64_t(tiles.size());
    for (int a = 0; a < job.line_count; ++a) {
      job.parts[a] = (job.n_out[a] + job.extent[a] - 1) / job.extent[a];
      n *= job.parts[a];
    }
    return n;
  };
  const int64_t wanted = threads == 1 ? 1 : 4 * int64_t(threads);
  int64_t pieces = parts();
  for (int a = 0; a < job.line_count && pieces * job.batches < wanted; ++a) {
    int64_t least = 4;
    if (made_at[a] >= 0) {
      const TapList& taps = job.stage[made_at[a]].taps;
      least = std::max(least, 2 * taps.window * taps.n_out / taps.n_in);
    }
    const int64_t more = (wanted + pieces * job.batches - 1) / (pieces * job.batches);
    part(a, std::max(least, (job.extent[a] + more - 1) / more));
    pieces = parts();
  }
  while (threads > 1 && pieces * job.batches < 2 * threads && longest_out >= 2 * kLeastTile && columns < units) {
    columns *= 2;
    cut(columns);
    pieces = parts();
  }
  lay_out();
  job.tiles = tiles.data();
  job.tile_count = int64_t(tiles.size());
  const int64_t item = std::max<int64_t>(1, total_out / job.batches);
  job.group = pieces > 1 ? 1 : std::clamp<int64_t>(kTaskElements / item, 1, std::max<int64_t>(1, job.batches / (wanted ? wanted : 1)));
  if (threads == 1 && pieces == 1) job.group = job.batches;
  if (parting.strip) job.group = 1;
  job.groups = (job.batches + job.group - 1) / job.group;
  job.tasks = job.groups * pieces;
  ready.threads = threads;
  ready.longest = longest_out;
  return true;
}

}  // namespace hp
