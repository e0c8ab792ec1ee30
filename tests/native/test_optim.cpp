#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();

// Sizes that end within a vector, and one that spans several chunks; together they cross the cuts
// between chunks.
constexpr int64_t kSizes[] = {1, 7, 15, 17, 33, 127, 0, 5, 40009, 3};

// The buffers of one optimizer over all those tensors, and the same in long double. A step is taken
// from the stored values, so that what is compared is one step.
template <class T>
struct Buffers {
  std::vector<std::unique_ptr<Array<T>>> arrays;
  std::vector<std::vector<Wide>> wide;

  Buffers(unsigned seed, double low, double high) {
    for (const int64_t n : kSizes) {
      arrays.push_back(std::make_unique<Array<T>>(Dims{n}));
      arrays.back()->assign(random_values<T>(n, seed++, low, high));
    }
    reload();
  }
  void reload() {
    wide.clear();
    for (const auto& a : arrays) {
      wide.emplace_back();
      for (const T v : a->values()) wide.back().push_back(v);
    }
  }
  // Every stored value is within `roundings` of ulps of its term's size.
  void check(const char* what, Wide roundings, Wide size) const {
    BOOST_TEST_CONTEXT(what) {
      for (size_t i = 0; i < arrays.size(); ++i) {
        check_close(arrays[i]->values(), wide[i],
                    [&](size_t j) { return roundings * kEps<T> * (std::fabs(wide[i][j]) + size); });
      }
    }
  }
};

// step(tensor, element) over all elements.
template <class F>
void for_each_element(F step) {
  for (size_t i = 0; i < std::size(kSizes); ++i) {
    for (size_t j = 0; j < static_cast<size_t>(kSizes[i]); ++j) step(i, j);
  }
}

struct SgdCase {
  double momentum, dampening, weight_decay;
  bool nesterov, maximize;
};

template <class T>
void check_sgd(const SgdCase& c) {
  Buffers<T> p(1, -1, 1), g(100, -1, 1), m(200, -1, 1);
  const SgdArgs args{0.1, c.momentum, c.dampening, c.weight_decay, c.nesterov, c.maximize};
  for (const bool first : {true, false, false}) {
    for (auto* b : {&p, &g, &m}) b->reload();
    std::vector<SgdTensors> tensors;
    for (size_t i = 0; i < p.arrays.size(); ++i) {
      tensors.push_back({*p.arrays[i], *g.arrays[i],
                         c.momentum != 0 ? TensorRef(*m.arrays[i]) : TensorRef{}, first});
    }
    Ctx ctx;
    cpu::sgd(ctx, tensors, args);
    for_each_element([&](size_t i, size_t j) {
      Wide d = c.maximize ? -g.wide[i][j] : g.wide[i][j];
      d += c.weight_decay * p.wide[i][j];
      if (c.momentum != 0) {
        Wide& buffer = m.wide[i][j];
        buffer = first ? d : c.momentum * buffer + (1 - Wide(c.dampening)) * d;
        d = c.nesterov ? d + c.momentum * buffer : buffer;
      }
      p.wide[i][j] -= 0.1L * d;
    });
    p.check("param", 6, 1);
    m.check("momentum", 6, 1);
  }
}

struct AdamCase {
  double beta1, beta2, weight_decay;
  bool decoupled, amsgrad, maximize;
  int64_t step;
};

