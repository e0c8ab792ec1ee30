#include "core/iter.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <random>
#include <string>
#include <vector>

#include "cpu_test.h"

using namespace lamina;
using namespace lamina::test;

namespace {

// Offsets of every operand, in elements from its start, in the order in which [begin, end) visits
// them.
std::vector<std::vector<int64_t>> visited(const Iter& it, int64_t begin, int64_t end) {
  std::vector<std::vector<int64_t>> out(static_cast<size_t>(it.operands()));
  it.for_range(begin, end, [&](int64_t n, char* const* ptrs, const int64_t* strides) {
    for (int k = 0; k < it.operands(); ++k) {
      for (int64_t i = 0; i < n; ++i)
        out[static_cast<size_t>(k)].push_back((ptrs[k] + i * strides[k] - it.data(k)) /
                                              item_size(it.dtype(k)));
    }
  });
  return out;
}

// The (out, in) offset pairs of a broadcast, by the definition of strides.
std::vector<std::pair<int64_t, int64_t>> pairs_of(const Tensor& out, const Tensor& in) {
  const Tensor wide = expand(in, out.sizes());
  std::vector<std::pair<int64_t, int64_t>> pairs;
  Dims at = Dims::filled(out.rank(), 0);
  for (int64_t i = 0; i < out.numel(); ++i) {
    int64_t a = 0, b = 0;
    for (int d = 0; d < out.rank(); ++d) {
      a += at[d] * out.stride(d);
      b += at[d] * wide.stride(d);
    }
    pairs.emplace_back(a, b);
    for (int d = out.rank() - 1; d >= 0 && ++at[d] == out.size(d); --d) at[d] = 0;
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

auto says(const char* part) {
  return [part](const Error& e) { return std::string(e.what()).find(part) != std::string::npos; };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(iter)

BOOST_AUTO_TEST_CASE(contiguous_operands_merge_to_one_dimension) {
  const Tensor a = make_tensor({2, 3, 4, 5}, DType::Float32);
  const Tensor b = make_tensor({2, 3, 4, 5}, DType::Float64);
  const Iter it("test", {a, b});
  BOOST_TEST(it.rank() == 1);
  BOOST_TEST(it.numel() == 120);
  BOOST_TEST(it.size(0) == 120);
  BOOST_TEST(it.byte_stride(0, 0) == 4);
  BOOST_TEST(it.byte_stride(1, 0) == 8);
}

BOOST_AUTO_TEST_CASE(the_same_permutation_of_all_operands_merges_too) {
  const Tensor a = make_tensor({4, 5, 6}, DType::Float32, Layout::Transposed);
  const Tensor b = make_tensor({4, 5, 6}, DType::Float32, Layout::Transposed);
  const Iter it("test", {a, b});
  BOOST_TEST(it.rank() == 1);
}

BOOST_AUTO_TEST_CASE(a_broadcast_row_keeps_two_dimensions) {
  const Tensor out = make_tensor({7, 5}, DType::Float32);
  const Tensor bias = make_tensor({5}, DType::Float32);
  const Iter it("test", {out, bias});
  BOOST_TEST(it.rank() == 2);
  BOOST_TEST(it.size(0) == 5);
  BOOST_TEST(it.byte_stride(1, 0) == 4);
  BOOST_TEST(it.byte_stride(1, 1) == 0);
}

BOOST_AUTO_TEST_CASE(a_single_value_merges_with_anything) {
  const Tensor out = make_tensor({3, 4, 5}, DType::Float32);
  const Tensor one = make_tensor({}, DType::Float32);
  const Iter it("test", {out, one});
  BOOST_TEST(it.rank() == 1);
  BOOST_TEST(it.byte_stride(1, 0) == 0);
}

BOOST_AUTO_TEST_CASE(dimensions_are_ordered_by_the_output) {
  const Tensor out = make_tensor({8, 9}, DType::Float32, Layout::Transposed);
  const Tensor in = make_tensor({8, 9}, DType::Float32);
  const Iter it("test", {out, in});
  BOOST_TEST(it.byte_stride(0, 0) == 4);
  BOOST_TEST(it.byte_stride(1, 0) == 36);
}

BOOST_AUTO_TEST_CASE(scalars_and_empty_tensors) {
  const Tensor a = make_tensor({}, DType::Float32), b = make_tensor({}, DType::Float32);
  const Iter one("test", {a, b});
  BOOST_TEST(one.numel() == 1);
  BOOST_TEST((visited(one, 0, 1) == std::vector<std::vector<int64_t>>{{0}, {0}}));
  const Tensor c = make_tensor({3, 0, 2}, DType::Float32), d = make_tensor({0, 1}, DType::Float32);
  const Iter none("test", {c, d});
  BOOST_TEST(none.numel() == 0);
  BOOST_TEST(visited(none, 0, 0)[0].empty());
}

// Any cut of the range visits the same pairs of elements, each once.
BOOST_AUTO_TEST_CASE(every_pair_is_visited_once_wherever_the_range_is_cut) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    Dims sizes, in_sizes;
    const int rank = static_cast<int>(random() % 5);
    for (int d = 0; d < rank; ++d) {
      sizes.push_back(1 + random() % 4);
      in_sizes.push_back(random() % 3 == 0 ? 1 : sizes[d]);
    }
    for (int drop = static_cast<int>(random() % 3); drop > 0 && !in_sizes.empty(); --drop)
      in_sizes.erase(0);
    const Tensor out = make_tensor(sizes, DType::Float32, kLayouts[random() % 4]);
    const Tensor in = make_tensor(in_sizes, DType::Int64, kLayouts[random() % 4]);
    const Iter it("test", {out, in});
    std::vector<std::pair<int64_t, int64_t>> got;
    for (int64_t begin = 0; begin < it.numel();) {
      const int64_t end = std::min<int64_t>(it.numel(), begin + 1 + random() % 7);
      const auto part = visited(it, begin, end);
      for (size_t i = 0; i < part[0].size(); ++i) got.emplace_back(part[0][i], part[1][i]);
      begin = end;
    }
    std::sort(got.begin(), got.end());
    BOOST_TEST((got == pairs_of(out, in)), "sizes " << to_text(sizes));
  }
}

BOOST_AUTO_TEST_CASE(sizes_that_do_not_broadcast_are_refused) {
  const Tensor out = make_tensor({4, 3}, DType::Float32);
  BOOST_CHECK_EXCEPTION(Iter("add", {out, make_tensor({4}, DType::Float32)}), ValueError,
                        says("add: sizes [4] do not broadcast"));
  BOOST_CHECK_THROW(Iter("add", {out, make_tensor({2, 4, 3}, DType::Float32)}), ValueError);
}

BOOST_AUTO_TEST_CASE(an_output_that_overlaps_itself_is_refused) {
  const Tensor row = make_tensor({3}, DType::Float32);
  const Tensor out = expand(row, {4, 3});
  BOOST_CHECK_EXCEPTION(Iter("add", {out, row}), RuntimeError, says("several indices"));
  // A sliding window, too.
  const Tensor line = make_tensor({10}, DType::Float32);
  BOOST_CHECK_THROW(Iter("add", {alias(line, {4, 3}, {1, 1}, 0), row}), RuntimeError);
}

BOOST_AUTO_TEST_CASE(partial_overlap_is_refused_and_the_same_view_is_not) {
  const Tensor line = make_tensor({10}, DType::Float32);
  const Tensor low = alias(line, {6}, {1}, 0), high = alias(line, {6}, {1}, 4);
  BOOST_CHECK_EXCEPTION(Iter("add", {low, high}), RuntimeError, says("overlaps operand 1"));
  BOOST_CHECK_NO_THROW(Iter("add", {low, low, alias(low)}));
  BOOST_CHECK_NO_THROW(Iter("add", {alias(line, {4}, {1}, 0), alias(line, {4}, {1}, 4)}));
  const Tensor square = make_tensor({4, 4}, DType::Float32);
  BOOST_CHECK_THROW(Iter("add", {square, alias(square, {4, 4}, {1, 4}, 0)}), RuntimeError);
}

BOOST_AUTO_TEST_CASE(a_reduction_puts_reduced_dimensions_first) {
  const Tensor x = make_tensor({4, 5, 6}, DType::Float32);
  const Tensor rows = make_tensor({1, 5, 1}, DType::Float32);
  const Iter it = Iter::reduction("sum", rows, x);
  BOOST_TEST(it.reduced_rank() == 2);
  BOOST_TEST(it.rank() == 3);
  BOOST_TEST(it.size(0) == 6);
  BOOST_TEST(it.size(1) == 4);
  BOOST_TEST(it.size(2) == 5);
  BOOST_TEST(it.byte_stride(0, 0) == 0);
  BOOST_TEST(it.byte_stride(0, 2) == 4);
  BOOST_TEST(it.byte_stride(1, 2) == 24);

  const Iter all = Iter::reduction("sum", make_tensor({1, 1, 1}, DType::Float32), x);
  BOOST_TEST(all.rank() == 1);
  BOOST_TEST(all.reduced_rank() == 1);
  const Iter none = Iter::reduction("sum", make_tensor({4, 5, 6}, DType::Float32), x);
  BOOST_TEST(none.reduced_rank() == 0);
  BOOST_TEST(none.rank() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
