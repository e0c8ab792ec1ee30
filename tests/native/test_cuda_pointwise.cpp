// CUDA's index math, memory, copies and pointwise kernels, run by the emulation in cuda/emulation.
#ifdef LAMINA_CUDA_EMULATION
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "../../cuda/runtime/runtime.h"
#include "../../cuda/strided.h"
#include "cuda_emulation.h"
#include "wrapping.h"

using namespace lamina;
using namespace lamina::cuda_test;

namespace {

template <class E>
std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was raised";
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// Sizes around the width of a pack (16 bytes), and enough for several blocks of threads.
constexpr int64_t kLengths[] = {1, 3, 4, 5, 16, 1000, 5003};

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_pointwise)

BOOST_AUTO_TEST_CASE(division_by_multiplication_is_exact) {
  constexpr uint32_t kTop = 0x7fffffff;
  std::vector<uint32_t> values = {1,     2,     3,     5,        7,        641,
                                  65535, 65536, 65537, kTop / 2, kTop - 1, kTop};
  for (int i = 0; i < 300; ++i)
    values.push_back(static_cast<uint32_t>(random_int(1, kTop >> random_int(0, 30))));
  for (const uint32_t d : values) {
    const cuda::FastDivisor divisor(d);
    for (const uint32_t n : values) {
      BOOST_REQUIRE_EQUAL(divisor.divide(n), n / d);
      BOOST_REQUIRE_EQUAL(divisor.divide(n - 1), (n - 1) / d);
    }
    BOOST_REQUIRE_EQUAL(divisor.divide(kTop / d * d), kTop / d);
  }
}

// The device's offsets against the iterator that the CPU walks.
BOOST_AUTO_TEST_CASE(offsets_follow_the_iterator) {
  for (int round = 0; round < 200; ++round) {
    Dims sizes;
    for (int64_t rank = random_int(0, 5); rank > 0; --rank) sizes.push_back(random_int(1, 5));
    Dims broadcast = sizes;
    for (int64_t& s : broadcast)
      if (random_int(0, 2) == 0) s = 1;
    Array<float> out(sizes, shuffled_strides(sizes));
    Array<double> x(broadcast, shuffled_strides(broadcast));
    const Iter it("test", {out.ref(), x.ref()});
    cuda::Strided<2> at(it, 0, it.rank(), {0, 1});
    BOOST_REQUIRE(at.narrow);
    BOOST_REQUIRE_EQUAL(at.numel, static_cast<uint64_t>(it.numel()));
    uint64_t i = 0;
    it.for_range(0, it.numel(), [&](int64_t n, char** ptrs, const int64_t* steps) {
      for (int64_t j = 0; j < n; ++j, ++i)
        for (const bool narrow : {true, false}) {
          at.narrow = narrow;
          int64_t offsets[2];
          at.offsets(i, offsets);
          BOOST_REQUIRE(at.data[0] + offsets[0] == ptrs[0] + j * steps[0]);
          BOOST_REQUIRE(at.data[1] + offsets[1] == ptrs[1] + j * steps[1]);
        }
    });
  }
}

// Only the index math: nothing of this size is there.
BOOST_AUTO_TEST_CASE(offsets_beyond_32_bits) {
  const Dims sizes{70000, 70000};
  const Dims strides{70001, 1};
  float first = 0;
  const TensorRef t{&first, sizes, strides, DType::Float32};
  const Iter it("test", {t});
  const cuda::Strided<1> at(it, 0, it.rank(), {0});
  BOOST_TEST(!at.narrow);
  int64_t offsets[1];
  at.offsets(uint64_t{70000} * 69999 + 12345, offsets);
  BOOST_TEST(offsets[0] == (int64_t{70001} * 69999 + 12345) * 4);
}

