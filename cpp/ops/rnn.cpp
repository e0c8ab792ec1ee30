// Recurrent layers: one Node for a layer and all steps of its sequences, both directions included.
#include <memory>
#include <numeric>

#include "ops/common.h"

namespace lamina::ops {
namespace {

const char* name_of(Recurrence kind) {
  constexpr const char* kNames[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
  return kNames[static_cast<int>(kind)];
}

// What the layers of a stack have in common.
struct Form {
  Recurrence kind;
  const char* op;
  std::shared_ptr<const std::vector<int64_t>> batch;  // rows of each step
  int64_t directions;
  int64_t per_direction;  // weights: 2, or 4 with biases
  int64_t units;
  bool cell = false;  // one step: its weights have no layer in their names

  bool lstm() const { return kind == Recurrence::Lstm; }
  bool keeps() const { return lstm() || kind == Recurrence::Gru; }
  int64_t gates() const { return gates_of(kind); }
  int64_t sequences() const { return batch->front(); }
};

// A layer's inputs, and what its forward pass keeps for its backward.
struct Pass {
  Tensor x, h0, c0;             // [total, I], [directions, N, H]
  std::vector<Tensor> weights;  // of one direction, then of the other
  Tensor y, gates, kept;        // [total, directions H], [directions, total, ...]

  const Tensor& input(size_t i) const {
    return i == 0 ? x : i == 1 ? h0 : i == 2 ? c0 : weights[i - 3];
  }
  std::vector<Tensor> inputs() const {
    std::vector<Tensor> all{x, h0, c0};
    all.insert(all.end(), weights.begin(), weights.end());
    return all;
  }
};

// --- from recorded ops, for a gradient of the gradient ---

struct State {
  Tensor h, c;
};

State composed_step(Recurrence kind, const Tensor& from_x, const Tensor& from_h, const State& s) {
  if (kind == Recurrence::Tanh) return {tanh(add(from_x, from_h)), {}};
  if (kind == Recurrence::Relu) return {relu(add(from_x, from_h)), {}};
  if (kind == Recurrence::Lstm) {
    const std::vector<Tensor> gates = chunk(add(from_x, from_h), 4, 1);
    const Tensor c = add(mul(sigmoid(gates[1]), s.c), mul(sigmoid(gates[0]), tanh(gates[2])));
    return {mul(sigmoid(gates[3]), tanh(c)), c};
  }
  const std::vector<Tensor> a = chunk(from_x, 3, 1), b = chunk(from_h, 3, 1);
  const Tensor z = sigmoid(add(a[1], b[1]));
  const Tensor n = tanh(add(a[2], mul(sigmoid(add(a[0], b[0])), b[2])));
  return {add(n, mul(z, sub(s.h, n))), {}};
}

// `rows` in place of the first of `all`.
Tensor with_first(const Tensor& all, const Tensor& rows) {
  if (rows.size(0) == all.size(0)) return rows;
  const Tensor parts[] = {rows, slice(all, 0, rows.size(0), all.size(0))};
  return cat(parts);
}

std::vector<Tensor> composed(const Form& f, const Pass& p) {
  std::vector<Tensor> y, h_n, c_n;
  const auto steps = static_cast<int64_t>(f.batch->size());
  for (int64_t d = 0; d < f.directions; ++d) {
    const Tensor* const w = p.weights.data() + d * f.per_direction;
    const bool biases = f.per_direction == 4;
    const auto initial = [&](const Tensor& given) {
      return given.defined() ? select(given, 0, d)
                             : zeros({f.sequences(), f.units}, p.x.dtype(), p.x.device());
    };
    State s{initial(p.h0), f.lstm() ? initial(p.c0) : Tensor()};
    const Tensor from_x = linear(p.x, w[0], biases ? w[2] : Tensor());
    std::vector<Tensor> states(static_cast<size_t>(steps));
    int64_t at = d == 0 ? 0 : p.x.size(0);
    for (int64_t i = 0; i < steps; ++i) {
      const auto t = static_cast<size_t>(d == 0 ? i : steps - 1 - i);
      const int64_t rows = (*f.batch)[t];
      if (d != 0) at -= rows;
      const State before{slice(s.h, 0, 0, rows), f.lstm() ? slice(s.c, 0, 0, rows) : Tensor()};
      const Tensor from_h = linear(before.h, w[1], biases ? w[3] : Tensor());
      const State now = composed_step(f.kind, slice(from_x, 0, at, at + rows), from_h, before);
      if (d == 0) at += rows;
      states[t] = now.h;
      s.h = with_first(s.h, now.h);
      if (f.lstm()) s.c = with_first(s.c, now.c);
    }
    y.push_back(cat(states));
    h_n.push_back(s.h);
    if (f.lstm()) c_n.push_back(s.c);
  }
  std::vector<Tensor> out{cat(y, 1), stack(h_n)};
  if (f.lstm()) out.push_back(stack(c_n));
  return out;
}

void composed_backward(Backward& b, const Form& f, const Pass& saved) {
  // Under identities of their own: nothing may flow through what made one input from another.
  Pass p;
  std::vector<Tensor> inputs = saved.inputs(), wanted;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!b.needs(i)) continue;
    inputs[i] = alias_view(inputs[i]);
    wanted.push_back(inputs[i]);
  }
  p.x = inputs[0];
  p.h0 = inputs[1];
  p.c0 = inputs[2];
  p.weights.assign(inputs.begin() + 3, inputs.end());
  std::vector<Tensor> results = composed(f, p), roots, grads;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!b.grad(i).defined() || !requires_grad(results[i])) continue;
    roots.push_back(results[i]);
    grads.push_back(b.grad(i));
  }
  std::vector<Tensor> found = lamina::grad(roots, wanted, grads, true, true, true);
  for (size_t i = 0, k = 0; i < inputs.size(); ++i)
    if (b.needs(i)) b.set(i, std::move(found[k++]));
}

