// repr(tensor), laid out as PyTorch does.

#include <cmath>
#include <cstdio>
#include <cstring>

#include "autograd/autograd.h"
#include "bindings/convert.h"
#include "bindings/python_tensor.h"
#include "bindings/repr.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

constexpr const char* kPrefix = "tensor(";

std::string printed(const char* format, int precision, double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char buffer[400];  // "%.64f" of the largest double has 374 characters
  const int n = std::snprintf(buffer, sizeof buffer, format, precision, v);
  return std::string(buffer, static_cast<size_t>(n));
}

class Printer {
 public:
  explicit Printer(const Tensor& t)
      : t_(t), summarise_(static_cast<double>(t.numel()) > options_.threshold) {
    if (is_floating(t.dtype())) choose_format();
    for_each(0, t.offset(), [this](int64_t at) {
      // Zeros and what is not finite do not widen the column.
      if (is_floating(t_.dtype()) && (value(at) == 0 || !std::isfinite(value(at)))) return;
      width_ = std::max(width_, static_cast<int>(element(at).size()));
    });
  }

  std::string text(int indent) const { return part(0, t_.offset(), indent); }

 private:
  // Calls f for every element that is shown.
  template <class F>
  void for_each(int dim, int64_t at, F&& f) const {
    if (dim == t_.rank()) return f(at);
    const int64_t n = t_.size(dim);
    for (int64_t i = 0; i < n; ++i) {
      if (skips(n) && i == edge_) i = n - edge_;
      if (i < n) for_each(dim + 1, at + i * t_.stride(dim), f);
    }
  }
  bool skips(int64_t n) const { return summarise_ && n > 2 * edge_; }

  double value(int64_t at) const {
    const void* base = t_.storage().data();
    return t_.dtype() == DType::Float64 ? static_cast<const double*>(base)[at]
                                        : double{static_cast<const float*>(base)[at]};
  }

  // The range of the finite values decides between 1., 1.0000 and 1.0000e+00.
  void choose_format() {
    bool any = false, whole = true;
    double low = 0, high = 0;
    for_each(0, t_.offset(), [&](int64_t i) {
      const double v = value(i);
      if (!std::isfinite(v) || v == 0) return;
      low = any ? std::min(low, std::abs(v)) : std::abs(v);
      high = any ? std::max(high, std::abs(v)) : std::abs(v);
      any = true;
      whole = whole && v == std::ceil(v);
    });
    const bool wide = any && (high / low > 1000 || high > 1e8 || low < 1e-4);
    if (any && options_.scientific.value_or(wide))
      format_ = "%.*e";
    else if (whole)
      precision_ = 0, format_ = "%.*f.";
  }

  std::string element(int64_t at) const {
    const void* base = t_.storage().data();
    switch (t_.dtype()) {
      case DType::Bool: return static_cast<const uint8_t*>(base)[at] ? "True" : "False";
      case DType::UInt8: return std::to_string(static_cast<const uint8_t*>(base)[at]);
      case DType::Int32: return std::to_string(static_cast<const int32_t*>(base)[at]);
      case DType::Int64: return std::to_string(static_cast<const int64_t*>(base)[at]);
      default: return printed(format_, precision_, value(at));
    }
  }
  std::string padded(int64_t at) const {
    const std::string out = element(at);
    const auto width = static_cast<size_t>(width_);
    return std::string(width - std::min(width, out.size()), ' ') + out;
  }

  std::string row(int64_t at, int indent) const {
    const int64_t n = t_.sizes().back();
    const int64_t stride = t_.strides().back();
    const int per_line = std::max(1, (options_.line_width - indent) / (width_ + 2));
    std::string out = "[";
    int column = 0;
    for (int64_t i = 0; i < n; ++i) {
      const bool gap = skips(n) && i == edge_;
      if (i > 0)
        out += column == 0 ? ",\n" + std::string(static_cast<size_t>(indent) + 1, ' ') : ", ";
      if (gap) {
        out += edge_ > 0 ? " ..." : "...";
        i = n - edge_ - 1;
      } else {
        out += padded(at + i * stride);
      }
      column = (column + 1) % per_line;
    }
    return out + "]";
  }

  std::string part(int dim, int64_t at, int indent) const {
    const int left = t_.rank() - dim;
    if (left == 0) return element(at);
    if (left == 1) return row(at, indent);
    const std::string pause = "," + std::string(static_cast<size_t>(left) - 1, '\n') +
                              std::string(static_cast<size_t>(indent) + 1, ' ');
    const int64_t n = t_.size(dim);
    std::string out = "[";
    for (int64_t i = 0; i < n; ++i) {
      if (i > 0) out += pause;
      if (skips(n) && i == edge_) {
        out += "...";
        i = n - edge_;
        if (i == n) break;
        out += pause;
      }
      out += part(dim + 1, at + i * t_.stride(dim), indent + 1);
    }
    return out + "]";
  }

  const Tensor& t_;
  const PrintOptions& options_ = print_options();
  const int64_t edge_ = options_.edge_items;
  bool summarise_;
  const char* format_ = "%.*f";
  int precision_ = options_.precision;
  int width_ = 1;
};

std::string repr(const Tensor& t) {
  const Tensor host = on_host(t);
  std::vector<std::string> suffixes;
  const DType usual = is_floating(t.dtype())     ? ops::default_dtype()
                      : t.dtype() == DType::Bool ? DType::Bool
                                                 : DType::Int64;
  const auto show_sizes = [&] {
    std::string sizes = text::concat(t.sizes());
    sizes.front() = '(';
    sizes.back() = ')';
    if (t.rank() == 1) sizes.insert(sizes.size() - 1, ",");
    suffixes.push_back("size=" + sizes);
  };
  // Without elements nothing else tells the sizes, or an int64 from a float.
  const bool empty = t.numel() == 0;
  if (empty ? t.rank() != 1 : print_options().edge_items == 0) show_sizes();
  if (t.dtype() != (empty ? ops::default_dtype() : usual))
    suffixes.push_back(text::concat("dtype=lamina.", t.dtype()));
  const std::string body =
      empty ? "[]" : Printer(host).text(static_cast<int>(std::strlen(kPrefix)));
  if (!t.device().is_cpu())
    suffixes.insert(suffixes.begin(), text::concat("device='", t.device(), "'"));
  if (const Ptr<Node> node = grad_fn(t))
    suffixes.push_back(text::concat("grad_fn=<", node->name(), ">"));
  else if (requires_grad(t))
    suffixes.push_back("requires_grad=True");

  std::string out = kPrefix + body;
  // As PyTorch counts: the line, and two more.
  size_t last_line = out.size() + 2 - (out.rfind('\n') + 1);  // npos + 1 is 0
  for (const std::string& suffix : suffixes) {
    if (last_line + suffix.size() + 2 > static_cast<size_t>(print_options().line_width)) {
      out += ",\n       " + suffix;
      last_line = 7 + suffix.size();
    } else {
      out += ", " + suffix;
      last_line += suffix.size() + 2;
    }
  }
  return out + ")";
}

}  // namespace

PrintOptions& print_options() {
  static PrintOptions options;
  return options;
}

PyObject* tensor_repr(PyObject* self) {
  return guarded([&] { return PyUnicode_FromString(repr(tensor_of(self)).c_str()); });
}

}  // namespace lamina::bindings
