// What ops and bindings use of autograd.
#pragma once

#include "autograd/node.h"
#include "core/spin_lock.h"

namespace lamina {

// -- grad mode: per thread ---------------------------------------------------------------------

bool grad_enabled();
void set_grad_enabled(bool on);

class GradMode {
 public:
  explicit GradMode(bool on) : before_(grad_enabled()) { set_grad_enabled(on); }
  ~GradMode() { set_grad_enabled(before_); }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

// -- the record of a tensor --------------------------------------------------------------------

class AccumulateGrad;

struct Record final : AutogradRecord {
  explicit Record(TensorImpl* owner_) : owner(owner_) {}
  ~Record() override;

  TensorImpl* owner;
  Ptr<Node> grad_fn;  // of a non-leaf
  uint32_t output_nr = 0;

  // Of a leaf. `mutex` guards these three: threads may run graphs over a shared leaf.
  SharedLock mutex;
  Tensor grad;
  AccumulateGrad* accumulator = nullptr;  // of the graphs that there are; weak
  AccumulateGrad* waiting = nullptr;      // for the next graph; owned
  std::vector<HookEntry> hooks;

  // Of a view: the tensor whose memory it shows, and the storage's version that grad_fn is good
  // for.
  Ptr<TensorImpl> base;
  uint32_t seen_version = 0;
  bool made_without_grad = false;
};

// Null when the tensor has none.
Record* record_of(const Tensor& t);
Record& ensure_record(const Tensor& t);

// Whether ops on `t` are recorded, given grad mode. Views ask their base.
bool requires_grad(const Tensor& t);
template <class... Ts>
bool recording(const Ts&... tensors) {
  return grad_enabled() && ((tensors.defined() && requires_grad(tensors)) || ...);
}
bool is_leaf(const Tensor& t);
void set_requires_grad(const Tensor& t, bool on);
Ptr<Node> grad_fn(const Tensor& t);
Edge grad_edge(const Tensor& t);
Tensor grad_of(const Tensor& t);              // undefined when there is none
void set_grad(const Tensor& t, Tensor grad);  // checks sizes, dtype, device
void retain_grad(const Tensor& t);
bool retains_grad(const Tensor& t);
// A hook on the gradient of `t`; the id removes it again. With `after`, `t` is a leaf, and the hook
// is called with it once a gradient has been added into its own.
uint64_t register_hook(const Tensor& t, Ptr<Hook> hook, bool after = false);
void remove_hook(const Tensor& t, uint64_t id);
// The hooks that only `t` keeps alive (for the garbage collector).
std::vector<HookEntry>* owned_hooks(const Tensor& t);
Tensor detach(const Tensor& t);

// -- recording ---------------------------------------------------------------------------------

// Makes `node` the grad_fn of `outputs`, with an edge to each input. Call under `recording(...)`.
void attach(Ptr<Node> node, std::span<const Tensor> outputs, std::span<const Tensor> inputs);
// The parts of it, for a Node that knows its inputs and outputs better.
void attach_inputs(Node& node, std::span<const Tensor> inputs);
void attach_output(const Ptr<Node>& node, uint32_t nr, const Tensor& t);

// record("mul", {out}, {x, y}, [x = Saved::input(x), ...](Backward& b) { ... });
template <class F>
void record(const char* name, std::initializer_list<Tensor> outputs,
            std::initializer_list<Tensor> inputs, F&& backward) {
  attach(make<ClosureNode<std::decay_t<F>>>(name, std::forward<F>(backward)),
         std::span(outputs.begin(), outputs.size()), std::span(inputs.begin(), inputs.size()));
}
template <class F>
void record(const char* name, std::initializer_list<Tensor> outputs, std::span<const Tensor> inputs,
            F&& backward) {
  attach(make<ClosureNode<std::decay_t<F>>>(name, std::forward<F>(backward)),
         std::span(outputs.begin(), outputs.size()), inputs);
}
template <class F>
void record(const char* name, std::span<const Tensor> outputs, std::initializer_list<Tensor> inputs,
            F&& backward) {
  attach(make<ClosureNode<std::decay_t<F>>>(name, std::forward<F>(backward)), outputs,
         std::span(inputs.begin(), inputs.size()));
}

// Marks `view`, an alias of `of`, as a view: shares its base, or has it as base.
void mark_view(const Tensor& view, const Tensor& of);
bool is_view(const Tensor& t);

// In-place writes. Before: refuses what can't be written (a leaf that requires grad, its views, a
// view made without grad, read-only memory). After: bumps the version and, when `result` carries a
// gradient, gives its history to `self` (and to self's base).
void check_writable(const char* op, const Tensor& self, bool records);
void wrote(const char* op, const Tensor& self, const Tensor& result = {});

// -- running it --------------------------------------------------------------------------------

// Called when the run turns out to be long: at its first large gradient, or after many nodes. A
// host lets its other threads in then; a small step is over before that would have paid.
struct WhenLong {
  void (*call)(void*) = nullptr;
  void* with = nullptr;
};

// Accumulates into the leaves of `roots`. An undefined grad stands for 1 (scalars only).
void backward(std::span<const Tensor> roots, std::span<const Tensor> grads, bool retain_graph,
              bool create_graph, WhenLong when_long = {});
// The same, but into `inputs` alone, which may be in the middle of the graph.
void backward_into(std::span<const Tensor> inputs, std::span<const Tensor> roots,
                   std::span<const Tensor> grads, bool retain_graph, bool create_graph,
                   WhenLong when_long = {});
// Gradients with respect to `inputs`, leaves untouched; undefined where unused and allowed.
std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                         std::span<const Tensor> grad_outputs, bool retain_graph, bool create_graph,
                         bool allow_unused, WhenLong when_long = {});

}  // namespace lamina
