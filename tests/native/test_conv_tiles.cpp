// The micro kernels of convolutions, on every table, against the reference's.
#include "kernels.h"

namespace lamina::test {
namespace {

using Floats = std::tuple<float, double>;

}  // namespace

BOOST_AUTO_TEST_SUITE(conv_tiles)

// The tiles of every table, at every height.
BOOST_AUTO_TEST_CASE_TEMPLATE(tiles, T, Floats) {
  const int64_t offsets[] = {3, 61, 40}, taps[] = {0, 5, 33, 7, 2, 9, 11, 1};
  const std::vector<T> a = random_values<T>(4000, 1), b = random_values<T>(2000, 2);
  for_each_table([&] {
    const cpu::ConvMicro<T>& micro = cpu::micro().of<T>().conv;
    const cpu::ConvMicro<T>& plain = cpu::kRefTable.of<T>().conv;
    const auto compare = [&](int m, int n, auto run) {
      Array<T> got({m, n}, {n + 3, 1}), want({m, n}, {n + 3, 1});
      const std::vector<T> before = random_values<T>(m * n, 3);
      got.assign(before);
      want.assign(before);
      run(micro, got);
      run(plain, want);
      const std::vector<T> values = want.values();
      // At most 60 terms of at most 1.
      check_close(got.values(), {values.begin(), values.end()},
                  [](size_t) { return 64 * 61 * double(std::numeric_limits<T>::epsilon()) / 2; });
    };
    for (int vectors = 1; vectors <= 2; ++vectors) {
      const int n = vectors * micro.lanes;
      cpu::ConvTile<T> t{};
      t.a = a.data();
      t.offsets = offsets;
      t.b = b.data();
      t.n = n;
      t.ldc = n + 3;
      for (t.m = 1; t.m <= micro.rows[vectors - 1]; ++t.m) {
        for (const int64_t ai : {1, 7}) {
          for (const bool add : {false, true}) {
            t.ai = ai;
            t.ap = ai == 1 ? 8 : 1;
            t.segments = 3;
            t.count = 13;
            t.add = add;
            compare(t.m, n, [&](const cpu::ConvMicro<T>& table, Array<T>& c) {
              t.c = c.ref().template as<T>();
              table.tile(t);
            });
          }
        }
      }
      cpu::ConvRow<T> r{};
      r.w = b.data();
      r.x = a.data();
      r.offsets = offsets;
      r.segments = 3;
      r.count = 7;
      r.plane = n + 3;
      for (r.m = 1; r.m <= micro.rows[vectors - 1]; ++r.m) {
        for (r.n = n - micro.lanes + 1; r.n <= n; ++r.n) {
          for (const int64_t step : {1, 3}) {
            r.step = step;
            r.bias = step == 1 ? nullptr : a.data() + 7;
            compare(r.m, n, [&](const cpu::ConvMicro<T>& table, Array<T>& c) {
              r.y = c.ref().template as<T>();
              table.row(r);
            });
          }
        }
      }
      t.ai = 9;
      t.count = 1;
      for (t.m = 1; t.m <= micro.depthwise_rows; ++t.m) {
        compare(t.m, n, [&](const cpu::ConvMicro<T>& table, Array<T>& c) {
          t.c = c.ref().template as<T>();
          table.depthwise(t);
        });
      }
      t.ap = 17;
      t.count = 13;
      for (t.m = 1; t.m <= micro.depthwise_taps; ++t.m) {
        compare(t.m, n, [&](const cpu::ConvMicro<T>& table, Array<T>& c) {
          t.c = c.ref().template as<T>();
          table.depthwise_weight(t, taps);
        });
      }
    }
  });
}

// Layouts change exactly; a bias is one addition.
BOOST_AUTO_TEST_CASE_TEMPLATE(pixels_and_planes, T, Floats) {
  for_each_table([&] {
    const cpu::ConvMicro<T>& micro = cpu::micro().of<T>().conv;
    const std::vector<T> source = random_values<T>(60 * 60, 1), bias = random_values<T>(60, 2);
    for (const int64_t rows : {1, 3, 16, 21, 40}) {
      for (const int n : {1, 2, 8, 17, 32}) {
        std::vector<const T*> pointers;
        for (int64_t i = 0; i < rows; ++i) pointers.push_back(source.data() + i * 60);
        Array<T> pixels({n, rows}, {rows + 2, 1}), planes({n, rows}, {rows + 2, 1});
        micro.pack(rows, n, pointers.data(), pixels.ref().template as<T>(), rows + 2);
        bool right = true;
        for (int64_t i = 0; i < rows; ++i)
          for (int j = 0; j < n; ++j) right &= pixels[j * rows + i] == source[size_t(i * 60 + j)];
        for (const T* b : {static_cast<const T*>(nullptr), bias.data()}) {
          micro.unpack(rows, n, source.data(), 60, planes.ref().template as<T>(), rows + 2, b);
          for (int64_t i = 0; i < rows; ++i)
            for (int j = 0; j < n; ++j)
              right &=
                  planes[j * rows + i] == source[size_t(i * 60 + j)] + (b == nullptr ? T(0) : b[j]);
        }
        BOOST_TEST(right, rows << " rows of " << n);
      }
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace lamina::test
