// Runs the tape backward.
//
// The schedule is a heap of contributions (node, output, gradient) with the largest sequence number
// on top. Every Node is younger than its inputs, so when one comes up, all that will ever flow into
// it is already in the heap, right beneath: no counting pass over the graph, no table of nodes, and
// parts of the graph that no gradient reaches are never visited. Contributions to one output are
// added in the order they came, so that results are reproducible.
#include <algorithm>
#include <unordered_map>

#include "autograd/accumulate.h"
#include "autograd/autograd.h"
#include "ops/ops.h"

namespace lamina {
namespace {

struct Contribution {
  Ptr<Node> node;
  uint32_t nr;
  uint64_t order;
  Tensor grad;
};

// For push_heap: which comes up later?
bool comes_later(const Contribution& a, const Contribution& b) {
  const uint64_t sa = a.node->sequence();
  const uint64_t sb = b.node->sequence();
  return sa != sb ? sa < sb : a.order > b.order;
}

// Where grad() wants to look: the gradient that arrives at this edge.
struct Capture {
  Edge edge;
  Tensor grad;
};

class Run {
 public:
  Run(bool retain_graph, std::vector<Capture>* captures, WhenLong when_long)
      : retain_graph_(retain_graph), captures_(captures), when_long_(when_long) {
    if (captures_) find_useful_nodes();
    heap_.reserve(16);
  }

  void push(const Edge& edge, Tensor grad) {
    if (!edge.node || !grad.defined()) return;
    if (captures_ && !useful(edge.node.get())) return;
    if (grad.numel() >= kLarge) tell_long();
    if (!captures_ && !observer() && edge.node->take_at_once(grad)) return;
    heap_.push_back({edge.node, edge.nr, next_order_++, std::move(grad)});
    std::push_heap(heap_.begin(), heap_.end(), comes_later);
  }

  void roots(std::span<const Edge> edges) {
    if (captures_) mark_useful(edges);
  }

  void run() {
    while (!heap_.empty()) {
      const Ptr<Node> node = heap_.front().node;
      SmallVector<Tensor, 2> grads(node->outputs().size());
      while (!heap_.empty() && heap_.front().node == node) {
        std::pop_heap(heap_.begin(), heap_.end(), comes_later);
        Contribution c = std::move(heap_.back());
        heap_.pop_back();
        add_to(grads[c.nr], std::move(c.grad));
      }
      for (uint32_t nr = 0; nr < grads.size(); ++nr)
        if (grads[nr].defined()) arrived(*node, nr, grads[nr]);
      if (captures_ && !leads_on(node.get())) continue;
      if (++nodes_ == kMany) tell_long();
      Backward b(*node, grads);
      if (Observer* o = observer()) [[unlikely]]
        o->run(*node, b);
      else
        node->backward(b);
      grads.clear();
      for (size_t i = 0; i < node->edges().size(); ++i)
        push(node->edges()[i], std::move(b.results()[i]));
      if (!retain_graph_) node->free_saved();
    }
  }

 private:
  static constexpr int64_t kLarge = 8192;  // elements of a gradient
  static constexpr int kMany = 64;

  void tell_long() {
    if (auto* const call = std::exchange(when_long_.call, nullptr)) call(when_long_.with);
  }

  static void add_to(Tensor& sum, Tensor grad) {
    if (!sum.defined()) {
      sum = std::move(grad);
    } else if (!grad_enabled() && sum.impl()->ref_count() == 1 && sum.storage().ref_count() == 1 &&
               sum.contiguous()) {
      ops::binary_(BinaryOp::add, sum, grad);
    } else {
      sum = ops::add(sum, grad);
    }
  }

  // Hooks, kept gradients and captures see the whole gradient of an output.
  void arrived(Node& node, uint32_t nr, Tensor& grad) {
    Node::Output& output = node.outputs()[nr];
    if (const auto& hooks = node.hooks(nr); !hooks.empty()) {
      // A copy, since a hook may remove itself.
      for (const HookEntry& entry : std::vector<HookEntry>(hooks)) {
        if (entry.after) continue;
        Tensor replaced = (*entry.hook)(grad);
        if (!replaced.defined()) continue;
        check<ValueError>(replaced.sizes() == output.sizes,
                          "register_hook: the gradient that a "
                          "hook returns must keep its sizes",
                          line("grad", grad), line("got", replaced));
        grad = std::move(replaced);
      }
    }
    if (output.retains_grad && output.tensor) {
      const Tensor kept{Ptr<TensorImpl>(output.tensor)};
      const Tensor before = grad_of(kept);
      set_grad(kept, before.defined() ? ops::add(before, grad) : grad);
    }
    if (captures_)
      for (Capture& c : *captures_)
        if (c.edge.node.get() == &node && c.edge.nr == nr) c.grad = grad;
  }

  // -- grad(inputs): only what lies between the outputs and the inputs is run --

  enum Use : uint8_t { kUnknown, kNo, kYes };

  bool is_target(const Node* node) const {
    return std::any_of(captures_->begin(), captures_->end(),
                       [&](const Capture& c) { return c.edge.node.get() == node; });
  }
  void find_useful_nodes() {
    oldest_ = UINT64_MAX;
    for (const Capture& c : *captures_)
      if (c.edge.node) oldest_ = std::min(oldest_, c.edge.node->sequence());
  }

