// Optimizer steps: one device call for all the parameters that have a gradient.
#include "ops/common.h"

namespace lamina::ops {
namespace {

// The parameters of one step that take part, in the device's terms. Whatever is not laid out in
// rows is worked on as a copy and written back.
class Batch {
 public:
  Batch(const char* op, const OptimizerStep& s) : op_(op), s_(s) {
    check<TypeError>(s.steps.dtype() == DType::Int64 && s.steps.contiguous() &&
                         s.steps.numel() == static_cast<int64_t>(s.params.size()),
                     op, ": steps must be an int64 tensor with one entry a parameter");
    for (const auto& state : s.state)
      check<ValueError>(state.empty() || state.size() == s.params.size(), op, ": ", s.params.size(),
                        " parameters but ", state.size(), " state tensors");
    used_.reserve(s.params.size());
    grads_.reserve(s.params.size());
    for (size_t i = 0; i < s.params.size(); ++i) {
      Tensor g = grad_of(s.params[i]);
      if (!g.defined()) continue;
      check_floating(op, "parameter", s.params[i]);
      if (used_.empty()) device_ = s.params[i].device();
      check<ValueError>(s.params[i].device() == device_, op,
                        ": parameters on two devices; give "
                        "each device an optimizer of its own");
      used_.push_back(i);
      grads_.push_back(g.contiguous() ? std::move(g) : contiguous(g));
    }
  }

  size_t size() const { return used_.size(); }
  Device device() const { return device_; }
  const Tensor& grad(size_t k) const { return grads_[k]; }
  Tensor param(size_t k) { return rows(s_.params[used_[k]]); }
  // The k-th parameter's state tensor, or undefined where the method keeps none.
  Tensor state(int which, size_t k) {
    const auto& list = s_.state[which];
    if (list.empty()) return {};
    const Tensor& t = list[used_[k]];
    check<ValueError>(
        t.sizes() == s_.params[used_[k]].sizes() && t.dtype() == s_.params[used_[k]].dtype(), op_,
        ": optimizer state does not fit its parameter", line("param", s_.params[used_[k]]),
        line("state", t));
    return rows(t);
  }
  // Counts this step and returns its number, from 1.
  int64_t count_step(size_t k) { return ++s_.steps.as<int64_t>()[used_[k]]; }

  void written() {
    for (const auto& [original, copy] : copies_) copy_(original, copy);
    for (const size_t i : used_) s_.params[i].storage().wrote(op_);
  }

 private:
  Tensor rows(const Tensor& t) {
    if (t.contiguous()) return t;
    copies_.emplace_back(detach(t), clone(detach(t)));
    return copies_.back().second;
  }

  const char* op_;
  const OptimizerStep& s_;
  Device device_;
  std::vector<size_t> used_;
  std::vector<Tensor> grads_;
  std::vector<std::pair<Tensor, Tensor>> copies_;
};

// Keeps the tensors behind the refs alive until the device call is over.
template <class Entry, auto Run, class Args, class Fill>
void step(const char* op, const OptimizerStep& s, const Args& args, Fill fill) {
  const GradMode off(false);
  Batch batch(op, s);
  std::vector<Entry> entries(batch.size());
  std::vector<Tensor> alive;
  for (size_t k = 0; k < batch.size(); ++k) {
    const auto keep = [&](Tensor t) {
      alive.push_back(std::move(t));
      return ref_or_none(alive.back());
    };
    entries[k].param = keep(batch.param(k));
    entries[k].grad = batch.grad(k);
    fill(entries[k], batch, k, keep);
  }
  if (entries.empty()) return;
  call<Run>(batch.device(), op, std::span<const Entry>(entries), args);
  batch.written();
}

}  // namespace

void sgd_step(const OptimizerStep& s, const SgdArgs& args) {
  step<SgdTensors, &DeviceApi::sgd>("sgd", s, args,
                                    [](SgdTensors& e, Batch& batch, size_t k, auto keep) {
                                      e.momentum = keep(batch.state(0, k));
                                      e.first = batch.count_step(k) == 1;
                                    });
}

void adam_step(const OptimizerStep& s, const AdamArgs& args) {
  step<AdamTensors, &DeviceApi::adam>("adam", s, args,
                                      [](AdamTensors& e, Batch& batch, size_t k, auto keep) {
                                        e.exp_avg = keep(batch.state(0, k));
                                        e.exp_avg_sq = keep(batch.state(1, k));
                                        e.max_exp_avg_sq = keep(batch.state(2, k));
                                        e.step = batch.count_step(k);
                                      });
}

void rmsprop_step(const OptimizerStep& s, const RmspropArgs& args) {
  step<RmspropTensors, &DeviceApi::rmsprop>(
      "rmsprop", s, args, [](RmspropTensors& e, Batch& batch, size_t k, auto keep) {
        e.square_avg = keep(batch.state(0, k));
        e.momentum = keep(batch.state(1, k));
        e.grad_avg = keep(batch.state(2, k));
        batch.count_step(k);
      });
}

void zero_grad(std::span<const Tensor> params, bool set_to_none) {
  for (const Tensor& p : params) {
    const Tensor g = grad_of(p);
    if (!g.defined()) continue;
    if (set_to_none) {
      set_grad(p, {});
    } else {
      const GradMode off(false);
      fill_(g, Scalar(0));
    }
  }
}

}  // namespace lamina::ops
