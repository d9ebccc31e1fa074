// SPDX-License-Identifier: MIT
// Copies whose bytes repeat one short permutation, from registers to registers: plain data, made by permute.cc, run by permuting.hh.
//
// Along an axis of `pixels`, the one side is dense (a pixel follows the other), and the other is one or more streams, each of which
// is dense too: the rows of a picture whose channels are packed, the planes of one whose channels alternate. A group of pixels has
// stores at places of its own, each of a register whose bytes are picked from a few others, its terms. All of them lie within the
// group, and the last group overlaps the one before it: nothing else is touched, and there are no remainders.
#pragma once

#include <cstdint>
#include <vector>

namespace hp {

struct Axis {
  int64_t size, x, out;  // strides in elements
};

constexpr int kMostStores = 48, kMostTerms = 512;
constexpr int kMostStreams = 16;

struct Permutation {
  int width;                  // bytes of a register: 64 where lanes of `granule` bytes can be picked from all of it, else 16
  int granule;
  int64_t pixels;             // of a group
  int64_t x_pixel, out_pixel; // bytes of a pixel (in each stream)
  int stores;
  struct Store {
    int64_t out;              // from the group's first byte
    int first, terms;
  } store[kMostStores];
  int64_t x[kMostTerms];      // the register that a term reads, from the group's first byte
  uint64_t taken[kMostTerms]; // width 64: lanes of the result that are the term's
  alignas(64) uint8_t index[kMostTerms * 16];  // width 64: lanes, by store; 16: bytes, by term, 128 where they are another's
};

struct Registers {
  int bytes;  // of the widest
  int least;  // bytes of lanes that can be picked from all of a register of 64
};

// Takes the axes that such a permutation serves out of `axes`, the pixels' into `walk`; null if there is none that is worth it.
// `bytes`: of an element. The permutation is the calling thread's until it asks again.
const Permutation* find_permutation(std::vector<Axis>& axes, const Registers& registers, int bytes, Axis& walk);

}  // namespace hp
