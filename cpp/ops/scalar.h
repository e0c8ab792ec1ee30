// A number that came from Python, with its kind.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace lamina {

struct Scalar {
  enum class Kind : uint8_t { Bool, Int, Float };
  Kind kind = Kind::Float;
  int64_t i = 0;
  double d = 0;

  Scalar(bool v) : kind(Kind::Bool), i(v), d(v) {}
  Scalar(int v) : Scalar(int64_t{v}) {}
  Scalar(int64_t v) : kind(Kind::Int), i(v), d(static_cast<double>(v)) {}
  Scalar(double v) : d(v) {}

  double value() const { return d; }
};

}  // namespace lamina
