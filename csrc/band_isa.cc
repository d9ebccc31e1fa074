// SPDX-License-Identifier: MIT
// Kernel 1, compiled once per instruction set (HP_ISA names the copy). See job.hh for the data and band.hh for the contract.
//
// A task is a strip of output lines by a tile of columns of one batch item. Its rows are made on demand: the last pass asks for
// the rows its taps name, they ask for theirs, and each level keeps its latest rows in a small cache, so that every intermediate
// row is computed once and read while it is still near. The arithmetic of an output element is fixed by the tap lists alone:
// start from the bias (or -0, so that a single tap of weight 1 is exact), then one multiply-add per nonzero tap, ascending.
#include "across.hh"
#include "along.hh"
#include "folds.hh"

#ifndef HP_ISA
#error "HP_ISA must name this copy, for example -DHP_ISA=v3"
#endif

namespace hp {
namespace {

template <int N>
struct LaneOf {
  typedef float type;
};
template <>
struct LaneOf<8> {
  typedef double type;
};

template <int N>
struct Raw {};  // an element of N bytes that is only copied

template <class T>
constexpr bool kRaw = false;
template <int N>
constexpr bool kRaw<Raw<N>> = true;
template <class T>
constexpr bool kCommon = !kSame<T, Bool> && !kSame<T, int8_t> && !kSame<T, int16_t>;
template <class T>
constexpr int kBytes = sizeof(T);
template <int N>
constexpr int kBytes<Raw<N>> = N;

// Rows on demand.
template <class C, class T>
struct Rows {
  const Job& job;
  const Tile& tile;
  char* arena;
  const char* x;  // at the batch item
  int64_t at[kMaxLines];
  bool quiet = false;            // the pass that asks for source rows looks ahead by itself
  int64_t plane_end = 0;         // of the rows that make a plane
  int group = -1;                // the line axis along which output lines are made together: the last pass's, or the innermost
  int64_t asked = -1;            // the furthest row along the innermost line axis whose successor was prefetched
  int64_t last_read[kMaxLines];  // along each line axis, the last input line that this task needs
  static constexpr bool raw = kRaw<T>;
  static constexpr int kSize = kBytes<T>;      // of a stored element
  static constexpr int kWide = raw ? kSize : kBytes<C>;  // of a row element

  void reset() {
    for (int s = 0; s <= job.stage_count; ++s) {
      int64_t* tag = reinterpret_cast<int64_t*>(arena + job.level[s].tag_offset);
      for (int64_t i = 0; i < job.level[s].slots; ++i) tag[i] = -1;
    }
  }

  int64_t slot_at(int s) const {
    const Level& level = job.level[s];
    int64_t which = 0;
    for (int a = 0; a < job.line_count; ++a) which += (at[a] & level.mask[a]) << level.shift[a];
    return which;
  }
  int64_t name_at(int s) const {
    const Level& level = job.level[s];
    int64_t name = 0;
    for (int a = 0; a < job.line_count; ++a) name += at[a] * level.tag_step[a];
    return name;
  }
  int64_t* tag_at(int s) const { return reinterpret_cast<int64_t*>(arena + job.level[s].tag_offset) + slot_at(s); }

  // The slot of the current coordinates at level s; fresh tells that it must be filled.
  char* slot(int s, bool& fresh) {
    const Level& level = job.level[s];
    const int64_t which = slot_at(s), name = name_at(s);
    int64_t* tag = reinterpret_cast<int64_t*>(arena + level.tag_offset) + which;
    fresh = *tag != name;
    *tag = name;
    return arena + level.offset + which * level.row_bytes;
  }

  const char* source() const {
    const char* p = x;
    for (int a = 0; a < job.line_count; ++a) {
      int64_t i = at[a] < job.n_in[a] ? at[a] : at[a] - job.n_in[a];  // periodic taps run past the end
      p += i * job.x_line[a] * kSize;
    }
    return p;
  }

  // Rows are short against the distance at which memory answers, and each begins a new stream: ask for a later one by hand.
  const char* source_ahead() {
    const char* p = source();
    if (job.line_count == 0 || quiet) return p;
    const int inner = job.line_count - 1;
    if (at[inner] <= asked) return p;
    asked = at[inner];
    if (at[inner] + job.ahead > last_read[inner] + job.ahead / 2) return p;
    const char* q = p + job.ahead * job.x_line[inner] * kSize;
    const int64_t bytes = smaller((high(0) - low(0)) * kSize, 8192);
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(q + low(0) * kSize + i);
    return p;
  }

  bool before_pivot(int s) const { return job.pivot >= 0 && s <= job.pivot; }
  int64_t low(int s) const { return before_pivot(s) ? tile.in_low : tile.out_low; }
  int64_t high(int s) const { return before_pivot(s) ? tile.in_high : tile.out_high; }

