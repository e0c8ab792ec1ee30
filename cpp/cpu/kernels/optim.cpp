// The table of updates (updates.h): every buffer is read once and written once. And the sums that
// norms of gradients are made of.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// The coefficients as the row's struct.
template <class C, class T>
LAMINA_SIMD C as(const T* coefficients) {
  C c;
  __builtin_memcpy(&c, coefficients, sizeof(C));
  return c;
}

// What is descended along.
template <class T>
LAMINA_SIMD Vec<T> descent(Vec<T> g, Vec<T> p, T factor, T l2) {
  g *= Vec<T>(factor);
  return l2 != T(0) ? fma(Vec<T>(l2), p, g) : g;
}

template <class T>
void sgd(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<SgdUpdate<T>>(coefficients);
  T* const b = state[0];
  const V lr(c.lr), keep(c.keep), share(c.share), momentum(c.momentum);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    if (b != nullptr) {
      const V buffer = fma(lanes.load(b + i), keep, share * d);
      lanes.store(b + i, buffer);
      d = c.nesterov != T(0) ? fma(momentum, buffer, d) : buffer;
    }
    lanes.store(p + i, fnma(lr, d, w));
  });
}

// Adam and NAdam: step(m, d) is what is divided by the root of the second moment.
template <class T, bool kLargest, class C, class F>
LAMINA_SIMD void moments(int64_t n, T* p, const T* g, T* const* state, const C& c, F step) {
  using V = Vec<T>;
  T* const m = state[0];
  T* const v = state[1];
  [[maybe_unused]] T* const largest = state[2];
  const V beta1(c.beta1), rest1(c.rest1), beta2(c.beta2), rest2(c.rest2);
  const V shrink(c.shrink), unbias(c.unbias), eps(c.eps);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V mean = fma(beta1, lanes.load(m + i), rest1 * d);
    V square = fma(beta2, lanes.load(v + i), rest2 * d * d);
    lanes.store(m + i, mean);
    lanes.store(v + i, square);
    if constexpr (kLargest) {
      square = maximum(lanes.load(largest + i), square);
      lanes.store(largest + i, square);
    }
    lanes.store(p + i, w * shrink - step(mean, d) / fma(sqrt(square), unbias, eps));
  });
}

template <class T>
void adam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<AdamUpdate<T>>(coefficients);
  const V size(c.step);
  const auto step = [&](V m, V) __attribute__((always_inline)) { return size * m; };
  if (state[2] != nullptr)
    moments<T, true>(n, p, g, state, c, step);
  else
    moments<T, false>(n, p, g, state, c, step);
}

template <class T>
void nadam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<NadamUpdate<T>>(coefficients);
  const V size(c.step), size_d(c.step_d);
  moments<T, false>(n, p, g, state, c, [&](V m, V d) __attribute__((always_inline)) {
    return fma(size, m, size_d * d);
  });
}

template <class T>
void radam(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<RadamUpdate<T>>(coefficients);
  T* const m = state[0];
  T* const v = state[1];
  const V beta1(c.beta1), rest1(c.rest1), beta2(c.beta2), rest2(c.rest2);
  const V shrink(c.shrink), eps(c.eps), size(c.step);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V mean = fma(beta1, lanes.load(m + i), rest1 * d);
    const V square = fma(beta2, lanes.load(v + i), rest2 * d * d);
    lanes.store(m + i, mean);
    lanes.store(v + i, square);
    const V step = size * mean;
    lanes.store(p + i, w * shrink - (c.rectified != T(0) ? step / (sqrt(square) + eps) : step));
  });
}

template <class T>
void rmsprop(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<RmspropUpdate<T>>(coefficients);
  T* const v = state[0];
  T* const b = state[1];
  T* const average = state[2];
  const V lr(c.lr), alpha(c.alpha), rest(c.rest), eps(c.eps), momentum(c.momentum);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    V square = fma(alpha, lanes.load(v + i), rest * d * d);
    lanes.store(v + i, square);
    if (average != nullptr) {
      const V mean = fma(alpha, lanes.load(average + i), rest * d);
      lanes.store(average + i, mean);
      // The variance of a constant gradient may round to less than nothing.
      square = maximum(fnma(mean, mean, square), V(T(0)));
    }
    V step = d / (sqrt(square) + eps);
    if (b != nullptr) {
      step = fma(lanes.load(b + i), momentum, step);
      lanes.store(b + i, step);
    }
    lanes.store(p + i, fnma(lr, step, w));
  });
}

template <class T>
void adagrad(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<AdagradUpdate<T>>(coefficients);
  T* const sum = state[0];
  const V lr(c.lr), eps(c.eps);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V total = fma(d, d, lanes.load(sum + i));
    lanes.store(sum + i, total);
    lanes.store(p + i, w - lr * d / (sqrt(total) + eps));
  });
}

template <class T>
void adadelta(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<AdadeltaUpdate<T>>(coefficients);
  T* const squares = state[0];
  T* const steps = state[1];
  const V lr(c.lr), rho(c.rho), rest(c.rest), eps(c.eps);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V square = fma(rho, lanes.load(squares + i), rest * d * d);
    const V before = lanes.load(steps + i);
    const V step = sqrt(before + eps) / sqrt(square + eps) * d;
    lanes.store(squares + i, square);
    lanes.store(steps + i, fma(rho, before, rest * step * step));
    lanes.store(p + i, fnma(lr, step, w));
  });
}

template <class T>
void adamax(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<AdamaxUpdate<T>>(coefficients);
  T* const m = state[0];
  T* const u = state[1];
  const V beta1(c.beta1), rest1(c.rest1), beta2(c.beta2), eps(c.eps), size(c.step);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V mean = fma(beta1, lanes.load(m + i), rest1 * d);
    const V largest = maximum(beta2 * lanes.load(u + i), abs(d) + eps);
    lanes.store(m + i, mean);
    lanes.store(u + i, largest);
    lanes.store(p + i, w - size * mean / largest);
  });
}

