// Reading and writing at positions along one dimension.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

ScatterOp scatter_op(const char* op, Args& a) {
  if (!a.has(4)) return ScatterOp::Write;
  const std::string_view name = a.text(4);
  check<ValueError>(name == "add" || name == "multiply", op,
                    ": reduce must be 'add' or 'multiply', got '", name, "'");
  return name == "add" ? ScatterOp::Add : ScatterOp::Multiply;
}

#define SCATTER_FORMS(name, self)                                                          \
  name "(Tensor " self ", int dim, Tensor index, operand src, *, str? reduce=None)\n" name \
       "(Tensor " self ", int dim, Tensor index, operand value, *, str? reduce=None)"

constexpr Def kDefs[] = {
    def(
        "gather(Tensor input, int dim, Tensor index, *, bool sparse_grad=False, Tensor? out=None)",
        kBoth,
        [](Args& a) {
          return ops::write_out("gather", a.tensor(4),
                                ops::gather(a.tensor(0), a.integer(1), a.tensor(2)));
        },
        "out[i][j] = input[index[i][j]][j] for dim 0, and so on."),
    def(
        "take_along_dim(Tensor input, Tensor indices, int? dim=None)", kBoth,
        [](Args& a) { return ops::take_along_dim(a.tensor(0), a.tensor(1), a.maybe_integer(2)); },
        "gather with broadcasting: what argmax or argsort along `dim` point to."),
    def(
        "take(Tensor input, Tensor index)", kBoth,
        [](Args& a) { return ops::take(a.tensor(0), a.tensor(1)); },
        "The elements at positions in the flattened input."),
    def(
        SCATTER_FORMS("scatter", "input"), kBoth,
        [](Args& a) {
          return ops::scatter(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3),
                              scatter_op("scatter", a));
        },
        "A copy in which out[index[i][j]][j] = src[i][j] for dim 0, and so on; `reduce` may be "
        "'add' or 'multiply'."),
    def(
        SCATTER_FORMS("scatter_", "self"), kMethod,
        [](Args& a) {
          ops::scatter_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3),
                        scatter_op("scatter_", a));
          return a.tensor(0);
        },
        "In place: self[index[i][j]][j] = src[i][j] for dim 0, and so on."),
    def(
        "scatter_add(Tensor input, int dim, Tensor index, Tensor src)", kBoth,
        [](Args& a) {
          return ops::scatter(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), ScatterOp::Add);
        },
        "A copy in which out[index[i][j]][j] += src[i][j] for dim 0, and so on."),
    def(
        "scatter_add_(Tensor self, int dim, Tensor index, Tensor src)", kMethod,
        [](Args& a) {
          ops::scatter_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), ScatterOp::Add);
          return a.tensor(0);
        },
        "In place: self[index[i][j]][j] += src[i][j] for dim 0, and so on."),
    def(
        "index_add(Tensor input, int dim, Tensor index, Tensor source, *, number alpha=1)", kBoth,
        [](Args& a) {
          return ops::index_add(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.number(4));
        },
        "A copy with alpha * source added to the slices `index` along `dim`."),
    def(
        "index_add_(Tensor self, int dim, Tensor index, Tensor source, *, number alpha=1)", kMethod,
        [](Args& a) {
          ops::index_add_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.number(4));
          return a.tensor(0);
        },
        "In place: add alpha * source to the slices `index` along `dim`."),
#define SLICES(name, type, argument, doc)                                                     \
  def(                                                                                        \
      #name "(Tensor input, int dim, Tensor index, " type " " argument ")", kBoth,            \
      [](Args& a) { return ops::name(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3)); }, \
      "A copy with " doc),                                                                    \
      def(                                                                                    \
          #name "_(Tensor self, int dim, Tensor index, " type " " argument ")", kMethod,      \
          [](Args& a) {                                                                       \
            ops::name##_(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3));                \
            return a.tensor(0);                                                               \
          },                                                                                  \
          "In place: " doc)
    SLICES(index_copy, "Tensor", "source", "the slices `index` along `dim` taken from `source`."),
    SLICES(index_fill, "operand", "value", "`value` in the slices `index` along `dim`."),
#undef SLICES
};

}  // namespace

void bind_scatter() { bind<kDefs>(); }

}  // namespace lamina::bindings
