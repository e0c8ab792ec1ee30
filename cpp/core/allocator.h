// The CPU's caching allocator.
#pragma once

#include <cstdint>

#include "core/device.h"

namespace lamina {

extern const Allocator kCpuAllocator;

// Whether freed memory is kept for reuse. Not under AddressSanitizer: it would hide a use after
// free.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kCaching = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kCaching = false;
#else
inline constexpr bool kCaching = true;
#endif
#else
inline constexpr bool kCaching = true;
#endif

struct AllocatorStats {
  int64_t live_bytes;    // handed out now
  int64_t cached_bytes;  // held for reuse
  int64_t peak_bytes;    // most ever live at once in blocks above 1 KiB, and the small ones of now
  int64_t system_calls;  // allocations that had to ask the system
};
AllocatorStats allocator_stats();
// Gives every cached block back to the system.
void empty_cache();

}  // namespace lamina
