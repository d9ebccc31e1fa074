// SPDX-License-Identifier: MIT
// Sums over windows, compiled once per instruction set. See window.hh.
#include "window_few.hh"
#include "window_phases.hh"
#include "window_pixels.hh"

namespace hp {
namespace {

template <class Kernel>
void run_way(const Window& w, int64_t task, char* arena) {
  Kernel kernel(w, task, arena);
  switch (w.way) {
    case WindowWay::forward: return kernel.forward();
    case WindowWay::back_x: return kernel.back_x();
    case WindowWay::back_w: return kernel.back_w();
  }
}

template <class C>
void run_task(const Window& w, int64_t task, char* arena) {
  if (w.few) Few<C>(w, task, arena).run();
  else if (w.phases) run_way<Phases<C>>(w, task, arena);
  else run_way<Pixels<C>>(w, task, arena);
}

}  // namespace

#define HP_NAME2(isa) window_##isa
#define HP_NAME(isa) HP_NAME2(isa)
void HP_NAME(HP_ISA)(const Window& w, int64_t task, char* arena);
void HP_NAME(HP_ISA)(const Window& w, int64_t task, char* arena) {
  if (w.spec.type == Type::f64) run_task<double>(w, task, arena);
  else run_task<float>(w, task, arena);
}

}  // namespace hp
