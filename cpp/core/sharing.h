// Counters that several threads may change at once, and that most programs change from one.
//
// A locked instruction costs what twenty others do; references alone are counted some 500 times in
// a small training step, a third of its time. Where a host language lets one thread at a time in
// (Python's GIL), plain instructions do as well, except while some thread works outside of it. So
// the host takes the count of such threads down to 0 when it loads the library, and whoever leaves
// the host's lock, still holding it, counts himself first and, back in it, out again. Whoever holds
// the lock therefore knows whether anybody is outside; whoever is outside counts.
//
// Without a host everybody is outside: the count starts at 1.
#pragma once

#include <atomic>

namespace lamina {

inline std::atomic<int> g_outside{1};

inline bool shared() noexcept { return g_outside.load(std::memory_order_relaxed) != 0; }

// Under the host's lock.
inline void host_has_lock() noexcept { g_outside.fetch_sub(1, std::memory_order_relaxed); }
inline void leave_host_lock() noexcept { g_outside.fetch_add(1, std::memory_order_relaxed); }
inline void enter_host_lock() noexcept { g_outside.fetch_sub(1, std::memory_order_relaxed); }

// counter += by, and what it was.
template <class T>
inline T add(std::atomic<T>& counter, T by, std::memory_order order) noexcept {
  if (shared()) return counter.fetch_add(by, order);
  const T before = counter.load(std::memory_order_relaxed);
  counter.store(static_cast<T>(before + by), std::memory_order_relaxed);
  return before;
}

}  // namespace lamina
