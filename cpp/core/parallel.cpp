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

  // The exception of the lowest block that threw. Every block below a failed one runs, so the
  // lowest is the same on any thread count.
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

// Who takes part in a region has a share of its blocks, the same one whenever regions are cut
// alike: what a thread wrote or read last time is still in its own cache. Its owner takes blocks
// from the front, others, once they have none of their own left, from the back.
struct Share {
  static constexpr int kBits = 28;
  static constexpr int64_t kMaxBlocks = int64_t{1} << kBits;

  int helpers;         // of the region; a participant above them has no part in it
  uint32_t next, end;  // blocks not yet taken

  explicit Share(uint64_t word)
      : helpers(static_cast<int>(word >> (2 * kBits))),
        next(static_cast<uint32_t>(word >> kBits) & (kMaxBlocks - 1)),
        end(static_cast<uint32_t>(word) & (kMaxBlocks - 1)) {}
  Share(int helpers_, int64_t next_, int64_t end_)
      : helpers(helpers_), next(static_cast<uint32_t>(next_)), end(static_cast<uint32_t>(end_)) {}
  uint64_t word() const {
    return static_cast<uint64_t>(helpers) << (2 * kBits) | uint64_t{next} << kBits | end;
  }
};
static_assert(kMaxWorkers < 1 << (64 - 2 * Share::kBits));

struct alignas(64) Participant {
  std::atomic<uint64_t> share{0};
  std::atomic<uint32_t> signal{kIdle};  // to a worker
};

// Trivially destructible and constant-initialised: nothing to destroy under a worker that is still
// asleep when the process exits, and a fork can put a fresh one in its place.
struct Pool {
  // The caller, then the workers. A worker touches nothing else of a region before it has taken a
  // block out of a share, and the caller leaves only after all taken blocks are finished; so a
  // worker that wakes late finds empty shares, or those of the next region, and does no harm.
  Participant participants[1 + kMaxWorkers];
  std::atomic<int> helpers{0};                    // of the current region
  alignas(64) std::atomic<uint32_t> finished{0};  // blocks finished by workers
  std::atomic<uint32_t> caller{kIdle};            // kParked while the caller sleeps
  alignas(64) std::atomic<bool> busy{false};      // the owner may use what follows
  bool fork_handler = false;
  int spawned = 0;
  Region* region = nullptr;
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

int64_t claim_from(int owner, int index) {
  std::atomic<uint64_t>& word = pool.participants[owner].share;
  uint64_t before = word.load(std::memory_order_relaxed);
  for (;;) {
    Share share(before);
    if (share.next == share.end || index > share.helpers) return kNoBlock;
    const uint32_t block = owner == index ? share.next++ : --share.end;
    if (word.compare_exchange_weak(before, share.word(), std::memory_order_acquire,
                                   std::memory_order_relaxed)) {
      return block;
    }
  }
}

// Takes a block for participant `index`.
int64_t claim(int index) {
  int64_t block = claim_from(index, index);
  const int others = pool.helpers.load(std::memory_order_relaxed);
  for (int k = 1; k <= others && block == kNoBlock; ++k)
    block = claim_from((index + k) % (others + 1), index);
  return block;
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
  std::atomic<uint32_t>& signal = pool.participants[index].signal;
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
    void* argument = reinterpret_cast<void*>(static_cast<intptr_t>(pool.spawned + 1));
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
  pool.helpers.store(helpers, std::memory_order_relaxed);
  const int64_t team = helpers + 1;
  for (int64_t i = 0; i < team; ++i) {
    const Share share(helpers, region.count * i / team, region.count * (i + 1) / team);
    pool.participants[i].share.store(share.word(), std::memory_order_release);
  }
  for (int i = 1; i <= helpers; ++i) {
    std::atomic<uint32_t>& signal = pool.participants[i].signal;
    if (signal.exchange(kSignalled) == kParked) signal.notify_one();
  }

  uint32_t own = 0;
  for (int64_t block; (block = claim(0)) != kNoBlock; ++own) {
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
  constexpr int64_t kMaxCount = Share::kMaxBlocks - 1;
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