// --- fused ---

// Tensors as the device takes them, for a call's length.
class Refs {
 public:
  const TensorRef operator()(Tensor t) {
    if (!t.defined()) return {};
    own_.push_back(std::move(t));
    return own_.back().ref();
  }
  // Of [directions, rows, columns].
  TensorRef direction(const Tensor& t, int64_t d) {
    if (!t.defined()) return {};
    return (*this)(
        alias(t, {t.size(1), t.size(2)}, {t.stride(1), t.stride(2)}, t.offset() + d * t.stride(0)));
  }
  TensorRef columns(const Tensor& t, int64_t d, int64_t count) {
    if (!t.defined()) return {};
    return (*this)(
        alias(t, {t.size(0), count}, {t.stride(0), t.stride(1)}, t.offset() + d * count));
  }

 private:
  std::vector<Tensor> own_;
};

RecurrentDirection direction_of(Refs& refs, const Form& f, const Pass& p, int64_t d) {
  const Tensor* const w = p.weights.data() + d * f.per_direction;
  RecurrentDirection out{};
  out.reverse = d == 1;
  out.w_ih = w[0];
  out.w_hh = w[1];
  if (f.per_direction == 4) {
    out.b_ih = w[2];
    out.b_hh = w[3];
  }
  out.h0 = refs.direction(p.h0, d);
  out.c0 = refs.direction(p.c0, d);
  out.y = refs.columns(p.y, d, f.units);
  out.gates = refs.direction(p.gates, d);
  out.kept = refs.direction(p.kept, d);
  return out;
}

// Of the state that a layer begins with: what came for the one that it ends with, to be carried on.
Tensor carried(const Form& f, const Tensor& grad, const Tensor& x) {
  const Dims sizes{f.directions, f.sequences(), f.units};
  return grad.defined() ? clone(grad) : zeros(sizes, x.dtype(), x.device());
}

