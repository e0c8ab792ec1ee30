#include "core/check.h"

#include <cctype>
#include <charconv>

namespace lamina {

void Error::name_op(std::string_view op) {
  size_t end = 0;
  while (end < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[end])) ||
                                text_[end] == '_' || text_[end] == '.'))
    ++end;
  const bool named = end > 0 && text_.compare(end, 2, ": ") == 0;
  text_ = std::string(op) + (named ? text_.substr(end) : ": " + text_);
}

}  // namespace lamina

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
