#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();

// Additions that one lane of the smallest vector makes within a block, each half an ulp.
constexpr Wide kRoundings = 256 / 2;

struct Case {
  int64_t n, groups, channels, s;
  double offset = 0, spread = 1;  // of all values
  bool affine = true;
  bool centred = true;  // false: RMS norm
};

template <class T>
class Groups {
 public:
  explicit Groups(const Case& c)
      : c_(c),
        sizes_{c.n, c.groups, c.channels, c.s},
        columns_{c.groups * c.channels},
        x_(sizes_),
        dy_(sizes_),
        weight_(columns_),
        bias_(columns_),
        mean_({c.n * c.groups}),
        invstd_({c.n * c.groups}) {
    x_.assign(random_values<T>(x_.numel(), 1, c.offset - c.spread, c.offset + c.spread));
    dy_.assign(random_values<T>(x_.numel(), 2));
    weight_.assign(random_values<T>(columns_[0], 3, 0.5, 2));
    bias_.assign(random_values<T>(columns_[0], 4));
    mean_.fill(T(0));
  }

  int64_t size() const { return c_.channels * c_.s; }
  int64_t row_of(int64_t i) const { return i / size(); }
  int64_t column_of(int64_t i) const { return i / c_.s % columns_[0]; }

  void forward(Array<T>& y) {
    Ctx ctx;
    cpu::group_norm(ctx, {.x = x_,
                          .y = y,
                          .weight = optional(weight_),
                          .bias = optional(bias_),
                          .mean = c_.centred ? mean_.ref() : TensorRef{},
                          .invstd = invstd_,
                          .eps = kEpsilon});
  }
  void backward(Array<T>& dx, Array<T>& dweight, Array<T>& dbias) {
    Ctx ctx;
    cpu::group_norm_backward(ctx, {.x = x_,
                                   .dy = dy_,
                                   .weight = optional(weight_),
                                   .mean = c_.centred ? mean_.ref() : TensorRef{},
                                   .invstd = invstd_,
                                   .dx = dx,
                                   .dweight = dweight,
                                   .dbias = dbias});
  }

  void check_forward() {
    Array<T> y(sizes_);
    forward(y);
    const auto rows = static_cast<size_t>(c_.n * c_.groups);
    std::vector<Wide> mean(rows), variance(rows), largest(rows), inv(rows);
    for_each([&](int64_t i, size_t r) {
      const Wide v = x_[i];
      if (c_.centred) mean[r] += v / Wide(size());
      largest[r] = std::fmax(largest[r], std::fabs(v));
    });
    for_each([&](int64_t i, size_t r) {
      const Wide d = Wide(x_[i]) - mean[r];
      variance[r] += d * d / Wide(size());
    });
    for (size_t r = 0; r < rows; ++r) inv[r] = 1 / std::sqrt(variance[r] + kEpsilon);
    // Deviations are taken from a rounded mean: what a sum of them is off by.
    const auto deviation = [&](size_t r) {
      return std::sqrt(variance[r]) + kRoundings * kEps<T> * largest[r];
    };
    // Means pass through double, in deviations: nothing to a float, its rounding to a double.
    const auto rounding = [&](size_t r) { return sizeof(T) == 8 ? largest[r] * inv[r] : Wide(0); };
    std::vector<Wide> want, bound;
    for_each([&](int64_t i, size_t r) {
      const Wide normal = (Wide(x_[i]) - mean[r]) * inv[r], scale = w(i), shift = b(i);
      want.push_back(normal * scale + shift);
      const Wide off = (4 + kRoundings) * (std::fabs(normal) + deviation(r) * inv[r]);
      bound.push_back(
          kEps<T> * (scale * (off + rounding(r)) + 2 * std::fabs(shift) + std::fabs(want.back())));
    });
    check_close(y.values(), want, [&](size_t i) { return bound[i]; });
    check_close(mean_.values(), mean, [&](size_t r) {
      return c_.centred ? kEps<T> * (std::fabs(mean[r]) + kRoundings * deviation(r)) : Wide(0);
    });
    check_close(invstd_.values(), inv,
                [&](size_t r) { return kEps<T> * (2 + kRoundings / 2 + rounding(r)) * inv[r]; });
  }

  // Of whatever mean and invstd are given.
  void check_backward() {
    Array<T> dx(sizes_), dweight(columns_), dbias(columns_);
    backward(dx, dweight, dbias);
    const auto rows = static_cast<size_t>(c_.n * c_.groups);
    const auto columns = static_cast<size_t>(columns_[0]);
    std::vector<Wide> sum(rows), sum_d(rows), size_of(rows), size_d(rows);
    std::vector<Wide> want_dw(columns), want_db(columns), size_dw(columns), size_db(columns);
    const auto centred = [&](int64_t i, size_t r) {
      return Wide(x_[i]) - Wide(mean_[static_cast<int64_t>(r)]);
    };
    for_each([&](int64_t i, size_t r) {
      const auto column = static_cast<size_t>(column_of(i));
      const Wide dy = dy_[i], g = dy * w(i), d = centred(i, r);
      const Wide normal = d * Wide(invstd_[static_cast<int64_t>(r)]);
      if (c_.centred) sum[r] += g;
      sum_d[r] += g * d;
      size_of[r] += std::fabs(g);
      size_d[r] += std::fabs(g * d);
      want_dw[column] += dy * normal;
      want_db[column] += dy;
      size_dw[column] += std::fabs(dy * normal);
      size_db[column] += std::fabs(dy);
    });
    const Wide roundings = kEps<T> * (kRoundings + 6);
    std::vector<Wide> want, bound;
    for_each([&](int64_t i, size_t r) {
      const Wide inv = invstd_[static_cast<int64_t>(r)], g = Wide(dy_[i]) * w(i);
      const Wide d = centred(i, r), share = inv * inv / Wide(size());
      want.push_back(inv * (g - sum[r] / Wide(size()) - d * share * sum_d[r]));
      bound.push_back(
          inv * roundings *
          (std::fabs(g) + size_of[r] / Wide(size()) + std::fabs(d) * share * size_d[r]));
    });
    check_close(dx.values(), want, [&](size_t i) { return bound[i]; });
    check_close(dweight.values(), want_dw, [&](size_t c) { return roundings * size_dw[c]; });
    check_close(dbias.values(), want_db, [&](size_t c) { return roundings * size_db[c]; });
  }

