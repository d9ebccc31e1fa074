// SPDX-License-Identifier: MIT
// The bindings of layers with weights: transposed convolutions, sums over windows, samples at positions.
#include "bindings.hh"
#include "convolve.hh"
#include "depthwise.hh"
#include "sample.hh"
#include "window.hh"

namespace {

hp::DepthwiseSpec depthwise_of(int64_t batch, int64_t channels, int64_t each, bool last, const std::vector<std::vector<int64_t>>& sizes, size_t small,
                                size_t large, size_t weight) {
  hp::DepthwiseSpec spec{batch, channels, each, last, {}, {}, {}, {}, {}, {}};
  read_sizes("depthwise", sizes, {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation});
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

// A transposed convolution of given sizes, for any arrays of these.
struct Convolution {
  hp::ConvolveSpec spec;
  hp::Type type;

  Convolution(const char* code, const std::vector<int64_t>& channels, const std::vector<std::vector<int64_t>>& sizes, bool last) : type(type_of(code)) {
    if (channels.size() != 4) throw std::invalid_argument("Convolution: channels are samples, groups, c_in, c_out");
    spec = {channels[0], channels[1], channels[2], channels[3], {}, {}, {}, {}, {}, {}, last, false, false};
    read_sizes("Convolution", sizes, {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation});
  }

  void run(hp::Direction way, const In& x, const In& y, std::optional<In> bias, Out out, bool weight_last = false, bool weight_swapped = false) const {
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
    hp::ConvolveSpec now = spec;
    now.weight_last = weight_last;
    now.weight_swapped = weight_swapped;
    Unlocked unlocked;
    hp::convolve(way, now, type, bytes_of(x), bytes_of(y), added, bytes_of(out));
  }
};

int64_t weights_of(const hp::WindowSpec& s) { return items({s.batch, s.groups, s.kernel[0], s.kernel[1], s.out[0], s.out[1]}); }

hp::WindowSpec window_spec_of(const char* code, const char* weight_code, const std::vector<int64_t>& sizes, bool last, bool replicate,
                              const std::vector<int64_t>& scale, const std::vector<int64_t>& steps, bool softmax) {
  if (sizes.size() != 9 || scale.size() != 2 || steps.size() != 6)
    throw std::invalid_argument("window: sizes are batch, channels, groups, in, out, kernel; two scales; six steps");
  hp::WindowSpec s{};
  s.batch = sizes[0], s.channels = sizes[1], s.groups = sizes[2];
  for (int d = 0; d < 2; ++d) s.in[d] = sizes[3 + d], s.out[d] = sizes[5 + d], s.kernel[d] = sizes[7 + d], s.scale[d] = scale[d];
  s.last = last, s.replicate = replicate, s.softmax = softmax;
  s.type = type_of(code), s.weight_type = type_of(weight_code);
  s.w_sample = steps[0], s.w_tap = steps[1], s.w_row = steps[2], s.w_col = steps[3], s.w_sub_row = steps[4], s.w_sub_col = steps[5];
  if (*std::min_element(sizes.begin(), sizes.end()) < 0 || std::min(s.groups, *std::min_element(scale.begin(), scale.end())) < 1 || *std::min_element(steps.begin(), steps.end()) < 0)
    throw std::invalid_argument("window: sizes must not be negative");
  const int64_t weights = weights_of(s);
  if (weights > 0 && s.at(s.batch - 1, s.groups * s.kernel[0] * s.kernel[1] - 1, s.out[0] - 1, s.out[1] - 1) >= weights)
    throw std::invalid_argument("window: steps lead out of the weights");
  return s;
}

// Sums over windows of given sizes, of memory that is dense and as long as these say: that is the caller's word.
struct WindowSums {
  hp::WindowSpec spec;

  void run(uintptr_t x, uintptr_t weights, uintptr_t y) const {
    Unlocked unlocked;
    hp::window(spec, hp::WindowWay::forward, reinterpret_cast<char*>(x), reinterpret_cast<char*>(y), reinterpret_cast<char*>(weights));
  }
};

// Arrays that `ways` writes or reads as they are given.
void window_of(Out x, Out y, Out w, const char* code, const char* weight_code, int way, const std::vector<int64_t>& sizes, bool last, bool replicate,
               const std::vector<int64_t>& scale, const std::vector<int64_t>& steps, bool softmax, std::optional<Out> logits,
               std::optional<Out> grad_x) {
  if (way < 0 || way > 2) throw std::invalid_argument("window: a way of 0 to 2");
  const hp::WindowSpec s = window_spec_of(code, weight_code, sizes, last, replicate, scale, steps, softmax);
  if (int64_t(x.size()) != items({s.batch, s.channels, s.in[0], s.in[1]}) || int64_t(y.size()) != items({s.batch, s.channels, s.out[0], s.out[1]}))
    throw std::invalid_argument("window: the arrays' sizes do not fit");
  if (!dense(x) || !dense(y)) throw std::invalid_argument("window: x and y must be C-contiguous");
  if (int64_t(w.size()) != weights_of(s) || !dense(w)) throw std::invalid_argument("window: weights must be as many as taps of outputs");
  for (const Out* a : {&x, &y})
    if (a->itemsize() != size_t(hp::element_bytes(s.type))) throw std::invalid_argument("the element code does not fit the arrays");
  if (w.itemsize() != size_t(hp::element_bytes(s.weight_type))) throw std::invalid_argument("the element code does not fit the weights");
  if (logits && (logits->size() != w.size() || logits->itemsize() != w.itemsize() || !dense(*logits))) throw std::invalid_argument("window: logits lie as the weights do");
  if (grad_x && (grad_x->size() != x.size() || grad_x->itemsize() != x.itemsize() || !dense(*grad_x)))
    throw std::invalid_argument("window: the gradient of x lies as x does");
  Unlocked unlocked;
  hp::window(s, hp::WindowWay(way), bytes_of(x), bytes_of(y), bytes_of(w), logits ? bytes_of(*logits) : nullptr, grad_x ? bytes_of(*grad_x) : nullptr);
}

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

// Samples of given sizes, of memory that is dense and as long as these say: that is the caller's word.
struct Sampler {
  hp::SampleSpec spec;
  hp::Type type, at_type;

  void run(uintptr_t x, uintptr_t at, uintptr_t out) const {
    Unlocked unlocked;
    hp::sample(spec, type, at_type, reinterpret_cast<const char*>(x), reinterpret_cast<const char*>(at), reinterpret_cast<char*>(out));
  }
};

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

void bind_layers(nb::module_& m) {
  nb::class_<Convolution>(m, "Convolution")
      .def(nb::init<const char*, const std::vector<int64_t>&, const std::vector<std::vector<int64_t>>&, bool>(), "code"_a, "channels"_a, "sizes"_a,
           "last"_a = false)
      .def_prop_ro("fits", [](const Convolution& c) {
             return nb::make_tuple(hp::fits(hp::Direction::forward, c.spec, c.type), hp::fits(hp::Direction::of_input, c.spec, c.type),
                                   hp::fits(hp::Direction::of_weight, c.spec, c.type));
           })
      .def_prop_ro("gains", [](const Convolution& c) {
             return nb::make_tuple(hp::gains(hp::Direction::forward, c.spec, c.type), hp::gains(hp::Direction::of_input, c.spec, c.type));
           })
      .def("forward", [](const Convolution& c, In x, In weight, std::optional<In> bias, Out out, bool weight_last, bool weight_swapped) {
             c.run(hp::Direction::forward, x, weight, bias, out, weight_last, weight_swapped);
           },
           "x"_a.noconvert(), "weight"_a.noconvert(), "bias"_a.noconvert().none(), "out"_a.noconvert(), "weight_last"_a = false,
           "weight_swapped"_a = false)
      .def("of_input", [](const Convolution& c, In grad, In weight, Out out, bool weight_last, bool weight_swapped) {
             c.run(hp::Direction::of_input, grad, weight, std::nullopt, out, weight_last, weight_swapped);
           },
           "grad"_a.noconvert(), "weight"_a.noconvert(), "out"_a.noconvert(), "weight_last"_a = false,
           "weight_swapped"_a = false)
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
  nb::class_<WindowSums>(m, "WindowSums")
      .def("__init__",
           [](WindowSums* made, const char* code, const char* weight_code, const std::vector<int64_t>& sizes, bool last, bool replicate,
              const std::vector<int64_t>& scale, const std::vector<int64_t>& steps, bool softmax) {
             new (made) WindowSums{window_spec_of(code, weight_code, sizes, last, replicate, scale, steps, softmax)};
           },
           "code"_a, "weight_code"_a, "sizes"_a, "last"_a, "replicate"_a, "scale"_a, "steps"_a, "softmax"_a)
      .def("run", &WindowSums::run, "x"_a, "weights"_a, "y"_a);
  m.def("window", &window_of, "x"_a.noconvert(), "y"_a.noconvert(), "w"_a.noconvert(), "code"_a, "weight_code"_a, "way"_a, "sizes"_a, "last"_a,
        "replicate"_a, "scale"_a, "steps"_a, "softmax"_a, "logits"_a.none(), "grad_x"_a.none() = nb::none());
  nb::class_<Sampler>(m, "Sampler")
      .def("__init__",
           [](Sampler* made, const char* code, const char* at_code, int64_t batch, int64_t groups, int64_t channels, const std::vector<int64_t>& size_in,
              const std::vector<int64_t>& size_out, std::tuple<int, int, bool> how, std::tuple<bool, bool> last, std::tuple<int64_t, bool, bool> offsets) {
             new (made) Sampler{sample_spec_of(batch, groups, channels, size_in, size_out, how, last, offsets), type_of(code), type_of(at_code)};
           },
           "code"_a, "at_code"_a, "batch"_a, "groups"_a, "channels"_a, "size_in"_a, "size_out"_a, "how"_a, "last"_a, "offsets"_a)
      .def("run", &Sampler::run, "x"_a, "at"_a, "out"_a);
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
}
