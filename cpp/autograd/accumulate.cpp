#include "autograd/accumulate.h"

#include "ops/ops.h"

namespace lamina {

AccumulateGrad::AccumulateGrad(const Tensor& leaf) : Node("AccumulateGrad") {
  outputs().resize(1);
  take_leaf(leaf);
}

void AccumulateGrad::take_leaf(const Tensor& leaf) {
  Output& output = outputs()[0];  // what the leaf is may have changed since the last graph
  output.sizes = leaf.sizes();
  output.dtype = leaf.dtype();
  output.device = leaf.device();
  leaf_ = leaf;
}

Ptr<Node> AccumulateGrad::of(const Tensor& leaf) {
  Record& r = ensure_record(leaf);
  const std::lock_guard lock(r.mutex);
  if (r.accumulator && r.accumulator->try_retain()) return Ptr<Node>::adopt(r.accumulator);
  AccumulateGrad* node = r.waiting;
  if (node) {
    node->take_leaf(leaf);
    r.waiting = nullptr;
  } else {
    node = new AccumulateGrad(leaf);
  }
  r.accumulator = node;
  return Ptr<Node>(node);
}

void AccumulateGrad::last_release() const noexcept {
  const Tensor leaf = std::move(leaf_);  // goes last: its record may own this then
  auto* const self = const_cast<AccumulateGrad*>(this);
  Record& r = *record_of(leaf);
  bool waits = false;
  {
    const std::lock_guard lock(r.mutex);
    if (r.accumulator == this) r.accumulator = nullptr;
    // A leaf has but one, unless another thread made its next while this one was on its way here.
    waits = r.waiting == nullptr;
    if (waits) r.waiting = self;
  }
  if (!waits) delete self;
}

bool AccumulateGrad::take_at_once(Tensor& grad) {
  // One reference is one edge: nothing else will flow here. A gradient that is there already may be
  // an input of what is still to run, and is added to last.
  if (ref_count() != 1) return false;
  Record& r = *record_of(leaf_);
  {
    const std::lock_guard lock(r.mutex);
    if (r.grad.defined() || !r.hooks.empty()) return false;
  }
  accumulate(leaf_, std::move(grad));
  return true;
}

namespace {

void add_into(Record& r, Tensor g) {
  Tensor before;  // dies after the lock is gone: a tensor's end may run a hook's
  const std::lock_guard lock(r.mutex);
  if (!r.grad.defined()) {
    // A gradient that nobody else holds becomes the leaf's own.
    const bool ours = g.impl()->ref_count() == 1 && g.storage().ref_count() == 1;
    r.grad = grad_enabled() || (ours && g.contiguous()) ? std::move(g) : ops::clone(g);
    if (!grad_enabled()) r.grad.impl()->requires_grad = false;
  } else if (grad_enabled()) {
    before = std::exchange(r.grad, ops::add(r.grad, g));
  } else {
    ops::binary_(BinaryOp::add, r.grad, g);
  }
}

}  // namespace

void accumulate(const Tensor& leaf, Tensor grad) {
  if (!grad.defined()) return;
  Record& r = ensure_record(leaf);
  add_into(r, std::move(grad));
  if (r.hooks.empty()) return;
  for (const HookEntry& entry : std::vector<HookEntry>(r.hooks))  // a hook may remove itself
    if (entry.after) (*entry.hook)(leaf);
}

}  // namespace lamina
