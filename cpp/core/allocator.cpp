// Blocks are cached by size class, so that a steady training step asks the system for nothing.
//
// Classes: multiples of 64 bytes up to 1 KiB, then eight steps to each power of two (at most 12.5%
// waste). A freed block is kept unless the cache would then hold more than was ever live at once,
// and 64 MiB for what earlier phases left: a program that shrinks gives memory back, one in a loop
// never does.
#include "core/allocator.h"

#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>
#include <vector>

namespace lamina {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // a reused block would hide a use after free
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif
#else
constexpr bool kCaching = true;
#endif

constexpr size_t kAlignment = 64;
constexpr size_t kFine = 1024;  // below it, one class for each 64 bytes
constexpr int kSteps = 8;
constexpr int kClasses = 16 + kSteps * 54;  // every size that has 64 bits
constexpr int64_t kCacheSlack = int64_t{64} << 20;

struct SizeClass {
  int index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  if (bytes <= kFine) {
    const size_t blocks = bytes == 0 ? 1 : (bytes + kAlignment - 1) / kAlignment;
    return {static_cast<int>(blocks - 1), blocks * kAlignment};
  }
  const int top = std::bit_width(bytes - 1) - 1;  // 2^top < bytes <= 2^(top+1)
  const size_t step = (size_t{1} << top) / kSteps;
  const size_t over = (bytes - (size_t{1} << top) + step - 1) / step;  // 1..kSteps
  return {16 + (top - 10) * kSteps + static_cast<int>(over) - 1, (size_t{1} << top) + over * step};
}

class SpinLock {
 public:
  void lock() noexcept {
    while (flag_.test_and_set(std::memory_order_acquire))
      while (flag_.test(std::memory_order_relaxed)) {
      }
  }
  void unlock() noexcept { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag flag_;
};

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
  const int64_t live = c.live.load();
  return {live, c.held.load() - live, c.peak.load(), c.system_calls.load()};
}

void empty_cache() {
  Cache& c = cache();
  for (int i = 0; i < kClasses; ++i) {
    c.locks[i].lock();
    FreeBlock* block = std::exchange(c.free[i], nullptr);
    c.locks[i].unlock();
    while (block) {
      FreeBlock* next = block->next;
      // The class size is only needed for the count; recover it from the class index.
      std::free(block);
      block = next;
      c.held.fetch_sub(i < 16 ? (i + 1) * 64
                              : (int64_t{1} << (10 + (i - 16) / kSteps)) / kSteps *
                                    (kSteps + (i - 16) % kSteps + 1),
                       std::memory_order_relaxed);
    }
  }
}

}  // namespace lamina
