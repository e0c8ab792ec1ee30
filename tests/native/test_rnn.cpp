// Recurrent layers: the gates of every table against `ref`, whole sequences against formulas in
// long double, and gradients against differences of those.

#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();

constexpr Recurrence kKinds[] = {Recurrence::Tanh, Recurrence::Relu, Recurrence::Lstm,
                                 Recurrence::Gru};

// --- the gates ---

// Every buffer of a step and of its gradient, with rows a little longer than they are used.
template <class T>
struct Buffers {
  Buffers(int64_t rows, int64_t n)
      : gates({rows, 4 * n}, {4 * n + 3, 1}),
        kept({rows, n}, {n + 2, 1}),
        before({rows, n}, {n + 1, 1}),
        h({rows, n}, {n + 5, 1}),
        dy({rows, n}, {n + 1, 1}),
        dh({rows, n}, {n, 1}),
        dc({rows, n}, {n, 1}),
        dgates({rows, 4 * n}, {4 * n + 1, 1}),
        dkept({rows, n}, {n, 1}) {}

  void set() {
    unsigned seed = 1;
    for (Array<T>* a : {&gates, &kept, &before, &h, &dy, &dh, &dc, &dgates, &dkept})
      a->assign(random_values<T>(a->numel(), seed++, -3, 3));
  }
  std::vector<T> values() const {
    std::vector<T> all;
    for (const Array<T>* a : {&gates, &kept, &h, &dh, &dc, &dgates, &dkept})
      for (const T v : a->values()) all.push_back(v);
    return all;
  }

  Array<T> gates, kept, before, h, dy, dh, dc, dgates, dkept;
};

template <class T>
cpu::Rows<T> rows(const Array<T>& a) {
  return {a.ref().template as<T>(), a.ref().strides[0]};
}
template <class T>
cpu::Rows<const T> read(const Array<T>& a) {
  return {a.ref().template as<T>(), a.ref().strides[0]};
}

template <class T>
std::vector<T> gates_of_table(const cpu::MicroTable& table, Recurrence kind, int64_t m, int64_t n,
                              bool with_dy) {
  const cpu::RnnMicro<T>& micro = table.of<T>().rnn;
  Buffers<T> b(m, n);
  b.set();
  micro.step[static_cast<int>(kind)](
      {m, n, n, rows(b.gates), rows(b.kept), read(b.before), rows(b.h)});
  std::vector<T> all = b.values();
  // The gradient from the same numbers whatever the step made of them.
  b.set();
  for (int64_t i = 0; i < b.gates.numel(); ++i) b.gates[i] = T(0.5) + b.gates[i] / 8;
  micro.backward[static_cast<int>(kind)]({m, n, n, read(b.gates), read(b.kept), read(b.before),
                                          read(b.h),
                                          with_dy ? read(b.dy) : cpu::Rows<const T>{nullptr, 0},
                                          rows(b.dh), rows(b.dc), rows(b.dgates), rows(b.dkept)});
  for (const T v : b.values()) all.push_back(v);
  return all;
}

// --- whole sequences ---

struct Case {
  Recurrence kind;
  std::vector<int64_t> batch;
  int64_t features, units;
  bool biases = true, state = true, both = false;
};

// The tensors of one direction.
template <class T>
struct Direction {
  Direction(const Case& c, int64_t total, bool reverse_, unsigned seed)
      : reverse(reverse_),
        gates(gates_of(c.kind)),
        n(c.batch[0]),
        w_ih({gates * c.units, c.features}),
        w_hh({gates * c.units, c.units}),
        b_ih({gates * c.units}),
        b_hh({gates * c.units}),
        h0({n, c.units}),
        c0({n, c.units}),
        y({total, c.units}, {c.units + (c.both ? c.units : 0), 1}),
        acts({total, gates * c.units}),
        kept({total, c.units}),
        h_n({n, c.units}),
        c_n({n, c.units}),
        dy({total, c.units}, {c.units + 2, 1}),
        dh({n, c.units}),
        dc({n, c.units}),
        dw_ih({gates * c.units, c.features}),
        dw_hh({gates * c.units, c.units}),
        db_ih({gates * c.units}),
        db_hh({gates * c.units}),
        of_h_n(random_values<T>(n * c.units, seed + 7)),
        of_c_n(random_values<T>(n * c.units, seed + 8)) {
    const double size = 1 / std::sqrt(static_cast<double>(c.units));
    for (Array<T>* a : {&w_ih, &w_hh, &b_ih, &b_hh, &h0, &c0})
      a->assign(random_values<T>(a->numel(), seed++, -size, size));
    dy.assign(random_values<T>(dy.numel(), seed));
  }

