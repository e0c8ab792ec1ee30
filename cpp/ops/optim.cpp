// Optimizer steps: one device call for all the parameters that have a gradient.
#include <cmath>

#include "ops/update_rows.h"

namespace lamina::ops {
namespace {

// -- from settings to coefficients ---------------------------------------------------------------
//
// For each method its settings, in the order of its binding, and what they come to for a parameter
// whose scalars are s. s[0] is the number of this step, from 1; others are carried on here.

struct Betas {
  double beta1, beta2;
};

double l2_of(double weight_decay, double decoupled) { return decoupled != 0 ? 0 : weight_decay; }
double shrink_of(double lr, double weight_decay, double decoupled) {
  return decoupled != 0 ? 1 - lr * weight_decay : 1;
}

struct SgdSettings {
  double lr, momentum, dampening, weight_decay, nesterov;
};
SgdUpdate<double> coefficients(const SgdSettings& a, double factor, double* s) {
  const bool first = s[0] == 1;  // the buffer starts as the gradient
  return {.factor = factor,
          .l2 = a.weight_decay,
          .lr = a.lr,
          .keep = first ? 0 : a.momentum,
          .share = first ? 1 : 1 - a.dampening,
          .nesterov = a.nesterov,
          .momentum = a.momentum};
}

struct AdamSettings {
  double lr, beta1, beta2, eps, weight_decay, decoupled;
};
AdamUpdate<double> coefficients(const AdamSettings& a, double factor, double* s) {
  return {.factor = factor,
          .l2 = l2_of(a.weight_decay, a.decoupled),
          .shrink = shrink_of(a.lr, a.weight_decay, a.decoupled),
          .beta1 = a.beta1,
          .rest1 = 1 - a.beta1,
          .beta2 = a.beta2,
          .rest2 = 1 - a.beta2,
          .eps = a.eps,
          .unbias = 1 / std::sqrt(1 - std::pow(a.beta2, s[0])),
          .step = a.lr / (1 - std::pow(a.beta1, s[0]))};
}

struct RmspropSettings {
  double lr, alpha, eps, weight_decay, momentum;
};
RmspropUpdate<double> coefficients(const RmspropSettings& a, double factor, double*) {
  return {.factor = factor,
          .l2 = a.weight_decay,
          .lr = a.lr,
          .alpha = a.alpha,
          .rest = 1 - a.alpha,
          .eps = a.eps,
          .momentum = a.momentum};
}

struct AdagradSettings {
  double lr, lr_decay, eps, weight_decay;
};
AdagradUpdate<double> coefficients(const AdagradSettings& a, double factor, double* s) {
  return {.factor = factor,
          .l2 = a.weight_decay,
          .lr = a.lr / (1 + (s[0] - 1) * a.lr_decay),
          .eps = a.eps};
}

struct AdadeltaSettings {
  double lr, rho, eps, weight_decay;
};
AdadeltaUpdate<double> coefficients(const AdadeltaSettings& a, double factor, double*) {
  return {.factor = factor,
          .l2 = a.weight_decay,
          .lr = a.lr,
          .rho = a.rho,
          .rest = 1 - a.rho,
          .eps = a.eps};
}

struct AdamaxSettings {
  double lr, beta1, beta2, eps, weight_decay;
};
AdamaxUpdate<double> coefficients(const AdamaxSettings& a, double factor, double* s) {
  return {.factor = factor,
          .l2 = a.weight_decay,
          .beta1 = a.beta1,
          .rest1 = 1 - a.beta1,
          .beta2 = a.beta2,
          .eps = a.eps,
          .step = a.lr / (1 - std::pow(a.beta1, s[0]))};
}

struct NadamSettings {
  double lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled;
};
// s[1] is the product of the momenta mu_1 ... mu_t.
NadamUpdate<double> coefficients(const NadamSettings& a, double factor, double* s) {
  const auto mu = [&](double t) {
    return a.beta1 * (1 - 0.5 * std::pow(0.96, t * a.momentum_decay));
  };
  const double now = mu(s[0]), next = mu(s[0] + 1);
  s[1] *= now;
  return {.factor = factor,
          .l2 = l2_of(a.weight_decay, a.decoupled),
          .shrink = shrink_of(a.lr, a.weight_decay, a.decoupled),
          .beta1 = a.beta1,
          .rest1 = 1 - a.beta1,
          .beta2 = a.beta2,
          .rest2 = 1 - a.beta2,
          .eps = a.eps,
          .unbias = 1 / std::sqrt(1 - std::pow(a.beta2, s[0])),
          .step = a.lr * next / (1 - s[1] * next),
          .step_d = a.lr * (1 - now) / (1 - s[1])};
}

struct RadamSettings {
  double lr, beta1, beta2, eps, weight_decay, decoupled;
};
RadamUpdate<double> coefficients(const RadamSettings& a, double factor, double* s) {
  // How many gradients the average of squares is worth; below five its variance says nothing.
  const double power2 = std::pow(a.beta2, s[0]);
  const double most = 2 / (1 - a.beta2) - 1;
  const double length = most - 2 * s[0] * power2 / (1 - power2);
  double step = a.lr / (1 - std::pow(a.beta1, s[0]));
  if (length > 5)
    step *= std::sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length) *
                      (1 - power2));
  return {.factor = factor,
          .l2 = l2_of(a.weight_decay, a.decoupled),
          .shrink = shrink_of(a.lr, a.weight_decay, a.decoupled),
          .beta1 = a.beta1,
          .rest1 = 1 - a.beta1,
          .beta2 = a.beta2,
          .rest2 = 1 - a.beta2,
          .eps = a.eps,
          .step = step,
          .rectified = length > 5 ? 1.0 : 0.0};
}

