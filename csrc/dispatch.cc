// SPDX-License-Identifier: MIT
#include "dispatch.hh"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "band.hh"

namespace hp {

extern const Isa isa_v2, isa_v3, isa_v4, isa_generic;

namespace {

const Isa* const kAll[] = {  // as far as they were compiled, the best first
#ifdef HP_WITH_v4
    &isa_v4,
#endif
#ifdef HP_WITH_v3
    &isa_v3,
#endif
#ifdef HP_WITH_v2
    &isa_v2,
#endif
#ifdef HP_WITH_generic
    &isa_generic,
#endif
};

bool runs([[maybe_unused]] const Isa* isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const std::string_view name = isa->name;
  if (name == "v4") return __builtin_cpu_supports("x86-64-v4");
  if (name == "v3") return __builtin_cpu_supports("x86-64-v3");
  if (name == "v2") return __builtin_cpu_supports("x86-64-v2");
#endif
  return true;
}

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

bool has_byte_permutes() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vbmi");
#else
  return false;
#endif
}

std::atomic<bool>& byte_permutes() {
  static std::atomic<bool> has{has_byte_permutes()};
  return has;
}

}  // namespace

bool permutes_bytes() { return byte_permutes().load(std::memory_order_relaxed); }
void set_permutes_bytes(bool allowed) { byte_permutes().store(allowed && has_byte_permutes()); }

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
