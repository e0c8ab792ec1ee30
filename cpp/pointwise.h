// The one table of elementwise ops.
//
// A row is the whole definition of an op: its name, what its backward saves, its dtype rule, the
// forward expression and the derivative. The expressions are templates over V, instantiated for
//
//   Vec<float>, Vec<double>   the SIMD kernels of every ISA        (cpu/simd.h)
//   float, double             the naive reference                  (scalar_math.h)
//   CUDA's scalars            the device kernels                   (scalar_math.h, as device code)
//   Expr                      whole tensors: second derivatives    (ops/expr.h)
//
// so a derivative is written once, and the derivative of the derivative not at all. Write literals
// that are not integers as V(0.5). `a` and `b` are the op's parameters (a slope, a limit).
#pragma once

#include <cstdint>

#include "scalar_math.h"

namespace lamina {

// What the backward expression reads beside the incoming gradient g.
enum class Saves : uint8_t { None, Input, Output };

// How operand dtypes give the result's.
enum class Rule : uint8_t {
  Float,    // integers and bools become the default float dtype (exp, div)
  Any,      // every dtype; the result has the promoted one (add, abs)
  Number,   // as Any, but bool is refused (neg, sub)
  Bits,     // integers and bool alone (bitwise_and)
  Integer,  // integers alone (shifts)
};

// clang-format off
// `a` and `b` are parameters.
//    name        rule    saves   forward                                   backward (g, x or y, a, b)
#define LAMINA_MATH_ROWS(ROW)                                                                        \
  ROW(neg,        Number, None,   -x,                                       -g)                      \
  ROW(abs,        Number, Input,  abs(x),                                   g * sign(x))             \
  ROW(sign,       Any,    None,   sign(x),                                  V(0))                    \
  ROW(square,     Number, Input,  x * x,                                    g * (x + x))             \
  ROW(floor,      Number, None,   floor(x),                                 V(0))                    \
  ROW(ceil,       Number, None,   ceil(x),                                  V(0))                    \
  ROW(round,      Number, None,   round(x),                                 V(0))                    \
  ROW(trunc,      Number, None,   trunc(x),                                 V(0))                    \
  ROW(frac,       Number, None,   x - trunc(x),                             g)                       \
  ROW(cube,       Number, Input,  x * x * x,                                g * (V(3) * (x * x)))    \
  ROW(reciprocal, Float,  Output, V(1) / x,                                 -g * y * y)              \
  ROW(sqrt,       Float,  Output, sqrt(x),                                  g / (y + y))             \
  ROW(rsqrt,      Float,  Output, V(1) / sqrt(x),                           V(-0.5) * g * y * y * y) \
  ROW(exp,        Float,  Output, exp(x),                                   g * y)                   \
  ROW(exp2,       Float,  Output, exp2(x),                                  g * (y * V(0.69314718055994531))) \
  ROW(expm1,      Float,  Output, expm1(x),                                 g * (y + V(1)))          \
  ROW(log,        Float,  Input,  log(x),                                   g / x)                   \
  ROW(log2,       Float,  Input,  log2(x),                                  g / (x * V(0.69314718055994531))) \
  ROW(log10,      Float,  Input,  log10(x),                                 g / (x * V(2.3025850929940457))) \
  ROW(log1p,      Float,  Input,  log1p(x),                                 g / (V(1) + x))          \
  ROW(sin,        Float,  Input,  sin(x),                                   g * cos(x))              \
  ROW(cos,        Float,  Input,  cos(x),                                   -g * sin(x))             \
  ROW(tan,        Float,  Output, tan(x),                                   g * (V(1) + y * y))      \
  ROW(asin,       Float,  Input,  asin(x),                                  g / sqrt(V(1) - x * x))  \
  ROW(acos,       Float,  Input,  acos(x),                                  -g / sqrt(V(1) - x * x)) \
  ROW(atan,       Float,  Input,  atan(x),                                  g / (V(1) + x * x))      \
  ROW(sinh,       Float,  Input,  sinh(x),                                  g * cosh(x))             \
  ROW(cosh,       Float,  Input,  cosh(x),                                  g * sinh(x))             \
  ROW(tanh,       Float,  Output, tanh(x),                                  g * (V(1) - y * y))      \
  ROW(asinh,      Float,  Input,  asinh(x),                                 g / hypot(x, V(1)))      \
  ROW(acosh,      Float,  Input,  acosh(x),                                                          \
      g / (sqrt(x - V(1)) * sqrt(x + V(1))))                                                         \
  ROW(atanh,      Float,  Input,  atanh(x),                                 g / (V(1) - x * x))      \
  ROW(sinc,       Float,  Input,  sinc(x),                                  g * sinc_grad(x))        \
  ROW(sigmoid,    Float,  Output, sigmoid(x),                               g * (y * (V(1) - y)))    \
  ROW(erf,        Float,  Input,  erf(x),                                                            \
      g * V(1.1283791670955126) * exp(-(x * x)))                                                     \
  ROW(erfc,       Float,  Input,  erfc(x),                                                           \
      g * V(-1.1283791670955126) * exp(-(x * x)))                                                    \
  ROW(erfinv,     Float,  Output, erfinv(x),                                g * (V(0.88622692545275801) * exp(y * y))) \
  ROW(logit,      Float,  Input,  log(x / (V(1) - x)),                                               \
      select(x * (V(1) - x) < V(0), V(NAN), g / (x * (V(1) - x))))                                   \
  ROW(relu,       Number, Output, maximum(x, V(0)),                         select(y > V(0), g, V(0))) \
  ROW(clamp,      Float,  Input,  minimum(b, maximum(a, x)),                                         \
      select(x < a, V(0), select(x > b, V(0), g)))                                                   \
  ROW(power,      Float,  Input,  pow(x, a),                                                         \
      select(a == V(0), V(0), g * (a * pow(x, a - V(1)))))

// Rows that take arguments of their own, and are bound with them; `a` and `b` are those.
#define LAMINA_ACTIVATION_ROWS(ROW)                                                                  \
  ROW(leaky_relu, Float,  Input,  select(x > V(0), x, x * a),               select(x > V(0), g, g * a)) \
  ROW(relu6,      Number, Input,  minimum(V(6), maximum(V(0), x)),                                   \
      select(x <= V(0), V(0), select(x >= V(6), V(0), g)))                                           \
  ROW(hardtanh,   Number, Input,  minimum(b, maximum(a, x)),                                         \
      select(x <= a, V(0), select(x >= b, V(0), g)))                                                 \
  ROW(threshold,  Number, Input,  select(x <= a, b, x),                     select(x <= a, V(0), g)) \
  ROW(elu,        Float,  Input,  select(x > V(0), x, a * expm1(x)),                                 \
      select(x > V(0), g, g * (a * exp(nonpositive(x)))))                                            \
  ROW(celu,       Float,  Input,  select(x > V(0), x, a * expm1(x / a)),                             \
      select(x > V(0), g, g * exp(select(x > V(0), V(0), x / a))))                                   \
  ROW(selu,       Float,  Input,                                                                     \
      select(x > V(0), x * V(1.0507009873554805), V(1.7580993408473766) * expm1(x)),                 \
      select(x > V(0), g * V(1.0507009873554805),                                                    \
             g * (V(1.7580993408473766) * exp(nonpositive(x)))))                                     \
  ROW(gelu,       Float,  Input,  gelu(x),                                  g * gelu_grad(x))        \
  ROW(gelu_tanh,  Float,  Input,  gelu_tanh(x),                             g * gelu_tanh_grad(x))   \
  ROW(silu,       Float,  Input,  x * sigmoid(x),                                                    \
      g * (sigmoid(x) * (V(1) + x * (V(1) - sigmoid(x)))))                                           \
  ROW(mish,       Float,  Input,  x * mish_gate(x),                         g * mish_grad(x))        \
  ROW(softplus,   Float,  Input,  select(x > b, x, softplus(x)),                                     \
      select(x > b, g, g * sigmoid(x)))                                                              \
  ROW(logsigmoid, Float,  Input,  -softplus(-x),                            g * sigmoid(-x))         \
  ROW(softsign,   Float,  Input,  x / (V(1) + abs(x)),                                               \
      g / ((V(1) + abs(x)) * (V(1) + abs(x))))                                                       \
  ROW(tanhshrink, Float,  Input,  x - tanh(x),                              g * (tanh(x) * tanh(x))) \
  ROW(softshrink, Float,  Input,  select(x > a, x - a, select(x < -a, x + a, x * V(0))),             \
      select(abs(x) <= a, V(0), g))                                                                  \
  ROW(hardshrink, Float,  Input,  select(abs(x) <= a, V(0), x),             select(abs(x) <= a, V(0), g)) \
  ROW(hardsigmoid, Float, Input,  minimum(V(6), maximum(V(0), x + V(3))) / V(6),                     \
      select(x > V(-3), select(x < V(3), g / V(6), V(0)), V(0)))                                     \
  ROW(hardswish,  Float,  Input,  x * (minimum(V(6), maximum(V(0), x + V(3))) / V(6)),               \
      select(x <= V(-3), V(0), select(x < V(3), g * (x / V(3) + V(0.5)), g)))                        \
  ROW(smooth_l1,  Float,  Input,                                                                     \
      select(abs(x) < a, V(0.5) * x * x / a, abs(x) - V(0.5) * a),                                   \
      select(x >= a, g, select(x <= -a, -g, g * (x / a))))                                           \
  ROW(huber,      Float,  Input,                                                                     \
      select(abs(x) <= a, V(0.5) * x * x, a * (abs(x) - V(0.5) * a)),                                \
      select(x > a, g * a, select(x < -a, -(g * a), g * x)))

#define LAMINA_UNARY_ROWS(ROW) LAMINA_MATH_ROWS(ROW) LAMINA_ACTIVATION_ROWS(ROW)

//    name      rule    forward            saves for gx; gx         saves for gy; gy
// `saves` is the set of operands that the derivative reads: 0, kX, kY or kX | kY.
#define LAMINA_ARITHMETIC_ROWS(ROW)                                                                  \
  ROW(add,      Any,    x + y,             0,       g,              0,       g)                      \
  ROW(sub,      Number, x - y,             0,       g,              0,       -g)                     \
  ROW(mul,      Any,    x * y,             kY,      g * y,          kX,      g * x)                  \
  ROW(div,      Float,  x / y,             kY,      g / y,          kX | kY, -g * ((x / y) / y))     \
  ROW(pow,      Number, pow(x, y),         kX | kY, select(y == V(0), V(0), g * (y * pow(x, y - V(1)))), \
                                           kX | kY, select(x == V(0), V(0), g * (pow(x, y) * log(x)))) \
  ROW(maximum,  Any,    maximum(x, y),     kX | kY, select(x == y, g * V(0.5), select(x < y, V(0), g)), \
                                           kX | kY, select(x == y, g * V(0.5), select(y < x, V(0), g))) \
  ROW(minimum,  Any,    minimum(x, y),     kX | kY, select(x == y, g * V(0.5), select(x > y, V(0), g)), \
                                           kX | kY, select(x == y, g * V(0.5), select(y > x, V(0), g))) \
  ROW(atan2,    Float,  atan2(x, y),       kX | kY, g * (y * reciprocal_or_zero(x * x + y * y)),     \
                                           kX | kY, -g * (x * reciprocal_or_zero(x * x + y * y)))    \
  ROW(hypot,    Float,  hypot(x, y),       kX | kY, g * (x / hypot(x, y)),                           \
                                           kX | kY, g * (y / hypot(x, y)))                           \
  ROW(fmod,     Number, fmod(x, y),        0,       g,                                               \
                                           kX | kY, -g * div_trunc(x, y))                            \
  ROW(remainder, Number, remainder(x, y),  0,       g,                                               \
                                           kX | kY, -g * floor_divide(x, y))                         \
  ROW(floor_divide, Number, floor_divide(x, y), 0,  V(0),           0,       V(0))                   \
  ROW(div_trunc, Number, trunc(x / y),     0,       V(0),           0,       V(0))                   \
  ROW(clamp_min, Any,   maximum(y, x),     kX | kY, select(x >= y, g, V(0)),                         \
                                           kX | kY, select(x < y, g, V(0)))                          \
  ROW(clamp_max, Any,   minimum(y, x),     kX | kY, select(x <= y, g, V(0)),                         \
                                           kX | kY, select(x > y, g, V(0)))                          \
  ROW(fmax,     Any,    select(x >= y, x, select(y == y, y, x)),                                     \
                                           kX | kY, select(x >= y, g, select(y == y, V(0), g)),      \
                                           kX | kY, select(x >= y, V(0), select(y == y, g, V(0))))   \
  ROW(fmin,     Any,    select(x <= y, x, select(y == y, y, x)),                                     \
                                           kX | kY, select(x <= y, g, select(y == y, V(0), g)),      \
                                           kX | kY, select(x <= y, V(0), select(y == y, g, V(0))))   \
  ROW(xlogy,    Float,  select((x == V(0)) & (y == y), V(0), x * log(y)),                            \
                                           kX | kY, select(x == V(0), select(y <= V(0), V(0), g * log(y)), \
                                                           g * log(y)),                              \
                                           kX | kY, g * (x / y))                                     \
  ROW(logaddexp, Float, select(x == y, x + V(0.69314718055994531),                                   \
                               maximum(x, y) + log1p(exp(-abs(x - y)))),                             \
                                           kX | kY, g * sigmoid(x - y),                              \
                                           kX | kY, g * sigmoid(y - x))

// Rows that layers and losses are made of. Where a derivative is one more pass over the operands, it
// is a row of three.
#define LAMINA_LOSS_ROWS(ROW)                                                                        \
  ROW(prelu,    Float,  select(x > V(0), x, y * x),                                                  \
                                           kX | kY, prelu_grad(g, x, y),                             \
                                           kX,      g * nonpositive(x))                              \
  ROW(binary_cross_entropy, Float,                                                                   \
      select((y >= V(0)) & (y <= V(1)),                                                              \
             -(y * maximum(log(x), V(-100)) + (V(1) - y) * maximum(log1p(-x), V(-100))), V(NAN)),    \
                                           kX | kY, binary_cross_entropy_grad(g, x, y),              \
                                           kX,      g * (maximum(log1p(-x), V(-100)) -               \
                                                         maximum(log(x), V(-100))))                  \
  ROW(binary_cross_entropy_with_logits, Float,                                                       \
      x * (select(x > V(0), V(1), V(0)) - y) + softplus(-abs(x)),                                    \
                                           kX | kY, logit_entropy_grad(g, x, y),                     \
                                           kX,      -(g * x))                                        \
  ROW(kl_div,   Float,  y * (select(y == V(0), V(0), log(y)) - x),                                    \
                                           kY,      -(g * y),                                        \
                                           kX | kY, g * (select(y == V(0), V(0), log(y)) + V(1) - x)) \
  ROW(kl_div_log, Float, exp(y) * (y - x), kY,      -(g * exp(y)),                                   \
                                           kX | kY, g * (exp(y) * (y - x + V(1))))

#define LAMINA_REAL_BINARY_ROWS(ROW) LAMINA_ARITHMETIC_ROWS(ROW) LAMINA_LOSS_ROWS(ROW)

// Rows that integers and bool alone have.
#define LAMINA_BITS_BINARY_ROWS(ROW)                                 \
  ROW(bitwise_and, Bits, x & y, 0, V(0), 0, V(0))                    \
  ROW(bitwise_or, Bits, x | y, 0, V(0), 0, V(0))                     \
  ROW(bitwise_xor, Bits, x ^ y, 0, V(0), 0, V(0))                    \
  ROW(bitwise_left_shift, Integer, x << y, 0, V(0), 0, V(0))         \
  ROW(bitwise_right_shift, Integer, x >> y, 0, V(0), 0, V(0))

#define LAMINA_BINARY_ROWS(ROW) LAMINA_REAL_BINARY_ROWS(ROW) LAMINA_BITS_BINARY_ROWS(ROW)

//    name      rule    forward; then for x, y and z in turn: what its derivative reads; the derivative
// `a` is a parameter.
#define LAMINA_TERNARY_ROWS(ROW)                                                                     \
  ROW(addcmul,  Number, x + a * y * z,     0,       g,                                               \
                                           kZ,      g * (a * z),                                     \
                                           kY,      g * (a * y))                                     \
  ROW(addcdiv,  Float,  x + a * y / z,     0,       g,                                               \
                                           kZ,      g * (a / z),                                     \
                                           kY | kZ, -(g * (a * y)) / (z * z))                        \
  ROW(lerp,     Float,  select(abs(z) < V(0.5), x + z * (y - x), y - (y - x) * (V(1) - z)),          \
                                           kZ,      g * (V(1) - z),                                  \
                                           kZ,      g * z,                                           \
                                           kX | kY, g * (y - x))                                      \
  ROW(prelu_grad, Float, select(y > V(0), x, x * z),                                                 \
                                           kY | kZ, prelu_grad(g, y, z),                             \
                                           0,       V(0),                                            \
                                           kX | kY, select(y > V(0), V(0), g * x))                   \
  ROW(binary_cross_entropy_grad, Float, x * (y - z) / bernoulli_variance(y),                         \
                                           kY | kZ, binary_cross_entropy_grad(g, y, z),              \
                                           kX | kY | kZ, g * x * (y * (y - z - z) + z) /             \
                                                (bernoulli_variance(y) * bernoulli_variance(y)),     \
                                           kX | kY, -(g * x) / bernoulli_variance(y))                \
  ROW(logit_entropy_grad, Float, x * (sigmoid(y) - z),                                               \
                                           kY | kZ, logit_entropy_grad(g, y, z),                     \
                                           kX | kY, g * x * (sigmoid(y) * sigmoid(-y)),              \
                                           kX,      -(g * x))

// Comparisons: operands of any dtype, result bool, no gradient.
#define LAMINA_COMPARE_ROWS(ROW) \
  ROW(eq, x == y)                \
  ROW(ne, x != y)                \
  ROW(lt, x < y)                 \
  ROW(le, x <= y)                \
  ROW(gt, x > y)                 \
  ROW(ge, x >= y)
// clang-format on

#define LAMINA_ROW_NAME(name, ...) name,
enum class UnaryOp : uint8_t { LAMINA_UNARY_ROWS(LAMINA_ROW_NAME) kCount };
enum class BinaryOp : uint8_t { LAMINA_BINARY_ROWS(LAMINA_ROW_NAME) kCount };
enum class TernaryOp : uint8_t { LAMINA_TERNARY_ROWS(LAMINA_ROW_NAME) kCount };
enum class CompareOp : uint8_t { LAMINA_COMPARE_ROWS(LAMINA_ROW_NAME) kCount };
#undef LAMINA_ROW_NAME
inline constexpr int kUnaryOps = static_cast<int>(UnaryOp::kCount);
inline constexpr int kBinaryOps = static_cast<int>(BinaryOp::kCount);
inline constexpr int kTernaryOps = static_cast<int>(TernaryOp::kCount);
inline constexpr int kCompareOps = static_cast<int>(CompareOp::kCount);

enum SavedOperands : unsigned { kX = 1, kY = 2, kZ = 4 };

struct RowInfo {
  const char* name;
  const char* in_place;  // the name of the form that writes its first operand
  Rule rule;
  Saves saves;                                        // unary
  unsigned gx_saves = 0, gy_saves = 0, gz_saves = 0;  // the others
};

// Whether floats, or else integers, have a row.
constexpr bool has_floats(Rule rule) { return rule != Rule::Bits && rule != Rule::Integer; }
constexpr bool has_integers(Rule rule) { return rule != Rule::Float; }

inline constexpr RowInfo kUnaryInfo[] = {
#define LAMINA_ROW_INFO(name, rule, saves, ...) {#name, #name "_", Rule::rule, Saves::saves},
    LAMINA_UNARY_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};
inline constexpr RowInfo kBinaryInfo[] = {
#define LAMINA_ROW_INFO(name, rule, forward, gx_saves, gx, gy_saves, gy) \
  {#name, #name "_", Rule::rule, Saves::None, gx_saves, gy_saves},
    LAMINA_BINARY_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};
inline constexpr RowInfo kTernaryInfo[] = {
#define LAMINA_ROW_INFO(name, rule, forward, gx_saves, gx, gy_saves, gy, gz_saves, gz) \
  {#name, #name "_", Rule::rule, Saves::None, gx_saves, gy_saves, gz_saves},
    LAMINA_TERNARY_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};
inline constexpr const char* kCompareNames[] = {
#define LAMINA_ROW_INFO(name, ...) #name,
    LAMINA_COMPARE_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};

constexpr const RowInfo& info(UnaryOp op) { return kUnaryInfo[static_cast<int>(op)]; }
constexpr const RowInfo& info(BinaryOp op) { return kBinaryInfo[static_cast<int>(op)]; }
constexpr const RowInfo& info(TernaryOp op) { return kTernaryInfo[static_cast<int>(op)]; }
constexpr const char* name_of(CompareOp op) { return kCompareNames[static_cast<int>(op)]; }

// Rows limited by arithmetic, not by memory.
constexpr bool is_heavy(BinaryOp op) {
  switch (op) {
    case BinaryOp::pow:
    case BinaryOp::atan2:
    case BinaryOp::hypot:
    case BinaryOp::fmod:
    case BinaryOp::remainder:
    case BinaryOp::floor_divide:
    case BinaryOp::xlogy:
    case BinaryOp::logaddexp:
    case BinaryOp::binary_cross_entropy:
    case BinaryOp::binary_cross_entropy_with_logits:
    case BinaryOp::kl_div:
    case BinaryOp::kl_div_log: return true;
    default: return false;
  }
}
constexpr bool is_heavy(TernaryOp op) {
  return op == TernaryOp::binary_cross_entropy_grad || op == TernaryOp::logit_entropy_grad;
}

// rows::exp_row::forward(x, a, b), rows::exp_row::backward(g, saved, a, b),
// rows::add_row::forward(x, y), ...
// Unqualified calls find scalar:: for plain numbers and, by argument, the functions beside Vec or
// Expr for those.
namespace rows {
using namespace scalar;  // NOLINT: the rows' vocabulary

#define LAMINA_DEFINE_UNARY(name_, rule_, saves_, forward_, backward_)                             \
  struct name_##_row {                                                                             \
    template <class V>                                                                             \
    LAMINA_HD static V forward([[maybe_unused]] V x, [[maybe_unused]] V a, [[maybe_unused]] V b) { \
      return forward_;                                                                             \
    }                                                                                              \
    template <class V>                                                                             \
    LAMINA_HD static V backward([[maybe_unused]] V g, [[maybe_unused]] V saved,                    \
                                [[maybe_unused]] V a, [[maybe_unused]] V b) {                      \
      [[maybe_unused]] const V& x = saved;                                                         \
      [[maybe_unused]] const V& y = saved;                                                         \
      return backward_;                                                                            \
    }                                                                                              \
  };
LAMINA_UNARY_ROWS(LAMINA_DEFINE_UNARY)
#undef LAMINA_DEFINE_UNARY

#define LAMINA_DEFINE_BINARY(name_, rule_, forward_, gx_saves_, gx_, gy_saves_, gy_) \
  struct name_##_row {                                                               \
    template <class V>                                                               \
    LAMINA_HD static V forward(V x, V y) {                                           \
      return forward_;                                                               \
    }                                                                                \
    template <class V>                                                               \
    static V gx([[maybe_unused]] V g, [[maybe_unused]] V x, [[maybe_unused]] V y) {  \
      return gx_;                                                                    \
    }                                                                                \
    template <class V>                                                               \
    static V gy([[maybe_unused]] V g, [[maybe_unused]] V x, [[maybe_unused]] V y) {  \
      return gy_;                                                                    \
    }                                                                                \
  };
LAMINA_BINARY_ROWS(LAMINA_DEFINE_BINARY)
#undef LAMINA_DEFINE_BINARY

#define LAMINA_DEFINE_TERNARY(name_, rule_, forward_, gx_saves_, gx_, gy_saves_, gy_, gz_saves_, \
                              gz_)                                                               \
  struct name_##_row {                                                                           \
    template <class V>                                                                           \
    LAMINA_HD static V forward(V x, V y, V z, [[maybe_unused]] V a) {                            \
      return forward_;                                                                           \
    }                                                                                            \
    template <class V>                                                                           \
    static V gx([[maybe_unused]] V g, [[maybe_unused]] V x, [[maybe_unused]] V y,                \
                [[maybe_unused]] V z, [[maybe_unused]] V a) {                                    \
      return gx_;                                                                                \
    }                                                                                            \
    template <class V>                                                                           \
    static V gy([[maybe_unused]] V g, [[maybe_unused]] V x, [[maybe_unused]] V y,                \
                [[maybe_unused]] V z, [[maybe_unused]] V a) {                                    \
      return gy_;                                                                                \
    }                                                                                            \
    template <class V>                                                                           \
    static V gz([[maybe_unused]] V g, [[maybe_unused]] V x, [[maybe_unused]] V y,                \
                [[maybe_unused]] V z, [[maybe_unused]] V a) {                                    \
      return gz_;                                                                                \
    }                                                                                            \
  };
LAMINA_TERNARY_ROWS(LAMINA_DEFINE_TERNARY)
#undef LAMINA_DEFINE_TERNARY

#define LAMINA_DEFINE_COMPARE(name_, forward_) \
  struct name_##_row {                         \
    template <class V>                         \
    LAMINA_HD static auto forward(V x, V y) {  \
      return forward_;                         \
    }                                          \
  };
LAMINA_COMPARE_ROWS(LAMINA_DEFINE_COMPARE)
#undef LAMINA_DEFINE_COMPARE

}  // namespace rows
}  // namespace lamina
