// The gates of recurrent layers in double, by definition.

#include <cmath>

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

template <class T, class F>
void for_units(const T& s, F f) {
  for (int64_t i = 0; i < s.rows; ++i)
    for (int64_t j = 0; j < s.n; ++j) f(i, j);
}

template <class T>
double state_gradient(const RnnStepBackward<T>& s, int64_t i, int64_t j) {
  return double(s.dh.row(i)[j]) + (s.dy.data == nullptr ? 0.0 : double(s.dy.row(i)[j]));
}

template <class T>
void tanh_step(const RnnStep<T>& s) {
  for_units(s,
            [&](int64_t i, int64_t j) { s.h.row(i)[j] = T(std::tanh(double(s.gates.row(i)[j]))); });
}

template <class T>
void relu_step(const RnnStep<T>& s) {
  for_units(s, [&](int64_t i, int64_t j) {
    const T x = s.gates.row(i)[j];
    s.h.row(i)[j] = x <= T(0) ? T(0) : x;
  });
}

template <class T>
void tanh_backward(const RnnStepBackward<T>& s) {
  for_units(s, [&](int64_t i, int64_t j) {
    const double h = s.h.row(i)[j];
    s.dgates.row(i)[j] = T(state_gradient(s, i, j) * (1 - h * h));
  });
}

template <class T>
void relu_backward(const RnnStepBackward<T>& s) {
  for_units(s, [&](int64_t i, int64_t j) {
    s.dgates.row(i)[j] = T(s.h.row(i)[j] > T(0) ? state_gradient(s, i, j) : 0.0);
  });
}

template <class T>
void lstm_step(const RnnStep<T>& s) {
  for_units(s, [&](int64_t row, int64_t j) {
    T* const gates = s.gates.row(row) + j;
    const double i = sigmoid(gates[0]), f = sigmoid(gates[s.gate]);
    const double g = std::tanh(double(gates[2 * s.gate])), o = sigmoid(gates[3 * s.gate]);
    const double c = f * double(s.before.row(row)[j]) + i * g;
    gates[0] = T(i);
    gates[s.gate] = T(f);
    gates[2 * s.gate] = T(g);
    gates[3 * s.gate] = T(o);
    s.kept.row(row)[j] = T(c);
    s.h.row(row)[j] = T(o * std::tanh(c));
  });
}

template <class T>
void lstm_backward(const RnnStepBackward<T>& s) {
  for_units(s, [&](int64_t row, int64_t j) {
    const T* const gates = s.gates.row(row) + j;
    T* const out = s.dgates.row(row) + j;
    const double i = gates[0], f = gates[s.gate], g = gates[2 * s.gate], o = gates[3 * s.gate];
    const double t = std::tanh(double(s.kept.row(row)[j]));
    const double dh = state_gradient(s, row, j);
    const double dc = double(s.dc.row(row)[j]) + dh * o * (1 - t * t);
    s.dc.row(row)[j] = T(dc * f);
    out[0] = T(dc * g * i * (1 - i));
    out[s.gate] = T(dc * double(s.before.row(row)[j]) * f * (1 - f));
    out[2 * s.gate] = T(dc * i * (1 - g * g));
    out[3 * s.gate] = T(dh * t * o * (1 - o));
  });
}

template <class T>
void gru_step(const RnnStep<T>& s) {
  for_units(s, [&](int64_t row, int64_t j) {
    T* const gates = s.gates.row(row) + j;
    const double r = sigmoid(gates[0]), z = sigmoid(gates[s.gate]);
    const double n = std::tanh(double(gates[2 * s.gate]) + r * double(s.kept.row(row)[j]));
    gates[0] = T(r);
    gates[s.gate] = T(z);
    gates[2 * s.gate] = T(n);
    s.h.row(row)[j] = T((1 - z) * n + z * double(s.before.row(row)[j]));
  });
}

template <class T>
void gru_backward(const RnnStepBackward<T>& s) {
  for_units(s, [&](int64_t row, int64_t j) {
    const T* const gates = s.gates.row(row) + j;
    T* const out = s.dgates.row(row) + j;
    const double r = gates[0], z = gates[s.gate], n = gates[2 * s.gate];
    const double dh = state_gradient(s, row, j);
    const double dn = dh * (1 - z) * (1 - n * n);
    s.dh.row(row)[j] = T(dh * z);
    out[0] = T(dn * double(s.kept.row(row)[j]) * r * (1 - r));
    out[s.gate] = T(dh * (double(s.before.row(row)[j]) - n) * z * (1 - z));
    out[2 * s.gate] = T(dn);
    s.dkept.row(row)[j] = T(dn * r);
  });
}

template <class T>
constexpr RnnMicro<T> make_rnn() {
  return {{tanh_step<T>, relu_step<T>, lstm_step<T>, gru_step<T>},
          {tanh_backward<T>, relu_backward<T>, lstm_backward<T>, gru_backward<T>}};
}

}  // namespace

LAMINA_MICRO(RnnMicro, rnn);

}  // namespace lamina::cpu::ref