  // Elements [low, high) of the row at the current coordinates, out of level s.
  const char* row(int s) {
    if (s == 0) return source_row();
    const Stage& stage = job.stage[s - 1];
    if (stage.line >= 0 && stage.selects) {
      int64_t keep = at[stage.line];
      at[stage.line] = stage.taps.index[stage.taps.first[keep]];
      const char* p = row(s - 1);
      at[stage.line] = keep;
      return p;
    }
    bool fresh;
    char* to = slot(s, fresh);
    if (!fresh) return to;
    C* const line = reinterpret_cast<C*>(to);
    if (stage.line >= 0) make_lines(s, &line, 1);
    else make_ahead(s, job.stage[s].line);
    return to;
  }

  // The pivot's rows for the current coordinate along `line` and the next few, up to the last that this task reads: a row that
  // is read right after it was written stalls the processor, a few rows later it does not.
  void make_ahead(int s, int line) {
    const int64_t here = at[line];
    const int count = here + kTogether - 1 <= last_read[line] ? kTogether : 1;
    const char* from[kTogether];
    char* to[kTogether];
    rows_together(s - 1, line, from, count);
    for (int m = 0; m < count; ++m) {
      at[line] = here + m;
      bool fresh;
      to[m] = slot(s, fresh);
    }
    at[line] = here;
    pivot_rows(s, from, to, count);
  }

  void pivot_rows(int s, const char* const* from, char* const* to, int count) {
    if constexpr (raw) {
      for (int m = 0; m < count; ++m) {
        if (job.copy_by_lanes) copy_lanes(to[m], from[m], tile.begin, tile.end);
        else gather(to[m], from[m]);
      }
    } else {
      const Stage& stage = job.stage[s - 1];
      if (job.mode == RowMode::flat) {
        RowSet<C> rows;
        rows.count = count;
        for (int m = 0; m < count; ++m) rows.from[m] = reinterpret_cast<const C*>(from[m]) - tile.in_low, rows.to[m] = reinterpret_cast<C*>(to[m]);
        return along<C>(job, stage, tile.begin, tile.end, rows);
      }
      if constexpr (!kSame<C, int32_t>) {
        if (job.mode == RowMode::pixels) {
          RowSet<C> rows;
          for (int m = 0; m < count; ++m) rows.from[m] = reinterpret_cast<const C*>(from[m]) - tile.in_low, rows.to[m] = reinterpret_cast<C*>(to[m]);
          return pixels_together(stage, tile.begin, tile.end, rows, count);
        }
      }
      for (int m = 0; m < count; ++m)
        along_channels<C>(stage, reinterpret_cast<const C*>(from[m]), tile.in_low, tile.begin, tile.end, reinterpret_cast<C*>(to[m]), false, Rounding::half_up);
    }
  }

  const char* source_row() {
    const int64_t lo = low(0), hi = high(0);
    const int64_t limit = job.row_in;
    if constexpr (raw || kSame<C, T>) {
      if (job.x_contiguous && job.direct) return source_ahead() + lo * kSize;
    }
    bool fresh;
    char* to = slot(0, fresh);
    if (!fresh) return to;
    const char* from = source();
    const int64_t end = smaller(hi, limit);
    if (job.x_contiguous) {
      if constexpr (raw) __builtin_memcpy(to, from + lo * kSize, size_t(end - lo) * kSize);
      else widen_row<T, C>(reinterpret_cast<const T*>(from) + lo, end - lo, reinterpret_cast<C*>(to));
      return to;
    }
    const int64_t channels = job.channels;
    int64_t pixel = lo / channels, c = lo % channels;
    constexpr int kChunk = 256;
    alignas(64) char chunk[kChunk * (kSize < 16 ? kSize : 16)];
    for (int64_t j = lo; j < end;) {
      int64_t n = smaller(kChunk, end - j);
      for (int64_t i = 0; i < n; ++i) {
        copy_element<kSize>(from + (pixel * job.x_pixel + c * job.x_channel) * kSize, chunk + i * kSize);
        if (++c == channels) c = 0, ++pixel;
      }
      if constexpr (raw) __builtin_memcpy(to + (j - lo) * kSize, chunk, size_t(n) * kSize);
      else widen_row<T, C>(reinterpret_cast<const T*>(chunk), n, reinterpret_cast<C*>(to) + (j - lo));
      j += n;
    }
    return to;
  }

  // All rows of this task along the innermost line axis, one after the other in level s.
  const char* plane(int s) {
    const int inner = job.line_count - 1;
    const int64_t begin = at[inner];
    at[inner] = plane_end - 1;
    const bool made = *tag_at(s) == name_at(s);
    at[inner] = begin;
    const char* const first = arena + job.level[s].offset + slot_at(s) * job.level[s].row_bytes;
    if (made) return first;
    const char* rows[kTogether];
    for (; at[inner] < plane_end; at[inner] += kTogether) rows_together(s, inner, rows, int(smaller(kTogether, plane_end - at[inner])));
    at[inner] = begin;
    return first;
  }