void fused_backward(Backward& b, const Form& f, const Pass& p) {
  Refs refs;
  const Tensor dy = b.grad(0).defined() ? contiguous(b.grad(0)) : Tensor();
  const Tensor dh = carried(f, b.grad(1), p.x);
  const Tensor dc = f.lstm() ? carried(f, b.grad(2), p.x) : Tensor();
  RecurrentDirection directions[2];
  RecurrentGradients gradients[2];
  std::vector<Tensor> dweights(p.weights.size());
  for (size_t i = 0; i < dweights.size(); ++i)
    if (b.needs(i + 3)) dweights[i] = empty_like(p.weights[i]);
  for (int64_t d = 0; d < f.directions; ++d) {
    directions[d] = direction_of(refs, f, p, d);
    RecurrentGradients& g = gradients[d];
    g.dy = refs.columns(dy, d, f.units);
    g.dh = refs.direction(dh, d);
    g.dc = refs.direction(dc, d);
    g.needs_state = b.needs(1);
    const Tensor* const dw = dweights.data() + d * f.per_direction;
    g.dw_ih = ref_or_none(dw[0]);
    g.dw_hh = ref_or_none(dw[1]);
    if (f.per_direction == 4) {
      g.db_ih = ref_or_none(dw[2]);
      g.db_hh = ref_or_none(dw[3]);
    }
  }
  const Tensor dx = b.needs(0) ? empty_like(p.x) : Tensor();
  const auto count = static_cast<size_t>(f.directions);
  const RecurrentArgs forward{f.kind, p.x, *f.batch, {directions, count}};
  call<&DeviceApi::recurrent_backward>(
      p.x.device(), f.op, RecurrentBackwardArgs{forward, ref_or_none(dx), {gradients, count}});
  if (b.needs(0)) b.set(0, dx);
  if (b.needs(1)) b.set(1, dh);
  if (b.needs(2)) b.set(2, dc);
  for (size_t i = 0; i < dweights.size(); ++i)
    if (b.needs(i + 3)) b.set(i + 3, std::move(dweights[i]));
}

Saved kept_input(const Tensor& t_) { return t_.defined() ? Saved::input(t_) : Saved(); }

// One layer: y [total, directions H], h_n [directions, N, H] and, for an LSTM, c_n.
std::vector<Tensor> layer(const Form& f, Pass p) {
  for (Tensor* t_ : {&p.x, &p.h0, &p.c0})
    if (t_->defined()) *t_ = contiguous(*t_);
  for (Tensor& w : p.weights) w = contiguous(w);
  const DType dtype = p.x.dtype();
  const Device device = p.x.device();
  const int64_t total = p.x.size(0);
  const Dims state{f.directions, f.sequences(), f.units};
  p.y = empty({total, f.directions * f.units}, dtype, device);
  if (f.keeps()) {
    p.gates = empty({f.directions, total, f.gates() * f.units}, dtype, device);
    p.kept = empty({f.directions, total, f.units}, dtype, device);
  }
  std::vector<Tensor> out{p.y, empty(state, dtype, device)};
  if (f.lstm()) out.push_back(empty(state, dtype, device));
  {
    Refs refs;
    RecurrentDirection directions[2];
    for (int64_t d = 0; d < f.directions; ++d) {
      directions[d] = direction_of(refs, f, p, d);
      directions[d].h_n = refs.direction(out[1], d);
      if (f.lstm()) directions[d].c_n = refs.direction(out[2], d);
    }
    call<&DeviceApi::recurrent>(
        device, f.op,
        RecurrentArgs{f.kind, p.x, *f.batch, {directions, static_cast<size_t>(f.directions)}});
  }
  const std::vector<Tensor> inputs = p.inputs();
  if (std::none_of(inputs.begin(), inputs.end(), [](const Tensor& t_) { return recording(t_); }))
    return out;
  std::vector<Saved> weights;
  for (const Tensor& w : p.weights) weights.push_back(Saved::input(w));
  auto backward = [f, x = Saved::input(p.x), h0 = kept_input(p.h0), c0 = kept_input(p.c0),
                   weights = std::move(weights), y = Saved::output(p.y),
                   gates = kept_input(p.gates), kept = kept_input(p.kept)](Backward& b) {
    Pass q{b(x), b(h0), b(c0), {}, b(y), b(gates), b(kept)};
    for (const Saved& w : weights) q.weights.push_back(b(w));
    grad_enabled() ? composed_backward(b, f, q) : fused_backward(b, f, q);
  };
  if (f.lstm())
    record(f.op, {out[0], out[1], out[2]}, inputs, std::move(backward));
  else
    record(f.op, {out[0], out[1]}, inputs, std::move(backward));
  return out;
}

// --- checks ---

