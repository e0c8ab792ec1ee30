#include "core/check.h"

#include <charconv>

namespace lamina::text {

void append(std::string& out, std::string_view part) { out += part; }

void append(std::string& out, double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

void append(std::string& out, std::span<const int64_t> sizes) {
  out += '[';
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (i != 0) out += ", ";
    out += std::to_string(sizes[i]);
  }
  out += ']';
}

}  // namespace lamina::text
