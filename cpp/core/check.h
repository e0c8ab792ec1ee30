// The one way to raise an error.
//
// An error names the op, the rule, and what arrived:
//
//   check<ValueError>(k == w, "linear: input has ", k, " features but weight expects ", w,
//                     line("input", input_sizes), line("weight", weight_sizes));
//
// The bindings map each class to the Python exception of the same name; nothing else in the library
// throws, asserts or exits.
#pragma once

#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace lamina {

class Error : public std::exception {
 public:
  explicit Error(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  void add(std::string_view more) { text_ += more; }
  // Lets the text begin with "op: ", whichever op it was about, or none.
  void name_op(std::string_view op);

 private:
  std::string text_;
};

#define LAMINA_ERROR_CLASS(Name)    \
  class Name final : public Error { \
   public:                          \
    using Error::Error;             \
  };
LAMINA_ERROR_CLASS(ValueError)
LAMINA_ERROR_CLASS(TypeError)
LAMINA_ERROR_CLASS(IndexError)
LAMINA_ERROR_CLASS(RuntimeError)
LAMINA_ERROR_CLASS(MemoryError)
LAMINA_ERROR_CLASS(LinAlgError)  // a RuntimeError to Python: a matrix has no such factors
LAMINA_ERROR_CLASS(NotImplementedError)
#undef LAMINA_ERROR_CLASS

namespace text {

void append(std::string& out, std::string_view part);
void append(std::string& out, double value);  // shortest text that reads back as the same number
void append(std::string& out, std::span<const int64_t> sizes);  // "[2, 3]"

template <class T>
  requires std::is_integral_v<T>
void append(std::string& out, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    out += value ? "True" : "False";
  } else if constexpr (std::is_same_v<T, char>) {
    out += value;
  } else {
    out += std::to_string(value);
  }
}

// A type of our own becomes text through its `std::string to_text(const T&)`, found by ADL.
template <class T>
  requires requires(const T& v) { std::string(to_text(v)); }
void append(std::string& out, const T& value) {
  out += to_text(value);
}

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (append(out, parts), ...);
  return out;
}

}  // namespace text

// One aligned detail line under an error: "\n  input  [32, 20]". It only refers to its parts; the
// text is made when the error is, so that a check that holds costs a comparison.
template <class... Parts>
struct Line {
  std::string_view label;
  std::tuple<const Parts&...> parts;

  friend std::string to_text(const Line& l) {
    std::string out = "\n  ";
    out += l.label;
    out.append(l.label.size() < 6 ? 7 - l.label.size() : 1, ' ');
    std::apply([&](const auto&... part) { (text::append(out, part), ...); }, l.parts);
    return out;
  }
};

template <class... Parts>
Line<Parts...> line(std::string_view label, const Parts&... parts) {
  return {label, {parts...}};
}

template <class E, class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void raise(const Parts&... parts) {
  throw E(text::concat(parts...));
}

template <class E, class... Parts>
inline void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    raise<E>(parts...);
}

}  // namespace lamina
