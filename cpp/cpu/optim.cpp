// Optimizer steps: all parameters of a call lie end to end and are cut into equal chunks, so that
// many small tensors cost one parallel region and a large one feeds every core.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kChunk = 16384;

// f<T>(entry, first, count) over all elements of all entries.
template <class Entry, class F>
void for_chunks(const char* op, std::span<const Entry> entries, F f) {
  const auto count = static_cast<int64_t>(entries.size());
  const Workspace<int64_t, 2048> starts(count + 1);
  starts[0] = 0;
  for (int64_t i = 0; i < count; ++i)
    starts[i + 1] = starts[i] + entries[static_cast<size_t>(i)].param.numel();
  parallel_for(starts[count], kChunk, [&](int64_t begin, int64_t end) {
    const int64_t* const first = starts.data();
    int64_t i = std::upper_bound(first, first + count + 1, begin) - first - 1;
    for (; begin < end; ++i) {
      const int64_t n = std::min(end, starts[i + 1]) - begin;
      if (n == 0) continue;
      const Entry& e = entries[static_cast<size_t>(i)];
      dispatch_floating(op, e.param.dtype,
                        [&]<class T>() { f.template operator()<T>(e, begin - starts[i], n); });
      begin += n;
    }
  });
}

// Null stays null.
template <class T>
T* at(const TensorRef& t, int64_t offset) {
  return t.defined() ? t.as<T>() + offset : nullptr;
}

template <class T>
AdamCoefficients<T> adam_coefficients(const AdamArgs& a, int64_t step) {
  const double t = static_cast<double>(step);
  return {.beta1 = T(a.beta1),
          .one_minus_beta1 = T(1 - a.beta1),
          .beta2 = T(a.beta2),
          .one_minus_beta2 = T(1 - a.beta2),
          .eps = T(a.eps),
          .step_size = T(a.lr / (1 - std::pow(a.beta1, t))),
          .inv_sqrt_bias2 = T(1 / std::sqrt(1 - std::pow(a.beta2, t))),
          .l2 = T(a.decoupled ? 0 : a.weight_decay),
          .keep = T(a.decoupled ? 1 - a.lr * a.weight_decay : 1),
          .sign = T(a.maximize ? -1 : 1)};
}

}  // namespace

void sgd(Ctx&, std::span<const SgdTensors> entries, const SgdArgs& a) {
  for_chunks("SGD", entries, [&]<class T>(const SgdTensors& e, int64_t first, int64_t n) {
    const SgdCoefficients<T> c{.lr = T(a.lr),
                               .momentum = T(a.momentum),
                               .one_minus_dampening = T(1 - a.dampening),
                               .weight_decay = T(a.weight_decay),
                               .sign = T(a.maximize ? -1 : 1),
                               .nesterov = a.nesterov,
                               .first = e.first};
    micro().of<T>().optim.sgd(n, at<T>(e.param, first), at<const T>(e.grad, first),
                              at<T>(e.momentum, first), c);
  });
}

void adam(Ctx&, std::span<const AdamTensors> entries, const AdamArgs& a) {
  if (entries.empty()) return;
  // The powers are taken once where all parameters have come equally far, as they mostly have.
  const int64_t common_step = entries[0].step;
  const auto f32 = adam_coefficients<float>(a, common_step);
  const auto f64 = adam_coefficients<double>(a, common_step);
  for_chunks("Adam", entries, [&]<class T>(const AdamTensors& e, int64_t first, int64_t n) {
    AdamCoefficients<T> c;
    if (e.step != common_step)
      c = adam_coefficients<T>(a, e.step);
    else if constexpr (std::is_same_v<T, float>)
      c = f32;
    else
      c = f64;
    micro().of<T>().optim.adam(n, at<T>(e.param, first), at<const T>(e.grad, first),
                               at<T>(e.exp_avg, first), at<T>(e.exp_avg_sq, first),
                               at<T>(e.max_exp_avg_sq, first), c);
  });
}

void rmsprop(Ctx&, std::span<const RmspropTensors> entries, const RmspropArgs& a) {
  for_chunks("RMSprop", entries, [&]<class T>(const RmspropTensors& e, int64_t first, int64_t n) {
    const RmspropCoefficients<T> c{.lr = T(a.lr),
                                   .alpha = T(a.alpha),
                                   .one_minus_alpha = T(1 - a.alpha),
                                   .eps = T(a.eps),
                                   .weight_decay = T(a.weight_decay),
                                   .momentum = T(a.momentum),
                                   .sign = T(a.maximize ? -1 : 1)};
    micro().of<T>().optim.rmsprop(n, at<T>(e.param, first), at<const T>(e.grad, first),
                                  at<T>(e.square_avg, first), at<T>(e.momentum, first),
                                  at<T>(e.grad_avg, first), c);
  });
}

}  // namespace lamina::cpu
