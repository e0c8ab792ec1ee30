#include "core/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string_view>

#include "core/check.h"
#include "core/cpu_count.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lamina {
namespace {

// --- the floating-point state that a worker takes over from the caller: rounding, flush to zero
// ---

#if defined(__x86_64__)
using FpState = uint32_t;
constexpr FpState kFpStatusFlags = 0x3f;  // sticky exception flags: a result, not a setting
FpState fp_state() { return _mm_getcsr() & ~kFpStatusFlags; }
void set_fp_state(FpState state) { _mm_setcsr(state); }
#elif defined(__aarch64__)
using FpState = uint64_t;
FpState fp_state() {
  FpState state;
  asm volatile("mrs %0, fpcr" : "=r"(state));
  return state;
}
void set_fp_state(FpState state) { asm volatile("msr fpcr, %0" : : "r"(state)); }
#else
using FpState = int;
FpState fp_state() { return 0; }
void set_fp_state(FpState) {}
#endif

void cpu_relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// --- one parallel_for ---

struct Region {
  Region(int64_t n_, int64_t grain_, int64_t first_, int64_t count_, detail::RangeFn fn_)
      : n(n_), grain(grain_), first(first_), count(static_cast<uint32_t>(count_)), fn(fn_) {}

  const int64_t n;
  const int64_t grain;
  const int64_t first;   // index of the first block of this region within the whole parallel_for
  const uint32_t count;  // blocks in this region
  const detail::RangeFn fn;
  const FpState fp = fp_state();

  // The exception of the lowest block that threw. Blocks are claimed in order, so every block below
  // a failed one has been claimed before it and runs: the lowest is the same on any thread count.
  std::atomic<int64_t> failed_block{INT64_MAX};
  std::mutex error_mutex;
  std::exception_ptr error;

