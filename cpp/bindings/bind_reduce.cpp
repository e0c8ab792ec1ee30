// Reductions.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

#define DIMS "Tensor input, int[]? dim=None, bool keepdim=False"

// var and std: `correction` by name, or PyTorch's older `unbiased`.
double correction(Args& a) {
  switch (a.overload()) {
    case 0: return a.has(2) ? a.real(2) : 1;
    case 1: return a.flag(2) ? 1 : 0;
    default: return a.flag(1) ? 1 : 0;
  }
}

#define SPREAD_FORMS(name, result)                                                                \
  name "(Tensor input, int[]? dim=None, *, float? correction=1, bool keepdim=False)" result       \
       "\n" name "(Tensor input, int[]? dim=None, bool unbiased=True, bool keepdim=False)" result \
       "\n" name "(Tensor input, bool unbiased)" result

template <auto F>
auto spread(Args& a) {
  const bool all = a.overload() == 2;
  return F(a.tensor(0), all ? ops::IntList{} : a.ints(1), correction(a), !all && a.flag(3));
}

// max and min: of everything, along a dimension with indices, or of two tensors.
template <Tensor (*All)(const Tensor&, ops::IntList, bool),
          std::pair<Tensor, Tensor> (*Along)(const Tensor&, int64_t, bool), BinaryOp Pair>
PyObject* extreme(Args& a) {
  if (a.overload() == 1) {
    std::pair<Tensor, Tensor> found = [&] {
      const MaybeRelease gil(a.work());
      return Along(a.tensor(0), a.integer(1), a.flag(2));
    }();
    return to_python(Selected{std::move(found)});
  }
  Tensor out = [&] {
    const MaybeRelease gil(a.work());
    return a.overload() == 0 ? All(a.tensor(0), {}, false)
                             : ops::binary(Pair, a.tensor(0), a.tensor(1));
  }();
  return to_python(std::move(out));
}

#define EXTREME_FORMS(name)                                                       \
  name "(Tensor input)\n" name                                                    \
       "(Tensor input, int dim, bool keepdim=False) -> values_and_indices\n" name \
       "(Tensor input, Tensor other)"

