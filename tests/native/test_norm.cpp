#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();

// A channel's values, by definition.
struct Statistics {
  Wide mean = 0, variance = 0, magnitude = 0;
};

template <class T>
Statistics statistics_of(const Array<T>& x, int64_t n, int64_t channels, int64_t s, int64_t c) {
  Statistics out;
  for (int pass = 0; pass < 2; ++pass) {
    Wide sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < s; ++j) {
        const Wide v = x[(i * channels + c) * s + j];
        out.magnitude = std::fmax(out.magnitude, std::fabs(v));
        sum += pass == 0 ? v : (v - out.mean) * (v - out.mean);
      }
    }
    (pass == 0 ? out.mean : out.variance) = sum / Wide(n * s);
  }
  return out;
}

// Additions that one lane of the smallest vector makes within a block, each half an ulp.
constexpr Wide kBlockRoundings = 256 / 2;

struct Case {
  int64_t n, channels, s;
  double offset = 0;  // of all values
  bool affine = true;
};

template <class T>
class Norm {
 public:
  explicit Norm(const Case& c)
      : c_(c),
        sizes_{c.n, c.channels, c.s},
        x_(sizes_),
        dy_(sizes_),
        weight_({c.channels}),
        bias_({c.channels}),
        mean_({c.channels}),
        invstd_({c.channels}) {
    x_.assign(random_values<T>(x_.numel(), 1, c.offset - 1, c.offset + 1));
    dy_.assign(random_values<T>(x_.numel(), 2));
    weight_.assign(random_values<T>(c.channels, 3, 0.5, 2));
    bias_.assign(random_values<T>(c.channels, 4));
    for (int64_t i = 0; i < c.channels; ++i)
      stats_.push_back(statistics_of(x_, c.n, c.channels, c.s, i));
  }

  int64_t channel_of(size_t i) const { return static_cast<int64_t>(i) / c_.s % c_.channels; }

  void check_forward() {
    Array<T> y(sizes_), running_mean({c_.channels}), running_var({c_.channels});
    running_mean.fill(T(3));
    running_var.fill(T(5));
    Ctx ctx;
    cpu::batch_norm(ctx, {.x = x_,
                          .y = y,
                          .weight = optional(weight_),
                          .bias = optional(bias_),
                          .mean = mean_,
                          .invstd = invstd_,
                          .running_mean = running_mean,
                          .running_var = running_var,
                          .momentum = kMomentum,
                          .eps = kEpsilon,
                          .training = true});
    const Wide count = Wide(c_.n * c_.s);
    std::vector<Wide> want_mean, want_invstd, want_rm, want_rv, want_y;
    for (const Statistics& s : stats_) {
      want_mean.push_back(s.mean);
      want_invstd.push_back(1 / std::sqrt(s.variance + kEpsilon));
      want_rm.push_back((1 - kMomentum) * 3 + kMomentum * s.mean);
      want_rv.push_back((1 - kMomentum) * 5 + kMomentum * s.variance * count / (count - 1));
    }
    for (size_t i = 0; i < static_cast<size_t>(x_.numel()); ++i) {
      const auto c = static_cast<size_t>(channel_of(i));
      want_y.push_back((Wide(x_[int64_t(i)]) - stats_[c].mean) * want_invstd[c] * w(channel_of(i)) +
                       b(channel_of(i)));
    }
    // The second pass corrects the mean: only its last rounding is left, and that of the sum of
    // deviations, which are small. The variance has the roundings of one lane's sum of squares.
    const auto deviation = [&](size_t c) { return std::sqrt(stats_[c].variance); };
    const auto mean_bound = [&](size_t c) {
      return kEps<T> *
             (std::fabs(stats_[c].mean) + kBlockRoundings * kEps<T> * stats_[c].magnitude +
              kBlockRoundings * deviation(c) / 16);
    };
    check_close(mean_.values(), want_mean, mean_bound);
    check_close(invstd_.values(), want_invstd,
                [&](size_t c) { return kEps<T> * (2 + kBlockRoundings / 2) * want_invstd[c]; });
    check_close(running_mean.values(), want_rm,
                [&](size_t c) { return mean_bound(c) + kEps<T> * std::fabs(want_rm[c]); });
    check_close(running_var.values(), want_rv,
                [&](size_t c) { return kEps<T> * (2 + kBlockRoundings) * want_rv[c]; });
    check_close(y.values(), want_y, [&](size_t i) {
      const auto c = static_cast<size_t>(channel_of(i));
      const Wide scale = std::fabs(want_invstd[c] * w(channel_of(i)));
      return scale * (mean_bound(c) + kEps<T> * stats_[c].magnitude) +
             kEps<T> * (std::fabs(want_y[i]) + std::fabs(b(channel_of(i)))) * (4 + kBlockRoundings);
    });
    given_ = y.values();
    // Inference with the same statistics is the same arithmetic.
    Array<T> again(sizes_);
    cpu::batch_norm(ctx, {.x = x_,
                          .y = again,
                          .weight = optional(weight_),
                          .bias = optional(bias_),
                          .mean = mean_,
                          .invstd = invstd_,
                          .running_mean = {},
                          .running_var = {},
                          .training = false});
    BOOST_TEST(same_bits(again.values(), given_));
  }

