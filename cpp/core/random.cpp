#include "core/random.h"

#include <pthread.h>

#include <random>

#include "core/check.h"

namespace lamina {
namespace {

uint64_t unforeseeable_seed() {
  std::random_device entropy;
  const uint64_t bits = (uint64_t{entropy()} << 32) | entropy();
  return bits >> 11;  // 53 bits survive a trip through a float64
}

}  // namespace

uint64_t Generator::seed() {
  const uint64_t seed = unforeseeable_seed();
  manual_seed(seed);
  return seed;
}

Generator::State Generator::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Generator::set_state(State state) {
  const std::lock_guard lock(mutex_);
  state_ = state;
}

PhiloxStream Generator::reserve(int64_t elements) {
  check<ValueError>(elements >= 0, "reserve: expected a count of elements, got ", elements);
  const std::lock_guard lock(mutex_);
  const PhiloxStream stream{state_.seed, state_.offset};
  state_.offset += static_cast<uint64_t>(elements);
  return stream;
}

Generator& default_generator() {
  // Never destroyed: other threads may still draw while the process exits.
  static Generator* const generator = [] {
    auto* made = new Generator(unforeseeable_seed());
    // A fork while another thread holds the lock would leave it locked for ever in the child.
    pthread_atfork([] { default_generator().mutex_.lock(); },
                   [] { default_generator().mutex_.unlock(); },
                   [] { default_generator().mutex_.unlock(); });
    return made;
  }();
  return *generator;
}

}  // namespace lamina
