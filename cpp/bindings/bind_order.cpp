// Sorting and scanning along a dimension.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

PyObject* median(Args& a) {
  if (a.overload() == 1) {
    std::pair<Tensor, Tensor> found = [&] {
      const MaybeRelease gil(a.work());
      return ops::median(a.tensor(0), a.integer(1), a.flag(2));
    }();
    return to_python(Selected{std::move(found)});
  }
  Tensor out = [&] {
    const MaybeRelease gil(a.work());
    return ops::median(a.tensor(0));
  }();
  return to_python(std::move(out));
}

// q as a tensor, or a number that becomes one of the input's dtype.
Tensor quantile(Args& a) {
  const Tensor& x = a.tensor(0);
  Tensor q;
  if (a.overload() == 0) {
    q = a.tensor(1);
  } else {
    check<ValueError>(a.real(1) >= 0 && a.real(1) <= 1, "quantile: q must lie in [0, 1], got ",
                      a.real(1));
    check<TypeError>(is_floating(x.dtype()), "quantile: input must be float32 or float64, got ",
                     x.dtype());
    q = ops::full({}, a.real(1), x.dtype(), x.device());
  }
  return ops::write_out("quantile", a.tensor(5),
                        ops::quantile(x, q, a.maybe_integer(2), a.flag(3), a.text(4)));
}

PyObject* unique(Args& a) {
  const ops::Unique found = [&] {
    const MaybeRelease gil(a.work());
    return ops::unique(a.tensor(0), a.maybe_integer(4), a.flag(2), a.flag(3));
  }();
  if (!a.flag(2) && !a.flag(3)) return to_python(found.values);
  std::vector<Tensor> out{found.values};
  if (a.flag(2)) out.push_back(found.inverse);
  if (a.flag(3)) out.push_back(found.counts);
  return to_python(out);
}

constexpr Def kDefs[] = {
#define RUNNING(name, doc)                                                                      \
  def(                                                                                          \
      #name "(Tensor input, int dim, *, dtype? dtype=None, Tensor? out=None)", kBoth,           \
      [](Args& a) {                                                                             \
        return ops::write_out(#name, a.tensor(3),                                               \
                              ops::name(a.tensor(0), a.integer(1), a.dtype(2)));                \
      },                                                                                        \
      doc " along `dim`, each up to its position."),                                            \
      def(                                                                                      \
          #name "_(Tensor self, int dim, *, dtype? dtype=None)", kMethod,                       \
          [](Args& a) {                                                                         \
            ops::rewrite(#name "_", a.tensor(0), recording(a.tensor(0)), [&](const Tensor& x) { \
              return ops::name(x, a.integer(1), a.dtype(2).value_or(x.dtype()));                \
            });                                                                                 \
            return a.tensor(0);                                                                 \
          },                                                                                    \
          "In place: " doc " along `dim`, each up to its position.")
    RUNNING(cumsum, "The sums"),
    RUNNING(cumprod, "The products"),
#undef RUNNING
#define EXTREME(name, doc)                                                    \
  def(                                                                        \
      #name "(Tensor input, int dim) -> values_and_indices", kBoth,           \
      [](Args& a) { return Selected{ops::name(a.tensor(0), a.integer(1))}; }, \
      doc " elements along `dim`, each up to its position, and where they are.")
    EXTREME(cummax, "The largest"),
    EXTREME(cummin, "The smallest"),
#undef EXTREME
    def(
        "diff(Tensor input, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None)", kBoth,
        [](Args& a) {
          return ops::diff(a.tensor(0), a.integer(1), a.integer(2), a.tensor(3), a.tensor(4));
        },
        "Differences of neighbours along `dim`, `n` times over."),
    def(
        "sort(Tensor input, int dim=-1, bool descending=False, bool? stable=False) -> "
        "values_and_indices",
        kBoth, [](Args& a) { return Selected{ops::sort(a.tensor(0), a.integer(1), a.flag(2))}; },
        "The elements in order along `dim`, and where they were; NaN counts as the largest. Always "
        "stable."),
    def(
        "argsort(Tensor input, int dim=-1, bool descending=False, bool stable=False)", kBoth,
        [](Args& a) { return ops::argsort(a.tensor(0), a.integer(1), a.flag(2)); },
        "The indices that sort along `dim`; see sort."),
    def(
        "topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True) -> "
        "values_and_indices",
        kBoth,
        [](Args& a) {
          return Selected{ops::topk(a.tensor(0), a.integer(1), a.integer(2), a.flag(3))};
        },
        "The `k` largest (or smallest) elements along `dim`, in order, and where they are; of "
        "equal ones the first."),
    def(
        "median(Tensor input)\n"
        "median(Tensor input, int dim=-1, bool keepdim=False) -> values_and_indices",
        kBoth, [](Args& a) { return median(a); },
        "The lower median of everything; with `dim`, the pair (values, indices)."),
#define QUANTILE(q)           \
  "quantile(Tensor input, " q \
  " q, int? dim=None, bool keepdim=False, *, str interpolation='linear', Tensor? out=None)"
    def(
        QUANTILE("Tensor") "\n" QUANTILE("float"), kBoth, [](Args& a) { return quantile(a); },
        "The value below which a fraction `q` of the elements along `dim` lies; a 1-d `q` adds a "
        "dimension in front."),
#undef QUANTILE
    def(
        "unique(Tensor input, bool sorted=True, bool return_inverse=False, bool "
        "return_counts=False, int? dim=None) -> Any",
        kBoth, [](Args& a) { return unique(a); },
        "The different elements, or slices along `dim`, in ascending order; on request also where "
        "each element is among them, and how often each occurs."),
    def(
        "bincount(Tensor input, Tensor? weights=None, int minlength=0)", kBoth,
        [](Args& a) { return ops::bincount(a.tensor(0), a.tensor(1), a.integer(2)); },
        "How often each of 0, 1, 2, ... occurs, or the sums of its weights."),
};

}  // namespace

void bind_order() { bind<kDefs>(); }

}  // namespace lamina::bindings
