// SPDX-License-Identifier: MIT
// Kernel 3, compiled once per instruction set. See move.hh for the data and rearrange.hh for the contract.
#include "move.hh"
#include "shuffle.hh"

namespace hp {
namespace {

template <class T, int K>
void zip(const T* x, const int64_t* stream, T* out, int64_t n) {
  constexpr int L = kMoved<T>;
  using R = Vec<T, L>;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
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
  for (; i < n; ++i)
    for (int k = 0; k < K; ++k) out[i * K + k] = x[stream[k] + i];
}

template <class T, int K>
void unzip(const T* x, const int64_t* stream, T* out, int64_t n) {
  constexpr int L = kMoved<T>;
  using R = Vec<T, L>;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
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
  for (; i < n; ++i)
    for (int k = 0; k < K; ++k) out[stream[k] + i] = x[i * K + k];
}

template <class T>
void zip_any(const Move& m, const T* x, T* out, int64_t n) {
  switch (m.ways) {
    case 2: return zip<T, 2>(x, m.stream, out, n);
    case 3: return zip<T, 3>(x, m.stream, out, n);
    case 4: return zip<T, 4>(x, m.stream, out, n);
    case 8: return zip<T, 8>(x, m.stream, out, n);
    case 16: return zip<T, 16>(x, m.stream, out, n);
  }
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < m.ways; ++k) out[i * m.ways + k] = x[m.stream[k] + i];
}

template <class T>
void unzip_any(const Move& m, const T* x, T* out, int64_t n) {
  switch (m.ways) {
    case 2: return unzip<T, 2>(x, m.stream, out, n);
    case 3: return unzip<T, 3>(x, m.stream, out, n);
    case 4: return unzip<T, 4>(x, m.stream, out, n);
    case 8: return unzip<T, 8>(x, m.stream, out, n);
    case 16: return unzip<T, 16>(x, m.stream, out, n);
  }
  for (int k = 0; k < m.ways; ++k) {
    T* to = out + m.stream[k];
    for (int64_t i = 0; i < n; ++i) to[i] = x[i * m.ways + k];
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

// Blocks of n elements, one after the other in `dense`, `step` apart in `apart`. Blocks shorter than a register are copied as a
// whole one where something follows that may be read or will be written later: `room` elements from the first block on.
template <class T, bool kScatter>
void blocks(T* dense, T* apart, int64_t step, int64_t n, int64_t count, int64_t room) {
  constexpr int L = 16 / int(sizeof(T));
  using R = Vec<T, L>;
  int64_t p = 0;
  if (n < L) {
    for (; p < count && p * step + L <= room && p * n + L <= count * n; ++p) {
      if constexpr (kScatter) store_as(apart + p * step, load_as<R>(dense + p * n));
      else store_as(dense + p * n, load_as<R>(apart + p * step));
    }
  }
  for (; p < count; ++p) {
    T* a = dense + p * n;
    T* b = apart + p * step;
    int64_t i = 0;
    for (; i + L <= n; i += L) {
      if constexpr (kScatter) store_as(b + i, load_as<R>(a + i));
      else store_as(a + i, load_as<R>(b + i));
    }
    for (; i < n; ++i) (kScatter ? b : a)[i] = (kScatter ? a : b)[i];
  }
}

template <class T>
void zip_blocks(const Move& m, const T* x, T* out, int64_t count) {
  alignas(64) T kept[kBlocksBytes / sizeof(T)];
  const int64_t n = m.across, run = count * n;
  Move flat = m;
  for (int k = 0; k < m.ways; ++k) {
    blocks<T, false>(kept + k * run, const_cast<T*>(x) + m.stream[k], m.x_length, n, count, (count - 1) * m.x_length + n);
    flat.stream[k] = k * run;
  }
  zip_any(flat, kept, out, run);
}

template <class T>
void unzip_blocks(const Move& m, const T* x, T* out, int64_t count) {
  alignas(64) T kept[kBlocksBytes / sizeof(T)];
  const int64_t n = m.across, run = count * n;
  Move flat = m;
  for (int k = 0; k < m.ways; ++k) flat.stream[k] = k * run;
  unzip_any(flat, x, kept, run);
  constexpr int L = 16 / int(sizeof(T));
  using R = Vec<T, L>;
  int64_t p = 0;
  if (m.spills && n < L) {  // pixel by pixel: what one block spills, the next ones of its row replace
    const int64_t last = count - 1 - (L + n - 1) / n;
    for (; p < last; ++p)
      for (int k = 0; k < m.ways; ++k) store_as(out + m.stream[k] + p * m.out_length, load_as<R>(kept + k * run + p * n));
  }
  for (int k = 0; k < m.ways; ++k)
    blocks<T, true>(kept + k * run + p * n, out + m.stream[k] + p * m.out_length, m.out_length, n, count - p, 0);
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
void line(const Move& m, const T* x, T* out, int64_t length, int64_t across) {
  switch (m.shape) {
    case Shape::rows: return copy_row(x, out, length);
    case Shape::zip: return zip_any(m, x, out, length);
    case Shape::unzip: return unzip_any(m, x, out, length);
    case Shape::zip_blocks: return zip_blocks(m, x, out, length);
    case Shape::unzip_blocks: return unzip_blocks(m, x, out, length);
    case Shape::turn: return turn(x, m.x_across, out, m.out_length, length, across);
    case Shape::single:
      for (int64_t i = 0; i < length; ++i) out[i * m.out_length] = x[i * m.x_length];
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
    const int64_t l = next(m.length_parts) * m.length_part, b = next(m.across_parts) * m.across_part;
    const int64_t first = next(m.lines_parts) * m.lines_part;
    const T* x = reinterpret_cast<const T*>(m.x) + l * m.x_length + b * m.x_across + first * m.x_line;
    T* out = reinterpret_cast<T*>(m.out) + l * m.out_length + b * m.out_across + first * m.out_line;
    for (int d = m.outer - 1; d >= 0; --d) {
      const int64_t i = next(m.size[d]);
      x += i * m.x_step[d];
      out += i * m.out_step[d];
    }
    const int64_t length = least(m.length - l, m.length_part), across = least(m.across - b, m.across_part);
    const int64_t lines = least(m.lines - first, m.lines_part);
    for (int64_t j = 0; j < lines; ++j) line(m, x + j * m.x_line, out + j * m.out_line, length, across);
  }
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
