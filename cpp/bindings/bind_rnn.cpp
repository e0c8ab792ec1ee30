// Recurrent layers, and sequences of several lengths.

#include "bindings/args.h"
#include "bindings/bind.h"
#include "ops/ops.h"

namespace lamina::bindings {

namespace {

// The first line of each has a padded batch, the second packed data.
template <Recurrence kKind>
std::vector<Tensor> stack(Args& a) {
  const bool packed = a.overload() == 1;
  const int at = packed ? 2 : 1;
  // hx: a list of two for an LSTM, one tensor or None for the others.
  const Tensor one = kKind == Recurrence::Lstm ? Tensor() : a.tensor(at);
  const std::span<const Tensor> hx = kKind == Recurrence::Lstm
                                         ? a.tensors(at)
                                         : std::span<const Tensor>(&one, one.defined() ? 1 : 0);
  return ops::recurrent(kKind, a.tensor(0), packed ? a.tensor(1) : Tensor(), hx, a.tensors(at + 1),
                        {.layers = a.integer(at + 3),
                         .biases = a.flag(at + 2),
                         .bidirectional = a.flag(at + 6),
                         .batch_first = !packed && a.flag(at + 7),
                         .training = a.flag(at + 5),
                         .dropout = a.real(at + 4)});
}

template <Recurrence kKind>
std::vector<Tensor> cell(Args& a) {
  const Tensor one = kKind == Recurrence::Lstm ? Tensor() : a.tensor(1);
  const std::span<const Tensor> hx = kKind == Recurrence::Lstm
                                         ? a.tensors(1)
                                         : std::span<const Tensor>(&one, one.defined() ? 1 : 0);
  std::vector<Tensor> weights{a.tensor(2), a.tensor(3)};
  if (a.has(4) || a.has(5)) {
    check<ValueError>(a.has(4) && a.has(5), "b_ih and b_hh must be given together");
    weights.push_back(a.tensor(4));
    weights.push_back(a.tensor(5));
  }
  return ops::recurrent_cell(kKind, a.tensor(0), hx, weights);
}

#define STACK(name, kind, hx, doc)                                                               \
  def(                                                                                           \
      #name "(Tensor input, " hx                                                                 \
            " hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, " \
            "bool bidirectional, bool batch_first)\n" #name                                      \
            "(Tensor data, Tensor batch_sizes, " hx                                              \
            " hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, " \
            "bool bidirectional)",                                                               \
      kFunction, [](Args& a) { return stack<Recurrence::kind>(a); }, doc)

#define CELL(name, kind, hx, doc, result)                                           \
  def(                                                                              \
      #name "(Tensor input, " hx                                                    \
            " hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None)", \
      kFunction, [](Args& a) { return result; }, doc)

constexpr Def kDefs[] = {
    STACK(lstm, Lstm, "Tensor[]",
          "Layers of long short-term memory over sequences: output, h_n and c_n. An empty hx "
          "stands for zeros."),
    STACK(gru, Gru, "Tensor?", "Layers of gated recurrent units over sequences: output and h_n."),
    STACK(rnn_tanh, Tanh, "Tensor?",
          "Layers of recurrent units with tanh over sequences: output and h_n."),
    STACK(rnn_relu, Relu, "Tensor?",
          "Layers of recurrent units with ReLU over sequences: output and h_n."),
    CELL(lstm_cell, Lstm, "Tensor[]",
         "One step of long short-term memory: h and c. An empty hx stands for zeros.",
         cell<Recurrence::Lstm>(a)),
    CELL(gru_cell, Gru, "Tensor?", "One step of gated recurrent units.",
         cell<Recurrence::Gru>(a)[0]),
    CELL(rnn_tanh_cell, Tanh, "Tensor?", "One step of recurrent units with tanh.",
         cell<Recurrence::Tanh>(a)[0]),
    CELL(rnn_relu_cell, Relu, "Tensor?", "One step of recurrent units with ReLU.",
         cell<Recurrence::Relu>(a)[0]),
    def(
        "_pack_padded_sequence(Tensor input, Tensor lengths, bool batch_first)", kFunction,
        [](Args& a) { return ops::pack_padded_sequence(a.tensor(0), a.tensor(1), a.flag(2)); },
        "The rows of a padded batch, longest sequence first, that are no padding, step by step; "
        "and how many each step has."),
    def(
        "_pad_packed_sequence(Tensor data, Tensor batch_sizes, bool batch_first, "
        "number padding_value, int total_length)",
        kFunction,
        [](Args& a) {
          return ops::pad_packed_sequence(a.tensor(0), a.tensor(1), a.flag(2), a.number(3),
                                          a.integer(4));
        },
        "The padded batch of packed rows, and the lengths; total_length 0: that of the longest."),
    def(
        "_pad_sequence(Tensor[] sequences, bool batch_first, number padding_value, bool left)",
        kFunction,
        [](Args& a) { return ops::pad_sequence(a.tensors(0), a.flag(1), a.number(2), a.flag(3)); },
        "Sequences of several lengths as one padded batch."),
};

}  // namespace

void bind_rnn() { bind<kDefs>(); }

}  // namespace lamina::bindings
