// A lock for a few instructions: one atomic exchange where a mutex takes two, and no call.
#pragma once

#include <atomic>
#include <thread>

#include "core/sharing.h"

namespace lamina {

class SpinLock {
 public:
  void lock() noexcept {
    while (flag_.test_and_set(std::memory_order_acquire)) {
      // Whoever has it may have lost its core, or be at a large gradient: let others run.
      for (int spins = 0; flag_.test(std::memory_order_relaxed); ++spins)
        if (spins >= 64) std::this_thread::yield();
    }
  }
  void unlock() noexcept { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag flag_;
};

// The same for what only threads touch that are counted (core/sharing.h), and never across a call
// into the host: no lock at all while the host's keeps the others out.
class SharedLock : public SpinLock {
 public:
  void lock() noexcept {
    if (shared()) SpinLock::lock();
  }
};

}  // namespace lamina
