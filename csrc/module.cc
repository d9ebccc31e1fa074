// SPDX-License-Identifier: MIT
// Unpacks arrays, releases the interpreter lock, calls. No arithmetic lives here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include "band.hh"
#include "convolve.hh"
#include "depthwise.hh"
#include "labels.hh"
#include "parallel.hh"
#include "pool.hh"
#include "rearrange.hh"
#include "reduce.hh"
#include "sample.hh"
#include "solve.hh"
#include "window.hh"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using In = nb::ndarray<nb::numpy, nb::ro>;
using Out = nb::ndarray<nb::numpy>;
using Ints = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig>;
using Weights = nb::ndarray<const double, nb::ndim<2>, nb::c_contig>;
using Reals = nb::ndarray<const double, nb::ndim<1>, nb::c_contig>;

hp::Type type_of(const char* code) {
  static const std::pair<const char*, hp::Type> kTypes[] = {
      {"f32", hp::Type::f32}, {"f64", hp::Type::f64}, {"f16", hp::Type::f16}, {"bf16", hp::Type::bf16}, {"u8", hp::Type::u8},
      {"i8", hp::Type::i8},   {"u16", hp::Type::u16}, {"i16", hp::Type::i16}, {"i32", hp::Type::i32},   {"u32", hp::Type::u32},
      {"i64", hp::Type::i64}, {"u64", hp::Type::u64}, {"bool", hp::Type::boolean}};
  for (auto& [name, type] : kTypes)
    if (std::strcmp(name, code) == 0) return type;
  throw std::invalid_argument(std::string("unknown element code ") + code);
}

hp::Post post_of(nb::handle object) {
  hp::Post post;
  if (object.is_none()) return post;
  auto t = nb::cast<nb::tuple>(object);
  auto kind = nb::cast<std::string>(t[0]);
  if (kind == "fixed" && t.size() == 6) {
    post.kind = hp::Post::fixed;
    post.pre = nb::cast<int>(t[1]);
    post.tap_shift = nb::cast<int>(t[2]);
    post.shift = nb::cast<int>(t[3]);
    post.low = nb::cast<double>(t[4]);
    post.high = nb::cast<double>(t[5]);
    if (std::min({post.pre, post.tap_shift, post.shift}) < 0 || std::max({post.pre, post.tap_shift, post.shift}) > 31) throw std::invalid_argument("Program: shifts must lie in 0..31");
  } else if (kind == "round_away" && t.size() == 3) {
    post.kind = hp::Post::round_away;
    post.low = nb::cast<double>(t[1]);
    post.high = nb::cast<double>(t[2]);
  } else if (kind == "float32" && t.size() == 1) {
    post.kind = hp::Post::float32;
  } else {
    throw std::invalid_argument("Program: unknown post " + kind);
  }
  return post;
}

hp::PassSpec pass_of(nb::handle object) {
  auto t = nb::cast<nb::tuple>(object);
  if (t.size() != 7) throw std::invalid_argument("Program: a pass is (axis, n_in, start, weight, periodic, bias, post)");
  hp::PassSpec pass;
  pass.axis = nb::cast<int>(t[0]);
  pass.n_in = nb::cast<int64_t>(t[1]);
  auto start = nb::cast<Ints>(t[2]);
  auto weight = nb::cast<Weights>(t[3]);
  pass.n_out = int64_t(start.shape(0));
  if (int64_t(weight.shape(0)) != pass.n_out || weight.shape(1) > size_t(INT32_MAX)) throw std::invalid_argument("Program: start and weight differ in length");
  pass.taps = int(weight.shape(1));
  pass.start.assign(start.data(), start.data() + start.size());
  pass.weight.assign(weight.data(), weight.data() + weight.size());
  pass.periodic = nb::cast<bool>(t[4]);
  if (!t[5].is_none()) {
    auto bias = nb::cast<Reals>(t[5]);
    pass.bias.assign(bias.data(), bias.data() + bias.size());
  }
  pass.post = post_of(t[6]);
  return pass;
}

hp::Compute compute_of(const std::string& name) {
  if (name == "natural") return hp::Compute::natural;
  if (name == "double") return hp::Compute::real64;
  if (name == "fixed") return hp::Compute::fixed32;
  throw std::invalid_argument("Program: unknown compute " + name);
}

