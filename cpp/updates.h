// The table of updates: what is done in place to many tensors in one call, each tensor and what
// belongs to it read once and written once.
//
// A row is a name, the struct of its coefficients below, and a function of the same name in
// cpu/kernels/optim.cpp and cpu/ref/optim.cpp. Coefficients are worked out in double for each
// tensor (ops/optim.cpp says how they come from an optimizer's settings and the number of the step)
// and rounded to the tensor's type by the device.
#pragma once

#include <cstdint>

namespace lamina {

#define LAMINA_UPDATES(ROW) \
  ROW(Sgd, sgd)             \
  ROW(Adam, adam)           \
  ROW(Rmsprop, rmsprop)     \
  ROW(Adagrad, adagrad)     \
  ROW(Adadelta, adadelta)   \
  ROW(Adamax, adamax)       \
  ROW(Nadam, nadam)         \
  ROW(Radam, radam)         \
  ROW(Asgd, asgd)           \
  ROW(Rprop, rprop)         \
  ROW(Lion, lion)           \
  ROW(Combine, combine)     \
  ROW(Clamp, clamp)         \
  ROW(Lerp, lerp)

enum class Update : uint8_t {
#define LAMINA_ROW(Name, function) Name,
  LAMINA_UPDATES(LAMINA_ROW)
#undef LAMINA_ROW
};
#define LAMINA_ROW(Name, function) +1
inline constexpr int kUpdates = LAMINA_UPDATES(LAMINA_ROW);
#undef LAMINA_ROW

inline constexpr int kUpdateStates = 3;
inline constexpr int kUpdateCoefficients = 12;  // as many as any row has

// In all of them p is the parameter and d what is descended along: factor * gradient, plus l2 * p.
// A factor below 0 goes up; one below 1 in size clips. State that may be null is in [brackets].

template <class T>
struct SgdUpdate {  // state: [b]
  T factor, l2, lr;
  T keep, share;  // b = keep b + share d
  T nesterov;     // 0: p -= lr b
  T momentum;     // else p -= lr (d + momentum b)
};
template <class T>
struct AdamUpdate {  // state: m, v, [largest v]
  T factor, l2;
  T shrink;                      // p is multiplied by it first
  T beta1, rest1, beta2, rest2;  // m = beta1 m + rest1 d, v = beta2 v + rest2 d^2
  T eps, unbias, step;           // p -= step m / (unbias sqrt(v) + eps)
};
template <class T>
struct RmspropUpdate {  // state: v, [b], [mean of d]
  T factor, l2, lr, alpha, rest, eps, momentum;
};
template <class T>
struct AdagradUpdate {  // state: sum of d^2
  T factor, l2, lr, eps;
};
template <class T>
struct AdadeltaUpdate {  // state: means of d^2 and of steps^2
  T factor, l2, lr, rho, rest, eps;
};
template <class T>
struct AdamaxUpdate {  // state: m, u
  T factor, l2, beta1, rest1, beta2, eps, step;
};
template <class T>
struct NadamUpdate {  // state: m, v
  T factor, l2, shrink, beta1, rest1, beta2, rest2, eps, unbias, step;
  T step_d;  // p -= (step m + step_d d) / (unbias sqrt(v) + eps)
};
template <class T>
struct RadamUpdate {  // state: m, v
  T factor, l2, shrink, beta1, rest1, beta2, rest2, eps, step;
  T rectified;  // 0: p -= step m; else p -= step m / (sqrt(v) + eps)
};
template <class T>
struct AsgdUpdate {  // state: the average of p
  T factor, l2, shrink, eta;
  T mu;  // the share of the new p in it; 1 replaces it
};
template <class T>
struct RpropUpdate {  // state: last d, step size
  T factor, eta_minus, eta_plus, smallest, largest;
};
template <class T>
struct LionUpdate {  // state: m
  T factor, shrink, lr, beta1, rest1, beta2, rest2;
};

// Not of optimizers. x is the target, y the source.
template <class T>
struct CombineUpdate {
  T a, b;  // x = a x + b y; without a source, x = a x
};
template <class T>
struct ClampUpdate {
  T limit;  // to [-limit, limit]; NaN stays
};
template <class T>
struct LerpUpdate {
  T weight, rest;  // x + weight (y - x), from the nearer end; rest is 1 - weight
};

}  // namespace lamina
