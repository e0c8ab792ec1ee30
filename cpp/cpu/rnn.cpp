// Recurrent layers: a whole sequence, forward here and backward in rnn_backward.cpp.
//
// What does not depend on the state is one product over all steps: x W_ih^T before the walk, and
// the gradients of x and of the weights after it. In between, a step is a small product with W_hh,
// which is packed once for the whole sequence, and the gates, while what the product left is in
// cache.
//
//   narrow  sequences know nothing of each other: a task takes some of them from the first step to
//           the last, and no thread waits for another.
//   wide    W_hh is more than a cache holds, and would be read by every such task again: a task
//           takes some units of all sequences through one step, and reads its part of W_hh only.
//   single  one step is not worth packing anything for: the products are the device's.
//
// Both cuts are functions of sizes, dtype and table.
#include "cpu/rnn_plan.h"

namespace lamina::cpu {
namespace {

using namespace recurrence;

template <class T>
struct Forward {
  Forward(const Plan<T>& p, const RecurrentArgs& args, const RecurrentDirection& d)
      : plan(p),
        dir(d),
        gru(p.kind == Recurrence::Gru),
        lstm(p.kind == Recurrence::Lstm),
        groups(p, p.wide),
        y(rows_of<T>(d.y)),
        gates(rows_of<T>(d.gates.defined() ? d.gates : d.y)),
        kept(rows_of<T>(d.kept)),
        zeros(p.units) {
    const Matrix<T> weight(d.w_hh);
    for (int g = 0; g < groups.count; ++g)
      panels[g].emplace(weight.rows(groups.first[g], groups.size[g]).transposed(), p.panel,
                        !p.single);
    add_inputs(args);
  }

  // x W_ih^T and what is added to it whatever the state.
  void add_inputs(const RecurrentArgs& args) {
    const int64_t width = plan.gates * plan.units;
    const T* const b_ih = dir.b_ih.as<T>();
    const T* const b_hh = dir.b_hh.as<T>();
    const Workspace<T> both(b_ih != nullptr && b_hh != nullptr ? width : 0);
    const T* bias = b_ih != nullptr ? b_ih : gru ? nullptr : b_hh;
    if (b_ih != nullptr && b_hh != nullptr) {
      const int64_t outside = gru ? plan.units : 0;  // what is multiplied by r first
      for (int64_t j = 0; j < width; ++j)
        both[j] = j < width - outside ? b_ih[j] + b_hh[j] : b_ih[j];
      bias = both.data();
    }
    product<T>({gates.data, plan.total(), width, gates.stride}, Matrix<T>(args.x),
               Matrix<T>(dir.w_ih).transposed(), T(0), bias);
  }

  void step(int64_t i, const Part& part) const {
    const int64_t t = dir.reverse ? plan.steps - 1 - i : i;
    const Rows<const T> before{y.data, y.stride}, h0{dir.h0.as<T>(), plan.units};
    for_origins<T>(
        plan, t, dir.reverse, part, before, h0,
        [&](int64_t r0, int64_t r1, const Rows<const T>& h) { recur(t, r0, r1, part, h); });
    activate(t, part);
  }

  // Adds what the state before gives.
  void recur(int64_t t, int64_t r0, int64_t r1, const Part& part, const Rows<const T>& h) const {
    const T* const b_hh = dir.b_hh.as<T>();
    for (int g = 0; g < groups.count; ++g) {
      const bool apart = gru && g == groups.count - 1;
      const Rows<T> to = apart ? from(kept, plan.first[t] + r0, 0)
                               : from(gates, plan.first[t] + r0, groups.first[g]);
      const T* const bias = apart && b_hh != nullptr ? b_hh + groups.first[g] : nullptr;
      const int64_t j0 = plan.wide ? part.u0 : 0, j1 = plan.wide ? part.u1 : groups.size[g];
      if (h.data != nullptr) {
        panels[g]->multiply(r1 - r0, from(h, r0, 0), to, apart ? T(0) : T(1), bias, j0, j1);
      } else if (apart) {
        for (int64_t r = 0; r < r1 - r0; ++r) {
          for (int64_t j = j0; j < j1; ++j) to.row(r)[j] = bias == nullptr ? T(0) : bias[j];
        }
      }
    }
  }

  void activate(int64_t t, const Part& part) const {
    const Rows<const T> states{gru ? y.data : kept.data, gru ? y.stride : kept.stride};
    const TensorRef& start = gru ? dir.h0 : dir.c0;
    const Rows<const T> initial =
        start.defined() ? Rows<const T>{start.as<T>(), plan.units} : zeros.rows();
    for_origins<T>(
        plan, t, dir.reverse, part, states, initial,
        [&](int64_t r0, int64_t r1, const Rows<const T>& before) { run(t, r0, r1, part, before); });
  }

  void run(int64_t t, int64_t r0, int64_t r1, const Part& part, const Rows<const T>& before) const {
    const auto f = micro().of<T>().rnn.step[static_cast<int>(plan.kind)];
    const int64_t grain = plan.single ? std::max<int64_t>(1, 4096 / plan.units) : r1 - r0;
    parallel_for(r1 - r0, grain, [&](int64_t begin, int64_t end) {
      const int64_t row = plan.first[t] + r0 + begin;
      f({end - begin, part.u1 - part.u0, plan.units, from(gates, row, part.u0),
         from(kept, row, part.u0), from(before, r0 + begin, part.u0), from(y, row, part.u0)});
    });
  }

  // The last state of every sequence.
  void finish() const {
    const auto keep = [&](const TensorRef& to, const Rows<T>& states) {
      if (!to.defined()) return;
      for (int64_t t = plan.steps - 1, done = 0; t >= 0 && done < plan.n; --t) {
        const int64_t end = dir.reverse ? (t == 0 ? plan.n : 0) : plan.rows(t);
        for (; done < end; ++done)
          std::copy_n(states.row(plan.first[t] + done), plan.units, to.as<T>() + done * plan.units);
      }
    };
    keep(dir.h_n, y);
    if (lstm) keep(dir.c_n, kept);
  }

  const Plan<T>& plan;
  const RecurrentDirection& dir;
  bool gru, lstm;
  Groups groups;
  Rows<T> y, gates, kept;
  Zeros<T> zeros;
  std::optional<Panels<T>> panels[kMaxGroups];
};

template <class T>
void run_forward(const RecurrentArgs& args) {
  const Plan<T> plan(args);
  const auto count = static_cast<int64_t>(args.directions.size());
  std::optional<Forward<T>> forward[2];
  for (int64_t d = 0; d < count; ++d)
    forward[d].emplace(plan, args, args.directions[static_cast<size_t>(d)]);
  plan.walk(count, [&](int64_t d, int64_t i, const Part& part) { forward[d]->step(i, part); });
  for (int64_t d = 0; d < count; ++d) forward[d]->finish();
}

}  // namespace

void recurrent(Ctx&, const RecurrentArgs& args) {
  dispatch_floating("recurrent", args.x.dtype, [&]<class T>() { run_forward<T>(args); });
}

}  // namespace lamina::cpu
