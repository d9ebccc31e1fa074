// SPDX-License-Identifier: MIT
#include "labels.hh"

#include <algorithm>
#include <atomic>
#include <new>
#include <stdexcept>

#include "parallel.hh"

namespace hp {
namespace {

constexpr int64_t kTaskOutputs = 8 << 10;
constexpr int64_t kThreadOutputs = 4 << 10;  // less work than this a thread is not worth waking it
constexpr size_t kFewLabels = 16;            // looked through one by one

// The labels of one window with their weights.
template <class T>
class Ballot {
 public:
  void clear() {
    if (used_.size() > kFewLabels) std::fill(slot_.begin(), slot_.end(), 0);
    used_.clear();
  }

  void add(T label, int64_t weight) {
    if (used_.size() <= kFewLabels) {
      for (Entry& e : used_)
        if (e.label == label) return void(e.weight += weight);
      used_.push_back({label, weight});
      if (used_.size() > kFewLabels) place_all();
      return;
    }
    uint32_t& slot = find(label);
    if (slot) return void(used_[slot - 1].weight += weight);
    used_.push_back({label, weight});
    slot = uint32_t(used_.size());
    if (2 * used_.size() > slot_.size()) place_all();
  }

  bool empty() const { return used_.empty(); }

  T heaviest() const {
    Entry best = used_[0];
    for (const Entry& e : used_)
      if (e.weight > best.weight || (e.weight == best.weight && e.label < best.label)) best = e;
    return best.label;
  }

 private:
  struct Entry {
    T label;
    int64_t weight;
  };

  uint32_t& find(T label) {
    const size_t mask = slot_.size() - 1;
    size_t at = size_t(uint64_t(label) * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (slot_[at] && used_[slot_[at] - 1].label != label) at = (at + 1) & mask;
    return slot_[at];
  }
  void place_all() {
    slot_.assign(std::max<size_t>(slot_.size(), 4 * used_.size() <= 256 ? 256 : 4 * used_.size()), 0);
    size_t size = 256;
    while (size < slot_.size()) size *= 2;
    slot_.assign(size, 0);
    for (size_t i = 0; i < used_.size(); ++i) find(used_[i].label) = uint32_t(i + 1);
  }

  std::vector<Entry> used_;
  std::vector<uint32_t> slot_;  // 1 + position in used_, or 0
};

// Lines along the axis nearest in memory; the windows along the others make a list of weighted rows for each line.
struct Lines {
  const char* x;
  char* out;
  LabelAxis inner;
  int64_t x_step, out_step;
  struct Dim {
    int64_t n_out, x, out;
    const LabelAxis* axis;  // null: only passes through
  };
  std::vector<Dim> dims;
  int64_t count = 1;
  std::optional<int64_t> ignored;

  template <class T>
  struct Row {
    const T* at;
    int64_t weight;
  };

  template <class T>
  void line(int64_t number, std::vector<Row<T>>& rows, Ballot<T>& ballot) const {
    const T* from = reinterpret_cast<const T*>(x);
    T* to = reinterpret_cast<T*>(out);
    rows.assign(1, {from, 1});
    for (size_t d = dims.size(); d-- > 0;) {
      const Dim& dim = dims[d];
      const int64_t o = number % dim.n_out;
      number /= dim.n_out;
      to += o * dim.out;
      if (!dim.axis) {
        for (Row<T>& row : rows) row.at += o * dim.x;
        continue;
      }
      const size_t known = rows.size();
      const int64_t begin = dim.axis->first[o], end = dim.axis->first[o + 1];
      for (int64_t k = begin + 1; k < end; ++k)
        for (size_t r = 0; r < known; ++r) rows.push_back({rows[r].at + dim.axis->index[k] * dim.x, rows[r].weight * dim.axis->weight[k]});
      for (size_t r = 0; r < known; ++r) rows[r] = {rows[r].at + dim.axis->index[begin] * dim.x, rows[r].weight * dim.axis->weight[begin]};
    }
    vote(rows, to, ballot);
  }

  template <class T>
  void vote(const std::vector<Row<T>>& rows, T* to, Ballot<T>& ballot) const {
    int64_t start = -1, length = 0;
    bool alike = false;
    T label{};
    for (int64_t o = 0; o < inner.n_out; ++o) {
      const int64_t begin = inner.first[o], end = inner.first[o + 1];
      if (!(alike && inner.index[begin] == start && end - begin <= length)) {  // else: within the window of the output before
        start = inner.index[begin];
        length = end - begin;
        label = rows[0].at[start * x_step];
        alike = all_alike(rows, begin, end, label);
      }
      to[o * out_step] = alike ? label : elected(rows, begin, end, ballot);
    }
  }

  template <class T>
  bool all_alike(const std::vector<Row<T>>& rows, int64_t begin, int64_t end, T label) const {
    for (const Row<T>& row : rows)
      for (int64_t k = begin; k < end; ++k)
        if (row.at[inner.index[k] * x_step] != label) return false;
    return true;
  }