  RecurrentDirection args(const Case& c) const {
    const bool keeps = gates > 1;
    const TensorRef none;
    return {reverse,
            w_ih,
            w_hh,
            c.biases ? b_ih.ref() : none,
            c.biases ? b_hh.ref() : none,
            c.state ? h0.ref() : none,
            c.state && c.kind == Recurrence::Lstm ? c0.ref() : none,
            y,
            keeps ? acts.ref() : none,
            keeps ? kept.ref() : none,
            h_n,
            c.kind == Recurrence::Lstm ? c_n.ref() : none};
  }
  RecurrentGradients gradients(const Case& c) {
    dh.assign(of_h_n);
    dc.assign(of_c_n);
    const TensorRef none;
    return {dy,
            dh,
            c.kind == Recurrence::Lstm ? dc.ref() : none,
            c.state,
            dw_ih,
            dw_hh,
            c.biases ? db_ih.ref() : none,
            c.biases ? db_hh.ref() : none};
  }

  bool reverse;
  int64_t gates, n;
  Array<T> w_ih, w_hh, b_ih, b_hh, h0, c0, y, acts, kept, h_n, c_n, dy, dh, dc, dw_ih, dw_hh, db_ih,
      db_hh;
  std::vector<T> of_h_n, of_c_n;
};

template <class T>
struct Layer {
  explicit Layer(const Case& c_)
      : c(c_), total(0), x({sum(c_.batch), c_.features}), dx({sum(c_.batch), c_.features}) {
    total = sum(c.batch);
    x.assign(random_values<T>(x.numel(), 99));
    for (int d = 0; d <= (c.both ? 1 : 0); ++d)
      directions.push_back(
          std::make_unique<Direction<T>>(c, total, d == 1, static_cast<unsigned>(10 + 20 * d)));
  }
  static int64_t sum(const std::vector<int64_t>& v) {
    int64_t all = 0;
    for (const int64_t n : v) all += n;
    return all;
  }

  // Forward and backward on the table and the threads in use; everything that comes out.
  std::vector<T> run() {
    Ctx ctx;
    std::vector<RecurrentDirection> args;
    for (auto& d : directions) args.push_back(d->args(c));
    const RecurrentArgs forward{c.kind, x, c.batch, args};
    cpu::recurrent(ctx, forward);
    std::vector<RecurrentGradients> gradients;
    for (auto& d : directions) gradients.push_back(d->gradients(c));
    cpu::recurrent_backward(ctx, {forward, dx, gradients});
    std::vector<T> all;
    const auto take = [&](const Array<T>& a) {
      for (const T v : a.values()) all.push_back(v);
    };
    take(dx);
    for (auto& d : directions) {
      for (const Array<T>* a : {&d->y, &d->h_n, &d->dw_ih, &d->dw_hh}) take(*a);
      if (c.kind == Recurrence::Lstm) take(d->c_n);
      if (c.biases) take(d->db_ih);
      if (c.biases) take(d->db_hh);
      if (c.state) take(d->dh);
      if (c.state && c.kind == Recurrence::Lstm) take(d->dc);
    }
    return all;
  }

  const Case& c;
  int64_t total;
  Array<T> x, dx;
  std::vector<std::unique_ptr<Direction<T>>> directions;
};

Wide sigmoid(Wide x) { return 1 / (1 + std::exp(-x)); }

