// Random numbers and dropout of the CPU device.
#include <boost/test/unit_test.hpp>
#include <vector>

#include "core/random.h"
#include "cpu_test.h"
#include "ulp.h"

using namespace lamina;
using namespace lamina::test;

namespace {

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

}  // namespace

BOOST_AUTO_TEST_SUITE(random_driver)

BOOST_AUTO_TEST_CASE(random_numbers_are_functions_of_stream_and_index) {
  Ctx ctx = cpu_ctx();
  const PhiloxStream stream{1234567, 89};
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    for (const Layout layout : kLayouts) {
      const Dims sizes{3, 10007};
      const Tensor f = make_tensor(sizes, DType::Float32, layout);
      const Tensor d = make_tensor(sizes, DType::Float64, layout);
      const Tensor n = make_tensor(sizes, DType::Int64, layout);
      const auto same = [](auto got, auto want) {
        for (size_t i = 0; i < got.size(); ++i) BOOST_REQUIRE(got[i] == want(i));
      };
      api().random(ctx, Distribution::Uniform, f, -2, 6, stream);
      same(values<float>(f), [&](uint64_t i) { return -2.f + uniform_f32(stream, i) * 8.f; });
      api().random(ctx, Distribution::Uniform, d, 0, 1, stream);
      same(values<double>(d), [&](uint64_t i) { return uniform_f64(stream, i); });
      // Log, sine and cosine are not core/random.h's: 4 ULP, which float's rounding hides but for
      // the last one.
      const auto near = [](auto got, auto want, double ulps) {
        for (size_t i = 0; i < got.size(); ++i) {
          const auto w = want(i);
          BOOST_REQUIRE(ulp_error(got[i], w, ulp_of<decltype(w)>(w)) <= ulps);
        }
      };
      api().random(ctx, Distribution::Normal, d, 0, 1, stream);
      near(values<double>(d), [&](uint64_t i) { return normal_f64(stream, i); }, 4);
      api().random(ctx, Distribution::Normal, f, 0, 1, stream);
      const auto z = values<float>(f);
      near(z, [&](uint64_t i) { return normal_f32(stream, i); }, 1);
      api().random(ctx, Distribution::Normal, f, 1, 2, stream);
      same(values<float>(f), [&](uint64_t i) { return 1.f + 2.f * z[i]; });
      api().random_integers(ctx, n, -3, 14, stream);
      same(values<int64_t>(n), [&](uint64_t i) { return uniform_integer(stream, i, -3, 11); });
      api().random(ctx, Distribution::Bernoulli, n, 0.25, 0, stream);
      same(values<int64_t>(n), [&](uint64_t i) { return int64_t{uniform_f32(stream, i) < 0.25f}; });
    }
  }
}

// 1 - 2^-24 scaled to a width of 2^24 and more rounds up to the end, which is not in the range.
BOOST_AUTO_TEST_CASE(a_uniform_never_reaches_its_end) {
  Ctx ctx = cpu_ctx();
  const Tensor f = make_tensor({1 << 20}, DType::Float32);
  api().random(ctx, Distribution::Uniform, f, 1, 1 + 0x1p-22, {5, 0});
  for (const float v : values<float>(f)) BOOST_REQUIRE((v >= 1.f && v < 1.f + 0x1p-22f));
}

BOOST_AUTO_TEST_CASE(dropout_scales_what_it_keeps) {
  Ctx ctx = cpu_ctx();
  const PhiloxStream stream{42, 7};
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    for (const Layout layout : kLayouts) {
      for (const double p : {0.0, 0.25, 1.0}) {
        const Tensor x = random_tensor({70, 333}, DType::Float32, layout, 9);
        const Tensor y = make_tensor({70, 333}, DType::Float32, layout);
        const Tensor mask = make_tensor({70, 333}, DType::Bool);
        api().dropout(ctx, y, mask, x, p, stream);
        const auto in = values<float>(x), out = values<float>(y);
        const auto kept = values<bool>(mask);
        const float scale = p < 1 ? static_cast<float>(1 / (1 - p)) : 0.f;
        for (size_t i = 0; i < in.size(); ++i) {
          BOOST_REQUIRE(kept[i] == (static_cast<double>(uniform_f32(stream, i)) >= p));
          BOOST_REQUIRE(out[i] == (kept[i] ? in[i] * scale : 0.f));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
