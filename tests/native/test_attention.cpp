#include <limits>

#include "kernels.h"

using namespace lamina;
using namespace lamina::test;

namespace {

using Floats = std::tuple<float, double>;
using Wide = long double;

template <class T>
constexpr Wide kEps = std::numeric_limits<T>::epsilon();
constexpr Wide kInfinity = std::numeric_limits<Wide>::infinity();

struct Case {
  int64_t batch, heads, groups, queries, keys, width, value_width;
  bool causal = false;
  enum Mask : uint8_t { None, Added, Keep } mask = None;
  double dropout = 0;
};

// Memory [B, L, H, E + 1] seen as [B, H, L, E]: as a projection's result is.
template <class T>
struct Operand : Array<T> {
  Operand(int64_t b, int64_t h, int64_t l, int64_t e)
      : Array<T>({b, h, l, e}, {l * h * (e + 1), e + 1, h * (e + 1), 1}) {}
};

// Everything by definition, in long double, one query at a time; and what bounds the errors.
template <class T>
struct Reference {
  std::vector<Wide> y, logsumexp, dq, dk, dv;
  std::vector<Wide> y_bound, dq_bound, dk_bound, dv_bound;
};

struct Index {
  int64_t heads, rows, columns;
  size_t operator()(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return static_cast<size_t>(((b * heads + h) * rows + i) * columns + j);
  }
};

template <class T>
Reference<T> reference(const Case& c, const std::vector<T>& q, const std::vector<T>& k,
                       const std::vector<T>& v, const std::vector<T>& dy,
                       const std::vector<T>& added, const std::vector<uint8_t>& keep, Wide scale,
                       const PhiloxStream& stream) {
  const Index at_q{c.heads, c.queries, c.width}, at_y{c.heads, c.queries, c.value_width};
  const Index at_k{c.groups, c.keys, c.width}, at_v{c.groups, c.keys, c.value_width};
  const Index at_s{c.heads, c.queries, c.keys};
  Reference<T> r;
  const auto zeros = [](size_t n) { return std::vector<Wide>(n, 0); };
  r.y = r.y_bound = zeros(dy.size());
  r.dq = r.dq_bound = zeros(q.size());
  r.dk = r.dk_bound = zeros(k.size());
  r.dv = r.dv_bound = zeros(v.size());
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      const int64_t g = h / (c.heads / c.groups);
      for (int64_t i = 0; i < c.queries; ++i) {
        std::vector<Wide> s(static_cast<size_t>(c.keys)), p = s, factor = s;
        Wide top = -kInfinity, size = 0, sum = 0;
        for (int64_t j = 0; j < c.keys; ++j) {
          const auto n = static_cast<size_t>(j);
          Wide terms = 0;
          for (int64_t e = 0; e < c.width; ++e) {
            const Wide term = scale * Wide(q[at_q(b, h, i, e)]) * Wide(k[at_k(b, g, j, e)]);
            s[n] += term;
            terms += std::fabs(term);
          }
          const size_t m = at_s(b, h, i, j);
          if (c.mask == Case::Added) s[n] += Wide(added[m]);
          if ((c.mask == Case::Keep && keep[m] == 0) || (c.causal && j > i)) s[n] = -kInfinity;
          const uint32_t limit = static_cast<uint32_t>(std::ceil(c.dropout * 0x1p24));
          factor[n] = (random_bits32(stream, m) >> 8) < limit ? 0 : 1 / (1 - Wide(c.dropout));
          if (c.dropout == 0) factor[n] = 1;
          top = std::fmax(top, s[n]);
          size = std::fmax(size, terms + std::fabs(std::isinf(s[n]) ? 0 : s[n]));
        }
        for (size_t n = 0; n < s.size(); ++n)
          sum += p[n] = top == -kInfinity ? 0 : std::exp(s[n] - top);
        r.logsumexp.push_back(sum == 0 ? kInfinity : top + std::log(sum));
        for (Wide& value : p) value = sum == 0 ? 0 : value / sum;
        // Of a probability: its score twice, exponentials, and the terms of the sum.
        const Wide relative = kEps<T> * (2 * (Wide(c.width) + 3) * size + 2 * Wide(c.keys) + 30);
        Wide delta = 0, delta_size = 0;
        std::vector<Wide> dp(s.size()), dp_size(s.size());
        for (int64_t j = 0; j < c.keys; ++j) {
          const auto n = static_cast<size_t>(j);
          for (int64_t e = 0; e < c.value_width; ++e) {
            const Wide value = v[at_v(b, g, j, e)], slope = dy[at_y(b, h, i, e)];
            r.y[at_y(b, h, i, e)] += p[n] * factor[n] * value;
            r.y_bound[at_y(b, h, i, e)] += relative * p[n] * factor[n] * std::fabs(value);
            r.dv[at_v(b, g, j, e)] += p[n] * factor[n] * slope;
            r.dv_bound[at_v(b, g, j, e)] += (relative + kEps<T> * Wide(c.queries * c.heads + 2)) *
                                            p[n] * factor[n] * std::fabs(slope);
            dp[n] += factor[n] * slope * value;
            dp_size[n] += factor[n] * std::fabs(slope * value);
          }
          delta += p[n] * dp[n];
          delta_size += p[n] * dp_size[n];
        }
        for (int64_t j = 0; j < c.keys; ++j) {
          const auto n = static_cast<size_t>(j);
          const Wide ds = scale * p[n] * (dp[n] - delta);
          const Wide ds_bound =
              std::fabs(scale) * p[n] * (dp_size[n] + delta_size) *
              (2 * relative + kEps<T> * Wide(2 * c.value_width + c.queries * c.heads + c.keys + 8));
          for (int64_t e = 0; e < c.width; ++e) {
            const Wide key = k[at_k(b, g, j, e)], query = q[at_q(b, h, i, e)];
            r.dq[at_q(b, h, i, e)] += ds * key;
            r.dq_bound[at_q(b, h, i, e)] += ds_bound * std::fabs(key);
            r.dk[at_k(b, g, j, e)] += ds * query;
            r.dk_bound[at_k(b, g, j, e)] += ds_bound * std::fabs(query);
          }
        }
      }
    }
  }
  return r;
}