// One direction by its formulas, sequence by sequence; the sum of everything that comes out, each
// element times the gradient that it gets in `run`. Also gives y.
Wide formula(const Layer<double>& layer, const Direction<double>& d, std::vector<Wide>* y) {
  const Case& c = layer.c;
  const int64_t units = c.units;
  const auto steps = static_cast<int64_t>(c.batch.size());
  std::vector<int64_t> first;
  int64_t at = 0;
  for (const int64_t n : c.batch) {
    first.push_back(at);
    at += n;
  }
  if (y) y->assign(static_cast<size_t>(at * units), 0);
  Wide sum = 0;
  for (int64_t s = 0; s < d.n; ++s) {
    std::vector<Wide> h, cell;
    for (int64_t j = 0; j < units; ++j) {
      h.push_back(c.state ? Wide(d.h0[s * units + j]) : 0);
      cell.push_back(c.state ? Wide(d.c0[s * units + j]) : 0);
    }
    for (int64_t i = 0; i < steps; ++i) {
      const int64_t t = d.reverse ? steps - 1 - i : i;
      if (s >= c.batch[static_cast<size_t>(t)]) continue;
      const int64_t row = first[static_cast<size_t>(t)] + s;
      std::vector<Wide> next(h.size());
      for (int64_t j = 0; j < units; ++j) {
        Wide gx[4] = {}, gh[4] = {};
        for (int64_t g = 0; g < d.gates; ++g) {
          const int64_t k = g * units + j;
          if (c.biases) gx[g] = d.b_ih[k];
          if (c.biases) gh[g] = d.b_hh[k];
          for (int64_t p = 0; p < c.features; ++p)
            gx[g] += Wide(d.w_ih[k * c.features + p]) * Wide(layer.x[row * c.features + p]);
          for (int64_t p = 0; p < units; ++p)
            gh[g] += Wide(d.w_hh[k * units + p]) * h[static_cast<size_t>(p)];
        }
        const auto u = static_cast<size_t>(j);
        if (c.kind == Recurrence::Tanh) next[u] = std::tanh(gx[0] + gh[0]);
        if (c.kind == Recurrence::Relu) next[u] = std::max(gx[0] + gh[0], Wide(0));
        if (c.kind == Recurrence::Lstm) {
          cell[u] =
              sigmoid(gx[1] + gh[1]) * cell[u] + sigmoid(gx[0] + gh[0]) * std::tanh(gx[2] + gh[2]);
          next[u] = sigmoid(gx[3] + gh[3]) * std::tanh(cell[u]);
        }
        if (c.kind == Recurrence::Gru) {
          const Wide z = sigmoid(gx[1] + gh[1]);
          next[u] = (1 - z) * std::tanh(gx[2] + sigmoid(gx[0] + gh[0]) * gh[2]) + z * h[u];
        }
      }
      h = next;
      for (int64_t j = 0; j < units; ++j) {
        sum += Wide(d.dy[row * units + j]) * h[static_cast<size_t>(j)];
        if (y) (*y)[static_cast<size_t>(row * units + j)] = h[static_cast<size_t>(j)];
      }
    }
    for (int64_t j = 0; j < units; ++j) {
      const auto u = static_cast<size_t>(j), k = static_cast<size_t>(s * units + j);
      sum += Wide(d.of_h_n[k]) * h[u];
      if (c.kind == Recurrence::Lstm) sum += Wide(d.of_c_n[k]) * cell[u];
    }
  }
  return sum;
}

Wide formula(const Layer<double>& layer) {
  Wide sum = 0;
  for (const auto& d : layer.directions) sum += formula(layer, *d, nullptr);
  return sum;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Recurrence kind : kKinds) {
    for (const auto& batch : std::vector<std::vector<int64_t>>{
             {1}, {3}, {1, 1, 1}, {2, 2, 2}, {5, 5, 5}, {17, 17}, {6, 4, 4, 1}, {9, 9, 3, 2}}) {
      const bool odd = batch.size() % 2 == 1;
      all.push_back({kind, batch, 3, 5, true, odd, !odd});
      all.push_back({kind, batch, 1, 17, odd, true, odd});
      all.push_back({kind, batch, 5, 33, false, false, true});
    }
    // Past what a task may have of W_hh to itself: for float a thin batch too.
    all.push_back({kind, {7, 7, 5}, 4, 370, true, true, false});
    all.push_back({kind, {2, 2, 1}, 4, 370, true, false, true});
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rnn)