template <class T>
void asgd(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<AsgdUpdate<T>>(coefficients);
  T* const average = state[0];
  const V shrink(c.shrink), eta(c.eta), mu(c.mu);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V w = lanes.load(p + i);
    const V d = descent(lanes.load(g + i), w, c.factor, c.l2);
    const V moved = fnma(eta, d, w * shrink);
    lanes.store(p + i, moved);
    V mean = moved;
    if (c.mu != T(1)) {
      const V before = lanes.load(average + i);
      mean = fma(mu, moved - before, before);
    }
    lanes.store(average + i, mean);
  });
}

template <class T>
void rprop(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<RpropUpdate<T>>(coefficients);
  T* const last = state[0];
  T* const sizes = state[1];
  const V factor(c.factor), minus(c.eta_minus), plus(c.eta_plus);
  const V smallest(c.smallest), largest(c.largest), zero(T(0)), one(T(1));
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    V d = lanes.load(g + i) * factor;
    const V turn = d * lanes.load(last + i);
    // 0 or 1, and multiplied by it: at -O1 GCC 12 crashes on two selects by one comparison of
    // doubles.
    const V keeps = select(turn < zero, zero, one);
    const V change = select(turn > zero, plus, one) * keeps + minus * (one - keeps);
    const V size = minimum(maximum(lanes.load(sizes + i) * change, smallest), largest);
    d = select(keeps < one, zero, d);
    lanes.store(sizes + i, size);
    lanes.store(last + i, d);
    lanes.store(p + i, fnma(sign(d), size, lanes.load(p + i)));
  });
}

template <class T>
void lion(int64_t n, T* p, const T* g, T* const* state, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<LionUpdate<T>>(coefficients);
  T* const m = state[0];
  const V factor(c.factor), shrink(c.shrink), lr(c.lr);
  const V beta1(c.beta1), rest1(c.rest1), beta2(c.beta2), rest2(c.rest2);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V d = lanes.load(g + i) * factor;
    const V mean = lanes.load(m + i);
    const V direction = sign(fma(beta1, mean, rest1 * d));
    lanes.store(m + i, fma(beta2, mean, rest2 * d));
    lanes.store(p + i, fnma(lr, direction, lanes.load(p + i) * shrink));
  });
}

template <class T>
void combine(int64_t n, T* x, const T* y, T* const*, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<CombineUpdate<T>>(coefficients);
  const V a(c.a), b(c.b);
  if (y == nullptr)
    for_vectors<T>(n, [&](int64_t i, auto lanes) { lanes.store(x + i, a * lanes.load(x + i)); });
  else
    for_vectors<T>(n, [&](int64_t i, auto lanes) {
      lanes.store(x + i, fma(b, lanes.load(y + i), a * lanes.load(x + i)));
    });
}

template <class T>
void clamp(int64_t n, T* x, const T*, T* const*, const T* coefficients) {
  using V = Vec<T>;
  const V limit(as<ClampUpdate<T>>(coefficients).limit);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    lanes.store(x + i, minimum(maximum(lanes.load(x + i), -limit), limit));
  });
}

template <class T>
void lerp(int64_t n, T* x, const T* y, T* const*, const T* coefficients) {
  using V = Vec<T>;
  const auto c = as<LerpUpdate<T>>(coefficients);
  const V weight(c.weight), rest(c.rest);
  for_vectors<T>(n, [&](int64_t i, auto lanes) {
    const V from = lanes.load(x + i), to = lanes.load(y + i);
    const V way = to - from;
    lanes.store(x + i, c.weight < T(0.5) ? fma(weight, way, from) : fnma(rest, way, to));
  });
}

// -- sums in double ----------------------------------------------------------------------------

struct Square {
  LAMINA_SIMD static VecD add(VecD sum, VecD v) { return fma(v, v, sum); }
};
struct Magnitude {
  LAMINA_SIMD static VecD add(VecD sum, VecD v) { return sum + abs(v); }
};

template <class Term>
LAMINA_SIMD void add_wide(VecF v, VecD* sums) {
  VecD low(0.0), high(0.0);
  widen(v, low, high);
  sums[0] = Term::add(sums[0], low);
  sums[1] = Term::add(sums[1], high);
}
template <class Term>
LAMINA_SIMD void add_wide(VecD v, VecD* sums) {
  sums[0] = Term::add(sums[0], v);
}

// Four sums at least, so that additions need not wait for each other. Lanes past the end are 0.
template <class Term, class T>
double sum_of(int64_t n, const T* x) {
  VecD sums[4] = {VecD(0.0), VecD(0.0), VecD(0.0), VecD(0.0)};
  for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
    add_wide<Term>(lanes.keep(lanes.load(x + i)), sums + 2 * k);
  });
  return reduce_add((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
T max_abs(int64_t n, const T* x) {
  using V = Vec<T>;
  V most[2] = {V(T(0)), V(T(0))};
  for_vector_pairs<T>(n, [&](int64_t i, int k, auto lanes) {
    most[k] = maximum(abs(lanes.keep(lanes.load(x + i))), most[k]);
  });
  return reduce_max(maximum(most[0], most[1]));
}

template <class T>
constexpr OptimMicro<T> make_optim() {
  return {{
#define LAMINA_ROW(Name, function) function<T>,
              LAMINA_UPDATES(LAMINA_ROW)
#undef LAMINA_ROW
          },
          sum_of<Square, T>,
          sum_of<Magnitude, T>,
          max_abs<T>};
}

}  // namespace

LAMINA_MICRO(OptimMicro, optim);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
