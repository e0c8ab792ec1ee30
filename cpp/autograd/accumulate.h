// The end of the tape: adds a gradient into a leaf.
#pragma once

#include "autograd/autograd.h"

namespace lamina {

// A leaf's AccumulateGrad keeps the leaf alive; the leaf only points back, so that a graph owns its
// leaves and a leaf without graphs costs nothing.
// Adds `grad` into the gradient of `leaf`, and calls the hooks that wait for that.
void accumulate(const Tensor& leaf, Tensor grad);

class AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(Tensor leaf);
  ~AccumulateGrad() override;
  // The one of this leaf, made when there is none.
  static Ptr<Node> of(const Tensor& leaf);

  const Tensor& leaf() const { return leaf_; }
  void backward(Backward& b) override { accumulate(leaf_, b.take_grad()); }
  std::vector<HookEntry>& hooks(uint32_t) override { return record_of(leaf_)->hooks; }

 private:
  Tensor leaf_;
};

}  // namespace lamina