// As a module calls it.
std::string weight_name(size_t i, const Form& f) {
  constexpr const char* kParts[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
  const auto per_direction = static_cast<size_t>(f.per_direction);
  const auto directions = static_cast<size_t>(f.directions);
  if (f.cell) return kParts[i];
  return text::concat(kParts[i % per_direction], "_l", i / (per_direction * directions),
                      i / per_direction % directions == 1 ? "_reverse" : "");
}

void check_weights(const Form& f, const Tensor& x, std::span<const Tensor> weights) {
  const auto per_direction = static_cast<size_t>(f.per_direction);
  for (size_t i = 0; i < weights.size(); ++i) {
    const bool first_layer = i < per_direction * static_cast<size_t>(f.directions);
    const int64_t features = first_layer ? x.sizes().back() : f.directions * f.units;
    const Tensor& w = weights[i];
    const size_t part = i % per_direction;
    if (part == 0 && first_layer && w.rank() == 2)
      check<ValueError>(w.size(1) == features, f.op, ": input has ", features, " features but ",
                        weight_name(i, f), " expects ", w.size(1), line("input", x),
                        line("weight", w));
    Dims wanted{f.gates() * f.units};
    if (part < 2) wanted.push_back(part == 0 ? features : f.units);
    check<ValueError>(w.sizes() == wanted, f.op, ": ", weight_name(i, f), " must be ", wanted,
                      " in a layer of ", f.units, " units", line("got", w));
    check_operands(f.op, x, w);
  }
}

void check_state(const Form& f, const char* name, const Tensor& state, const Tensor& x,
                 const char* meaning, const Dims& wanted) {
  check<ValueError>(state.sizes() == wanted, f.op, ": ", name, " must be ", meaning, " = ", wanted,
                    line("input", x), line(name, state));
  check_operands(f.op, x, state);
}

// The number of units, which every other size follows from.
int64_t units_of(const char* op, std::span<const Tensor> weights) {
  check<ValueError>(weights.size() >= 2 && weights[1].rank() == 2, op,
                    ": weight_hh must be a matrix [gates * hidden, hidden]");
  const int64_t units = weights[1].size(1);
  check<ValueError>(units > 0, op, ": the hidden size must be positive",
                    line("weight", weights[1]));
  return units;
}

void check_states(const Form& f, std::span<const Tensor> hx, const Tensor& x, const char* meaning,
                  const Dims& wanted) {
  const size_t count = f.lstm() ? 2 : 1;
  check<ValueError>(hx.empty() || hx.size() == count, f.op, ": hx must be ",
                    f.lstm() ? "the two tensors h_0 and c_0" : "one tensor", ", or none; got ",
                    hx.size());
  for (size_t i = 0; i < hx.size(); ++i)
    check_state(f, i == 0 ? "h_0" : "c_0", hx[i], x, meaning, wanted);
}

std::vector<int64_t> batch_of(const char* op, const Tensor& x, const Tensor& batch_sizes) {
  check<ValueError>(x.rank() == 2, op, ": packed data must be [rows, features]", line("data", x));
  check<TypeError>(batch_sizes.dtype() == DType::Int64, op, ": batch_sizes must be int64, got ",
                   batch_sizes.dtype());
  check<ValueError>(batch_sizes.rank() == 1 && batch_sizes.device().is_cpu(), op,
                    ": batch_sizes must be one-dimensional, on the CPU",
                    line("batch_sizes", batch_sizes));
  const Tensor adjacent = contiguous(batch_sizes);
  std::vector<int64_t> batch(adjacent.as<int64_t>(), adjacent.as<int64_t>() + adjacent.numel());
  int64_t rest = x.size(0), last = rest;
  for (const int64_t n : batch) {
    check<ValueError>(n > 0 && n <= last && n <= rest, op,
                      ": batch_sizes must be positive, never grow, and add up to the ", x.size(0),
                      " rows of data; got ", IntList(batch));
    rest -= n;
    last = n;
  }
  check<ValueError>(rest == 0 && !batch.empty(), op, ": batch_sizes must add up to the ", x.size(0),
                    " rows of data; got ", IntList(batch));
  return batch;
}

}  // namespace