  template <class T>
  T elected(const std::vector<Row<T>>& rows, int64_t begin, int64_t end, Ballot<T>& ballot) const {
    ballot.clear();
    for (const Row<T>& row : rows) {
      T label = row.at[inner.index[begin] * x_step];
      int64_t weight = 0;  // of neighbours that hold one label
      for (int64_t k = begin; k < end; ++k) {
        const T next = row.at[inner.index[k] * x_step];
        if (next != label) {
          if (!is_ignored(label)) ballot.add(label, row.weight * weight);
          label = next;
          weight = 0;
        }
        weight += inner.weight[k];
      }
      if (!is_ignored(label)) ballot.add(label, row.weight * weight);
    }
    return ballot.empty() ? T(*ignored) : ballot.heaviest();
  }

  template <class T>
  bool is_ignored(T label) const {
    return ignored && label == T(*ignored);
  }

  template <class T>
  void run() {
    struct Context {
      const Lines& lines;
      int64_t step;
      std::atomic<bool> out_of_memory{false};
    } context{*this, std::max<int64_t>(1, kTaskOutputs / inner.n_out)};
    const int threads = int(std::min<int64_t>(num_threads(), count * inner.n_out / kThreadOutputs + 1));
    parallel_for((count + context.step - 1) / context.step, threads, [](void* p, int64_t task) {
      auto& c = *static_cast<Context*>(p);
      try {
        std::vector<Row<T>> rows;
        Ballot<T> ballot;
        const int64_t end = std::min((task + 1) * c.step, c.lines.count);
        for (int64_t i = task * c.step; i < end; ++i) c.lines.template line<T>(i, rows, ballot);
      } catch (const std::bad_alloc&) {
        c.out_of_memory.store(true);
      }
    }, &context);
    if (context.out_of_memory.load()) throw std::bad_alloc();
  }
};

void check(const LabelAxis& axis, const Array& x, const Array& out, int d) {
  if (x.shape[d] != axis.n_in || out.shape[d] != axis.n_out) throw std::invalid_argument("labels: the sizes of x or out do not fit the tables");
  for (int64_t o = 0; o < axis.n_out; ++o) {
    if (axis.first[o] >= axis.first[o + 1]) throw std::invalid_argument("labels: a window is empty");
    for (int64_t k = axis.first[o]; k < axis.first[o + 1]; ++k) {
      if (axis.index[k] < 0 || axis.index[k] >= axis.n_in) throw std::invalid_argument("labels: a window leaves the axis");
      if (k > axis.first[o] && axis.index[k] != axis.index[k - 1] + 1) throw std::invalid_argument("labels: a window has gaps");
      if (axis.weight[k] < 1) throw std::invalid_argument("labels: weights are positive");
    }
  }
}

}  // namespace

void resize_labels(const Array& x, const Array& out, Type type, const std::vector<LabelAxis>& axes, std::optional<int64_t> ignored) {
  const int ndim = int(x.shape.size());
  if (int(out.shape.size()) != ndim) throw std::invalid_argument("labels: x and out differ in their number of dimensions");
  if (axes.empty()) throw std::invalid_argument("labels: there are no axes");
  std::vector<const LabelAxis*> of(size_t(ndim), nullptr);
  for (const LabelAxis& axis : axes) {
    const int d = ndim + axis.axis;
    if (axis.axis >= 0 || d < 0) throw std::invalid_argument("labels: axes are negative and x has as many");
    if (of[d]) throw std::invalid_argument("labels: an axis is named twice");
    check(axis, x, out, d);
    of[d] = &axis;
  }
  int inner = -1;
  bool empty = false;
  for (int d = 0; d < ndim; ++d) {
    empty = empty || out.shape[d] == 0;
    if (!of[d] && x.shape[d] != out.shape[d]) throw std::invalid_argument("labels: x and out differ along a dimension that is not resampled");
    if (of[d] && (inner < 0 || std::abs(x.stride[d]) <= std::abs(x.stride[inner]))) inner = d;
  }
  if (empty) return;
  Lines lines{x.data, out.data, *of[inner], x.stride[inner], out.stride[inner], {}, 1, ignored};
  for (int d = 0; d < ndim; ++d) {
    if (d == inner) continue;
    lines.dims.push_back({out.shape[d], x.stride[d], out.stride[d], of[d]});
    lines.count *= out.shape[d];
  }
  switch (type) {
    case Type::u8: case Type::boolean: return lines.run<uint8_t>();
    case Type::i8: return lines.run<int8_t>();
    case Type::u16: return lines.run<uint16_t>();
    case Type::i16: return lines.run<int16_t>();
    case Type::u32: return lines.run<uint32_t>();
    case Type::i32: return lines.run<int32_t>();
    case Type::u64: return lines.run<uint64_t>();
    case Type::i64: return lines.run<int64_t>();
    default: throw std::invalid_argument("labels: labels are integers");
  }
}

}  // namespace hp
