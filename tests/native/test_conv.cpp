// The convolutions of the CPU device, on every table, against their definition.
#include <iostream>

#include "kernels.h"

namespace lamina::test {
namespace {

struct Case {
  int64_t images, c, k, groups;
  int64_t size[2], kernel[2], stride[2], padding[2], dilation[2];
  int64_t behind[2] = {0, 0};  // padding behind, beside that before
  bool bias = true;
  Activation act = Activation::None;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  const auto two = [&](const char* what, const int64_t* v) {
    out << " " << what << " " << v[0] << "x" << v[1];
  };
  out << c.images << " images, " << c.c << " -> " << c.k << " channels, groups " << c.groups;
  two("size", c.size);
  two("kernel", c.kernel);
  two("stride", c.stride);
  two("padding", c.padding);
  two("dilation", c.dilation);
  return out;
}

template <class T>
class Convolution {
 public:
  explicit Convolution(const Case& c)
      : c_(c),
        x_({c.images, c.c, c.size[0], c.size[1]}),
        w_({c.k, c.c / c.groups, c.kernel[0], c.kernel[1]}),
        y_({c.images, c.k, result(0), result(1)}),
        y_bias_({c.k}),
        x_bias_({c.c}) {
    x_.assign(random_values<T>(x_.numel(), 1));
    w_.assign(random_values<T>(w_.numel(), 2));
    y_.assign(random_values<T>(y_.numel(), 3));
    y_bias_.assign(random_values<T>(c.k, 4));
    x_bias_.assign(random_values<T>(c.c, 5));
  }

  Array<T>& x() { return x_; }

  // Each of the three from the other two, by the definition, with the sum of the magnitudes of the
  // terms and their number.
  void expect() {
    want_.assign(4, {});
    want_[0].start(y_.numel());
    want_[1].start(x_.numel());
    want_[2].start(w_.numel());
    want_[3].start(c_.k);
    const int64_t cg = c_.c / c_.groups, kg = c_.k / c_.groups;
    const int64_t p = result(0), q = result(1);
    for (int64_t n = 0; n < c_.images; ++n) {
      for (int64_t k = 0; k < c_.k; ++k) {
        for (int64_t i = 0; i < p * q; ++i) {
          const int64_t y = (n * c_.k + k) * p * q + i;
          want_[3].add(k, y_[y], 1);
          for (int64_t t = 0; t < cg * c_.kernel[0] * c_.kernel[1]; ++t) {
            const int64_t r = t / c_.kernel[1] % c_.kernel[0], s = t % c_.kernel[1];
            const int64_t ch = t / (c_.kernel[0] * c_.kernel[1]);
            const int64_t row = i / q * c_.stride[0] - c_.padding[0] + r * c_.dilation[0];
            const int64_t col = i % q * c_.stride[1] - c_.padding[1] + s * c_.dilation[1];
            if (row < 0 || row >= c_.size[0] || col < 0 || col >= c_.size[1]) continue;
            const int64_t x = ((n * c_.c + k / kg * cg + ch) * c_.size[0] + row) * c_.size[1] + col;
            const int64_t w = k * cg * c_.kernel[0] * c_.kernel[1] + t;
            want_[0].add(y, x_[x], w_[w]);
            want_[1].add(x, y_[y], w_[w]);
            want_[2].add(w, x_[x], y_[y]);
          }
        }
      }
    }
    if (c_.bias) {
      for (int64_t i = 0; i < y_.numel(); ++i) want_[0].add(i, y_bias_[i / (p * q) % c_.k], 1);
      for (int64_t i = 0; i < x_.numel(); ++i)
        want_[1].add(i, x_bias_[i / (c_.size[0] * c_.size[1]) % c_.c], 1);
    }
  }