std::vector<Tensor> recurrent(Recurrence kind, const Tensor& x, const Tensor& batch_sizes,
                              std::span<const Tensor> hx, std::span<const Tensor> weights,
                              const RecurrentStack& stack) {
  const char* const op = name_of(kind);
  check_floating(op, "input", x);
  check<ValueError>(stack.layers > 0 && stack.layers <= (1 << 20), op,
                    ": num_layers must be positive, got ", stack.layers);
  check<ValueError>(stack.dropout >= 0 && stack.dropout <= 1, op,
                    ": dropout must lie in [0, 1], got ", stack.dropout);
  Form f{kind, op, nullptr, stack.bidirectional ? 2 : 1, stack.biases ? 4 : 2, 0};
  const auto per_layer = static_cast<size_t>(f.directions * f.per_direction);
  check<ValueError>(weights.size() == per_layer * static_cast<size_t>(stack.layers), op,
                    ": expected ", per_layer, " weights for each of ", stack.layers,
                    " layers, got ", weights.size());
  f.units = units_of(op, weights);

  const bool packed = batch_sizes.defined();
  Tensor data = x;
  if (packed) {
    f.batch = std::make_shared<std::vector<int64_t>>(batch_of(op, x, batch_sizes));
  } else {
    check<ValueError>(x.rank() == 3, op, ": the input must be ",
                      stack.batch_first ? "[batch, steps, features]" : "[steps, batch, features]",
                      line("input", x));
    if (stack.batch_first) data = transpose(x, 0, 1);
    check<ValueError>(data.size(0) > 0, op, ": the input must have at least one step",
                      line("input", x));
    f.batch =
        std::make_shared<std::vector<int64_t>>(static_cast<size_t>(data.size(0)), data.size(1));
  }
  check_weights(f, x, weights);
  check_states(f, hx, x, "[layers * directions, batch, hidden]",
               {stack.layers * f.directions, f.sequences(), f.units});

  const int64_t steps = packed ? 0 : data.size(0);
  if (!packed) data = reshape(data, Dims{steps * f.sequences(), x.sizes().back()});
  std::vector<Tensor> h_n, c_n;
  for (int64_t i = 0; i < stack.layers; ++i) {
    if (i > 0 && stack.training && stack.dropout > 0) data = dropout(data, stack.dropout, true);
    const auto state = [&](size_t k) {
      if (hx.empty() || stack.layers == 1) return hx.empty() ? Tensor() : hx[k];
      return slice(hx[k], 0, i * f.directions, (i + 1) * f.directions);
    };
    const auto own = weights.subspan(static_cast<size_t>(i) * per_layer, per_layer);
    std::vector<Tensor> out = layer(
        f, {data, state(0), f.lstm() ? state(1) : Tensor(), {own.begin(), own.end()}, {}, {}, {}});
    data = out[0];
    h_n.push_back(out[1]);
    if (f.lstm()) c_n.push_back(out[2]);
  }
  if (!packed) data = view(data, Dims{steps, f.sequences(), f.directions * f.units});
  if (!packed && stack.batch_first) data = transpose(data, 0, 1);
  std::vector<Tensor> out{data, stack.layers == 1 ? h_n[0] : cat(h_n)};
  if (f.lstm()) out.push_back(stack.layers == 1 ? c_n[0] : cat(c_n));
  return out;
}

std::vector<Tensor> recurrent_cell(Recurrence kind, const Tensor& x, std::span<const Tensor> hx,
                                   std::span<const Tensor> weights) {
  constexpr const char* kNames[] = {"rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"};
  const char* const op = kNames[static_cast<int>(kind)];
  check_floating(op, "input", x);
  check<ValueError>(x.rank() == 2, op, ": the input must be [batch, features]", line("input", x));
  Form f{kind,
         op,
         std::make_shared<std::vector<int64_t>>(1, x.size(0)),
         1,
         static_cast<int64_t>(weights.size()),
         units_of(op, weights),
         true};
  check_weights(f, x, weights);
  check_states(f, hx, x, "[batch, hidden]", {x.size(0), f.units});
  const auto state = [&](size_t k) { return k < hx.size() ? unsqueeze(hx[k], 0) : Tensor(); };
  std::vector<Tensor> out =
      layer(f, {x, state(0), state(1), {weights.begin(), weights.end()}, {}, {}, {}});
  if (!f.lstm()) return {out[0]};
  return {out[0], squeeze(out[2], 0)};
}

}  // namespace lamina::ops