  // The passed-in lines at coordinates at[line], at[line] + 1, ... The rows that several of them read are looked up once, and
  // lines that read the very same rows (an enlargement has many) are made together.
  template <class Tin, class Tout>
  void across(int s, Tout* const* outs, int count, int64_t lo, int64_t hi, bool stream, Rounding rounding) {
    const Stage& stage = job.stage[s - 1];
    const TapList& taps = stage.taps;
    const int line = stage.line;
    const int64_t here = at[line];
    const Tin* ring[kFewRows];
    int64_t first_index = INT64_MAX, last_index = -1;
    if (count > 1) {
      for (int64_t i = taps.first[here]; i < taps.first[here + count]; ++i) {
        first_index = smaller(first_index, taps.index[i]);
        last_index = larger(last_index, taps.index[i]);
      }
      if (last_index - first_index >= kFewRows) {
        for (int m = 0; m < count; ++m) {
          at[line] = here + m;
          across<Tin, Tout>(s, outs + m, 1, lo, hi, stream, rounding);
        }
        at[line] = here;
        return;
      }
      for (int i = 0; i <= int(last_index - first_index); ++i) ring[i] = nullptr;
    }
    auto fetch = [&](int64_t index) {
      at[line] = index;
      if (job.planes && s == job.stage_count) return reinterpret_cast<const Tin*>(plane(s - 1));
      if constexpr (kSame<Tin, C>) return reinterpret_cast<const Tin*>(row(s - 1));
      else return reinterpret_cast<const Tin*>(source_ahead()) + lo;
    };
    if constexpr (Across<C, Tin, Tout, kTogether>::kReads) {
      if (count == kTogether && stage.post.kind == Post::none && !same_rows(taps, here, here + kTogether - 1)) {
        Across<C, Tin, Tout, kTogether> pass;
        Readers readers[kFewRows];
        C weight[kFewRows * kTogether];
        bool whole_lines = true;
        for (int m = 1; m < count; ++m) whole_lines = whole_lines && (outs[m] - outs[0]) * int64_t(sizeof(Tout)) % 64 == 0;
        const int held = (whole_lines || !stream) ? find_readers(taps, here, first_index, int(last_index - first_index) + 1, readers, weight) : 0;
        if (held > 0) {
          const Tin* rows[kFewRows];
          pass.taps = 0;
          const bool from_source = s == 1 && (!kSame<Tin, C> || (job.direct && job.x_contiguous));
          const int64_t fresh = from_source && here + count < taps.n_out ? taps.index[taps.first[here + count]] - first_index : 0;
          quiet = fresh > 0;
          for (int r = 0; pass.taps < held; ++r)
            if (readers[r]) {
              readers[pass.taps] = readers[r];
              for (int m = 0; m < count; ++m) weight[pass.taps * kTogether + m] = weight[r * kTogether + m];
              rows[pass.taps++] = fetch(first_index + r);
            }
          at[line] = here;
          quiet = false;
          if (fresh > 0) {
            pass.ahead_from = held - int(smaller(fresh, held));
            pass.ahead = fresh * job.x_line[line] * kSize;
          }
          pass.rows = rows;
          pass.readers = readers;
          pass.weight[0] = weight;
          pass.post = &stage.post;
          pass.rounding = rounding;
          for (int m = 0; m < count; ++m) {
            pass.bias[m] = stage.taps.bias ? static_cast<const C*>(stage.taps.bias)[here + m] : C(-0.0);
            pass.out[m] = outs[m];
          }
          return pass.run(hi - lo, stream);
        }
      }
    }
    const Tin* stack[kFewRows];
    for (int m = 0; m < count;) {
      const int64_t first = taps.first[here + m];
      const int n = int(taps.first[here + m + 1] - first);
      int alike = 1;
      while (alike < 4 && m + alike < count && same_rows(taps, here + m, here + m + alike) &&
             (!stream || (outs[m + alike] - outs[m]) * int64_t(sizeof(Tout)) % 64 == 0))
        ++alike;
      if (alike == 3) alike = 2;
      constexpr bool several = kSame<C, float> && kCommon<Tin> && kCommon<Tout>;  // the rarer types are not worth three copies
      if constexpr (!several) alike = 1;
      const Tin** rows = n <= kFewRows ? stack : reinterpret_cast<const Tin**>(arena + stage.pointers);
      for (int k = 0; k < n; ++k) {
        const int64_t index = taps.index[first + k];
        if (count == 1) {
          rows[k] = fetch(index);
        } else {
          const Tin*& known = ring[index - first_index];
          if (!known) known = fetch(index);
          rows[k] = known;
        }
      }
      at[line] = here;
      if constexpr (several) {
        if (alike == 4) combine<4>(stage, rows, n, here + m, outs + m, hi - lo, stream, rounding);
        if (alike == 2) combine<2>(stage, rows, n, here + m, outs + m, hi - lo, stream, rounding);
      }
      if (alike == 1) combine<1>(stage, rows, n, here + m, outs + m, hi - lo, stream, rounding);
      m += alike;
    }
    at[line] = here;
  }