  void check_backward(bool training) {
    for (int64_t c = 0; c < c_.channels; ++c) {
      mean_[c] = T(stats_[size_t(c)].mean);
      invstd_[c] = T(1 / std::sqrt(stats_[size_t(c)].variance + kEpsilon));
    }
    Array<T> dx(sizes_), dw({c_.channels}), db({c_.channels});
    Ctx ctx;
    BatchNormBackwardArgs args{.x = x_,
                               .dy = dy_,
                               .weight = optional(weight_),
                               .mean = mean_,
                               .invstd = invstd_,
                               .dx = dx,
                               .dweight = dw,
                               .dbias = db,
                               .training = training};
    cpu::batch_norm_backward(ctx, args);
    std::vector<Wide> sum(size_t(c_.channels)), sum_x(sum), size(sum), size_x(sum), want_dx, bound;
    const std::vector<T> dys = dy_.values(), xs = x_.values();
    for (size_t i = 0; i < xs.size(); ++i) {
      const auto c = static_cast<size_t>(channel_of(i));
      const Wide g = dys[i], d = Wide(xs[i]) - Wide(mean_[int64_t(c)]);
      sum[c] += g;
      sum_x[c] += g * d;
      size[c] += std::fabs(g);
      size_x[c] += std::fabs(g * d) + kEps<T> * std::fabs(g) * stats_[c].magnitude;
    }
    const Wide count = Wide(c_.n * c_.s);
    const Wide roundings = kEps<T> * (kBlockRoundings + 6);
    for (size_t i = 0; i < xs.size(); ++i) {
      const auto c = static_cast<size_t>(channel_of(i));
      const Wide inv = invstd_[int64_t(c)], p = w(int64_t(c)) * inv, g = dys[i];
      const Wide d = Wide(xs[i]) - Wide(mean_[int64_t(c)]);
      if (!training) {
        want_dx.push_back(g * p);
        bound.push_back(2 * kEps<T> * std::fabs(g * p));
        continue;
      }
      want_dx.push_back(p * (g - sum[c] / count - d * inv * inv * sum_x[c] / count));
      bound.push_back(
          p * roundings *
          (std::fabs(g) + size[c] / count +
           (std::fabs(d) + kEps<T> * stats_[c].magnitude) * inv * inv * size_x[c] / count));
    }
    check_close(dx.values(), want_dx, [&](size_t i) { return bound[i]; });
    check_close(db.values(), sum, [&](size_t c) { return roundings * size[c]; });
    std::vector<Wide> want_dw(sum_x);
    for (size_t c = 0; c < want_dw.size(); ++c) want_dw[c] *= Wide(invstd_[int64_t(c)]);
    check_close(dw.values(), want_dw,
                [&](size_t c) { return roundings * size_x[c] * Wide(invstd_[int64_t(c)]); });
    // Asking for less changes nothing in the rest.
    Array<T> dx_alone(sizes_), db_alone({c_.channels});
    args.dweight = args.dbias = TensorRef{};
    args.dx = dx_alone;
    cpu::batch_norm_backward(ctx, args);
    BOOST_TEST(same_bits(dx_alone.values(), dx.values()));
    args.dx = TensorRef{};
    args.dbias = db_alone;
    cpu::batch_norm_backward(ctx, args);
    BOOST_TEST(same_bits(db_alone.values(), db.values()));
  }

