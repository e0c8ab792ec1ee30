// Softmax, log-softmax and cross-entropy: rows, or blocks of columns, dealt to threads.
#include <algorithm>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kTaskElements = 8192;
constexpr int64_t kColumns = 64;  // of one task, where the softmax runs down columns

// rows(first, count) for softmaxes over adjacent elements, columns(offset, width) for the others.
template <class Rows, class Columns>
void for_lines(std::span<const int64_t> sizes, Rows rows, Columns columns) {
  const int64_t outer = sizes[0], n = sizes[1], inner = sizes[2];
  if (outer == 0 || n == 0 || inner == 0) return;
  if (inner == 1) {
    parallel_for(outer, std::max<int64_t>(1, kTaskElements / n),
                 [&](int64_t begin, int64_t end) { rows(begin, end - begin); });
    return;
  }
  const int64_t blocks = ceil_div(inner, kColumns);
  const int64_t block_elements = n * std::min(inner, kColumns);
  parallel_for(outer * blocks, std::max<int64_t>(1, kTaskElements / block_elements),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t from = i % blocks * kColumns;
                   columns(i / blocks * n * inner + from, std::min(kColumns, inner - from));
                 }
               });
}

template <class T>
void run_softmax(const SoftmaxArgs& args) {
  const SoftmaxMicro<T>& m = micro().of<T>().softmax;
  const int64_t n = args.x.sizes[1], inner = args.x.sizes[2];
  T* const y = args.y.as<T>();
  const T* const x = args.x.as<T>();
  for_lines(
      args.x.sizes,
      [&](int64_t first, int64_t count) {
        m.softmax(count, n, y + first * n, x + first * n, args.log);
      },
      [&](int64_t at, int64_t width) {
        m.softmax_columns(n, width, inner, y + at, x + at, args.log);
      });
}

template <class T>
void run_softmax_backward(const SoftmaxBackwardArgs& args) {
  const SoftmaxMicro<T>& m = micro().of<T>().softmax;
  const int64_t n = args.y.sizes[1], inner = args.y.sizes[2];
  T* const dx = args.dx.as<T>();
  const T* const dy = args.dy.as<T>();
  const T* const y = args.y.as<T>();
  for_lines(
      args.y.sizes,
      [&](int64_t first, int64_t count) {
        m.backward(count, n, dx + first * n, dy + first * n, y + first * n, args.log);
      },
      [&](int64_t at, int64_t width) {
        m.backward_columns(n, width, inner, dx + at, dy + at, y + at, args.log);
      });
}

// A vector of one value a row, or a class, with its stride.
template <class T>
struct Column {
  T* data;
  int64_t stride;
  explicit Column(const TensorRef& t) : data(t.as<T>()), stride(t.defined() ? t.strides[0] : 0) {}
  T& operator[](int64_t i) const { return data[i * stride]; }
};

// Class weights as the micro kernels take them: adjacent, null where there are none.
template <class T>
class ClassWeights {
 public:
  explicit ClassWeights(const TensorRef& t)
      : copy_(t.defined() && t.strides[0] != 1 ? t.sizes[0] : 0), data_(t.as<T>()) {
    if (!t.defined() || t.strides[0] == 1) return;
    const Column<const T> from(t);
    for (int64_t i = 0; i < t.sizes[0]; ++i) copy_[i] = from[i];
    data_ = copy_.data();
  }
  const T* data() const { return data_; }
  T operator[](int64_t i) const { return data_ == nullptr ? T(1) : data_[i]; }
  double sum(int64_t n) const {
    if (data_ == nullptr) return static_cast<double>(n);
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += static_cast<double>(data_[i]);
    return total;
  }

 private:
  Workspace<T, 1024> copy_;
  const T* data_;
};

int64_t rows_of_task(int64_t classes) {
  return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(classes, 16));
}

// loss = (1 - s) w[y] (-log p_y) + s / C * sum_c w[c] (-log p_c), s being the smoothing.
template <class T>
void run_cross_entropy(const CrossEntropyArgs& args) {
  const SoftmaxMicro<T>& m = micro().of<T>().softmax;
  const int64_t rows = args.logits.sizes[0], classes = args.logits.sizes[1];
  const T* const logits = args.logits.as<T>();
  const Column<const int64_t> target(args.target);
  const ClassWeights<T> weight(args.weight);
  const Column<T> loss(args.loss), row_weight(args.row_weight), logsumexp(args.logsumexp);
  const T keep = T(1 - args.label_smoothing);
  const T share = T(args.label_smoothing / static_cast<double>(classes));
  parallel_for(rows, rows_of_task(classes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t label = target[i];
      if (label == args.ignore_index) {
        loss[i] = row_weight[i] = logsumexp[i] = T(0);
        continue;
      }
      const T* const x = logits + i * classes;
      T max, log_sum;
      m.logsumexp(classes, x, &max, &log_sum);
      const T w = weight[label];
      T value = keep * w * (log_sum - (x[label] - max));
      if (share != T(0)) value += share * m.smoothing(classes, x, weight.data(), max, log_sum);
      loss[i] = value;
      row_weight[i] = w;
      logsumexp[i] = max + log_sum;
    }
  });
}

template <class T>
void run_cross_entropy_backward(const CrossEntropyBackwardArgs& args) {
  const SoftmaxMicro<T>& m = micro().of<T>().softmax;
  const int64_t rows = args.logits.sizes[0], classes = args.logits.sizes[1];
  const T* const logits = args.logits.as<T>();
  T* const dlogits = args.dlogits.as<T>();
  const Column<const int64_t> target(args.target);
  const ClassWeights<T> weight(args.weight);
  const Column<const T> grad(args.grad), logsumexp(args.logsumexp);
  const double share = args.label_smoothing / static_cast<double>(classes);
  const T keep = T(1 - args.label_smoothing);
  const T smooth = args.label_smoothing == 0 ? T(0) : T(share * weight.sum(classes));
  const T* const smoothed_weight = args.label_smoothing == 0 ? nullptr : weight.data();
  parallel_for(rows, rows_of_task(classes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* const dx = dlogits + i * classes;
      const int64_t label = target[i];
      if (label == args.ignore_index) {
        std::fill_n(dx, classes, T(0));
        continue;
      }
      const T g = grad[i], hit = g * keep * weight[label];
      m.cross_entropy_backward(classes, dx, logits + i * classes, logsumexp[i], hit + g * smooth,
                               smoothed_weight, g * T(share));
      dx[label] -= hit;
    }
  });
}

}  // namespace

void softmax(Ctx&, const SoftmaxArgs& args) {
  dispatch_floating("softmax", args.x.dtype, [&]<class T>() { run_softmax<T>(args); });
}
void softmax_backward(Ctx&, const SoftmaxBackwardArgs& args) {
  dispatch_floating("softmax", args.y.dtype, [&]<class T>() { run_softmax_backward<T>(args); });
}
void cross_entropy(Ctx&, const CrossEntropyArgs& args) {
  dispatch_floating("cross_entropy", args.logits.dtype,
                    [&]<class T>() { run_cross_entropy<T>(args); });
}
void cross_entropy_backward(Ctx&, const CrossEntropyBackwardArgs& args) {
  dispatch_floating("cross_entropy", args.logits.dtype,
                    [&]<class T>() { run_cross_entropy_backward<T>(args); });
}

}  // namespace lamina::cpu
