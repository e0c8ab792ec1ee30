// Optimizer updates: every buffer is read once and written once.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// The gradient to descend along: turned round when maximising, with the pull of the weight decay.
template <class T>
LAMINA_SIMD Vec<T> descent(Vec<T> g, Vec<T> p, T sign, T decay) {
  g *= Vec<T>(sign);
  return decay != T(0) ? fma(Vec<T>(decay), p, g) : g;
}

template <class T>
void sgd(int64_t n, T* p, const T* g, T* momentum, const cpu::SgdCoefficients<T>& c) {
  using V = Vec<T>;
  const V lr(c.lr), mu(c.momentum), weight(c.one_minus_dampening);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    V d = descent(lanes.load(g + i), w, c.sign, c.weight_decay);
    if (momentum != nullptr) {
      const V buffer = c.first ? d : fma(lanes.load(momentum + i), mu, weight * d);
      lanes.store(momentum + i, buffer);
      d = c.nesterov ? fma(mu, buffer, d) : buffer;
    }
    lanes.store(p + i, fnma(lr, d, w));
  });
}

template <class T, bool kAmsgrad>
LAMINA_SIMD void adam_loop(int64_t n, T* p, const T* g, T* m, T* v, [[maybe_unused]] T* vmax,
                           const cpu::AdamCoefficients<T>& c) {
  using V = Vec<T>;
  const V beta1(c.beta1), rest1(c.one_minus_beta1), beta2(c.beta2), rest2(c.one_minus_beta2);
  const V eps(c.eps), step(c.step_size), unbias(c.inv_sqrt_bias2), keep(c.keep);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.sign, c.l2);
    const V mean = fma(beta1, lanes.load(m + i), rest1 * d);
    V square = fma(beta2, lanes.load(v + i), rest2 * d * d);
    lanes.store(m + i, mean);
    lanes.store(v + i, square);
    if constexpr (kAmsgrad) {
      square = maximum(lanes.load(vmax + i), square);
      lanes.store(vmax + i, square);
    }
    lanes.store(p + i, w * keep - step * mean / fma(sqrt(square), unbias, eps));
  });
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* m, T* v, T* vmax, const cpu::AdamCoefficients<T>& c) {
  if (vmax != nullptr)
    adam_loop<T, true>(n, p, g, m, v, vmax, c);
  else
    adam_loop<T, false>(n, p, g, m, v, vmax, c);
}

template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* v, T* momentum, T* grad_avg,
             const cpu::RmspropCoefficients<T>& c) {
  using V = Vec<T>;
  const V lr(c.lr), alpha(c.alpha), rest(c.one_minus_alpha), eps(c.eps), mu(c.momentum);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.sign, c.weight_decay);
    V square = fma(alpha, lanes.load(v + i), rest * d * d);
    lanes.store(v + i, square);
    if (grad_avg != nullptr) {
      const V mean = fma(alpha, lanes.load(grad_avg + i), rest * d);
      lanes.store(grad_avg + i, mean);
      // The variance of a constant gradient may round to less than nothing.
      square = maximum(fnma(mean, mean, square), V(T(0)));
    }
    V step = d / (sqrt(square) + eps);
    if (momentum != nullptr) {
      step = fma(lanes.load(momentum + i), mu, step);
      lanes.store(momentum + i, step);
    }
    lanes.store(p + i, fnma(lr, step, w));
  });
}

template <class T>
constexpr OptimMicro<T> make_optim() {
  return {sgd<T>, adam<T>, rmsprop<T>};
}

}  // namespace

LAMINA_MICRO(OptimMicro, optim);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
