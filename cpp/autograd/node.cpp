#include "autograd/node.h"

#include <atomic>

#include "autograd/autograd.h"

namespace lamina {
namespace {

std::atomic<uint64_t> g_sequence{1};

}  // namespace

Node::Node(const char* name)
    : name_(name), sequence_(g_sequence.fetch_add(1, std::memory_order_relaxed)) {}

void Node::renumber() { sequence_ = g_sequence.fetch_add(1, std::memory_order_relaxed); }

void Node::last_release() const noexcept {
  // Deleting a Node releases its saved tensors and edges, which may be the last owners of further
  // Nodes: those queue up here instead of deepening the stack.
  thread_local std::vector<const Node*>* queue = nullptr;
  if (queue) {
    queue->push_back(this);
    return;
  }
  std::vector<const Node*> pending;
  queue = &pending;
  delete this;
  while (!pending.empty()) {
    const Node* next = pending.back();
    pending.pop_back();
    delete next;
  }
  queue = nullptr;
}

Tensor Saved::unpack(Node& node) const {
  const Storage& storage = tensor_.storage();
  if (storage.version() != version_) [[unlikely]]
    raise<RuntimeError>(
        node.name(), ": backward needs its ", output_ ? "output" : "input",
        " as it was in the forward pass, but ", storage.last_writer(),
        " has changed it in place since", line("tensor", tensor_),
        line("version", storage.version()), line("saved", version_),
        line("fix", "write ", storage.last_writer(), " out of place, or give it a clone()"));
  if (!output_ || !grad_enabled()) return tensor_;
  // A backward that is itself recorded must see the output as a result of this Node again.
  Tensor out = alias(tensor_);
  Record& record = ensure_record(out);
  record.grad_fn = Ptr<Node>(&node);
  record.output_nr = nr_;
  out.impl()->requires_grad = true;
  return out;
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