  // With an activation: the same bits as norm and activation one after the other.
  void check_activation(Activation act) {
    const int op = static_cast<int>(row_of(act));
    const bool output = info(row_of(act)).saves == Saves::Output;
    const cpu::PointwiseMicro<T>& pointwise = cpu::micro().of<T>().pointwise;
    Array<T> z(sizes_), y(sizes_), dz(sizes_);
    Ctx ctx;
    BatchNormArgs forward{.x = x_,
                          .y = z,
                          .weight = optional(weight_),
                          .bias = optional(bias_),
                          .mean = mean_,
                          .invstd = invstd_,
                          .running_mean = {},
                          .running_var = {}};
    cpu::batch_norm(ctx, forward);
    const auto at = [](Array<T>& t) { return t.ref().template as<T>(); };
    const int64_t n = x_.numel();
    pointwise.unary[op](n, at(y), at(z), T(0), T(0));
    pointwise.unary_backward[op](n, at(dz), at(dy_), at(output ? y : z), T(0), T(0));
    Array<T> fused(sizes_);
    forward.y = fused;
    forward.act = act;
    cpu::batch_norm(ctx, forward);
    BOOST_TEST(same_bits(fused.values(), y.values()));

    Array<T> dx(sizes_), dw({c_.channels}), db({c_.channels});
    Array<T> fused_dx(sizes_), fused_dw({c_.channels}), fused_db({c_.channels});
    for (const bool training : {true, false}) {
      BatchNormBackwardArgs args{.x = x_,
                                 .dy = dz,
                                 .weight = optional(weight_),
                                 .mean = mean_,
                                 .invstd = invstd_,
                                 .dx = dx,
                                 .dweight = dw,
                                 .dbias = db,
                                 .training = training};
      cpu::batch_norm_backward(ctx, args);
      args.dy = dy_;
      args.dx = fused_dx;
      args.dweight = fused_dw;
      args.dbias = fused_db;
      args.act = act;
      args.bias = optional(bias_);
      cpu::batch_norm_backward(ctx, args);
      BOOST_TEST(same_bits(fused_dx.values(), dx.values()));
      BOOST_TEST(same_bits(fused_dw.values(), dw.values()));
      BOOST_TEST(same_bits(fused_db.values(), db.values()));
    }
  }

