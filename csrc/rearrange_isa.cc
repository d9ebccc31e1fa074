// SPDX-License-Identifier: MIT
// Kernel 3, compiled once per instruction set. See move.hh for the data and rearrange.hh for the contract.
#include "move.hh"
#include "permuting.hh"
#include "shuffle.hh"

namespace hp {
namespace {

// Streams of at least one register end with a register that overlaps the one before; shorter ones go element by element.
template <class T, int K>
HP_INLINE void zip_step(const T* x, const int64_t* stream, T* out, int64_t i) {
  constexpr int L = kStreamed<T>;
  using R = Vec<T, L>;
  R v[K];
  HP_UNROLL for (int k = 0; k < K; ++k) v[k] = load_as<R>(x + stream[k] + i);
  T* to = out + i * K;
  if constexpr (K == 3) {
    store_as(to, zip3<0>(v, LanesUpTo<L>{}));
    store_as(to + L, zip3<1>(v, LanesUpTo<L>{}));
    store_as(to + 2 * L, zip3<2>(v, LanesUpTo<L>{}));
  } else {
    zip_all<R, L, K>(v);
    HP_UNROLL for (int k = 0; k < K; ++k) store_as(to + k * L, v[k]);
  }
}

template <class T, int K>
HP_INLINE void unzip_step(const T* x, const int64_t* stream, T* out, int64_t i) {
  constexpr int L = kStreamed<T>;
  using R = Vec<T, L>;
  R v[K];
  HP_UNROLL for (int k = 0; k < K; ++k) v[k] = load_as<R>(x + i * K + k * L);
  if constexpr (K == 3) {
    store_as(out + stream[0] + i, unzip3<0>(v, LanesUpTo<L>{}));
    store_as(out + stream[1] + i, unzip3<1>(v, LanesUpTo<L>{}));
    store_as(out + stream[2] + i, unzip3<2>(v, LanesUpTo<L>{}));
  } else {
    unzip_all<R, L, K>(v);
    HP_UNROLL for (int k = 0; k < K; ++k) store_as(out + stream[k] + i, v[k]);
  }
}

// `lines` runs of n elements a stream, `x_line` and `out_line` apart.
template <class T, int K, bool kZips>
void streams(const T* x, const int64_t* stream, T* out, int64_t n, int64_t lines, int64_t x_line, int64_t out_line) {
  constexpr int L = kStreamed<T>;
  int64_t at[K];  // not in memory that a store could change
  for (int k = 0; k < K; ++k) at[k] = stream[k];
  for (; lines; --lines, x += x_line, out += out_line) {
    if (n < L) {
      for (int64_t i = 0; i < n; ++i)
        HP_UNROLL for (int k = 0; k < K; ++k) {
          if constexpr (kZips) out[i * K + k] = x[at[k] + i];
          else out[at[k] + i] = x[i * K + k];
        }
      continue;
    }
    for (int64_t i = 0;; i = i + L <= n - L ? i + L : n - L) {
      if constexpr (kZips) zip_step<T, K>(x, at, out, i);
      else unzip_step<T, K>(x, at, out, i);
      if (i == n - L) break;
    }
  }
}

// Any number of streams up to the side of a tile, whose rest is of no meaning: it is read from, or written to, what follows in the
// same run, and replaced by the next rows. Returns how many elements of each stream are done.
template <class T, bool kZips>
int64_t by_tiles(int ways, const int64_t* stream, const T* x, T* out, int64_t n) {
  constexpr int L = kMoved<T>;
  using R = Vec<T, L>;
  int64_t i = 0;
  if (ways > L) return i;
  for (; (i + L - 1) * ways + L <= n * ways; i += L) {
    R v[L];
    if constexpr (kZips) {
      for (int k = 0; k < L; ++k) v[k] = load_as<R>(x + stream[k < ways ? k : 0] + i);
    } else {
      HP_UNROLL for (int k = 0; k < L; ++k) v[k] = load_as<R>(x + (i + k) * ways);
    }
    zip_all<R, L, L>(v);
    if constexpr (kZips) {
      HP_UNROLL for (int k = 0; k < L; ++k) store_as(out + (i + k) * ways, v[k]);
    } else {
      for (int k = 0; k < ways; ++k) store_as(out + stream[k] + i, v[k]);
    }
  }
  return i;
}

template <class T, bool kZips>
void streams_any(int ways, const int64_t* stream, const T* x, T* out, int64_t n, int64_t lines, int64_t x_line, int64_t out_line) {
  switch (ways) {
    case 2: return streams<T, 2, kZips>(x, stream, out, n, lines, x_line, out_line);
    case 3: return streams<T, 3, kZips>(x, stream, out, n, lines, x_line, out_line);
    case 4: return streams<T, 4, kZips>(x, stream, out, n, lines, x_line, out_line);
    case 8: return streams<T, 8, kZips>(x, stream, out, n, lines, x_line, out_line);
  }
  for (; lines; --lines, x += x_line, out += out_line) {
    const int64_t done = by_tiles<T, kZips>(ways, stream, x, out, n);
    for (int k = 0; k < ways; ++k) {
      const T* from = kZips ? x + stream[k] : x + k;
      T* to = kZips ? out + k : out + stream[k];
      for (int64_t i = done; i < n; ++i) to[kZips ? i * ways : i] = from[kZips ? i : i * ways];
    }
  }
}

template <class T>
void turn_corner(const T* x, int64_t x_across, T* out, int64_t out_length, int64_t length, int64_t across) {
  for (int64_t a = 0; a < length; ++a)
    for (int64_t b = 0; b < across; ++b) out[a * out_length + b] = x[b * x_across + a];
}

template <class T>
void turn(const T* x, int64_t x_across, T* out, int64_t out_length, int64_t length, int64_t across) {
  constexpr int L = kMoved<T>;
  using R = Vec<T, L>;
  const int64_t whole = across / L * L;
  int64_t a = 0;
  for (; a + L <= length; a += L) {
    for (int64_t b = 0; b < whole; b += L) {
      R v[L];
      HP_UNROLL for (int i = 0; i < L; ++i) v[i] = load_as<R>(x + (b + i) * x_across + a);
      zip_all<R, L, L>(v);
      HP_UNROLL for (int i = 0; i < L; ++i) store_as(out + (a + i) * out_length + b, v[i]);
    }
    turn_corner(x + whole * x_across + a, x_across, out + a * out_length + whole, out_length, L, across - whole);
  }
  turn_corner(x + a, x_across, out + a * out_length, out_length, length - a, across);
}

// Elements of a block that are copied at once.
template <class T>
constexpr int kPiece = 16 / int(sizeof(T));

// Blocks of n elements, one after the other in `dense`, `step` apart in `apart`, copied from the one to the other.
template <class T, bool kScatter>
void blocks(T* dense, T* apart, int64_t step, int64_t n, int64_t count) {
  constexpr int L = kPiece<T>;
  using R = Vec<T, L>;
  for (; count > 0; --count, dense += n, apart += step) {
    T* const to = kScatter ? apart : dense;
    const T* const from = kScatter ? dense : apart;
    int64_t i = 0;
    for (; i + L <= n; i += L) store_as(to + i, load_as<R>(from + i));
    for (; i < n; ++i) to[i] = from[i];
  }
}

template <class T>
void zip_blocks(const Move& m, const T* x, T* out, int64_t count) {
  constexpr int L = kPiece<T>;
  using R = Vec<T, L>;
  alignas(64) T kept[kBlocksBytes / sizeof(T) + 64];
  const int64_t n = m.across, run = count * n, step = m.x_length;
  int64_t at[kMaxWays];
  // Blocks shorter than a piece are read with what follows them: it must lie before the last block's end.
  const int64_t safe = n >= L || step < n ? 0 : count - 1 - (L - n + step - 1) / step;
  for (int k = 0; k < m.ways; ++k) {
    at[k] = k * run;
    T* to = kept + k * run;
    const T* from = x + m.stream[k];
    int64_t p = 0;
    for (; p < safe; ++p) store_as(to + p * n, load_as<R>(from + p * step));
    blocks<T, false>(to + p * n, const_cast<T*>(from) + p * step, step, n, count - p);
  }
  streams_any<T, true>(m.ways, at, kept, out, run, 1, 0, 0);
}

// The blocks of one row of the output, K next to each other, pixel after pixel: what one spills, the next replaces.
template <class T, int K>
void row_of_blocks(const T* kept, int64_t run, T* out, int64_t n, int64_t step, int64_t pixels) {
  using R = Vec<T, kPiece<T>>;
  for (int64_t p = 0; p < pixels; ++p)
    HP_UNROLL for (int k = 0; k < K; ++k) store_as(out + p * step + k * n, load_as<R>(kept + k * run + p * n));
}

template <class T>
void unzip_blocks(const Move& m, const T* x, T* out, int64_t count) {
  constexpr int L = kPiece<T>;
  alignas(64) T kept[kBlocksBytes / sizeof(T) + 64];
  const int64_t n = m.across, run = count * n, step = m.out_length;
  int64_t at[kMaxWays];
  for (int k = 0; k < m.ways; ++k) at[k] = k * run;
  streams_any<T, false>(m.ways, at, x, kept, run, 1, 0, 0);
  int64_t p = 0;
  const int64_t in_row = step / n;
  if (m.spills && n <= L && in_row >= 2 && in_row <= 4) {
    p = count - 1 - (L + n - 1) / n;
    if (p < 0) p = 0;
    for (int k = 0; k < m.ways; k += int(in_row)) {
      const T* from = kept + k * run;
      T* to = out + m.stream[k];
      if (in_row == 2) row_of_blocks<T, 2>(from, run, to, n, step, p);
      else if (in_row == 3) row_of_blocks<T, 3>(from, run, to, n, step, p);
      else row_of_blocks<T, 4>(from, run, to, n, step, p);
    }
  }
  for (int k = 0; k < m.ways; ++k) blocks<T, true>(kept + k * run + p * n, out + m.stream[k] + p * step, step, n, count - p);
}

template <class T>
void copy_row(const T* x, T* out, int64_t n) {
  constexpr int L = 16 / int(sizeof(T));
  using R = Vec<T, L>;
  if (n < 8 * L) {  // a call would cost more
    int64_t i = 0;
    for (; i + L <= n; i += L) store_as(out + i, load_as<R>(x + i));
    for (; i < n; ++i) out[i] = x[i];
  } else {
    __builtin_memcpy(out, x, size_t(n) * sizeof(T));
  }
}

template <class T>
void lines_of(const Move& m, const T* x, T* out, int64_t length, int64_t across, int64_t lines) {
  if (m.shape == Shape::zip) return streams_any<T, true>(m.ways, m.stream, x, out, length, lines, m.x_line, m.out_line);
  if (m.shape == Shape::permute) {
    constexpr int64_t kBytes = sizeof(T);
    return permute(*m.permutation, m.past_caches, reinterpret_cast<const char*>(x), reinterpret_cast<char*>(out), length, lines, m.x_line * kBytes, m.out_line * kBytes);
  }
  if (m.shape == Shape::unzip) return streams_any<T, false>(m.ways, m.stream, x, out, length, lines, m.x_line, m.out_line);
  for (; lines; --lines, x += m.x_line, out += m.out_line) {
    switch (m.shape) {
      case Shape::rows: copy_row(x, out, length); break;
      case Shape::zip_blocks: zip_blocks(m, x, out, length); break;
      case Shape::unzip_blocks: unzip_blocks(m, x, out, length); break;
      case Shape::turn: turn(x, m.x_across, out, m.out_length, length, across); break;
      default:
        for (int64_t i = 0; i < length; ++i) out[i * m.out_length] = x[i * m.x_length];
    }
  }
}

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
void run_units(const Move& m, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    int64_t rest = unit;
    const auto next = [&](int64_t n) {
      const int64_t i = rest % n;
      rest /= n;
      return i;
    };
    const int64_t part = next(m.length_parts), b = next(m.across_parts) * m.across_part;
    const int64_t first = next(m.lines_parts) * m.lines_part;
    const int64_t l = part * m.length_part, l_end = part + 1 == m.length_parts ? m.length : l + m.length_part;
    const T* x = reinterpret_cast<const T*>(m.x) + l * m.x_length + b * m.x_across + first * m.x_line;
    T* out = reinterpret_cast<T*>(m.out) + l * m.out_length + b * m.out_across + first * m.out_line;
    for (int d = m.outer - 1; d >= 0; --d) {
      const int64_t i = next(m.size[d]);
      x += i * m.x_step[d];
      out += i * m.out_step[d];
    }
    const int64_t length = l_end - l, across = least(m.across - b, m.across_part);
    const int64_t lines = least(m.lines - first, m.lines_part);
    lines_of(m, x, out, length, across, lines);
  }
  if (m.past_caches) stream_fence();
}

}  // namespace

#define HP_NAME2(isa) move_##isa
#define HP_NAME(isa) HP_NAME2(isa)
void HP_NAME(HP_ISA)(const Move& m, int64_t begin, int64_t end);
void HP_NAME(HP_ISA)(const Move& m, int64_t begin, int64_t end) {
  switch (m.bytes) {
    case 1: return run_units<uint8_t>(m, begin, end);
    case 2: return run_units<uint16_t>(m, begin, end);
    case 4: return run_units<uint32_t>(m, begin, end);
    case 8: return run_units<uint64_t>(m, begin, end);
  }
}

}  // namespace hp
