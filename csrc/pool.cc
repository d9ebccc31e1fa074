// SPDX-License-Identifier: MIT
#include "pool.hh"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {

namespace {

constexpr int64_t kThreadElements = 24 << 10;  // less work than this a thread is not worth waking it
constexpr int64_t kStreamBytes = 8 << 20;        // larger places are stored past the caches
constexpr int64_t kWidest = 16;                // lanes of the widest register

struct Pooling {
  const Pool* pool;
  void (*run)(const Pool&, int64_t, char*);
  int64_t arena_bytes;
  std::atomic<bool> out_of_memory{false};
};

void pool_one(void* context, int64_t task) {
  Pooling& pooling = *static_cast<Pooling*>(context);
  if (!with_scratch(pooling.arena_bytes, [&](char* arena) { pooling.run(*pooling.pool, task, arena); })) pooling.out_of_memory = true;
}

// One loop over planes, or over runs of channels of volumes: f(first element, elements of a pixel here) says where it failed.
template <class F>
struct Planes {
  const Places& places;
  const F& f;
  int64_t parts, run;
  std::atomic<int64_t> failed{-1};
  std::atomic<bool> out_of_memory{false};
};

template <class F>
int64_t over_planes(const Places& places, const F& f) {
  const int64_t work = places.planes * places.channels * (places.n_in + places.n_out);
  const int threads = int(std::min<int64_t>(num_threads(), work / kThreadElements + 1));
  Planes<F> planes{places, f, 1, places.channels};
  if (places.channels > 1 && places.planes < 2 * threads && threads > 1) {
    planes.run = up_to((places.channels + 2 * threads - 1) / (2 * threads), kWidest);
    planes.parts = (places.channels + planes.run - 1) / planes.run;
  }
  const auto one = [](void* context, int64_t task) {
    Planes<F>& p = *static_cast<Planes<F>*>(context);
    const int64_t plane = task / p.parts, first = task % p.parts * p.run;
    try {
      const int64_t failed = p.f(plane, first, std::min(p.run, p.places.channels - first));
      if (failed >= 0) p.failed = failed;
    } catch (const std::bad_alloc&) {
      p.out_of_memory = true;
    }
  };
  parallel_for(places.planes * planes.parts, threads, one, &planes);
  if (planes.out_of_memory) throw std::bad_alloc();
  return planes.failed;
}

// f(position in the arrays of windows, place) for every element, plane by plane in ascending order; -1, or the position of a place
// that is none.
template <class F>
int64_t each(const Places& p, const int64_t* place, int64_t plane, int64_t first, int64_t run, const F& f) {
  const int64_t begin = plane * p.n_in * p.channels;
  for (int64_t i = 0; i < p.n_in; ++i)
    for (int64_t c = first; c < first + run; ++c) {
      const int64_t at = begin + i * p.channels + c;
      const int64_t to = place[at];
      if (uint64_t(to) >= uint64_t(p.n_out)) return at;
      f(at, to, c);
    }
  return -1;
}

void clear(char* out, const Places& p, int bytes, int64_t first, int64_t run) {
  if (run == p.channels) {
    std::memset(out, 0, size_t(p.n_out * p.channels * bytes));
  } else {
    for (int64_t i = 0; i < p.n_out; ++i) std::memset(out + (i * p.channels + first) * bytes, 0, size_t(run * bytes));
  }
}

template <class T>
int64_t unpool_of(const Places& p, const char* x, const int64_t* place, char* out) {
  const T* from = reinterpret_cast<const T*>(x);
  return over_planes(p, [&](int64_t plane, int64_t first, int64_t run) {
    T* to = reinterpret_cast<T*>(out) + plane * p.n_out * p.channels;
    clear(reinterpret_cast<char*>(to), p, sizeof(T), first, run);
    return each(p, place, plane, first, run, [&](int64_t at, int64_t j, int64_t c) { to[j * p.channels + c] = from[at]; });
  });
}

template <class T>
int64_t gather_of(const Places& p, bool winners, const char* x, const int64_t* place, char* out) {
  T* to = reinterpret_cast<T*>(out);
  return over_planes(p, [&](int64_t plane, int64_t first, int64_t run) {
    const T* from = reinterpret_cast<const T*>(x) + plane * p.n_out * p.channels;
    if (!winners) return each(p, place, plane, first, run, [&](int64_t at, int64_t j, int64_t c) { to[at] = from[j * p.channels + c]; });
    std::vector<int64_t> last(size_t(p.n_out * run));  // who came last to each place
    const int64_t failed = each(p, place, plane, first, run, [&](int64_t at, int64_t j, int64_t c) { last[size_t(j * run + c - first)] = at; });
    if (failed >= 0) return failed;
    return each(p, place, plane, first, run, [&](int64_t at, int64_t j, int64_t c) {
      to[at] = last[size_t(j * run + c - first)] == at ? from[j * p.channels + c] : T(0);
    });
  });
}

template <class T>
int64_t back_of(const Places& p, const char* x, const int64_t* place, char* out) {
  const T* from = reinterpret_cast<const T*>(x);
  return over_planes(p, [&](int64_t plane, int64_t first, int64_t run) {
    T* to = reinterpret_cast<T*>(out) + plane * p.n_out * p.channels;
    clear(reinterpret_cast<char*>(to), p, sizeof(T), first, run);
    return each(p, place, plane, first, run, [&](int64_t at, int64_t j, int64_t c) { to[j * p.channels + c] += from[at]; });
  });
}

bool pools(Type type) {
  switch (type) {
    case Type::f32: case Type::f64: case Type::f16: case Type::bf16: case Type::u8: case Type::i8: case Type::i16: case Type::i32: return true;
    default: return false;
  }
}

[[noreturn]] void refuse(const char* why) { throw std::invalid_argument(why); }

}  // namespace

