// Max pooling, by definition.

#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <class T>
void max_pool(const MaxWindows& w, T* y, uint8_t* code, const T* x) {
  for (int64_t line = 0; line < w.lines; ++line) {
    for (int64_t j = 0; j < w.count; ++j) {
      T best = T(-INFINITY);
      int best_code = w.first_code;
      for (int r = 0; r < w.rows; ++r) {
        for (int c = 0; c < w.cols; ++c) {
          const T v = x[line * w.line_step + j * w.stride + r * w.row_step + c * w.col_step];
          if (!(v > best) && !std::isnan(v)) continue;
          best = v;
          best_code = w.first_code + r * w.code_step + c;
        }
      }
      y[line * w.out_step + j] = best;
      if (code != nullptr) code[line * w.out_step + j] = static_cast<uint8_t>(best_code);
    }
  }
}

template <class T>
void put_2x2(int64_t lines, int64_t count, T* x, int64_t width, const T* g, const uint8_t* code) {
  for (int64_t line = 0; line < lines; ++line)
    for (int64_t j = 0; j < count; ++j)
      for (int r = 0; r < 2; ++r)
        for (int c = 0; c < 2; ++c)
          x[(2 * line + r) * width + 2 * j + c] =
              code[line * count + j] == 2 * r + c ? g[line * count + j] : T(0);
}

template <class T>
constexpr PoolMicro<T> make_pool() {
  return {max_pool<T>, put_2x2<T>};
}

}  // namespace

LAMINA_MICRO(PoolMicro, pool);

}  // namespace lamina::cpu::ref
