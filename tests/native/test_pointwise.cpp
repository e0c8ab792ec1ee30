// The elementwise drivers: layouts, broadcasting, casts, integers, threads.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

constexpr DType kAll[] = {DType::Bool,  DType::UInt8,   DType::Int32,
                          DType::Int64, DType::Float32, DType::Float64};

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

// What adding, multiplying ... values of a dtype gives, by its definition.
double in_dtype(DType t, double v) {
  switch (t) {
    case DType::Bool: return v != 0;
    case DType::UInt8: return static_cast<uint8_t>(static_cast<int64_t>(v));
    case DType::Float32: return static_cast<float>(v);
    default: return v;
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pointwise)

BOOST_AUTO_TEST_CASE(binary_takes_any_layout_and_broadcast) {
  Ctx ctx = cpu_ctx();
  const Dims sizes[] = {{},      {1},     {0},          {3, 0},    {7},     {33},
                        {5, 40}, {40, 3}, {2, 3, 4, 5}, {3, 1000}, {700, 3}};
  uint64_t seed = 0;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const Dims& size : sizes) {
      for (const Layout out : kLayouts) {
        for (const Layout in : kLayouts) {
          for (int drop = 0; drop <= size.rank(); ++drop) {  // y: fewer and fewer dimensions
            Dims small = size;
            for (int d = 0; d < drop; ++d) small[d] = 1;
            const Tensor x = random_tensor(size, DType::Float32, in, ++seed);
            const Tensor y = random_tensor(small, DType::Float32, in, ++seed);
            const Tensor r = make_tensor(size, DType::Float32, out);
            const auto xs = values<float>(x), ys = values<float>(expand(y, size));
            api().binary(ctx, BinaryOp::sub, r, x, y);
            const auto got = values<float>(r);
            for (size_t i = 0; i < got.size(); ++i) BOOST_REQUIRE(got[i] == xs[i] - ys[i]);
            api().binary(ctx, BinaryOp::sub, r, y, x);
            const auto back = values<float>(r);
            for (size_t i = 0; i < got.size(); ++i) BOOST_REQUIRE(back[i] == ys[i] - xs[i]);
            api().binary(ctx, BinaryOp::sub, x, x, y);  // in place
            BOOST_REQUIRE(values<float>(x) == got);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(operands_are_cast_to_the_result) {
  Ctx ctx = cpu_ctx();
  for (const DType out : kAll) {
    for (const DType a : kAll) {
      for (const DType b : kAll) {
        if (promote(a, b) != out) continue;
        for (const Dims& sizes : {Dims{1300}, Dims{}, Dims{3, 50}}) {
          const Tensor x = random_tensor(sizes, a, Layout::Sliced, 1);
          const Tensor y = random_tensor(sizes, b, Layout::Transposed, 2);
          const Tensor one = random_tensor({}, b, Layout::Rows, 4);
          const Tensor r = make_tensor(sizes, out);
          const auto xs = values<double>(x), ys = values<double>(y);
          api().binary(ctx, BinaryOp::add, r, x, y);
          auto got = values<double>(r);
          for (size_t i = 0; i < xs.size(); ++i)
            BOOST_REQUIRE(got[i] == in_dtype(out, xs[i] + ys[i]));
          api().binary(ctx, BinaryOp::mul, r, x, one);
          got = values<double>(r);
          for (size_t i = 0; i < xs.size(); ++i)
            BOOST_REQUIRE(got[i] == in_dtype(out, xs[i] * values<double>(one)[0]));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(integers_wrap) {
  Ctx ctx = cpu_ctx();
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min();
  const Tensor x = make_tensor({4}, DType::Int64), y = make_tensor({4}, DType::Int64);
  const Tensor r = make_tensor({4}, DType::Int64);
  const int64_t a[] = {kLow, INT64_MAX, -1, 7}, b[] = {-1, 1, kLow, -3};
  assign<int64_t>(x, [&](int64_t i) { return a[i]; });
  assign<int64_t>(y, [&](int64_t i) { return b[i]; });
  const auto binary = [&](BinaryOp op) {
    api().binary(ctx, op, r, x, y);
    return values<int64_t>(r);
  };
  using Values = std::vector<int64_t>;
  BOOST_CHECK(binary(BinaryOp::add) == (Values{INT64_MAX, kLow, INT64_MAX, 4}));
  BOOST_CHECK(binary(BinaryOp::sub) == (Values{kLow + 1, INT64_MAX - 1, INT64_MAX, 10}));
  BOOST_CHECK(binary(BinaryOp::mul) == (Values{kLow, INT64_MAX, kLow, -21}));
  BOOST_CHECK(binary(BinaryOp::maximum) == (Values{-1, INT64_MAX, -1, 7}));
  BOOST_CHECK(binary(BinaryOp::minimum) == (Values{kLow, 1, kLow, -3}));
  api().unary(ctx, UnaryOp::neg, r, x, {});
  BOOST_CHECK(values<int64_t>(r) == (Values{kLow, -INT64_MAX, 1, -7}));
  api().unary(ctx, UnaryOp::abs, r, x, {});
  BOOST_CHECK(values<int64_t>(r) == (Values{kLow, INT64_MAX, 1, 7}));
  api().unary(ctx, UnaryOp::sign, r, x, {});
  BOOST_CHECK(values<int64_t>(r) == (Values{-1, 1, -1, 1}));
  api().unary(ctx, UnaryOp::square, r, x, {});
  BOOST_CHECK(values<int64_t>(r) == (Values{0, 1, 1, 49}));
  api().unary(ctx, UnaryOp::relu, r, x, {});
  BOOST_CHECK(values<int64_t>(r) == (Values{0, INT64_MAX, 0, 7}));

  const Tensor s = make_tensor({2}, DType::Int32), t = make_tensor({2}, DType::UInt8);
  assign<int32_t>(s, [](int64_t i) { return i == 0 ? INT32_MAX : INT32_MIN; });
  api().binary(ctx, BinaryOp::add, s, s, s);
  BOOST_CHECK(values<int64_t>(s) == (Values{-2, 0}));
  assign<uint8_t>(t, [](int64_t i) { return static_cast<uint8_t>(i == 0 ? 200 : 3); });
  api().unary(ctx, UnaryOp::neg, t, t, {});
  BOOST_CHECK(values<int64_t>(t) == (Values{56, 253}));
}

BOOST_AUTO_TEST_CASE(integer_powers) {
  Ctx ctx = cpu_ctx();
  const int64_t base[] = {2, 3, -2, 0, 0, 1, -1, -1, 5, 7, 2};
  const int64_t exponent[] = {10, 39, 3, 0, -1, -5, -3, -4, -1, 1, 64};
  const int64_t want[] = {1024, 4052555153018976267, -8, 1, 0, 1, -1, 1, 0, 7, 0};
  const Tensor x = make_tensor({11}, DType::Int64), y = make_tensor({11}, DType::Int64);
  assign<int64_t>(x, [&](int64_t i) { return base[i]; });
  assign<int64_t>(y, [&](int64_t i) { return exponent[i]; });
  api().binary(ctx, BinaryOp::pow, x, x, y);
  BOOST_CHECK(values<int64_t>(x) == std::vector<int64_t>(want, want + 11));
}

// Over every pair of bytes, by the definitions: C's / and %, and Python's.
BOOST_AUTO_TEST_CASE(integer_division_and_bits) {
  Ctx ctx = cpu_ctx();
  const auto check = [&]<class T>(T) {
    constexpr DType kType = kDTypeOf<T>;
    const Tensor x = make_tensor({65536}, kType), y = make_tensor({65536}, kType);
    const Tensor r = make_tensor({65536}, kType);
    const int64_t low = std::is_signed_v<T> ? -128 : 0;
    assign<T>(x, [&](int64_t i) { return static_cast<T>(i / 256 + low); });
    assign<T>(y, [&](int64_t i) { return static_cast<T>(i % 256 + low); });
    const auto xs = values<int64_t>(x), ys = values<int64_t>(y);
    const auto each = [&](BinaryOp op, auto want) {
      api().binary(ctx, op, r, x, y);
      const auto got = values<int64_t>(r);
      for (size_t i = 0; i < got.size(); ++i)
        BOOST_REQUIRE(got[i] == static_cast<int64_t>(static_cast<T>(want(xs[i], ys[i]))));
    };
    const auto floor_of = [](int64_t a, int64_t b) {
      return b == 0 ? 0 : static_cast<int64_t>(std::floor(double(a) / double(b)));
    };
    each(BinaryOp::fmod, [](int64_t a, int64_t b) { return b == 0 ? a : a % b; });
    each(BinaryOp::div_trunc, [](int64_t a, int64_t b) { return b == 0 ? 0 : a / b; });
    each(BinaryOp::floor_divide, floor_of);
    each(BinaryOp::remainder, [&](int64_t a, int64_t b) { return a - floor_of(a, b) * b; });
    each(BinaryOp::bitwise_and, [](int64_t a, int64_t b) { return a & b; });
    each(BinaryOp::bitwise_or, [](int64_t a, int64_t b) { return a | b; });
    each(BinaryOp::bitwise_xor, [](int64_t a, int64_t b) { return a ^ b; });
    constexpr int64_t kBits = 8 * sizeof(T);
    const auto out_of_range = [](int64_t n) { return n < 0 || n >= kBits; };
    each(BinaryOp::bitwise_left_shift, [&](int64_t a, int64_t n) {
      return out_of_range(n) ? 0 : static_cast<int64_t>(static_cast<uint64_t>(a) << n);
    });
    each(BinaryOp::bitwise_right_shift,
         [&](int64_t a, int64_t n) { return a >> (out_of_range(n) ? kBits - 1 : n); });
  };
  check(int32_t{});
  check(int64_t{});
  check(uint8_t{});
}

// The least integer over -1 is itself again: the hardware would trap.
BOOST_AUTO_TEST_CASE(the_least_integer_over_minus_one) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({1}, DType::Int64), y = make_tensor({1}, DType::Int64);
  const Tensor r = make_tensor({1}, DType::Int64);
  assign<int64_t>(x, [](int64_t) { return std::numeric_limits<int64_t>::min(); });
  assign<int64_t>(y, [](int64_t) { return -1; });
  for (const BinaryOp op : {BinaryOp::div_trunc, BinaryOp::floor_divide}) {
    api().binary(ctx, op, r, x, y);
    BOOST_TEST(values<int64_t>(r)[0] == std::numeric_limits<int64_t>::min());
  }
  for (const BinaryOp op : {BinaryOp::fmod, BinaryOp::remainder}) {
    api().binary(ctx, op, r, x, y);
    BOOST_TEST(values<int64_t>(r)[0] == 0);
  }
}

BOOST_AUTO_TEST_CASE(ternary_takes_any_layout_and_broadcast) {
  Ctx ctx = cpu_ctx();
  const Dims sizes{5, 40};
  uint64_t seed = 900;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const Layout out : kLayouts) {
      for (const Layout in : kLayouts) {
        for (const Dims& small : {Dims{5, 40}, Dims{40}, Dims{5, 1}, Dims{}}) {
          const Tensor x = random_tensor(sizes, DType::Float64, in, ++seed);
          const Tensor y = random_tensor(small, DType::Float32, in, ++seed);
          const Tensor z = random_tensor(small, DType::Int32, Layout::Rows, ++seed);
          const Tensor r = make_tensor(sizes, DType::Float64, out);
          const auto xs = values<double>(x), ys = values<double>(expand(y, sizes));
          const auto zs = values<double>(expand(z, sizes));
          api().ternary(ctx, TernaryOp::addcmul, r, x, y, z, {0.5, 0});
          const auto got = values<double>(r);
          for (size_t i = 0; i < got.size(); ++i)
            BOOST_REQUIRE(got[i] == xs[i] + 0.5 * ys[i] * zs[i]);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(bool_arithmetic_is_logic) {
  Ctx ctx = cpu_ctx();
  const Tensor x = make_tensor({4}, DType::Bool), y = make_tensor({4}, DType::Bool);
  const Tensor r = make_tensor({4}, DType::Bool);
  assign<bool>(x, [](int64_t i) { return i >= 2; });
  assign<bool>(y, [](int64_t i) { return i % 2 == 1; });
  using Values = std::vector<int64_t>;
  api().binary(ctx, BinaryOp::add, r, x, y);
  BOOST_CHECK(values<int64_t>(r) == (Values{0, 1, 1, 1}));
  api().binary(ctx, BinaryOp::mul, r, x, y);
  BOOST_CHECK(values<int64_t>(r) == (Values{0, 0, 0, 1}));
  api().binary(ctx, BinaryOp::minimum, r, x, y);
  BOOST_CHECK(values<int64_t>(r) == (Values{0, 0, 0, 1}));
}

BOOST_AUTO_TEST_CASE(rows_for_floats_refuse_integers) {
  Ctx ctx = cpu_ctx();
  const Tensor x = random_tensor({4}, DType::Int64, Layout::Rows, 1);
  BOOST_CHECK_THROW(api().unary(ctx, UnaryOp::exp, x, x, {}), TypeError);
  BOOST_CHECK_THROW(api().binary(ctx, BinaryOp::div, x, x, x), TypeError);
  BOOST_CHECK_THROW(api().unary_backward(ctx, UnaryOp::exp, x, x, x, {}), TypeError);
}

BOOST_AUTO_TEST_CASE(unary_and_its_backward_take_any_layout) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 100;
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    for (const Dims& sizes : {Dims{}, Dims{0}, Dims{9}, Dims{70, 33}, Dims{4, 5, 6}}) {
      for (const Layout out : kLayouts) {
        for (const Layout in : kLayouts) {
          const Tensor x = random_tensor(sizes, DType::Float64, in, ++seed);
          const Tensor g = expand(random_tensor({}, DType::Float64, in, ++seed), sizes);
          const Tensor y = make_tensor(sizes, DType::Float64, out);
          const auto xs = values<double>(x), gs = values<double>(g);
          api().unary(ctx, UnaryOp::leaky_relu, y, x, {0.25, 0});
          const auto ys = values<double>(y);
          api().unary_backward(ctx, UnaryOp::leaky_relu, y, g, x, {0.25, 0});
          const auto ds = values<double>(y);
          for (size_t i = 0; i < xs.size(); ++i) {
            BOOST_REQUIRE(ys[i] == (xs[i] > 0 ? xs[i] : xs[i] * 0.25));
            BOOST_REQUIRE(ds[i] == (xs[i] > 0 ? gs[i] : gs[i] * 0.25));
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(comparisons_compute_in_the_given_dtype) {
  Ctx ctx = cpu_ctx();
  const Tensor r = make_tensor({3}, DType::Bool, Layout::Sliced);
  const Tensor x = make_tensor({3}, DType::Int64), y = make_tensor({3}, DType::Int64);
  // Apart as integers, the same as doubles.
  assign<int64_t>(x, [](int64_t) { return (int64_t{1} << 60) + 1; });
  assign<int64_t>(y, [](int64_t i) { return (int64_t{1} << 60) + i; });
  api().compare(ctx, CompareOp::lt, r, x, y, DType::Int64);
  BOOST_CHECK(values<int>(r) == (std::vector<int>{0, 0, 1}));
  api().compare(ctx, CompareOp::eq, r, x, y, DType::Int64);
  BOOST_CHECK(values<int>(r) == (std::vector<int>{0, 1, 0}));
  api().compare(ctx, CompareOp::eq, r, x, y, DType::Float64);
  BOOST_CHECK(values<int>(r) == (std::vector<int>{1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(comparisons_of_every_dtype_and_broadcast) {
  Ctx ctx = cpu_ctx();
  for (const DType dtype : kAll) {
    const Tensor x = random_tensor({50, 37}, dtype, Layout::Transposed, 5);
    const Tensor y = random_tensor({37}, dtype, Layout::Rows, 6);
    const Tensor r = make_tensor({50, 37}, DType::Bool);
    const auto xs = values<double>(x), ys = values<double>(expand(y, {50, 37}));
    api().compare(ctx, CompareOp::le, r, x, y, dtype);
    const auto got = values<bool>(r);
    for (size_t i = 0; i < xs.size(); ++i) BOOST_REQUIRE(got[i] == (xs[i] <= ys[i]));
  }
}

BOOST_AUTO_TEST_CASE(where_takes_any_layout_and_dtype) {
  Ctx ctx = cpu_ctx();
  uint64_t seed = 200;
  for (const DType dtype : kAll) {
    for (const Layout layout : kLayouts) {
      for (const Dims& small : {Dims{6, 50}, Dims{50}, Dims{6, 1}, Dims{}}) {
        const Dims sizes{6, 50};
        const Tensor c = random_tensor(small, DType::Bool, layout, ++seed);
        const Tensor x = random_tensor(sizes, dtype, layout, ++seed);
        const Tensor y = random_tensor(small, dtype, Layout::Rows, ++seed);
        const Tensor r = make_tensor(sizes, dtype, layout);
        const auto cs = values<bool>(expand(c, sizes));
        const auto xs = values<double>(x), ys = values<double>(expand(y, sizes));
        api().where(ctx, r, c, x, y);
        auto got = values<double>(r);
        for (size_t i = 0; i < xs.size(); ++i) BOOST_REQUIRE(got[i] == (cs[i] ? xs[i] : ys[i]));
        api().where(ctx, r, c, y, x);
        got = values<double>(r);
        for (size_t i = 0; i < xs.size(); ++i) BOOST_REQUIRE(got[i] == (cs[i] ? ys[i] : xs[i]));
      }
    }
  }
}

// Narrow rows with a bias, over several blocks and chunks.
BOOST_AUTO_TEST_CASE(a_repeated_row_meets_every_block) {
  Ctx ctx = cpu_ctx();
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    for (const int64_t width : {3, 7, 31}) {
      const Dims sizes{200000 / width, width};
      const Tensor x = random_tensor(sizes, DType::Float32, Layout::Rows, 1);
      const Tensor bias = random_tensor({width}, DType::Int32, Layout::Sliced, 2);
      const Tensor r = make_tensor(sizes, DType::Float32);
      api().binary(ctx, BinaryOp::sub, r, bias, x);
      const auto got = values<float>(r), xs = values<float>(x), bs = values<float>(bias);
      int64_t wrong = 0;
      for (size_t i = 0; i < got.size(); ++i)
        wrong += got[i] != bs[i % static_cast<size_t>(width)] - xs[i];
      BOOST_TEST(wrong == 0);
    }
  }
}

// Large enough for several blocks, in the contiguous, the row-wise and the buffered way.
BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_the_threads) {
  Ctx ctx = cpu_ctx();
  const Dims sizes{700, 301};
  const Tensor x = random_tensor(sizes, DType::Float32, Layout::Rows, 1);
  const Tensor xt = random_tensor(sizes, DType::Float32, Layout::Transposed, 2);
  const Tensor bias = random_tensor({301}, DType::Float32, Layout::Rows, 3);
  for (const auto* table : micro_tables()) {
    const UseTable use(table);
    std::vector<std::vector<float>> first;
    for (const int threads : {1, 2, 3}) {
      const UseThreads with(threads);
      std::vector<std::vector<float>> got;
      const Tensor r = make_tensor(sizes, DType::Float32);
      const auto keep = [&] { got.push_back(values<float>(r)); };
      api().unary(ctx, UnaryOp::tanh, r, x, {});
      keep();
      api().unary(ctx, UnaryOp::gelu, r, xt, {});
      keep();
      api().binary(ctx, BinaryOp::div, r, x, bias);
      keep();
      api().unary_backward(ctx, UnaryOp::silu, r, xt, x, {});
      keep();
      if (threads == 1) {
        first = got;
        continue;
      }
      for (size_t i = 0; i < got.size(); ++i)
        BOOST_TEST(std::memcmp(got[i].data(), first[i].data(), got[i].size() * 4) == 0);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
