// The gradient of a recurrent layer: the walk of rnn.cpp from its last step to its first.
#include "cpu/rnn_plan.h"

namespace lamina::cpu {
namespace {

using namespace recurrence;

template <class T>
struct BackwardPass {
  BackwardPass(const Plan<T>& p, const RecurrentDirection& d, const RecurrentGradients& g)
      : plan(p),
        dir(d),
        grad(g),
        gru(p.kind == Recurrence::Gru),
        groups(p, false),
        dgates_memory(p.total() * p.gates * p.units),
        dkept_memory(gru ? p.total() * p.units : 0),
        dgates{dgates_memory.data(), p.gates * p.units},
        dkept{gru ? dkept_memory.data() : nullptr, p.units},
        dh(rows_of<T>(g.dh)),
        zeros(p.units) {
    const Matrix<T> weight(d.w_hh);
    for (int k = 0; k < groups.count; ++k)
      panels[k].emplace(weight.rows(groups.first[k], groups.size[k]), p.panel, !p.single);
  }

  int64_t time(int64_t i) const { return dir.reverse ? i : plan.steps - 1 - i; }
  // What the step before this one in the walk did to the gates reaches the states it began with.
  void step(int64_t i, const Part& part) const {
    if (i > 0) carry(time(i - 1), part);
    activate(time(i), part);
  }

  void carry(int64_t t, const Part& part) const {
    // States that nobody made are wanted only when they were given.
    const int64_t end = grad.needs_state ? plan.rows(t) : plan.continued(t, dir.reverse);
    const int64_t rows = std::min(part.r1, end) - part.r0;
    if (rows <= 0) return;
    for (int k = 0; k < groups.count; ++k) {
      const bool apart = gru && k == 1;
      const Rows<T> a = from(apart ? dkept : dgates, plan.first[t] + part.r0, 0);
      panels[k]->multiply(rows, {a.data, a.stride}, from(dh, part.r0, 0), gru ? T(1) : T(0),
                          nullptr, part.u0, part.u1);
    }
  }

  void activate(int64_t t, const Part& part) const {
    const TensorRef& source = gru ? dir.y : dir.kept;
    const TensorRef& start = gru ? dir.h0 : dir.c0;
    const Rows<const T> states{source.as<T>(), source.defined() ? source.strides[0] : 0};
    const Rows<const T> initial =
        start.defined() ? Rows<const T>{start.as<T>(), plan.units} : zeros.rows();
    for_origins<T>(
        plan, t, dir.reverse, part, states, initial,
        [&](int64_t r0, int64_t r1, const Rows<const T>& before) { run(t, r0, r1, part, before); });
  }

  void run(int64_t t, int64_t r0, int64_t r1, const Part& part, const Rows<const T>& before) const {
    const auto f = micro().of<T>().rnn.backward[static_cast<int>(plan.kind)];
    const auto at = [&](const TensorRef& ref, int64_t row) {
      const Rows<T> r = from(rows_of<T>(ref), row, part.u0);
      return Rows<const T>{r.data, r.stride};
    };
    const int64_t grain = plan.single ? std::max<int64_t>(1, 4096 / plan.units) : r1 - r0;
    parallel_for(r1 - r0, grain, [&](int64_t begin, int64_t end) {
      const int64_t r = r0 + begin, row = plan.first[t] + r;
      f({end - begin, part.u1 - part.u0, plan.units, at(dir.gates, row), at(dir.kept, row),
         from(before, r, part.u0), at(dir.y, row), at(grad.dy, row), from(dh, r, part.u0),
         from(rows_of<T>(grad.dc), r, part.u0), from(dgates, row, part.u0),
         from(dkept, row, part.u0)});
    });
  }

