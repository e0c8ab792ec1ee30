// What the tests of the CPU device share.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "core/parallel.h"
#include "core/tensor.h"
#include "cpu/micro.h"
#include "device.h"

namespace lamina::test {

// Every table that this CPU can run, the reference included.
inline std::vector<const cpu::MicroTable*> micro_tables() {
  std::vector<const cpu::MicroTable*> all;
  for (const Isa isa : kAllIsas)
    if (const cpu::MicroTable* table = cpu::table_for(isa)) all.push_back(table);
  return all;
}

// The drivers run on a table, or on a number of threads, for the length of a scope.
class UseTable {
 public:
  explicit UseTable(const cpu::MicroTable* table) : before_(cpu::use_table(table)) {}
  ~UseTable() { cpu::use_table(before_); }
  UseTable(const UseTable&) = delete;
  UseTable& operator=(const UseTable&) = delete;

 private:
  const cpu::MicroTable* before_;
};
class UseThreads {
 public:
  explicit UseThreads(int n) : before_(num_threads()) { set_num_threads(n); }
  ~UseThreads() { set_num_threads(before_); }
  UseThreads(const UseThreads&) = delete;
  UseThreads& operator=(const UseThreads&) = delete;

 private:
  int before_;
};

inline Ctx cpu_ctx() { return Ctx{Device{}, nullptr}; }

// Calls f(index, element) in logical order.
template <class T, class F>
void each(const TensorRef& t, F&& f) {
  std::vector<int64_t> at(t.sizes.size(), 0);
  for (int64_t i = 0, n = t.numel(); i < n; ++i) {
    int64_t offset = 0;
    for (size_t d = 0; d < at.size(); ++d) offset += at[d] * t.strides[d];
    f(i, t.as<T>()[offset]);
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < t.sizes[d]) break;
      at[d] = 0;
    }
  }
}

// The elements in logical order, as T.
template <class T>
std::vector<T> values(const TensorRef& t) {
  std::vector<T> out;
  dispatch("test", t.dtype,
           [&]<class S>() { each<S>(t, [&](int64_t, S v) { out.push_back(static_cast<T>(v)); }); });
  return out;
}

template <class T>
void assign(const TensorRef& t, const std::function<T(int64_t)>& value) {
  each<T>(t, [&](int64_t i, T& v) { v = value(i); });
}

// The ways in which a tensor of given sizes can lie in memory. The storage holds only this tensor.
enum class Layout { Rows, Transposed, Sliced, Offset };
inline constexpr Layout kLayouts[] = {Layout::Rows, Layout::Transposed, Layout::Sliced,
                                      Layout::Offset};

inline Tensor make_tensor(const Dims& sizes, DType dtype, Layout layout = Layout::Rows) {
  const int rank = sizes.rank();
  Dims outer = sizes;
  switch (layout) {
    case Layout::Rows: return empty(sizes, dtype);
    case Layout::Transposed: {
      std::reverse(outer.begin(), outer.end());
      const Tensor t = empty(outer, dtype);
      Dims strides = t.strides();
      std::reverse(strides.begin(), strides.end());
      return alias(t, sizes, strides, 0);
    }
    case Layout::Sliced: {
      for (int64_t& s : outer) s = 2 * s + 1;
      const Tensor t = empty(outer, dtype);
      Dims strides = t.strides();
      int64_t offset = 0;
      for (int d = 0; d < rank; ++d) {
        offset += strides[d];
        strides[d] *= 2;
      }
      return alias(t, sizes, strides, t.numel() > 0 ? offset : 0);
    }
    case Layout::Offset: {
      const Tensor t = empty({checked_numel(sizes) + 1}, dtype);
      return alias(t, sizes, contiguous_strides(sizes), 1);
    }
  }
  return {};
}

// Random small numbers that every dtype holds (0 and 1 for bool, none negative for uint8), a
// quarter with a fraction where there are fractions.
inline void fill_random(const TensorRef& t, uint64_t seed) {
  std::mt19937_64 bits(seed);
  dispatch("test", t.dtype, [&]<class T>() {
    each<T>(t, [&](int64_t, T& v) {
      const uint64_t word = bits() >> 11;
      const auto whole = static_cast<int64_t>(word % 21) - 10;
      if constexpr (std::is_same_v<T, bool>)
        v = word % 2 != 0;
      else if constexpr (std::is_floating_point_v<T>)
        v = static_cast<T>(whole) + (word % 4 == 0 ? T(0.37109375) : T(0));
      else if constexpr (std::is_unsigned_v<T>)
        v = static_cast<T>(whole + 10);
      else
        v = static_cast<T>(whole);
    });
  });
}

inline Tensor random_tensor(const Dims& sizes, DType dtype, Layout layout, uint64_t seed) {
  const Tensor t = make_tensor(sizes, dtype, layout);
  fill_random(t, seed);
  return t;
}

// t's sizes broadcast to `sizes`, as expand does it.
inline Tensor expand(const Tensor& t, const Dims& sizes) {
  Dims strides = Dims::filled(sizes.rank(), 0);
  for (int d = 1; d <= t.rank(); ++d)
    if (t.size(t.rank() - d) != 1) strides[sizes.rank() - d] = t.stride(t.rank() - d);
  return alias(t, sizes, strides, t.offset());
}

}  // namespace lamina::test
