// The gates of recurrent layers, one step at a time: what a product has left in memory becomes the
// new state, and its gradient that of the product, each in one pass.

#include "cpu/micro.h"
#include "cpu/simd.h"
#include "cpu/simd_loop.h"

namespace lamina::LAMINA_ISA_NAMESPACE {
namespace {

// f(row, j, lanes) for every vector of units of every row.
template <class T, class F>
LAMINA_SIMD void for_units(int64_t rows, int64_t n, F f) {
  for (int64_t i = 0; i < rows; ++i)
    for_vectors<T>(n, [&](int64_t j, auto lanes) { f(i, j, lanes); });
}

// The gradient of the state: what comes from later steps and from the layer's result.
template <class T, class Lanes>
LAMINA_SIMD Vec<T> state_gradient(const cpu::RnnStepBackward<T>& s, int64_t i, int64_t j,
                                  Lanes lanes) {
  const Vec<T> dh = lanes.load(s.dh.row(i) + j);
  return s.dy.data == nullptr ? dh : dh + lanes.load(s.dy.row(i) + j);
}

// --- h = act(gate) ---

template <class T>
[[gnu::flatten]] void tanh_step(const cpu::RnnStep<T>& s) {
  for_units<T>(s.rows, s.n, [&](int64_t i, int64_t j, auto lanes) {
    lanes.store(s.h.row(i) + j, tanh(lanes.load(s.gates.row(i) + j)));
  });
}

template <class T>
void relu_step(const cpu::RnnStep<T>& s) {
  for_units<T>(s.rows, s.n, [&](int64_t i, int64_t j, auto lanes) {
    lanes.store(s.h.row(i) + j, maximum(lanes.load(s.gates.row(i) + j), Vec<T>(0)));
  });
}

template <class T>
void tanh_backward(const cpu::RnnStepBackward<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t i, int64_t j, auto lanes) {
    const V h = lanes.load(s.h.row(i) + j);
    lanes.store(s.dgates.row(i) + j, state_gradient(s, i, j, lanes) * fnma(h, h, V(1)));
  });
}

template <class T>
void relu_backward(const cpu::RnnStepBackward<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t i, int64_t j, auto lanes) {
    const V h = lanes.load(s.h.row(i) + j);
    lanes.store(s.dgates.row(i) + j, select(h > V(0), state_gradient(s, i, j, lanes), V(0)));
  });
}

// --- LSTM (Hochreiter and Schmidhuber, 1997): c' = f c + i g, h = o tanh(c') ---

template <class T>
[[gnu::flatten]] void lstm_step(const cpu::RnnStep<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t row, int64_t j, auto lanes) {
    T* const gates = s.gates.row(row) + j;
    const V i = sigmoid(lanes.load(gates)), f = sigmoid(lanes.load(gates + s.gate));
    const V g = tanh(lanes.load(gates + 2 * s.gate)), o = sigmoid(lanes.load(gates + 3 * s.gate));
    const V c = fma(f, lanes.load(s.before.row(row) + j), i * g);
    lanes.store(gates, i);
    lanes.store(gates + s.gate, f);
    lanes.store(gates + 2 * s.gate, g);
    lanes.store(gates + 3 * s.gate, o);
    lanes.store(s.kept.row(row) + j, c);
    lanes.store(s.h.row(row) + j, o * tanh(c));
  });
}

template <class T>
[[gnu::flatten]] void lstm_backward(const cpu::RnnStepBackward<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t row, int64_t j, auto lanes) {
    const T* const gates = s.gates.row(row) + j;
    T* const out = s.dgates.row(row) + j;
    const V i = lanes.load(gates), f = lanes.load(gates + s.gate);
    const V g = lanes.load(gates + 2 * s.gate), o = lanes.load(gates + 3 * s.gate);
    const V t = tanh(lanes.load(s.kept.row(row) + j));
    const V dh = state_gradient(s, row, j, lanes);
    T* const carried = s.dc.row(row) + j;
    const V dc = fma(dh * o, fnma(t, t, V(1)), lanes.load(carried));
    lanes.store(carried, dc * f);
    lanes.store(out, dc * g * (i * (1 - i)));
    lanes.store(out + s.gate, dc * lanes.load(s.before.row(row) + j) * (f * (1 - f)));
    lanes.store(out + 2 * s.gate, dc * i * fnma(g, g, V(1)));
    lanes.store(out + 3 * s.gate, dh * t * (o * (1 - o)));
  });
}

// --- GRU (Cho et al., 2014), r within the product: n = tanh(x_n + r h_n), h' = n + z (h - n) ---

template <class T>
[[gnu::flatten]] void gru_step(const cpu::RnnStep<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t row, int64_t j, auto lanes) {
    T* const gates = s.gates.row(row) + j;
    const V r = sigmoid(lanes.load(gates)), z = sigmoid(lanes.load(gates + s.gate));
    const V n = tanh(fma(r, lanes.load(s.kept.row(row) + j), lanes.load(gates + 2 * s.gate)));
    lanes.store(gates, r);
    lanes.store(gates + s.gate, z);
    lanes.store(gates + 2 * s.gate, n);
    lanes.store(s.h.row(row) + j, fma(z, lanes.load(s.before.row(row) + j) - n, n));
  });
}

template <class T>
void gru_backward(const cpu::RnnStepBackward<T>& s) {
  using V = Vec<T>;
  for_units<T>(s.rows, s.n, [&](int64_t row, int64_t j, auto lanes) {
    const T* const gates = s.gates.row(row) + j;
    T* const out = s.dgates.row(row) + j;
    const V r = lanes.load(gates), z = lanes.load(gates + s.gate);
    const V n = lanes.load(gates + 2 * s.gate);
    const V dh = state_gradient(s, row, j, lanes);
    const V dn = dh * (1 - z) * fnma(n, n, V(1));
    lanes.store(s.dh.row(row) + j, dh * z);
    lanes.store(out, dn * lanes.load(s.kept.row(row) + j) * (r * (1 - r)));
    lanes.store(out + s.gate, dh * (lanes.load(s.before.row(row) + j) - n) * (z * (1 - z)));
    lanes.store(out + 2 * s.gate, dn);
    lanes.store(s.dkept.row(row) + j, dn * r);
  });
}

template <class T>
constexpr RnnMicro<T> make_rnn() {
  return {{tanh_step<T>, relu_step<T>, lstm_step<T>, gru_step<T>},
          {tanh_backward<T>, relu_backward<T>, lstm_backward<T>, gru_backward<T>}};
}

}  // namespace

LAMINA_MICRO(RnnMicro, rnn);

}  // namespace lamina::LAMINA_ISA_NAMESPACE
