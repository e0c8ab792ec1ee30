#include "autograd/accumulate.h"

#include "ops/ops.h"

namespace lamina {

AccumulateGrad::AccumulateGrad(Tensor leaf) : Node("AccumulateGrad"), leaf_(std::move(leaf)) {
  outputs().push_back({leaf_.sizes(), leaf_.dtype(), leaf_.device(), {}, false, nullptr});
}

AccumulateGrad::~AccumulateGrad() {
  Record& r = *record_of(leaf_);
  const std::lock_guard lock(r.mutex);
  if (r.accumulator == this) r.accumulator = nullptr;
}

Ptr<Node> AccumulateGrad::of(const Tensor& leaf) {
  Record& r = ensure_record(leaf);
  const std::lock_guard lock(r.mutex);
  if (r.accumulator && r.accumulator->try_retain()) return Ptr<Node>::adopt(r.accumulator);
  auto node = make<AccumulateGrad>(leaf);
  r.accumulator = node.get();
  return node;
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
