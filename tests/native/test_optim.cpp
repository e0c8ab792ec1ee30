// The table of updates and the norms: every table against the formulae in long double.
#include <functional>
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

// One kind of buffer over all those tensors, and the same in long double.
template <class T>
struct Buffers {
  std::vector<std::unique_ptr<Array<T>>> arrays;
  std::vector<std::vector<Wide>> wide;

  Buffers(unsigned seed, double low, double high) {
    for (const int64_t n : kSizes) {
      arrays.push_back(std::make_unique<Array<T>>(Dims{n}));
      arrays.back()->assign(random_values<T>(n, seed++, low, high));
      wide.emplace_back();
      for (const T v : arrays.back()->values()) wide.back().push_back(v);
    }
  }
  void* at(size_t i) const { return arrays[i]->ref().data; }
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

using Coefficients = std::array<double, kUpdateCoefficients>;

template <class Row>
Coefficients as_array(const Row& row) {
  Coefficients out{};
  std::memcpy(out.data(), &row, sizeof row);
  return out;
}

struct Element {
  Wide p, g, s[3];
};

// A row's formula, with the ranges its states come from and the size of what is rounded: the change
// of p may be as large as `size`.
struct Case {
  const char* name;
  Update what;
  Coefficients coefficients;
  int states;
  double low[3], high[3];
  Wide size;
  std::function<void(Element&)> formula;
};

Wide nearest(float, double v) { return static_cast<float>(v); }
Wide nearest(double, double v) { return v; }

// The coefficients as T has them: rounding those is no error of the kernel.
template <class T, template <class> class Row>
Row<Wide> wide(const Coefficients& c) {
  Wide values[kUpdateCoefficients];
  for (int i = 0; i < kUpdateCoefficients; ++i) values[i] = nearest(T{}, c[static_cast<size_t>(i)]);
  Row<Wide> out;
  std::memcpy(&out, values, sizeof out);
  return out;
}

Wide sign(Wide x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

// A case from a row and formula(c, d, element), d being what is descended along.
template <class T, template <class> class Row, class F>
Case make(const char* name, Update what, const Row<double>& row, int states,
          std::array<double, 6> ranges, Wide size, F formula) {
  const Coefficients c = as_array(row);
  Case out{name, what, c, states, {}, {}, size, {}};
  for (size_t k = 0; k < 3; ++k) out.low[k] = ranges[2 * k], out.high[k] = ranges[2 * k + 1];
  out.formula = [c = wide<T, Row>(c), formula](Element& e) {
    Wide d = e.g;
    if constexpr (requires { c.factor; }) d *= c.factor;
    if constexpr (requires { c.l2; }) d += c.l2 * e.p;
    formula(c, d, e);
  };
  return out;
}

template <class C>
void average(const C& c, Wide d, Element& e) {
  e.s[0] = c.beta1 * e.s[0] + c.rest1 * d;
  e.s[1] = c.beta2 * e.s[1] + c.rest2 * d * d;
}

template <class T>
std::vector<Case> cases() {
  std::vector<Case> out;
  const std::array<double, 6> none{}, one{-1, 1}, moments{-1, 1, 0.01, 1, 0.01, 1};
  const auto sgd = [](const auto& c, Wide d, Element& e) {
    e.s[0] = c.keep * e.s[0] + c.share * d;
    e.p -= c.lr * (c.nesterov != 0 ? d + c.momentum * e.s[0] : e.s[0]);
  };
  using Sgd = SgdUpdate<double>;
  out.push_back(make<T, SgdUpdate>("plain sgd", Update::Sgd, Sgd{1, 0.1, 0.1, 0, 0, 0, 0}, 0, none,
                                   1, [](const auto& c, Wide d, Element& e) { e.p -= c.lr * d; }));
  out.push_back(
      make<T, SgdUpdate>("sgd", Update::Sgd, Sgd{1, 0, 0.1, 0.9, 0.5, 0, 0.9}, 1, one, 1, sgd));
  out.push_back(make<T, SgdUpdate>("nesterov", Update::Sgd, Sgd{-0.5, 0.1, 0.1, 0.9, 1, 1, 0.9}, 1,
                                   one, 1, sgd));
  using Adam = AdamUpdate<double>;
  const auto adam = [](const auto& c, Wide d, Element& e) {
    average(c, d, e);
    e.p = e.p * c.shrink - c.step * e.s[0] / (c.unbias * std::sqrt(e.s[1]) + c.eps);
  };
  out.push_back(make<T, AdamUpdate>("adam", Update::Adam,
                                    Adam{1, 0.1, 1, 0.9, 0.1, 0.99, 0.01, 1e-4, 1.5, 0.02}, 2,
                                    moments, 1, adam));
  out.push_back(make<T, AdamUpdate>(
      "amsgrad", Update::Adam, Adam{-0.3, 0, 0.9, 0.9, 0.1, 0.9, 0.1, 1e-4, 1.5, 0.02}, 3, moments,
      1, [](const auto& c, Wide d, Element& e) {
        average(c, d, e);
        e.s[2] = std::fmax(e.s[2], e.s[1]);
        e.p = e.p * c.shrink - c.step * e.s[0] / (c.unbias * std::sqrt(e.s[2]) + c.eps);
      }));
  const auto rmsprop = [](bool centered) {
    return [centered](const auto& c, Wide d, Element& e) {
      e.s[0] = c.alpha * e.s[0] + c.rest * d * d;
      if (centered) e.s[2] = c.alpha * e.s[2] + c.rest * d;
      const Wide root = std::sqrt(e.s[0] - (centered ? e.s[2] * e.s[2] : 0));
      e.s[1] = c.momentum * e.s[1] + d / (root + c.eps);
      e.p -= c.lr * e.s[1];
    };
  };
  // A centred root is at least that of 0.45 - 0.4^2; what cancels is a few ulps of 1.
  using Rms = RmspropUpdate<double>;
  const Rms rms{1, 0.1, 0.01, 0.9, 0.1, 1e-3, 0.9};
  out.push_back(make<T, RmspropUpdate>("rmsprop", Update::Rmsprop, rms, 2, {0.5, 1, -1, 1}, 3,
                                       rmsprop(false)));
  out.push_back(make<T, RmspropUpdate>("centered", Update::Rmsprop, rms, 3,
                                       {0.5, 1, -1, 1, -0.3, 0.3}, 3, rmsprop(true)));
  out.push_back(make<T, AdagradUpdate>("adagrad", Update::Adagrad,
                                       AdagradUpdate<double>{-1, 0.1, 0.1, 1e-4}, 1, {0.01, 1}, 1,
                                       [](const auto& c, Wide d, Element& e) {
                                         e.s[0] += d * d;
                                         e.p -= c.lr * d / (std::sqrt(e.s[0]) + c.eps);
                                       }));
  out.push_back(make<T, AdadeltaUpdate>(
      "adadelta", Update::Adadelta, AdadeltaUpdate<double>{1, 0.1, 0.5, 0.9, 0.1, 1e-3}, 2,
      {0.01, 1, 0.01, 1}, 10, [](const auto& c, Wide d, Element& e) {
        e.s[0] = c.rho * e.s[0] + c.rest * d * d;
        const Wide step = std::sqrt(e.s[1] + c.eps) / std::sqrt(e.s[0] + c.eps) * d;
        e.s[1] = c.rho * e.s[1] + c.rest * step * step;
        e.p -= c.lr * step;
      }));
  out.push_back(make<T, AdamaxUpdate>("adamax", Update::Adamax,
                                      AdamaxUpdate<double>{1, 0.1, 0.9, 0.1, 0.99, 1e-4, 0.01}, 2,
                                      {-1, 1, 0.05, 1}, 1, [](const auto& c, Wide d, Element& e) {
                                        e.s[0] = c.beta1 * e.s[0] + c.rest1 * d;
                                        e.s[1] = std::fmax(c.beta2 * e.s[1], std::fabs(d) + c.eps);
                                        e.p -= c.step * e.s[0] / e.s[1];
                                      }));
  out.push_back(make<T, NadamUpdate>(
      "nadam", Update::Nadam,
      NadamUpdate<double>{1, 0.1, 0.95, 0.9, 0.1, 0.99, 0.01, 1e-4, 1.5, 0.02, 0.03}, 2, moments, 1,
      [](const auto& c, Wide d, Element& e) {
        average(c, d, e);
        const Wide root = c.unbias * std::sqrt(e.s[1]) + c.eps;
        e.p = e.p * c.shrink - (c.step * e.s[0] + c.step_d * d) / root;
      }));
  for (const double rectified : {0.0, 1.0})
    out.push_back(make<T, RadamUpdate>(
        rectified != 0 ? "rectified radam" : "radam", Update::Radam,
        RadamUpdate<double>{-1, 0.1, 0.95, 0.9, 0.1, 0.99, 0.01, 1e-4, 0.02, rectified}, 2, moments,
        1, [](const auto& c, Wide d, Element& e) {
          average(c, d, e);
          const Wide step = c.step * e.s[0];
          e.p = e.p * c.shrink - (c.rectified != 0 ? step / (std::sqrt(e.s[1]) + c.eps) : step);
        }));
  for (const double mu : {0.25, 1.0})
    out.push_back(make<T, AsgdUpdate>(mu == 1 ? "asgd" : "averaging asgd", Update::Asgd,
                                      AsgdUpdate<double>{1, 0.1, 0.9, 0.1, mu}, 1, one, 1,
                                      [](const auto& c, Wide d, Element& e) {
                                        e.p = e.p * c.shrink - c.eta * d;
                                        e.s[0] += c.mu * (e.p - e.s[0]);
                                      }));
  out.push_back(
      make<T, RpropUpdate>("rprop", Update::Rprop, RpropUpdate<double>{-1, 0.5, 1.25, 0.1, 0.9}, 2,
                           {-1, 1, 0.1, 0.9}, 1, [](const auto& c, Wide d, Element& e) {
                             const Wide turn = d * e.s[0];
                             e.s[1] *= turn > 0 ? c.eta_plus : turn < 0 ? c.eta_minus : Wide(1);
                             e.s[1] = std::fmin(std::fmax(e.s[1], c.smallest), c.largest);
                             e.s[0] = turn < 0 ? Wide(0) : d;
                             e.p -= sign(e.s[0]) * e.s[1];
                           }));
  // The states are kept away from where the sign turns.
  out.push_back(make<T, LionUpdate>(
      "lion", Update::Lion, LionUpdate<double>{0.05, 0.9, 0.1, 0.9, 0.1, 0.99, 0.01}, 1, {0.1, 1},
      1, [](const auto& c, Wide d, Element& e) {
        e.p = e.p * c.shrink - c.lr * sign(c.beta1 * e.s[0] + c.rest1 * d);
        e.s[0] = c.beta2 * e.s[0] + c.rest2 * d;
      }));
  out.push_back(make<T, CombineUpdate>(
      "combine", Update::Combine, CombineUpdate<double>{0.75, -0.3}, 0, none, 1,
      [](const auto& c, Wide, Element& e) { e.p = c.a * e.p + c.b * e.g; }));
  out.push_back(make<T, ClampUpdate>(
      "clamp", Update::Clamp, ClampUpdate<double>{0.5}, 0, none, 0,
      [](const auto& c, Wide, Element& e) { e.p = std::fmin(std::fmax(e.p, -c.limit), c.limit); }));
  for (const double weight : {0.0, 0.1, 0.75, 1.0})
    out.push_back(make<T, LerpUpdate>("lerp", Update::Lerp, LerpUpdate<double>{weight, 1 - weight},
                                      0, none, 2, [](const auto& c, Wide, Element& e) {
                                        e.p = c.weight < 0.5 ? e.p + c.weight * (e.g - e.p)
                                                             : e.g - c.rest * (e.g - e.p);
                                      }));
  return out;
}

// All tensors of a case as one call has them.
template <class T>
struct Call {
  Buffers<T> p{1, -1, 1}, g{100, -1, 1};
  std::vector<std::unique_ptr<Buffers<T>>> states;
  std::vector<UpdateRow> rows;

  explicit Call(const Case& c) {
    for (int k = 0; k < c.states; ++k)
      states.push_back(std::make_unique<Buffers<T>>(200 + 100 * unsigned(k), c.low[k], c.high[k]));
    for (size_t i = 0; i < std::size(kSizes); ++i) {
      UpdateRow row{kDTypeOf<T>, kSizes[i], p.at(i), g.at(i), {}, c.coefficients.data()};
      for (size_t k = 0; k < states.size(); ++k) row.state[k] = states[k]->at(i);
      rows.push_back(row);
    }
  }
  void run(const Case& c) {
    Ctx ctx;
    cpu::update(ctx, c.what, rows);
  }
  std::vector<T> all() const {
    std::vector<T> out;
    const auto take = [&](const Buffers<T>& b) {
      for (const auto& a : b.arrays)
        for (const T v : a->values()) out.push_back(v);
    };
    take(p);
    for (const auto& s : states) take(*s);
    return out;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(optim)

BOOST_AUTO_TEST_CASE_TEMPLATE(every_update, T, Floats) {
  std::vector<bool> seen(kUpdates, false);
  for (const Case& c : cases<T>()) {
    seen[static_cast<size_t>(c.what)] = true;
    for_each_table([&] {
      BOOST_TEST_CONTEXT(c.name) {
        Call<T> call(c);
        call.run(c);
        for (size_t i = 0; i < std::size(kSizes); ++i) {
          for (size_t j = 0; j < static_cast<size_t>(kSizes[i]); ++j) {
            Element e{call.p.wide[i][j], call.g.wide[i][j], {}};
            for (size_t k = 0; k < call.states.size(); ++k) e.s[k] = call.states[k]->wide[i][j];
            c.formula(e);
            call.p.wide[i][j] = e.p;
            for (size_t k = 0; k < call.states.size(); ++k) call.states[k]->wide[i][j] = e.s[k];
          }
        }
        // A dozen roundings at most, of terms no larger than p, a state, or `size`.
        call.p.check("p", 12, c.size);
        for (const auto& s : call.states) s->check("state", 12, c.size);
        call.g.check("g", 0, 0);
      }
    });
  }
  for (int i = 0; i < kUpdates; ++i)
    BOOST_TEST(seen[static_cast<size_t>(i)], "no case of row " << i);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for_each_table([&] {
    for (const Case& c : cases<T>()) {
      std::vector<T> first;
      for_each_thread_count([&] {
        Call<T> call(c);
        call.run(c);
        if (first.empty()) first = call.all();
        BOOST_TEST(same_bits(call.all(), first), c.name);
      });
    }
  });
}

// The variance of a constant gradient is nothing, and may round below it.
BOOST_AUTO_TEST_CASE_TEMPLATE(centered_rmsprop_of_a_constant_gradient, T, Floats) {
  const Coefficients c = as_array(RmspropUpdate<double>{1, 0, 0.01, 0.5, 0.5, 1e-8, 0});
  Array<T> p({33}), g({33}), v({33}), mean({33});
  for_each_table([&] {
    p.fill(0);
    g.assign(random_values<T>(33, 7));
    v.fill(0);
    mean.fill(0);
    const UpdateRow row{
        kDTypeOf<T>, 33, p.ref().data, g.ref().data, {v.ref().data, nullptr, mean.ref().data},
        c.data()};
    Ctx ctx;
    for (int i = 0; i < 400; ++i) cpu::update(ctx, Update::Rmsprop, {&row, 1});
    for (const T value : p.values()) BOOST_TEST(std::isfinite(value));
  });
}

// A NaN gradient makes its own element NaN and no other; a clamp and AMSGrad's maximum keep it.
BOOST_AUTO_TEST_CASE_TEMPLATE(special_values, T, Floats) {
  const Coefficients adam =
      as_array(AdamUpdate<double>{1, 0, 1, 0.9, 0.1, 0.999, 0.001, 1e-8, 2, 0.01});
  const Coefficients limit = as_array(ClampUpdate<double>{1});
  for_each_table([&] {
    Array<T> p({40}), g({40}), m({40}), v({40}), vmax({40});
    for (auto* a : {&p, &g, &m, &v, &vmax}) a->fill(T(0.5));
    g[17] = std::numeric_limits<T>::quiet_NaN();
    g[39] = std::numeric_limits<T>::infinity();
    const UpdateRow row{
        kDTypeOf<T>, 40, p.ref().data, g.ref().data, {m.ref().data, v.ref().data, vmax.ref().data},
        adam.data()};
    Ctx ctx;
    cpu::update(ctx, Update::Adam, {&row, 1});
    for (int64_t i = 0; i < 40; ++i) {
      BOOST_TEST(std::isnan(p[i]) == (i == 17 || i == 39));
      BOOST_TEST(std::isnan(vmax[i]) == (i == 17));
    }
    const UpdateRow clamped{kDTypeOf<T>, 40, g.ref().data, nullptr, {}, limit.data()};
    cpu::update(ctx, Update::Clamp, {&clamped, 1});
    for (int64_t i = 0; i < 40; ++i)
      BOOST_TEST((i == 17 ? std::isnan(g[i]) : g[i] == (i == 39 ? T(1) : T(0.5))));
  });
}

// Nothing to take the root of, and a gradient that is nothing: no step, and no NaN.
BOOST_AUTO_TEST_CASE_TEMPLATE(rprop_stands_still_without_a_gradient, T, Floats) {
  const Coefficients c = as_array(RpropUpdate<double>{1, 0.5, 1.2, 1e-6, 50});
  for_each_table([&] {
    Array<T> p({20}), g({20}), last({20}), size({20});
    p.fill(1), g.fill(0), last.fill(1), size.fill(T(0.25));
    const UpdateRow row{
        kDTypeOf<T>, 20, p.ref().data, g.ref().data, {last.ref().data, size.ref().data, nullptr},
        c.data()};
    Ctx ctx;
    cpu::update(ctx, Update::Rprop, {&row, 1});
    for (int64_t i = 0; i < 20; ++i) {
      BOOST_TEST(p[i] == T(1));
      BOOST_TEST(size[i] == T(0.25));
      BOOST_TEST(last[i] == T(0));
    }
  });
}

BOOST_AUTO_TEST_CASE(both_dtypes_in_one_call) {
  const Coefficients c = as_array(CombineUpdate<double>{1, -0.25});
  Array<float> p({20}), g({20});
  Array<double> q({30}), h({30});
  p.fill(1);
  g.fill(1);
  q.fill(1);
  h.fill(2);
  const UpdateRow rows[] = {{DType::Float32, 20, p.ref().data, g.ref().data, {}, c.data()},
                            {DType::Float64, 30, q.ref().data, h.ref().data, {}, c.data()}};
  Ctx ctx;
  cpu::update(ctx, Update::Combine, rows);
  for (const float v : p.values()) BOOST_TEST(v == 0.75f);
  for (const double v : q.values()) BOOST_TEST(v == 0.5);
  cpu::update(ctx, Update::Adam, {});
}

// -- norms -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE_TEMPLATE(norms, T, Floats) {
  const Buffers<T> x(1, -1, 1);
  std::vector<UpdateRow> rows;
  for (size_t i = 0; i < std::size(kSizes); ++i)
    rows.push_back({kDTypeOf<T>, kSizes[i], x.at(i), nullptr, {}, nullptr});
  for (const double order : {2.0, 1.0, 3.0, 0.5, -1.0, double(INFINITY), -double(INFINITY)}) {
    Wide sum = 0, most = 0, least = INFINITY;
    for (const auto& tensor : x.wide) {
      for (const Wide v : tensor) {
        sum += std::pow(std::fabs(v), Wide(order));
        most = std::fmax(most, std::fabs(v));
        least = std::fmin(least, std::fabs(v));
      }
    }
    const Wide want = !std::isinf(order) ? std::pow(sum, 1 / Wide(order))
                      : order > 0        ? most
                                         : least;
    for_each_table([&] {
      double first = 0;
      for_each_thread_count([&] {
        Ctx ctx;
        const double got = cpu::total_norm(ctx, rows, order);
        // 40,000 terms in double, many lanes and chunks: an ulp for each of some thousands at most.
        BOOST_TEST(std::fabs(got - want) <= 1e4L * kEps<double> * want, order << ": " << got);
        if (first == 0) first = got;
        BOOST_TEST(got == first);
      });
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(norms_at_the_edges, T, Floats) {
  const T big = std::numeric_limits<T>::max(), nan = std::numeric_limits<T>::quiet_NaN();
  for_each_table([&] {
    Array<T> zero({37}), one({37});
    zero.fill(0);
    one.fill(0);
    const UpdateRow rows[] = {{kDTypeOf<T>, 37, zero.ref().data, nullptr, {}, nullptr},
                              {kDTypeOf<T>, 37, one.ref().data, nullptr, {}, nullptr}};
    Ctx ctx;
    for (const double order : {2.0, 1.0, 0.0, double(INFINITY), -double(INFINITY)})
      BOOST_TEST(cpu::total_norm(ctx, rows, order) == 0);
    one[36] = -3;
    for (const double order : {2.0, 1.0, double(INFINITY)})
      BOOST_TEST(cpu::total_norm(ctx, rows, order) == 3);
    BOOST_TEST(cpu::total_norm(ctx, rows, 0) == 1);  // one of the two is not all zero
    one[36] = big;
    if (sizeof(T) == 4) BOOST_TEST(cpu::total_norm(ctx, rows, 2) == double(big));
    BOOST_TEST(cpu::total_norm(ctx, rows, INFINITY) == double(big));
    one[36] = INFINITY;
    for (const double order : {2.0, 1.0, double(INFINITY)})
      BOOST_TEST(cpu::total_norm(ctx, rows, order) == INFINITY);
    one[1] = nan;
    for (const double order : {2.0, 1.0, 3.0, double(INFINITY), -double(INFINITY)})
      BOOST_TEST(std::isnan(cpu::total_norm(ctx, rows, order)));
    BOOST_TEST(cpu::total_norm(ctx, {}, 2) == 0);
  });
}

BOOST_AUTO_TEST_SUITE_END()
