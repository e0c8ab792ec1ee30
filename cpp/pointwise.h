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
  Float,   // integers and bools become the default float dtype (exp, div)
  Any,     // every dtype; the result has the promoted one (add, abs)
  Number,  // as Any, but bool is refused (neg, sub)
};

// clang-format off
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
  ROW(reciprocal, Float,  Output, V(1) / x,                                 -g * y * y)              \
  ROW(sqrt,       Float,  Output, sqrt(x),                                  g / (y + y))             \
  ROW(rsqrt,      Float,  Output, V(1) / sqrt(x),                           V(-0.5) * g * y * y * y) \
  ROW(exp,        Float,  Output, exp(x),                                   g * y)                   \
  ROW(expm1,      Float,  Output, expm1(x),                                 g * (y + V(1)))          \
  ROW(log,        Float,  Input,  log(x),                                   g / x)                   \
  ROW(log1p,      Float,  Input,  log1p(x),                                 g / (V(1) + x))          \
  ROW(sin,        Float,  Input,  sin(x),                                   g * cos(x))              \
  ROW(cos,        Float,  Input,  cos(x),                                   -g * sin(x))             \
  ROW(tanh,       Float,  Output, tanh(x),                                  g * (V(1) - y * y))      \
  ROW(sigmoid,    Float,  Output, sigmoid(x),                               g * (y * (V(1) - y)))    \
  ROW(erf,        Float,  Input,  erf(x),                                                            \
      g * V(1.1283791670955126) * exp(-(x * x)))                                                     \
  ROW(relu,       Number, Output, maximum(x, V(0)),                         select(y > V(0), g, V(0))) \
  ROW(leaky_relu, Float,  Input,  select(x > V(0), x, x * a),               select(x > V(0), g, g * a)) \
  ROW(gelu,       Float,  Input,  gelu(x),                                  g * gelu_grad(x))        \
  ROW(gelu_tanh,  Float,  Input,  gelu_tanh(x),                             g * gelu_tanh_grad(x))   \
  ROW(silu,       Float,  Input,  x * sigmoid(x),                                                    \
      g * (sigmoid(x) * (V(1) + x * (V(1) - sigmoid(x)))))                                           \
  ROW(softplus,   Float,  Input,  softplus(x),                              g * sigmoid(x))

//    name      rule    forward            saves for gx; gx         saves for gy; gy
// `saves` is the set of operands that the derivative reads: 0, kX, kY or kX | kY.
#define LAMINA_BINARY_ROWS(ROW)                                                                      \
  ROW(add,      Any,    x + y,             0,       g,              0,       g)                      \
  ROW(sub,      Number, x - y,             0,       g,              0,       -g)                     \
  ROW(mul,      Any,    x * y,             kY,      g * y,          kX,      g * x)                  \
  ROW(div,      Float,  x / y,             kY,      g / y,          kX | kY, -(g * x) / (y * y))     \
  ROW(pow,      Number, pow(x, y),         kX | kY, select(y == V(0), V(0), g * (y * pow(x, y - V(1)))), \
                                           kX | kY, select(x == V(0), V(0), g * (pow(x, y) * log(x)))) \
  ROW(maximum,  Any,    maximum(x, y),     kX | kY, select(x == y, g * V(0.5), select(x > y, g, V(0))), \
                                           kX | kY, select(x == y, g * V(0.5), select(y > x, g, V(0)))) \
  ROW(minimum,  Any,    minimum(x, y),     kX | kY, select(x == y, g * V(0.5), select(x < y, g, V(0))), \
                                           kX | kY, select(x == y, g * V(0.5), select(y < x, g, V(0)))) \
  ROW(atan2,    Float,  atan2(x, y),       kX | kY, g * (y / (x * x + y * y)),                       \
                                           kX | kY, -g * (x / (x * x + y * y)))

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
enum class CompareOp : uint8_t { LAMINA_COMPARE_ROWS(LAMINA_ROW_NAME) kCount };
#undef LAMINA_ROW_NAME
inline constexpr int kUnaryOps = static_cast<int>(UnaryOp::kCount);
inline constexpr int kBinaryOps = static_cast<int>(BinaryOp::kCount);
inline constexpr int kCompareOps = static_cast<int>(CompareOp::kCount);

enum SavedOperands : unsigned { kX = 1, kY = 2 };

struct RowInfo {
  const char* name;
  Rule rule;
  Saves saves;                          // unary
  unsigned gx_saves = 0, gy_saves = 0;  // binary
};

inline constexpr RowInfo kUnaryInfo[] = {
#define LAMINA_ROW_INFO(name, rule, saves, ...) {#name, Rule::rule, Saves::saves},
    LAMINA_UNARY_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};
inline constexpr RowInfo kBinaryInfo[] = {
#define LAMINA_ROW_INFO(name, rule, forward, gx_saves, gx, gy_saves, gy) \
  {#name, Rule::rule, Saves::None, gx_saves, gy_saves},
    LAMINA_BINARY_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};
inline constexpr const char* kCompareNames[] = {
#define LAMINA_ROW_INFO(name, ...) #name,
    LAMINA_COMPARE_ROWS(LAMINA_ROW_INFO)
#undef LAMINA_ROW_INFO
};

constexpr const RowInfo& info(UnaryOp op) { return kUnaryInfo[static_cast<int>(op)]; }
constexpr const RowInfo& info(BinaryOp op) { return kBinaryInfo[static_cast<int>(op)]; }
constexpr const char* name_of(CompareOp op) { return kCompareNames[static_cast<int>(op)]; }

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
    static V gx(V g, [[maybe_unused]] V x, [[maybe_unused]] V y) {                   \
      return gx_;                                                                    \
    }                                                                                \
    template <class V>                                                               \
    static V gy(V g, [[maybe_unused]] V x, [[maybe_unused]] V y) {                   \
      return gy_;                                                                    \
    }                                                                                \
  };
LAMINA_BINARY_ROWS(LAMINA_DEFINE_BINARY)
#undef LAMINA_DEFINE_BINARY

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