  // Of `count` rows, which lines from `here` on read them and with what weight; how many rows are read, or 0 where the readers of
  // a row are not neighbours.
  static int find_readers(const TapList& taps, int64_t here, int64_t first_index, int count, Readers* readers, C* weight) {
    for (int r = 0; r < count; ++r) readers[r] = 0;
    int held = 0;
    for (int m = 0; m < kTogether; ++m)
      for (int64_t i = taps.first[here + m]; i < taps.first[here + m + 1]; ++i) {
        const int64_t r = taps.index[i] - first_index;
        weight[r * kTogether + m] = static_cast<const C*>(taps.weight)[i];
        if (readers[r] == 0) readers[r] = readers_of(m, m), ++held;
        else if (reads(readers[r], m - 1)) ++readers[r];
        else return 0;
      }
    return held;
  }

  // How many output lines from `here` on to make together: a few, but lines that read the same rows should not be parted.
  int together(int64_t here) const {
    const Stage& last = job.stage[job.stage_count - 1];
    if (last.line < 0 || here + kTogether >= last.taps.n_out || !same_rows(last.taps, here + kTogether - 1, here + kTogether)) return kTogether;
    int count = kTogether - 1;
    while (count > 0 && same_rows(last.taps, here + count - 1, here + count)) --count;
    return count ? count : kTogether;
  }

  static bool same_rows(const TapList& taps, int64_t a, int64_t b) {
    const int64_t n = taps.first[a + 1] - taps.first[a];
    if (taps.first[b + 1] - taps.first[b] != n) return false;
    for (int64_t k = 0; k < n; ++k)
      if (taps.index[taps.first[a] + k] != taps.index[taps.first[b] + k]) return false;
    return true;
  }

  template <int N, class Tin, class Tout>
  void combine(const Stage& stage, const Tin* const* rows, int taps, int64_t o, Tout* const* outs, int64_t n, bool stream, Rounding rounding) {
    Across<C, Tin, Tout, N> pass;
    pass.rows = rows;
    pass.taps = taps;
    pass.post = &stage.post;
    pass.rounding = rounding;
    for (int i = 0; i < N; ++i) {
      pass.weight[i] = static_cast<const C*>(stage.taps.weight) + stage.taps.first[o + i];
      pass.bias[i] = stage.taps.bias ? static_cast<const C*>(stage.taps.bias)[o + i] : C(-0.0);
      pass.out[i] = outs[i];
    }
    pass.run(n, stream);
  }

  // Pixels [begin, end) with many channels each: every pixel is a short line of its own.
  template <class Tout>
  void along_channels(const Stage& stage, const C* row, int64_t row_low, int64_t begin, int64_t end, Tout* to, bool stream, Rounding rounding) {
    const TapList& taps = stage.taps;
    const int64_t channels = job.channels;
    const C* stack[kFewRows];
    const C** rows = taps.longest <= kFewRows ? stack : reinterpret_cast<const C**>(arena + stage.pointers);
    const bool plain = !stream && stage.post.kind == Post::none && channels >= kLanes<C>;
    for (int64_t o = begin; o < end; ++o) {
      const int64_t first = taps.first[o];
      const int count = int(taps.first[o + 1] - first);
      for (int k = 0; k < count; ++k) rows[k] = row + (taps.index[first + k] * channels - row_low);
      Tout* out = to + (o - begin) * channels;
      if constexpr (!kSame<C, int32_t>) {
        if (plain && (count == 1 || count == 2 || count == 4)) {
          const C* weight = static_cast<const C*>(taps.weight) + first;
          const C bias = taps.bias ? static_cast<const C*>(taps.bias)[o] : C(-0.0);
          if (count == 1) pixel_of<1>(rows, weight, bias, channels, out, rounding);
          else if (count == 2) pixel_of<2>(rows, weight, bias, channels, out, rounding);
          else pixel_of<4>(rows, weight, bias, channels, out, rounding);
          continue;
        }
      }
      combine<1>(stage, rows, count, o, &out, channels, stream, rounding);
    }
  }

  void pixels_together(const Stage& stage, int64_t begin, int64_t end, const RowSet<C>& rows, int count) {
    if (count == kTogether) return along_pixels<C, kTogether>(stage.taps, job.channels, begin, end, rows);
    RowSet<C> one;
    for (int m = 0; m < count; ++m) {
      one.from[0] = rows.from[m];
      one.to[0] = rows.to[m];
      along_pixels<C, 1>(stage.taps, job.channels, begin, end, one);
    }
  }