template <class T>
void check_attention(const Case& c) {
  Operand<T> q(c.batch, c.heads, c.queries, c.width), dq(c.batch, c.heads, c.queries, c.width);
  Operand<T> k(c.batch, c.groups, c.keys, c.width), dk(c.batch, c.groups, c.keys, c.width);
  Operand<T> v(c.batch, c.groups, c.keys, c.value_width);
  Operand<T> dv(c.batch, c.groups, c.keys, c.value_width);
  Operand<T> y(c.batch, c.heads, c.queries, c.value_width);
  Operand<T> dy(c.batch, c.heads, c.queries, c.value_width);
  Array<T> logsumexp({c.batch, c.heads, c.queries});
  Array<T> added({c.batch, c.heads, c.queries, c.keys});
  Array<uint8_t> keep({c.batch, c.heads, c.queries, c.keys});
  q.assign(random_values<T>(q.numel(), 1));
  k.assign(random_values<T>(k.numel(), 2));
  v.assign(random_values<T>(v.numel(), 3));
  dy.assign(random_values<T>(dy.numel(), 4));
  added.assign(random_values<T>(added.numel(), 5));
  const std::vector<double> kept = random_values<double>(keep.numel(), 6);
  std::vector<uint8_t> bits;
  for (int64_t m = 0; m < keep.numel(); ++m) {
    // The first query of each head sees nothing.
    const bool sees = kept[static_cast<size_t>(m)] > -0.4 && m / c.keys % c.queries != 0;
    keep[m] = sees;
    bits.push_back(sees);
  }
  const double scale = 0.7;
  const PhiloxStream stream{17, 4};
  AttentionArgs args;
  args.q = q;
  args.k = k;
  args.v = v;
  args.y = y;
  args.logsumexp = logsumexp;
  if (c.mask == Case::Added) args.mask = added;
  if (c.mask == Case::Keep) args.mask = keep;
  if (c.mask == Case::Keep) args.mask.dtype = DType::Bool;
  args.scale = scale;
  args.causal = c.causal;
  args.dropout = c.dropout;
  args.stream = stream;
  const AttentionBackwardArgs back{args, dy, dq, dk, dv};
  const Reference<T> want = reference(c, q.values(), k.values(), v.values(), dy.values(),
                                      added.values(), bits, T(scale), stream);
  Ctx ctx;
  for_each_table([&] {
    std::vector<std::vector<T>> first;
    for_each_thread_count([&] {
      for (Operand<T>* out : {&y, &dq, &dk, &dv}) out->fill(std::numeric_limits<T>::quiet_NaN());
      cpu::attention(ctx, args);
      cpu::attention_backward(ctx, back);
      const std::vector<std::vector<T>> got{y.values(), logsumexp.values(), dq.values(),
                                            dk.values(), dv.values()};
      if (first.empty()) first = got;
      for (size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], first[i]));
    });
    const Wide tiny = std::numeric_limits<T>::min();
    check_close(y.values(), want.y, [&](size_t i) { return want.y_bound[i] + tiny; });
    check_close(logsumexp.values(), want.logsumexp, [&](size_t i) {
      return kEps<T> * (std::fabs(want.logsumexp[i]) + 4 * Wide(c.width) + Wide(c.keys) + 16);
    });
    check_close(dq.values(), want.dq, [&](size_t i) { return want.dq_bound[i] + tiny; });
    check_close(dk.values(), want.dk, [&](size_t i) { return want.dk_bound[i] + tiny; });
    check_close(dv.values(), want.dv, [&](size_t i) { return want.dv_bound[i] + tiny; });
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention)

