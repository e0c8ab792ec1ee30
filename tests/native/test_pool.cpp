#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;

Windows windows(int64_t in, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Windows w{.in = in, .kernel = kernel, .stride = stride, .padding = padding, .dilation = dilation};
  w.out = (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  return w;
}
Windows cuts(int64_t in, int64_t out) {
  return {.in = in, .out = out, .kernel = in / out + 2, .adaptive = true};
}

struct Case {
  Windows rows, cols;
};
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int64_t w : {2, 3, 5, 8, 14, 15, 16, 17, 28, 31, 33, 66, 67, 129})
    all.push_back({windows(w / 2 + 2, 2, 2, 0, 1), windows(w, 2, 2, 0, 1)});
  for (const int64_t stride : {1, 2, 3})
    for (const int64_t dilation : {1, 2})
      for (const int64_t w : {7, 18, 37, 70})
        all.push_back({windows(9, 3, stride, 1, dilation), windows(w, 3, stride, 1, dilation)});
  all.push_back({windows(6, 1, 1, 0, 1), windows(19, 4, 2, 2, 3)});
  all.push_back({windows(2, 2, 2, 1, 3), windows(9, 2, 1, 0, 1)});      // a row without elements
  all.push_back({windows(20, 16, 2, 8, 1), windows(40, 16, 2, 8, 1)});  // 256 places: no byte
  all.push_back({cuts(7, 3), cuts(33, 5)});
  all.push_back({cuts(3, 5), cuts(4, 9)});
  return all;
}

// Few different numbers, so that there are ties; NaN and infinities.
template <class T>
std::vector<T> awkward(int64_t n) {
  std::vector<T> values = random_values<T>(n, 1, -3, 3);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::round(values[i]);
    if (i % 11 == 3) values[i] = std::numeric_limits<T>::quiet_NaN();
    if (i % 13 == 5) values[i] = -std::numeric_limits<T>::infinity();
    if (i % 17 == 7) values[i] = std::numeric_limits<T>::infinity();
  }
  return values;
}

// The place of each window's maximum in its plane, and in itself, by definition; -1 for none.
template <class T>
void find(const Case& c, const Array<T>& x, int64_t planes, std::vector<int64_t>& in_plane,
          std::vector<int64_t>& in_window) {
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t i = 0; i < c.rows.out; ++i)
      for (int64_t j = 0; j < c.cols.out; ++j) {
        int64_t at = -1, window = -1;
        for (int64_t r = 0; r < c.rows.length(i); ++r)
          for (int64_t k = 0; k < c.cols.length(j); ++k) {
            const int64_t row = c.rows.start(i) + r * c.rows.dilation;
            const int64_t col = c.cols.start(j) + k * c.cols.dilation;
            if (row < 0 || row >= c.rows.in || col < 0 || col >= c.cols.in) continue;
            const int64_t place = row * c.cols.in + col;
            const int64_t first = p * c.rows.in * c.cols.in;
            const T v = x[first + place];
            if (at >= 0 && !(v > x[first + at]) && !std::isnan(v)) continue;
            at = place;
            window = r * c.cols.kernel + k;
          }
        in_plane.push_back(at);
        in_window.push_back(window);
      }
}

template <class T>
void check_max_pool(const Case& c) {
  constexpr int64_t kPlanes = 3;
  const Dims in{kPlanes, c.rows.in, c.cols.in}, out{kPlanes, c.rows.out, c.cols.out};
  const bool bytes = c.rows.kernel * c.cols.kernel <= 255;
  Array<T> x(in), dx(in), y(out), g(out), taken(out);
  Array<int64_t> places(out);
  Array<uint8_t> codes(out);
  x.assign(awkward<T>(x.numel()));
  g.assign(random_values<T>(g.numel(), 2));
  std::vector<int64_t> in_plane, in_window;
  find(c, x, kPlanes, in_plane, in_window);
  const auto at = [](const auto& v, int64_t i) { return v[static_cast<size_t>(i)]; };
  const int64_t plane = c.rows.in * c.cols.in, windows_ = c.rows.out * c.cols.out;
  std::vector<T> want, want_taken, want_dx(static_cast<size_t>(x.numel()), T(0));
  for (int64_t i = 0; i < y.numel(); ++i) {
    const int64_t place = i / windows_ * plane + at(in_plane, i);
    const bool there = at(in_plane, i) >= 0;
    want.push_back(there ? x[place] : -std::numeric_limits<T>::infinity());
    want_taken.push_back(there ? x[place] : T(0));
    if (there) want_dx[static_cast<size_t>(place)] += g[i];
  }
  Ctx ctx;
  for_each_table([&] {
    for_each_thread_count([&] {
      for (int kind = 0; kind < 3; ++kind) {
        if (kind == 1 && !bytes) continue;
        const TensorRef index = kind == 0 ? TensorRef{} : kind == 1 ? codes.ref() : places.ref();
        y.fill(T(7));
        cpu::max_pool(ctx, {.x = x, .y = y, .index = index, .rows = c.rows, .cols = c.cols});
        BOOST_TEST(same_bits(y.values(), want));
        if (kind == 0) continue;
        for (int64_t i = 0; i < y.numel(); ++i) {
          if (kind == 2) BOOST_REQUIRE_EQUAL(places[i], at(in_plane, i));
          if (kind == 1)
            BOOST_REQUIRE_EQUAL(int(codes[i]), at(in_plane, i) < 0 ? 255 : at(in_window, i));
        }
        cpu::max_pool_take(ctx, {x, taken, index, c.rows, c.cols});
        BOOST_TEST(same_bits(taken.values(), want_taken));
        dx.fill(T(7));
        cpu::max_pool_put(ctx, {dx, g, index, c.rows, c.cols});
        BOOST_TEST(same_bits(dx.values(), want_dx));
      }
    });
  });
}

