#include "autograd/checkpoint.h"

namespace lamina {

namespace {

constexpr const char* kFix =
    "the function must do the same each time it is called: no state that it changes, no random "
    "numbers with preserve_rng_state=False";

}  // namespace

// The Keeper of the second run. The graph of that run is thrown away; what its ops saved is not.
class Replay final : public Keeper {
 public:
  explicit Replay(Checkpoint& of) : of_(of) {}

  size_t keep(const Tensor& t) override {
    const size_t n = count_++;
    if (n >= of_.places_.size()) return n;
    Checkpoint::Place& place = of_.places_[n];
    // Told at the end: in between it would look like an error of the op.
    if (problem_.empty() && (place.sizes != t.sizes() || place.dtype != t.dtype()))
      problem_ =
          text::concat("checkpoint: tensor ", n,
                       " that is saved for backward came out different when it was computed again",
                       line("before", place.sizes, " ", place.dtype),
                       line("now", t.sizes(), " ", t.dtype()), line("fix", kFix));
    const KeeperMode ourselves({});
    place.value = Saved::input(detach(t));
    return n;
  }
  // A backward pass inside of the function, while it is run again.
  Tensor fetch(size_t ticket, const char* op) override {
    return of_.places_.at(ticket).value.unpack(op, nullptr);
  }
  void drop(size_t) override {}

  void finish() const {
    check<RuntimeError>(problem_.empty(), problem_);
    check<RuntimeError>(count_ == of_.places_.size(), "checkpoint: ", of_.places_.size(),
                        " tensors were saved for backward the first time, but ", count_,
                        " when it was computed again", line("fix", kFix));
  }

 private:
  Checkpoint& of_;
  size_t count_ = 0;
  std::string problem_;
};

size_t Checkpoint::keep(const Tensor& t) {
  // For a backward pass inside of the function the tensors stay until its end: the second run takes
  // as much memory anyway.
  const KeeperMode ourselves({});
  places_.push_back({t.sizes(), t.dtype(), true, Saved::input(detach(t))});
  ++wanted_;
  return places_.size() - 1;
}

Tensor Checkpoint::fetch(size_t ticket, const char* op) {
  if (!places_[ticket].value.defined()) replay();
  return places_[ticket].value.unpack(op, nullptr);
}

void Checkpoint::drop(size_t ticket) {
  Place& place = places_[ticket];
  place.value = {};
  place.wanted = false;
  if (--wanted_ == 0 && !open_) again_ = nullptr;
}

void Checkpoint::close() {
  open_ = false;
  for (Place& place : places_) place.value = {};
  if (wanted_ == 0) again_ = nullptr;
}

void Checkpoint::replay() {
  const auto keeper = make<Replay>(*this);
  const std::function<void()> again = again_;  // outlives the call, whatever is dropped meanwhile
  {
    const KeeperMode mode(keeper);
    const GradMode on(true);
    again();
  }
  keeper->finish();
  for (Place& place : places_)
    if (!place.wanted) place.value = {};
}

}  // namespace lamina
