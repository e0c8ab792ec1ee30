#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

// How an operand of rows x cols lies in memory.
enum class Layout { Rows, Columns, Spread };

Dims strides_of(Layout layout, int64_t rows, int64_t cols) {
  switch (layout) {
    case Layout::Rows: return {rows * (cols + 2), cols + 2, 1};
    case Layout::Columns: return {cols * (rows + 3), 1, rows + 3};
    default: return {rows * cols * 6, cols * 6, 2};
  }
}

struct Case {
  int64_t batch = 1, m, n, k;
  Layout a = Layout::Rows, b = Layout::Rows;
  bool bias = false;
  double alpha = 1, beta = 0;
  Activation act = Activation::None;
  bool broadcast_a = false, broadcast_b = false;
  int64_t ldc_gap = 0;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "batch " << c.batch << " m " << c.m << " n " << c.n << " k " << c.k << " layouts "
             << int(c.a) << int(c.b) << " bias " << c.bias << " alpha " << c.alpha << " beta "
             << c.beta << " gap " << c.ldc_gap << " broadcast " << c.broadcast_a << c.broadcast_b;
}

template <class T>
class Product {
 public:
  explicit Product(const Case& c)
      : c_(c),
        a_({c.batch, c.m, c.k}, batch_strides(c.a, c.m, c.k, c.broadcast_a)),
        b_({c.batch, c.k, c.n}, batch_strides(c.b, c.k, c.n, c.broadcast_b)),
        bias_({c.n}) {
    // Filling through a broadcast batch leaves the last item's values for all.
    a_.assign(random_values<T>(a_.numel(), 1));
    b_.assign(random_values<T>(b_.numel(), 2));
    bias_.assign(random_values<T>(c.n, 3));
    before_ = random_values<T>(c.batch * c.m * c.n, 4);
    if (c.beta == 0) std::fill(before_.begin(), before_.end(), std::numeric_limits<T>::quiet_NaN());
  }

  Array<T>& a() { return a_; }
  Array<T>& b() { return b_; }

  std::vector<T> run() const { return run(c_.act); }
  std::vector<T> run(Activation act) const {
    const int64_t ldc = c_.n + c_.ldc_gap;
    Array<T> out({c_.batch, c_.m, c_.n}, {c_.m * ldc, ldc, 1});
    out.assign(before_);
    GemmArgs args{
        .c = out, .a = a_, .b = b_, .bias = {}, .alpha = c_.alpha, .beta = c_.beta, .act = act};
    if (c_.bias) args.bias = bias_;
    Ctx ctx;
    cpu::gemm(ctx, args);
    return out.values();
  }

  // The definition in long double, and the sum of magnitudes that bounds the rounding errors.
  void expect() {
    want_.clear();
    magnitude_.clear();
    for (int64_t i = 0; i < c_.batch; ++i) {
      for (int64_t row = 0; row < c_.m; ++row) {
        for (int64_t col = 0; col < c_.n; ++col) {
          long double sum = 0, size = 0;
          for (int64_t p = 0; p < c_.k; ++p) {
            const long double term = static_cast<long double>(a_[(i * c_.m + row) * c_.k + p]) *
                                     static_cast<long double>(b_[(i * c_.k + p) * c_.n + col]);
            sum += term;
            size += std::fabs(term);
          }
          sum *= T(c_.alpha);
          size *= std::fabs(T(c_.alpha));
          if (c_.bias) {
            sum += bias_[col];
            size += std::fabs(bias_[col]);
          }
          if (c_.beta != 0) {
            const auto old = static_cast<long double>(
                before_[static_cast<size_t>((i * c_.m + row) * c_.n + col)]);
            sum += T(c_.beta) * old;
            size += std::fabs(T(c_.beta) * old);
          }
          want_.push_back(sum);
          magnitude_.push_back(size);
        }
      }
    }
  }

  // One rounding for every product (where there is no fma), every addition, and the epilogue.
  void check() const {
    const double c = static_cast<double>(2 * c_.k + 4) * std::numeric_limits<T>::epsilon() / 2;
    BOOST_TEST_CONTEXT(c_) {
      check_close(run(Activation::None), want_, [&](size_t i) { return c * magnitude_[i]; });
    }
  }