  // y, x, w, and the sums of y. What is not to be computed is hidden behind numbers that show.
  std::vector<std::vector<T>> run() const {
    Array<T> y({c_.images, c_.k, result(0), result(1)});
    Array<T> x({c_.images, c_.c, c_.size[0], c_.size[1]});
    Array<T> w({c_.k, c_.c / c_.groups, c_.kernel[0], c_.kernel[1]});
    Array<T> sums({c_.k});
    for (Array<T>* a : {&y, &x, &w, &sums}) a->fill(std::numeric_limits<T>::quiet_NaN());
    Ctx ctx;
    ConvArgs args = settings();
    args.x = x_;
    args.w = w_;
    args.y = y;
    if (c_.bias) args.bias = y_bias_;
    cpu::conv(ctx, args);
    args.x = x;
    args.y = y_;
    args.bias = c_.bias ? x_bias_.ref() : TensorRef{};
    cpu::conv_input(ctx, args);
    args.x = x_;
    args.w = w;
    args.bias = sums;
    args.act = Activation::None;
    cpu::conv_weight(ctx, args);
    return {y.values(), x.values(), w.values(), sums.values()};
  }

  void check() const {
    const std::vector<std::vector<T>> got = run();
    const char* const names[] = {"y", "x", "w", "sums"};
    for (size_t i = 0; i < got.size(); ++i) {
      BOOST_TEST_CONTEXT(c_ << ": " << names[i]) {
        const Expected& want = want_[i];
        check_close(got[i], want.value, [&](size_t at) {
          return static_cast<long double>(2 * want.terms[at] + 4) * want.size[at] *
                 std::numeric_limits<T>::epsilon() / 2;
        });
      }
    }
  }

 private:
  struct Expected {
    std::vector<long double> value, size;
    std::vector<int> terms;
    void start(int64_t n) {
      value.assign(static_cast<size_t>(n), 0);
      size = value;
      terms.assign(static_cast<size_t>(n), 0);
    }
    void add(int64_t at, T a, T b) {
      const long double term = static_cast<long double>(a) * static_cast<long double>(b);
      const auto i = static_cast<size_t>(at);
      value[i] += term;
      size[i] += std::fabs(term);
      ++terms[i];
    }
  };

  int64_t result(int dim) const {
    const int64_t padded = c_.size[dim] + 2 * c_.padding[dim] + c_.behind[dim];
    return (padded - c_.dilation[dim] * (c_.kernel[dim] - 1) - 1) / c_.stride[dim] + 1;
  }
  ConvArgs settings() const {
    return {.x = {},
            .w = {},
            .y = {},
            .bias = {},
            .stride = {c_.stride[0], c_.stride[1]},
            .padding = {c_.padding[0], c_.padding[1]},
            .dilation = {c_.dilation[0], c_.dilation[1]},
            .groups = c_.groups,
            .act = c_.act};
  }