constexpr Def kDefs[] = {
#define SUM(name, doc)                                                                   \
  def(                                                                                   \
      #name "(" DIMS ", *, dtype? dtype=None, Tensor? out=None)", kBoth,                 \
      [](Args& a) {                                                                      \
        return ops::write_out(#name, a.tensor(4),                                        \
                              ops::name(a.tensor(0), a.ints(1), a.flag(2), a.dtype(3))); \
      },                                                                                 \
      doc)
    SUM(sum, "The sum over `dim`, by default over everything."),
    SUM(mean, "The mean over `dim`, by default over everything."),
    SUM(prod, "The product over `dim`, by default over everything."),
#undef SUM
#define EXTREME(name, doc)                                                                       \
  def(                                                                                           \
      #name "(" DIMS ", *, Tensor? out=None)", kBoth,                                            \
      [](Args& a) {                                                                              \
        return ops::write_out(#name, a.tensor(3), ops::name(a.tensor(0), a.ints(1), a.flag(2))); \
      },                                                                                         \
      doc)
    EXTREME(amax, "The largest element over `dim`; equal ones share the gradient."),
    EXTREME(amin, "The smallest element over `dim`; equal ones share the gradient."),
#undef EXTREME
    def(
        "logsumexp(Tensor input, int[] dim, bool keepdim=False, *, Tensor? out=None)", kBoth,
        [](Args& a) {
          return ops::write_out("logsumexp", a.tensor(3),
                                ops::logsumexp(a.tensor(0), a.ints(1), a.flag(2)));
        },
        "The logarithm of the sum of exp(x) over `dim`, safe from overflow."),
    def(
        "norm(Tensor input, str? p='fro', int[]? dim=None, bool keepdim=False, *, dtype? "
        "dtype=None, Tensor? out=None)\n"
        "norm(Tensor input, float p, int[]? dim=None, bool keepdim=False, *, dtype? dtype=None, "
        "Tensor? out=None)",
        kBoth,
        [](Args& a) {
          const bool named = a.overload() == 0;
          check<ValueError>(!named || !a.has(1) || std::string_view(a.text(1)) == "fro",
                            "norm: p must be a number, 'fro' or None, got '",
                            named && a.has(1) ? a.text(1) : "", "'");
          return ops::write_out(
              "norm", a.tensor(5),
              ops::norm(a.tensor(0), named ? 2 : a.real(1), a.ints(2), a.flag(3), a.dtype(4)));
        },
        "(sum |x|^p)^(1/p) over `dim`, by default over everything; 'fro' is 2."),
    def(
        "count_nonzero(Tensor input, int[]? dim=None)", kBoth,
        [](Args& a) { return ops::count_nonzero(a.tensor(0), a.ints(1)); },
        "How many elements over `dim` are not zero."),
    def(
        "trace(Tensor input)", kBoth, [](Args& a) { return ops::trace(a.tensor(0)); },
        "The sum of the diagonal of a matrix."),
    def(
        "aminmax(Tensor input, *, int? dim=None, bool keepdim=False) -> min_and_max", kBoth,
        [](Args& a) { return Extremes{ops::aminmax(a.tensor(0), a.maybe_integer(1), a.flag(2))}; },
        "The pair (min, max) over `dim`, by default over everything."),
#define PLAIN(name, doc)         \
  def(                           \
      #name "(" DIMS ")", kBoth, \
      [](Args& a) { return ops::name(a.tensor(0), a.ints(1), a.flag(2)); }, doc)
    PLAIN(any, "Whether any element over `dim` is not zero."),
    PLAIN(all, "Whether no element over `dim` is zero."),
#undef PLAIN
    def(
        SPREAD_FORMS("var", ""), kBoth, [](Args& a) { return spread<ops::var>(a); },
        "The variance over `dim`: squared deviations over (n - correction)."),
    def(
        SPREAD_FORMS("std", ""), kBoth, [](Args& a) { return spread<ops::std>(a); },
        "The standard deviation over `dim`; see var."),
    def(
        SPREAD_FORMS("var_mean", " -> tuple[Tensor, Tensor]"), kFunction,
        [](Args& a) { return spread<ops::var_mean>(a); }, "Variance and mean over `dim`; see var."),
    def(
        SPREAD_FORMS("std_mean", " -> tuple[Tensor, Tensor]"), kFunction,
        [](Args& a) { return spread<ops::std_mean>(a); },
        "Standard deviation and mean over `dim`; see var."),
    def(
        EXTREME_FORMS("max"), kBoth,
        [](Args& a) { return extreme<ops::amax, ops::max, BinaryOp::maximum>(a); },
        "The largest element; with `dim`, the pair (values, indices); with `other`, elementwise."),
    def(
        EXTREME_FORMS("min"), kBoth,
        [](Args& a) { return extreme<ops::amin, ops::min, BinaryOp::minimum>(a); },
        "The smallest element; with `dim`, the pair (values, indices); with `other`, elementwise."),
#define ARG(name, doc)                                                  \
  def(                                                                  \
      #name "(Tensor input, int? dim=None, bool keepdim=False)", kBoth, \
      [](Args& a) { return ops::name(a.tensor(0), a.maybe_integer(1), a.flag(2)); }, doc)
    ARG(argmax, "Where the first largest element is, along `dim` or in the flattened tensor."),
    ARG(argmin, "Where the first smallest element is, along `dim` or in the flattened tensor."),
#undef ARG
#define SOFT(name, doc)                                                                \
  def(                                                                                 \
      #name "(Tensor input, int dim, *, dtype? dtype=None)", kBoth,                    \
      [](Args& a) {                                                                    \
        return ops::name(a.dtype(2) ? ops::to(a.tensor(0), *a.dtype(2)) : a.tensor(0), \
                         a.integer(1));                                                \
      },                                                                               \
      doc)
    SOFT(softmax, "exp(x) over its sum along `dim`."),
    SOFT(log_softmax, "The logarithm of softmax, without its rounding."),
#undef SOFT
};

}  // namespace

void bind_reduce() { bind<kDefs>(); }

}  // namespace lamina::bindings
