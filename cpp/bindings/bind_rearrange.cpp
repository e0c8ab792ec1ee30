// What takes tensors apart, lays them side by side, or puts them in another order.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr unsigned kBoth = kFunction | kMethod;

bool is_swapped(const char* indexing) {
  const std::string_view name = indexing;
  check<ValueError>(name == "ij" || name == "xy", "meshgrid: indexing must be 'ij' or 'xy', got '",
                    indexing, "'");
  return name == "xy";
}

// The counts as a tensor or as one int, with the length of the result for who knows it.
Tensor repeat_interleave(Args& a) {
  const bool alone = a.overload() == 2;
  const int known = alone ? 1 : 3;
  const auto dim = alone ? std::nullopt : a.maybe_integer(2);
  const Tensor out = alone               ? ops::repeat_interleave(a.tensor(0))
                     : a.overload() == 0 ? ops::repeat_interleave(a.tensor(0), a.integer(1), dim)
                                         : ops::repeat_interleave(a.tensor(0), a.tensor(1), dim);
  if (a.has(known)) {
    const int d = dim ? wrap_dim("repeat_interleave", *dim, out.rank()) : 0;
    check<ValueError>(out.size(d) == a.integer(known), "repeat_interleave: output_size is ",
                      a.integer(known), " but the result has ", out.size(d),
                      " elements along dimension ", d);
  }
  return out;
}

// As a function with a tuple, as a method with loose ints too.
#define WITH_INTS(name, argument, op, doc)                           \
  def(                                                               \
      name "(Tensor input, int[] " argument ")", kFunction,          \
      [](Args& a) { return ops::op(a.tensor(0), a.ints(1)); }, doc), \
      def(                                                           \
          name "(Tensor self, *int[] " argument ")", kMethod,        \
          [](Args& a) { return ops::op(a.tensor(0), a.ints(1)); }, doc)

constexpr Def kDefs[] = {
    def(
        "unflatten(Tensor input, int dim, int[] sizes)", kBoth,
        [](Args& a) { return ops::unflatten(a.tensor(0), a.integer(1), a.ints(2)); },
        "A view with one dimension made several; one of the sizes may be -1."),
#define MOVE(name)                                                             \
  def(                                                                         \
      name "(Tensor input, int[] source, int[] destination)", kBoth,           \
      [](Args& a) { return ops::movedim(a.tensor(0), a.ints(1), a.ints(2)); }, \
      "A view with dimensions moved to other places; the rest keep their order.")
    MOVE("movedim"),
    MOVE("moveaxis"),
#undef MOVE
    def(
        "unfold(Tensor self, int dimension, int size, int step)", kMethod,
        [](Args& a) { return ops::unfold(a.tensor(0), a.integer(1), a.integer(2), a.integer(3)); },
        "A view of all windows of `size` positions along a dimension, `step` apart, as a last "
        "dimension."),
    def(
        "broadcast_tensors(*Tensor[] tensors) -> tuple[Tensor, ...]", kFunction,
        [](Args& a) { return ops::broadcast_tensors(a.tensors(0)); },
        "Views of the tensors with the sizes that they broadcast to."),
    def(
        "meshgrid(*Tensor[] tensors, *, str indexing='ij') -> tuple[Tensor, ...]", kFunction,
        [](Args& a) { return ops::meshgrid(a.tensors(0), is_swapped(a.text(1))); },
        "Views that hold the coordinates of a grid, one tensor an axis; 'xy' swaps the first two."),
    def(
        "split_with_sizes(Tensor input, int[] split_sizes, int dim=0) -> tuple[Tensor, ...]", kBoth,
        [](Args& a) { return ops::split(a.tensor(0), a.ints(1), a.integer(2)); },
        "Views of successive parts along `dim`, of the sizes given."),
    WITH_INTS("tile", "dims", tile,
              "Copies of the tensor, side by side along each dimension; missing counts are 1."),
    def(
        "repeat_interleave(Tensor input, int repeats, int? dim=None, *, int? output_size=None)\n"
        "repeat_interleave(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None)\n"
        "repeat_interleave(Tensor repeats, *, int? output_size=None)",
        kBoth, [](Args& a) { return repeat_interleave(a); },
        "Each element along `dim` so many times; with counts alone, the positions that gives."),
#define JOIN(name, doc) \
  def(#name "(Tensor[] tensors)", kFunction, [](Args& a) { return ops::name(a.tensors(0)); }, doc)
    JOIN(hstack, "The tensors side by side: along dimension 1, or 0 for vectors."),
    JOIN(vstack, "The tensors one below the other, vectors as rows."),
    JOIN(dstack, "The tensors one behind the other, along dimension 2."),
    JOIN(column_stack, "The tensors side by side, vectors as columns."),
#undef JOIN
    WITH_INTS("flip", "dims", flip, "The elements along `dims` in reverse order, as a copy."),
    def(
        "fliplr(Tensor input)", kBoth,
        [](Args& a) {
          check<ValueError>(a.tensor(0).rank() >= 2, "fliplr: needs at least two dimensions",
                            line("input", a.tensor(0)));
          return ops::flip(a.tensor(0), Dims{1});
        },
        "The columns in reverse order."),
    def(
        "flipud(Tensor input)", kBoth,
        [](Args& a) {
          check<ValueError>(a.tensor(0).rank() >= 1, "flipud: needs at least one dimension",
                            line("input", a.tensor(0)));
          return ops::flip(a.tensor(0), Dims{0});
        },
        "The rows in reverse order."),
    def(
        "roll(Tensor input, int[] shifts, int[]? dims=None)", kBoth,
        [](Args& a) { return ops::roll(a.tensor(0), a.ints(1), a.ints(2)); },
        "The elements moved along `dims`, those past the end to the start; without `dims`, of the "
        "flattened tensor."),
    def(
        "diag(Tensor input, int diagonal=0)", kBoth,
        [](Args& a) { return ops::diag(a.tensor(0), a.integer(1)); },
        "The matrix with a vector on its diagonal, or a copy of a matrix's diagonal."),
    def(
        "diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1)", kBoth,
        [](Args& a) {
          return ops::diag_embed(a.tensor(0), a.integer(1), a.integer(2), a.integer(3));
        },
        "Matrices with the last dimension on their diagonals."),
#define TRIANGLE(name, doc)                                                              \
  def(                                                                                   \
      #name "(Tensor input, int diagonal=0, *, Tensor? out=None)", kBoth,                \
      [](Args& a) {                                                                      \
        return ops::write_out(#name, a.tensor(2), ops::name(a.tensor(0), a.integer(1))); \
      },                                                                                 \
      doc),                                                                              \
      def(                                                                               \
          #name "_(Tensor self, int diagonal=0)", kMethod,                               \
          [](Args& a) {                                                                  \
            ops::name##_(a.tensor(0), a.integer(1));                                     \
            return a.tensor(0);                                                          \
          },                                                                             \
          "In place: " doc)
    TRIANGLE(tril, "The matrix on and below its diagonal, zeros above."),
    TRIANGLE(triu, "The matrix on and above its diagonal, zeros below."),
#undef TRIANGLE
};

#undef WITH_INTS

}  // namespace

void bind_rearrange() { bind<kDefs>(); }

}  // namespace lamina::bindings
