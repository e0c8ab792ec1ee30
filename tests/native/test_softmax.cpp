#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();

constexpr int64_t kSizes[] = {1, 2, 7, 15, 16, 17, 33, 64, 127, 300};

// Softmax down the middle dimension of [outer, n, inner], by definition.
template <class T>
std::vector<Wide> softmax_of(const Array<T>& x, int64_t outer, int64_t n, int64_t inner, bool log) {
  std::vector<Wide> y(static_cast<size_t>(x.numel()));
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const auto at = [&](int64_t j) { return (o * n + j) * inner + i; };
      Wide top = -std::numeric_limits<Wide>::infinity(), sum = 0;
      for (int64_t j = 0; j < n; ++j) top = std::fmax(top, Wide(x[at(j)]));
      for (int64_t j = 0; j < n; ++j) sum += std::exp(Wide(x[at(j)]) - top);
      for (int64_t j = 0; j < n; ++j) {
        const Wide shifted = Wide(x[at(j)]) - top;
        y[static_cast<size_t>(at(j))] = log ? shifted - std::log(sum) : std::exp(shifted) / sum;
      }
    }
  }
  return y;
}

// exp errs by 1.5 ulp and by half an ulp of its argument; a lane's sum by n roundings at the worst.
template <class T>
Wide softmax_bound(Wide y, Wide shift, int64_t n) {
  return y * kEps<T> * (8 + std::fabs(shift) + Wide(n)) + std::numeric_limits<T>::min();
}

template <class T>
void check_softmax(int64_t outer, int64_t n, int64_t inner) {
  const Dims sizes{outer, n, inner};
  Array<T> x(sizes), y(sizes), dy(sizes), dx(sizes);
  x.assign(random_values<T>(x.numel(), 1, -9, 9));
  dy.assign(random_values<T>(x.numel(), 2));
  Ctx ctx;
  for (const bool log : {false, true}) {
    const std::vector<Wide> want = softmax_of(x, outer, n, inner, log);
    for_each_table([&] {
      cpu::softmax(ctx, {.x = x, .y = y, .log = log});
      check_close(y.values(), want, [&](size_t i) {
        return log ? kEps<T> * (std::fabs(want[i]) + 18 + 6 + Wide(n))
                   : softmax_bound<T>(want[i], 18, n);
      });
      cpu::softmax_backward(ctx, {.y = y, .dy = dy, .dx = dx, .log = log});
      std::vector<Wide> want_dx, bound;
      for (int64_t at = 0; at < x.numel(); ++at) {
        Wide sum = 0, size = 0;
        const int64_t first = at / (n * inner) * n * inner + at % inner;
        for (int64_t j = 0; j < n; ++j) {
          const int64_t k = first + j * inner;
          const Wide term = Wide(dy[k]) * (log ? Wide(1) : Wide(y[k]));
          sum += term;
          size += std::fabs(term);
        }
        const Wide g = dy[at], v = y[at], p = log ? std::exp(v) : v;
        want_dx.push_back(log ? g - p * sum : v * (g - sum));
        const Wide p_error = log ? 3 + std::fabs(v) : 1;
        bound.push_back(kEps<T> * (std::fabs(g) + p * (std::fabs(g) + size * (Wide(n) + p_error))) +
                        std::numeric_limits<T>::min());
      }
      check_close(dx.values(), want_dx, [&](size_t i) { return bound[i]; });
      // In place.
      const std::vector<T> apart = y.values();
      y.assign(x.values());
      cpu::softmax(ctx, {.x = y, .y = y, .log = log});
      BOOST_TEST(same_bits(y.values(), apart));
    });
  }
}

struct LossCase {
  int64_t rows, classes;
  bool weighted = false;
  double smoothing = 0;
  double spread = 5;
};

