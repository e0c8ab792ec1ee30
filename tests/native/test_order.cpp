// Scans, sorting, medians and the order of rows, against the obvious loops.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <numeric>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

const DeviceApi& api() { return *device_api(DeviceKind::Cpu); }

__extension__ using Wide128 = unsigned __int128;

constexpr DType kAll[] = {DType::Bool,  DType::UInt8,   DType::Int32,
                          DType::Int64, DType::Float32, DType::Float64};
// Lines below and above the length from which digits are counted, and none at all.
const Dims kSizes[] = {Dims{7},      Dims{0, 3},   Dims{3, 5, 4},
                       Dims{130, 3}, Dims{3, 700}, Dims{65, 2, 70}};

// Small numbers, so that there are many equal ones, with a few NaN and infinities.
Tensor with_ties(const Dims& sizes, DType dtype, Layout layout, uint64_t seed) {
  const Tensor t = random_tensor(sizes, dtype, layout, seed);
  if (dtype != DType::Float32 && dtype != DType::Float64) return t;
  dispatch_floating("test", dtype, [&]<class T>() {
    each<T>(t, [&](int64_t i, T& v) {
      if (i % 17 == 3) v = std::numeric_limits<T>::quiet_NaN();
      if (i % 19 == 5) v = -std::numeric_limits<T>::infinity();
      if (i % 11 == 2) v = i % 2 ? T(0) : -T(0);
    });
  });
  return t;
}

// The elements of one line along `dim`, as doubles (which every value here is exactly).
std::vector<double> line_of(const std::vector<double>& all, const Dims& sizes, int dim,
                            int64_t line) {
  int64_t inner = 1;
  for (int d = dim + 1; d < sizes.rank(); ++d) inner *= sizes[d];
  std::vector<double> out;
  for (int64_t i = 0; i < sizes[dim]; ++i)
    out.push_back(all[static_cast<size_t>((line / inner * sizes[dim] + i) * inner + line % inner)]);
  return out;
}

bool above(double a, double b) { return std::isnan(a) ? !std::isnan(b) : a > b; }

std::vector<int64_t> order_of(const std::vector<double>& v, bool descending) {
  std::vector<int64_t> order(v.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const double x = v[static_cast<size_t>(a)], y = v[static_cast<size_t>(b)];
    return descending ? above(x, y) : above(y, x);
  });
  return order;
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

