// SPDX-License-Identifier: MIT
// Elements between margins of a known value, or in an allocation as long as they are, where a sanitizer sees one too many.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

template <class T>
struct Guarded {
  static constexpr int64_t kMargin = 1024 / int64_t(sizeof(T));
  std::vector<T> all;
  int64_t margin;
  T guard;

  Guarded(int64_t count, bool margins, T value) : margin(margins ? kMargin : 0), guard(value) {
    all.assign(size_t(count + 2 * margin), value);
    all.shrink_to_fit();
  }
  T* data() { return all.data() + margin; }
  int64_t size() const { return int64_t(all.size()) - 2 * margin; }
  bool kept() const {
    for (int64_t i = 0; i < margin; ++i)
      if (std::memcmp(&all[size_t(i)], &guard, sizeof(T)) || std::memcmp(&all[all.size() - 1 - size_t(i)], &guard, sizeof(T))) return false;
    return true;
  }
};
