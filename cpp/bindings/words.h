// Words that stand for a choice.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

#include "bindings/args.h"
#include "device.h"

namespace lamina::bindings {

inline Activation activation(const char* op, Args& a, int i) {
  constexpr std::string_view kNames[] = {"none", "relu", "tanh", "sigmoid", "gelu"};
  const std::string_view name = a.text(i);
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  check<ValueError>(found != std::end(kNames), op,
                    ": activation must be 'none', 'relu', 'tanh', 'sigmoid' or 'gelu', got '", name,
                    "'");
  return static_cast<Activation>(found - std::begin(kNames));
}

}  // namespace lamina::bindings