BOOST_AUTO_TEST_CASE_TEMPLATE(small, T, Floats) {
  for (const int64_t n : {1, 2, 3, 7, 16, 17, 33}) {
    check_attention<T>({1, 2, 2, n, n, 5, 3});
    check_attention<T>({1, 1, 1, n, n, 16, 17, true});
    check_attention<T>({1, 1, 1, 3, n, 1, 1, false, Case::Added});
    check_attention<T>({1, 1, 1, n, 9, 4, 8, true, Case::Keep});
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(one_block_of_each_head, T, Floats) {
  check_attention<T>({2, 4, 4, 64, 64, 32, 32, true});
  check_attention<T>({2, 4, 2, 64, 64, 32, 32});
}

// Blocks of 128 queries, and of 256 keys in float and 128 in double.
BOOST_AUTO_TEST_CASE_TEMPLATE(many_blocks, T, Floats) {
  check_attention<T>({1, 1, 1, 290, 270, 6, 5});
  check_attention<T>({1, 1, 1, 290, 270, 6, 5, true});
  check_attention<T>({1, 1, 1, 150, 600, 6, 5, true});
  check_attention<T>({1, 1, 1, 300, 40, 6, 5, true});
  check_attention<T>({1, 2, 1, 140, 270, 6, 5, false, Case::Added});
  check_attention<T>({1, 2, 1, 140, 270, 6, 5, true, Case::Keep});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(heads_that_share_keys, T, Floats) {
  check_attention<T>({2, 6, 2, 10, 20, 8, 8, true});
  check_attention<T>({1, 8, 1, 130, 33, 8, 8});  // so much work that its queries are dealt out
}

BOOST_AUTO_TEST_CASE_TEMPLATE(dropout, T, Floats) {
  check_attention<T>({1, 2, 1, 20, 33, 8, 5, true, Case::None, 0.3});
  check_attention<T>({1, 1, 1, 140, 270, 3, 4, false, Case::Keep, 0.7});
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nothing_to_see, T, Floats) {
  check_attention<T>({1, 1, 1, 3, 0, 4, 2});
  check_attention<T>({1, 1, 1, 0, 3, 4, 2});
  check_attention<T>({0, 1, 1, 2, 3, 4, 2});
}

// A score of +Inf, or NaN, makes its whole row NaN, in whichever block it is.
BOOST_AUTO_TEST_CASE_TEMPLATE(not_finite, T, Floats) {
  constexpr int64_t kKeys = 300;
  Array<T> q({1, 1, 2, 1}), k({1, 1, kKeys, 1}), v({1, 1, kKeys, 1}), y({1, 1, 2, 1});
  Array<T> logsumexp({1, 1, 2});
  q[0] = T(1);
  q[1] = T(0);
  v.fill(T(1));
  AttentionArgs args;
  args.q = q;
  args.k = k;
  args.v = v;
  args.y = y;
  args.logsumexp = logsumexp;
  Ctx ctx;
  for_each_table([&] {
    for (const T bad : {std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()}) {
      for (const int64_t where : {int64_t{0}, kKeys / 2, kKeys - 1}) {
        k.fill(T(-1));
        k[where] = bad;
        cpu::attention(ctx, args);
        BOOST_TEST(std::isnan(y[0]));
        BOOST_TEST(std::isnan(y[1]));  // 0 times either
      }
    }
    k.fill(-std::numeric_limits<T>::infinity());
    k[7] = T(2);
    cpu::attention(ctx, args);
    BOOST_TEST(y[0] == T(1));
    BOOST_TEST(logsumexp[0] == T(2));
  });
}

BOOST_AUTO_TEST_SUITE_END()