  // Depth first, without recursion; a node leads on when an edge goes to a useful one.
  void mark_useful(std::span<const Edge> roots) {
    struct Frame {
      Node* node;
      size_t edge;
    };
    std::vector<Frame> stack;
    const auto enter = [&](Node* node) {
      if (!node || node->sequence() < oldest_ || leads_.contains(node)) return;
      leads_[node] = false;
      stack.push_back({node, 0});
    };
    for (const Edge& root : roots) {
      enter(root.node.get());
      while (!stack.empty()) {
        Frame& top = stack.back();
        Node* node = top.node;
        if (top.edge > 0 && useful(node->edges()[top.edge - 1].node.get())) leads_[node] = true;
        if (top.edge == node->edges().size()) {
          stack.pop_back();
          continue;
        }
        enter(node->edges()[top.edge++].node.get());
      }
    }
  }

  bool leads_on(const Node* node) const {
    const auto found = leads_.find(node);
    return found != leads_.end() && found->second;
  }
  bool useful(const Node* node) const { return node && (is_target(node) || leads_on(node)); }

  const bool retain_graph_;
  std::vector<Capture>* captures_;
  std::vector<Contribution> heap_;
  WhenLong when_long_;
  int nodes_ = 0;
  uint64_t next_order_ = 0;
  uint64_t oldest_ = 0;
  std::unordered_map<const Node*, bool> leads_;
};

Tensor root_gradient(const char* op, const Tensor& root, const Tensor& grad) {
  check<RuntimeError>(requires_grad(root), op,
                      ": the tensor does not require grad and has no grad_fn",
                      line("tensor", root));
  if (!grad.defined()) {
    check<RuntimeError>(
        root.numel() == 1, op,
        ": a gradient can be made up only for a scalar; reduce it (.sum(), .mean()) "
        "or pass one of its sizes",
        line("tensor", root));
    return ops::ones_like(root);
  }
  check<ValueError>(grad.sizes() == root.sizes(), op,
                    ": the gradient must have the sizes of the tensor", line("tensor", root),
                    line("grad", grad));
  return ops::to(grad, root.dtype());
}

void execute(const char* op, std::span<const Tensor> roots, std::span<const Tensor> grads,
             bool retain_graph, bool create_graph, std::vector<Capture>* captures,
             WhenLong when_long) {
  check<ValueError>(grads.empty() || grads.size() == roots.size(), op, ": got ", roots.size(),
                    " tensors but ", grads.size(), " gradients");
  SmallVector<Edge, 2> edges;
  SmallVector<Tensor, 2> first;
  for (size_t i = 0; i < roots.size(); ++i) {
    first.push_back(root_gradient(op, roots[i], grads.empty() ? Tensor() : grads[i]));
    edges.push_back(grad_edge(roots[i]));
  }
  const GradMode mode(create_graph);
  Run run(retain_graph, captures, when_long);
  run.roots(edges);
  for (size_t i = 0; i < edges.size(); ++i) run.push(edges[i], std::move(first[i]));
  run.run();
}

std::vector<Tensor> gradients(const char* op, std::span<const Tensor> outputs,
                              std::span<const Tensor> inputs, std::span<const Tensor> grad_outputs,
                              bool retain_graph, bool create_graph, bool allow_unused,
                              WhenLong when_long) {
  std::vector<Capture> captures;
  for (const Tensor& input : inputs) {
    check<RuntimeError>(requires_grad(input), op, ": input ", captures.size(),
                        " does not require grad", line("input", input));
    captures.push_back({grad_edge(input), {}});
  }
  execute(op, outputs, grad_outputs, retain_graph, create_graph, &captures, when_long);
  std::vector<Tensor> out;
  for (Capture& c : captures) {
    check<RuntimeError>(c.grad.defined() || allow_unused, op, ": input ", out.size(),
                        " took no part in the outputs; pass allow_unused=True to get None for it",
                        line("input", inputs[out.size()]));
    out.push_back(std::move(c.grad));
  }
  return out;
}

}  // namespace

void backward(std::span<const Tensor> roots, std::span<const Tensor> grads, bool retain_graph,
              bool create_graph, WhenLong when_long) {
  execute("backward", roots, grads, retain_graph, create_graph, nullptr, when_long);
}

void backward_into(std::span<const Tensor> inputs, std::span<const Tensor> roots,
                   std::span<const Tensor> grads, bool retain_graph, bool create_graph,
                   WhenLong when_long) {
  check<ValueError>(!inputs.empty(),
                    "backward: inputs must not be empty; leave it out to reach "
                    "every leaf");
  std::vector<Tensor> found =
      gradients("backward", roots, inputs, grads, retain_graph, create_graph, true, when_long);
  const GradMode mode(create_graph);
  for (size_t i = 0; i < inputs.size(); ++i) accumulate(inputs[i], std::move(found[i]));
}

std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                         std::span<const Tensor> grad_outputs, bool retain_graph, bool create_graph,
                         bool allow_unused, WhenLong when_long) {
  return gradients("grad", outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused,
                   when_long);
}

}  // namespace lamina