hp::Rounding rounding_of(const std::string& name) {
  if (name == "half_up") return hp::Rounding::half_up;
  if (name == "half_even") return hp::Rounding::half_even;
  if (name == "half_away") return hp::Rounding::half_away;
  if (name == "trunc") return hp::Rounding::truncate;
  throw std::invalid_argument("Program: unknown rounding " + name);
}

hp::Factors factors_of(const Weights& lower, const Reals& scale, const Weights& upper, const Ints& column, const Weights& correction,
                       int64_t head, int64_t repeats) {
  const size_t rows = scale.shape(0);
  const auto refuse = [](const char* why) { throw std::invalid_argument(why); };
  if (lower.shape(0) != rows || upper.shape(0) != rows || correction.shape(0) != rows) refuse("solve: the factors differ in length");
  if (correction.shape(1) != column.shape(0)) refuse("solve: correction and column differ in length");
  if (std::max({lower.shape(1), upper.shape(1), correction.shape(1)}) > size_t(INT32_MAX)) refuse("solve: the factors are too wide");
  if (head < 0 || head >= int64_t(rows) || repeats < 0) refuse("solve: the row that repeats is not there");
  return {int64_t(rows), head, repeats, int(lower.shape(1)), int(upper.shape(1)), int(column.shape(0)),
          lower.data(), scale.data(), upper.data(), column.data(), correction.data()};
}

std::vector<hp::LabelAxis> label_axes_of(const nb::sequence& rows) {
  std::vector<hp::LabelAxis> axes;
  for (nb::handle row : rows) {
    auto t = nb::cast<nb::tuple>(row);
    if (t.size() != 5) throw std::invalid_argument("labels: an axis is (axis, n_in, first, index, weight)");
    const auto first = nb::cast<Ints>(t[2]), index = nb::cast<Ints>(t[3]), weight = nb::cast<Ints>(t[4]);
    const int64_t n_out = int64_t(first.shape(0)) - 1;
    if (n_out < 1 || index.shape(0) != weight.shape(0)) throw std::invalid_argument("labels: the tables differ in length");
    for (int64_t o = 0; o <= n_out; ++o)
      if (first(size_t(o)) < 0 || first(size_t(o)) > int64_t(index.shape(0))) throw std::invalid_argument("labels: a window leaves its table");
    axes.push_back({nb::cast<int>(t[0]), nb::cast<int64_t>(t[1]), n_out, first.data(), index.data(), weight.data()});
  }
  return axes;
}

// Releases the interpreter lock. Before Python 3.14 a thread that asks for the lock while the interpreter shuts down is unwound and
// ended, which C++ answers by aborting the whole process; later ones let it hang until the process is gone, and so does this.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

template <class A>
hp::Array array_of(const A& a) {
  hp::Array out{static_cast<char*>(const_cast<void*>(static_cast<const void*>(a.data()))), {}, {}};
  out.shape.resize(a.ndim());
  out.stride.resize(a.ndim());
  for (size_t d = 0; d < a.ndim(); ++d) {
    out.shape[d] = int64_t(a.shape(d));
    out.stride[d] = a.stride(d);
  }
  return out;
}

using Places = nb::ndarray<const int64_t, nb::c_contig>;

const char* bytes_of(const In& x) { return static_cast<const char*>(x.data()); }
char* bytes_of(Out& x) { return static_cast<char*>(x.data()); }

// How many elements sizes make.
int64_t items(std::initializer_list<int64_t> sizes) {
  int64_t count = 1;
  for (int64_t n : sizes)
    if (n < 0 || __builtin_mul_overflow(count, n, &count)) throw std::invalid_argument("sizes must not be negative, nor their product beyond 2^63");
  return count;
}

template <class A>
bool dense(const A& a) {
  int64_t step = 1;
  for (size_t d = a.ndim(); d-- > 0; step *= int64_t(a.shape(d)))
    if (a.shape(d) > 1 && a.stride(d) != step) return false;
  return true;
}

// Asks for huge pages where memory is fresh: the kernel then clears 2 MiB at a time. A hint, and nothing else.
void advise(uintptr_t address, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHuge = uintptr_t(1) << 21;
  const uintptr_t begin = (address + kHuge - 1) / kHuge * kHuge, end = (address + bytes) / kHuge * kHuge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)address, (void)bytes;
#endif
}

hp::Type typed(const In& x, const Out& out, const char* code) {
  const hp::Type type = type_of(code);
  if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != x.itemsize()) throw std::invalid_argument("the element code does not fit the arrays");
  return type;
}

