// SPDX-License-Identifier: MIT
#include "sample.hh"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>

#include "dispatch.hh"
#include "parallel.hh"
#include "prepared.hh"

namespace hp {

namespace {

constexpr int64_t kThreadTaps = 16 << 10;     // less work than this a thread is not worth waking it
constexpr int64_t kGathered = 4;              // channels; of more loads of several channels at once are faster
constexpr int64_t kBlockBytes = 512 << 10;    // of turned input that should stay near
constexpr int64_t kStreamBytes = 8 << 20;     // larger results leave no use for the caches
constexpr int64_t kBackParts = 4;             // ways that the gradient of a few planes is parted
constexpr int64_t kPartPixels = 8 << 10;
constexpr int64_t kTapsBytes = 64 << 10;      // more than a Taps<double>

[[noreturn]] void refuse(const char* why) { throw std::invalid_argument(why); }

int64_t real_bytes(Type type) { return type == Type::f64 ? 8 : 4; }

bool floats(Type type) { return type == Type::f32 || type == Type::f64 || type == Type::f16 || type == Type::bf16; }

void check(const SampleSpec& s, Type type, Type at_type) {
  if (!floats(type) || !floats(at_type)) refuse("sample: floating-point elements and positions");
  if ((type == Type::f64) != (at_type == Type::f64)) refuse("sample: positions of doubles are doubles");
  if (s.dims < 2 || s.dims > 3 || std::min({s.batch, s.groups, s.channels}) < 0) refuse("sample: images or volumes");
  int64_t cells = 1, pixels = 1;
  for (int d = 0; d < 3; ++d)
    if (s.in[d] < 1 || s.out[d] < 0 || __builtin_mul_overflow(cells, s.in[d], &cells) || __builtin_mul_overflow(pixels, s.out[d], &pixels) ||
        std::max(cells, pixels) >= int64_t(1) << 30)
      refuse("sample: planes need pixels, and fewer than 2^30");
  if (s.dims == 2 && (s.in[0] != 1 || s.out[0] != 1)) refuse("sample: images have depth 1");
  if (s.dims == 3 && s.draw == Draw::cubic) refuse("sample: volumes are not sampled by cubics");
  if (s.scale < 0) refuse("sample: no such scale");
  if (s.scale && (s.dims != 2 || s.draw != Draw::linear || s.outside != Outside::border)) refuse("sample: offsets are sampled linearly");
  if (s.scale && (s.in[1] * s.scale != s.out[1] || s.in[2] * s.scale != s.out[2])) refuse("sample: the output does not fit the scale");
}

int64_t taps(const SampleSpec& s) { return s.draw == Draw::nearest ? 1 : s.draw == Draw::cubic ? 16 : s.dims == 3 ? 8 : 4; }

Sampling prepared(const SampleSpec& s, Type type, Type at_type) {
  Sampling job{};
  job.spec = s;
  job.type = type;
  job.at_type = at_type;
  job.cells = s.in[0] * s.in[1] * s.in[2];
  job.pixels = s.out[0] * s.out[1] * s.out[2];
  job.width = s.channels <= 2 ? std::max<int64_t>(s.channels, 1) : s.channels <= 4 ? 4 : 64 / real_bytes(type);
  job.gathers = s.channels <= kGathered && taps(s) <= 8 && job.cells * (s.x_last ? s.groups * s.channels : 1) <= INT32_MAX;
  job.blocks = (s.channels + job.width - 1) / job.width;
  job.together = job.parts = 1;
  job.part = job.pixels;
  return job;
}

void part_pixels(Sampling& job, int64_t parts) {
  job.part = up_to(std::max<int64_t>((job.pixels + parts - 1) / parts, 1), kSampled);
  job.parts = (job.pixels + job.part - 1) / job.part;
}

int64_t block_bytes(const Sampling& job) { return (job.cells + 1) * job.width * real_bytes(job.type); }

struct Step {
  const Sampling* job;
  const Isa* isa;
  SampleStep step;
  int64_t arena_bytes;
  std::atomic<bool> out_of_memory{false};
};

void one(void* context, int64_t task) {
  Step& s = *static_cast<Step*>(context);
  if (!with_scratch(s.arena_bytes, [&](char* arena) { s.isa->sample(s.step, *s.job, task, arena); })) s.out_of_memory = true;
}

void run(const Sampling& job, SampleStep which, int64_t tasks, int threads, int64_t bytes) {
  Step step{&job, current_isa(), which, kTapsBytes + bytes};
  parallel_for(tasks, threads, one, &step);
  if (step.out_of_memory) throw std::bad_alloc();
}

int threads_for(const Sampling& job) {
  const SampleSpec& s = job.spec;
  const int64_t work = s.batch * s.groups * job.blocks * (job.pixels * (taps(s) + 4) + job.cells);
  return int(std::min<int64_t>(num_threads(), work / kThreadTaps + 1));
}

struct Free {
  void operator()(char* p) const { operator delete[](p, std::align_val_t(64)); }
};
std::unique_ptr<char[], Free> room(int64_t bytes) {
  return std::unique_ptr<char[], Free>(static_cast<char*>(operator new[](size_t(bytes), std::align_val_t(64))));
}

}  // namespace

int64_t sample_memory(const SampleSpec& spec, Type type) { return 2 * block_bytes(prepared(spec, type, type)); }

void sample(const SampleSpec& s, Type type, Type at_type, const char* x, const char* at, char* out) {
  check(s, type, at_type);
  Sampling job = prepared(s, type, at_type);
  const int64_t planes = s.batch * s.groups;
  if (planes * s.channels * job.pixels == 0) return;
  job.x = x;
  job.at = at;
  job.out = out;
  if (job.gathers) job.width = job.blocks = 1;
  job.direct = s.x_last && s.channels >= 64 / real_bytes(type);
  if (job.direct) job.width = 64 / real_bytes(type);
  job.together = job.gathers ? 1 : job.direct ? job.blocks : std::clamp<int64_t>(kBlockBytes / block_bytes(job), 1, job.blocks);
  job.stream = (!s.out_last || job.direct || job.gathers) && planes * s.channels * job.pixels * element_bytes(type) >= kStreamBytes && type == Type::f32;
  const int threads = threads_for(job);
  const int64_t tasks = job.direct ? s.batch : planes * ((job.blocks + job.together - 1) / job.together);
  const int64_t wanted = threads == 1 ? 1 : (job.direct ? 8 : 2) * int64_t(threads);
  part_pixels(job, (wanted + tasks - 1) / tasks);
  const int64_t bytes = job.gathers ? 0 : job.direct ? up_to(s.channels * element_bytes(type), 64) : job.together * block_bytes(job);
  run(job, SampleStep::forward, tasks * job.parts, threads, bytes);
}

void sample_back(const SampleSpec& s, Type type, Type at_type, const char* grad, const char* x, const char* at, char* grad_x, char* grad_at) {
  check(s, type, at_type);
  if (grad_at && s.draw == Draw::nearest) refuse("sample: nearest samples have no gradient of positions");
  Sampling job = prepared(s, type, at_type);
  const int64_t planes = s.batch * s.groups, tasks = planes * job.blocks;
  if (tasks == 0 || (!grad_x && !grad_at)) return;
  job.x = x;
  job.at = at;
  job.grad = grad;
  job.grad_x = grad_x;
  job.grad_at = grad_at;
  const int threads = threads_for(job);
  // How the pixels are parted decides how sums are rounded: it follows from the shape alone.
  if (tasks < kBackParts && job.pixels >= 2 * kPartPixels) part_pixels(job, std::min((kBackParts + tasks - 1) / tasks, job.pixels / kPartPixels));
  std::unique_ptr<char[], Free> sums, partial;
  if (job.parts > 1 && grad_x) {
    sums = room(tasks * job.parts * block_bytes(job));
    job.sums = sums.get();
  }
  if (grad_at && !job.gathers) {
    partial = room(std::max<int64_t>(tasks * s.dims * job.pixels * real_bytes(type), 1));
    job.partial = partial.get();
  }
  const int64_t own = ((grad_x && !job.sums) + (grad_at && !job.gathers)) * block_bytes(job);
  run(job, SampleStep::backward, tasks * job.parts, threads, own);
  if (job.sums) run(job, SampleStep::fold_x, tasks * ((job.cells + kFoldedCells - 1) / kFoldedCells), threads, 0);
  if (!job.partial) return;
  const int64_t wanted = threads == 1 ? 1 : 2 * int64_t(threads);
  part_pixels(job, (wanted + planes - 1) / planes);
  run(job, SampleStep::fold_at, planes * job.parts, threads, 0);
}

}  // namespace hp
