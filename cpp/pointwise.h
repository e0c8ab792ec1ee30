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
#define LAMINA_UNARY_ROWS(ROW)                                                                       \
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
  ROW(leaky_relu, Float,  Input,  select(x > V(0), x, x * a),               select(x > V(0), g, g * a)) \
  ROW(gelu,       Float,  Input,  gelu(x),                                  g * gelu_grad(x))        \
  ROW(gelu_tanh,  Float,  Input,  gelu_tanh(x),                             g * gelu_tanh_grad(x))   \
  ROW(silu,       Float,  Input,  x * sigmoid(x),                                                    \
      g * (sigmoid(x) * (V(1) + x * (V(1) - sigmoid(x)))))                                           \
  ROW(softplus,   Float,  Input,  softplus(x),                              g * sigmoid(x))          \
  ROW(clamp,      Float,  Input,  minimum(b, maximum(a, x)),                                         \
      select(x < a, V(0), select(x > b, V(0), g)))                                                   \
  ROW(power,      Float,  Input,  pow(x, a),                                                         \
      select(a == V(0), V(0), g * (a * pow(x, a - V(1)))))

//    name      rule    forward            saves for gx; gx         saves for gy; gy
// `saves` is the set of operands that the derivative reads: 0, kX, kY or kX | kY.
#define LAMINA_REAL_BINARY_ROWS(ROW)                                                                 \
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
                                           kX | kY, g * (y - x))

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
    case BinaryOp::logaddexp: return true;
    default: return false;
  }
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
    static V gx(V g, [[maybe_unused]] V x, [[maybe_unused]] V y, [[maybe_unused]] V z,           \
                [[maybe_unused]] V a) {                                                          \
      return gx_;                                                                                \
    }                                                                                            \
    template <class V>                                                                           \
    static V gy(V g, [[maybe_unused]] V x, [[maybe_unused]] V y, [[maybe_unused]] V z,           \
                [[maybe_unused]] V a) {                                                          \
      return gy_;                                                                                \
    }                                                                                            \
    template <class V>                                                                           \
    static V gz(V g, [[maybe_unused]] V x, [[maybe_unused]] V y, [[maybe_unused]] V z,           \
                [[maybe_unused]] V a) {                                                          \
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
