// Reading and printing the one-line signatures of args.h.

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bindings/args.h"

namespace lamina::bindings {

namespace {

using Text = std::string_view;

Text trimmed(Text s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

Kind kind_of(Text name) {
  constexpr std::pair<Text, Kind> kKinds[] = {
      {"Tensor", Kind::Tensor},    {"operand", Kind::Operand},
      {"number", Kind::Number},    {"float", Kind::Float},
      {"int", Kind::Int},          {"bool", Kind::Bool},
      {"str", Kind::Str},          {"dtype", Kind::DType},
      {"device", Kind::Device},    {"int[]", Kind::Ints},
      {"Tensor[]", Kind::Tensors}, {"Tensor?[]", Kind::MaybeTensors},
      {"object", Kind::Object},    {"generator", Kind::Generator},
  };
  for (const auto& [text, kind] : kKinds)
    if (text == name) return kind;
  raise<RuntimeError>("bindings: no argument type ", name);
}

void set_default(Param& p, Text value) {
  p.required = false;
  p.default_text = value;
  Slot& s = p.fallback;
  s = Slot{};
  s.given = value != "None";
  if (!s.given) return;
  switch (p.kind) {
    case Kind::Bool: s.flag = value == "True"; break;
    case Kind::Ints: break;  // empty: the op has the default that the text names
    case Kind::Int: s.i = std::atoll(p.default_text.c_str()); break;
    case Kind::Float: s.d = std::atof(p.default_text.c_str()); break;
    case Kind::Number:
      s.d = std::atof(p.default_text.c_str());
      s.i = std::atoll(p.default_text.c_str());
      s.number = value.find('.') == Text::npos ? Scalar::Kind::Int : Scalar::Kind::Float;
      break;
    case Kind::Str:
      p.default_string = value.substr(1, value.size() - 2);
      break;  // pointed to once the parameters have their final place
    default: raise<RuntimeError>("bindings: no default of this type: ", value);
  }
}

Signature parse(Text line) {
  Signature sig;
  bool keyword_only = false;
  Text rest = line.substr(line.find('(') + 1);
  rest = rest.substr(0, rest.rfind(')'));
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const Text part = trimmed(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (part == "*") {
      keyword_only = true;
      continue;
    }
    const size_t space = part.find(' ');
    Text type = part.substr(0, space);
    Text name = part.substr(space + 1);
    Param p{};
    p.required = true;
    p.variadic = type.front() == '*';
    if (p.variadic) type.remove_prefix(1);
    p.none_allowed = type.back() == '?';
    if (p.none_allowed) type.remove_suffix(1);
    p.kind = kind_of(type);
    p.keyword_only = keyword_only;
    if (p.variadic) keyword_only = true;
    const size_t equals = name.find('=');
    if (equals != Text::npos) {
      set_default(p, name.substr(equals + 1));
      name = name.substr(0, equals);
    }
    p.name = PyUnicode_InternFromString(std::string(name).c_str());
    if (!p.keyword_only) ++sig.positional;
    sig.params.push_back(std::move(p));
  }
  check<RuntimeError>(sig.params.size() <= kMaxParams, "bindings: too many arguments: ", line);
  return sig;
}

}  // namespace

// "sum(input, dim=None, *, dtype=None)"
std::string Signature::text(bool method, const char* name) const {
  std::string out = name;
  out += '(';
  bool star = false, first = true;
  for (size_t i = method ? 1 : 0; i < params.size(); ++i) {
    const Param& p = params[i];
    if (!first) out += ", ";
    first = false;
    if (p.keyword_only && !star) {
      out += "*, ";
      star = true;
    }
    if (p.variadic) {
      out += '*';
      star = true;
    }
    out += PyUnicode_AsUTF8(p.name);
    if (!p.required) text::append(out, text::concat("=", p.default_text));
  }
  return out + ')';
}

void prepare(Function& f, const Def& d) {
  f.def = &d;
  Text rest = d.signature;
  f.name = rest.substr(0, rest.find('('));
  f.attribute = f.name;
  std::replace(f.attribute.begin(), f.attribute.end(), '.', '_');
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    f.overloads.push_back(parse(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (Signature& sig : f.overloads)
    for (Param& p : sig.params)
      if (p.kind == Kind::Str && p.fallback.given) p.fallback.p = p.default_string.c_str();
  for (const bool method : {false, true}) {
    std::string& doc = method ? f.method_doc : f.doc;
    if (f.overloads.size() == 1) {
      // The form from which inspect.signature reads.
      doc = f.overloads[0].text(method, f.attribute.c_str());
      if (method) doc.insert(doc.find('(') + 1, doc.ends_with("()") ? "$self" : "$self, ");
      doc += "\n--\n\n";
    } else {
      for (const Signature& sig : f.overloads) doc += sig.text(method, f.attribute.c_str()) + '\n';
      doc += '\n';
    }
    doc += d.doc;
  }
}

}  // namespace lamina::bindings
