// parallel_for: the only thing in the library that runs work on other threads.
//
// [0, n) is cut into blocks [k*grain, min(n, (k+1)*grain)). The cut depends on (n, grain) alone, so
// work that gives each block its own outputs has the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace lamina {

inline constexpr int kMaxThreads = 256;

// The number of threads a parallel_for may use, the caller included. The first call settles the
// default: LAMINA_NUM_THREADS, else OMP_NUM_THREADS, else what affinity and the cgroup quota leave.
// Raises ValueError, naming the variable, if the one that applies is not a positive integer.
int num_threads();

// Takes effect from the next parallel_for. Raises ValueError unless 1 <= n <= kMaxThreads.
void set_num_threads(int n);

// True inside a block of a parallel_for that has several blocks; a parallel_for called there runs
// on the calling thread.
bool in_parallel_region();

namespace detail {

// A non-owning reference to a callable (int64_t begin, int64_t end).
class RangeFn {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, RangeFn>)
  explicit RangeFn(F& fn)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(fn)))),
        call_([](void* object, int64_t begin, int64_t end) {
          (*static_cast<F*>(object))(begin, end);
        }) {}

  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int64_t);
};

void run_blocks(int64_t n, int64_t grain, RangeFn fn);

// What the two variables ask for (null: unset), or `fallback` if neither is set.
int threads_from_env(const char* lamina_num_threads, const char* omp_num_threads, int fallback);

}  // namespace detail

// Calls fn(begin, end) once for every block and returns when all have ended. Blocks may run on any
// thread, in any order. If blocks throw, the exception of the first of them (in block order) leaves
// parallel_for after the region is over; blocks after it may not have run. A grain below 1 counts
// as 1. A single block is a plain call: no thread, no lock, no region.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& fn) {
  if (n <= 0) return;
  if (n <= grain || n == 1) {
    fn(int64_t{0}, n);
    return;
  }
  detail::run_blocks(n, grain, detail::RangeFn(fn));
}

}  // namespace lamina
