// SPDX-License-Identifier: MIT
#pragma once

#include "job.hh"

namespace hp {

const Isa* current_isa();  // null if the processor runs none of the copies

// Whether v4's copy may pick single bytes from wide registers, which not every processor of that level can. Tests turn it off.
bool permutes_bytes();
void set_permutes_bytes(bool allowed);

}  // namespace hp
