// Blocks are cached by size class, so that a steady training step asks the system for nothing.
//
// Up to 1 KiB they come from the pool. Classes above: eight steps to each power of two (at
// most 12.5% waste). A freed block is kept unless the cache would then hold more than was ever live
// at once, and 64 MiB for what earlier phases left: a program that shrinks gives memory back, one
// in a loop never does.
#include "core/allocator.h"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

#include "core/pool.h"
#include "core/spin_lock.h"

namespace lamina {
namespace {

constexpr size_t kAlignment = 64;
constexpr int kSteps = 8;
constexpr int kFirst = 10;  // the power of two that is the pool's largest
constexpr int kClasses = kSteps * (64 - kFirst);
static_assert(kLargestPooled == size_t{1} << kFirst);
constexpr int64_t kCacheSlack = int64_t{64} << 20;

struct SizeClass {
  int index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  const int top = std::bit_width(bytes - 1) - 1;  // 2^top < bytes <= 2^(top+1)
  const size_t step = (size_t{1} << top) / kSteps;
  const size_t over = (bytes - (size_t{1} << top) + step - 1) / step;  // 1..kSteps
  return {(top - kFirst) * kSteps + static_cast<int>(over) - 1, (size_t{1} << top) + over * step};
}
// The bytes of a block of class i.
size_t class_bytes(int i) {
  const size_t top = size_t{1} << (kFirst + i / kSteps);
  return top + top / kSteps * static_cast<size_t>(i % kSteps + 1);
}

// A free block's first word links to the next one.
struct FreeBlock {
  FreeBlock* next;
};

struct Cache {
  SpinLock locks[kClasses];
  FreeBlock* free[kClasses] = {};
  std::atomic<int64_t> held{0};  // from the system: live or free
  std::atomic<int64_t> live{0};
  std::atomic<int64_t> peak{0};
  std::atomic<int64_t> system_calls{0};
};

// Never destroyed: storages may outlive every static.
Cache& cache() {
  static Cache* const c = new Cache;
  return *c;
}

FreeBlock* pop(Cache& c, int index) noexcept {
  c.locks[index].lock();
  FreeBlock* block = c.free[index];
  if (block) c.free[index] = block->next;
  c.locks[index].unlock();
  return block;
}

void add_live(Cache& c, int64_t bytes) noexcept {
  const int64_t live = c.live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = c.peak.load(std::memory_order_relaxed);
  while (live > peak && !c.peak.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
  }
}

void* allocate(Device, size_t bytes) {
  if (bytes <= kLargestPooled) {
    void* data = pool_take(bytes, true);
    if (!data) [[unlikely]] {
      empty_cache();
      data = pool_take(bytes, true);
    }
    check<MemoryError>(data != nullptr, "cannot allocate ", bytes, " bytes");
    return data;
  }
  Cache& c = cache();
  const SizeClass cls = size_class(bytes);
  if (kCaching) {
    if (FreeBlock* block = pop(c, cls.index)) {
      add_live(c, static_cast<int64_t>(cls.bytes));
      return block;
    }
  }
  c.system_calls.fetch_add(1, std::memory_order_relaxed);
  void* data = std::aligned_alloc(kAlignment, cls.bytes);
  if (!data && kCaching) {
    empty_cache();
    data = std::aligned_alloc(kAlignment, cls.bytes);
  }
  check<MemoryError>(data != nullptr, "cannot allocate ", bytes, " bytes");
  c.held.fetch_add(static_cast<int64_t>(cls.bytes), std::memory_order_relaxed);
  add_live(c, static_cast<int64_t>(cls.bytes));
  return data;
}

void deallocate(Device, void* data, size_t bytes) noexcept {
  if (bytes <= kLargestPooled) return pool_give(data, bytes, true);
  Cache& c = cache();
  const SizeClass cls = size_class(bytes);
  const auto size = static_cast<int64_t>(cls.bytes);
  const int64_t live = c.live.fetch_sub(size, std::memory_order_relaxed) - size;
  const int64_t limit = kCacheSlack + c.peak.load(std::memory_order_relaxed);
  if (!kCaching || c.held.load(std::memory_order_relaxed) - live > limit) {
    c.held.fetch_sub(size, std::memory_order_relaxed);
    std::free(data);
    return;
  }
  auto* block = static_cast<FreeBlock*>(data);
  c.locks[cls.index].lock();
  block->next = c.free[cls.index];
  c.free[cls.index] = block;
  c.locks[cls.index].unlock();
}

const Allocator* g_allocators[kDeviceKinds] = {&kCpuAllocator, nullptr};

}  // namespace

const Allocator kCpuAllocator = {allocate, deallocate};

const Allocator& allocator(DeviceKind kind) {
  const Allocator* a = g_allocators[static_cast<int>(kind)];
  check<RuntimeError>(a != nullptr,
                      "this build of lamina has no CUDA: reinstall with "
                      "-C cmake.define.LAMINA_CUDA=ON");
  return *a;
}

void register_allocator(DeviceKind kind, const Allocator* a) {
  g_allocators[static_cast<int>(kind)] = a;
}

AllocatorStats allocator_stats() {
  const Cache& c = cache();
  const PoolStats pool = pool_stats();
  const int64_t live = c.live.load();
  return {live + pool.counted_bytes, c.held.load() - live + pool.waiting_bytes,
          c.peak.load() + pool.counted_bytes, c.system_calls.load() + pool.system_calls};
}

void empty_cache() {
  Cache& c = cache();
  for (int i = 0; i < kClasses; ++i) {
    c.locks[i].lock();
    FreeBlock* block = std::exchange(c.free[i], nullptr);
    c.locks[i].unlock();
    while (block) {
      std::free(std::exchange(block, block->next));
      c.held.fetch_sub(static_cast<int64_t>(class_bytes(i)), std::memory_order_relaxed);
    }
  }
  empty_pool();
}

}  // namespace lamina