  // Of the parameters and of x, over all steps at once.
  void finish(const RecurrentBackwardArgs& args, bool first) const {
    const int64_t width = plan.gates * plan.units;
    const Matrix<T> of_inputs(dgates.data, plan.total(), width, width);
    T* const db_ih = grad.db_ih.defined() ? grad.db_ih.as<T>() : grad.db_hh.as<T>();
    if (grad.dw_ih.defined()) {
      product<T>(Matrix<T>(grad.dw_ih), of_inputs.transposed(), Matrix<T>(args.forward.x), T(0),
                 nullptr, db_ih);
    } else if (db_ih != nullptr) {
      sum_rows(of_inputs, db_ih);
    }
    if (grad.db_hh.defined()) {
      T* const db_hh = grad.db_hh.as<T>();
      if (db_hh != db_ih) std::copy_n(db_ih, width, db_hh);
      if (gru)
        sum_rows({dkept.data, plan.total(), plan.units, plan.units}, db_hh + groups.first[1]);
    }
    if (grad.dw_hh.defined()) {
      const Matrix<T> dw(grad.dw_hh);
      const Workspace<T, 64> copy(plan.uniform() ? 0 : plan.total() * plan.units);
      if (!plan.uniform()) copy_states(copy.data());
      for (int k = 0; k < groups.count; ++k) {
        const Matrix<T> to = dw.rows(groups.first[k], groups.size[k]);
        const Matrix<T> by = gru && k == 1
                                 ? Matrix<T>(dkept.data, plan.total(), plan.units, plan.units)
                                 : of_inputs.columns(0, groups.size[k]);
        if (plan.uniform())
          by_shifted_states(to, by);
        else
          product<T>(to, by.transposed(), {copy.data(), plan.total(), plan.units, plan.units});
      }
    }
    if (args.dx.defined())
      product<T>(Matrix<T>(args.dx), of_inputs, Matrix<T>(dir.w_ih), first ? T(0) : T(1));
  }

  // Every step has all sequences: the states before are those of y, a step on, and the first ones.
  void by_shifted_states(const Matrix<T>& dw, const Matrix<T>& dgate) const {
    const int64_t rest = plan.total() - plan.n;
    const Matrix<T> states(dir.y);
    const bool any = plan.steps > 1;
    if (any) {
      product<T>(dw, dgate.rows(dir.reverse ? 0 : plan.n, rest).transposed(),
                 states.rows(dir.reverse ? plan.n : 0, rest));
    }
    if (dir.h0.defined()) {
      product<T>(dw, dgate.rows(dir.reverse ? rest : 0, plan.n).transposed(), Matrix<T>(dir.h0),
                 any ? T(1) : T(0));
    } else if (!any) {
      std::fill_n(dw.data(), dw.height() * dw.width(), T(0));
    }
  }

  void copy_states(T* to) const {
    const Rows<const T> y{dir.y.as<T>(), dir.y.strides[0]};
    const Rows<const T> start =
        dir.h0.defined() ? Rows<const T>{dir.h0.as<T>(), plan.units} : zeros.rows();
    for (int64_t t = 0; t < plan.steps; ++t) {
      for_origins<T>(plan, t, dir.reverse, Part{0, plan.n, 0, plan.units}, y, start,
                     [&](int64_t r0, int64_t r1, const Rows<const T>& h) {
                       for (int64_t r = r0; r < r1; ++r)
                         std::copy_n(h.row(r), plan.units, to + (plan.first[t] + r) * plan.units);
                     });
    }
  }

  static void sum_rows(const Matrix<T>& x, T* sums) {
    Ctx ctx;
    const int64_t from_sizes[2] = {x.height(), x.width()}, to_sizes[2] = {1, x.width()};
    const int64_t from_strides[2] = {x.row_stride(), 1}, to_strides[2] = {x.width(), 1};
    reduce(ctx, ReduceOp::Sum, {sums, to_sizes, to_strides, kDTypeOf<T>},
           {x.data(), from_sizes, from_strides, kDTypeOf<T>});
  }

  const Plan<T>& plan;
  const RecurrentDirection& dir;
  const RecurrentGradients& grad;
  bool gru;
  Groups groups;
  Workspace<T, 64> dgates_memory, dkept_memory;
  Rows<T> dgates, dkept, dh;
  Zeros<T> zeros;
  std::optional<Panels<T>> panels[kMaxGroups];
};

template <class T>
void run_backward(const RecurrentBackwardArgs& args) {
  const RecurrentArgs& f = args.forward;
  const Plan<T> plan(f);
  const auto count = static_cast<int64_t>(f.directions.size());
  std::optional<BackwardPass<T>> walk[2];
  for (int64_t d = 0; d < count; ++d) {
    const auto at = static_cast<size_t>(d);
    walk[d].emplace(plan, f.directions[at], args.directions[at]);
  }
  plan.walk(count, [&](int64_t d, int64_t i, const Part& part) { walk[d]->step(i, part); });
  plan.parts(count, [&](int64_t d, const Part& part) {
    if (args.directions[static_cast<size_t>(d)].needs_state)
      walk[d]->carry(walk[d]->time(plan.steps - 1), part);
  });
  for (int64_t d = 0; d < count; ++d) walk[d]->finish(args, d == 0);
}

}  // namespace

void recurrent_backward(Ctx&, const RecurrentBackwardArgs& args) {
  dispatch_floating("recurrent", args.forward.x.dtype, [&]<class T>() { run_backward<T>(args); });
}

}  // namespace lamina::cpu
