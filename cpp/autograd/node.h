// The tape: one Node for each op that took part in a gradient.
//
// A Node points to the Nodes of its inputs (edges), never the other way, and tensors own the Node
// that made them; so a graph lives exactly as long as something can still run it backward.
// Sequence numbers grow with creation, hence every Node's is larger than those of its inputs: that
// order is the engine's schedule.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/small_vector.h"
#include "core/tensor.h"

namespace lamina {

class Node;
class Backward;

// Gradient flows to output `nr` of `node`; no node means that no gradient is wanted.
struct Edge {
  Ptr<Node> node;
  uint32_t nr = 0;
};

// Something to call with a gradient; it may return a replacement, or an undefined tensor for none.
class Hook : public RefCounted {
 public:
  virtual Tensor operator()(const Tensor& grad) = 0;
  // For a garbage collector that must see through to what the hook holds.
  virtual int traverse(int (*)(void*, void*), void*) { return 0; }
};

struct HookEntry {
  uint64_t id;
  Ptr<Hook> hook;
  bool after = false;  // of a leaf: called with the leaf once its gradient has been added
};

class Node : public RefCounted {
 public:
  struct Output {
    Dims sizes;
    DType dtype;
    Device device;
    std::vector<HookEntry> hooks;
    bool retains_grad = false;     // then `tensor` gets its gradient kept
    TensorImpl* tensor = nullptr;  // borrowed; cleared when that tensor dies or moves on
  };

  explicit Node(const char* name);

  const char* name() const { return name_; }
  uint64_t sequence() const { return sequence_; }
  // Called when the edges are in place: the Node becomes younger than all of its inputs.
  void renumber();
  SmallVector<Edge, 3>& edges() { return edges_; }
  SmallVector<Output, 1>& outputs() { return outputs_; }
  // Where in the program it was recorded; known only while an Observer watches.
  Ptr<RefCounted>& origin() { return origin_; }

  // Reads b.grad(i), writes b.set(i, ...) for the edges that b.needs().
  virtual void backward(Backward& b) = 0;
  virtual std::vector<HookEntry>& hooks(uint32_t nr) { return outputs_[nr].hooks; }
  // Of a leaf: takes a gradient that is the whole of it without its turn in the schedule, if nobody
  // could see the difference.
  virtual bool take_at_once(Tensor&) { return false; }
  // Drops what was saved for backward.
  virtual void free_saved() {}

 protected:
  // Iterative: a graph of any depth dies without recursion.
  void last_release() const noexcept override;

 private:
  const char* name_;
  uint64_t sequence_;
  SmallVector<Edge, 3> edges_;
  SmallVector<Output, 1> outputs_;
  Ptr<RefCounted> origin_;
  mutable const Node* next_dead_ = nullptr;
};

// Sees every Node that is recorded, and runs it, while someone looks for anomalies.
class Observer {
 public:
  virtual void recorded(Node& node, std::span<const Tensor> inputs) = 0;
  virtual void run(Node& node, Backward& b) = 0;  // calls node.backward(b)

 protected:
  ~Observer() = default;
};

inline std::atomic<Observer*> g_observer{nullptr};
inline Observer* observer() { return g_observer.load(std::memory_order_acquire); }

// Keeps what ops save in another form (a checkpoint: as the promise to compute it again). Asked by
// every Saved that this thread makes while a KeeperMode is on.
class Keeper : public RefCounted {
 public:
  virtual size_t keep(const Tensor& t) = 0;
  virtual Tensor fetch(size_t ticket, const char* op) = 0;
  virtual void drop(size_t ticket) = 0;
};

class KeeperMode {
 public:
  explicit KeeperMode(Ptr<Keeper> keeper);  // null: Saved keeps its tensors itself
  ~KeeperMode();
  KeeperMode(const KeeperMode&) = delete;
  KeeperMode& operator=(const KeeperMode&) = delete;

 private:
  Ptr<Keeper> before_;
};

inline std::atomic<uint32_t> g_keepers{0};  // how many threads have one

// A tensor kept for backward, with the version of its storage then. An output of the op is kept
// without its grad_fn (no cycle) and gets it back when a graph of the backward is being recorded.
class Saved {
 public:
  Saved() = default;
  static Saved input(const Tensor& t) { return Saved(t, false, 0); }
  static Saved output(const Tensor& t, uint32_t nr = 0) { return Saved(alias(t), true, nr); }
  Tensor unpack(Node& node) const { return unpack(node.name(), &node); }
  Tensor unpack(const char* op, Node* node) const;
  const Dims& sizes() const { return tensor_.sizes(); }
  bool defined() const { return tensor_.defined(); }

 private:
  Saved(Tensor t, bool output, uint32_t nr)
      : tensor_(std::move(t)), version_(tensor_.storage().version()), output_(output), nr_(nr) {
    if (g_keepers.load(std::memory_order_relaxed) != 0) [[unlikely]]
      hand_over();
  }
  void hand_over();
  Tensor reattached(Tensor value, Ptr<Node> node, uint32_t nr) const;

  Tensor tensor_;
  uint32_t version_ = 0;
  bool output_ = false;
  bool handed_over_ = false;  // then tensor_ is an empty shell around the Keeper's ticket
  uint32_t nr_ = 0;
};

// What one Node sees while the engine runs it.
class Backward {
 public:
  Backward(Node& node, std::span<Tensor> grads) : node_(node), grads_(grads) {
    results_.resize(node.edges().size());
  }
  // Gradient of forward output i; undefined when nothing flowed into it.
  const Tensor& grad(size_t i = 0) const { return grads_[i]; }
  bool needs(size_t i) const { return static_cast<bool>(node_.edges()[i].node); }
  void set(size_t i, Tensor grad) { results_[i] = std::move(grad); }
  Tensor operator()(const Saved& saved) const {
    return saved.defined() ? saved.unpack(node_) : Tensor();
  }
  // Hands the gradient over: the caller may write into it when nobody else holds it.
  Tensor take_grad(size_t i = 0) { return std::move(grads_[i]); }
  Node& node() { return node_; }
  SmallVector<Tensor, 3>& results() { return results_; }

 private:
  Node& node_;
  std::span<Tensor> grads_;
  SmallVector<Tensor, 3> results_;
};

[[noreturn]] void raise_freed(const char* name);

// A Node whose backward is a closure over Saved tensors: forward and backward stand side by side.
template <class F>
class ClosureNode final : public Node {
 public:
  ClosureNode(const char* name, F f) : Node(name), f_(std::move(f)) {}
  void backward(Backward& b) override {
    if (!f_) raise_freed(name());
    (*f_)(b);
  }
  void free_saved() override {
    if constexpr (!std::is_trivially_destructible_v<F>) f_.reset();
  }

 private:
  std::optional<F> f_;
};

}  // namespace lamina