template <class T, class F>
void check_layouts(F check_one) {
  for (const int64_t n : kLengths) {
    check_one(Array<T>(Dims{n}), Array<T>(Dims{n}), Array<T>(Dims{n}));
    check_one(Array<T>(Dims{n}), Array<T>(Dims{n}, Dims{1}, 1), Array<T>(Dims{n}));  // unaligned
    check_one(Array<T>(Dims{n}, Dims{2}), Array<T>(Dims{n}), Array<T>(Dims{n}, Dims{3}));
  }
  const Dims sizes{3, 5, 7};
  for (int round = 0; round < 3; ++round)
    check_one(Array<T>(sizes, shuffled_strides(sizes)), Array<T>(sizes, shuffled_strides(sizes)),
              Array<T>(sizes, shuffled_strides(sizes)));
}

template <class T>
void check_rows() {
  Ctx ctx = cuda_ctx();
  const Params params{0.1, 2.5};
  const auto a = static_cast<T>(params.a);
  const auto b = static_cast<T>(params.b);
  check_layouts<T>([&](Array<T> out, Array<T> x, Array<T> y) {
    x.set_normal();
    y.set_normal();
    x[0] = std::numeric_limits<T>::quiet_NaN();
    bool same_all = true;
#define LAMINA_ROW(name, ...)                                                             \
  cuda::unary(ctx, UnaryOp::name, out.ref(), x.ref(), params);                            \
  for (int64_t i = 0; i < out.numel(); ++i)                                               \
    same_all = same_all && same(out[i], rows::name##_row::forward<T>(x[i], a, b));        \
  BOOST_TEST(same_all, #name);                                                            \
  cuda::unary_backward(ctx, UnaryOp::name, out.ref(), x.ref(), y.ref(), params);          \
  for (int64_t i = 0; i < out.numel(); ++i)                                               \
    same_all = same_all && same(out[i], rows::name##_row::backward<T>(x[i], y[i], a, b)); \
  BOOST_TEST(same_all, #name " backward");
    LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
#define LAMINA_ROW(name, ...)                                                      \
  cuda::binary(ctx, BinaryOp::name, out.ref(), x.ref(), y.ref());                  \
  for (int64_t i = 0; i < out.numel(); ++i)                                        \
    same_all = same_all && same(out[i], rows::name##_row::forward<T>(x[i], y[i])); \
  BOOST_TEST(same_all, #name);
    LAMINA_REAL_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    Array<T> z(Dims{1});
    z[0] = T(0.25);
    Dims still = out.sizes;
    for (int64_t& s : still) s = 0;
    const TensorRef z_all{z.data.data(), out.sizes, still, kDTypeOf<T>};
#define LAMINA_ROW(name, ...)                                                               \
  cuda::ternary(ctx, TernaryOp::name, out.ref(), x.ref(), y.ref(), z_all, params);          \
  for (int64_t i = 0; i < out.numel(); ++i)                                                 \
    same_all = same_all && same(out[i], rows::name##_row::forward<T>(x[i], y[i], z[0], a)); \
  BOOST_TEST(same_all, #name);
    LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
    Flags flags(out.sizes, out.strides);
#define LAMINA_ROW(name, ...)                                                        \
  cuda::compare(ctx, CompareOp::name, flags.ref(), x.ref(), y.ref(), kDTypeOf<T>);   \
  for (int64_t i = 0; i < out.numel(); ++i)                                          \
    same_all = same_all && (flags[i] == 1) == rows::name##_row::forward(x[i], y[i]); \
  BOOST_TEST(same_all, #name);
    LAMINA_COMPARE_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
  });
}
BOOST_AUTO_TEST_CASE(float_rows_in_every_layout) { check_rows<float>(); }
BOOST_AUTO_TEST_CASE(double_rows_in_every_layout) { check_rows<double>(); }

template <class T>
void check_integer_rows() {
  Ctx ctx = cuda_ctx();
  using W = Wrapping<T>;
  for (const int64_t n : kLengths) {
    Array<T> out(Dims{n});
    Array<T> x(Dims{n});
    Array<T> y(Dims{n});
    const auto any = [](int64_t) {
      return random_int(std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    };
    x.set(any);
    y.set(any);
    bool same_all = true;
    const auto check_unary = [&]<class Row>(UnaryOp op, Row) {
      cuda::unary(ctx, op, out.ref(), x.ref(), {});
      for (int64_t i = 0; i < n; ++i)
        same_all = same_all && out[i] == Row::template forward<W>(W(x[i]), W(0), W(0)).value;
      BOOST_TEST(same_all, info(op).name);
    };
    const auto check_binary = [&]<class Row>(BinaryOp op, Row) {
      cuda::binary(ctx, op, out.ref(), x.ref(), y.ref());
      for (int64_t i = 0; i < n; ++i)
        same_all = same_all && out[i] == Row::template forward<W>(W(x[i]), W(y[i])).value;
      BOOST_TEST(same_all, info(op).name);
    };
    check_unary(UnaryOp::neg, rows::neg_row{});
    check_unary(UnaryOp::abs, rows::abs_row{});
    check_unary(UnaryOp::sign, rows::sign_row{});
    check_unary(UnaryOp::square, rows::square_row{});
    check_unary(UnaryOp::relu, rows::relu_row{});
    check_unary(UnaryOp::round, rows::round_row{});
    check_binary(BinaryOp::add, rows::add_row{});
    check_binary(BinaryOp::sub, rows::sub_row{});
    check_binary(BinaryOp::mul, rows::mul_row{});
    check_binary(BinaryOp::pow, rows::pow_row{});
    check_binary(BinaryOp::maximum, rows::maximum_row{});
    check_binary(BinaryOp::minimum, rows::minimum_row{});
    check_binary(BinaryOp::bitwise_and, rows::bitwise_and_row{});
    check_binary(BinaryOp::bitwise_or, rows::bitwise_or_row{});
    check_binary(BinaryOp::bitwise_xor, rows::bitwise_xor_row{});
    y.set([](int64_t i) { return i % 7 + 1; });
    check_binary(BinaryOp::fmod, rows::fmod_row{});
    check_binary(BinaryOp::remainder, rows::remainder_row{});
    check_binary(BinaryOp::floor_divide, rows::floor_divide_row{});
    check_binary(BinaryOp::bitwise_left_shift, rows::bitwise_left_shift_row{});
    check_binary(BinaryOp::bitwise_right_shift, rows::bitwise_right_shift_row{});
  }
}
BOOST_AUTO_TEST_CASE(integer_rows_wrap) {
  check_integer_rows<uint8_t>();
  check_integer_rows<int32_t>();
  check_integer_rows<int64_t>();
}

BOOST_AUTO_TEST_CASE(bools_add_as_or_and_multiply_as_and) {
  Ctx ctx = cuda_ctx();
  Flags x(Dims{4}), y(Dims{4}), out(Dims{4});
  x.data = {0, 0, 1, 1};
  y.data = {0, 1, 0, 1};
  cuda::binary(ctx, BinaryOp::add, out.ref(), x.ref(), y.ref());
  BOOST_TEST(out.data == (std::vector<uint8_t>{0, 1, 1, 1}));
  cuda::binary(ctx, BinaryOp::mul, out.ref(), x.ref(), y.ref());
  BOOST_TEST(out.data == (std::vector<uint8_t>{0, 0, 0, 1}));
}

BOOST_AUTO_TEST_CASE(operands_broadcast_and_are_cast) {
  Ctx ctx = cuda_ctx();
  Array<float> out(Dims{6, 50});
  Array<int64_t> x(Dims{50});
  Array<double> y(Dims{6, 1});
  Array<float> scalar{Dims{}};
  x.set_integers();
  y.set_normal();
  scalar[0] = 2.5f;
  cuda::binary(ctx, BinaryOp::sub, out.ref(), x.ref(), y.ref());
  for (int64_t i = 0; i < 300; ++i)
    BOOST_REQUIRE_EQUAL(out[i], static_cast<float>(x[i % 50]) - static_cast<float>(y[i / 50]));
  Array<float> z(Dims{6, 50});  // one value beside a contiguous operand takes the packed loop
  z.set_normal();
  cuda::binary(ctx, BinaryOp::div, out.ref(), scalar.ref(), z.ref());
  for (int64_t i = 0; i < 300; ++i) BOOST_REQUIRE_EQUAL(out[i], 2.5f / z[i]);
  cuda::unary(ctx, UnaryOp::exp, z.ref(), z.ref(), {});  // in place
  cuda::binary(ctx, BinaryOp::mul, out.ref(), out.ref(), z.ref());
  Flags less(Dims{6, 50});
  cuda::compare(ctx, CompareOp::lt, less.ref(), x.ref(), y.ref(), DType::Float64);
  Array<float> chosen(Dims{6, 50}, Dims{1, 6});
  cuda::where(ctx, chosen.ref(), less.ref(), x.ref(), y.ref());
  for (int64_t i = 0; i < 300; ++i) {
    const bool lt = static_cast<double>(x[i % 50]) < y[i / 50];
    BOOST_REQUIRE_EQUAL(less[i] == 1, lt);
    BOOST_REQUIRE_EQUAL(chosen[i],
                        lt ? static_cast<float>(x[i % 50]) : static_cast<float>(y[i / 50]));
  }
}

template <class To, class From>
void check_cast() {
  Ctx ctx = cuda_ctx();
  const Dims sizes{7, 11, 3};
  for (int round = 0; round < 2; ++round) {
    Array<From> from(sizes, round == 0 ? contiguous_strides(sizes) : shuffled_strides(sizes));
    Array<To> to(sizes, round == 0 ? contiguous_strides(sizes) : shuffled_strides(sizes));
    from.set_integers(0, 100);
    if constexpr (std::is_floating_point_v<From>) from[5] = From(99.75);
    cuda::copy(ctx, to.ref(), from.ref());
    for (int64_t i = 0; i < to.numel(); ++i) BOOST_REQUIRE_EQUAL(to[i], static_cast<To>(from[i]));
  }
}
template <class To>
void check_casts_to() {
  check_cast<To, uint8_t>();
  check_cast<To, int32_t>();
  check_cast<To, int64_t>();
  check_cast<To, float>();
  check_cast<To, double>();
}
BOOST_AUTO_TEST_CASE(copies_cast_between_all_dtypes) {
  check_casts_to<uint8_t>();
  check_casts_to<int32_t>();
  check_casts_to<int64_t>();
  check_casts_to<float>();
  check_casts_to<double>();
}

BOOST_AUTO_TEST_CASE(floats_that_no_integer_holds) {
  Ctx ctx = cuda_ctx();
  Array<float> x(Dims{6});
  x.data = {NAN, 0.5f, 0.0f, -3.0f, 0x1p32f + 512.0f, -INFINITY};
  Array<int32_t> i(Dims{6});
  Array<int64_t> wide(Dims{6});
  Flags b(Dims{6});
  cuda::copy(ctx, i.ref(), x.ref());
  cuda::copy(ctx, wide.ref(), x.ref());
  cuda::copy(ctx, b.ref(), x.ref());
  BOOST_TEST(i.data == (std::vector<int32_t>{0, 0, 0, -3, 512, 0}));
  BOOST_TEST(wide[5] == INT64_MIN);
  BOOST_TEST(b.data == (std::vector<uint8_t>{1, 1, 0, 1, 1, 1}));
}

BOOST_AUTO_TEST_CASE(fill_arange_and_the_way_to_the_host) {
  Ctx ctx = cuda_ctx();
  for (const int64_t n : kLengths) {
    Array<float> x(Dims{n});
    Array<uint8_t> u(Dims{n}, Dims{3});
    cuda::fill(ctx, x.ref(), -1.5);
    cuda::fill(ctx, u.ref(), 200);
    for (int64_t i = 0; i < n; ++i) BOOST_REQUIRE(x[i] == -1.5f && u[i] == 200);
    for (int64_t i = 0; i + 1 < n; ++i)
      BOOST_REQUIRE_EQUAL(u.data[static_cast<size_t>(3 * i + 1)], 0);
    Array<int64_t> k(Dims{n});
    cuda::arange(ctx, x.ref(), 0.5, 0.25);
    cuda::arange(ctx, k.ref(), 7, -2);
    for (int64_t i = 0; i < n; ++i)
      BOOST_REQUIRE(x[i] == 0.5f + 0.25f * static_cast<float>(i) && k[i] == 7 - 2 * i);
    std::vector<int64_t> host(static_cast<size_t>(n));
    cuda::to_host(ctx, host.data(), k.ref());
    BOOST_TEST(host == k.data);
    host[0] = 99;
    cuda::from_host(ctx, k.ref(), host.data());
    BOOST_TEST(k[0] == 99);
  }
  Array<float> none(Dims{0, 3});
  cuda::fill(ctx, none.ref(), 1);
  cuda::copy(ctx, none.ref(), none.ref());
}

BOOST_AUTO_TEST_CASE(errors_name_the_op_and_the_rule) {
  Ctx ctx = cuda_ctx();
  Array<int64_t> x(Dims{3});
  BOOST_TEST(error_of<TypeError>([&] { cuda::unary(ctx, UnaryOp::exp, x.ref(), x.ref(), {}); }) ==
             "exp: needs a floating dtype (float32 or float64), got int64");
  Array<int64_t> y(Dims{3});
  TensorRef half = y.ref();
  half.dtype = DType::Float16;
  BOOST_TEST(contains(error_of<TypeError>([&] { cuda::copy(ctx, x.ref(), half); }), "float16"));
  Ctx elsewhere{Device{DeviceKind::Cuda, 3}};
  BOOST_TEST(error_of<RuntimeError>([&] { cuda::fill(elsewhere, x.ref(), 0); }) ==
             "fill_: cudaSetDevice failed: invalid device ordinal (cudaErrorInvalidDevice)");
  BOOST_TEST(cuda::kApi.gemm != nullptr);
  BOOST_TEST(cuda::kApi.softmax == nullptr);
}

BOOST_AUTO_TEST_CASE(memory_is_reused_on_its_stream_and_runs_out_with_an_error) {
  const Device device{DeviceKind::Cuda, 0};
  cuda::empty_cache();
  const int64_t mallocs = cuda::memory_stats().cuda_mallocs;
  void* const first = cuda::kAllocator.allocate(device, 1000);
  BOOST_TEST(cuda::memory_stats().live_bytes == 1024);
  cuda::kAllocator.deallocate(device, first, 1000);
  BOOST_TEST(cuda::kAllocator.allocate(device, 900) == first);
  cuda::kAllocator.deallocate(device, first, 900);
  {
    int other = 0;  // any address does for a stream that is never used
    const cuda::StreamGuard guard(0, reinterpret_cast<cudaStream_t>(&other));
    void* const second = cuda::kAllocator.allocate(device, 1000);
    BOOST_TEST(second != first);
    cuda::kAllocator.deallocate(device, second, 1000);
  }
  BOOST_TEST(cuda::memory_stats().cuda_mallocs == mallocs + 2);
  BOOST_TEST(cuda::memory_stats().cached_bytes == 2048);

  cuda::emulation::g_memory_limit = 1 << 20;  // 1 MiB, of which the cache holds 2 KiB
  void* const all = cuda::kAllocator.allocate(device, 1 << 20);
  BOOST_TEST(cuda::memory_stats().cached_bytes == 0);
  BOOST_TEST(error_of<MemoryError>([&] { cuda::kAllocator.allocate(device, 4096); }) ==
             "cannot allocate 4096 bytes on cuda:0: 0 of 1048576 bytes are free, and lamina holds "
             "1048576");
  cuda::kAllocator.deallocate(device, all, 1 << 20);
  cuda::empty_cache();
  cuda::emulation::g_memory_limit = SIZE_MAX;
}

BOOST_AUTO_TEST_SUITE_END()
#endif  // LAMINA_CUDA_EMULATION