struct AsgdSettings {
  double lr, lambd, alpha, t0, weight_decay;
};
// s[1] is the length eta of this step and s[2] the share mu of the new p in the average.
AsgdUpdate<double> coefficients(const AsgdSettings& a, double factor, double* s) {
  const AsgdUpdate<double> c{.factor = factor,
                             .l2 = a.weight_decay,
                             .shrink = 1 - a.lambd * s[1],
                             .eta = s[1],
                             .mu = s[2]};
  s[1] = a.lr / std::pow(1 + a.lambd * a.lr * s[0], a.alpha);
  s[2] = 1 / std::max(1.0, s[0] - a.t0);
  return c;
}

struct RpropSettings {
  double eta_minus, eta_plus, smallest, largest;
};
RpropUpdate<double> coefficients(const RpropSettings& a, double factor, double*) {
  return {.factor = factor,
          .eta_minus = a.eta_minus,
          .eta_plus = a.eta_plus,
          .smallest = a.smallest,
          .largest = a.largest};
}

struct LionSettings {
  double lr, beta1, beta2, weight_decay;
};
LionUpdate<double> coefficients(const LionSettings& a, double factor, double*) {
  return {.factor = factor,
          .shrink = 1 - a.lr * a.weight_decay,
          .lr = a.lr,
          .beta1 = a.beta1,
          .rest1 = 1 - a.beta1,
          .beta2 = a.beta2,
          .rest2 = 1 - a.beta2};
}

using Run = void (*)(const OptimizerMethod& m, const OptimizerStep& s, double factor,
                     const double* settings);

}  // namespace

struct OptimizerMethod {
  const char* name;
  size_t settings;  // how many
  int64_t scalars;  // kept for each parameter
  unsigned needs;   // bit k: it cannot do without state k
  Run run;
  // For a row of updates.h.
  Update what;
  Coefficients (*prepare)(const double* settings, double factor, double* scalars);
};

