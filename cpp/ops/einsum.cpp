// Einstein's sums: "bij,bjk->bik". Operands are taken from left to right; each pair is brought to
// [batch, rows, summed] and [batch, summed, columns], which is what the matrix product takes.
#include <algorithm>
#include <string>

#include "ops/common.h"

namespace lamina::ops {
namespace {

// A letter of the equation as it is; the dimensions that an ellipsis covers as -1, -2, ... from the
// last one, so that those of all operands line up as in broadcasting.
using Label = int;

std::string text_of(Label label) {
  return label < 0 ? std::string("...") : std::string(1, static_cast<char>(label));
}

// An operand on its way: a name for each of its dimensions.
struct Term {
  Tensor tensor;
  std::vector<Label> labels;

  int find(Label label) const {
    const auto at = std::find(labels.begin(), labels.end(), label);
    return at == labels.end() ? -1 : static_cast<int>(at - labels.begin());
  }
  bool has(Label label) const { return find(label) >= 0; }
  int64_t size(Label label) const { return tensor.size(find(label)); }
  void drop(Label label) {  // of size 1
    const int d = find(label);
    tensor = squeeze(tensor, d);
    labels.erase(labels.begin() + d);
  }
  void sum_over(const std::vector<Label>& gone) {
    if (gone.empty()) return;
    Dims dims;
    std::vector<Label> left;
    for (size_t i = 0; i < labels.size(); ++i) {
      if (std::find(gone.begin(), gone.end(), labels[i]) == gone.end())
        left.push_back(labels[i]);
      else
        dims.push_back(static_cast<int64_t>(i));
    }
    tensor = sum(tensor, dims, false, tensor.dtype());
    labels = std::move(left);
  }
};

// The labels between two commas, or after the arrow; an ellipsis becomes the one label kDots.
constexpr Label kDots = 0;

std::vector<Label> parse(std::string_view part, std::string_view equation) {
  std::vector<Label> out;
  for (size_t i = 0; i < part.size(); ++i) {
    const char c = part[i];
    if (c == ' ') continue;
    if (c == '.') {
      check<ValueError>(part.substr(i, 3) == "...", "einsum: a single '.' in '", equation,
                        "'; an ellipsis has three");
      check<ValueError>(std::find(out.begin(), out.end(), kDots) == out.end(),
                        "einsum: two ellipses in one operand of '", equation, "'");
      out.push_back(kDots);
      i += 2;
      continue;
    }
    check<ValueError>((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), "einsum: '", c, "' in '",
                      equation, "'; subscripts are letters");
    out.push_back(c);
  }
  return out;
}

// The operand with a name for each dimension: ellipses spelled out, and a letter that appears twice
// made a diagonal.
Term named(const Tensor& t, std::vector<Label> given, size_t k, std::string_view equation) {
  Term term{t, {}};
  const bool dots = std::find(given.begin(), given.end(), kDots) != given.end();
  const int letters = static_cast<int>(given.size()) - (dots ? 1 : 0);
  check<ValueError>(dots ? letters <= t.rank() : letters == t.rank(), "einsum: operand ", k,
                    " has ", t.rank(), " dimensions but '", equation, "' gives it ", letters,
                    dots ? " and an ellipsis" : "", line("operand", t));
  const int covered = t.rank() - letters;
  for (const Label label : given) {
    if (label != kDots) term.labels.push_back(label);
    for (int i = covered; label == kDots && i > 0; --i) term.labels.push_back(-i);
  }
  for (int i = 0; i < static_cast<int>(term.labels.size()); ++i)
    for (int j = i + 1; j < static_cast<int>(term.labels.size());) {
      const Label label = term.labels[static_cast<size_t>(i)];
      if (term.labels[static_cast<size_t>(j)] != label) {
        ++j;
        continue;
      }
      check<ValueError>(term.tensor.size(i) == term.tensor.size(j), "einsum: subscript ",
                        text_of(label), " stands for sizes ", term.tensor.size(i), " and ",
                        term.tensor.size(j), " of operand ", k, line("operand", t));
      term.tensor = movedim(diagonal(term.tensor, 0, i, j), Dims{-1}, Dims{i});
      term.labels.erase(term.labels.begin() + j);
    }
  return term;
}

Tensor ordered(const Term& term, const std::vector<Label>& order) {
  Dims dims;
  for (const Label label : order) dims.push_back(term.find(label));
  return permute(term.tensor, dims);
}

// The product of two terms, summed over what `kept` does not say is needed later.
template <class Kept>
Term product(Term a, Term b, Kept&& kept) {
  // A size of 1 broadcasts: it is no dimension of its own beside a larger one.
  for (const Label label : std::vector<Label>(a.labels))
    if (b.has(label) && a.size(label) != b.size(label)) (a.size(label) == 1 ? a : b).drop(label);
  std::vector<Label> batch, rows, columns, summed, only_a, only_b;
  for (const Label label : a.labels) {
    if (b.has(label))
      (kept(label) ? batch : summed).push_back(label);
    else
      (kept(label) ? rows : only_a).push_back(label);
  }
  for (const Label label : b.labels)
    if (!a.has(label)) (kept(label) ? columns : only_b).push_back(label);
  a.sum_over(only_a);
  b.sum_over(only_b);

  std::vector<Label> order_a = batch, order_b = batch, result = batch;
  Dims sizes;
  int64_t counts[4] = {1, 1, 1, 1};  // of batch, rows, columns, summed
  const auto extend = [](std::vector<Label>& to, const std::vector<Label>& by) {
    to.insert(to.end(), by.begin(), by.end());
  };
  for (const Label l : batch) sizes.push_back(a.size(l)), counts[0] *= a.size(l);
  for (const Label l : rows) sizes.push_back(a.size(l)), counts[1] *= a.size(l);
  for (const Label l : columns) sizes.push_back(b.size(l)), counts[2] *= b.size(l);
  for (const Label l : summed) counts[3] *= a.size(l);
  extend(order_a, rows);
  extend(order_a, summed);
  extend(result, rows);
  extend(result, columns);
  // Without a sum it is an elementwise product; the matrix product has no integers.
  const bool by_matrix = !summed.empty() && is_floating(a.tensor.dtype());
  extend(order_b, by_matrix ? summed : columns);
  extend(order_b, by_matrix ? columns : summed);
  const auto [n, m, k, s] = counts;
  const Tensor x = ordered(a, order_a), y = ordered(b, order_b);
  if (by_matrix)
    return {reshape(bmm(reshape(x, Dims{n, m, s}), reshape(y, Dims{n, s, k})), sizes), result};
  Tensor z = mul(reshape(x, Dims{n, m, 1, s}), reshape(y, Dims{n, 1, k, s}));
  const int64_t last = -1;
  return {reshape(sum(z, std::span(&last, 1), false, z.dtype()), sizes), result};
}

}  // namespace

Tensor einsum(const char* text, std::span<const Tensor> operands) {
  const std::string_view equation = text;
  check<ValueError>(!operands.empty(), "einsum: needs at least one operand");
  const size_t arrow = equation.find("->");
  std::string_view inputs = equation.substr(0, arrow);
  std::vector<Term> terms;
  for (size_t k = 0; k < operands.size(); ++k) {
    const size_t comma = inputs.find(',');
    const bool last = k + 1 == operands.size();
    check<ValueError>((comma == std::string_view::npos) == last, "einsum: '", equation,
                      "' does not have as many operands as are given, ", operands.size());
    terms.push_back(named(operands[k], parse(inputs.substr(0, comma), equation), k, equation));
    if (!last) inputs.remove_prefix(comma + 1);
  }

  std::vector<Label> all;  // in the order of an implicit output
  std::vector<int64_t> sizes;
  for (size_t k = 0; k < terms.size(); ++k)
    for (const Label label : terms[k].labels) {
      const int64_t n = terms[k].size(label);
      const auto at_ = std::find(all.begin(), all.end(), label);
      if (at_ == all.end()) {
        all.push_back(label);
        sizes.push_back(n);
        continue;
      }
      int64_t& known = sizes[static_cast<size_t>(at_ - all.begin())];
      check<ValueError>(n == known || n == 1 || known == 1, "einsum: subscript ", text_of(label),
                        " has size ", n, " in operand ", k, " but ", known, " before",
                        line("operand", operands[k]));
      if (known == 1) known = n;
    }
  std::sort(all.begin(), all.end());

  std::vector<Label> output;
  if (arrow == std::string_view::npos) {
    // Ellipses first, then the letters that appear once, upper case before lower case.
    std::string letters;
    for (const char c : equation)
      if (c != ' ' && c != ',' && c != '.') letters += c;
    for (const Label label : all)
      if (label < 0 || std::count(letters.begin(), letters.end(), static_cast<char>(label)) == 1)
        output.push_back(label);
  } else {
    for (const Label label : parse(equation.substr(arrow + 2), equation)) {
      if (label == kDots) {
        for (const Label dots : all)
          if (dots < 0) output.push_back(dots);
        continue;
      }
      check<ValueError>(std::find(output.begin(), output.end(), label) == output.end(),
                        "einsum: subscript ", text_of(label), " appears twice in the output of '",
                        equation, "'");
      check<ValueError>(std::find(all.begin(), all.end(), label) != all.end(), "einsum: subscript ",
                        text_of(label), " of the output of '", equation, "' is in no operand");
      output.push_back(label);
    }
  }

  Term total = terms[0];
  for (size_t k = 1; k < terms.size(); ++k)
    total = product(std::move(total), terms[k], [&](Label label) {
      if (std::find(output.begin(), output.end(), label) != output.end()) return true;
      for (size_t later = k + 1; later < terms.size(); ++later)
        if (terms[later].has(label)) return true;
      return false;
    });
  std::vector<Label> gone;
  for (const Label label : total.labels)
    if (std::find(output.begin(), output.end(), label) == output.end()) gone.push_back(label);
  total.sum_over(gone);
  return ordered(total, output);
}

}  // namespace lamina::ops
