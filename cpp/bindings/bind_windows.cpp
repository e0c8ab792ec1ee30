// Pooling, padding, interpolation, and windows as columns.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// The maxima, and where they are if argument `flag` asks for it.
template <class F>
PyObject* with_indices(Args& a, int flag, F f) {
  std::pair<Tensor, Tensor> found = [&] {
    const MaybeRelease gil(a.work());
    return f(a.flag(flag));
  }();
  return a.flag(flag) ? to_python(std::move(found)) : to_python(std::move(found.first));
}

std::optional<double> scale(const Args& a, int i) {
  return a.has(i) ? std::optional(a.real(i)) : std::nullopt;
}

constexpr Def kDefs[] = {
#define MAX_POOL(rank, doc)                                                                       \
  def(                                                                                            \
      "max_pool" #rank                                                                            \
      "d(Tensor input, int[] kernel_size, int[]? stride=None, int[] padding=0, int[] "            \
      "dilation=1, bool ceil_mode=False, bool return_indices=False) -> Any",                      \
      kFunction,                                                                                  \
      [](Args& a) {                                                                               \
        return with_indices(a, 6, [&](bool indices) {                                             \
          return ops::max_pool(rank, a.tensor(0),                                                 \
                               {a.ints(1), a.ints(2), a.ints(3), a.ints(4), a.flag(5)}, indices); \
        });                                                                                       \
      },                                                                                          \
      "The largest element of each window of " doc "; on request also where it is.")
    MAX_POOL(1, "[C, L] or [N, C, L]"),
    MAX_POOL(2, "[C, H, W] or [N, C, H, W]"),
#undef MAX_POOL
    def(
        "avg_pool1d(Tensor input, int[] kernel_size, int[]? stride=None, int[] padding=0, bool "
        "ceil_mode=False, bool count_include_pad=True)",
        kFunction,
        [](Args& a) {
          return ops::avg_pool(1, a.tensor(0), {a.ints(1), a.ints(2), a.ints(3), {}, a.flag(4)},
                               a.flag(5));
        },
        "The mean of each window of [C, L] or [N, C, L]."),
    def(
        "avg_pool2d(Tensor input, int[] kernel_size, int[]? stride=None, int[] padding=0, bool "
        "ceil_mode=False, bool count_include_pad=True, int? divisor_override=None)",
        kFunction,
        [](Args& a) {
          return ops::avg_pool(2, a.tensor(0), {a.ints(1), a.ints(2), a.ints(3), {}, a.flag(4)},
                               a.flag(5), a.maybe_integer(6));
        },
        "The mean of each window of [C, H, W] or [N, C, H, W]."),
#define ADAPTIVE(rank, input)                                                       \
  def(                                                                              \
      "adaptive_avg_pool" #rank "d(Tensor input, int[] output_size)", kFunction,    \
      [](Args& a) { return ops::adaptive_avg_pool(rank, a.tensor(0), a.ints(1)); }, \
      "Means of windows that cut " input " evenly into `output_size`."),            \
      def(                                                                          \
          "adaptive_max_pool" #rank                                                 \
          "d(Tensor input, int[] output_size, bool return_indices=False) -> Any",   \
          kFunction,                                                                \
          [](Args& a) {                                                             \
            return with_indices(a, 2, [&](bool indices) {                           \
              return ops::adaptive_max_pool(rank, a.tensor(0), a.ints(1), indices); \
            });                                                                     \
          },                                                                        \
          "The largest elements of windows that cut " input                         \
          " evenly into `output_size`; on "                                         \
          "request also where they are.")
    ADAPTIVE(1, "[C, L] or [N, C, L]"),
    ADAPTIVE(2, "[C, H, W] or [N, C, H, W]"),
#undef ADAPTIVE
    def(
        "max_unpool2d(Tensor input, Tensor indices, int[] kernel_size, int[]? stride=None, int[] "
        "padding=0, int[]? output_size=None)",
        kFunction,
        [](Args& a) {
          return ops::max_unpool2d(a.tensor(0), a.tensor(1), {a.ints(2), a.ints(3), a.ints(4), {}},
                                   a.ints(5));
        },
        "What max_pool2d took, back at its places among zeros."),
    def(
        "pad(Tensor input, int[] pad, str mode='constant', number? value=None)", kFunction,
        [](Args& a) {
          return ops::pad(a.tensor(0), a.ints(1), a.text(2), a.has(3) ? a.number(3) : Scalar(0));
        },
        "More elements (fewer, for negative numbers) before and after the last dimension, then the "
        "one before it, and so on: 'constant', 'reflect', 'replicate' or 'circular'."),
    def(
        "interpolate(Tensor input, int[] size, float? scale_rows=None, float? scale_columns=None, "
        "str mode='nearest', bool align_corners=False)",
        kFunction,
        [](Args& a) {
          const std::optional<double> scales[] = {scale(a, 2), scale(a, 3)};
          return ops::interpolate(a.tensor(0), a.ints(1),
                                  std::span(scales).last(a.tensor(0).rank() == 3 ? 1 : 2),
                                  a.text(4), a.flag(5));
        },
        "Other sizes for [N, C, L] or [N, C, H, W]: 'nearest', 'linear' or 'bilinear'."),
    def(
        "pixel_shuffle(Tensor input, int upscale_factor)", kFunction,
        [](Args& a) { return ops::pixel_shuffle(a.tensor(0), a.integer(1)); },
        "[..., C f f, H, W] as [..., C, H f, W f]."),
    def(
        "pixel_unshuffle(Tensor input, int downscale_factor)", kFunction,
        [](Args& a) { return ops::pixel_unshuffle(a.tensor(0), a.integer(1)); },
        "[..., C, H f, W f] as [..., C f f, H, W]."),
    def(
        "im2col(Tensor input, int[] kernel_size, int[] dilation=1, int[] padding=0, int[] "
        "stride=1)",
        kFunction | kInner,
        [](Args& a) {
          return ops::im2col(a.tensor(0), {a.ints(1), a.ints(4), a.ints(3), a.ints(2)});
        },
        "The windows of [C, H, W] or [N, C, H, W] as columns: [.., C * kernel, windows]."),
    def(
        "col2im(Tensor input, int[] output_size, int[] kernel_size, int[] dilation=1, int[] "
        "padding=0, int[] stride=1)",
        kFunction | kInner,
        [](Args& a) {
          return ops::col2im(a.tensor(0), a.ints(1), {a.ints(2), a.ints(5), a.ints(4), a.ints(3)});
        },
        "Columns added up where im2col took them: [.., C, H, W]."),
};

}  // namespace

void bind_windows() { bind<kDefs>(); }

}  // namespace lamina::bindings