  // The sums of a's rows, taken beside the product, which they leave as it is.
  void check_row_sums() const {
    std::vector<long double> want, size;
    for (int64_t row = 0; row < c_.m; ++row) {
      want.push_back(0);
      size.push_back(0);
      for (int64_t p = 0; p < c_.k; ++p) {
        want.back() += a_[row * c_.k + p];
        size.back() += std::fabs(a_[row * c_.k + p]);
      }
    }
    const std::vector<T> plain = run(Activation::None);
    std::vector<T> first;
    for_each_thread_count([&] {
      Array<T> sums({c_.m}), out({1, c_.m, c_.n});
      sums.fill(std::numeric_limits<T>::quiet_NaN());
      Ctx ctx;
      cpu::gemm(ctx, {.c = out, .a = a_, .b = b_, .a_sums = sums});
      const double c = static_cast<double>(c_.k + 1) * std::numeric_limits<T>::epsilon() / 2;
      BOOST_TEST_CONTEXT(c_) {
        check_close(sums.values(), want, [&](size_t i) { return c * size[i]; });
        BOOST_TEST(same_bits(out.values(), plain));
        if (first.empty()) first = sums.values();
        BOOST_TEST(same_bits(sums.values(), first));
      }
    });
  }

 private:
  static Dims batch_strides(Layout layout, int64_t rows, int64_t cols, bool broadcast) {
    Dims strides = strides_of(layout, rows, cols);
    if (broadcast) strides[0] = 0;
    return strides;
  }

  Case c_;
  Array<T> a_, b_, bias_;
  std::vector<T> before_;
  std::vector<long double> want_, magnitude_;
};

template <class T>
void check_on_every_table(const Case& c) {
  Product<T> product(c);
  product.expect();
  for_each_table([&] { product.check(); });
}

constexpr int64_t kSizes[] = {1, 7, 15, 17, 33, 127};
constexpr Layout kLayouts[] = {Layout::Rows, Layout::Columns, Layout::Spread};

using Floats = std::tuple<float, double>;

}  // namespace

BOOST_AUTO_TEST_SUITE(gemm)