  // Everything that the forward and the backward write, one after the other.
  std::vector<T> outputs() {
    Array<T> y(sizes_), dx(sizes_), dw({c_.channels}), db({c_.channels});
    Ctx ctx;
    cpu::batch_norm(ctx, {.x = x_,
                          .y = y,
                          .weight = weight_,
                          .bias = bias_,
                          .mean = mean_,
                          .invstd = invstd_,
                          .running_mean = {},
                          .running_var = {}});
    cpu::batch_norm_backward(ctx, {.x = x_,
                                   .dy = dy_,
                                   .weight = weight_,
                                   .mean = mean_,
                                   .invstd = invstd_,
                                   .dx = dx,
                                   .dweight = dw,
                                   .dbias = db});
    std::vector<T> all;
    for (const Array<T>* part : {&y, &mean_, &invstd_, &dx, &dw, &db}) {
      const std::vector<T> values = part->values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  Array<T>& x() { return x_; }

 private:
  static constexpr double kMomentum = 0.25, kEpsilon = 1e-5;

  TensorRef optional(const Array<T>& t) const { return c_.affine ? t.ref() : TensorRef{}; }
  Wide w(int64_t c) const { return c_.affine ? Wide(weight_[c]) : Wide(1); }
  Wide b(int64_t c) const { return c_.affine ? Wide(bias_[c]) : Wide(0); }

  Case c_;
  Dims sizes_;
  Array<T> x_, dy_, weight_, bias_, mean_, invstd_;
  std::vector<Statistics> stats_;
  std::vector<T> given_;
};

template <class T>
void check_norm(const Case& c) {
  Norm<T> norm(c);
  for_each_table([&] {
    BOOST_TEST_CONTEXT("[" << c.n << ", " << c.channels << ", " << c.s << "] offset " << c.offset) {
      norm.check_forward();
      norm.check_backward(true);
      norm.check_backward(false);
    }
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(norm)

BOOST_AUTO_TEST_CASE_TEMPLATE(columns, T, Floats) {
  for (const int64_t n : {2, 7, 33, 127}) {
    for (const int64_t channels : {1, 7, 15, 17, 33, 64, 65, 127}) check_norm<T>({n, channels, 1});
  }
  check_norm<T>({33, 17, 1, 0, false});
  check_norm<T>({4099, 3, 1});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(channels_of_several_elements, T, Floats) {
  for (const int64_t s : {2, 3, 7, 15, 16, 17, 33, 127}) check_norm<T>({5, 3, s});
  check_norm<T>({1, 2, 5003});
  check_norm<T>({3, 2, 2049});
  check_norm<T>({33, 2, 7, 0, false});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(activations, T, Floats) {
  for (const Case& c : {Case{33, 65, 1}, Case{7, 3, 1, 0, false}, Case{5, 3, 17}, Case{2, 3, 5003},
                        Case{130, 2, 1031}}) {
    Norm<T> norm(c);
    for (const Activation act :
         {Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu}) {
      for_each_table([&] { norm.check_activation(act); });
    }
  }
}

// More elements to a channel than one chunk holds, on either side of the cut.
BOOST_AUTO_TEST_CASE_TEMPLATE(chunks, T, Floats) {
  check_norm<T>({130, 2, 1031});
  check_norm<T>({1, 1, 131075});
  check_norm<T>({2, 1, 140000});
}

// A mean far from zero does not eat the variance, and is itself the nearest number there is.
BOOST_AUTO_TEST_CASE_TEMPLATE(far_from_zero, T, Floats) {
  check_norm<T>({500, 20, 1, 1000});
  check_norm<T>({9, 3, 333, -1000});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(constant_channels, T, Floats) {
  Array<T> x({40, 3, 5}), y({40, 3, 5}), mean({3}), invstd({3});
  x.fill(T(0.1));
  Ctx ctx;
  for_each_table([&] {
    cpu::batch_norm(ctx, {.x = x,
                          .y = y,
                          .weight = {},
                          .bias = {},
                          .mean = mean,
                          .invstd = invstd,
                          .running_mean = {},
                          .running_var = {}});
    for (const T v : mean.values()) BOOST_TEST(v == T(0.1));
    for (const T v : invstd.values()) BOOST_TEST(v == T(1 / std::sqrt(1e-5)));
    for (const T v : y.values()) BOOST_TEST(v == T(0));
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(special_values_stay_in_their_channel, T, Floats) {
  for (const int64_t s : {1, 6}) {
    Norm<T> norm({20, 19, s});
    norm.x()[(3 * 19 + 18) * s] = std::numeric_limits<T>::infinity();
    norm.x()[(4 * 19 + 2) * s] = std::numeric_limits<T>::quiet_NaN();
    for_each_table([&] {
      const std::vector<T> all = norm.outputs();
      for (size_t i = 0; i < static_cast<size_t>(20 * 19 * s); ++i) {
        const int64_t c = norm.channel_of(i);
        BOOST_TEST(std::isnan(all[i]) == (c == 18 || c == 2));
      }
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Case& c :
       {Case{300, 200, 1}, Case{5000, 10, 1}, Case{40, 8, 130}, Case{3, 2, 150000}}) {
    Norm<T> norm(c);
    for_each_table([&] {
      std::vector<T> first;
      for_each_thread_count([&] {
        const std::vector<T> got = norm.outputs();
        if (first.empty()) first = got;
        BOOST_TEST(same_bits(got, first));
      });
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