namespace {

template <class Settings>
Settings settings_at(const double* numbers) {
  Settings a;
  std::memcpy(&a, numbers, sizeof a);
  return a;
}

void check_group(const char* op, const OptimizerStep& s, int64_t scalars, unsigned needs) {
  check<ValueError>(s.scalars.dtype() == DType::Float64 && s.scalars.contiguous() &&
                        s.scalars.rank() == 2 && s.scalars.size(1) >= scalars &&
                        s.scalars.size(0) == static_cast<int64_t>(s.params.size()),
                    op, ": needs ", scalars, " float64 numbers for each of ", s.params.size(),
                    " parameters", line("scalars", s.scalars));
  for (int i = 0; i < kUpdateStates; ++i)
    check<ValueError>(s.state[i].empty() ? s.params.empty() || !(needs >> i & 1)
                                         : s.state[i].size() == s.params.size(),
                      op, ": ", s.params.size(), " parameters but ", s.state[i].size(),
                      " tensors of state in list ", i + 1);
}

struct MuonSettings {
  double lr, weight_decay, momentum, nesterov;
  double a, b, c;  // of the polynomial
  double eps, ns_steps, match_rms_adamw;
};

// X -> a X + (b G + c G^2) X with G = X X^T, `steps` times from X / |X|: drives the singular values
// of X towards 1.
Tensor orthogonalized(const Tensor& x, const MuonSettings& a) {
  const bool tall = x.size(0) > x.size(1);
  Tensor y = tall ? transpose(x, 0, 1) : x;
  Rows one("muon_step");
  one.add(x, "direction", false);
  y = mul(y, scalar(1 / std::max(one.norm(2), a.eps)));
  for (int64_t i = 0; i < a.ns_steps; ++i) {
    const Tensor gram = matmul(y, transpose(y, 0, 1));
    const Tensor quintic = addmm(gram, gram, gram, {.beta = a.b, .alpha = a.c});
    y = addmm(y, quintic, y, {.beta = a.a, .alpha = 1});
  }
  return tall ? transpose(y, 0, 1) : y;
}

void run_update(const OptimizerMethod& m, const OptimizerStep& s, double factor,
                const double* settings) {
  const GradMode off(false);
  Rows rows(m.name);
  rows.reserve(s.params.size());
  std::vector<Coefficients> prepared;
  prepared.reserve(s.params.size());  // rows point into it
  std::vector<const Tensor*> written;
  written.reserve(s.params.size());
  double before[kUpdateStates] = {}, after[kUpdateStates] = {};
  const auto bytes = static_cast<size_t>(m.scalars) * sizeof(double);
  for (size_t i = 0; i < s.params.size(); ++i) {
    const Tensor& p = s.params[i];
    const Tensor g = grad_of(p);
    if (!g.defined()) continue;
    UpdateRow& row = rows.add(p, "parameter");
    row.source = rows.source(g, p, "gradient");
    for (int k = 0; k < kUpdateStates; ++k)
      if (!s.state[k].empty()) row.state[k] = rows.state(s.state[k][i], p);
    written.push_back(&p);
  }
  size_t k = 0;
  for (size_t i = 0; i < s.params.size() && k < written.size(); ++i) {
    if (&s.params[i] != written[k]) continue;
    // Counted only when all have been checked. Powers are taken once where all parameters have
    // come equally far, as they mostly have.
    double* const scalars = s.scalars.as<double>() + static_cast<int64_t>(i) * s.scalars.size(1);
    if (k == 0 || std::memcmp(scalars, before, bytes) != 0) {
      std::memcpy(before, scalars, bytes);
      std::memcpy(after, scalars, bytes);
      ++after[0];
      prepared.push_back(m.prepare(settings, factor, after));
    }
    std::memcpy(scalars, after, bytes);
    rows[k++].coefficients = prepared.back().data();
  }
  rows.update(m.what);
  for (const Tensor* p : written) p->storage().wrote(m.name);
}

void run_muon(const OptimizerMethod& m, const OptimizerStep& s, double factor,
              const double* settings) {
  const char* const op = m.name;
  const auto a = settings_at<MuonSettings>(settings);
  check<ValueError>(a.ns_steps >= 0 && a.ns_steps < 100, op,
                    ": ns_steps must be a whole number in [0, 100), got ", a.ns_steps);
  const GradMode off(false);
  for (size_t i = 0; i < s.params.size(); ++i) {
    const Tensor& p = s.params[i];
    Tensor g = grad_of(p);
    if (!g.defined()) continue;
    check<ValueError>(p.rank() == 2, op, ": a parameter must be a matrix", line("parameter", p));
    if (factor != 1) g = mul(g, scalar(factor));
    const Tensor& buffer = s.state[0][i];
    ++s.scalars.as<double>()[static_cast<int64_t>(i) * s.scalars.size(1)];
    const auto lerp = [](const Tensor& x, const Tensor& y, double weight) {
      lerp_many(std::span(&x, 1), std::span(&y, 1), weight);
    };
    lerp(buffer, g, 1 - a.momentum);
    Tensor direction = buffer;
    if (a.nesterov != 0) {
      direction = clone(detach(g));
      lerp(direction, buffer, a.momentum);
    }
    if (p.numel() > 0) direction = orthogonalized(direction, a);
    const auto rows = static_cast<double>(p.size(0)), columns = static_cast<double>(p.size(1));
    const double ratio = a.match_rms_adamw != 0 ? 0.2 * std::sqrt(std::max(rows, columns))
                         : columns > 0          ? std::sqrt(std::max(1.0, rows / columns))
                                                : 1;
    Rows one(op);
    one.add(p, "parameter").source = one.source(direction, p, "direction");
    one.update(Update::Combine,
               CombineUpdate<double>{.a = 1 - a.lr * a.weight_decay, .b = -a.lr * ratio});
    p.storage().wrote(op);
  }
}

template <class Settings>
constexpr OptimizerMethod row(const char* name, Update what, int64_t scalars, unsigned needs) {
  return {name,
          sizeof(Settings) / sizeof(double),
          scalars,
          needs,
          run_update,
          what,
          [](const double* settings, double factor, double* s) {
            return as_array(coefficients(settings_at<Settings>(settings), factor, s));
          }};
}

constexpr OptimizerMethod kMethods[] = {
    row<SgdSettings>("sgd_step", Update::Sgd, 1, 0),
    row<AdamSettings>("adam_step", Update::Adam, 1, 0b011),
    row<RmspropSettings>("rmsprop_step", Update::Rmsprop, 1, 0b001),
    row<AdagradSettings>("adagrad_step", Update::Adagrad, 1, 0b001),
    row<AdadeltaSettings>("adadelta_step", Update::Adadelta, 1, 0b011),
    row<AdamaxSettings>("adamax_step", Update::Adamax, 1, 0b011),
    row<NadamSettings>("nadam_step", Update::Nadam, 2, 0b011),
    row<RadamSettings>("radam_step", Update::Radam, 1, 0b011),
    row<AsgdSettings>("asgd_step", Update::Asgd, 3, 0b001),
    row<RpropSettings>("rprop_step", Update::Rprop, 1, 0b011),
    row<LionSettings>("lion_step", Update::Lion, 1, 0b001),
    {"muon_step", sizeof(MuonSettings) / sizeof(double), 1, 0b001, run_muon, {}, nullptr},
};

}  // namespace

const OptimizerMethod* optimizer_method(std::string_view name) {
  constexpr std::string_view kEnd = "_step";
  for (const OptimizerMethod& m : kMethods) {
    std::string_view own = m.name;
    own.remove_suffix(kEnd.size());
    if (own == name) return &m;
  }
  return nullptr;
}

const char* name_of(const OptimizerMethod& method) { return method.name; }

void optimizer_step(const OptimizerMethod& m, const OptimizerStep& s, double factor,
                    std::span<const double> settings) {
  check<ValueError>(settings.size() == m.settings, m.name, ": needs ", m.settings,
                    " numbers as settings, got ", settings.size());
  check_group(m.name, s, m.scalars, m.needs);
  m.run(m, s, factor, settings.data());
}

void zero_grad(std::span<const Tensor> params, bool set_to_none) {
  for (const Tensor& p : params) {
    const Tensor g = grad_of(p);
    if (!g.defined()) continue;
    if (set_to_none) {
      set_grad(p, {});
    } else {
      const GradMode off(false);
      fill_(g, Scalar(0));
    }
  }
}

}  // namespace lamina::ops