  Case c_;
  Array<T> x_, w_, y_, y_bias_, x_bias_;
  std::vector<Expected> want_;
};

template <class T>
void check_on_every_table(const Case& c) {
  Convolution<T> convolution(c);
  convolution.expect();
  for_each_table([&] { convolution.check(); });
}

using Floats = std::tuple<float, double>;

}  // namespace

BOOST_AUTO_TEST_SUITE(conv)

// Kernels, steps and padding of every kind; few channels fold rows of the kernel.
BOOST_AUTO_TEST_CASE_TEMPLATE(every_geometry, T, Floats) {
  int turn = 0;
  for (const int64_t kernel : {1, 2, 3, 5}) {
    for (const int64_t stride : {1, 2, 3}) {
      for (const int64_t padding : {0, 1, 4}) {
        for (const int64_t dilation : {1, 2, 3}) {
          for (const int64_t c : {1, 3, 7}) {
            ++turn;
            const int64_t other = 1 + turn % 3;
            if ((kernel - 1) * dilation + 1 > 9 + 2 * padding) continue;
            check_on_every_table<T>({.images = 1 + turn % 2,
                                     .c = c,
                                     .k = 1 + turn % 6,
                                     .groups = 1,
                                     .size = {9, 10 + turn % 5},
                                     .kernel = {kernel, other},
                                     .stride = {stride, 1 + turn / 2 % 3},
                                     .padding = {padding, turn % 4},
                                     .dilation = {dilation, 1 + turn / 3 % 2},
                                     .behind = {turn % 2, turn / 2 % 2}});
          }
        }
      }
    }
  }
}

// Panels of one and two vectors that are full or not; rows that end within a tile.
BOOST_AUTO_TEST_CASE_TEMPLATE(channels_around_vectors, T, Floats) {
  for (const int64_t c : {4, 8, 17, 33}) {
    for (const int64_t k : {3, 8, 15, 16, 20, 32, 49}) {
      check_on_every_table<T>({.images = 1,
                               .c = c,
                               .k = k,
                               .groups = 1,
                               .size = {3, 6 + k % 3},
                               .kernel = {3, 3},
                               .stride = {1, 1 + k % 2},
                               .padding = {1, 1},
                               .dilation = {1, 1}});
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(groups, T, Floats) {
  struct Shape {
    int64_t c, k, groups;
  };
  // Depthwise with panels of one and two vectors, with several filters a channel, and others.
  for (const Shape s : {Shape{2, 2, 2},
                        {11, 11, 11},
                        {16, 16, 16},
                        {37, 37, 37},
                        {3, 9, 3},
                        {12, 8, 4},
                        {40, 60, 2}}) {
    for (const int64_t stride : {1, 2}) {
      check_on_every_table<T>({.images = 2,
                               .c = s.c,
                               .k = s.k,
                               .groups = s.groups,
                               .size = {5, 11},
                               .kernel = {3, 2},
                               .stride = {stride, stride},
                               .padding = {1, 0},
                               .dilation = {1, 1 + stride % 2}});
    }
  }
}

// Images so narrow that tiles run across them, and more of them than a tile takes.
BOOST_AUTO_TEST_CASE_TEMPLATE(narrow_images, T, Floats) {
  for (const int64_t width : {1, 2, 5}) {
    for (const int64_t images : {7, 31}) {
      for (const int64_t stride : {1, 2}) {
        check_on_every_table<T>({.images = images,
                                 .c = 6,
                                 .k = 18,
                                 .groups = 1 + stride % 2,
                                 .size = {3, width},
                                 .kernel = {3, 1 + width / 2},
                                 .stride = {stride, stride},
                                 .padding = {1, width / 4},
                                 .dilation = {1, 1}});
      }
    }
  }
}

// One long row, and images that are cut into parts.
BOOST_AUTO_TEST_CASE_TEMPLATE(long_rows_and_large_images, T, Floats) {
  for (const int64_t stride : {1, 2, 3}) {
    check_on_every_table<T>({.images = 1,
                             .c = 2,
                             .k = 5,
                             .groups = 1,
                             .size = {1, 1607},
                             .kernel = {1, 4},
                             .stride = {1, stride},
                             .padding = {0, 3},
                             .dilation = {1, 2}});
  }
  check_on_every_table<T>({.images = 2,
                           .c = 9,
                           .k = 4,
                           .groups = 1,
                           .size = {61, 130},
                           .kernel = {3, 3},
                           .stride = {2, 1},
                           .padding = {1, 1},
                           .dilation = {1, 1}});
}

// Weights of more than a cache: tasks of several images, or of some channels of one.
BOOST_AUTO_TEST_CASE_TEMPLATE(many_weights, T, Floats) {
  for (const int64_t images : {1, 11}) {
    for (const int64_t stride : {1, 2}) {
      check_on_every_table<T>({.images = images,
                               .c = 70,
                               .k = 110,
                               .groups = 1,
                               .size = {4, 7},
                               .kernel = {3, 3},
                               .stride = {stride, stride},
                               .padding = {1, 1},
                               .dilation = {1, 1}});
    }
  }
}

// Filters that see an image once.
BOOST_AUTO_TEST_CASE_TEMPLATE(filters_as_large_as_images, T, Floats) {
  for (const int64_t images : {1, 6}) {
    for (const int64_t stride : {1, 3}) {
      check_on_every_table<T>({.images = images,
                               .c = 5,
                               .k = 21,
                               .groups = 1,
                               .size = {4, 3},
                               .kernel = {4, 3},
                               .stride = {stride, 1},
                               .padding = {0, 0},
                               .dilation = {1, 1}});
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(activation_is_the_pointwise_one, T, Floats) {
  for (const Activation act :
       {Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu}) {
    for (const int64_t images : {1, 9}) {
      Case c{.images = images,
             .c = 5,
             .k = 19,
             .groups = 1,
             .size = {7, images == 1 ? 11 : 3},
             .kernel = {3, 3},
             .stride = {1, 1},
             .padding = {1, 1},
             .dilation = {1, 1}};
      const Convolution<T> plain(c);
      c.act = act;
      const Convolution<T> active(c);
      for_each_table([&] {
        const auto f = cpu::micro().of<T>().pointwise.unary[static_cast<int>(row_of(act))];
        std::vector<std::vector<T>> want = plain.run();
        for (size_t i = 0; i < 2; ++i)
          f(static_cast<int64_t>(want[i].size()), want[i].data(), want[i].data(), T(0), T(0));
        const auto got = active.run();
        for (size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], want[i]));
      });
    }
  }
}

// NaN and infinities reach what the definition says, and nothing beside it: no lane or pixel that
// only fills a vector.
BOOST_AUTO_TEST_CASE_TEMPLATE(special_values, T, Floats) {
  for (const int64_t groups : {1, 2, 10}) {
    Convolution<T> convolution({.images = 2,
                                .c = 10,
                                .k = 10,
                                .groups = groups,
                                .size = {8, 9},
                                .kernel = {3, 3},
                                .stride = {1, 2},
                                .padding = {0, 0},
                                .dilation = {1, 1}});
    convolution.x()[3 * 72 + 4] = std::numeric_limits<T>::quiet_NaN();
    convolution.x()[12 * 72 + 40] = std::numeric_limits<T>::infinity();
    convolution.expect();
    for_each_table([&] { convolution.check(); });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nothing_to_do, T, Floats) {
  for (const int64_t images : {0, 2}) {
    for (const int64_t c : {0, 3}) {
      for (const int64_t k : {0, 3}) {
        check_on_every_table<T>({.images = images,
                                 .c = c,
                                 .k = k,
                                 .groups = 1,
                                 .size = {4, 5},
                                 .kernel = {2, 2},
                                 .stride = {1, 1},
                                 .padding = {0, 0},
                                 .dilation = {1, 1}});
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Case& c : {Case{.images = 40,
                             .c = 6,
                             .k = 24,
                             .groups = 1,
                             .size = {14, 14},
                             .kernel = {5, 5},
                             .stride = {1, 1},
                             .padding = {2, 2},
                             .dilation = {1, 1}},
                        Case{.images = 1,
                             .c = 3,
                             .k = 20,
                             .groups = 1,
                             .size = {90, 70},
                             .kernel = {3, 3},
                             .stride = {2, 2},
                             .padding = {1, 1},
                             .dilation = {1, 1}},
                        Case{.images = 3,
                             .c = 40,
                             .k = 40,
                             .groups = 40,
                             .size = {30, 31},
                             .kernel = {3, 3},
                             .stride = {1, 1},
                             .padding = {1, 1},
                             .dilation = {1, 1}}}) {
    const Convolution<T> convolution(c);
    for_each_table([&] {
      std::vector<std::vector<T>> first;
      for_each_thread_count([&] {
        const auto got = convolution.run();
        if (first.empty()) first = got;
        for (size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], first[i]));
      });
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace lamina::test