template <class T>
void check_adam(const AdamCase& c) {
  Buffers<T> p(1, -1, 1), g(100, -1, 1), m(200, -1, 1), v(300, 0.01, 1), vmax(400, 0.01, 1);
  const AdamArgs args{0.01, c.beta1, c.beta2, 1e-8, c.weight_decay, c.decoupled, c.maximize};
  for (int round = 0; round < 2; ++round) {
    for (auto* b : {&p, &g, &m, &v, &vmax}) b->reload();
    std::vector<AdamTensors> tensors;
    const auto step_of = [&](size_t i) { return c.step + static_cast<int64_t>(i == 4); };
    for (size_t i = 0; i < p.arrays.size(); ++i) {
      tensors.push_back({*p.arrays[i], *g.arrays[i], *m.arrays[i], *v.arrays[i],
                         c.amsgrad ? TensorRef(*vmax.arrays[i]) : TensorRef{}, step_of(i)});
    }
    Ctx ctx;
    cpu::adam(ctx, tensors, args);
    for_each_element([&](size_t i, size_t j) {
      Wide d = c.maximize ? -g.wide[i][j] : g.wide[i][j];
      Wide& w = p.wide[i][j];
      if (c.decoupled)
        w *= 1 - 0.01L * c.weight_decay;
      else
        d += c.weight_decay * w;
      Wide& mean = m.wide[i][j];
      Wide& square = v.wide[i][j];
      mean = c.beta1 * mean + (1 - Wide(c.beta1)) * d;
      square = c.beta2 * square + (1 - Wide(c.beta2)) * d * d;
      Wide root = square;
      if (c.amsgrad) root = vmax.wide[i][j] = std::fmax(vmax.wide[i][j], square);
      const Wide t = step_of(i);
      const Wide bias1 = 1 - std::pow(Wide(c.beta1), t), bias2 = 1 - std::pow(Wide(c.beta2), t);
      w -= 0.01L / bias1 * mean / (std::sqrt(root) / std::sqrt(bias2) + 1e-8L);
    });
    // The step is at most lr / bias1 * 2 / sqrt(0.01 * beta2): below 1 in all cases here.
    p.check("param", 12, 2);
    m.check("exp_avg", 6, 2);
    v.check("exp_avg_sq", 8, 2);
    vmax.check("max_exp_avg_sq", 8, 2);
  }
}

struct RmspropCase {
  double weight_decay, momentum;
  bool centered, maximize;
};

