// SPDX-License-Identifier: MIT
// Lines run side by side, one per lane. A block of them is copied (and turned, where the axis is the innermost one) into rows of
// lanes, substituted forwards on its way in and backwards on its way out. Blocks are so narrow that their rows stay in the cache
// between the two; where even the narrowest is too long, `out` holds what the way forwards has left.
#include "solve.hh"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "lanes.hh"
#include "parallel.hh"

namespace hp {
namespace {

// Chosen by measurement; they change speed, never results.
constexpr int64_t kLeastRow = 64;              // bytes; rows of lanes are multiples of it
constexpr int64_t kWidestRow = kMaxLanes * 4;
constexpr int64_t kWidestTurned = 128;         // where lines are contiguous every lane is a stream of its own
constexpr int64_t kBlock = 2 << 20;            // bytes of a block with rows wider than kLeastRow
constexpr int64_t kTurnedBlock = 256 << 10;
constexpr int64_t kLargestBlock = 2 << 20;     // beyond it a block goes through `out`
constexpr int64_t kThreadElements = 24 << 10;  // less work than this a thread is not worth waking it
constexpr int64_t kKeptScratch = 4 << 20;
constexpr int64_t kFewLines = 3;               // these run one by one, where the band is narrow
constexpr int kFewCorners = 8;
constexpr int64_t kMostChannels = 8;
constexpr int kStrip = 16;                     // rows that are copied and substituted while the nearest cache has them

class Scratch {
 public:
  ~Scratch() { std::free(data_); }
  char* get(int64_t wanted) {
    if (wanted <= bytes_) return data_;
    drop();
    wanted = (wanted + 4095) / 4096 * 4096;
    data_ = static_cast<char*>(std::aligned_alloc(64, size_t(wanted)));
    if (data_) bytes_ = wanted;
    return data_;
  }
  void trim() {
    if (bytes_ > kKeptScratch) drop();
  }

 private:
  void drop() {
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }
  char* data_ = nullptr;
  int64_t bytes_ = 0;
};
thread_local Scratch scratch;

struct Dim {
  int64_t size, x, out;
};

template <class C>
struct Job {
  const C* x;
  C* out;
  std::vector<Dim> dims;  // of the lines, innermost first; what lies together in memory is merged
  int64_t lines, n, x_step, out_step;
  int64_t channels;       // more than 1: interleaved in contiguous lines, of which `lines` is the number; the steps are 1 then
  int64_t lanes = 1;      // of a block
  int64_t held = 1;       // rows of a block in scratch at a time: n, or a multiple of kStrip
  const Factors* factors;
  int below, above, corners;
  std::vector<C> lower, scale, upper, correction;
  std::vector<char> corrected;  // per strip: some row of it has a correction
  std::atomic<bool> out_of_memory{false};

  const C* lower_at(int64_t i) const { return lower.data() + factors->row(i) * below; }
  C scale_at(int64_t i) const { return scale[size_t(factors->row(i))]; }
  const C* upper_at(int64_t i) const { return upper.data() + factors->row(i) * above; }
  const C* correction_at(int64_t i) const { return correction.data() + factors->row(i) * corners; }
};

// t = scale t - sum of c[k] p[k], the products in order; scale is 1 on the way forwards. One row of lanes, aligned.
template <int K, bool kScale, class C>
inline void eliminate(C* __restrict t, C scale, const C* c, const C* const* p, int64_t lanes) {
  constexpr int64_t G = kLeastRow / int64_t(sizeof(C));
  for (int64_t g = 0; g < lanes; g += G)
    for (int64_t w = g; w < g + G; ++w) {
      C v = kScale ? scale * t[w] : t[w];
      for (int k = 0; k < K; ++k) v -= c[k] * p[k][w];
      t[w] = v;
    }
}

// Entries of 0 are left out: what they would read may lie outside, or be NaN.
template <bool kScale, class C>
inline void substitute(C* t, C scale, const C* c, int count, const C* p, int64_t lanes) {
  const C* row[2];
  C weight[2];
  int have = 0;
  bool scaled = !kScale;
  auto flush = [&] {
    if (scaled) have == 2 ? eliminate<2, false>(t, scale, weight, row, lanes) : eliminate<1, false>(t, scale, weight, row, lanes);
    else if (have == 2) eliminate<2, kScale>(t, scale, weight, row, lanes);
    else if (have == 1) eliminate<1, kScale>(t, scale, weight, row, lanes);
    else eliminate<0, kScale>(t, scale, weight, row, lanes);
    scaled = true;
    have = 0;
  };
  for (int k = 0; k < count; ++k) {
    if (c[k] == C(0)) continue;
    row[have] = p + k * lanes;
    weight[have] = c[k];
    if (++have == 2) flush();
  }
  if (have || !scaled) flush();
}

template <class C>
void place(const Job<C>& job, int64_t begin, Side<C>& x, Side<C>& out) {
  x = {const_cast<C*>(job.x), job.x_step, 0, 0, false, false, {}, {}};
  out = {job.out, job.out_step, 0, 0, false, false, {}, {}};
  x.lanes = out.lanes = int(std::min(job.lanes, job.lines - begin));
  for (int w = 0; w < x.lanes;) {
    int64_t line = begin + w, from = 0, to = 0;
    for (const Dim& d : job.dims) {
      from += line % d.size * d.x;
      to += line % d.size * d.out;
      line /= d.size;
    }
    const Dim inner = job.dims.empty() ? Dim{1, 0, 0} : job.dims[0];
    for (int64_t k = (begin + w) % inner.size; k < inner.size && w < x.lanes; ++k, ++w, from += inner.x, to += inner.out) {
      x.offset[w] = from;
      out.offset[w] = to;
    }
  }
  x.close();
  out.close();
}

// A block of lines in scratch: rows [i0, i0 + held) of it, and the few before and behind that they need.
template <class C>
struct Block {
  const Job<C>& job;
  Side<C> x, out;
  int64_t pitch;
  C *memory, *rows;

