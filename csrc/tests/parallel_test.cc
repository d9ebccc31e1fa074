// SPDX-License-Identifier: MIT
// parallel_for and Program::run called by several threads at once; meant for ThreadSanitizer and AddressSanitizer.
//
//   parallel_test [rounds]
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "band.hh"
#include "parallel.hh"

namespace {

std::atomic<int> failures{0};

void require(bool truth, const char* text) {
  if (truth) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", text);
}

template <class F>
void all_at_once(int count, F body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (auto& thread : threads) thread.join();
}

// Every task once, none after the call has returned; what tasks wrote without atomics is visible to the caller.
void every_task_runs_once(int rounds) {
  all_at_once(4, [&](int caller) {
    for (int round = 0; round < rounds; ++round) {
      const int64_t tasks = (round * 7 + caller) % 23;
      std::vector<int> runs(size_t(tasks), 0);
      hp::parallel_for(tasks, 1 + (round + caller) % 5, [](void* context, int64_t task) { ++(*static_cast<std::vector<int>*>(context))[size_t(task)]; }, &runs);
      for (int n : runs) require(n == 1, "every task runs once");
    }
  });
}

// A loop in a task runs too, on the thread that asks for it or on others.
void loops_nest() {
  std::atomic<int> sum{0};
  hp::parallel_for(6, 3, [](void* context, int64_t) {
    hp::parallel_for(5, 3, [](void* inner, int64_t task) { *static_cast<std::atomic<int>*>(inner) += int(task); }, context);
  }, &sum);
  require(sum == 60, "nested loops do all their tasks");
}

hp::PassSpec linear(int axis, int64_t n_in, int64_t n_out) {
  hp::PassSpec pass{axis, n_in, n_out, 2, false, {}, {}, {}, {}};
  for (int64_t o = 0; o < n_out; ++o) {
    const double at = std::max(0.0, (double(o) + 0.5) * double(n_in) / double(n_out) - 0.5);
    const int64_t start = std::min(int64_t(at), n_in - 2);
    pass.start.push_back(start);
    pass.weight.push_back(1 - (at - double(start)));
    pass.weight.push_back(at - double(start));
  }
  return pass;
}

struct Picture {
  int64_t batch, channels;
  std::vector<float> x, y;
  Picture(int64_t b, int64_t c) : batch(b), channels(c), x(size_t(b * 50 * 60 * c)), y(size_t(b * 110 * 131 * c)) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = float(i % 251);
  }
  static hp::Array array(std::vector<float>& v, std::vector<int64_t> shape) {
    std::vector<int64_t> stride(shape.size(), 1);
    for (size_t d = shape.size() - 1; d > 0; --d) stride[d - 1] = stride[d] * shape[d];
    return {reinterpret_cast<char*>(v.data()), std::move(shape), stride};
  }
  void run(const hp::Program& program) {
    program.run(array(x, {batch, 50, 60, channels}), array(y, {batch, 110, 131, channels}), hp::Type::f32);
  }
};

// One program, its tables not built yet, in every thread with several channel counts, while the settings change.
void programs_are_shared(int rounds) {
  std::vector<std::vector<float>> expected;
  const std::string isa = hp::isas().front();
  hp::set_isa(isa);
  const std::vector<hp::PassSpec> passes{linear(-2, 60, 131), linear(-3, 50, 110)};
  for (int64_t c = 1; c <= 5; ++c) {
    Picture picture(2, c);
    picture.run(hp::Program(passes, hp::Compute::natural, hp::Rounding::half_up));
    expected.push_back(picture.y);
  }
  for (int round = 0; round < rounds; ++round) {
    const hp::Program program(passes, hp::Compute::natural, hp::Rounding::half_up);
    all_at_once(4, [&](int caller) {
      hp::set_num_threads(1 + caller % 3);
      hp::set_isa(isa);
      for (int64_t c = 1; c <= 5; ++c) {
        Picture picture(2, 1 + (c + caller) % 5);
        picture.run(program);
        require(picture.y == expected[size_t(picture.channels - 1)], "threads get what one thread gets");
      }
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 400;
  every_task_runs_once(rounds);
  loops_nest();
  programs_are_shared(1 + rounds / 50);
  hp::set_num_threads(3);
  all_at_once(2, [](int) { hp::set_num_threads(hp::num_threads()); });
  std::printf("%s\n", failures ? "FAILED" : "ok");
  return failures ? 1 : 0;
}
