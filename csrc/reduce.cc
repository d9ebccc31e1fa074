// SPDX-License-Identifier: MIT
#include "reduce.hh"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <stdexcept>

#include "parallel.hh"
#include "prepared.hh"

namespace hp {
namespace {

// Elements that a task makes at a time, of one channel and of all: with the keys and indices they stay in a level-2 cache.
constexpr int64_t kStrip = 16 << 10, kGroupedStrip = 64 << 10;

int key_bytes(Type type) { return element_bytes(type) <= 2 || type == Type::f32 ? 4 : 8; }

Array without(const Array& a, int dim) {
  Array out = a;
  out.shape.erase(out.shape.begin() + dim);
  out.stride.erase(out.stride.begin() + dim);
  return out;
}

// Elements along `dim` lie side by side, and nothing else does.
bool is_innermost(const Array& x, int dim) {
  for (int d = 0; d < int(x.shape.size()); ++d)
    if (d != dim && x.shape[d] > 1 && std::abs(x.stride[d]) <= 1) return false;
  return x.stride[dim] == 1;
}

template <class I, class K>
void store_index(const K* from, int64_t n, int64_t step, char* out) {
  I* to = reinterpret_cast<I*>(out);
  if (step == 1)
    for (int64_t i = 0; i < n; ++i) to[i] = I(from[i]);
  else
    for (int64_t i = 0; i < n; ++i) to[i * step] = I(from[i]);
}

template <class K>
void store_index(const K* from, int64_t n, int64_t step, int bytes, char* out) {
  switch (bytes) {
    case 1: return store_index<uint8_t>(from, n, step, out);
    case 2: return store_index<uint16_t>(from, n, step, out);
    case 4: return store_index<uint32_t>(from, n, step, out);
    default: return store_index<uint64_t>(from, n, step, out);
  }
}

// Copies n elements to `step` elements apart.
void spread(const char* from, int64_t n, int64_t step, int bytes, char* out) {
  if (step == 1) {
    std::memcpy(out, from, size_t(n * bytes));
    return;
  }
  for (int64_t i = 0; i < n; ++i) std::memcpy(out + i * step * bytes, from + i * bytes, size_t(bytes));
}

}  // namespace

// A prepared job whose tasks write strips of their own, and where in the output a strip belongs.
struct Program::Strips {
  Prepared ready;
  int64_t group = 1;      // elements of a strip that make one of the output
  int64_t most = 0;       // elements of the largest strip
  int64_t pixel = 0;      // strides of the output, in elements of it
  int64_t line[kMaxLines] = {}, batch[kMaxBatch] = {};
  std::atomic<bool> out_of_memory{false};

  // After prepare(): from the output's strides to the strip's.
  void take_over() {
    Job& job = ready.job;
    pixel = job.out_pixel / group;
    for (int a = 0; a < job.line_count; ++a) line[a] = job.out_line[a] / group;
    for (int d = 0; d < job.batch_count; ++d) batch[d] = job.out_batch[d] / group, job.out_batch[d] = 0;
    job.out_contiguous = true;
    job.out_pixel = job.channels;
    most = pitch(ready.longest);
    for (int a = 0; a < job.line_count; ++a) most *= job.extent[a];
    most = up_to(most, kFoldStep) + kFoldStep;
  }
  int64_t pitch(int64_t row) const { return ready.job.planes ? row : up_to(row, 64 / ready.job.element_bytes); }

  struct Strip {
    Job job;                             // writes the strip
    int64_t begin[kMaxLines], size[kMaxLines];
    int64_t lines, pitch, low, row;      // of the strip: elements of a row, from `low` of the whole row on
    int64_t to;                          // where its batch item begins in the output

    int64_t elements() const { return lines * pitch; }
  };

  Strip strip(int64_t task, char* memory) const {
    Strip s{ready.job, {}, {}, 1, 0, 0, 0, 0};
    Job& job = s.job;
    const Tile& tile = job.tiles[task % job.tile_count];
    task /= job.tile_count;
    s.low = tile.out_low;
    s.row = tile.out_high - tile.out_low;
    s.pitch = pitch(s.row);
    int64_t before = s.low;
    for (int a = job.line_count - 1; a >= 0; --a) {
      s.begin[a] = task % job.parts[a] * job.extent[a];
      s.size[a] = std::min(job.extent[a], job.n_out[a] - s.begin[a]);
      task /= job.parts[a];
      job.out_line[a] = s.pitch * s.lines;
      before += s.begin[a] * job.out_line[a];
      s.lines *= s.size[a];
    }
    for (int d = job.batch_count - 1; d >= 0; --d) {
      s.to += task % job.batch_size[d] * batch[d];
      task /= job.batch_size[d];
    }
    job.out = memory - before * job.element_bytes;
    return s;
  }

  // Calls store(first element of the strip's results, how many, where in the output, how far apart there).
  template <class Store>
  void each_run(const Strip& s, int64_t pitch, Store&& store) const {
    const int64_t channels = s.job.channels / group, low = s.low / group, row = s.row / group;
    int64_t at[kMaxLines] = {};
    for (int64_t l = 0; l < s.lines; ++l) {
      int64_t to = s.to;
      for (int a = 0; a < s.job.line_count; ++a) to += (s.begin[a] + at[a]) * line[a];
      if (s.job.pivot < 0 || pixel == channels) {
        store(l * pitch, row, to + low, 1);
      } else if (channels == 1) {
        store(l * pitch, row, to + low * pixel, pixel);
      } else {
        for (int64_t j = 0; j < row;) {
          const int64_t c = (low + j) % channels, n = std::min(channels - c, row - j);
          store(l * pitch + j, n, to + (low + j) / channels * pixel + c, 1);
          j += n;
        }
      }
      for (int a = s.job.line_count - 1; a >= 0 && ++at[a] == s.size[a]; --a) at[a] = 0;
    }
  }

