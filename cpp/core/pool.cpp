#include "core/pool.h"

#include <atomic>
#include <mutex>
#include <new>

#include "core/allocator.h"

namespace lamina {
namespace {

constexpr size_t kStep = 64;
constexpr size_t kLists = kLargestPooled / kStep;
constexpr unsigned kLongest = 64;  // objects that a list keeps

struct Free {
  Free* next;
};

// Plain data, so that reaching it needs no check whether it is there yet.
struct ThreadPool {
  Free* first[kLists];
  unsigned length[kLists];
  std::atomic<int64_t> counted, waiting;  // in bytes; written by its thread alone
  ThreadPool* next;                       // of those that are watched
  bool watched;  // it has been used, and will be emptied at the thread's end
  bool closed;   // it has been emptied: what is freed now goes back at once
};
constinit thread_local ThreadPool t_pool{};

// Never destroyed: threads may end after every static.
struct Pools {
  std::mutex mutex;
  ThreadPool* first = nullptr;
  std::atomic<int64_t> counted{0};  // by threads that have ended
  std::atomic<int64_t> system_calls{0};
};
Pools& pools() {
  static Pools* const p = new Pools;
  return *p;
}

// Looked up once a call: a library's thread-local variable is a call itself, and the compiler makes
// one for every member.
ThreadPool& thread_pool() {
  ThreadPool* pool = &t_pool;
  asm("" : "+r"(pool));
  return *pool;
}

size_t list_of(size_t bytes) { return bytes == 0 ? 0 : (bytes - 1) / kStep; }
int64_t size_of(size_t list) { return static_cast<int64_t>((list + 1) * kStep); }

void grow(std::atomic<int64_t>& own, int64_t by) {
  own.store(own.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

void* from_system(size_t list) noexcept {
  pools().system_calls.fetch_add(1, std::memory_order_relaxed);
  return ::operator new(static_cast<size_t>(size_of(list)), std::align_val_t{kStep}, std::nothrow);
}

void to_system(void* object) noexcept { ::operator delete(object, std::align_val_t{kStep}); }

// At the end of a thread.
struct Reaper {
  ~Reaper() {
    empty_pool();
    t_pool.closed = true;
    Pools& p = pools();
    const std::lock_guard lock(p.mutex);
    ThreadPool** at = &p.first;
    while (*at != &t_pool) at = &(*at)->next;
    *at = t_pool.next;
    p.counted.fetch_add(t_pool.counted.exchange(0, std::memory_order_relaxed));
  }
};

[[gnu::noinline, gnu::cold]] void watch() noexcept {
  thread_local Reaper reaper;
  static_cast<void>(&reaper);
  Pools& p = pools();
  const std::lock_guard lock(p.mutex);
  t_pool.watched = true;
  t_pool.next = p.first;
  p.first = &t_pool;
}

void count(ThreadPool& pool, int64_t bytes) noexcept {
  if (pool.closed) [[unlikely]] {
    pools().counted.fetch_add(bytes, std::memory_order_relaxed);
    return;
  }
  if (!pool.watched) [[unlikely]]
    watch();
  grow(pool.counted, bytes);
}

}  // namespace

void* pool_take(size_t bytes, bool counted) noexcept {
  const size_t list = list_of(bytes);
  ThreadPool& pool = thread_pool();
  Free* const object = pool.first[list];
  if (object) [[likely]] {
    pool.first[list] = object->next;
    --pool.length[list];
    grow(pool.waiting, -size_of(list));
    if (counted) count(pool, size_of(list));
    return object;
  }
  void* const fresh = from_system(list);
  if (counted && fresh) count(pool, size_of(list));
  return fresh;
}

void pool_give(void* object, size_t bytes, bool counted) noexcept {
  const size_t list = list_of(bytes);
  ThreadPool& pool = thread_pool();
  if (counted) count(pool, -size_of(list));
  if (!kCaching || pool.length[list] == kLongest || pool.closed) return to_system(object);
  if (!pool.watched) [[unlikely]]
    watch();
  auto* const free = static_cast<Free*>(object);
  free->next = pool.first[list];
  pool.first[list] = free;
  ++pool.length[list];
  grow(pool.waiting, size_of(list));
}

PoolStats pool_stats() noexcept {
  Pools& p = pools();
  const std::lock_guard lock(p.mutex);
  PoolStats s{p.counted.load(std::memory_order_relaxed), 0,
              p.system_calls.load(std::memory_order_relaxed)};
  for (const ThreadPool* pool = p.first; pool; pool = pool->next) {
    s.counted_bytes += pool->counted.load(std::memory_order_relaxed);
    s.waiting_bytes += pool->waiting.load(std::memory_order_relaxed);
  }
  return s;
}

void empty_pool() noexcept {
  for (size_t list = 0; list < kLists; ++list) {
    while (Free* const object = t_pool.first[list]) {
      t_pool.first[list] = object->next;
      to_system(object);
    }
    t_pool.length[list] = 0;
  }
  t_pool.waiting.store(0, std::memory_order_relaxed);
}

void* Pooled::operator new(size_t bytes) {
  void* const object = bytes <= kLargestPooled ? pool_take(bytes) : ::operator new(bytes);
  if (!object) throw std::bad_alloc();
  return object;
}

void Pooled::operator delete(void* object, size_t bytes) noexcept {
  if (bytes <= kLargestPooled)
    pool_give(object, bytes);
  else
    ::operator delete(object);
}

}  // namespace lamina
