// Scaled dot-product attention (Vaswani et al., 2017). One kernel forward and one backward, neither
// of which keeps a probability; what they compute is said once more in recorded ops, for second
// derivatives and for masks that are trained.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/common.h"

namespace lamina::ops {
namespace {

constexpr const char* kOp = "scaled_dot_product_attention";

// What is not differentiated.
struct Setting {
  Tensor mask;  // [B, H, L, S] of strides, or undefined
  double scale;
  bool causal;
  double dropout;
  PhiloxStream stream;
};

// Each head of keys or values as often as heads of queries read it: [B, G, S, E] to [B, H, S, E].
Tensor for_heads(const Tensor& x, int64_t heads) {
  if (x.size(1) == heads) return x;
  const int64_t shared = heads / x.size(1);
  const Tensor each =
      expand(unsqueeze(x, 2), Dims{x.size(0), x.size(1), shared, x.size(2), x.size(3)});
  return reshape(each, Dims{x.size(0), heads, x.size(2), x.size(3)});
}
// The gradient of that.
Tensor over_heads(const Tensor& g, int64_t groups) {
  if (g.size(1) == groups) return g;
  const int64_t dim = 2;
  return sum(reshape(g, Dims{g.size(0), groups, g.size(1) / groups, g.size(2), g.size(3)}),
             std::span(&dim, 1));
}

// softmax(scale q k^T + mask), k having as many heads as q; 0 where a query may see nothing.
Tensor probabilities(const Tensor& q, const Tensor& k, const Setting& f) {
  Tensor s = mul(matmul(q, mT(k)), scalar(f.scale));
  const Tensor never = scalar(-std::numeric_limits<double>::infinity());
  if (f.mask.defined())
    s = f.mask.dtype() == DType::Bool ? where(f.mask, s, never) : add(s, f.mask);
  if (f.causal) s = where(tril(ones({q.size(2), k.size(2)}, DType::Bool, q.device())), s, never);
  if (s.numel() == 0) return softmax(s, -1);
  const int64_t dim = -1;
  const Tensor nothing = eq(amax(detach(s), std::span(&dim, 1), true), never);
  const Tensor zero = scalar(0.0);
  return where(nothing, zero, softmax(where(nothing, zero, s), -1));
}

// What dropout multiplies probabilities with, as the kernel draws it.
Tensor dropout_factors(const Tensor& p, const Setting& f) {
  const Tensor dropped = empty(p.sizes(), DType::Bool, p.device());
  call<&DeviceApi::random>(p.device(), kOp, Distribution::Bernoulli, dropped, f.dropout, 0.0,
                           f.stream);
  const Tensor kept =
      full({}, Scalar(f.dropout < 1 ? 1 / (1 - f.dropout) : 0.0), p.dtype(), p.device());
  return where(dropped, scalar(0.0), kept);
}

Tensor composed(const Tensor& q, const Tensor& k, const Tensor& v, const Setting& f) {
  Tensor p = probabilities(q, for_heads(k, q.size(1)), f);
  if (f.dropout > 0) p = mul(p, dropout_factors(p, f));
  return matmul(p, for_heads(v, q.size(1)));
}

void composed_backward(Backward& b, const Tensor& q, const Tensor& k_, const Tensor& v_,
                       const Setting& f) {
  const Tensor& g = b.grad();
  const Tensor k = for_heads(k_, q.size(1));
  const Tensor v = for_heads(v_, q.size(1));
  const Tensor p = probabilities(q, k, f);
  const Tensor factors = f.dropout > 0 ? dropout_factors(p, f) : Tensor();
  const auto dropped = [&](const Tensor& x) { return factors.defined() ? mul(x, factors) : x; };
  if (b.needs(2)) b.set(2, over_heads(matmul(mT(dropped(p)), g), v_.size(1)));
  if (!b.needs(0) && !b.needs(1)) return;
  const Tensor dp = dropped(matmul(g, mT(v)));
  const int64_t dim = -1;
  const Tensor ds =
      mul(mul(p, sub(dp, sum(mul(dp, p), std::span(&dim, 1), true))), scalar(f.scale));
  if (b.needs(0)) b.set(0, matmul(ds, k));
  if (b.needs(1)) b.set(1, over_heads(matmul(mT(ds), q), k_.size(1)));
}

Tensor last_adjacent(const Tensor& t) {
  const int last = t.rank() - 1;
  return t.stride(last) == 1 || t.size(last) == 1 ? t : contiguous(t);
}

// Memory for a result [B, H, L, E] in the order [B, L, H, E], or [L, B, H, E] where that is the
// order of `like`: what comes next joins the heads.
Tensor empty_by_rows(const Dims& sizes, const Tensor& like) {
  const bool length_first = sizes[0] > 1 && like.stride(2) > like.stride(0);
  const int64_t row = sizes[1] * sizes[3];
  const int64_t outer = row * (length_first ? sizes[0] : sizes[2]);
  const Dims strides{length_first ? row : outer, sizes[3], length_first ? outer : row, 1};
  return empty_strided(sizes, strides, like.dtype(), like.device());
}

// Memory for a gradient, in the order in which the tensor itself lies in memory.
Tensor empty_gradient(const Tensor& t) {
  return t.stride(1) < t.stride(2) ? empty_by_rows(t.sizes(), t) : empty_like(t);
}

// The distance of k from q and of v from k in memory where the three are thirds of one dense
// tensor, as of a common projection; 0 elsewhere.
int64_t third_of(const Tensor& q, const Tensor& k, const Tensor& v) {
  const int64_t step = k.offset() - q.offset();
  for (const Tensor* t : {&k, &v})
    if (&t->storage() != &q.storage() || t->sizes() != q.sizes() || t->strides() != q.strides())
      return 0;
  if (step <= 0 || v.offset() - k.offset() != step || q.numel() == 0) return 0;
  std::vector<std::pair<int64_t, int64_t>> dims{{step, 3}};  // strides and sizes
  for (int i = 0; i < q.rank(); ++i)
    if (q.size(i) != 1) dims.emplace_back(q.stride(i), q.size(i));
  std::sort(dims.begin(), dims.end());
  int64_t dense = 1;
  for (const auto& [stride, size] : dims) {
    if (stride != dense) return 0;
    dense *= size;
  }
  return step;
}

struct Gradients {
  Tensor q, k, v;
};
// Thirds of one tensor again, if q, k and v are: then their gradients need not be put together.
Gradients empty_gradients(const Backward& b, const Tensor& q, const Tensor& k, const Tensor& v) {
  const bool all = b.needs(0) && b.needs(1) && b.needs(2);
  if (const int64_t step = all ? third_of(q, k, v) : 0; step != 0) {
    const Tensor memory = empty({3 * q.numel()}, q.dtype(), q.device());
    const auto third = [&](int64_t i) { return alias(memory, q.sizes(), q.strides(), i * step); };
    return {third(0), third(1), third(2)};
  }
  return {b.needs(0) ? empty_gradient(q) : Tensor(), b.needs(1) ? empty_gradient(k) : Tensor(),
          b.needs(2) ? empty_gradient(v) : Tensor()};
}

AttentionArgs arguments(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y,
                        const Tensor& logsumexp, const Setting& f) {
  AttentionArgs args;
  args.q = q;
  args.k = k;
  args.v = v;
  args.mask = ref_or_none(f.mask);
  args.y = y;
  args.logsumexp = logsumexp;
  args.scale = f.scale;
  args.causal = f.causal;
  args.dropout = f.dropout;
  args.stream = f.stream;
  return args;
}

void fused_backward(Backward& b, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y,
                    const Tensor& logsumexp, const Setting& f) {
  const Tensor dy = last_adjacent(b.grad());
  AttentionBackwardArgs args;
  args.forward = arguments(q, k, v, y, logsumexp, f);
  args.dy = dy;
  const Gradients d = empty_gradients(b, q, k, v);
  args.dq = ref_or_none(d.q);
  args.dk = ref_or_none(d.k);
  args.dv = ref_or_none(d.v);
  call<&DeviceApi::attention_backward>(q.device(), kOp, args);
  b.set(0, d.q);
  b.set(1, d.k);
  b.set(2, d.v);
}

// All of rank 4, sizes checked.
Tensor attention(const Tensor& q_, const Tensor& k_, const Tensor& v_, const Setting& f) {
  if (f.mask.defined() && recording(f.mask)) return composed(q_, k_, v_, f);
  const Tensor q = last_adjacent(q_);
  const Tensor k = last_adjacent(k_);
  const Tensor v = last_adjacent(v_);
  Tensor y = empty_by_rows({q.size(0), q.size(1), q.size(2), v.size(3)}, q);
  const Tensor logsumexp = empty({q.size(0), q.size(1), q.size(2)}, q.dtype(), q.device());
  call<&DeviceApi::attention>(q.device(), kOp, arguments(q, k, v, y, logsumexp, f));
  if (recording(q, k, v))
    record(kOp, {y}, {q, k, v},
           [q = Saved::input(q), k = Saved::input(k), v = Saved::input(v), y = Saved::output(y),
            logsumexp = Saved::input(logsumexp),
            mask = f.mask.defined() ? Saved::input(f.mask) : Saved(), scale = f.scale,
            causal = f.causal, dropout = f.dropout, stream = f.stream](Backward& b) {
             const Setting again{b(mask), scale, causal, dropout, stream};
             if (grad_enabled())
               composed_backward(b, b(q), b(k), b(v), again);
             else
               fused_backward(b, b(q), b(k), b(v), b(y), b(logsumexp), again);
           });
  return y;
}

// The dimensions in front of the last `kept`, as sizes.
Dims leading(const Tensor& t, int kept) {
  return Dims(
      std::span<const int64_t>(t.sizes()).first(static_cast<size_t>(std::max(t.rank() - kept, 0))));
}

int64_t heads_of(const Tensor& t) { return t.rank() >= 3 ? t.size(t.rank() - 3) : 1; }

// As [B, heads, rows, columns], with the batch broadcast to `batch`.
Tensor as_heads(const Tensor& t, const Dims& batch, int64_t heads) {
  Dims sizes = batch;
  int64_t count = 1;
  for (const int64_t s : batch) count *= s;
  const int64_t rows = t.size(t.rank() - 2);
  const int64_t columns = t.size(t.rank() - 1);
  for (const int64_t s : {heads, rows, columns}) sizes.push_back(s);
  const Tensor whole = t.sizes() == sizes ? t : expand(t, sizes);
  return batch.rank() == 1 ? whole : reshape(whole, Dims{count, heads, rows, columns});
}

// The lines of an error, made when there is one.
struct Operands {
  const Tensor &q, &k, &v;
  friend std::string to_text(const Operands& o) {
    return text::concat(line("query", o.q), line("key", o.k), line("value", o.v));
  }
};

void check_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                     double dropout) {
  const Operands all{q, k, v};
  check_operands(kOp, q, k);
  check_operands(kOp, q, v);
  check<ValueError>(q.rank() >= 2 && k.rank() >= 2 && v.rank() >= 2, kOp,
                    ": query, key and value need at least 2 dimensions", all);
  check<ValueError>(q.sizes().back() == k.sizes().back(), kOp, ": query has ", q.sizes().back(),
                    " features but key has ", k.sizes().back(), all);
  check<ValueError>(k.size(k.rank() - 2) == v.size(v.rank() - 2), kOp, ": there are ",
                    k.size(k.rank() - 2), " keys but ", v.size(v.rank() - 2), " values", all);
  check<ValueError>(dropout >= 0 && dropout <= 1, kOp, ": dropout_p must lie in [0, 1], got ",
                    dropout);
  if (!mask.defined()) return;
  check<TypeError>(mask.dtype() == DType::Bool || mask.dtype() == q.dtype(), kOp,
                   ": attn_mask must be bool or have the query's dtype ", q.dtype(), ", got ",
                   mask.dtype());
  check_same_device(kOp, q, mask);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& mask, double dropout, bool causal,
                                    std::optional<double> scale, bool shared_heads) {
  check_attention(q, k, v, mask, dropout);
  const Operands all{q, k, v};
  Dims batch = broadcast_sizes(kOp, leading(q, 3), leading(k, 3));
  batch = broadcast_sizes(kOp, batch, leading(v, 3));
  int64_t heads = heads_of(q);
  int64_t groups = heads_of(k);
  if (shared_heads) {
    check<ValueError>(q.rank() >= 3 && groups == heads_of(v), kOp,
                      ": enable_gqa needs as many heads of value as of key", all);
    check<ValueError>(groups > 0 && heads % groups == 0, kOp, ": enable_gqa needs the query's ",
                      heads, " heads to be a multiple of the key's ", groups, all);
  } else {
    for (const int64_t h : {groups, heads_of(v)}) {
      check<ValueError>(h == heads || h == 1 || heads == 1, kOp, ": query has ", heads,
                        " heads but ", h == groups ? "key" : "value", " has ", h,
                        "; heads that several heads of the query share need enable_gqa=True", all);
      if (heads == 1) heads = h;
    }
    groups = heads;
  }
  // The result's sizes: those that the operands share, leading ones included.
  const int rank = std::max({q.rank(), k.rank(), v.rank()});
  Dims sizes = batch;
  if (rank >= 3) sizes.push_back(heads);
  sizes.push_back(q.size(q.rank() - 2));
  sizes.push_back(v.sizes().back());
  if (batch.rank() == 0) batch.push_back(1);

  Setting f{{},
            scale.value_or(1 / std::sqrt(static_cast<double>(q.sizes().back()))),
            causal,
            dropout,
            {}};
  const Tensor queries = as_heads(q, batch, heads);
  const Tensor keys = as_heads(k, batch, groups);
  const Tensor values = as_heads(v, batch, groups);
  if (mask.defined()) {
    Dims wanted = batch;
    for (const int64_t s : {heads, queries.size(2), keys.size(2)}) wanted.push_back(s);
    check<ValueError>(can_broadcast_to(mask.sizes(), wanted), kOp,
                      ": attn_mask does not broadcast to the scores",
                      line("attn_mask", mask.sizes()), line("scores", wanted), all);
    // Only its last dimension needs to be there in memory.
    Tensor m = mask.rank() == 0 ? expand(mask, Dims{1}) : mask;
    if (m.sizes().back() != keys.size(2)) {
      Dims widened = m.sizes();
      widened[m.rank() - 1] = keys.size(2);
      m = contiguous(expand(m, widened));
    }
    m = expand(last_adjacent(m), wanted);
    f.mask = batch.rank() == 1
                 ? m
                 : reshape(m, Dims{queries.size(0), heads, queries.size(2), keys.size(2)});
  }
  if (dropout > 0)
    f.stream =
        default_generator().reserve(queries.size(0) * heads * queries.size(2) * keys.size(2));
  const Tensor y = attention(queries, keys, values, f);
  return y.sizes() == sizes ? y : reshape(y, sizes);
}

}  // namespace lamina::ops
