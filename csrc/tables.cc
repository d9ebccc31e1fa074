// SPDX-License-Identifier: MIT
#include "tables.hh"

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_map>

namespace hp {
namespace {

int wide_bytes(Wide wide) { return wide == Wide::real64 ? 8 : 4; }

void put(char* to, Wide wide, double value) {
  if (wide == Wide::real64) {
    std::memcpy(to, &value, 8);
  } else if (wide == Wide::int32) {
    auto v = static_cast<int32_t>(value);
    std::memcpy(to, &v, 4);
  } else {
    auto v = static_cast<float>(value);
    std::memcpy(to, &v, 4);
  }
}

std::vector<char> cast(const std::vector<double>& values, Wide wide) {
  std::vector<char> out(values.size() * wide_bytes(wide));
  for (size_t i = 0; i < values.size(); ++i) put(out.data() + i * wide_bytes(wide), wide, values[i]);
  return out;
}

}  // namespace

// Lines keep the indices of a periodic pass unwrapped (up to 2 n_in), so that consecutive indices stay distinct modulo a small
// ring of cached rows; they are wrapped where the source is addressed. Along the row they are wrapped here.
void TapVectors::build(const PassSpec& pass, Wide wide, bool unwrapped) {
  first.assign(1, 0);
  first.reserve(pass.n_out + 1);
  int64_t window = 1;
  int longest = 0;
  selects = pass.bias.empty() && pass.post.kind == Post::none;
  for (int64_t o = 0; o < pass.n_out; ++o) {
    const double* w = pass.weight.data() + o * pass.taps;
    for (int k = 0; k < pass.taps; ++k) {
      if (w[k] == 0) continue;
      int64_t i = pass.start[o] + k;
      if (!unwrapped && i >= pass.n_in) i -= pass.n_in;
      index.push_back(i);
      weight.push_back(w[k]);
    }
    int64_t begin = first.back(), end = int64_t(index.size());
    first.push_back(end);
    longest = std::max(longest, int(end - begin));
    if (end - begin != 1 || weight.back() != 1) selects = false;
    if (end > begin) window = std::max(window, std::abs(index[end - 1] - index[begin]) + 1);
  }
  int64_t reach = 1;
  for (int64_t o = 0; o < pass.n_out; ++o) {
    const int64_t begin = first[o], end = first[std::min(o + kTogether, pass.n_out)];
    if (begin == end) continue;
    auto [low, high] = std::minmax_element(index.begin() + begin, index.begin() + end);
    reach = std::max(reach, *high - *low + 1);
  }
  weight_cast = cast(weight, wide);
  bias_cast = cast(pass.bias, wide);
  list = {pass.n_in, pass.n_out, first.data(), index.data(), weight_cast.data(), pass.bias.empty() ? nullptr : bias_cast.data(), longest, window, reach};
}

void FlatVectors::build(const PassSpec& pass, const TapVectors& taps, Wide wide, int channels, int register_bytes, bool permutes) {
  const int bytes = wide_bytes(wide);
  lanes = register_bytes / bytes;
  const int64_t C = channels, L = lanes, n_in = pass.n_in, row_in = n_in * C, row_out = pass.n_out * C, blocks = (row_out + L - 1) / L;
  struct Block {
    int64_t base = 0;
    int reach = 0, taps = 1, sharing = 1;
    bool masked = false, listed = false;
  };
  std::vector<Block> block(blocks);
  std::vector<int64_t> start(pass.n_out);
  std::vector<int> count(pass.n_out);
  for (int64_t o = 0; o < pass.n_out; ++o) {  // the window between the first and the last nonzero tap
    int64_t a = taps.first[o], b = taps.first[o + 1];
    start[o] = a < b ? taps.index[a] : -1;
    count[o] = a < b ? int((taps.index[b - 1] - taps.index[a] + n_in) % n_in) + 1 : 0;
  }
  int most = 1;
  std::vector<int64_t> lane_start(blocks * L);
  need_low.resize(blocks);
  need_high.resize(blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    Block& it = block[b];
    const int64_t j0 = b * L, j1 = std::min(j0 + L, row_out);
    for (int64_t o = j0 / C; o <= (j1 - 1) / C; ++o) {
      it.taps = std::max(it.taps, count[o]);
      if (start[o] >= 0 && start[o] + count[o] > n_in) it.listed = true;
    }
    if (it.listed) {
      need_low[b] = 0;
      need_high[b] = row_in;
      continue;
    }
    most = std::max(most, it.taps);
    int64_t low = INT64_MAX, high = 0;
    for (int64_t j = j0; j < j1; ++j) {
      int64_t s = start[j / C];
      if (s >= 0) s = std::min(s, n_in - it.taps);  // the whole window of it.taps stays inside the row
      lane_start[j] = s < 0 ? -1 : s * C + j % C;
      if (s >= 0) low = std::min(low, lane_start[j]), high = std::max(high, lane_start[j]);
    }
    if (low == INT64_MAX) low = high = 0;
    const int64_t span = high - low + 1;
    it.reach = !permutes ? 0 : span <= L ? 1 : span <= 2 * L ? 2 : span <= 4 * L ? 4 : 0;
    const int64_t read = it.reach ? it.reach * L : span, tail = (it.taps - 1) * C;
    it.base = std::max<int64_t>(0, std::min(low, row_in - tail - read));
    const int64_t last = high - it.base;
    if (it.reach) it.sharing = last + 3 * C < it.reach * L ? 4 : last + C < it.reach * L ? 2 : 1;
    need_low[b] = it.base;
    need_high[b] = it.base + tail + read;
  }
  table.pattern_bytes = register_bytes + L * 4 + int64_t(most) * register_bytes;
  std::unordered_map<std::string, int32_t> seen;
  base.resize(blocks);
  pattern.resize(blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    Block& it = block[b];
    base[b] = it.base;
    if (it.listed) continue;
    std::string bits(table.pattern_bytes, '\0');
    char* index = bits.data();
    char* lane = index + register_bytes;
    char* weight = lane + L * 4;
    for (int64_t i = 0; i < L; ++i) {
      const int64_t j = b * L + i, o = j / C;
      const bool valid = j < row_out && lane_start[j] >= 0;
      const int64_t at = valid ? lane_start[j] - it.base : 0;
      std::memcpy(index + i * bytes, &at, bytes);  // little-endian, or reach is 0 and index unused
      const auto at32 = int32_t(at);
      std::memcpy(lane + i * 4, &at32, 4);
      for (int k = 0; k < it.taps; ++k) {
        double w = 0;
        if (valid) {
          int64_t input = lane_start[j] / C + k, from = taps.first[o], to = taps.first[o + 1];
          auto found = std::lower_bound(taps.index.begin() + from, taps.index.begin() + to, input);
          if (found != taps.index.begin() + to && *found == input) w = taps.weight[found - taps.index.begin()];
        }
        put(weight + k * register_bytes + i * bytes, wide, w);
        if (w == 0) it.masked = true;
      }
    }
    auto [entry, added] = seen.try_emplace(bits, int32_t(seen.size()));
    if (added) patterns.insert(patterns.end(), bits.begin(), bits.end());
    pattern[b] = entry->second;
  }
  for (int64_t b = 0; b < blocks; ++b) {
    const Block& it = block[b];
    if (!runs.empty()) {
      Run& last = runs.back();
      if (last.reach == it.reach && last.sharing == it.sharing && last.taps == it.taps && last.masked == it.masked && last.listed == it.listed) {
        last.end = b + 1;
        continue;
      }
    }
    runs.push_back({b, b + 1, it.reach, it.taps, it.sharing, it.masked, it.listed});
  }
  if (!pass.bias.empty()) {
    bias.resize(blocks * L * bytes);
    for (int64_t j = 0; j < blocks * L; ++j) put(bias.data() + j * bytes, wide, j < row_out ? pass.bias[j / C] : 0.0);
  }
  table.blocks = blocks;
  table.base = base.data();
  table.pattern = pattern.data();
  table.patterns = patterns.data();
  table.runs = runs.data();
  table.run_count = int64_t(runs.size());
  table.bias = bias.empty() ? nullptr : bias.data();
  table.stride = channels;
}

void CopyVectors::build(const TapVectors& taps, int64_t channels, int element_bytes, bool by_blocks) {
  source = taps.index;  // one tap an output
  const int64_t pixel = channels * element_bytes, row_in = taps.list.n_in * pixel, row_out = taps.list.n_out * pixel;
  table.blocks = 0;
  if (by_blocks) {
    const int64_t blocks = (row_out + 15) / 16;
    base.assign(blocks, -1);
    lane.assign(blocks * 16, 0);
    need_low.resize(blocks);
    need_high.resize(blocks);
    for (int64_t b = 0; b < blocks; ++b) {
      int64_t at[16], low = INT64_MAX, high = 0;
      const int64_t count = std::min<int64_t>(16, row_out - b * 16);
      for (int64_t i = 0; i < count; ++i) {
        int64_t j = b * 16 + i;
        at[i] = source[j / pixel] * pixel + j % pixel;
        low = std::min(low, at[i]);
        high = std::max(high, at[i]);
      }
      if (high - low < 16 && row_in >= 16) {
        base[b] = std::min(low, row_in - 16);
        for (int64_t i = 0; i < count; ++i) lane[b * 16 + i] = uint8_t(at[i] - base[b]);
        low = base[b];
        high = base[b] + 15;
      }
      need_low[b] = low / element_bytes;
      need_high[b] = high / element_bytes + 1;
    }
    table.blocks = blocks;
  }
  table.base = base.data();
  table.lane = lane.data();
  table.source = source.data();
}

}  // namespace hp
