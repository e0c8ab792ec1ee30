// Saved tensors that are computed again when backward asks for them.
#pragma once

#include <functional>

#include "autograd/autograd.h"

namespace lamina {

// While it is this thread's Keeper, ops save nothing but a place in its list. The first backward
// that asks for one runs `again`, the same computation, during which the list is filled: the n-th
// tensor saved then is the n-th saved the first time.
class Checkpoint final : public Keeper {
 public:
  explicit Checkpoint(std::function<void()> again) : again_(std::move(again)) {}

  size_t keep(const Tensor& t) override;
  Tensor fetch(size_t ticket, const char* op) override;
  void drop(size_t ticket) override;
  // The first run is over; from here on `again` is let go of once no ticket is left.
  void close();

 private:
  friend class Replay;
  struct Place {
    Dims sizes;
    DType dtype;
    bool wanted = true;  // until the Saved that has the ticket is gone
    Saved value;
  };
  void replay();

  std::function<void()> again_;
  std::vector<Place> places_;
  size_t wanted_ = 0;
  bool open_ = true;
};

}  // namespace lamina
