// Attention, and tables of rows.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// `max_norm`, `norm_type` and `scale_grad_by_freq` follow each other, from argument i on.
ops::EmbeddingOptions options(Args& a, int padding, int i, int sparse) {
  ops::EmbeddingOptions o;
  o.padding = a.maybe_integer(padding);
  if (a.has(i)) o.max_norm = a.real(i);
  o.norm_type = a.real(i + 1);
  o.by_frequency = a.flag(i + 2);
  o.sparse = a.flag(sparse);
  return o;
}

ops::BagMode bag_mode(Args& a, int i) {
  const std::string_view name = a.text(i);
  if (name == "sum") return ops::BagMode::Sum;
  if (name == "max") return ops::BagMode::Max;
  check<ValueError>(name == "mean", "embedding_bag: mode must be 'sum', 'mean' or 'max', got '",
                    name, "'");
  return ops::BagMode::Mean;
}

constexpr Def kDefs[] = {
    def(
        "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, "
        "Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, "
        "bool enable_gqa=False)",
        kFunction | kProduct,
        [](Args& a) {
          return ops::scaled_dot_product_attention(
              a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3), a.real(4), a.flag(5),
              a.has(6) ? std::optional(a.real(6)) : std::nullopt, a.flag(7));
        },
        "softmax(scale * query @ key.mT + attn_mask) @ value for [..., heads, length, features], "
        "in "
        "memory that grows with the length. A bool mask is true where a key may be seen; "
        "`is_causal` lets query i see keys 0 to i, besides the mask. A query that may see no key "
        "gets zeros. `scale` is 1 / sqrt(features) unless given; with `enable_gqa` several heads "
        "of the query share one of key and value."),
    def(
        "embedding(Tensor input, Tensor weight, int? padding_idx=None, float? max_norm=None, "
        "float norm_type=2.0, bool scale_grad_by_freq=False, bool sparse=False)",
        kFunction,
        [](Args& a) { return ops::embedding(a.tensor(0), a.tensor(1), options(a, 2, 3, 6)); },
        "The rows of `weight` that `input` names. The row `padding_idx` gets no gradient; rows "
        "longer than `max_norm` are scaled down to it first, in place; `scale_grad_by_freq` "
        "divides "
        "a row's gradient by the times it is named. With `sparse` backward touches no other row."),
    def(
        "embedding_bag(Tensor input, Tensor weight, Tensor? offsets=None, float? max_norm=None, "
        "float norm_type=2.0, bool scale_grad_by_freq=False, str mode='mean', "
        "bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int? "
        "padding_idx=None)",
        kFunction,
        [](Args& a) {
          return ops::embedding_bag(a.tensor(0), a.tensor(1), a.tensor(2), bag_mode(a, 6),
                                    a.tensor(8), a.flag(9), options(a, 10, 3, 7));
        },
        "The sum, mean or maximum of the rows of `weight` that each bag of `input` names: each row "
        "of a 2-d input, or each stretch of a 1-d one that begins at an offset. The row "
        "`padding_idx` does not count."),
    def(
        "touched_rows(Tensor input)", kFunction,
        [](Args& a) { return ops::touched_rows(a.tensor(0)); },
        "Numbers of the rows that are not zero, ascending; of a gradient that `embedding` made "
        "with `sparse`, those that it wrote, without looking at the others."),
    def(
        "one_hot(Tensor input, int num_classes=-1)", kFunction,
        [](Args& a) {
          const int64_t classes = a.integer(1);
          return ops::one_hot(a.tensor(0), classes == -1 ? std::nullopt : std::optional(classes));
        },
        "Integers as int64 vectors with a 1 at the number's place; -1 classes: as many as the "
        "largest number needs."),
};

}  // namespace

void bind_attention() { bind<kDefs>(); }

}  // namespace lamina::bindings
