// Convolutions in one and two dimensions. Of images x, filters w and their correlation y each is
// linear in the other two, and each is an op: convolution (y), transposed convolution (x), and the
// gradient of the filters (w). The gradients of each are the other two, to any order.
#include "ops/common.h"

namespace lamina::ops {
namespace {

constexpr int64_t kLargest = 1 << 30;  // of strides and the like: sums of them stay numbers

struct Form {
  int spatial;
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
  int64_t groups = 1;
  const char* pick(const char* one, const char* two) const { return spatial == 1 ? one : two; }
};

// A tensor of the op as the device takes it, [N, C, H, W] or [K, C, R, S] in rows.
class Planes {
 public:
  Planes(const Tensor& t, int spatial) : tensor_(t.contiguous() ? t : contiguous(t)) {
    const int at = t.rank() - spatial - 1;  // of the channels
    sizes_ = {at > 0 ? t.size(0) : 1, t.size(at), spatial == 2 ? t.size(at + 1) : 1,
              t.size(t.rank() - 1)};
    strides_ = contiguous_strides(sizes_);
  }
  TensorRef ref() const { return {tensor_.data(), sizes_, strides_, tensor_.dtype()}; }

 private:
  Tensor tensor_;
  Dims sizes_, strides_;
};

template <auto Entry>
void run(const Form& form, const Tensor& x, const Tensor& w, const Tensor& y, const Tensor& bias,
         Activation act) {
  const GradMode off(false);
  const Planes px(x, form.spatial), pw(w, form.spatial), py(y, form.spatial);
  const Tensor adjacent = bias.defined() ? contiguous(bias) : bias;
  ConvArgs args{.x = px.ref(),
                .w = pw.ref(),
                .y = py.ref(),
                .bias = ref_or_none(adjacent),
                .stride = {form.stride[0], form.stride[1]},
                .padding = {form.padding[0], form.padding[1]},
                .dilation = {form.dilation[0], form.dilation[1]},
                .groups = form.groups,
                .act = act};
  call<Entry>(x.device(), form.pick("conv1d", "conv2d"), args);
}

// The three ops. The sizes of what they make are given.
Tensor y_of(const Form& form, const Tensor& x, const Tensor& w, const Tensor& bias,
            const Dims& sizes, Activation act = Activation::None);
Tensor x_of(const Form& form, const Tensor& y, const Tensor& w, const Tensor& bias,
            const Dims& sizes, Activation act = Activation::None);
// And the sums of y for each channel, where they are wanted.
Tensor w_of(const Form& form, const Tensor& x, const Tensor& y, const Dims& sizes,
            Tensor* sums = nullptr);

Tensor sums_of_channels(const Form& form, const Tensor& t) {
  const int channels = t.rank() - form.spatial - 1;
  std::vector<int64_t> dims;
  for (int i = 0; i < t.rank(); ++i)
    if (i != channels) dims.push_back(i);
  return sum(t, dims);
}

// y_of and x_of: `image` is what they take, and the op of the backward pass gives back.
template <auto Entry, bool kTransposed>
Tensor make_image(const Form& form, const Tensor& image, const Tensor& w, const Tensor& bias,
                  const Dims& sizes, Activation act) {
  const bool records = recording(image, w, bias);
  const bool keeps_input = records && needs_input(act);
  const char* const name = kTransposed ? form.pick("conv_transpose1d", "conv_transpose2d")
                                       : form.pick("conv1d", "conv2d");
  Tensor made = empty(sizes, image.dtype(), image.device());
  const Tensor before = keeps_input ? empty(sizes, image.dtype(), image.device()) : Tensor();
  const Tensor& first = keeps_input ? before : made;
  run<Entry>(form, kTransposed ? first : image, w, kTransposed ? image : first, bias,
             keeps_input ? Activation::None : act);
  if (keeps_input)
    call<&DeviceApi::unary>(image.device(), name, row_of(act), made, before, Params{});
  if (!records) return made;
  record(name, {made}, {image, w, bias},
         [form, image = keeps_input || requires_grad(w) ? Saved::input(image) : Saved(),
          w = keeps_input || requires_grad(image) ? Saved::input(w) : Saved(),
          bias = keeps_input && bias.defined() ? Saved::input(bias) : Saved(),
          kept = kept_for(act, before, made), act, sizes, image_sizes = image.sizes(),
          w_sizes = w.sizes()](Backward& b) {
           const Tensor image_ = b(image), w_ = b(w);
           const Tensor g = before_activation(b, act, kept, [&] {
             return make_image<Entry, kTransposed>(form, image_, w_, b(bias), sizes,
                                                   Activation::None);
           });
           if (b.needs(0))
             b.set(0, kTransposed ? y_of(form, g, w_, {}, image_sizes)
                                  : x_of(form, g, w_, {}, image_sizes));
           Tensor sums;
           // Those are of y, which is what a transposed convolution takes.
           const bool beside = !kTransposed && b.needs(2) && !grad_enabled();
           if (b.needs(1))
             b.set(1, kTransposed ? w_of(form, g, image_, w_sizes)
                                  : w_of(form, image_, g, w_sizes, beside ? &sums : nullptr));
           if (b.needs(2)) b.set(2, sums.defined() ? sums : sums_of_channels(form, g));
         });
  return made;
}

Tensor y_of(const Form& form, const Tensor& x, const Tensor& w, const Tensor& bias,
            const Dims& sizes, Activation act) {
  return make_image<&DeviceApi::conv, false>(form, x, w, bias, sizes, act);
}

Tensor x_of(const Form& form, const Tensor& y, const Tensor& w, const Tensor& bias,
            const Dims& sizes, Activation act) {
  return make_image<&DeviceApi::conv_input, true>(form, y, w, bias, sizes, act);
}

Tensor w_of(const Form& form, const Tensor& x, const Tensor& y, const Dims& sizes, Tensor* sums) {
  Tensor w = empty(sizes, x.dtype(), x.device());
  if (sums != nullptr) *sums = empty(Dims{sizes[0]}, x.dtype(), x.device());
  run<&DeviceApi::conv_weight>(form, x, w, y, sums != nullptr ? *sums : Tensor(), Activation::None);
  if (!recording(x, y)) return w;
  record(form.pick("conv1d_weight", "conv2d_weight"), {w}, {x, y},
         [form, x = requires_grad(y) ? Saved::input(x) : Saved(),
          y = requires_grad(x) ? Saved::input(y) : Saved(), x_sizes = x.sizes(),
          y_sizes = y.sizes()](Backward& b) {
           const Tensor g = b.grad();
           if (b.needs(0)) b.set(0, x_of(form, b(y), g, {}, x_sizes));
           if (b.needs(1)) b.set(1, y_of(form, b(x), g, {}, y_sizes));
         });
  return w;
}

// --- what arrives ---

void expand(const char* op, const char* what, const Form& form, IntList given, int64_t least,
            int64_t* to) {
  if (given.empty()) return;  // left out: as it is
  const auto spatial = static_cast<size_t>(form.spatial);
  check<ValueError>(given.size() == 1 || given.size() == spatial, op, ": ", what, " must be ",
                    form.pick("one number", "one number or two"), ", got ", given);
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t v = given[given.size() == 1 ? 0 : i];
    check<ValueError>(v >= least && v <= kLargest, op, ": ", what, " must be at least ", least,
                      " and at most ", kLargest, ", got ", given);
    to[2 - spatial + i] = v;
  }
}

Form form_of(const char* op, const Window& window, IntList padding) {
  Form form{.spatial = window.spatial};
  expand(op, "stride", form, window.stride, 1, form.stride);
  expand(op, "padding", form, padding, 0, form.padding);
  expand(op, "dilation", form, window.dilation, 1, form.dilation);
  check<ValueError>(window.groups >= 1, op, ": groups must be at least 1, got ", window.groups);
  form.groups = window.groups;
  return form;
}

// `channels`: of the weight's dimension that groups divide.
void check_images(const char* op, const Form& form, const Tensor& x, const Tensor& w,
                  const Tensor& bias, int64_t channels) {
  check_operands(op, x, w);
  const int rank = form.spatial + 2;
  check<ValueError>(w.rank() == rank, op, ": the weight must have ", rank, " dimensions",
                    line("weight", w));
  for (int i = 2; i < rank; ++i)
    check<ValueError>(w.size(i) >= 1, op, ": the kernel must not be empty", line("weight", w));
  check<ValueError>(x.rank() == rank || x.rank() == rank - 1, op, ": the input must be ",
                    form.pick("[N, C, L] or [C, L]", "[N, C, H, W] or [C, H, W]"),
                    line("input", x));
  check<ValueError>(w.size(0) % form.groups == 0, op, ": groups = ", form.groups,
                    " must divide the first dimension of the weight", line("weight", w));
  if (!bias.defined()) return;
  check<ValueError>(bias.rank() == 1 && bias.size(0) == channels, op, ": weight gives ", channels,
                    " channels but bias has sizes ", bias.sizes(), line("weight", w),
                    line("bias", bias));
  check_operands(op, x, bias);
}

// `behind`: padding after the last row and column, where it is not that before the first.
Tensor convolve(const char* op, const Form& form, const Tensor& x, const Tensor& w,
                const Tensor& bias, const int64_t* behind, Activation act) {
  check_images(op, form, x, w, bias, w.rank() > 0 ? w.size(0) : 0);
  const int at = x.rank() - form.spatial - 1;
  check<ValueError>(x.size(at) == w.size(1) * form.groups, op, ": input has ", x.size(at),
                    " channels but weight expects ", w.size(1) * form.groups, line("input", x),
                    line("weight", w), line("groups", form.groups));
  Dims sizes = x.sizes();
  sizes[at] = w.size(0);
  for (int i = 0; i < form.spatial; ++i) {
    const int dim = 2 - form.spatial + i;
    const int64_t padded = x.size(at + 1 + i) + form.padding[dim] + behind[dim];
    const int64_t reach = form.dilation[dim] * (w.size(2 + i) - 1) + 1;
    check<ValueError>(reach <= padded, op, ": the kernel reaches over ", reach,
                      " positions, but the padded input has ", padded, line("input", x),
                      line("weight", w));
    sizes[at + 1 + i] = (padded - reach) / form.stride[dim] + 1;
  }
  return y_of(form, x, w, bias, sizes, act);
}

}  // namespace

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
            IntList padding, Activation act) {
  const char* const op = window.spatial == 1 ? "conv1d" : "conv2d";
  const Form form = form_of(op, window, padding);
  return convolve(op, form, x, weight, bias, form.padding, act);
}

Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
            std::string_view padding, Activation act) {
  const char* const op = window.spatial == 1 ? "conv1d" : "conv2d";
  constexpr int64_t kNone = 0;
  Form form = form_of(op, window, std::span(&kNone, 1));
  int64_t behind[2] = {0, 0};
  check<ValueError>(padding == "valid" || padding == "same", op,
                    ": padding must be numbers, 'valid' or 'same', got '", padding, "'");
  if (padding == "same") {
    check<ValueError>(form.stride[0] == 1 && form.stride[1] == 1, op,
                      ": padding 'same' needs a stride of 1, got ", window.stride);
    for (int i = 0; i < form.spatial && i + 2 < weight.rank(); ++i) {
      const int dim = 2 - form.spatial + i;
      const int64_t total = form.dilation[dim] * std::max<int64_t>(weight.size(2 + i) - 1, 0);
      form.padding[dim] = total / 2;
      behind[dim] = total - total / 2;
    }
  }
  return convolve(op, form, x, weight, bias, behind, act);
}

Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const Window& window, IntList padding, IntList output_padding,
                      Activation act) {
  const char* const op = window.spatial == 1 ? "conv_transpose1d" : "conv_transpose2d";
  const Form form = form_of(op, window, padding);
  int64_t extra[2] = {0, 0};
  expand(op, "output_padding", form, output_padding, 0, extra);
  const int64_t channels = weight.rank() > 1 ? weight.size(1) * form.groups : 0;
  check_images(op, form, x, weight, bias, channels);
  const int at = x.rank() - form.spatial - 1;
  check<ValueError>(x.size(at) == weight.size(0), op, ": input has ", x.size(at),
                    " channels but weight expects ", weight.size(0), line("input", x),
                    line("weight", weight));
  Dims sizes = x.sizes();
  sizes[at] = channels;
  for (int i = 0; i < form.spatial; ++i) {
    const int dim = 2 - form.spatial + i;
    check<ValueError>(extra[dim] < std::max(form.stride[dim], form.dilation[dim]), op,
                      ": output_padding must be smaller than stride or dilation, got ",
                      output_padding);
    const int64_t in = x.size(at + 1 + i);
    check<ValueError>(in >= 1 && in <= kLargest, op, ": the input must not be empty",
                      line("input", x));
    const int64_t out = (in - 1) * form.stride[dim] - 2 * form.padding[dim] +
                        form.dilation[dim] * (weight.size(2 + i) - 1) + extra[dim] + 1;
    check<ValueError>(out >= 1, op, ": padding leaves nothing of the result: its size would be ",
                      out, line("input", x), line("weight", weight));
    sizes[at + 1 + i] = out;
  }
  return x_of(form, x, weight, bias, sizes, act);
}

}  // namespace lamina::ops