  template <class Work>
  void each_task(int64_t bytes, Work&& work) {
    struct Context {
      Strips& strips;
      int64_t bytes;
      Work& work;
    } context{*this, bytes, work};
    parallel_for(ready.job.tasks, ready.threads, [](void* p, int64_t task) {
      auto& c = *static_cast<Context*>(p);
      if (!with_scratch(c.strips.ready.job.arena_bytes + c.bytes, [&](char* memory) { c.work(task, memory, memory + c.strips.ready.job.arena_bytes); }))
        c.strips.out_of_memory.store(true);
    }, &context);
    if (out_of_memory.load()) throw std::bad_alloc();
  }
};

void Program::reduce(const Array& x, int dim, const Reduction& to, Type type) const {
  const Array* out = to.index ? to.index : to.values;
  if (!out) throw std::invalid_argument("reduce: there is nothing to write to");
  if (dim < 0 || dim >= int(x.shape.size())) throw std::invalid_argument("reduce: x has no such dimension");
  if (out->shape.size() + 1 != x.shape.size()) throw std::invalid_argument("reduce: the output has one dimension less than x");
  if (to.values && to.index && (to.values->shape != to.index->shape || to.values->stride != to.index->stride))
    throw std::invalid_argument("reduce: values and index differ in shape or strides");
  const int64_t n = x.shape[dim], step = x.stride[dim];
  if (n < 1) throw std::invalid_argument("reduce: there is nothing along the reduced dimension");
  if (n > INT32_MAX) throw std::invalid_argument("reduce: too many elements along the reduced dimension");
  std::vector<int> dims = dimensions(int(x.shape.size()));
  for (int d : dims)
    if (d == dim) throw std::invalid_argument("reduce: the reduced dimension is resampled");

  Strips strips;
  const bool grouped = n > 1 && is_innermost(x, dim);
  const int key = key_bytes(type), element = element_bytes(type);
  if (grouped) {
    Array whole = *out;
    for (int64_t& s : whole.stride) s *= n;
    whole.shape.insert(whole.shape.begin() + dim, n);
    whole.stride.insert(whole.stride.begin() + dim, 1);
    strips.group = n;
    if (!prepare(x, whole, type, dims, {kGroupedStrip, n, 1}, strips.ready)) return;
    if (strips.ready.job.channels % n) throw std::logic_error("reduce: the groups are not together");
  } else {
    for (int& d : dims) d -= d > dim;
    if (!prepare(without(x, dim), *out, type, dims, {kStrip, 1, n}, strips.ready)) return;
  }
  strips.take_over();
  const Isa* isa = strips.ready.isa;
  const int64_t made = up_to(strips.most * element, 64), kept = up_to((strips.most / strips.group + kFoldStep) * key, 64);
  const int strips_held = grouped ? 1 : int(std::min<int64_t>(n, kTogether));
  strips.each_task(strips_held * made + 2 * kept, [&](int64_t task, char* memory, char* strip) {
    char *const best = strip + strips_held * made, *const index = best + kept;
    auto part = strips.strip(task, strip);
    int64_t pitch = part.pitch;
    if (grouped) {
      pitch = part.row / n;
      isa->run(part.job, task, memory);
      for (int64_t l = 0; l < part.lines; ++l)
        isa->folds.groups(type, to.smallest, strip + l * part.pitch * element, pitch, n, best + l * pitch * key, index + l * pitch * key);
    } else {
      std::memset(strip, 0, size_t(strips_held * made));  // the ends of rows are compared too
      const char* const x_data = part.job.x;
      char* const first = part.job.out;
      for (int64_t c = 0; c < n; c += strips_held) {
        const int count = int(std::min<int64_t>(strips_held, n - c));
        for (int k = 0; k < count; ++k) {
          part.job.x = x_data + (c + k) * step * element;
          part.job.out = first + k * made;
          isa->run(part.job, task, memory);
        }
        isa->folds.channels(type, to.smallest, strip, made, count, part.elements(), c, best, index);
      }
    }
    strips.each_run(part, pitch, [&](int64_t from, int64_t count, int64_t at, int64_t apart) {
      if (to.index) {
        char* const where = to.index->data + at * to.index_bytes;
        if (key == 4) store_index(reinterpret_cast<const int32_t*>(index) + from, count, apart, to.index_bytes, where);
        else store_index(reinterpret_cast<const int64_t*>(index) + from, count, apart, to.index_bytes, where);
      }
      if (to.values) {
        isa->folds.store(type, best + from * key, count, strip);
        spread(strip, count, apart, element, to.values->data + at * element);
      }
    });
  });
}

void Program::above(const Array& x, const Array& out, const Threshold& threshold, Type type) const {
  Strips strips;
  if (!prepare(x, out, type, dimensions(int(x.shape.size())), {kStrip, 1, 1}, strips.ready)) return;
  strips.take_over();
  const Isa* isa = strips.ready.isa;
  const int element = element_bytes(type);
  const int64_t made = up_to(strips.most * element, 64);
  strips.each_task(made + strips.most, [&](int64_t task, char* memory, char* strip) {
    uint8_t* const bits = reinterpret_cast<uint8_t*>(strip + made);
    const auto part = strips.strip(task, strip);
    std::memset(strip, 0, size_t(made));
    isa->run(part.job, task, memory);
    isa->folds.above(type, strip, part.elements(), threshold.real, threshold.whole, bits);
    strips.each_run(part, part.pitch, [&](int64_t from, int64_t count, int64_t at, int64_t apart) {
      spread(reinterpret_cast<const char*>(bits) + from, count, apart, 1, out.data + at);
    });
  });
}

}  // namespace hp