  void make_lines(int s, C* const* to, int count) {
    if constexpr (!raw) {
      if constexpr (!kSame<C, T>) {
        if (s == 1 && job.widen_in_pass) return across<T, C>(s, to, count, low(s), high(s), false, Rounding::half_up);
      }
      across<C, C>(s, to, count, low(s), high(s), false, Rounding::half_up);
    }
  }

  // Rows of level s at the current coordinate along `line` and the next ones, made together where they are lines of that axis.
  void rows_together(int s, int line, const char** out, int count) {
    const int64_t here = at[line];
    if (s > 0 && count > 1 && line >= 0 && job.stage[s - 1].line == line && !job.stage[s - 1].selects) {
      C* to[kTogether];
      bool any = false, fresh;
      for (int m = 0; m < count; ++m) {
        at[line] = here + m;
        to[m] = reinterpret_cast<C*>(slot(s, fresh));
        out[m] = reinterpret_cast<const char*>(to[m]);
        any = any || fresh;
      }
      at[line] = here;
      if (any) make_lines(s, to, count);
      return;
    }
    for (int m = 0; m < count; ++m) {
      at[line] = here + m;
      out[m] = row(s);
    }
    at[line] = here;
  }

  // Elements as wide as a lane: the tables of the arithmetic kernel, without its arithmetic. Permutes keep every bit.
  template <bool Stream = false>
  void copy_lanes(char* to, const char* from, int64_t begin, int64_t end) {
    if constexpr (kPermutes && (kSize == 4 || (kSize == 8 && kRegister == 64))) {
      typedef typename LaneOf<kSize>::type W;
      for (int64_t r = 0; r < job.flat.run_count; ++r) {
        const Run& run = job.flat.runs[r];
        const int64_t b = larger(run.begin, begin), e = smaller(run.end, end);
        W* out = reinterpret_cast<W*>(to) + (b - begin) * kLanes<W>;
        const W* in = reinterpret_cast<const W*>(from) - tile.in_low;
        if (run.reach == kReach1) copy_blocks<W, kReach1, Stream>(b, e, in, out);
        else if (run.reach == kReach2) copy_blocks<W, kReach2, Stream>(b, e, in, out);
        else if (run.reach == kReach4) copy_blocks<W, kReach4, Stream>(b, e, in, out);
        else copy_blocks<W, kReachAny, Stream>(b, e, in, out);
      }
    }
  }

  template <class W, int R, bool Stream>
  void copy_blocks(int64_t begin, int64_t end, const W* in, W* out) {
    const FlatTable& table = job.flat;
    for (int64_t b = begin; b < end; ++b, out += kLanes<W>) {
      const uint8_t* pattern = table.patterns + table.pattern[b] * table.pattern_bytes;
      const auto v = pick<W, R>(in + table.base[b], load_as<V<int64_t>>(pattern), reinterpret_cast<const int32_t*>(pattern + kRegister));
      if constexpr (Stream) store_stream(out, v);
      else store_as(out, v);
    }
  }

  // A line of copies: whole registers go straight to the output, past the caches where a register is a cache line.
  void finish_copy(const char* from, char* line) {
    char* const out = line + tile.out_low * kSize;
    const int64_t whole = tile.begin + (tile.out_high - tile.out_low) * kSize / kRegister;
    if (kRegister == 64 && job.stream && uintptr_t(out) % 64 == 0) copy_lanes<true>(out, from, tile.begin, whole);
    else copy_lanes(out, from, tile.begin, whole);
    if (whole == tile.end) return;
    char* const rest = arena + job.row_buffer;
    copy_lanes(rest, from, whole, tile.end);
    const int64_t done = (whole - tile.begin) * kRegister;
    __builtin_memcpy(out + done, rest, size_t((tile.out_high - tile.out_low) * kSize - done));
  }

  template <int P>
  void gather_pixels(char* to, const char* from) {
    const char* origin = from - tile.in_low * kSize;
    constexpr int kWord = P == 3 ? 4 : P == 6 ? 8 : P;  // one move; what it writes too far the next pixel overwrites
    const int64_t last = job.row_in / job.channels - 1;
    for (int64_t o = tile.begin; o < tile.end; ++o) {
      const char* pixel = origin + job.copy.source[o] * P;
      if (kWord == P || (o + 1 < tile.end && job.copy.source[o] < last)) copy_element<kWord>(pixel, to + (o - tile.begin) * P);
      else copy_element<P>(pixel, to + (o - tile.begin) * P);
    }
  }