BOOST_AUTO_TEST_CASE_TEMPLATE(odd_sizes_in_every_layout, T, Floats) {
  for (const int64_t m : kSizes) {
    for (const int64_t n : kSizes) {
      for (const int64_t k : kSizes) {
        // All layouts for small products; the large ones take turns.
        for (const Layout a : kLayouts) {
          for (const Layout b : kLayouts) {
            const bool turn = (int(a) * 3 + int(b)) % 9 == (m + 2 * n + 3 * k) % 9;
            if (m * n * k <= 40000 || turn)
              check_on_every_table<T>({.m = m, .n = n, .k = k, .a = a, .b = b});
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(several_blocks_in_every_form, T, Floats) {
  struct Shape {
    int64_t m, n, k;
  };
  // packed (two and three blocks of k, several tiles), with a transposed b; the same with a b of
  // more than a cache; local and skinny; k split; dot.
  for (const Shape s : {Shape{131, 150, 521},
                        {230, 530, 520},
                        {293, 541, 71},
                        {19, 75, 607},
                        {150, 10, 300},
                        {4, 8, 60013},
                        {2, 70, 1031},
                        {257, 3, 1031}}) {
    for (const Layout a : {Layout::Rows, Layout::Columns}) {
      for (const Layout b : {Layout::Rows, Layout::Columns}) {
        check_on_every_table<T>({.m = s.m,
                                 .n = s.n,
                                 .k = s.k,
                                 .a = a,
                                 .b = b,
                                 .bias = true,
                                 .alpha = 0.7,
                                 .beta = -1.3,
                                 .ldc_gap = 5});
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(epilogue_and_batches, T, Floats) {
  for (const double beta : {0.0, 1.0, 0.5}) {
    for (const bool bias : {false, true}) {
      for (const Layout b : kLayouts) {
        const Case plain{.batch = 3,
                         .m = 9,
                         .n = 21,
                         .k = 37,
                         .b = b,
                         .bias = bias,
                         .alpha = -2,
                         .beta = beta,
                         .ldc_gap = 1};
        Case c = plain;
        check_on_every_table<T>(c);
        c.broadcast_a = true;
        check_on_every_table<T>(c);
        c.broadcast_b = true;
        check_on_every_table<T>(c);
        c.broadcast_a = false;
        check_on_every_table<T>(c);
        c = plain;
        c.m = 127;
        c.n = 65;
        c.k = 66;
        check_on_every_table<T>(c);
      }
    }
  }
}

// A batch against one matrix is one tall product when the rows continue from item to item.
BOOST_AUTO_TEST_CASE_TEMPLATE(batch_of_rows_folds, T, Floats) {
  const int64_t batch = 5, m = 6, n = 18, k = 23;
  Array<T> a({batch, m, k}), b({batch, k, n}, {0, n, 1}), c({batch, m, n}), one({1, m, n});
  a.assign(random_values<T>(a.numel(), 1));
  b.assign(random_values<T>(b.numel(), 2));
  for_each_table([&] {
    Ctx ctx;
    cpu::gemm(ctx, {.c = c, .a = a, .b = b, .bias = {}});
    const std::vector<T> all = c.values();
    for (int64_t i = 0; i < batch; ++i) {
      TensorRef item = a;
      const Dims sizes{1, m, k};
      item.sizes = sizes;
      item.data = a.ref().template as<T>() + i * m * k;
      TensorRef matrix = b;
      const Dims matrix_sizes{1, k, n};
      matrix.sizes = matrix_sizes;
      cpu::gemm(ctx, {.c = one, .a = item, .b = matrix, .bias = {}});
      for (int64_t j = 0; j < m * n; ++j) {
        const double bound = 2.0 * double(k) * std::numeric_limits<T>::epsilon();
        BOOST_TEST(std::abs(double(one[j]) - double(all[size_t(i * m * n + j)])) <= bound * k);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sums_of_rows, T, Floats) {
  for (const Layout a : kLayouts) {
    for (const Layout b : {Layout::Rows, Layout::Columns}) {
      for (const Case& c : {Case{.m = 10, .n = 64, .k = 32}, Case{.m = 700, .n = 40, .k = 1},
                            Case{.m = 33, .n = 17, .k = 300}, Case{.m = 300, .n = 140, .k = 400},
                            Case{.m = 3, .n = 5, .k = 30011}, Case{.m = 9, .n = 0, .k = 7},
                            Case{.m = 9, .n = 4, .k = 0}}) {
        Case laid = c;
        laid.a = a;
        laid.b = b;
        const Product<T> product(laid);
        for_each_table([&] { product.check_row_sums(); });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nothing_to_add_up, T, Floats) {
  for (const double beta : {0.0, 2.0}) {
    for (const bool bias : {false, true}) {
      for (const Layout b : {Layout::Rows, Layout::Columns}) {
        check_on_every_table<T>({.m = 5, .n = 35, .k = 0, .b = b, .bias = bias, .beta = beta});
        check_on_every_table<T>({.m = 19, .n = 35, .k = 0, .b = b, .bias = bias, .beta = beta});
      }
    }
  }
  check_on_every_table<T>({.m = 0, .n = 5, .k = 3});
  check_on_every_table<T>({.m = 5, .n = 0, .k = 3});
  check_on_every_table<T>({.batch = 0, .m = 5, .n = 2, .k = 3});
}

// Matrix times vector with the matrix transposed, where c is one column.
BOOST_AUTO_TEST_CASE_TEMPLATE(vectors, T, Floats) {
  for (const Layout a : kLayouts) {
    for (const Layout b : kLayouts) {
      for (const bool bias : {false, true}) {
        check_on_every_table<T>({.m = 203, .n = 1, .k = 111, .a = a, .b = b, .bias = bias});
        check_on_every_table<T>({.batch = 2, .m = 41, .n = 1, .k = 13, .a = a, .b = b, .beta = 1});
        check_on_every_table<T>({.m = 1, .n = 203, .k = 111, .a = a, .b = b, .bias = bias});
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(activation_is_the_pointwise_one, T, Floats) {
  struct Row {
    Activation act;
    UnaryOp op;
  };
  for (const Row row : {Row{Activation::Relu, UnaryOp::relu},
                        {Activation::Tanh, UnaryOp::tanh},
                        {Activation::Sigmoid, UnaryOp::sigmoid},
                        {Activation::Gelu, UnaryOp::gelu}}) {
    for (const Case& c :
         {Case{.m = 17, .n = 35, .k = 300, .bias = true},
          Case{.m = 150, .n = 70, .k = 530, .bias = true, .ldc_gap = 2},
          Case{.m = 4, .n = 8, .k = 60013}, Case{.m = 3, .n = 33, .k = 40, .b = Layout::Columns}}) {
      const Product<T> product(c);
      for_each_table([&] {
        std::vector<T> want = product.run(Activation::None);
        const auto f = cpu::micro().of<T>().pointwise.unary[static_cast<int>(row.op)];
        f(static_cast<int64_t>(want.size()), want.data(), want.data(), T(0), T(0));
        BOOST_TEST(same_bits(product.run(row.act), want));
      });
    }
  }
}

// Inf and NaN reach exactly the elements that the definition says, 0 * Inf included, although
// panels are padded with zeros.
BOOST_AUTO_TEST_CASE_TEMPLATE(special_values, T, Floats) {
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const int64_t m : {3, 17, 127}) {
    for (const int64_t n : {3, 33, 127}) {
      for (const int64_t k : {5, 129}) {
        for (const Layout b : {Layout::Rows, Layout::Columns}) {
          Product<T> product({.m = m, .n = n, .k = k, .b = b});
          product.a()[(m - 1) * k + k - 1] = inf;
          product.b()[(k - 1) * n + n - 1] = 0;
          product.b()[2 * n] = -inf;
          product.a()[k + 2] = 0;
          product.a()[1] = nan;
          product.expect();
          for_each_table([&] { product.check(); });
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(same_bits_on_any_number_of_threads, T, Floats) {
  for (const Case& c : {Case{.m = 32, .n = 512, .k = 784, .b = Layout::Columns, .bias = true},
                        Case{.m = 300, .n = 260, .k = 531, .b = Layout::Columns, .beta = 1},
                        Case{.m = 300, .n = 541, .k = 600, .beta = 1},
                        Case{.m = 512, .n = 300, .k = 32, .a = Layout::Columns},
                        Case{.m = 6, .n = 11, .k = 30011, .b = Layout::Columns},
                        Case{.m = 1, .n = 700, .k = 1500, .b = Layout::Columns},
                        Case{.batch = 40, .m = 30, .n = 40, .k = 60}}) {
    const Product<T> product(c);
    for_each_table([&] {
      std::vector<T> first;
      for_each_thread_count([&] {
        const std::vector<T> got = product.run();
        if (first.empty()) first = got;
        BOOST_TEST(same_bits(got, first));
      });
    });
  }
}

// The packing of every table, by its definition.
BOOST_AUTO_TEST_CASE_TEMPLATE(panels, T, Floats) {
  const std::vector<T> source = random_values<T>(40 * 40, 9);
  for_each_table([&] {
    const cpu::GemmMicro<T>& g = cpu::micro().of<T>().gemm;
    for (const int panel_width : {g.a_width, g.nr}) {
      for (const int64_t k : {0, 1, 3, 16, 19, 33}) {
        for (int width = 1; width <= panel_width; ++width) {
          for (const auto& [si, sp] : {std::pair<int64_t, int64_t>{40, 1}, {1, 40}, {2, 36}}) {
            Array<T> panel({k, panel_width});
            g.pack(k, width, source.data(), si, sp, panel.ref().template as<T>(), panel_width);
            bool right = true;
            for (int64_t p = 0; p < k; ++p) {
              for (int i = 0; i < width; ++i) {
                right &= panel[p * panel_width + i] == source[static_cast<size_t>(i * si + p * sp)];
              }
            }
            BOOST_TEST(right, "panel " << panel_width << " width " << width << " k " << k
                                       << " strides " << si << " " << sp);
          }
        }
      }
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()