BOOST_AUTO_TEST_CASE_TEMPLATE(gates_are_those_of_ref, T, Floats) {
  for (const Recurrence kind : kKinds) {
    for (const int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64}) {
      for (const bool with_dy : {false, true}) {
        const std::vector<T> exact = gates_of_table<T>(cpu::kRefTable, kind, 3, n, with_dy);
        const std::vector<Wide> want(exact.begin(), exact.end());
        for_each_table([&] {
          // A sum of products of at most six factors of size 3, each function off by two ulps.
          check_close(gates_of_table<T>(cpu::micro(), kind, 3, n, with_dy), want,
                      [&](size_t i) { return kEps<T> * (24 * std::fabs(want[i]) + 64); });
        });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(sequences_are_their_formulas) {
  for (const Case& c : cases()) {
    Layer<double> layer(c);
    for (auto& d : layer.directions) {
      std::vector<Wide> want;
      formula(layer, *d, &want);
      for_each_table([&] {
        layer.run();
        // Each step sums `units` terms of at most 1 / sqrt(units), and hands its error on.
        const Wide bound = kEps<double> * 16 * Wide(c.batch.size()) * Wide(c.units + 8);
        check_close(d->y.values(), want, [&](size_t) { return bound; });
      });
    }
  }
}

// Central differences of step e in long double are off by e^2 / 6 of a third derivative.
BOOST_AUTO_TEST_CASE(gradients_are_differences) {
  const Wide step = 0x1p-20L;
  for (const Case& c : cases()) {
    if (c.units > 33 || c.batch[0] > 9) continue;
    Layer<double> layer(c);
    const cpu::MicroTable* const before = cpu::use_table(&cpu::kRefTable);
    layer.run();
    cpu::use_table(before);
    const auto check = [&](Array<double>& value, const Array<double>& gradient) {
      const int64_t count = value.numel(), stride = std::max<int64_t>(1, count / 3);
      for (int64_t i = 0; i < count; i += stride) {
        const double kept = value[i];
        value[i] = kept + double(step);
        const Wide above = formula(layer);
        value[i] = kept - double(step);
        const Wide below = formula(layer);
        value[i] = kept;
        const Wide want = (above - below) / (2 * step);
        BOOST_TEST(std::fabs(Wide(gradient[i]) - want) <= 1e-9L * (1 + std::fabs(want)));
      }
    };
    // ReLU has a corner, which may lie within a step: its gates are compared with ref's above.
    if (c.kind == Recurrence::Relu) continue;
    check(layer.x, layer.dx);
    for (auto& d : layer.directions) {
      check(d->w_ih, d->dw_ih);
      check(d->w_hh, d->dw_hh);
      if (c.biases) check(d->b_ih, d->db_ih);
      if (c.biases) check(d->b_hh, d->db_hh);
      if (c.state) check(d->h0, d->dh);
      if (c.state && c.kind == Recurrence::Lstm) check(d->c0, d->dc);
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(tables_agree_with_ref, T, Floats) {
  for (const Case& c : cases()) {
    Layer<T> layer(c);
    const cpu::MicroTable* const before = cpu::use_table(&cpu::kRefTable);
    const std::vector<T> exact = layer.run();
    cpu::use_table(before);
    const std::vector<Wide> want(exact.begin(), exact.end());
    const Wide terms = Wide(layer.total + c.units + 8);  // of the longest sum
    Wide largest = 1;
    for (const Wide v : want) largest = std::max(largest, std::fabs(v));
    for_each_table([&] {
      check_close(layer.run(), want,
                  [&](size_t) { return kEps<T> * 8 * Wide(c.batch.size()) * terms * largest; });
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Recurrence kind : kKinds) {
    for (const Case& c : {Case{kind, {40, 40, 31, 7}, 6, 70, true, true, true},
                          Case{kind, {16, 16, 16}, 5, 400, true, true, true},
                          Case{kind, {300}, 9, 64, true, true, false}}) {
      Layer<T> layer(c);
      for_each_table([&] {
        if (&cpu::micro() == &cpu::kRefTable) return;
        std::vector<T> first;
        for_each_thread_count([&] {
          const std::vector<T> got = layer.run();
          if (first.empty()) first = got;
          BOOST_TEST(same_bits(got, first));
        });
      });
    }
  }
}

// A sequence with NaN keeps it to itself.
BOOST_AUTO_TEST_CASE_TEMPLATE(not_a_number_stays_in_its_sequence, T, Floats) {
  for (const Recurrence kind : kKinds) {
    const Case c{kind, {5, 5, 5}, 3, 17};
    Layer<T> layer(c);
    layer.x[7 * 3] = std::numeric_limits<T>::quiet_NaN();  // step 1, sequence 2
    for_each_table([&] {
      layer.run();
      const Direction<T>& d = *layer.directions[0];
      for (int64_t t = 0; t < 3; ++t) {
        for (int64_t s = 0; s < 5; ++s)
          BOOST_TEST(std::isnan(d.y[(t * 5 + s) * 17]) == (s == 2 && t >= 1));
      }
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(no_sequences, T, Floats) {
  for (const Recurrence kind : kKinds) {
    const Case c{kind, {0, 0}, 3, 5};
    Layer<T> layer(c);
    for_each_table([&] {
      layer.run();
      for (const T v : layer.directions[0]->dw_hh.values()) BOOST_TEST(v == T(0));
      for (const T v : layer.directions[0]->db_hh.values()) BOOST_TEST(v == T(0));
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
