// SPDX-License-Identifier: MIT
#pragma once

#include "job.hh"

namespace hp {

const Isa* current_isa();  // null if the processor runs none of the copies

}  // namespace hp