  Block(const Job<C>& j, int64_t begin, C* m) : job(j), memory(m) {
    place(j, begin, x, out);
    constexpr int64_t G = kLeastRow / int64_t(sizeof(C));
    pitch = (x.lanes + G - 1) / G * G * j.channels;
    rows = m + j.below * pitch;
  }

  template <bool kIn>
  void move(const Side<C>& side, C* row, int64_t i0, int64_t i1) {
    copy<kIn>(side, row, pitch / job.channels, i0 * job.channels, i1 * job.channels);
  }

  void forwards(int64_t i0, int64_t i1) {
    for (int64_t i = i0; i < i1; i += kStrip) {
      const int64_t end = std::min(i + kStrip, i1);
      C* t = rows + (i - i0) * pitch;
      move<true>(x, t, i, end);
      for (int64_t r = i; r < end; ++r, t += pitch)
        substitute<false>(t, C(1), job.lower_at(r), job.below, t - job.below * pitch, pitch);
    }
  }
  void backwards(int64_t i0, int64_t i1) {
    for (int64_t i = i0 + (i1 - i0 - 1) / kStrip * kStrip; i >= i0; i -= kStrip) {
      const int64_t end = std::min(i + kStrip, i1);
      C* t = rows + (end - i0) * pitch;
      for (int64_t r = end; r-- > i;) {
        t -= pitch;
        substitute<true>(t, job.scale_at(r), job.upper_at(r), job.above, t + pitch, pitch);
      }
      move<false>(out, t, i, end);
    }
  }
  void corners() {
    C* const strip = memory + job.corners * pitch;
    const int64_t* column = job.factors->column;
    for (int k = 0; k < job.corners; ++k) move<true>(out, memory + k * pitch, column[k], column[k] + 1);
    for (int64_t i = 0; i < job.n; i += kStrip) {
      if (!job.corrected[size_t(i / kStrip)]) continue;
      const int64_t end = std::min(i + kStrip, job.n);
      move<true>(out, strip, i, end);
      for (int64_t r = i; r < end; ++r)
        substitute<false>(strip + (r - i) * pitch, C(1), job.correction_at(r), job.corners, memory, pitch);
      move<false>(out, strip, i, end);
    }
  }
  void run() {
    const int64_t n = job.n, held = job.held, last = (n - 1) / held * held;
    for (int64_t i0 = 0; i0 < last; i0 += held) {
      forwards(i0, i0 + held);
      move<false>(out, rows, i0, i0 + held);
      std::memmove(memory, rows + (held - job.below) * pitch, size_t(job.below * pitch) * sizeof(C));
    }
    forwards(last, n);
    backwards(last, n);
    for (int64_t i0 = last - held; i0 >= 0; i0 -= held) {
      std::memmove(rows + held * pitch, rows, size_t(job.above * pitch) * sizeof(C));
      move<true>(out, rows, i0, i0 + held);
      backwards(i0, i0 + held);
    }
    if (job.corners) corners();
  }
};

// The dimensions of the lines in the order of memory, innermost first.
std::vector<Dim> merged(std::vector<Dim> dims) {
  std::erase_if(dims, [](const Dim& d) { return d.size == 1; });
  std::stable_sort(dims.begin(), dims.end(), [](const Dim& a, const Dim& b) { return std::abs(a.out) < std::abs(b.out); });
  std::vector<Dim> kept;
  for (const Dim& d : dims) {
    Dim* inner = kept.empty() ? nullptr : &kept.back();
    if (inner && d.x == inner->x * inner->size && d.out == inner->out * inner->size) inner->size *= d.size;
    else kept.push_back(d);
  }
  return kept;
}

// Channels of pixels that follow each other along the axis, as in a picture of height, width, channels: turned together.
template <class C>
int64_t channels_of(const Job<C>& job) {
  if (job.dims.size() < 2 || job.dims[0].size > kMostChannels) return 1;
  const Dim& d = job.dims[0];
  return d.x == 1 && d.out == 1 && job.x_step == d.size && job.out_step == d.size ? d.size : 1;
}

template <class C>
std::vector<C> rounded(const double* table, int64_t count) {
  std::vector<C> out(size_t(count), C(0));
  for (int64_t i = 0; i < count; ++i) out[size_t(i)] = C(table[i]);
  return out;
}

// One line from `from` to `to`, its latest values in registers.
template <int K, bool kForwards, class C>
void pass(const Job<C>& job, const C* from, int64_t from_step, C* to, int64_t to_step) {
  C near[K] = {};  // in the order of the columns
  for (int64_t s = 0; s < job.n; ++s) {
    const int64_t i = kForwards ? s : job.n - 1 - s;
    const C* c = kForwards ? job.lower_at(i) : job.upper_at(i);
    C v = kForwards ? from[i * from_step] : job.scale_at(i) * from[i * from_step];
    for (int k = 0; k < K; ++k)
      if (c[k] != C(0)) v -= c[k] * near[k];
    if constexpr (kForwards) std::memmove(near, near + 1, sizeof near - sizeof v);
    else std::memmove(near + 1, near, sizeof near - sizeof v);
    to[i * to_step] = near[kForwards ? K - 1 : 0] = v;
  }
}

// Few lines: each by itself, in place.
template <int K, class C>
void run_line(void* context, int64_t line) {
  const auto& job = *static_cast<const Job<C>*>(context);
  Side<C> x, out;
  place(job, line, x, out);
  C* const y = out.data + out.offset[0];
  pass<K, true>(job, x.data + x.offset[0], x.step, y, out.step);
  pass<K, false>(job, y, out.step, y, out.step);
  C corner[kFewCorners];
  for (int k = 0; k < job.corners; ++k) corner[k] = y[job.factors->column[k] * out.step];
  for (int64_t i = 0; i < (job.corners ? job.n : 0); i += job.corrected[size_t(i / kStrip)] ? 1 : kStrip)
    for (int k = 0; k < job.corners; ++k)
      if (const C c = job.correction_at(i)[k]; c != C(0)) y[i * out.step] -= c * corner[k];
}

template <class C>
void measure(Job<C>& job, int threads) {
  const bool across = job.dims.empty() || job.dims[0].x != 1 || job.dims[0].out != 1 || job.dims[0].size < 8;
  const int64_t n = job.n * job.channels;
  const bool through = n * kLeastRow > kLargestBlock && std::max(job.below, job.above) <= kStrip;
  int64_t bytes = across ? kWidestTurned : kWidestRow;
  const int64_t most = across ? kTurnedBlock : kBlock, tasks = threads > 1 ? 2 * threads : 1;
  while (bytes > kLeastRow && ((!through && n * bytes > most) || job.lines * int64_t(sizeof(C)) < bytes * tasks)) bytes /= 2;
  job.lanes = bytes / int64_t(sizeof(C));
  job.held = through ? kTurnedBlock / bytes / job.channels / kStrip * kStrip : job.n;
}

template <class C>
void set_lines(Job<C>& job, const Array& x, const Array& out, size_t axis) {
  job.x = reinterpret_cast<const C*>(x.data);
  job.out = reinterpret_cast<C*>(out.data);
  job.x_step = x.stride[axis];
  job.out_step = out.stride[axis];
  job.lines = 1;
  for (size_t d = 0; d < x.shape.size(); ++d) {
    if (d == axis) continue;
    job.dims.push_back({x.shape[d], x.stride[d], out.stride[d]});
    job.lines *= x.shape[d];
  }
  job.dims = merged(std::move(job.dims));
  job.channels = channels_of(job);
  if (job.channels == 1) return;
  job.dims.erase(job.dims.begin());
  job.lines /= job.channels;
  job.x_step = job.out_step = 1;
}

template <class C>
void set_factors(Job<C>& job, const Factors& f) {
  job.factors = &f;
  job.n = f.n();
  job.below = f.below;
  job.above = f.above;
  job.corners = f.corners;
  job.lower = rounded<C>(f.lower, f.rows * f.below);
  job.scale = rounded<C>(f.scale, f.rows);
  job.upper = rounded<C>(f.upper, f.rows * f.above);
  job.correction = rounded<C>(f.correction, f.rows * f.corners);
  job.corrected.resize(f.corners ? size_t((job.n + kStrip - 1) / kStrip) : 0);
  for (int64_t at = 0; at < f.rows * f.corners; ++at) {
    if (job.correction[size_t(at)] == C(0)) continue;
    const int64_t r = at / f.corners, first = r <= f.head ? r : r + f.repeats, last = r < f.head ? r : r + f.repeats;
    for (int64_t strip = first / kStrip; strip <= last / kStrip; ++strip) job.corrected[size_t(strip)] = 1;
  }
}

template <class C>
void run_block(void* context, int64_t task) {
  auto& job = *static_cast<Job<C>*>(context);
  const int64_t rows = std::max<int64_t>(job.below + job.held + job.above, job.corners + kStrip);
  char* memory = scratch.get(rows * job.channels * job.lanes * int64_t(sizeof(C)));
  if (memory) Block<C>(job, task * job.lanes, reinterpret_cast<C*>(memory)).run();
  else job.out_of_memory.store(true);
  scratch.trim();
}

template <class C>
void solve_as(const Array& x, const Array& out, size_t axis, const Factors& factors) {
  Job<C> job;
  set_lines(job, x, out, axis);
  if (job.lines == 0) return;
  set_factors(job, factors);
  const int64_t lines = job.lines * job.channels;
  const int threads = int(std::min<int64_t>(num_threads(), lines * job.n / kThreadElements + 1));
  const bool narrow = job.below == job.above && job.corners <= kFewCorners;
  if (lines <= kFewLines && narrow && job.below == 1) return parallel_for(lines, threads, run_line<1, C>, &job);
  if (lines <= kFewLines && narrow && job.below == 2) return parallel_for(lines, threads, run_line<2, C>, &job);
  measure(job, threads);
  parallel_for((job.lines + job.lanes - 1) / job.lanes, threads, run_block<C>, &job);
  if (job.out_of_memory.load()) throw std::bad_alloc();
}

void check(const Array& x, const Array& out, int axis, Type type, const Factors& f) {
  const auto refuse = [](const std::string& why) { throw std::invalid_argument("solve: " + why); };
  const int64_t ndim = int64_t(x.shape.size());
  if (x.shape != out.shape) refuse("x and out differ in shape");
  if (axis >= 0 || -axis > ndim) refuse("axis " + std::to_string(axis) + " of an array of " + std::to_string(ndim) + " dimensions");
  if (type != Type::f32 && type != Type::f64) refuse("elements must be float32 or float64");
  const int64_t length = x.shape[size_t(ndim + axis)], n = f.n();
  if (length != n) refuse("the axis holds " + std::to_string(length) + " samples, the factors " + std::to_string(n));
  for (int64_t i = 0; i < std::min<int64_t>(f.below, n); ++i)
    for (int64_t k = 0; k < f.below - i; ++k)
      if (f.lower[f.row(i) * f.below + k] != 0) refuse("a row of lower begins before the first sample");
  for (int64_t i = std::max<int64_t>(n - f.above, 0); i < n; ++i)
    for (int64_t k = n - 1 - i; k < f.above; ++k)
      if (f.upper[f.row(i) * f.above + k] != 0) refuse("a row of upper ends behind the last sample");
  for (int k = 0; k < f.corners; ++k)
    if (f.column[k] < 0 || f.column[k] >= n) refuse("a column lies outside the axis");
}

}  // namespace

void solve(const Array& x, const Array& out, int axis, Type type, const Factors& factors) {
  check(x, out, axis, type, factors);
  const size_t at = size_t(int(x.shape.size()) + axis);
  if (type == Type::f32) solve_as<float>(x, out, at, factors);
  else solve_as<double>(x, out, at, factors);
}

}  // namespace hp
