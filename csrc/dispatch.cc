// SPDX-License-Identifier: MIT
#include "dispatch.hh"

#include <atomic>
#include <cstdlib>

#include "band.hh"

namespace hp {

#if defined(__x86_64__)
extern const Isa isa_v2, isa_v3, isa_v4;
namespace {
const Isa* const kAll[] = {&isa_v4, &isa_v3, &isa_v2};
bool runs(const Isa* isa) {
  __builtin_cpu_init();
  if (isa == &isa_v4) return __builtin_cpu_supports("x86-64-v4");
  if (isa == &isa_v3) return __builtin_cpu_supports("x86-64-v3");
  return __builtin_cpu_supports("x86-64-v2");
}
}  // namespace
#else
extern const Isa isa_generic;
namespace {
const Isa* const kAll[] = {&isa_generic};
bool runs(const Isa*) { return true; }
}  // namespace
#endif

namespace {

const Isa* best() {
  for (const Isa* isa : kAll)
    if (runs(isa)) return isa;
  return nullptr;
}

const Isa* named(const std::string& name) {
  for (const Isa* isa : kAll)
    if (name == isa->name && runs(isa)) return isa;
  return nullptr;
}

std::atomic<const Isa*>& chosen() {
  static std::atomic<const Isa*> isa{best()};
  return isa;
}

}  // namespace

const Isa* current_isa() { return chosen().load(std::memory_order_relaxed); }

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Isa* isa : kAll)
    if (runs(isa)) names.push_back(isa->name);
  return names;
}

std::string isa() { return current_isa() ? current_isa()->name : ""; }

bool set_isa(const std::string& name) {
  const Isa* isa = named(name);
  if (isa) chosen().store(isa);
  return isa != nullptr;
}

}  // namespace hp
