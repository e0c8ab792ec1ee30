// Second names of functions and methods, in-place forms included: PyTorch's.

#include <deque>

#include "bindings/args.h"
#include "bindings/bind.h"

namespace lamina::bindings {

namespace {

struct Alias {
  std::string_view name, of;
};

constexpr Alias kAliases[] = {
    {"absolute", "abs"},  {"negative", "neg"},     {"fix", "trunc"},     {"clip", "clamp"},
    {"subtract", "sub"},  {"multiply", "mul"},     {"divide", "div"},    {"true_divide", "div"},
    {"greater", "gt"},    {"greater_equal", "ge"}, {"less", "lt"},       {"less_equal", "le"},
    {"not_equal", "ne"},  {"arcsin", "asin"},      {"arccos", "acos"},   {"arctan", "atan"},
    {"arctan2", "atan2"}, {"arcsinh", "asinh"},    {"arccosh", "acosh"}, {"arctanh", "atanh"},
};

// `text` with `of` before each parenthesis that opens a line replaced by `name`.
std::string renamed(std::string_view text, std::string_view of, std::string_view name) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    if (line.starts_with(of) && line.substr(of.size()).starts_with('(')) {
      out += name;
      line.remove_prefix(of.size());
    }
    out += line;
  }
  return out;
}

struct Owned {
  std::string name, signature, doc, method_doc;
  Def def;
  Function function;
};

void add_alias(const std::string& name, const std::string& of) {
  static std::deque<Owned> owned;  // lives as long as the module's tables
  Registry& r = registry();
  const auto copy = [&](std::vector<PyMethodDef>& list, const char* doc) {
    for (size_t i = 0, n = list.size(); i < n; ++i) {
      if (of != list[i].ml_name) continue;
      PyMethodDef entry = list[i];
      entry.ml_name = owned.back().name.c_str();
      entry.ml_doc = doc;
      list.push_back(entry);
      return;
    }
  };
  for (size_t i = 0, n = r.all.size(); i < n; ++i) {
    const Function& f = *r.all[i];
    if (f.name != of) continue;
    Owned& o = owned.emplace_back();
    o.name = name;
    o.signature = renamed(f.def->signature, of, name);
    o.doc = renamed(f.doc, of, name);
    o.method_doc = renamed(f.method_doc, of, name);
    o.def = {o.signature.c_str(), f.def->where, f.def->body, f.def->doc};
    o.function.def = &o.def;
    if (o.def.where & kFunction) copy(r.functions, o.doc.c_str());
    if (o.def.where & kMethod) copy(r.methods, o.method_doc.c_str());
    r.all.push_back(&o.function);
  }
}

}  // namespace

void bind_aliases() {
  for (const Alias& alias : kAliases) {
    const std::string name(alias.name), of(alias.of);
    add_alias(name, of);
    add_alias(name + '_', of + '_');
  }
}

}  // namespace lamina::bindings
