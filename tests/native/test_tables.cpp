// The micro kernels of every instruction set that this CPU has: the dispatcher, and the pointwise
// and reduction families element by element.
#include <boost/test/unit_test.hpp>

#include "bounded.h"
#include "cpu_test.h"
#include "pointwise.h"
#include "simd_cases.h"

using namespace lamina;
using namespace lamina::test;
using cpu::MicroTable;

namespace {

constexpr int64_t kSizes[] = {0, 1, 7, 15, 17, 33, 127, 1000, 4099};

template <class T>
struct RowCheck {
  const char* name;
  Bounded<T> (*forward)(Bounded<T>, Bounded<T>, Bounded<T>);
  Bounded<T> (*backward)(Bounded<T>, Bounded<T>, Bounded<T>, Bounded<T>);
};
template <class T>
const RowCheck<T> kUnaryChecks[] = {
#define LAMINA_ROW(name, ...) \
  {#name, rows::name##_row::forward<Bounded<T>>, rows::name##_row::backward<Bounded<T>>},
    LAMINA_UNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};
template <class T>
struct BinaryCheck {
  const char* name;
  Bounded<T> (*forward)(Bounded<T>, Bounded<T>);
};
template <class T>
const BinaryCheck<T> kBinaryChecks[] = {
#define LAMINA_ROW(name, ...) {#name, rows::name##_row::forward<Bounded<T>>},
    LAMINA_REAL_BINARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};
template <class T>
struct TernaryCheck {
  const char* name;
  Bounded<T> (*forward)(Bounded<T>, Bounded<T>, Bounded<T>, Bounded<T>);
};
template <class T>
const TernaryCheck<T> kTernaryChecks[] = {
#define LAMINA_ROW(name, ...) {#name, rows::name##_row::forward<Bounded<T>>},
    LAMINA_TERNARY_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};
template <class T>
struct CompareCheck {
  const char* name;
  bool (*forward)(T, T);
};
template <class T>
const CompareCheck<T> kCompareChecks[] = {
#define LAMINA_ROW(name, ...) {#name, rows::name##_row::forward<T>},
    LAMINA_COMPARE_ROWS(LAMINA_ROW)
#undef LAMINA_ROW
};

template <class T>
std::vector<T> inputs(uint64_t seed) {
  std::vector<T> x = special_values<T>();
  for (const T v : random_values<T>(4099 - x.size(), seed)) x.push_back(v);
  return x;
}

template <class T>
Bounded<T> exact(T x) {
  return Bounded<T>::exact(Wide(x));
}

// Equal to the bit, but for the sign and payload of a NaN: which operand's they are is the
// compiler's choice.
template <class T>
bool equal(const T* a, const T* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!same_bits(a[i], b[i]) && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

// Runs a kernel call(n, out) at every size; checks that size n gives the first n of the whole, that
// memory beyond stays as it was, and returns the whole.
template <class T, class Call>
std::vector<T> run_sizes(Call&& call) {
  std::vector<T> whole(4099);
  call(4099, whole.data());
  std::vector<T> part(4100);
  for (const int64_t n : kSizes) {
    std::fill(part.begin(), part.end(), T(1));
    call(n, part.data() + 1);  // misaligned by one element
    BOOST_TEST(equal(part.data() + 1, whole.data(), n),
               "size " << n << " differs from the first elements of size 4099");
    BOOST_TEST((part[0] == T(1) && (n == 4099 || part[static_cast<size_t>(n) + 1] == T(1))),
               "size " << n << " wrote outside of its block");
  }
  return whole;
}

template <class T, class Want>
void check_all(const char* what, const MicroTable& table, const std::vector<T>& got, Want&& want) {
  int wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    Bounded<T>::overflowed = false;
    const Bounded<T> w = want(i);
    if (w.allows(got[i], table.isa == Isa::Ref && sizeof(T) == 4) || ++wrong > 3) continue;
    BOOST_ERROR(what << " on " << isa_name(table.isa) << ", element " << i << ": " << got[i]
                     << ", not " << w.v << " +- " << w.e);
  }
  BOOST_TEST(wrong == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tables)

BOOST_AUTO_TEST_CASE(the_dispatcher_gives_tables_that_the_cpu_can_run) {
  for (const Isa isa : kAllIsas) {
    const MicroTable* table = cpu::table_for(isa);
    if (table == nullptr) continue;  // the CPU or the build lacks it
    BOOST_TEST(isa_available(isa));
    BOOST_TEST((table->isa == isa));
  }
  BOOST_TEST(cpu::table_for(Isa::Ref) != nullptr);
  BOOST_TEST(cpu::table_for(Isa::Baseline) != nullptr);
  BOOST_TEST(&cpu::micro() == cpu::table_for(active_isa()));
}

BOOST_AUTO_TEST_CASE(a_table_can_be_put_in_use) {
  const MicroTable* before = &cpu::micro();
  {
    const UseTable use(&cpu::kRefTable);
    BOOST_TEST(&cpu::micro() == &cpu::kRefTable);
  }
  BOOST_TEST(&cpu::micro() == before);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(no_table_has_a_gap, T, Floats) {
  for (const MicroTable* table : micro_tables()) {
    const auto& m = table->of<T>();
    for (const auto f : m.pointwise.unary) BOOST_TEST((f != nullptr));
    for (const auto f : m.pointwise.unary_backward) BOOST_TEST((f != nullptr));
    for (int op = 0; op < kBinaryOps; ++op)
      BOOST_TEST((m.pointwise.binary[op] != nullptr) == has_floats(kBinaryInfo[op].rule));
    for (const auto f : m.pointwise.ternary) BOOST_TEST((f != nullptr));
    for (const auto f : m.pointwise.compare) BOOST_TEST((f != nullptr));
    const auto& r = m.reduce;
    BOOST_TEST((r.sum && r.prod && r.max && r.min));
    BOOST_TEST((r.add && r.multiply && r.maximum && r.minimum));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(unary_rows, T, Floats) {
  const std::vector<T> x = inputs<T>(1);
  const T a = T(0.1), b = T(1.5);
  for (const MicroTable* table : micro_tables()) {
    for (int op = 0; op < kUnaryOps; ++op) {
      const auto kernel = table->of<T>().pointwise.unary[op];
      const auto& row = kUnaryChecks<T>[op];
      BOOST_TEST_CONTEXT(row.name << " on " << isa_name(table->isa)) {
        const auto got = run_sizes<T>([&](int64_t n, T* out) { kernel(n, out, x.data(), a, b); });
        check_all<T>(row.name, *table, got,
                     [&](size_t i) { return row.forward(exact(x[i]), exact(a), exact(b)); });
        std::vector<T> in_place = x;
        kernel(4099, in_place.data(), in_place.data(), a, b);
        BOOST_TEST(equal(in_place.data(), got.data(), 4099));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(unary_backward_rows, T, Floats) {
  const std::vector<T> x = inputs<T>(2);
  std::vector<T> g = random_values<T>(2 * x.size(), 3);
  // Gradients of everyday size; the odd elements of random_values are.
  for (size_t i = 0; i < x.size(); ++i) g[i] = g[2 * i + 1];
  const T a = T(0.1), b = T(1.5);
  std::vector<T> y(x.size());
  for (const MicroTable* table : micro_tables()) {
    for (int op = 0; op < kUnaryOps; ++op) {
      const bool output = kUnaryInfo[op].saves == Saves::Output;
      cpu::kRefTable.of<T>().pointwise.unary[op](4099, y.data(), x.data(), a, b);
      const std::vector<T>& saved = output ? y : x;
      const auto kernel = table->of<T>().pointwise.unary_backward[op];
      const auto& row = kUnaryChecks<T>[op];
      BOOST_TEST_CONTEXT(row.name << " backward on " << isa_name(table->isa)) {
        const auto got =
            run_sizes<T>([&](int64_t n, T* out) { kernel(n, out, g.data(), saved.data(), a, b); });
        check_all<T>(row.name, *table, got, [&](size_t i) {
          return row.backward(exact(g[i]), exact(saved[i]), exact(a), exact(b));
        });
        for (const bool over_gradient : {true, false}) {
          std::vector<T> in_place = over_gradient ? g : saved;
          kernel(4099, in_place.data(), over_gradient ? in_place.data() : g.data(),
                 over_gradient ? saved.data() : in_place.data(), a, b);
          BOOST_TEST(equal(in_place.data(), got.data(), 4099));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(binary_rows, T, Floats) {
  const std::vector<T> x = inputs<T>(4);
  std::vector<T> y = inputs<T>(5);
  std::rotate(y.begin(), y.begin() + 61, y.end());  // special values meet others
  for (size_t i = 2000; i < 2500; ++i) y[i] = x[i];
  for (const MicroTable* table : micro_tables()) {
    for (int op = 0; op < kBinaryOps; ++op) {
      if (!has_floats(kBinaryInfo[op].rule)) continue;
      const auto kernel = table->of<T>().pointwise.binary[op];
      const auto& row = kBinaryChecks<T>[op];
      for (unsigned scalars = 0; scalars < 4; ++scalars) {
        // The scalar is taken from the middle, so that its address is not that of element 0.
        const bool xs = (scalars & cpu::kXScalar) != 0, ys = (scalars & cpu::kYScalar) != 0;
        const T* px = xs ? &x[701] : x.data();
        const T* py = ys ? &y[703] : y.data();
        BOOST_TEST_CONTEXT(row.name << " on " << isa_name(table->isa) << ", scalars " << scalars) {
          const auto got =
              run_sizes<T>([&](int64_t n, T* out) { kernel(n, out, px, py, scalars); });
          check_all<T>(row.name, *table, got, [&](size_t i) {
            return row.forward(exact(px[xs ? 0 : i]), exact(py[ys ? 0 : i]));
          });
          if (xs) continue;
          std::vector<T> in_place = x;
          kernel(4099, in_place.data(), in_place.data(), py, scalars);
          BOOST_TEST(equal(in_place.data(), got.data(), 4099));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(ternary_rows, T, Floats) {
  const std::vector<T> x = inputs<T>(12);
  std::vector<T> y = inputs<T>(13), z = inputs<T>(14);
  std::rotate(y.begin(), y.begin() + 61, y.end());
  std::rotate(z.begin(), z.begin() + 122, z.end());
  const T a = T(-2.5);
  for (const MicroTable* table : micro_tables()) {
    for (int op = 0; op < kTernaryOps; ++op) {
      const auto kernel = table->of<T>().pointwise.ternary[op];
      const auto& row = kTernaryChecks<T>[op];
      for (unsigned scalars = 0; scalars < 8; ++scalars) {
        const bool xs = (scalars & cpu::kXScalar) != 0, ys = (scalars & cpu::kYScalar) != 0;
        const bool zs = (scalars & cpu::kZScalar) != 0;
        const T* px = xs ? &x[701] : x.data();
        const T* py = ys ? &y[703] : y.data();
        const T* pz = zs ? &z[705] : z.data();
        BOOST_TEST_CONTEXT(row.name << " on " << isa_name(table->isa) << ", scalars " << scalars) {
          const auto got =
              run_sizes<T>([&](int64_t n, T* out) { kernel(n, out, px, py, pz, a, scalars); });
          check_all<T>(row.name, *table, got, [&](size_t i) {
            return row.forward(exact(px[xs ? 0 : i]), exact(py[ys ? 0 : i]), exact(pz[zs ? 0 : i]),
                               exact(a));
          });
          if (xs) continue;
          std::vector<T> in_place = x;
          kernel(4099, in_place.data(), in_place.data(), py, pz, a, scalars);
          BOOST_TEST(equal(in_place.data(), got.data(), 4099));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(comparisons, T, Floats) {
  const std::vector<T> x = inputs<T>(6);
  std::vector<T> y = inputs<T>(7);
  std::rotate(y.begin(), y.begin() + 61, y.end());
  for (size_t i = 2000; i < 2500; ++i) y[i] = x[i];
  for (const MicroTable* table : micro_tables()) {
    for (int op = 0; op < kCompareOps; ++op) {
      for (unsigned scalars = 0; scalars < 4; ++scalars) {
        const T* px = scalars & cpu::kXScalar ? &x[701] : x.data();
        const T* py = scalars & cpu::kYScalar ? &y[703] : y.data();
        const auto& row = kCompareChecks<T>[op];
        std::vector<unsigned char> whole(4099 + 1, 7);
        for (const int64_t n : kSizes) {
          auto* out = reinterpret_cast<bool*>(whole.data());
          table->of<T>().pointwise.compare[op](n, out, px, py, scalars);
          int wrong = whole[static_cast<size_t>(n)] != 7;
          for (int64_t i = 0; i < n; ++i) {
            const bool want = row.forward(px[scalars & cpu::kXScalar ? 0 : i],
                                          py[scalars & cpu::kYScalar ? 0 : i]);
            wrong += whole[static_cast<size_t>(i)] != static_cast<unsigned char>(want);
          }
          BOOST_TEST(wrong == 0, row.name << " on " << isa_name(table->isa) << ", scalars "
                                          << scalars << ", size " << n);
        }
      }
    }
  }
}

// |sum - exact| <= (log2(n) + 64) * eps * sum|x|: at most 64 additions follow each other within a
// block's lanes, then a tree.
BOOST_AUTO_TEST_CASE_TEMPLATE(sums, T, Floats) {
  std::mt19937_64 bits(8);
  std::vector<T> x(200001);
  for (T& v : x) v = T(static_cast<double>(bits() >> 11) * 0x1p-53 - 0.3);
  for (const MicroTable* table : micro_tables()) {
    for (const int64_t n : {0, 1, 7, 15, 17, 33, 127, 1000, 1024, 1025, 4099, 200000}) {
      for (const int offset : {0, 1}) {
        Wide want = 0, magnitude = 0;
        for (int64_t i = 0; i < n; ++i) {
          want += x[static_cast<size_t>(i + offset)];
          magnitude += std::fabs(x[static_cast<size_t>(i + offset)]);
        }
        const T got = table->of<T>().reduce.sum(n, x.data() + offset);
        const Wide bound = (std::log2(Wide(n + 1)) + 64) * std::numeric_limits<T>::epsilon() / 2;
        BOOST_TEST(std::fabs(Wide(got) - want) <= bound * magnitude,
                   isa_name(table->isa) << " sum of " << n << ": " << got << ", not " << want);
      }
    }
    // The order does not depend on where the block lies.
    std::vector<T> moved(x.begin(), x.end() - 1);
    const T there = table->of<T>().reduce.sum(100003, x.data() + 1);
    std::copy(x.begin() + 1, x.begin() + 100004, moved.begin());
    BOOST_TEST(same_bits(there, table->of<T>().reduce.sum(100003, moved.data())));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(products, T, Floats) {
  std::mt19937_64 bits(9);
  std::vector<T> x(4100);
  for (T& v : x) v = T(0.9 + 0.2 * static_cast<double>(bits() >> 11) * 0x1p-53);
  for (const MicroTable* table : micro_tables()) {
    for (const int64_t n : kSizes) {
      Wide want = 1;
      for (int64_t i = 0; i < n; ++i) want *= x[static_cast<size_t>(i) + 1];
      const T got = table->of<T>().reduce.prod(n, x.data() + 1);
      // n roundings of half an ULP each.
      const Wide bound = Wide(1.01) * Wide(n) * std::numeric_limits<T>::epsilon() / 2;
      BOOST_TEST(std::fabs(Wide(got) - want) <= bound * want,
                 isa_name(table->isa) << " product of " << n << ": " << got << ", not " << want);
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(extremes, T, Floats) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const MicroTable* table : micro_tables()) {
    const auto& m = table->of<T>().reduce;
    for (const int64_t n : kSizes) {
      if (n == 0) continue;
      for (const bool negative : {false, true}) {  // all on one side of the identity's zero
        std::vector<T> x(static_cast<size_t>(n) + 1);
        std::mt19937_64 bits(static_cast<uint64_t>(n));
        for (T& v : x) v = T(1 + static_cast<int>(bits() % 1000)) * (negative ? T(-1) : T(1));
        const auto [low, high] = std::minmax_element(x.begin() + 1, x.end());
        BOOST_TEST(m.max(n, x.data() + 1) == *high);
        BOOST_TEST(m.min(n, x.data() + 1) == *low);
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
          std::vector<T> with = x;
          with[static_cast<size_t>(at) + 1] = nan;
          BOOST_TEST(std::isnan(m.max(n, with.data() + 1)));
          BOOST_TEST(std::isnan(m.min(n, with.data() + 1)));
        }
      }
    }
    const T low = -std::numeric_limits<T>::infinity();
    BOOST_TEST(m.max(1, &low) == low);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(rows_accumulate, T, Floats) {
  const std::vector<T> x = inputs<T>(10), y = inputs<T>(11);
  const auto& ref = cpu::kRefTable.of<T>().reduce;
  for (const MicroTable* table : micro_tables()) {
    const auto& m = table->of<T>().reduce;
    const auto same = [&](auto kernel, auto reference) {
      for (const int64_t n : kSizes) {
        std::vector<T> got = x, want = x;
        kernel(n, got.data(), y.data());
        reference(n, want.data(), y.data());
        int wrong = 0;
        // One rounding, or none: NaN or the very bits.
        for (size_t i = 0; i < got.size(); ++i)
          wrong += !(std::isnan(got[i]) ? std::isnan(want[i]) : got[i] == want[i]);
        BOOST_TEST(wrong == 0);
      }
    };
    same(m.add, ref.add);
    same(m.multiply, ref.multiply);
    same(m.maximum, ref.maximum);
    same(m.minimum, ref.minimum);
  }
}

BOOST_AUTO_TEST_SUITE_END()