// Calls f(x, dim, layout of the results) for every dtype, size, dimension and layout.
template <class F>
void for_cases(F f) {
  uint64_t seed = 0;
  for (const int threads : {1, 3}) {
    const UseThreads with(threads);
    for (const DType dtype : kAll)
      for (const Dims& sizes : kSizes)
        for (const Layout layout : kLayouts) {
          const Tensor x = with_ties(sizes, dtype, layout, ++seed);
          for (int dim = 0; dim < sizes.rank(); ++dim) f(x, dim, kLayouts[seed % 4]);
        }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(order)

BOOST_AUTO_TEST_CASE(sort_is_stable_and_gives_the_first_k) {
  Ctx ctx = cpu_ctx();
  for_cases([&](const Tensor& x, int dim, Layout layout) {
    const int64_t n = x.size(dim);
    for (const int64_t k : {n, n / 2, std::min<int64_t>(n, 2), int64_t{0}}) {
      for (const bool descending : {false, true}) {
        Dims sizes = x.sizes();
        sizes[dim] = k;
        const Tensor v = make_tensor(sizes, x.dtype(), layout);
        const Tensor at = make_tensor(sizes, DType::Int64, layout);
        api().sort(ctx, v, at, x, dim, descending);
        const auto in = values<double>(x), out = values<double>(v), where = values<double>(at);
        for (int64_t line = 0; line < (k ? v.numel() / k : 0); ++line) {
          const auto source = line_of(in, x.sizes(), dim, line);
          const auto got = line_of(out, sizes, dim, line);
          const auto index = line_of(where, sizes, dim, line);
          const auto want = order_of(source, descending);
          for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
            BOOST_REQUIRE(static_cast<int64_t>(index[i]) == want[i]);
            BOOST_REQUIRE(same(got[i], source[static_cast<size_t>(want[i])]));
          }
        }
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(sort_tells_close_numbers_apart) {
  Ctx ctx = cpu_ctx();
  for (const DType dtype : {DType::Int32, DType::Int64, DType::Float32, DType::Float64}) {
    const Tensor x = make_tensor({1000}, dtype);
    std::mt19937_64 bits(7);
    dispatch("test", dtype, [&]<class T>() {
      each<T>(x, [&](int64_t, T& v) {
        const uint64_t word = bits();
        std::memcpy(&v, &word, sizeof v);
        if (v != v) v = T(0);
      });
      const Tensor sorted = make_tensor({1000}, dtype), at = make_tensor({1000}, DType::Int64);
      api().sort(ctx, sorted, at, x, 0, false);
      std::vector<T> want = values<T>(x);
      std::stable_sort(want.begin(), want.end());
      BOOST_CHECK(values<T>(sorted) == want);
    });
  }
}

BOOST_AUTO_TEST_CASE(median_is_the_lower_one_or_the_first_nan) {
  Ctx ctx = cpu_ctx();
  for_cases([&](const Tensor& x, int dim, Layout layout) {
    const int64_t n = x.size(dim);
    if (n == 0) return;
    Dims sizes = x.sizes();
    sizes[dim] = 1;
    const Tensor v = make_tensor(sizes, x.dtype(), layout);
    const Tensor at = make_tensor(sizes, DType::Int64, layout);
    api().median(ctx, v, at, x, dim);
    const auto in = values<double>(x), out = values<double>(v), where = values<double>(at);
    for (size_t line = 0; line < out.size(); ++line) {
      const auto source = line_of(in, x.sizes(), dim, static_cast<int64_t>(line));
      int64_t want = order_of(source, false)[static_cast<size_t>((n - 1) / 2)];
      for (int64_t i = n - 1; i >= 0; --i)
        if (std::isnan(source[static_cast<size_t>(i)])) want = i;
      BOOST_REQUIRE(static_cast<int64_t>(where[line]) == want);
      BOOST_REQUIRE(same(out[line], source[static_cast<size_t>(want)]));
    }
  });
}

BOOST_AUTO_TEST_CASE(rows_are_ordered_by_their_first_difference) {
  Ctx ctx = cpu_ctx();
  for (const DType dtype : kAll) {
    const Tensor x = with_ties({200, 3}, dtype, Layout::Rows, 5);
    const Tensor got = make_tensor({200}, DType::Int64);
    api().order_rows(ctx, got, x);
    const auto v = values<double>(x);
    std::vector<int64_t> want(200);
    std::iota(want.begin(), want.end(), 0);
    std::stable_sort(want.begin(), want.end(), [&](int64_t a, int64_t b) {
      for (int64_t j = 0; j < 3; ++j) {
        const double p = v[static_cast<size_t>(3 * a + j)], q = v[static_cast<size_t>(3 * b + j)];
        if (above(p, q) || above(q, p)) return above(q, p);
      }
      return false;
    });
    BOOST_CHECK(values<int64_t>(got) == want);
  }
}

BOOST_AUTO_TEST_CASE(scans_run_from_either_end) {
  Ctx ctx = cpu_ctx();
  for_cases([&](const Tensor& x, int dim, Layout layout) {
    for (const ScanOp op : {ScanOp::Sum, ScanOp::Prod, ScanOp::Max, ScanOp::Min}) {
      for (const bool reverse : {false, true}) {
        const bool extreme = op == ScanOp::Max || op == ScanOp::Min;
        const Tensor y = make_tensor(x.sizes(), x.dtype(), layout);
        const Tensor at = make_tensor(x.sizes(), DType::Int64, layout);
        api().scan(ctx, op, y, extreme ? at.ref() : TensorRef{}, x, dim, reverse);
        const int64_t n = x.size(dim);
        if (x.numel() == 0) continue;
        dispatch("test", x.dtype(), [&]<class T>() {
          // Every value converts to double exactly, and back.
          const auto in = values<double>(x), out = values<double>(y), where = values<double>(at);
          for (int64_t line = 0; line < x.numel() / n; ++line) {
            const auto source = line_of(in, x.sizes(), dim, line);
            const auto got = line_of(out, x.sizes(), dim, line);
            const auto index = line_of(where, x.sizes(), dim, line);
            using Wide = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;
            Wide total{};
            size_t best = 0;
            for (int64_t k = 0; k < n; ++k) {
              const auto i = static_cast<size_t>(reverse ? n - 1 - k : k);
              const T v = static_cast<T>(source[i]);
              if (extreme) {
                const double kept = source[best];
                const bool better = op == ScanOp::Max ? source[i] >= kept : source[i] <= kept;
                if (k == 0 || std::isnan(source[i]) || (!std::isnan(kept) && better)) best = i;
                BOOST_REQUIRE(same(got[i], source[best]));
                BOOST_REQUIRE(static_cast<size_t>(index[i]) == best);
                continue;
              }
              if (k == 0)
                total = static_cast<Wide>(v);
              else if (op == ScanOp::Sum)
                total += static_cast<Wide>(v);
              else
                total *= static_cast<Wide>(v);
              BOOST_REQUIRE(same(got[i], static_cast<double>(static_cast<T>(total))));
            }
          }
        });
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(integers_cover_any_range) {
  Ctx ctx = cpu_ctx();
  const PhiloxStream stream{99, 3};
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  struct Case {
    int64_t low;
    uint64_t range;
  };
  for (const Case c : {Case{-5, 3}, Case{lowest, 0}, Case{lowest, ~uint64_t{0}},
                       Case{int64_t{1} << 62, uint64_t{1} << 61}}) {
    for (const Layout layout : kLayouts) {
      const Tensor t = make_tensor({3, 1001}, DType::Int64, layout);
      api().random_integers(ctx, t, c.low, c.range, stream);
      const auto got = values<int64_t>(t);
      for (size_t i = 0; i < got.size(); ++i) {
        const uint64_t bits = random_bits64(stream, i);
        // 128-bit arithmetic says what floor(bits * range / 2^64) is.
        const uint64_t steps =
            c.range == 0 ? bits
                         : static_cast<uint64_t>((static_cast<Wide128>(bits) * c.range) >> 64);
        BOOST_REQUIRE(static_cast<uint64_t>(got[i]) == static_cast<uint64_t>(c.low) + steps);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