  void run(uint32_t claimed) noexcept {
    const int64_t block = first + claimed;
    if (block > failed_block.load(std::memory_order_relaxed)) return;
    try {
      const int64_t begin = block * grain;
      fn(begin, begin + std::min(grain, n - begin));
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (block < failed_block.load(std::memory_order_relaxed)) {
        error = std::current_exception();
        failed_block.store(block, std::memory_order_relaxed);
      }
    }
  }
};

// --- the pool ---

constexpr int kMaxWorkers = kMaxThreads - 1;
constexpr auto kSpin = std::chrono::microseconds(40);
constexpr size_t kStackBytes = size_t{8} << 20;

enum Signal : uint32_t { kIdle, kSignalled, kParked };

struct alignas(64) Worker {
  std::atomic<uint32_t> signal{kIdle};
};

// Trivially destructible and constant-initialised: nothing to destroy under a worker that is still
// asleep when the process exits, and a fork can put a fresh one in its place.
struct Pool {
  // Of the current region: (helpers wanted << 32) | blocks not yet claimed. A worker touches
  // nothing else of a region before it has taken a block out of here, and the caller leaves only
  // after all taken blocks are finished; so a worker that wakes late finds zero and does no harm.
  alignas(64) std::atomic<uint64_t> unclaimed{0};
  alignas(64) std::atomic<uint32_t> finished{0};  // blocks finished by workers
  std::atomic<uint32_t> caller{kIdle};            // kParked while the caller sleeps
  alignas(64) std::atomic<bool> busy{false};      // the owner may use what follows
  bool fork_handler = false;
  int spawned = 0;
  Region* region = nullptr;
  Worker workers[kMaxWorkers];
};

constinit Pool pool;
constinit std::atomic<uint64_t> generation{0};  // counts forks
constinit std::atomic<int> thread_count{0};     // 0: not settled yet
constinit std::atomic<int> spin_limit{0};       // more threads than this do not spin
constinit thread_local bool in_region = false;

template <class Done>
bool spin_until(Done done) {
  if (done()) return true;
  if (thread_count.load(std::memory_order_relaxed) > spin_limit.load(std::memory_order_relaxed)) {
    return false;
  }
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      cpu_relax();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

constexpr int64_t kNoBlock = -1;

// Takes the next block for participant `index` (the caller is -1, a worker its number).
int64_t claim(int index) {
  uint64_t word = pool.unclaimed.load(std::memory_order_relaxed);
  for (;;) {
    const auto left = static_cast<uint32_t>(word);
    const auto helpers = static_cast<int>(word >> 32);
    if (left == 0 || index >= helpers) return kNoBlock;
    if (pool.unclaimed.compare_exchange_weak(word, word - 1, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
      return pool.region->count - left;
    }
  }
}

void help(int index) {
  uint32_t done = 0;
  for (int64_t block; (block = claim(index)) != kNoBlock; ++done) {
    Region& region = *pool.region;
    if (done == 0) set_fp_state(region.fp);
    region.run(static_cast<uint32_t>(block));
  }
  if (done == 0) return;
  // Sequentially consistent, as are the caller's store to `caller` and its look at `finished`: one
  // of the two sees the other, so no wake-up is lost.
  pool.finished.fetch_add(done);
  if (pool.caller.load() == kParked) {
    pool.caller.store(kIdle);
    pool.caller.notify_one();
  }
}

void* worker_main(void* argument) {
  const auto index = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  std::atomic<uint32_t>& signal = pool.workers[index].signal;
  in_region = true;  // whatever runs here is part of a region
  for (;;) {
    const auto signalled = [&] { return signal.load(std::memory_order_acquire) == kSignalled; };
    if (!spin_until(signalled)) {
      uint32_t expected = kIdle;
      signal.compare_exchange_strong(expected, kParked);
      while (!signalled()) signal.wait(kParked);
    }
    // Back to idle before looking for work, and by an exchange, which sees what the signaller wrote
    // before: a signal from here on makes the loop go round again.
    signal.exchange(kIdle);
    help(index);
  }
  return nullptr;
}

// Starts workers until there are `wanted`; fewer than wanted is no error, only slower.
void spawn_workers(int wanted) {
  if (pool.spawned >= wanted) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all,
                  &before);  // inherited: signals stay with the program's threads
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  while (pool.spawned < wanted) {
    pthread_t thread;
    void* argument = reinterpret_cast<void*>(static_cast<intptr_t>(pool.spawned));
    if (pthread_create(&thread, &attributes, worker_main, argument) != 0) break;
#ifdef __linux__
    pthread_setname_np(thread, "lamina");
#endif
    ++pool.spawned;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// The child of a fork has none of the workers, whatever they were doing.
void after_fork_in_child() {
  new (&pool) Pool();
  pool.fork_handler = true;  // the registration is inherited
  generation.fetch_add(1);
}

void run_region(Region& region, int helpers) {
  if (!pool.fork_handler) {
    pthread_atfork(nullptr, nullptr, after_fork_in_child);
    pool.fork_handler = true;
  }
  spawn_workers(helpers);
  helpers = std::min(helpers, pool.spawned);
  const uint64_t started_in = generation.load();

  pool.region = &region;
  pool.finished.store(0, std::memory_order_relaxed);
  pool.caller.store(kIdle, std::memory_order_relaxed);
  pool.unclaimed.store((static_cast<uint64_t>(helpers) << 32) | region.count,
                       std::memory_order_release);
  for (int i = 0; i < helpers; ++i) {
    if (static_cast<uint32_t>(pool.unclaimed.load(std::memory_order_relaxed)) == 0) break;
    std::atomic<uint32_t>& signal = pool.workers[i].signal;
    if (signal.exchange(kSignalled) == kParked) signal.notify_one();
  }

  uint32_t own = 0;
  for (int64_t block; (block = claim(-1)) != kNoBlock; ++own) {
    region.run(static_cast<uint32_t>(block));
  }

  const bool forked = generation.load() != started_in;
  if (!forked) {
    const uint32_t by_workers = region.count - own;
    const auto complete = [&] { return pool.finished.load() == by_workers; };
    if (!spin_until(complete)) {
      for (;;) {
        pool.caller.store(kParked);
        if (complete()) break;
        pool.caller.wait(kParked);
      }
    }
  }
  pool.busy.store(false, std::memory_order_release);
  // A block forked and returned in the child: what the workers had taken is lost there.
  check<RuntimeError>(!forked, "parallel_for: the process was forked inside a parallel region");
}

void run_here(Region& region) {
  for (uint32_t i = 0; i < region.count && !region.error; ++i) region.run(i);
}

class RegionFlag {
 public:
  RegionFlag() : before_(in_region) { in_region = true; }
  ~RegionFlag() { in_region = before_; }
  RegionFlag(const RegionFlag&) = delete;
  RegionFlag& operator=(const RegionFlag&) = delete;

 private:
  bool before_;
};

int parse_threads(const char* variable, std::string_view value) {
  int threads = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, threads);
  const bool too_large = error == std::errc::result_out_of_range && value.front() != '-';
  check<ValueError>(
      (error == std::errc() || too_large) && stop == end && (too_large || threads >= 1), variable,
      ": expected a positive integer, got '", value, "'");
  return too_large ? kMaxThreads : std::min(threads, kMaxThreads);
}

}  // namespace

namespace detail {

int threads_from_env(const char* lamina_num_threads, const char* omp_num_threads, int fallback) {
  const auto is_set = [](const char* value) { return value != nullptr && *value != '\0'; };
  if (is_set(lamina_num_threads)) return parse_threads("LAMINA_NUM_THREADS", lamina_num_threads);
  if (is_set(omp_num_threads)) {
    // OpenMP allows one number for each level of nesting; ours is the outermost.
    std::string_view first = omp_num_threads;
    first = first.substr(0, first.find(','));
    while (first.ends_with(' ')) first.remove_suffix(1);
    while (first.starts_with(' ')) first.remove_prefix(1);
    return parse_threads("OMP_NUM_THREADS", first);
  }
  return std::clamp(fallback, 1, kMaxThreads);
}

void run_blocks(int64_t n, int64_t grain, RangeFn fn) {
  grain = std::max<int64_t>(grain, 1);
  const int64_t blocks = (n - 1) / grain + 1;
  const int threads = in_region ? 1 : num_threads();
  const RegionFlag flag;
  // The counters of a region have 32 bits.
  constexpr int64_t kMaxCount = int64_t{1} << 31;
  for (int64_t first = 0; first < blocks; first += kMaxCount) {
    const int64_t count = std::min(blocks - first, kMaxCount);
    Region region(n, grain, first, count, fn);
    const int helpers = static_cast<int>(std::min<int64_t>(threads, count)) - 1;
    // Another thread's region in the pool is no reason to wait: this one runs here.
    if (helpers > 0 && !pool.busy.exchange(true, std::memory_order_acquire)) {
      run_region(region, helpers);
    } else {
      run_here(region);
    }
    if (region.error) std::rethrow_exception(region.error);
  }
}

}  // namespace detail

int num_threads() {
  int count = thread_count.load(std::memory_order_acquire);
  if (count != 0) return count;
  const int cpus = usable_cpus();
  const int wanted = detail::threads_from_env(std::getenv("LAMINA_NUM_THREADS"),
                                              std::getenv("OMP_NUM_THREADS"), cpus);
  // Spinning helps only while every thread has a CPU; beyond that it keeps others from working.
  spin_limit.store(cpus, std::memory_order_relaxed);
  // A set_num_threads that came in between wins.
  return thread_count.compare_exchange_strong(count, wanted) ? wanted : count;
}

void set_num_threads(int n) {
  check<ValueError>(n >= 1 && n <= kMaxThreads, "set_num_threads: expected 1 to ", kMaxThreads,
                    " threads, got ", n);
  if (spin_limit.load(std::memory_order_relaxed) == 0) spin_limit.store(usable_cpus());
  thread_count.store(n, std::memory_order_release);
}

bool in_parallel_region() { return in_region; }

}  // namespace lamina