hp::DepthwiseSpec depthwise_of(int64_t batch, int64_t channels, int64_t each, bool last, const std::vector<std::vector<int64_t>>& sizes, size_t small,
                                size_t large, size_t weight) {
  hp::DepthwiseSpec spec{batch, channels, each, last, {}, {}, {}, {}, {}, {}};
  int64_t* const rows[] = {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation};
  if (sizes.size() != 6) throw std::invalid_argument("depthwise: sizes are in, out, kernel, stride, padding, dilation");
  for (size_t i = 0; i < 6; ++i) {
    if (sizes[i].size() != 3) throw std::invalid_argument("depthwise: three of every size");
    std::copy(sizes[i].begin(), sizes[i].end(), rows[i]);
  }
  if (int64_t(small) != items({batch, channels, spec.in[0], spec.in[1], spec.in[2]}) ||
      int64_t(large) != items({batch, channels, each, spec.out[0], spec.out[1], spec.out[2]}) ||
      int64_t(weight) != items({channels, each, spec.kernel[0], spec.kernel[1], spec.kernel[2]}))
    throw std::invalid_argument("depthwise: the arrays' sizes do not fit");
  return spec;
}

// The compute type's own arrays.
template <class A>
auto computed(const std::optional<A>& a, hp::Type type, size_t size) -> decltype(bytes_of(const_cast<A&>(*a))) {
  if (!a) return nullptr;
  if (a->size() != size || a->itemsize() != (type == hp::Type::f64 ? 8u : 4u) || !dense(*a))
    throw std::invalid_argument("depthwise: weight and bias must be C-contiguous, float32 or for float64 that");
  return bytes_of(const_cast<A&>(*a));
}

hp::Places places_of(const In& x, const Places& place, const Out& out, int64_t planes, int64_t channels, int64_t n_in, int64_t n_out, bool back) {
  const size_t windows = size_t(items({planes, channels, n_in})), all = size_t(items({planes, channels, n_out}));
  if (place.size() != windows || x.size() != (back ? all : windows) || out.size() != (back ? windows : all))
    throw std::invalid_argument("places: the arrays' sizes do not fit");
  if (x.itemsize() != out.itemsize()) throw std::invalid_argument("places: x and out differ in element size");
  if (!dense(x) || !dense(out)) throw std::invalid_argument("places: x and out must be C-contiguous");
  return {planes, channels, n_in, n_out};
}

// A transposed convolution of given sizes, for any arrays of these.
struct Convolution {
  hp::ConvolveSpec spec;
  hp::Type type;

  Convolution(const char* code, const std::vector<int64_t>& channels, const std::vector<std::vector<int64_t>>& sizes, bool last) : type(type_of(code)) {
    if (channels.size() != 4) throw std::invalid_argument("Convolution: channels are samples, groups, c_in, c_out");
    spec = {channels[0], channels[1], channels[2], channels[3], {}, {}, {}, {}, {}, {}, last};
    int64_t* const rows[] = {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation};
    if (sizes.size() != 6) throw std::invalid_argument("Convolution: sizes are in, out, kernel, stride, padding, dilation");
    for (size_t i = 0; i < 6; ++i) {
      if (sizes[i].size() != 3) throw std::invalid_argument("Convolution: three of every size");
      std::copy(sizes[i].begin(), sizes[i].end(), rows[i]);
    }
  }

  void run(hp::Direction way, const In& x, const In& y, std::optional<In> bias, Out out) const {
    const int64_t in = items({spec.samples, spec.groups, spec.c_in, spec.in[0], spec.in[1], spec.in[2]});
    const int64_t made = items({spec.samples, spec.groups, spec.c_out, spec.out[0], spec.out[1], spec.out[2]});
    const int64_t weight = items({spec.groups, spec.c_in, spec.c_out, spec.kernel[0], spec.kernel[1], spec.kernel[2]});
    const int64_t wanted[3][3] = {{in, weight, made}, {made, weight, in}, {in, made, weight}};
    const int64_t* const n = wanted[int(way)];
    if (int64_t(x.size()) != n[0] || int64_t(y.size()) != n[1] || int64_t(out.size()) != n[2] ||
        (bias && int64_t(bias->size()) != spec.groups * spec.c_out))
      throw std::invalid_argument("Convolution: the arrays' sizes do not fit");
    if (!dense(x) || !dense(y) || !dense(out) || (bias && !dense(*bias))) throw std::invalid_argument("Convolution: arrays must be C-contiguous");
    const size_t bytes = size_t(hp::element_bytes(type));
    if (x.itemsize() != bytes || y.itemsize() != bytes || out.itemsize() != bytes || (bias && bias->itemsize() != bytes))
      throw std::invalid_argument("Convolution: the element code does not fit the arrays");
    const char* const added = bias ? bytes_of(*bias) : nullptr;
    Unlocked unlocked;
    hp::convolve(way, spec, type, bytes_of(x), bytes_of(y), added, bytes_of(out));
  }
};