// A linear map with memory of its own.
struct LineMap {
  std::vector<int64_t> first{0}, source;
  std::vector<double> weight;
  Taps taps() const { return {first, source, weight}; }
  int64_t out() const { return static_cast<int64_t>(first.size()) - 1; }
};

// Every result is made of `count` elements from anywhere; several are equal to the one before.
LineMap line_map(int64_t in, int64_t out, int64_t count, bool weighted, unsigned seed) {
  std::mt19937_64 engine(seed);
  LineMap l;
  for (int64_t i = 0; i < out; ++i) {
    const bool again = i % 3 == 1;
    const auto from =
        static_cast<size_t>(l.first[static_cast<size_t>(std::max<int64_t>(i - 1, 0))]);
    const size_t n = again ? l.source.size() - from : static_cast<size_t>(count);
    for (size_t k = 0; k < n; ++k) {
      l.source.push_back(again ? l.source[from + k]
                               : static_cast<int64_t>(engine() % static_cast<uint64_t>(in)));
      if (weighted)
        l.weight.push_back(again ? l.weight[from + k] : static_cast<double>(engine() % 8) / 8);
    }
    l.first.push_back(static_cast<int64_t>(l.source.size()));
  }
  return l;
}

template <class T>
void check_resample(int64_t height, int64_t width, const LineMap& rows, const LineMap& cols) {
  constexpr int64_t kPlanes = 3;
  Array<T> x({kPlanes, height, width}), y({kPlanes, rows.out(), cols.out()});
  x.assign(random_values<T>(x.numel(), 3));
  std::vector<long double> want;
  const auto weight = [](const LineMap& l, size_t k) {
    return l.weight.empty() ? 1.0L : l.weight[k];
  };
  for (int64_t p = 0; p < kPlanes; ++p)
    for (size_t i = 0; i + 1 < rows.first.size(); ++i)
      for (size_t j = 0; j + 1 < cols.first.size(); ++j) {
        long double sum = 0;
        for (auto r = static_cast<size_t>(rows.first[i]); r < size_t(rows.first[i + 1]); ++r)
          for (auto c = static_cast<size_t>(cols.first[j]); c < size_t(cols.first[j + 1]); ++c)
            sum += weight(rows, r) * weight(cols, c) *
                   x[(p * height + rows.source[r]) * width + cols.source[c]];
        want.push_back(sum);
      }
  Ctx ctx;
  for_each_table([&] {
    std::vector<T> first;
    for_each_thread_count([&] {
      y.fill(T(7));
      cpu::resample(ctx, {.x = x, .y = y, .rows = rows.taps(), .cols = cols.taps()});
      // At most 16 terms of at most 1: as many additions, and two products each.
      check_close(y.values(), want,
                  [](size_t) { return 16 * 18 * std::numeric_limits<T>::epsilon(); });
      if (first.empty()) first = y.values();
      BOOST_TEST(same_bits(y.values(), first));
    });
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool)

BOOST_AUTO_TEST_CASE_TEMPLATE(maxima_and_their_places, T, Floats) {
  for (const Case& c : cases()) {
    BOOST_TEST_CONTEXT(c.rows.in << " x " << c.cols.in << ", kernel " << c.rows.kernel << " x "
                                 << c.cols.kernel << ", stride " << c.cols.stride << ", dilation "
                                 << c.cols.dilation)
    check_max_pool<T>(c);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(maps_of_rows_and_columns, T, Floats) {
  for (const int64_t size : {1, 2, 7, 16, 33})
    for (const int64_t out : {1, 5, 40})
      for (const int64_t count : {0, 1, 2, 4})
        for (const bool weighted : {false, true})
          check_resample<T>(size, size + 1, line_map(size, out, count, weighted, 1),
                            line_map(size + 1, out + 1, count, !weighted, 2));
  // Columns that stay what they are.
  LineMap same;
  for (int64_t j = 0; j < 19; ++j) {
    same.source.push_back(j);
    same.first.push_back(j + 1);
  }
  for (const int64_t count : {0, 1, 3})
    for (const bool weighted : {false, true})
      check_resample<T>(6, 19, line_map(6, 9, count, weighted, 4), same);
}

BOOST_AUTO_TEST_SUITE_END()
