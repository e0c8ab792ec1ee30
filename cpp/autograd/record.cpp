#include <algorithm>
#include <atomic>

#include "autograd/accumulate.h"
#include "autograd/autograd.h"
#include "ops/ops.h"

namespace lamina {
namespace {

thread_local bool t_grad_enabled = true;

std::atomic<uint64_t> g_hook_id{1};

void forget_node(Record& r) {
  if (!r.grad_fn || r.output_nr >= r.grad_fn->outputs().size()) return;
  Node::Output& output = r.grad_fn->outputs()[r.output_nr];
  if (output.tensor == r.owner) output.tensor = nullptr;
}

// From now on `t` is what `from` is: the same output of the same Node.
void take_history(const Tensor& t, const Tensor& from) {
  Record& r = ensure_record(t);
  const Record& source = *record_of(from);
  forget_node(r);
  r.grad_fn = source.grad_fn;
  r.output_nr = source.output_nr;
  r.seen_version = t.storage().version();
  t.impl()->requires_grad = true;
}

// A view whose memory was written since its grad_fn was made has a history of its own no longer:
// it is what as_strided shows of its base now.
bool stale(const Tensor& t, const Record& r) {
  return r.base && !r.made_without_grad && r.seen_version != t.storage().version();
}

void refresh(const Tensor& t, Record& r) {
  r.seen_version = t.storage().version();
  const Tensor base{r.base};
  if (!requires_grad(base)) return;
  GradMode on(true);
  const Tensor shown = ops::as_strided(base, t.sizes(), t.strides(), t.offset());
  take_history(t, shown);
}

}  // namespace

bool grad_enabled() { return t_grad_enabled; }
void set_grad_enabled(bool on) { t_grad_enabled = on; }

Record::~Record() {
  forget_node(*this);
  delete waiting;
}

Record* record_of(const Tensor& t) { return static_cast<Record*>(t.impl()->autograd.get()); }

Record& ensure_record(const Tensor& t) {
  auto& slot = t.impl()->autograd;
  if (!slot) slot = std::make_unique<Record>(t.impl());
  return static_cast<Record&>(*slot);
}

bool requires_grad(const Tensor& t) {
  if (t.impl()->requires_grad) return true;
  const Record* r = record_of(t);
  return r && stale(t, *r) && requires_grad(Tensor(r->base));
}

bool is_leaf(const Tensor& t) { return !grad_fn(t); }

void set_requires_grad(const Tensor& t, bool on) {
  check<RuntimeError>(!on || is_floating(t.dtype()),
                      "requires_grad: only floating tensors can require grad, got ", t.dtype());
  check<RuntimeError>(on || is_leaf(t),
                      "requires_grad: can't be switched off on a tensor that an op made; use "
                      "detach()");
  t.impl()->requires_grad = on;
}

Ptr<Node> grad_fn(const Tensor& t) {
  Record* r = record_of(t);
  if (!r) return {};
  if (stale(t, *r)) refresh(t, *r);
  return r->grad_fn;
}

Edge grad_edge(const Tensor& t) {
  if (!t.defined() || !requires_grad(t)) return {};
  if (Ptr<Node> node = grad_fn(t)) return {std::move(node), record_of(t)->output_nr};
  return {AccumulateGrad::of(t), 0};
}

Tensor grad_of(const Tensor& t) {
  Record* r = record_of(t);
  if (!r) return {};
  const std::lock_guard lock(r->mutex);
  return r->grad;
}

void set_grad(const Tensor& t, Tensor grad) {
  if (grad.defined()) {
    check<ValueError>(grad.sizes() == t.sizes(), "grad: must have the tensor's sizes",
                      line("tensor", t), line("grad", grad));
    check<TypeError>(grad.dtype() == t.dtype(), "grad: must have the tensor's dtype ", t.dtype(),
                     ", got ", grad.dtype());
    check<ValueError>(grad.device() == t.device(), "grad: must be on the tensor's device ",
                      t.device(), ", got ", grad.device());
    check<ValueError>(!grad.same(t), "grad: a tensor can't be its own gradient");
  } else if (!record_of(t)) {
    return;
  }
  Record& r = ensure_record(t);
  const std::lock_guard lock(r.mutex);
  std::swap(r.grad, grad);  // the old gradient dies after the lock is gone
}

void retain_grad(const Tensor& t) {
  check<RuntimeError>(requires_grad(t), "retain_grad: the tensor does not require grad");
  if (const Ptr<Node> node = grad_fn(t)) {
    Node::Output& output = node->outputs()[record_of(t)->output_nr];
    output.retains_grad = true;
    output.tensor = t.impl();
  }
}

bool retains_grad(const Tensor& t) {
  const Ptr<Node> node = grad_fn(t);
  return node && node->outputs()[record_of(t)->output_nr].retains_grad;
}

namespace {

std::vector<HookEntry>& hooks_of(const Tensor& t) {
  if (const Ptr<Node> node = grad_fn(t)) return node->outputs()[record_of(t)->output_nr].hooks;
  return ensure_record(t).hooks;
}

}  // namespace

uint64_t register_hook(const Tensor& t, Ptr<Hook> hook, bool after) {
  check<RuntimeError>(requires_grad(t),
                      after ? "register_post_accumulate_grad_hook" : "register_hook",
                      ": the tensor does not require grad, so no gradient will come");
  check<RuntimeError>(
      !after || is_leaf(t),
      "register_post_accumulate_grad_hook: only a leaf collects a gradient, and this "
      "tensor was made by an op; use register_hook");
  const uint64_t id = g_hook_id.fetch_add(1);
  hooks_of(t).push_back({id, std::move(hook), after});
  return id;
}

void remove_hook(const Tensor& t, uint64_t id) {
  const auto same = [id](const HookEntry& e) { return e.id == id; };
  Record* r = record_of(t);
  if (!r) return;
  std::erase_if(r->hooks, same);
  if (r->grad_fn) std::erase_if(r->grad_fn->outputs()[r->output_nr].hooks, same);
}

std::vector<HookEntry>* owned_hooks(const Tensor& t) {
  Record* r = record_of(t);
  if (!r) return nullptr;
  if (!r->grad_fn) return &r->hooks;
  if (r->grad_fn->ref_count() != 1) return nullptr;
  return &r->grad_fn->outputs()[r->output_nr].hooks;
}

Tensor detach(const Tensor& t) { return alias(t); }

void attach_inputs(Node& node, std::span<const Tensor> inputs) {
  for (const Tensor& t : inputs) node.edges().push_back(grad_edge(t));
  node.renumber();
  if (Observer* o = observer()) [[unlikely]]
    o->recorded(node, inputs);
}

void attach_output(const Ptr<Node>& node, uint32_t nr, const Tensor& t) {
  Record& r = ensure_record(t);
  r.grad_fn = node;
  r.output_nr = nr;
  r.seen_version = t.storage().version();
  t.impl()->requires_grad = is_floating(t.dtype());
}

void attach(Ptr<Node> node, std::span<const Tensor> outputs, std::span<const Tensor> inputs) {
  attach_inputs(*node, inputs);
  uint32_t nr = 0;
  for (const Tensor& t : outputs) {
    node->outputs().push_back({t.sizes(), t.dtype(), t.device(), {}, false, nullptr});
    attach_output(node, nr++, t);
  }
}

void mark_view(const Tensor& view, const Tensor& of) {
  Record& r = ensure_record(view);
  const Record* parent = record_of(of);
  r.base = parent && parent->base ? parent->base : of.ptr();
  r.seen_version = view.storage().version();
  r.made_without_grad =
      (parent && parent->made_without_grad) || (!grad_enabled() && requires_grad(of));
}

bool is_view(const Tensor& t) {
  const Record* r = record_of(t);
  return r && r->base;
}

void check_writable(const char* op, const Tensor& self, bool records) {
  check<RuntimeError>(self.storage().writable(), op,
                      ": the tensor's memory is read-only (it belongs to a read-only array); write "
                      "to a clone() of it");
  check<RuntimeError>(
      !overlaps_itself(self.sizes(), self.strides()), op,
      ": the tensor has several indices for one element (it was expanded); write to "
      "a clone() of it",
      line("tensor", self), line("stride", self.strides()));
  if (!grad_enabled()) return;
  const Record* r = record_of(self);
  const bool view = r && r->base;
  if (requires_grad(self) && is_leaf(self))
    raise<RuntimeError>(op,
                        ": a leaf that requires grad can't be written in place while gradients "
                        "are recorded",
                        line("tensor", self),
                        line("fix", "write under no_grad(), or out of place"));
  if (!view) return;
  const Tensor base{r->base};
  if (!records && !requires_grad(base)) return;
  check<RuntimeError>(!r->made_without_grad, op,
                      ": this view was made under no_grad() of a tensor that requires grad; write "
                      "to it under no_grad() too",
                      line("tensor", self));
  check<RuntimeError>(!(requires_grad(base) && is_leaf(base)), op,
                      ": a view of a leaf that requires grad can't be written in place while "
                      "gradients are recorded",
                      line("tensor", self), line("fix", "write under no_grad(), or to a clone()"));
}

void wrote(const char* op, const Tensor& self, const Tensor& result) {
  if (!result.defined() || !requires_grad(result)) {
    self.storage().wrote(op);
    return;
  }
  Tensor changed = self;
  Tensor history = result;
  if (is_view(self)) {
    // The base changes where the view shows it; the view itself, stale now, asks the base.
    changed = Tensor{record_of(self)->base};
    history = ops::copy_slices(changed, self, result);
  }
  self.storage().wrote(op);
  take_history(changed, history);
}

}  // namespace lamina