template <class T>
void check_cross_entropy(const LossCase& c) {
  const Dims sizes{c.rows, c.classes};
  Array<T> logits(sizes), dlogits(sizes), weight({c.classes}, {2});
  Array<T> loss({c.rows}, {2}), row_weight({c.rows}), lse({c.rows}), grad({c.rows});
  Array<int64_t> target({c.rows}, {3});
  logits.assign(random_values<T>(logits.numel(), 1, -c.spread, c.spread));
  weight.assign(random_values<T>(c.classes, 2, 0, 2));
  grad.assign(random_values<T>(c.rows, 3));
  constexpr int64_t kIgnore = -100;
  for (int64_t i = 0; i < c.rows; ++i) target[i] = i % 5 == 3 ? kIgnore : (i * 7919) % c.classes;
  Ctx ctx;
  for_each_table([&] {
    cpu::cross_entropy(ctx, {.logits = logits,
                             .target = target,
                             .weight = c.weighted ? TensorRef(weight) : TensorRef{},
                             .loss = loss,
                             .row_weight = row_weight,
                             .logsumexp = lse,
                             .ignore_index = kIgnore,
                             .label_smoothing = c.smoothing});
    cpu::cross_entropy_backward(ctx, {.logits = logits,
                                      .target = target,
                                      .weight = c.weighted ? TensorRef(weight) : TensorRef{},
                                      .logsumexp = lse,
                                      .grad = grad,
                                      .dlogits = dlogits,
                                      .ignore_index = kIgnore,
                                      .label_smoothing = c.smoothing});
    const auto w = [&](int64_t k) { return c.weighted ? Wide(weight[k]) : Wide(1); };
    std::vector<Wide> want_loss, loss_bound, want_dx, dx_bound, want_weight;
    for (int64_t i = 0; i < c.rows; ++i) {
      const int64_t label = target[i];
      Wide top = -1e300L, sum = 0, weights = 0, smooth = 0;
      for (int64_t k = 0; k < c.classes; ++k) {
        top = std::fmax(top, Wide(logits[i * c.classes + k]));
        weights += w(k);
      }
      for (int64_t k = 0; k < c.classes; ++k)
        sum += std::exp(Wide(logits[i * c.classes + k]) - top);
      const Wide logsumexp = top + std::log(sum);
      const bool ignored = label == kIgnore;
      for (int64_t k = 0; k < c.classes; ++k)
        smooth += w(k) * (logsumexp - Wide(logits[i * c.classes + k]));
      const Wide share = c.smoothing / Wide(c.classes), keep = 1 - Wide(c.smoothing);
      const Wide nll = ignored ? 0 : logsumexp - Wide(logits[i * c.classes + label]);
      want_weight.push_back(ignored ? 0 : w(label));
      want_loss.push_back(ignored ? 0 : keep * w(label) * nll + share * smooth);
      const Wide roundings = Wide(c.classes) + 12;
      loss_bound.push_back(
          kEps<T> * roundings *
          (1 + want_loss.back() + 2 * c.spread * (want_weight.back() + share * weights)));
      for (int64_t k = 0; k < c.classes; ++k) {
        const Wide p = std::exp(Wide(logits[i * c.classes + k]) - logsumexp), g = grad[i];
        const Wide hit = ignored ? 0 : g * keep * w(label);
        const Wide full = ignored ? 0 : hit + g * share * weights;
        const Wide pull = ignored ? 0 : g * share * w(k) + (k == label ? hit : 0);
        want_dx.push_back(full * p - pull);
        dx_bound.push_back(
            kEps<T> * (std::fabs(full) * p * (roundings + 4 * c.spread + 8) + 3 * std::fabs(pull)) +
            std::numeric_limits<T>::min());
      }
    }
    check_close(loss.values(), want_loss, [&](size_t i) { return loss_bound[i]; });
    check_close(row_weight.values(), want_weight, [&](size_t) { return Wide(0); });
    check_close(dlogits.values(), want_dx, [&](size_t i) { return dx_bound[i]; });
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(softmax)

BOOST_AUTO_TEST_CASE_TEMPLATE(rows, T, Floats) {
  for (const int64_t n : kSizes) check_softmax<T>(5, n, 1);
  check_softmax<T>(700, 33, 1);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(columns, T, Floats) {
  for (const int64_t n : {1, 7, 33})
    for (const int64_t inner : {2, 7, 15, 16, 17, 33, 64, 65, 127}) check_softmax<T>(3, n, inner);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nothing, T, Floats) {
  for (const Dims& sizes : {Dims{0, 5, 1}, Dims{4, 0, 1}, Dims{3, 5, 0}}) {
    Array<T> x(sizes), y(sizes);
    Ctx ctx;
    for_each_table([&] {
      cpu::softmax(ctx, {.x = x, .y = y});
      cpu::softmax_backward(ctx, {.y = x, .dy = x, .dx = y});
    });
  }
}

// Masked entries are 0 (-Inf for the logarithm), huge ones do not overflow, a row without anything
// finite and a row with NaN or +Inf are NaN throughout, and none of it reaches another row.
BOOST_AUTO_TEST_CASE_TEMPLATE(special_values, T, Floats) {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const int64_t n : {3, 17, 40}) {
    for (const int64_t inner : {int64_t{1}, int64_t{3}, int64_t{19}}) {
      const Dims sizes{6, n, inner};
      Array<T> x(sizes), y(sizes);
      x.assign(random_values<T>(x.numel(), 5));
      const auto row = [&](int64_t o, int64_t j) -> T& { return x[(o * n + j) * inner]; };
      row(0, 1) = -inf;
      row(1, n - 1) = std::numeric_limits<T>::max();
      for (int64_t j = 0; j < n; ++j) row(2, j) = -inf;
      row(3, n - 1) = nan;
      row(4, 0) = inf;
      Ctx ctx;
      for (const bool log : {false, true}) {
        std::vector<Wide> want = softmax_of(x, 6, n, inner, log);
        for_each_table([&] {
          cpu::softmax(ctx, {.x = x, .y = y, .log = log});
          check_close(y.values(), want, [&](size_t i) {
            return kEps<T> * (40 + Wide(n)) * (1 + std::fabs(want[i]));
          });
          for (int64_t j = 0; j < n; ++j) {
            for (const int64_t o : {2, 3, 4}) BOOST_TEST(std::isnan(y[(o * n + j) * inner]));
            BOOST_TEST(!std::isnan(y[(5 * n + j) * inner]));
          }
        });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(cross_entropy_is_its_formula, T, Floats) {
  for (const int64_t classes : {1, 2, 7, 10, 16, 17, 127, 1000}) {
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      for (const bool weighted : {false, true})
        check_cross_entropy<T>({11, classes, weighted, smoothing});
    }
  }
  check_cross_entropy<T>({2000, 10, true, 0.2});
  check_cross_entropy<T>({0, 10});
}

// A confident, right answer has a small loss, not one rounded to the size of its logits.
BOOST_AUTO_TEST_CASE_TEMPLATE(small_losses_of_large_logits, T, Floats) {
  Array<T> logits({1, 3}), loss({1}), row_weight({1}), lse({1});
  Array<int64_t> target({1});
  logits.assign(std::vector<T>{1000, 990, 985});
  target[0] = 0;
  const Wide want = std::log1p(std::exp(-10.0L) + std::exp(-15.0L));
  Ctx ctx;
  for_each_table([&] {
    cpu::cross_entropy(ctx, {.logits = logits,
                             .target = target,
                             .weight = {},
                             .loss = loss,
                             .row_weight = row_weight,
                             .logsumexp = lse});
    // log(1 + d) of a rounded sum: half an ulp of 1.
    BOOST_TEST(std::fabs(Wide(loss[0]) - want) <= kEps<T>);
  });
}

// An ignored row takes no part, whatever is in it.
BOOST_AUTO_TEST_CASE_TEMPLATE(ignored_rows, T, Floats) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Array<T> logits({2, 20}), dlogits({2, 20}), loss({2}), row_weight({2}), lse({2}), grad({2}, {0});
  Array<int64_t> target({2});
  logits.fill(nan);
  grad.fill(nan);
  target[0] = target[1] = 4;
  Ctx ctx;
  for_each_table([&] {
    cpu::cross_entropy(ctx, {.logits = logits,
                             .target = target,
                             .weight = {},
                             .loss = loss,
                             .row_weight = row_weight,
                             .logsumexp = lse,
                             .ignore_index = 4,
                             .label_smoothing = 0.1});
    cpu::cross_entropy_backward(ctx, {.logits = logits,
                                      .target = target,
                                      .weight = {},
                                      .logsumexp = lse,
                                      .grad = grad,
                                      .dlogits = dlogits,
                                      .ignore_index = 4,
                                      .label_smoothing = 0.1});
    for (const T v : loss.values()) BOOST_TEST(v == T(0));
    for (const T v : row_weight.values()) BOOST_TEST(v == T(0));
    for (const T v : dlogits.values()) BOOST_TEST(v == T(0));
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Dims& sizes : {Dims{3000, 17, 1}, Dims{7, 50, 300}}) {
    Array<T> x(sizes), y(sizes);
    x.assign(random_values<T>(x.numel(), 1));
    Ctx ctx;
    for_each_table([&] {
      std::vector<T> first;
      for_each_thread_count([&] {
        cpu::softmax(ctx, {.x = x, .y = y});
        if (first.empty()) first = y.values();
        BOOST_TEST(same_bits(y.values(), first));
      });
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
