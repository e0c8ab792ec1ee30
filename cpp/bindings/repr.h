// How tensors print.
#pragma once

#include <cmath>
#include <optional>

namespace lamina::bindings {

struct PrintOptions {
  int precision = 4;
  double threshold = 1000;  // above it only the edges are shown
  int edge_items = 3;
  int line_width = 80;
  std::optional<bool> scientific;  // unset: where the values ask for it
};

PrintOptions& print_options();  // guarded by the GIL

}  // namespace lamina::bindings
