// Where the small objects of a step come from: tensors, storages, nodes, records and the memory of
// small tensors, made and freed by the dozen each time. Freed ones wait in lists of the thread that
// freed them, one list for each 64 bytes of size: no lock, no locked instruction, none of malloc's
// bookkeeping is in their way.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina {

inline constexpr size_t kLargestPooled = 1024;

// 64-byte aligned; `bytes` at most kLargestPooled. Null when the system has no more. What is taken
// or given for a tensor is counted: each thread has a sum of its own, negative where it frees what
// others made.
void* pool_take(size_t bytes, bool counted = false) noexcept;
void pool_give(void* object, size_t bytes, bool counted = false) noexcept;

struct PoolStats {
  int64_t counted_bytes;  // of tensors in use
  int64_t waiting_bytes;  // in the lists
  int64_t system_calls;   // how often the system was asked
};
PoolStats pool_stats() noexcept;
// Gives back what waits in the calling thread's lists.
void empty_pool() noexcept;

// What derives from this is made in the pool. Deleted through a base, its destructor is virtual.
class Pooled {
 public:
  static void* operator new(size_t bytes);
  static void* operator new(size_t, void* place) noexcept { return place; }
  static void operator delete(void* object, size_t bytes) noexcept;
};

}  // namespace lamina