int64_t unpool(const Places& p, int element_bytes, const char* x, const int64_t* place, char* out) {
  switch (element_bytes) {
    case 1: return unpool_of<uint8_t>(p, x, place, out);
    case 2: return unpool_of<uint16_t>(p, x, place, out);
    case 4: return unpool_of<uint32_t>(p, x, place, out);
    case 8: return unpool_of<uint64_t>(p, x, place, out);
  }
  refuse("unpool: elements of 1, 2, 4 or 8 bytes");
}

int64_t gather(const Places& p, int element_bytes, bool winners, const char* x, const int64_t* place, char* out) {
  switch (element_bytes) {
    case 1: return gather_of<uint8_t>(p, winners, x, place, out);
    case 2: return gather_of<uint16_t>(p, winners, x, place, out);
    case 4: return gather_of<uint32_t>(p, winners, x, place, out);
    case 8: return gather_of<uint64_t>(p, winners, x, place, out);
  }
  refuse("gather: elements of 1, 2, 4 or 8 bytes");
}

int64_t pool_back(const Places& p, Type type, const char* x, const int64_t* place, char* out) {
  if (type == Type::f32) return back_of<float>(p, x, place, out);
  if (type == Type::f64) return back_of<double>(p, x, place, out);
  refuse("pool_back: float32 or float64");
}

void max_pool(const PoolSpec& given, Type type, const char* x, char* out, int64_t* place) {
  if (!pools(type)) refuse("max_pool: no element type to pool");
  PoolSpec spec = given;
  int64_t windows = spec.planes * spec.channels, taps = 1;
  for (int d = 0; d < 3; ++d) {
    if (std::min({spec.in[d], spec.kernel[d], spec.stride[d], spec.dilation[d]}) < 1 || std::min(spec.padding[d], spec.out[d]) < 0)
      refuse("max_pool: sizes must be positive");
    windows *= spec.out[d];
    taps *= spec.kernel[d];
    if (spec.out[d] == 1) spec.stride[d] = 1;  // no second window: a long stride would only cost memory
  }
  if (spec.in[0] * spec.in[1] > INT32_MAX / spec.in[2]) refuse("max_pool: a plane of 2^31 elements or more");
  if (windows == 0) return;
  Pool pool{spec, type, x, out, place, 0, 0, 0, 0, false};
  pool.large = place && windows * int64_t(sizeof(int64_t)) >= kStreamBytes;
  const bool wide = type == Type::f64 || type == Type::i32;
  const int64_t reach = (spec.kernel[2] - 1) * spec.dilation[2];
  pool.phase_length = up_to(up_to(spec.out[2], kWidest) + reach / spec.stride[2] + 1, kWidest);
  // Padding on the left may not be longer than what a row's phases hold.
  pool.phase_length = std::max(pool.phase_length, up_to(spec.padding[2] / spec.stride[2] + 1, kWidest));
  pool.slots = (spec.kernel[1] - 1) * spec.dilation[1] + 1;
  const int64_t width = pool.phase_length * spec.stride[2] * (wide ? 8 : 4);
  const int64_t rows = pool.slots * spec.kernel[0];
  const int64_t planar = width * (rows + 1) + 2 * pool.phase_length * 8 + rows * 8 + spec.kernel[0] * spec.kernel[1] * 16 + 7 * 64;
  const int threads = int(std::min<int64_t>(num_threads(), windows * taps / kThreadElements + 1));
  const int64_t lines = spec.out[0] * spec.out[1];
  const int64_t wanted = threads == 1 ? 1 : 4 * int64_t(threads);
  const int64_t parts = std::clamp<int64_t>((wanted + spec.planes - 1) / spec.planes, 1, lines);
  pool.lines = (lines + parts - 1) / parts;
  pool.parts = (lines + pool.lines - 1) / pool.lines;
  Pooling pooling{&pool, current_isa()->pool, spec.last ? taps * 16 : planar};
  parallel_for(spec.planes * pool.parts, threads, pool_one, &pooling);
  if (pooling.out_of_memory) throw std::bad_alloc();
}

}  // namespace hp