// Arrays that `ways` writes or reads as they are given; the elements that weights' strides reach are the caller's to have.
void window_of(Out x, Out y, Out w, const char* code, const char* weight_code, int way, const std::vector<int64_t>& sizes, bool last, bool replicate,
               const std::vector<int64_t>& scale, const std::vector<int64_t>& steps, bool softmax, std::optional<Out> logits) {
  if (sizes.size() != 9 || scale.size() != 2 || steps.size() != 6 || way < 0 || way > 2)
    throw std::invalid_argument("window: sizes are batch, channels, groups, in, out, kernel; two scales; six steps; a way of 0 to 2");
  hp::WindowSpec s{};
  s.batch = sizes[0], s.channels = sizes[1], s.groups = sizes[2];
  for (int d = 0; d < 2; ++d) s.in[d] = sizes[3 + d], s.out[d] = sizes[5 + d], s.kernel[d] = sizes[7 + d], s.scale[d] = scale[d];
  s.last = last, s.replicate = replicate, s.softmax = softmax;
  s.type = type_of(code), s.weight_type = type_of(weight_code);
  s.w_sample = steps[0], s.w_tap = steps[1], s.w_row = steps[2], s.w_col = steps[3], s.w_sub_row = steps[4], s.w_sub_col = steps[5];
  if (*std::min_element(sizes.begin(), sizes.end()) < 0 || std::min(s.groups, *std::min_element(scale.begin(), scale.end())) < 1 || *std::min_element(steps.begin(), steps.end()) < 0)
    throw std::invalid_argument("window: sizes must not be negative");
  if (int64_t(x.size()) != items({s.batch, s.channels, s.in[0], s.in[1]}) || int64_t(y.size()) != items({s.batch, s.channels, s.out[0], s.out[1]}))
    throw std::invalid_argument("window: the arrays' sizes do not fit");
  if (!dense(x) || !dense(y)) throw std::invalid_argument("window: x and y must be C-contiguous");
  const int64_t weights = items({s.batch, s.groups, s.kernel[0], s.kernel[1], s.out[0], s.out[1]});
  if (int64_t(w.size()) != weights || !dense(w)) throw std::invalid_argument("window: weights must be as many as taps of outputs");
  if (weights > 0 && s.at(s.batch - 1, s.groups * s.kernel[0] * s.kernel[1] - 1, s.out[0] - 1, s.out[1] - 1) >= weights)
    throw std::invalid_argument("window: steps lead out of the weights");
  for (const Out* a : {&x, &y})
    if (a->itemsize() != size_t(hp::element_bytes(s.type))) throw std::invalid_argument("the element code does not fit the arrays");
  if (w.itemsize() != size_t(hp::element_bytes(s.weight_type))) throw std::invalid_argument("the element code does not fit the weights");
  if (logits && (logits->size() != w.size() || logits->itemsize() != w.itemsize() || !dense(*logits))) throw std::invalid_argument("window: logits lie as the weights do");
  Unlocked unlocked;
  hp::window(s, hp::WindowWay(way), bytes_of(x), bytes_of(y), bytes_of(w), logits ? bytes_of(*logits) : nullptr);

hp::SampleSpec sample_spec_of(int64_t batch, int64_t groups, int64_t channels, const std::vector<int64_t>& in, const std::vector<int64_t>& out,
                              std::tuple<int, int, bool> how, std::tuple<bool, bool> last, std::tuple<int64_t, bool, bool> offsets) {
  if (in.size() != out.size() || in.size() < 2 || in.size() > 3) throw std::invalid_argument("sample: two or three sizes");
  const auto [draw, outside, aligned] = how;
  if (draw < 0 || draw > 2 || outside < 0 || outside > 2) throw std::invalid_argument("sample: unknown mode or padding");
  hp::SampleSpec spec{batch, groups, channels, int(in.size()), {1, 1, 1}, {1, 1, 1}, hp::Draw(draw), hp::Outside(outside), aligned,
                      std::get<0>(last), std::get<1>(last), std::get<0>(offsets), std::get<1>(offsets), std::get<2>(offsets)};
  std::copy(in.begin(), in.end(), spec.in + 3 - in.size());
  std::copy(out.begin(), out.end(), spec.out + 3 - out.size());
  return spec;
}

// Arrays of planes over the input, over the output, and of positions; all dense.
void check_samples(const hp::SampleSpec& s, std::initializer_list<const In*> inputs, std::initializer_list<const In*> outputs,
                   std::initializer_list<const In*> positions) {
  const int64_t pixels = items({s.out[0], s.out[1], s.out[2]});
  const auto fits = [](std::initializer_list<const In*> arrays, int64_t size) {
    for (const In* a : arrays)
      if (!dense(*a) || int64_t(a->size()) != size || a->itemsize() != (*arrays.begin())->itemsize()) return false;
    return true;
  };
  if (!fits(inputs, items({s.batch, s.groups, s.channels, s.in[0], s.in[1], s.in[2]})) ||
      !fits(outputs, items({s.batch, s.groups, s.channels, pixels})) || !fits(positions, items({s.batch, s.groups, pixels, s.dims})))
    throw std::invalid_argument("sample: the arrays' sizes do not fit");
}

void check_codes(const In& x, hp::Type type, const In& at, hp::Type at_type) {
  if (x.itemsize() != size_t(hp::element_bytes(type)) || at.itemsize() != size_t(hp::element_bytes(at_type)))
    throw std::invalid_argument("sample: the element codes do not fit the arrays");
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // a thread that computes when the interpreter ends keeps its objects, and that is no mistake
  m.doc() = "Compiled kernels of halfpixel; halfpixel.backends.cpu is the only caller.";
  nb::class_<hp::Program>(m, "Program")
      .def("__init__",
           [](hp::Program* self, nb::sequence stages, const std::string& compute, const std::string& rounding) {
             std::vector<hp::PassSpec> passes;
             for (nb::handle stage : stages) passes.push_back(pass_of(stage));
             new (self) hp::Program(std::move(passes), compute_of(compute), rounding_of(rounding));
           },
           "stages"_a, "compute"_a = "natural", "rounding"_a = "half_up")
      .def("run",
           [](const hp::Program& self, In x, Out out, const char* code) {
             const hp::Type type = type_of(code);
             if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != x.itemsize()) throw std::invalid_argument("run: the element code does not fit the arrays");
             const hp::Array from = array_of(x), to = array_of(out);
             Unlocked unlocked;
             self.run(from, to, type);
           },
           "x"_a.noconvert(), "out"_a.noconvert(), "code"_a)
      .def("reduce",
           [](const hp::Program& self, In x, int dim, std::optional<Out> index, std::optional<Out> values, const char* code, bool smallest) {
             const hp::Type type = type_of(code);
             if (x.itemsize() != size_t(hp::element_bytes(type)) || (values && values->itemsize() != x.itemsize()))
               throw std::invalid_argument("reduce: the element code does not fit the arrays");
             const hp::Array from = array_of(x), best = values ? array_of(*values) : hp::Array{}, where = index ? array_of(*index) : hp::Array{};
             const hp::Reduction to{smallest, values ? &best : nullptr, index ? &where : nullptr, index ? int(index->itemsize()) : 8};
             Unlocked unlocked;
             self.reduce(from, dim, to, type);
           },
           "x"_a.noconvert(), "dim"_a, "index"_a.none(), "values"_a.none(), "code"_a, "smallest"_a)
      .def("above",
           [](const hp::Program& self, In x, Out out, const char* code, double real, int64_t whole) {
             const hp::Type type = type_of(code);
             if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != 1)
               throw std::invalid_argument("above: the element code does not fit the arrays");
             const hp::Array from = array_of(x), to = array_of(out);
             Unlocked unlocked;
             self.above(from, to, {real, whole}, type);
           },
           "x"_a.noconvert(), "out"_a.noconvert(), "code"_a, "real"_a, "whole"_a)
      .def_prop_ro("copies", &hp::Program::copies);
  m.def("labels",
        [](In x, Out out, const char* code, nb::sequence axes, std::optional<int64_t> ignored) {
          const hp::Type type = type_of(code);
          if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != x.itemsize())
            throw std::invalid_argument("labels: the element code does not fit the arrays");
          const std::vector<hp::LabelAxis> tables = label_axes_of(axes);
          const hp::Array from = array_of(x), to = array_of(out);
          Unlocked unlocked;
          hp::resize_labels(from, to, type, tables, ignored);
        },
        "x"_a.noconvert(), "out"_a.noconvert(), "code"_a, "axes"_a, "ignored"_a.none());
  m.def("solve",
        [](In x, Out out, int axis, const char* code, Weights lower, Reals scale, Weights upper, Ints column, Weights correction,
           int64_t head, int64_t repeats) {
          const hp::Type type = type_of(code);
          if (x.itemsize() != size_t(hp::element_bytes(type)) || out.itemsize() != x.itemsize())
            throw std::invalid_argument("solve: the element code does not fit the arrays");
          const hp::Factors factors = factors_of(lower, scale, upper, column, correction, head, repeats);
          const hp::Array from = array_of(x), to = array_of(out);
          Unlocked unlocked;
          hp::solve(from, to, axis, type, factors);
        },
        "x"_a.noconvert(), "out"_a.noconvert(), "axis"_a, "code"_a, "lower"_a, "scale"_a, "upper"_a, "column"_a, "correction"_a,
        "head"_a, "repeats"_a);
  m.def("rearrange",
        [](In x, Out out) {
          if (x.itemsize() != out.itemsize()) throw std::invalid_argument("rearrange: x and out differ in element size");
          const hp::Array from = array_of(x), to = array_of(out);
          Unlocked unlocked;
          hp::rearrange(from, to, int(x.itemsize()));
        },
        "x"_a.noconvert(), "out"_a.noconvert());
  // Dense arrays of these, their shapes checked by the caller but for the number of elements.
  m.def("max_pool",
        [](In x, Out out, std::optional<nb::ndarray<int64_t, nb::c_contig>> place, const char* code, int64_t planes, int64_t channels, bool last,
           const std::vector<std::vector<int64_t>>& sizes) {
          hp::PoolSpec spec{planes, channels, last, {}, {}, {}, {}, {}, {}};
          int64_t* const rows[] = {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation};
          if (sizes.size() != 6) throw std::invalid_argument("max_pool: sizes are in, out, kernel, stride, padding, dilation");
          for (int i = 0; i < 6; ++i) {
            if (sizes[i].size() != 3) throw std::invalid_argument("max_pool: three of every size");
            std::copy(sizes[i].begin(), sizes[i].end(), rows[i]);
          }
          if (int64_t(x.size()) != items({planes, channels, spec.in[0], spec.in[1], spec.in[2]}) ||
              int64_t(out.size()) != items({planes, channels, spec.out[0], spec.out[1], spec.out[2]}) || (place && place->size() != out.size()))
            throw std::invalid_argument("max_pool: the arrays' sizes do not fit");
          if (!dense(x) || !dense(out)) throw std::invalid_argument("max_pool: x and out must be C-contiguous");
          if (!last && channels != 1) throw std::invalid_argument("max_pool: planes that lie apart have one channel each");
          const hp::Type type = typed(x, out, code);
          int64_t* const places = place ? place->data() : nullptr;
          Unlocked unlocked;
          hp::max_pool(spec, type, bytes_of(x), bytes_of(out), places);
        },
        "x"_a.noconvert(), "out"_a.noconvert(), "place"_a.noconvert().none(), "code"_a, "planes"_a, "channels"_a, "last"_a, "sizes"_a);
  m.def("unpool",
        [](In x, Places place, Out out, int64_t planes, int64_t channels, int64_t n_in, int64_t n_out) {
          const hp::Places places = places_of(x, place, out, planes, channels, n_in, n_out, false);
          Unlocked unlocked;
          return hp::unpool(places, int(x.itemsize()), bytes_of(x), place.data(), bytes_of(out));
        },
        "x"_a.noconvert(), "place"_a.noconvert(), "out"_a.noconvert(), "planes"_a, "channels"_a, "n_in"_a, "n_out"_a);
  m.def("pool_back",
        [](In x, Places place, Out out, const char* code, int64_t planes, int64_t channels, int64_t n_in, int64_t n_out) {
          const hp::Places places = places_of(x, place, out, planes, channels, n_in, n_out, false);
          const hp::Type type = typed(x, out, code);
          Unlocked unlocked;
          return hp::pool_back(places, type, bytes_of(x), place.data(), bytes_of(out));
        },
        "x"_a.noconvert(), "place"_a.noconvert(), "out"_a.noconvert(), "code"_a, "planes"_a, "channels"_a, "n_in"_a, "n_out"_a);
  m.def("gather",
        [](In x, Places place, Out out, bool winners, int64_t planes, int64_t channels, int64_t n_in, int64_t n_out) {
          const hp::Places places = places_of(x, place, out, planes, channels, n_in, n_out, true);
          Unlocked unlocked;
          return hp::gather(places, int(x.itemsize()), winners, bytes_of(x), place.data(), bytes_of(out));
        },
        "x"_a.noconvert(), "place"_a.noconvert(), "out"_a.noconvert(), "winners"_a, "planes"_a, "channels"_a, "n_in"_a, "n_out"_a);
  nb::class_<Convolution>(m, "Convolution")
      .def(nb::init<const char*, const std::vector<int64_t>&, const std::vector<std::vector<int64_t>>&, bool>(), "code"_a, "channels"_a, "sizes"_a,
           "last"_a = false)
      .def_prop_ro("fits", [](const Convolution& c) {
             return nb::make_tuple(hp::fits(hp::Direction::forward, c.spec, c.type), hp::fits(hp::Direction::of_input, c.spec, c.type),
                                   hp::fits(hp::Direction::of_weight, c.spec, c.type));
           })
      .def("forward", [](const Convolution& c, In x, In weight, std::optional<In> bias, Out out) { c.run(hp::Direction::forward, x, weight, bias, out); },
           "x"_a.noconvert(), "weight"_a.noconvert(), "bias"_a.noconvert().none(), "out"_a.noconvert())
      .def("of_input", [](const Convolution& c, In grad, In weight, Out out) { c.run(hp::Direction::of_input, grad, weight, std::nullopt, out); },
           "grad"_a.noconvert(), "weight"_a.noconvert(), "out"_a.noconvert())
      .def("of_weight", [](const Convolution& c, In x, In grad, Out out) { c.run(hp::Direction::of_weight, x, grad, std::nullopt, out); },
           "x"_a.noconvert(), "grad"_a.noconvert(), "out"_a.noconvert());
  m.def("depthwise",
        [](In x, std::optional<In> weight, std::optional<In> bias, Out out, const char* code, int64_t batch, int64_t channels, int64_t each, bool last,
           const std::vector<std::vector<int64_t>>& sizes) {
          if (!weight) throw std::invalid_argument("depthwise: there must be a weight");
          const hp::DepthwiseSpec spec = depthwise_of(batch, channels, each, last, sizes, x.size(), out.size(), weight->size());
          if (!dense(x) || !dense(out)) throw std::invalid_argument("depthwise: x and out must be C-contiguous");
          const hp::Type type = typed(x, out, code);
          const char *const w = computed(weight, type, weight->size()), *const b = computed(bias, type, size_t(channels * each));
          Unlocked unlocked;
          hp::depthwise(spec, type, bytes_of(x), w, b, bytes_of(out));
        },
        "x"_a.noconvert(), "weight"_a.noconvert(), "bias"_a.noconvert().none(), "out"_a.noconvert(), "code"_a, "batch"_a, "channels"_a, "each"_a,
        "last"_a, "sizes"_a);
  m.def("depthwise_back",
        [](In grad, In x, std::optional<In> weight, std::optional<Out> grad_x, std::optional<Out> grad_weight, const char* code, int64_t batch,
           int64_t channels, int64_t each, bool last, const std::vector<std::vector<int64_t>>& sizes) {
          if (!weight) throw std::invalid_argument("depthwise: there must be a weight");
          const hp::DepthwiseSpec spec = depthwise_of(batch, channels, each, last, sizes, x.size(), grad.size(), weight->size());
          if (!dense(x) || !dense(grad) || (grad_x && !dense(*grad_x))) throw std::invalid_argument("depthwise: x and grad must be C-contiguous");
          const hp::Type type = type_of(code);
          const size_t bytes = size_t(hp::element_bytes(type));
          if (x.itemsize() != bytes || grad.itemsize() != bytes || (grad_x && (grad_x->itemsize() != bytes || grad_x->size() != x.size())))
            throw std::invalid_argument("depthwise: the element code does not fit the arrays");
          const char* const w = computed(weight, type, weight->size());
          char *const to_x = grad_x ? bytes_of(*grad_x) : nullptr, *const to_weight = computed(grad_weight, type, weight->size());
          Unlocked unlocked;
          hp::depthwise_back(spec, type, bytes_of(grad), bytes_of(x), w, to_x, to_weight);
        },
        "grad"_a.noconvert(), "x"_a.noconvert(), "weight"_a.noconvert(), "grad_x"_a.noconvert().none(), "grad_weight"_a.noconvert().none(), "code"_a,
        "batch"_a, "channels"_a, "each"_a, "last"_a, "sizes"_a);
  m.def("window", &window_of, "x"_a.noconvert(), "y"_a.noconvert(), "w"_a.noconvert(), "code"_a, "weight_code"_a, "way"_a, "sizes"_a, "last"_a,
        "replicate"_a, "scale"_a, "steps"_a, "softmax"_a, "logits"_a.none());
  // how: mode, padding, aligned; last: the layouts of x and of the result; offsets: their scale (0: a grid), at the output's
  // size, channels last.
  m.def("sample",
        [](In x, In at, Out out, const char* code, const char* at_code, int64_t batch, int64_t groups, int64_t channels,
           const std::vector<int64_t>& size_in, const std::vector<int64_t>& size_out, std::tuple<int, int, bool> how, std::tuple<bool, bool> last,
           std::tuple<int64_t, bool, bool> offsets) {
          const hp::SampleSpec spec = sample_spec_of(batch, groups, channels, size_in, size_out, how, last, offsets);
          const hp::Type type = type_of(code), at_type = type_of(at_code);
          const In to(out);
          check_samples(spec, {&x}, {&to}, {&at});
          check_codes(x, type, at, at_type);
          check_codes(to, type, at, at_type);
          Unlocked unlocked;
          hp::sample(spec, type, at_type, bytes_of(x), bytes_of(at), bytes_of(out));
        },
        "x"_a.noconvert(), "at"_a.noconvert(), "out"_a.noconvert(), "code"_a, "at_code"_a, "batch"_a, "groups"_a, "channels"_a, "size_in"_a,
        "size_out"_a, "how"_a, "last"_a, "offsets"_a);
  m.def("sample_back",
        [](In grad, In x, In at, std::optional<Out> grad_x, std::optional<Out> grad_at, const char* code, const char* at_code, int64_t batch,
           int64_t groups, int64_t channels, const std::vector<int64_t>& size_in, const std::vector<int64_t>& size_out,
           std::tuple<int, int, bool> how, std::tuple<bool, bool> last, std::tuple<int64_t, bool, bool> offsets) {
          const hp::SampleSpec spec = sample_spec_of(batch, groups, channels, size_in, size_out, how, last, offsets);
          const hp::Type type = type_of(code), at_type = type_of(at_code);
          const In to_x = grad_x ? In(*grad_x) : x, to_at = grad_at ? In(*grad_at) : at;
          check_samples(spec, {&x, &to_x}, {&grad}, {&at, &to_at});
          check_codes(x, type, at, at_type);
          check_codes(grad, type, at, at_type);
          char* const x_bytes = grad_x ? bytes_of(*grad_x) : nullptr;
          char* const at_bytes = grad_at ? bytes_of(*grad_at) : nullptr;
          Unlocked unlocked;
          hp::sample_back(spec, type, at_type, bytes_of(grad), bytes_of(x), bytes_of(at), x_bytes, at_bytes);
        },
        "grad"_a.noconvert(), "x"_a.noconvert(), "at"_a.noconvert(), "grad_x"_a.noconvert().none(), "grad_at"_a.noconvert().none(), "code"_a,
        "at_code"_a, "batch"_a, "groups"_a, "channels"_a, "size_in"_a, "size_out"_a, "how"_a, "last"_a, "offsets"_a);
  m.def("advise", &advise, "address"_a, "bytes"_a);
  m.def("isa", &hp::isa);
  m.def("isas", &hp::isas);
  m.def("set_isa", [](const std::string& name) {
    if (!hp::set_isa(name)) throw std::invalid_argument("this processor or build does not run instruction set " + name);
  });
  m.def("num_threads", &hp::num_threads);
  m.def("set_num_threads", [](int n) {
    if (n < 1) throw std::invalid_argument("the number of threads must be at least 1");
    hp::set_num_threads(n);
  });
  m.def("thread_runtime", [] { return std::string(hp::thread_runtime()); });
}
