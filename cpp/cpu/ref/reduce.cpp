// Reductions from the first element to the last, in long double.

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

using Wide = long double;

template <class T>
T sum(int64_t n, const T* x) {
  Wide total = 0;
  for (int64_t i = 0; i < n; ++i) total += Wide(x[i]);
  return T(total);
}

template <class T>
T prod(int64_t n, const T* x) {
  Wide total = 1;
  for (int64_t i = 0; i < n; ++i) total *= Wide(x[i]);
  return T(total);
}

template <class T, class Row>
T extreme(int64_t n, const T* x) {
  T best = x[0];
  for (int64_t i = 1; i < n; ++i) best = Row::forward(best, x[i]);
  return best;
}

template <class T, class Row>
void accumulate(int64_t n, T* acc, const T* x) {
  for (int64_t i = 0; i < n; ++i) acc[i] = Row::forward(acc[i], x[i]);
}

template <class T>
constexpr ReduceMicro<T> make_reduce() {
  ReduceMicro<T> m{};
  m.sum = sum<T>;
  m.prod = prod<T>;
  m.max = extreme<T, rows::maximum_row>;
  m.min = extreme<T, rows::minimum_row>;
  m.add = accumulate<T, rows::add_row>;
  m.multiply = accumulate<T, rows::mul_row>;
  m.maximum = accumulate<T, rows::maximum_row>;
  m.minimum = accumulate<T, rows::minimum_row>;
  return m;
}

}  // namespace

LAMINA_MICRO(ReduceMicro, reduce);

}  // namespace lamina::cpu::ref