  void gather(char* to, const char* from) {  // raw: the pivot as an index map; blocks are 16 output bytes
    const CopyTable& table = job.copy;
    const int64_t pixel = job.channels * kSize;
    if (job.mode == RowMode::pixels) {
      switch (pixel) {
        case 1: return gather_pixels<1>(to, from);
        case 2: return gather_pixels<2>(to, from);
        case 3: return gather_pixels<3>(to, from);
        case 4: return gather_pixels<4>(to, from);
        case 6: return gather_pixels<6>(to, from);
        case 8: return gather_pixels<8>(to, from);
      }
    }
    if (job.mode != RowMode::flat) {
      for (int64_t o = tile.begin; o < tile.end; ++o)
        __builtin_memcpy(to + (o - tile.begin) * pixel, from + table.source[o] * pixel - tile.in_low * kSize, size_t(pixel));
      return;
    }
    typedef Vec<uint8_t, 16> B;
    const char* origin = from - tile.in_low * kSize;
    for (int64_t b = tile.begin; b < tile.end; ++b) {
      char* out = to + (b - tile.begin) * 16;
      if (table.base[b] >= 0) {
        store_as(out, __builtin_shuffle(load_as<B>(origin + table.base[b]), load_as<B>(table.lane + b * 16)));
        continue;
      }
      // The window is longer than 16 bytes: element by element, those that reach into a neighbouring block whole (rows have room).
      const int64_t first = b * 16 / kSize, last = smaller(((b + 1) * 16 + kSize - 1) / kSize, job.row_out);
      int64_t o = first / job.channels, c = first % job.channels;
      for (int64_t j = first; j < last; ++j) {
        copy_element<kSize>(origin + (table.source[o] * job.channels + c) * kSize, out + j * kSize - b * 16);
        if (++c == job.channels) c = 0, ++o;
      }
    }
  }

  // The last pass, into the output lines at outs[0..count), which follow each other along the group's axis.
  void finish(char* const* outs, int count) {
    const int s = job.stage_count;
    const Stage& stage = job.stage[s - 1];
    if (stage.line >= 0) return finish_lines(s, outs, count);
    const char* from[kTogether];
    if (job.line_count) rows_together(s - 1, job.line_count - 1, from, count);
    else from[0] = row(s - 1);
    if (raw && job.out_contiguous && job.copy_by_lanes && job.mode == RowMode::flat) {
      for (int m = 0; m < count; ++m) finish_copy(from[m], outs[m]);
      return;
    }
    const bool to_buffer = raw || !job.out_contiguous || job.mode == RowMode::channels;
    if (!to_buffer && job.mode == RowMode::pixels) return finish_pixels(stage, from, outs, count);
    if (!to_buffer) return finish_blocks(stage, from, outs, count);
    char* buffer = arena + job.row_buffer;
    for (int m = 0; m < count; ++m) {
      if constexpr (!raw) {
        if (job.mode == RowMode::channels && job.out_contiguous) {
          along_channels<T>(stage, reinterpret_cast<const C*>(from[m]), tile.in_low, tile.begin, tile.end, reinterpret_cast<T*>(outs[m]) + tile.out_low,
                            job.stream && job.channels >= 256, job.rounding);
          continue;
        }
      }
      pivot_rows(s, from + m, &buffer, 1);
      store_line(buffer, outs[m]);
    }
  }

  void finish_lines(int s, char* const* outs, int count) {
    const int64_t here = at[group];
    if constexpr (!raw) {
      T* to[kTogether];
      for (int m = 0; m < count; ++m) to[m] = reinterpret_cast<T*>(outs[m]) + tile.out_low;
      if (job.planes) return across<C, T>(s, to, count, 0, (plane_end - at[job.line_count - 1]) * job.row_out, job.stream, job.rounding);
      const int together = job.out_contiguous ? count : 1;
      for (int m = 0; m < count; m += together) {
        at[group] = here + m;
        if (!job.out_contiguous) {
          C* const buffer = reinterpret_cast<C*>(arena + job.row_buffer);
          make_lines(s, &buffer, 1);
          store_line(arena + job.row_buffer, outs[m]);
          continue;
        }
        if constexpr (!kSame<C, T>) {
          if (s == 1 && job.widen_in_pass) {
            across<T, T>(s, to + m, together, tile.out_low, tile.out_high, job.stream, job.rounding);
            continue;
          }
        }
        across<C, T>(s, to + m, together, tile.out_low, tile.out_high, job.stream, job.rounding);
      }
    } else {
      for (int m = 0; m < count; ++m) {
        at[group] = here + m;
        store_line(row(s), outs[m]);
      }
    }
    at[group] = here;
  }

  void finish_blocks(const Stage& stage, const char* const* from, char* const* outs, int count) {
    if constexpr (!raw) {
      constexpr int64_t L = kLanes<C>, kStep = 64;
      C* buffer = reinterpret_cast<C*>(arena + job.row_buffer);
      RowSet<C> rows;
      rows.count = count;
      for (int m = 0; m < count; ++m) rows.from[m] = reinterpret_cast<const C*>(from[m]) - tile.in_low;
      for (int64_t b = tile.begin; b < tile.end; b += kStep) {
        const int64_t e = smaller(b + kStep, tile.end), lo = b * L, hi = smaller(e * L, tile.out_high);
        const bool in_place = kSame<C, T> && !job.stream && hi == e * L;
        for (int m = 0; m < count; ++m) rows.to[m] = in_place ? reinterpret_cast<C*>(outs[m]) + lo : buffer + m * kStep * L;
        along<C>(job, stage, b, e, rows);
        if (in_place) continue;
        for (int m = 0; m < count; ++m) store_row<T, C>(rows.to[m], hi - lo, reinterpret_cast<T*>(outs[m]) + lo, job.rounding, job.stream);
      }
    }
  }

