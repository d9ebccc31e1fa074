// SPDX-License-Identifier: MIT
// Unpacks arrays, releases the interpreter lock, calls. No arithmetic lives here.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "bindings.hh"
#include "labels.hh"
#include "parallel.hh"
#include "pool.hh"
#include "rearrange.hh"
#include "reduce.hh"
#include "solve.hh"

namespace {

using Ints = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig>;
using Weights = nb::ndarray<const double, nb::ndim<2>, nb::c_contig>;
using Reals = nb::ndarray<const double, nb::ndim<1>, nb::c_contig>;

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


using Places = nb::ndarray<const int64_t, nb::c_contig>;

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

hp::Places places_of(const In& x, const Places& place, const Out& out, int64_t planes, int64_t channels, int64_t n_in, int64_t n_out, bool back) {
  const size_t windows = size_t(items({planes, channels, n_in})), all = size_t(items({planes, channels, n_out}));
  if (place.size() != windows || x.size() != (back ? all : windows) || out.size() != (back ? windows : all))
    throw std::invalid_argument("places: the arrays' sizes do not fit");
  if (x.itemsize() != out.itemsize()) throw std::invalid_argument("places: x and out differ in element size");
  if (!dense(x) || !dense(out)) throw std::invalid_argument("places: x and out must be C-contiguous");
  return {planes, channels, n_in, n_out};
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
          read_sizes("max_pool", sizes, {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation});
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
  bind_layers(m);
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
