#include "autograd/node.h"

#include <atomic>

#include "autograd/autograd.h"

namespace lamina {
namespace {

std::atomic<uint64_t> g_sequence{1};

}  // namespace

Node::Node(const char* name) : name_(name) { renumber(); }

void Node::renumber() { sequence_ = add<uint64_t>(g_sequence, 1, std::memory_order_relaxed); }

void Node::last_release() const noexcept {
  // Deleting a Node releases its saved tensors and edges, which may be the last owners of further
  // Nodes: those line up here instead of deepening the stack.
  struct Line {
    const Node* first = nullptr;
  };
  thread_local Line* line = nullptr;
  if (line) {
    next_dead_ = std::exchange(line->first, this);
    return;
  }
  Line dead;
  line = &dead;
  delete this;
  while (const Node* node = dead.first) {
    dead.first = node->next_dead_;
    delete node;
  }
  line = nullptr;
}

// -- saved tensors -------------------------------------------------------------------------------

namespace {

thread_local Ptr<Keeper> t_keeper;

// In the shell of a tensor that a Keeper holds.
struct Ticket final : AutogradRecord {
  Ticket(Ptr<Keeper> k, size_t n, Edge e) : keeper(std::move(k)), number(n), edge(std::move(e)) {}
  ~Ticket() override { keeper->drop(number); }
  Ptr<Keeper> keeper;
  size_t number;
  Edge edge;  // of an input: where its gradient goes
};

void set_keeper(Ptr<Keeper> keeper) {
  if (keeper) g_keepers.fetch_add(1);
  if (t_keeper) g_keepers.fetch_sub(1);
  t_keeper = std::move(keeper);
}

}  // namespace

KeeperMode::KeeperMode(Ptr<Keeper> keeper) : before_(t_keeper) { set_keeper(std::move(keeper)); }
KeeperMode::~KeeperMode() { set_keeper(std::move(before_)); }

void Saved::hand_over() {
  // A leaf that collects a gradient lives on anyway.
  if (!t_keeper || (!output_ && requires_grad(tensor_) && is_leaf(tensor_))) return;
  const Ptr<Keeper> keeper = t_keeper;
  auto shell = make<TensorImpl>();
  shell->sizes = tensor_.sizes();
  shell->dtype = tensor_.dtype();
  shell->autograd = std::make_unique<Ticket>(keeper, keeper->keep(tensor_),
                                             output_ ? Edge() : grad_edge(tensor_));
  tensor_ = Tensor(std::move(shell));
  handed_over_ = true;
}

Tensor Saved::reattached(Tensor value, Ptr<Node> node, uint32_t nr) const {
  Tensor out = alias(value);
  Record& record = ensure_record(out);
  record.grad_fn = std::move(node);
  record.output_nr = nr;
  out.impl()->requires_grad = true;
  return out;
}

Tensor Saved::unpack(const char* op, Node* node) const {
  if (handed_over_) [[unlikely]] {
    const auto& ticket = static_cast<const Ticket&>(*tensor_.impl()->autograd);
    Tensor value = ticket.keeper->fetch(ticket.number, op);
    if (!grad_enabled()) return value;
    if (output_) return reattached(value, Ptr<Node>(node), nr_);
    return ticket.edge.node ? reattached(value, ticket.edge.node, ticket.edge.nr) : value;
  }
  const Storage& storage = tensor_.storage();
  if (storage.version() != version_) [[unlikely]]
    raise<RuntimeError>(
        op, ": backward needs its ", output_ ? "output" : "input",
        " as it was in the forward pass, but ", storage.last_writer(),
        " has changed it in place since", line("tensor", tensor_),
        line("version", storage.version()), line("saved", version_),
        line("fix", "write ", storage.last_writer(), " out of place, or give it a clone()"));
  if (!output_ || !grad_enabled()) return tensor_;
  // A backward that is itself recorded must see the output as a result of this Node again.
  return reattached(tensor_, Ptr<Node>(node), nr_);
}

void raise_freed(const char* name) {
  raise<RuntimeError>(name,
                      ": backward through this graph a second time, but its saved tensors "
                      "were freed by the first",
                      line("fix",
                           "pass retain_graph=True to the first backward(), or run the "
                           "forward pass again"));
}

}  // namespace lamina
