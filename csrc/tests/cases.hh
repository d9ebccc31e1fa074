// SPDX-License-Identifier: MIT
// Random cases, each with a seed of its own, on every instruction set: `program [cases [first seed]]`.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "check.hh"
#include "dispatch.hh"

inline uint64_t seed_now;  // of the case that runs
inline std::string isa_now;

// A check that says how to run its case again.
#define EXPECT(condition, ...)                                                                         \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      std::fprintf(stderr, "FAILED seed %llu on %s: ", (unsigned long long)seed_now, isa_now.c_str()); \
      CHECK(false, __VA_ARGS__);                                                                       \
    }                                                                                                  \
  } while (false)

template <class First, class Case>
int run_cases(int argc, char** argv, uint64_t usual, const First& first, const Case& one) {
  const uint64_t cases = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : usual, from = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  for (const std::string& isa : hp::isas()) {
    hp::set_isa(isa);
    isa_now = isa;
    first();
    for (seed_now = from; seed_now < from + cases; ++seed_now) {
      Random r{std::mt19937_64(seed_now)};
      one(r);
    }
  }
  std::printf("ok: %llu cases on each of %zu instruction sets\n", (unsigned long long)cases, hp::isas().size());
  return 0;
}