  void finish_pixels(const Stage& stage, const char* const* from, char* const* outs, int count) {
    if constexpr (!raw && !kSame<C, int32_t>) {
      constexpr int64_t kStep = kPixelChunk;
      C* buffer = reinterpret_cast<C*>(arena + job.row_buffer);
      RowSet<C> rows;
      for (int m = 0; m < count; ++m) rows.from[m] = reinterpret_cast<const C*>(from[m]) - tile.in_low, rows.to[m] = buffer + m * (kStep * job.channels + 4);
      for (int64_t o = tile.begin; o < tile.end; o += kStep) {
        const int64_t e = smaller(o + kStep, tile.end);
        pixels_together(stage, o, e, rows, count);
        for (int m = 0; m < count; ++m)
          store_row<T, C>(rows.to[m], (e - o) * job.channels, reinterpret_cast<T*>(outs[m]) + o * job.channels, job.rounding, job.stream);
      }
    }
  }

  void store_line(const char* from, char* out) {
    const int64_t n = tile.out_high - tile.out_low;
    if (job.out_contiguous) {
      if constexpr (raw) return stream_bytes(from, out + tile.out_low * kSize, n * kSize, job.stream);
      else return store_row<T, C>(reinterpret_cast<const C*>(from), n, reinterpret_cast<T*>(out) + tile.out_low, job.rounding, job.stream);
    }
    if constexpr (raw) {
      scatter(from, out, n);
    } else {
      constexpr int kChunk = 256;
      T chunk[kChunk];
      for (int64_t j = 0; j < n; j += kChunk) {
        const int64_t count = smaller(kChunk, n - j);
        store_row<T, C>(reinterpret_cast<const C*>(from) + j, count, chunk, job.rounding, false);
        scatter(reinterpret_cast<const char*>(chunk), out, count, j);
      }
    }
  }

