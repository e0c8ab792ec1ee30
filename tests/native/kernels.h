// Running the CPU device's kernels on every table of this machine, over awkward memory.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "core/tensor.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"

namespace lamina::test {

// f() with each table in turn; failures name it.
template <class F>
void for_each_table(F f) {
  for (const Isa isa : kAllIsas) {
    const cpu::MicroTable* const table = cpu::table_for(isa);
    if (table == nullptr) continue;
    const cpu::MicroTable* const before = cpu::use_table(table);
    BOOST_TEST_CONTEXT("table " << isa_name(isa)) { f(); }
    cpu::use_table(before);
  }
}

// f() with 1, 2 and 3 threads.
template <class F>
void for_each_thread_count(F f) {
  const int before = num_threads();
  for (int threads = 1; threads <= 3; ++threads) {
    set_num_threads(threads);
    BOOST_TEST_CONTEXT("threads " << threads) { f(); }
  }
  set_num_threads(before);
}

// A strided array whose first element is one element past a 64-byte boundary, within memory that
// nobody may write to: what lies around and between its elements is checked at the end.
template <class T>
class Array {
 public:
  explicit Array(const Dims& sizes) : Array(sizes, contiguous_strides(sizes)) {}
  Array(const Dims& sizes, const Dims& strides)
      : sizes_(sizes),
        strides_(strides),
        memory_(static_cast<size_t>(2 * kGuard + strided_extent(sizes, strides)), kSentinel),
        used_(memory_.size(), false) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    const auto step = static_cast<int64_t>(sizeof(T));
    first_ = (64 - static_cast<int64_t>(address % 64)) % 64 / step + 1;
    for_each([&](int64_t at) { used_[static_cast<size_t>(first_ + at)] = true; });
  }
  ~Array() {
    bool intact = true;
    for (size_t i = 0; i < memory_.size(); ++i) intact &= used_[i] || memory_[i] == kSentinel;
    BOOST_TEST(intact, "memory around an array was written to");
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  TensorRef ref() const {
    return {const_cast<T*>(memory_.data()) + first_, sizes_, strides_, kDTypeOf<T>};
  }
  operator TensorRef() const { return ref(); }

  // Element by logical, row-major index.
  T& operator[](int64_t index) { return memory_[offset(index)]; }
  const T& operator[](int64_t index) const { return memory_[offset(index)]; }
  int64_t numel() const { return ref().numel(); }

  void fill(T value) {
    for_each([&](int64_t at) { memory_[static_cast<size_t>(first_ + at)] = value; });
  }
  void assign(std::span<const T> values) {
    for (int64_t i = 0; i < numel(); ++i) (*this)[i] = values[static_cast<size_t>(i)];
  }
  std::vector<T> values() const {
    std::vector<T> out;
    for (int64_t i = 0; i < numel(); ++i) out.push_back((*this)[i]);
    return out;
  }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr T kSentinel = T(-77);

  size_t offset(int64_t index) const {
    int64_t at = first_;
    for (int d = sizes_.rank() - 1; d >= 0; --d) {
      at += index % sizes_[d] * strides_[d];
      index /= sizes_[d];
    }
    return static_cast<size_t>(at);
  }
  template <class F>
  void for_each(F f) {
    const int64_t n = checked_numel(sizes_);
    for (int64_t i = 0; i < n; ++i) f(static_cast<int64_t>(offset(i)) - first_);
  }

  Dims sizes_, strides_;
  std::vector<T> memory_;
  std::vector<bool> used_;
  int64_t first_ = 0;
};

template <class T>
std::vector<T> random_values(int64_t n, unsigned seed, double low = -1, double high = 1) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(T(uniform(engine)));
  return values;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// |got - want| <= bound[i], NaN and infinities in the same places; tells the first that is not.
template <class T, class Bound>
void check_close(const std::vector<T>& got, const std::vector<long double>& want, Bound bound) {
  BOOST_REQUIRE_EQUAL(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const auto g = static_cast<long double>(got[i]);
    const long double w = want[i];
    const bool ok = std::isnan(w)   ? std::isnan(g)
                    : std::isinf(w) ? g == w
                                    : std::fabs(g - w) <= static_cast<long double>(bound(i));
    if (ok) continue;
    BOOST_TEST(ok, "element " << i << " of " << got.size() << ": got " << g << ", expected " << w
                              << " within " << static_cast<long double>(bound(i)));
    return;
  }
}

}  // namespace lamina::test
