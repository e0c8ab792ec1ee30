// The CPU's caching allocator.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace lamina {

extern const Allocator kCpuAllocator;

struct AllocatorStats {
  int64_t live_bytes;    // handed out now
  int64_t cached_bytes;  // held for reuse
  int64_t peak_bytes;    // most ever live at once
  int64_t system_calls;  // allocations that had to ask the system
};
AllocatorStats allocator_stats();
// Gives every cached block back to the system.
void empty_cache();

}  // namespace lamina
