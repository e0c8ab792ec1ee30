// The end of the tape: adds a gradient into a leaf.
#pragma once

#include "autograd/autograd.h"

namespace lamina {

// Adds `grad` into the gradient of `leaf`, and calls the hooks that wait for that.
void accumulate(const Tensor& leaf, Tensor grad);

// A leaf's AccumulateGrad keeps the leaf alive while a graph has it, so that a graph owns its
// leaves. When the last graph lets go it waits in the leaf's record, without a hold on the leaf,
// for the next.
class AccumulateGrad final : public Node {
 public:
  explicit AccumulateGrad(const Tensor& leaf);
  // The one of this leaf, made when there is none.
  static Ptr<Node> of(const Tensor& leaf);

  const Tensor& leaf() const { return leaf_; }
  void backward(Backward& b) override { accumulate(leaf_, b.take_grad()); }
  std::vector<HookEntry>& hooks(uint32_t) override { return record_of(leaf_)->hooks; }
  bool take_at_once(Tensor& grad) override;

 protected:
  void last_release() const noexcept override;

 private:
  void take_leaf(const Tensor& leaf);

  mutable Tensor leaf_;
};

}  // namespace lamina