  void scatter(const char* from, char* out, int64_t n, int64_t skip = 0) {
    int64_t pixel = (tile.out_low + skip) / job.channels, c = (tile.out_low + skip) % job.channels;
    for (int64_t i = 0; i < n; ++i) {
      copy_element<kSize>(from + i * kSize, out + (pixel * job.out_pixel + c * job.out_channel) * kSize);
      if (++c == job.channels) c = 0, ++pixel;
    }
  }
};

template <class C, class T>
void run_task(const Job& job, int64_t task, char* arena) {
  constexpr int kSize = kBytes<T>;
  const Tile& tile = job.tiles[task % job.tile_count];
  task /= job.tile_count;
  int64_t begin[kMaxLines], end[kMaxLines];
  for (int a = job.line_count - 1; a >= 0; --a) {
    begin[a] = (task % job.parts[a]) * job.extent[a];
    end[a] = smaller(begin[a] + job.extent[a], job.n_out[a]);
    task /= job.parts[a];
  }
  const int64_t first = task * job.group, last = smaller(first + job.group, job.batches);
  for (int64_t item = first; item < last; ++item) {
    int64_t rest = item, x_at = 0, out_at = 0;
    for (int d = job.batch_count - 1; d >= 0; --d) {
      int64_t i = rest % job.batch_size[d];
      rest /= job.batch_size[d];
      x_at += i * job.x_batch[d];
      out_at += i * job.out_batch[d];
    }
    Rows<C, T> rows{job, tile, arena, job.x + x_at * kSize, {}, false, 0, -1, -1, {}};
    const int last_line = job.stage[job.stage_count - 1].line;
    rows.group = last_line >= 0 ? last_line : job.line_count - 1;
    rows.reset();
    for (int a = 0; a < job.line_count; ++a) {
      rows.at[a] = begin[a];
      rows.last_read[a] = end[a] - 1;
    }
    for (int s = 0; s < job.stage_count; ++s) {
      const int a = job.stage[s].line;
      if (a < 0) continue;
      const TapList& taps = job.stage[s].taps;
      for (int64_t i = taps.first[begin[a]]; i < taps.first[end[a]]; ++i) rows.last_read[a] = i == taps.first[begin[a]] ? taps.index[i] : larger(rows.last_read[a], taps.index[i]);
    }
    const int inner = job.line_count - 1, group = rows.group;
    if (job.planes) rows.plane_end = end[inner];
    for (;;) {
      char* outs[kTogether];
      outs[0] = job.out + out_at * kSize;
      for (int a = 0; a <= inner; ++a) outs[0] += rows.at[a] * job.out_line[a] * kSize;
      int count = 1;
      if (inner >= 0 && rows.at[group] + kTogether <= end[group]) {
        count = rows.together(rows.at[group]);
        for (int m = 1; m < count; ++m) outs[m] = outs[0] + m * job.out_line[group] * kSize;
      }
      rows.finish(outs, count);
      int a = job.planes ? inner - 1 : inner;
      for (; a >= 0; --a) {
        rows.at[a] += a == group ? count : 1;
        if (rows.at[a] < end[a]) break;
        rows.at[a] = begin[a];
      }
      if (a < 0) break;
    }
  }
}

template <class C>
void run_wide(const Job& job, int64_t task, char* arena) {
  switch (job.type) {
    case Type::f32: return run_task<C, float>(job, task, arena);
    case Type::f64: return run_task<C, double>(job, task, arena);
    case Type::f16: return run_task<C, Half>(job, task, arena);
    case Type::bf16: return run_task<C, BFloat>(job, task, arena);
    case Type::u8: return run_task<C, uint8_t>(job, task, arena);
    case Type::i8: return run_task<C, int8_t>(job, task, arena);
    case Type::u16: return run_task<C, uint16_t>(job, task, arena);
    case Type::i16: return run_task<C, int16_t>(job, task, arena);
    case Type::i32: return run_task<C, int32_t>(job, task, arena);
    case Type::u32: return run_task<C, uint32_t>(job, task, arena);
    case Type::i64: return run_task<C, int64_t>(job, task, arena);
    case Type::u64: return run_task<C, uint64_t>(job, task, arena);
    case Type::boolean: return run_task<C, Bool>(job, task, arena);
  }
}

void run_natural32(const Job& job, int64_t task, char* arena) {
  switch (job.type) {
    case Type::f32: return run_task<float, float>(job, task, arena);
    case Type::f16: return run_task<float, Half>(job, task, arena);
    case Type::bf16: return run_task<float, BFloat>(job, task, arena);
    case Type::u8: return run_task<float, uint8_t>(job, task, arena);
    case Type::i8: return run_task<float, int8_t>(job, task, arena);
    case Type::u16: return run_task<float, uint16_t>(job, task, arena);
    case Type::i16: return run_task<float, int16_t>(job, task, arena);
    case Type::boolean: return run_task<float, Bool>(job, task, arena);
    default: return run_wide<double>(job, task, arena);
  }
}

void run_fixed(const Job& job, int64_t task, char* arena) {
  switch (job.type) {
    case Type::u8: return run_task<int32_t, uint8_t>(job, task, arena);
    case Type::i8: return run_task<int32_t, int8_t>(job, task, arena);
    case Type::u16: return run_task<int32_t, uint16_t>(job, task, arena);
    case Type::i16: return run_task<int32_t, int16_t>(job, task, arena);
    default: return;
  }
}

void run(const Job& job, int64_t task, char* arena) {
  if (job.copies) {
    switch (job.element_bytes) {
      case 1: run_task<char, Raw<1>>(job, task, arena); break;
      case 2: run_task<char, Raw<2>>(job, task, arena); break;
      case 4: run_task<char, Raw<4>>(job, task, arena); break;
      case 8: run_task<char, Raw<8>>(job, task, arena); break;
    }
  } else if (job.compute == Compute::fixed32) {
    run_fixed(job, task, arena);
  } else if (job.compute == Compute::real64) {
    run_wide<double>(job, task, arena);
  } else {
    run_natural32(job, task, arena);
  }
  if (job.stream) stream_fence();
}

}  // namespace

#define HP_NAME2(isa) isa_##isa
#define HP_NAME(isa) HP_NAME2(isa)
#define HP_TEXT2(isa) #isa
#define HP_TEXT(isa) HP_TEXT2(isa)
#define HP_PART2(part, isa) part##_##isa
#define HP_PART(part, isa) HP_PART2(part, isa)
void HP_PART(move, HP_ISA)(const Move& move, int64_t begin, int64_t end);
void HP_PART(pool, HP_ISA)(const Pool& pool, int64_t task, char* arena);
extern const Convolve HP_PART(convolve, HP_ISA);
void HP_PART(depthwise, HP_ISA)(const Depthwise& d, int64_t task, char* arena);
void HP_PART(window, HP_ISA)(const Window& window, int64_t task, char* arena);
void HP_PART(sample, HP_ISA)(SampleStep step, const Sampling& job, int64_t task, char* arena);
extern const Isa HP_NAME(HP_ISA);
const Isa HP_NAME(HP_ISA) = {HP_TEXT(HP_ISA), kRegister, kPermutes, kPermutes && kRegister == 64, run, {fold_channels, fold_groups, fold_store, fold_above},
                             HP_PART(move, HP_ISA), HP_PART(pool, HP_ISA), &HP_PART(convolve, HP_ISA), HP_PART(depthwise, HP_ISA), HP_PART(window, HP_ISA), HP_PART(sample, HP_ISA)};

}  // namespace hp