  // Everything that the forward and the backward write, one after the other.
  std::vector<T> outputs() {
    Array<T> y(sizes_), dx(sizes_), dweight(columns_), dbias(columns_);
    forward(y);
    backward(dx, dweight, dbias);
    std::vector<T> all;
    for (const Array<T>* part : {&y, &dx, &mean_, &invstd_, &dweight, &dbias}) {
      const std::vector<T> values = part->values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  Array<T>& x() { return x_; }

 private:
  static constexpr double kEpsilon = 1e-5;

  // f(element, row)
  template <class F>
  void for_each(F f) const {
    for (int64_t i = 0; i < x_.numel(); ++i) f(i, static_cast<size_t>(row_of(i)));
  }
  TensorRef optional(const Array<T>& t) const { return c_.affine ? t.ref() : TensorRef{}; }
  Wide w(int64_t i) const { return c_.affine ? Wide(weight_[column_of(i)]) : Wide(1); }
  Wide b(int64_t i) const { return c_.affine ? Wide(bias_[column_of(i)]) : Wide(0); }

  Case c_;
  Dims sizes_, columns_;
  Array<T> x_, dy_, weight_, bias_, mean_, invstd_;
};

template <class T>
void check_groups(const Case& c) {
  Groups<T> groups(c);
  for_each_table([&] {
    BOOST_TEST_CONTEXT("[" << c.n << ", " << c.groups << ", " << c.channels << ", " << c.s
                           << "] offset " << c.offset) {
      groups.check_forward();
      groups.check_backward();
    }
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(group_norm)

BOOST_AUTO_TEST_CASE_TEMPLATE(rows, T, Floats) {
  for (const int64_t n : {1, 3, 4, 7, 66}) {
    for (const int64_t size : {2, 7, 15, 16, 17, 33, 64, 65, 127, 131})
      check_groups<T>({n, 1, size, 1});
  }
  check_groups<T>({7, 1, 33, 1, 0, 1, false});
  check_groups<T>({5, 1, 1, 1});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(rows_without_a_mean, T, Floats) {
  for (const int64_t size : {1, 2, 7, 16, 33, 127, 2048, 5003}) {
    check_groups<T>({6, 1, size, 1, 0.5, 1, true, false});
    check_groups<T>({2, 1, size, 1, 0, 1, false, false});
  }
}

// A row is several blocks, whose statistics and sums merge.
BOOST_AUTO_TEST_CASE_TEMPLATE(long_rows, T, Floats) {
  for (const int64_t size : {2047, 2048, 2049, 4099, 10007}) check_groups<T>({5, 1, size, 1});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(channels_of_several_elements, T, Floats) {
  for (const int64_t s : {2, 3, 7, 16, 17, 33, 127}) {
    check_groups<T>({3, 2, 3, s});
    check_groups<T>({2, 5, 1, s});
  }
  check_groups<T>({2, 3, 2, 2049});
  check_groups<T>({2, 3, 5, 1});
  check_groups<T>({70, 2, 3, 1});
  check_groups<T>({2, 3, 2, 9, 0, 1, false});
}

// A mean far from zero does not eat the variance.
BOOST_AUTO_TEST_CASE_TEMPLATE(far_from_zero, T, Floats) {
  for (const double offset : {1e4, -1e4}) {
    check_groups<T>({9, 1, 129, 1, offset, 0.02});
    check_groups<T>({3, 1, 4099, 1, offset, 0.02});
    check_groups<T>({3, 2, 3, 65, offset, 0.02});
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(special_values_stay_in_their_group, T, Floats) {
  for (const Case& c : {Case{20, 1, 19, 1}, Case{10, 2, 3, 6}, Case{10, 2, 19, 1}}) {
    Groups<T> groups(c);
    groups.x()[3 * groups.size() + 2] = std::numeric_limits<T>::infinity();
    groups.x()[5 * groups.size()] = std::numeric_limits<T>::quiet_NaN();
    for_each_table([&] {
      const std::vector<T> all = groups.outputs();
      for (size_t i = 0; i < static_cast<size_t>(2 * groups.x().numel()); ++i) {  // y, dx
        const int64_t row = groups.row_of(static_cast<int64_t>(i) % groups.x().numel());
        BOOST_TEST(std::isnan(all[i]) == (row == 3 || row == 5));
      }
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Case& c : {Case{1000, 1, 130, 1}, Case{9, 1, 20011, 1}, Case{40, 8, 5, 1},
                        Case{30, 4, 3, 400}, Case{1000, 1, 65, 1, 0, 1, true, false}}) {
    Groups<T> groups(c);
    for_each_table([&] {
      std::vector<T> first;
      for_each_thread_count([&] {
        const std::vector<T> got = groups.outputs();
        if (first.empty()) first = got;
        BOOST_TEST(same_bits(got, first));
      });
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