template <class T>
void check_rmsprop(const RmspropCase& c) {
  Buffers<T> p(1, -1, 1), g(100, -1, 1), v(300, 0.5, 1), b(400, -1, 1), mean(500, -0.3, 0.3);
  const RmspropArgs args{0.01, 0.9, 1e-3, c.weight_decay, c.momentum, c.maximize};
  for (auto* buffer : {&p, &g, &v, &b, &mean}) buffer->reload();
  std::vector<RmspropTensors> tensors;
  for (size_t i = 0; i < p.arrays.size(); ++i) {
    tensors.push_back({*p.arrays[i], *g.arrays[i], *v.arrays[i],
                       c.momentum != 0 ? TensorRef(*b.arrays[i]) : TensorRef{},
                       c.centered ? TensorRef(*mean.arrays[i]) : TensorRef{}});
  }
  Ctx ctx;
  cpu::rmsprop(ctx, tensors, args);
  for_each_element([&](size_t i, size_t j) {
    Wide d = c.maximize ? -g.wide[i][j] : g.wide[i][j];
    Wide& w = p.wide[i][j];
    d += c.weight_decay * w;
    Wide& square = v.wide[i][j];
    square = 0.9L * square + 0.1L * d * d;
    Wide root = square;
    if (c.centered) {
      Wide& average = mean.wide[i][j];
      average = 0.9L * average + 0.1L * d;
      root -= average * average;
    }
    Wide step = d / (std::sqrt(root) + 1e-3L);
    if (c.momentum != 0) step = b.wide[i][j] = c.momentum * b.wide[i][j] + step;
    w -= 0.01L * step;
  });
  p.check("param", 8, 1);
  v.check("square_avg", 8, 1);
  // A centred root is at least 0.45 - 0.4^2; what it lost to cancellation is a few ulps of 1.
  b.check("momentum", 24, 3);
  mean.check("grad_avg", 6, 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(optim)

BOOST_AUTO_TEST_CASE_TEMPLATE(sgd, T, Floats) {
  for (const SgdCase& c : {SgdCase{0, 0, 0, false, false},
                           {0, 0, 0.1, false, true},
                           {0.9, 0, 0, false, false},
                           {0.9, 0.5, 0.1, false, false},
                           {0.9, 0, 0.1, true, true}}) {
    for_each_table([&] { check_sgd<T>(c); });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(adam, T, Floats) {
  for (const AdamCase& c : {AdamCase{0.9, 0.999, 0, false, false, false, 10},
                            {0.9, 0.999, 0.1, false, true, false, 1000},
                            {0.9, 0.999, 0.1, true, false, true, 10},
                            {0.8, 0.9, 0.1, true, true, false, 3},
                            {0, 0, 0, false, false, false, 1}}) {
    if (c.beta2 == 0) {
      // Without memory a step is lr * sign(gradient).
      Buffers<T> p(1, -1, 1), g(100, -1, 1), m(2, 5, 6), v(3, 5, 6);
      std::vector<AdamTensors> tensors;
      for (size_t i = 0; i < p.arrays.size(); ++i)
        tensors.push_back({*p.arrays[i], *g.arrays[i], *m.arrays[i], *v.arrays[i], {}, 1});
      Ctx ctx;
      cpu::adam(ctx, tensors, {0.01, 0, 0, 0, 0, false, false});
      for_each_element([&](size_t i, size_t j) {
        p.wide[i][j] -= std::copysign(0.01L, g.wide[i][j]);
        m.wide[i][j] = g.wide[i][j];
      });
      p.check("param", 4, 1);
      m.check("exp_avg", 0, 0);
      continue;
    }
    for_each_table([&] { check_adam<T>(c); });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(rmsprop, T, Floats) {
  for (const RmspropCase& c : {RmspropCase{0, 0, false, false},
                               {0.1, 0.9, false, true},
                               {0, 0, true, false},
                               {0.1, 0.9, true, false}}) {
    for_each_table([&] { check_rmsprop<T>(c); });
  }
}

// The variance of a constant gradient is nothing, and may round below it.
BOOST_AUTO_TEST_CASE_TEMPLATE(centered_rmsprop_of_a_constant_gradient, T, Floats) {
  Array<T> p({33}), g({33}), v({33}), average({33});
  for_each_table([&] {
    p.fill(0);
    g.assign(random_values<T>(33, 7));
    v.fill(0);
    average.fill(0);
    Ctx ctx;
    const RmspropTensors tensors[] = {{p, g, v, {}, average}};
    for (int i = 0; i < 400; ++i) cpu::rmsprop(ctx, tensors, {0.01, 0.5, 1e-8, 0, 0, false});
    for (const T value : p.values()) BOOST_TEST(std::isfinite(value));
  });
}

// A NaN gradient makes its own element NaN and no other.
BOOST_AUTO_TEST_CASE_TEMPLATE(special_values, T, Floats) {
  for_each_table([&] {
    Array<T> p({40}), g({40}), m({40}), v({40}), vmax({40});
    for (auto* a : {&p, &g, &m, &v, &vmax}) a->fill(T(0.5));
    g[17] = std::numeric_limits<T>::quiet_NaN();
    g[39] = std::numeric_limits<T>::infinity();
    const AdamTensors tensors[] = {{p, g, m, v, vmax, 3}};
    Ctx ctx;
    cpu::adam(ctx, tensors, {0.01, 0.9, 0.999, 1e-8, 0, false, false});
    for (int64_t i = 0; i < 40; ++i) {
      BOOST_TEST(std::isnan(p[i]) == (i == 17 || i == 39));
      BOOST_TEST(std::isnan(vmax[i]) == (i == 17));
    }
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for_each_table([&] {
    std::vector<T> first;
    for_each_thread_count([&] {
      Buffers<T> p(1, -1, 1), g(2, -1, 1), m(3, -1, 1), v(4, 0, 1);
      std::vector<AdamTensors> tensors;
      for (size_t i = 0; i < p.arrays.size(); ++i)
        tensors.push_back({*p.arrays[i], *g.arrays[i], *m.arrays[i], *v.arrays[i], {}, 5});
      Ctx ctx;
      cpu::adam(ctx, tensors, {0.01, 0.9, 0.999, 1e-8, 0.1, true, false});
      std::vector<T> all;
      for (const auto& a : p.arrays) {
        const std::vector<T> values = a->values();
        all.insert(all.end(), values.begin(), values.end());
      }
      if (first.empty()) first = all;
      BOOST_TEST(same_bits(all, first));
    });
  });
}

BOOST_AUTO_TEST_CASE(both_dtypes_in_one_call) {
  Array<float> p({20}), g({20});
  Array<double> q({30}), h({30});
  p.fill(1);
  g.fill(1);
  q.fill(1);
  h.fill(2);
  const SgdTensors tensors[] = {{p, g, {}, true}, {q, h, {}, true}};
  Ctx ctx;
  cpu::sgd(ctx, tensors, {0.25, 0, 0, 0, false, false});
  for (const float v : p.values()) BOOST_TEST(v == 0.75f);
  for (const double v : q.values()) BOOST_TEST(v == 0.5);
  cpu::sgd(ctx, {}, {0.25, 0, 0, 0, false, false});
  cpu::adam(ctx, {}, {});
}

BOOST_AUTO_TEST_SUITE_END()
