// Convolutions.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "bindings/words.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// Of the second overload padding is a word.
template <int kSpatial>
Tensor conv(Args& a, Activation act = Activation::None) {
  const ops::Window window{kSpatial, a.ints(3), a.ints(5), a.integer(6)};
  if (a.overload() == 1)
    return ops::conv(a.tensor(0), a.tensor(1), a.tensor(2), window, std::string_view(a.text(4)),
                     act);
  return ops::conv(a.tensor(0), a.tensor(1), a.tensor(2), window, a.ints(4), act);
}

template <int kSpatial>
Tensor conv_transpose(Args& a) {
  const ops::Window window{kSpatial, a.ints(3), a.ints(7), a.integer(6)};
  return ops::conv_transpose(a.tensor(0), a.tensor(1), a.tensor(2), window, a.ints(4), a.ints(5));
}

#define CONV(name, spatial)                                                                     \
  def(                                                                                          \
      name                                                                                      \
      "(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, "      \
      "int[] dilation=1, int groups=1)\n" name                                                  \
      "(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, "                       \
      "str padding='valid', int[] dilation=1, int groups=1)",                                   \
      kFunction | kProduct, [](Args& a) { return conv<spatial>(a); },                           \
      "Correlation of images [N, C, ...] with filters [K, C/groups, ...]; padding is numbers, " \
      "'valid' or 'same'.")
#define CONV_TRANSPOSE(name, spatial)                                                         \
  def(                                                                                        \
      name                                                                                    \
      "(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, "    \
      "int[] output_padding=0, int groups=1, int[] dilation=1)",                              \
      kFunction | kProduct, [](Args& a) { return conv_transpose<spatial>(a); },               \
      "What the gradient of a convolution does to its input: images [N, C, ...] and filters " \
      "[C, K/groups, ...] give [N, K, ...].")

#define CONV_ACT(padding)                                                      \
  "conv_act(Tensor input, Tensor weight, Tensor? bias, int[] stride, " padding \
  ", int[] dilation, "                                                         \
  "int groups, str activation)"

constexpr Def kDefs[] = {
    def(
        CONV_ACT("int[] padding") "\n" CONV_ACT("str padding"), kFunction | kProduct | kInner,
        [](Args& a) {
          const Activation act = activation("conv_act", a, 7);
          return a.tensor(1).rank() == 3 ? conv<1>(a, act) : conv<2>(a, act);
        },
        "A convolution, its dimensions those of the filters, and an activation ('none', 'relu', "
        "'tanh', 'sigmoid' or 'gelu') as one op."),
    CONV("conv1d", 1),
    CONV("conv2d", 2),
    CONV_TRANSPOSE("conv_transpose1d", 1),
    CONV_TRANSPOSE("conv_transpose2d", 2),
};

}  // namespace

void bind_conv() { bind<kDefs>(); }

}  // namespace lamina::bindings
