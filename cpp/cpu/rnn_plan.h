// What both directions of a recurrent layer share: how the work is cut, and the products of a step.
#pragma once

#include <algorithm>
#include <optional>

#include "core/parallel.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/tasks.h"
#include "cpu/workspace.h"

namespace lamina::cpu {

namespace recurrence {

// Of W_hh, half of a common L2.
constexpr int64_t kNarrowBytes = 512 << 10;
constexpr int kMaxGroups = 4;

// A matrix as the device's product takes it.
template <class T>
class Matrix {
 public:
  Matrix(const T* data, int64_t rows, int64_t columns, int64_t row_stride,
         int64_t column_stride = 1)
      : data_(const_cast<T*>(data)),
        sizes_{1, rows, columns},
        strides_{0, row_stride, column_stride} {}
  explicit Matrix(const TensorRef& t)
      : Matrix(t.as<T>(), t.sizes[0], t.sizes[1], t.strides[0], t.strides[1]) {}
  Matrix transposed() const { return {data_, sizes_[2], sizes_[1], strides_[2], strides_[1]}; }
  Matrix rows(int64_t from, int64_t count) const {
    return {data_ + from * strides_[1], count, sizes_[2], strides_[1], strides_[2]};
  }
  Matrix columns(int64_t from, int64_t count) const {
    return {data_ + from * strides_[2], sizes_[1], count, strides_[1], strides_[2]};
  }
  T* data() const { return data_; }
  int64_t height() const { return sizes_[1]; }
  int64_t width() const { return sizes_[2]; }
  int64_t row_stride() const { return strides_[1]; }
  int64_t column_stride() const { return strides_[2]; }
  TensorRef ref() const { return {data_, sizes_, strides_, kDTypeOf<T>}; }

 private:
  T* data_;
  int64_t sizes_[3], strides_[3];
};

template <class T>
void product(const Matrix<T>& c, const Matrix<T>& a, const Matrix<T>& b, T beta = 0,
             const T* bias = nullptr, T* a_sums = nullptr) {
  Ctx ctx;
  const int64_t n = c.width(), m = c.height(), one = 1;
  const auto vector = [&](const T* data, const int64_t& count) {
    return data == nullptr ? TensorRef{}
                           : TensorRef{const_cast<T*>(data), {&count, 1}, {&one, 1}, kDTypeOf<T>};
  };
  gemm(ctx, {.c = c.ref(),
             .a = a.ref(),
             .b = b.ref(),
             .bias = vector(bias, n),
             .a_sums = vector(a_sums, m),
             .beta = double(beta)});
}

template <class T>
Rows<T> rows_of(const TensorRef& t) {
  return {t.as<T>(), t.defined() ? t.strides[0] : 0};
}
template <class T>
Rows<T> from(const Rows<T>& r, int64_t row, int64_t column) {
  return {r.data == nullptr ? nullptr : r.row(row) + column, r.stride};
}

// b [k, n], read at every step: in panels of adjacent columns, or (single) where it lies.
template <class T>
class Panels {
 public:
  Panels(const Matrix<T>& b, int width, bool packs)
      : micro_(cpu::micro().of<T>().gemm),
        b_(b),
        width_(width),
        memory_(packs ? ceil_div(b.width(), width) * width * b.height() : 0),
        packs_(packs) {
    if (!packs) return;
    const int64_t k = b.height(), panels = ceil_div(b.width(), width);
    parallel_for(
        panels, std::max<int64_t>(1, 65536 / (k * width)), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t count = std::min<int64_t>(width, b.width() - i * width);
            micro_.pack(k, static_cast<int>(count), b.data() + i * width * b.column_stride(),
                        b.column_stride(), b.row_stride(), memory_.data() + i * width * k, width);
          }
        });
  }

  int64_t columns() const { return b_.width(); }

  // c = a b + beta c + bias, in columns [j0, j1); j0 is at a panel's start.
  void multiply(int64_t rows, const Rows<const T>& a, const Rows<T>& c, T beta, const T* bias,
                int64_t j0, int64_t j1) const {
    const int64_t k = b_.height();
    if (!packs_) {
      product<T>({c.data + j0, rows, j1 - j0, c.stride}, {a.data, rows, k, a.stride},
                 b_.columns(j0, j1 - j0), beta, bias == nullptr ? nullptr : bias + j0);
      return;
    }
    GemmTile<T> t{};
    t.k = k;
    t.ai = a.stride;
    t.ap = 1;
    t.bp = width_;
    t.bj = 1;
    t.ldc = c.stride;
    t.alpha = T(1);
    t.beta = beta;
    // Where panels are thin there are only as many rows as such a tile has.
    const int64_t tiles = ceil_div(rows, width_ > micro_.nr ? micro_.thin_rows : micro_.mr);
    const int64_t height = ceil_div(rows, tiles);
    for (int64_t j = j0; j < j1; j += width_) {
      t.b = memory_.data() + j * k;
      t.n = static_cast<int>(std::min<int64_t>(width_, j1 - j));
      t.bias = bias == nullptr ? nullptr : bias + j;
      for (int64_t i = 0; i < rows; i += height) {
        t.m = static_cast<int>(std::min(height, rows - i));
        t.a = a.row(i);
        t.c = c.row(i) + j;
        micro_.tile(t);
      }
    }
  }

 private:
  const GemmMicro<T>& micro_;
  Matrix<T> b_;
  int width_;
  Workspace<T, 64> memory_;
  bool packs_;
};

// What a task works on: rows of a step, and units.
struct Part {
  int64_t r0, r1, u0, u1;
};

// Sizes, where the rows of a step are, and how the work is cut.
template <class T>
struct Plan {
  explicit Plan(const RecurrentArgs& args)
      : kind(args.kind),
        batch(args.batch),
        steps(static_cast<int64_t>(batch.size())),
        n(batch[0]),
        units(args.directions[0].w_hh.sizes[1]),
        gates(gates_of(args.kind)),
        first(steps + 1) {
    first[0] = 0;
    for (int64_t t = 0; t < steps; ++t) first[t + 1] = first[t] + rows(t);
    const GemmMicro<T>& g = micro().of<T>().gemm;
    single = steps == 1;
    wide = !single && gates * units * units * static_cast<int64_t>(sizeof(T)) > kNarrowBytes;
    panel = n > 0 && n <= g.thin_rows ? g.thin_nr : g.nr;
    const double of_row = 2.0 * static_cast<double>(gates * units) * static_cast<double>(units);
    if (wide) {
      const double of_panel = of_row * static_cast<double>(std::max<int64_t>(n, 8) * panel) /
                              static_cast<double>(units);
      const auto panels = std::max<int64_t>(1, static_cast<int64_t>(kTaskWork / 4 / of_panel));
      task_rows = n;
      task_units = panels * panel;
    } else {
      // Four rows keep a tile busy; eight read W_hh half as often.
      const auto worth = static_cast<int64_t>(kTaskWork / (of_row * static_cast<double>(steps)));
      task_rows = std::max({std::clamp<int64_t>(ceil_div(n, 2), 4, 8), worth + 1, ceil_div(n, 64)});
      if (single) task_rows = std::max<int64_t>(n, 1);
      task_units = units;
    }
  }

  int64_t rows(int64_t t) const { return batch[static_cast<size_t>(t)]; }
  int64_t total() const { return first[steps]; }
  // The step that comes before t in this direction, and how many of t's rows were in it.
  int64_t before(int64_t t, bool reverse) const {
    return reverse ? (t + 1 < steps ? t + 1 : -1) : t - 1;
  }
  int64_t continued(int64_t t, bool reverse) const {
    const int64_t s = before(t, reverse);
    return s < 0 ? 0 : std::min(rows(s), rows(t));
  }
  bool uniform() const { return rows(steps - 1) == n; }

  // f(direction, part) for every task of one region.
  template <class F>
  void parts(int64_t directions, F f) const {
    const int64_t cuts = wide ? ceil_div(units, task_units) : ceil_div(n, task_rows);
    const int64_t height = cuts == 0 ? 0 : ceil_div(n, cuts);
    parallel_for(directions * cuts, 1, [&](int64_t task, int64_t) {
      const int64_t i = task % cuts;
      f(task / cuts, wide ? Part{0, n, i * task_units, std::min((i + 1) * task_units, units)}
                          : Part{i * height, std::min((i + 1) * height, n), 0, units});
    });
  }
  // f(direction, i, part) for the first step to the last, i of steps.
  template <class F>
  void walk(int64_t directions, F f) const {
    if (wide) {
      for (int64_t i = 0; i < steps; ++i)
        parts(directions, [&](int64_t d, const Part& part) { f(d, i, part); });
    } else {
      parts(directions, [&](int64_t d, const Part& part) {
        for (int64_t i = 0; i < steps; ++i) f(d, i, part);
      });
    }
  }

  Recurrence kind;
  std::span<const int64_t> batch;
  int64_t steps, n, units, gates;
  Workspace<int64_t, 2048> first;
  bool single, wide;
  int panel;
  int64_t task_rows, task_units;
};

// The rows [r0, r1) of a step that go on from the step before, then those that start in this one:
// f(r0, r1, rows of `y` that were before them, or those of `start`, counted from row 0).
template <class T, class F>
void for_origins(const Plan<T>& plan, int64_t t, bool reverse, const Part& part,
                 const Rows<const T>& y, const Rows<const T>& start, F f) {
  const int64_t continued = plan.continued(t, reverse), end = std::min(part.r1, plan.rows(t));
  const int64_t middle = std::clamp(continued, part.r0, std::max(part.r0, end));
  if (part.r0 < middle) f(part.r0, middle, from(y, plan.first[plan.before(t, reverse)], 0));
  if (middle < end) f(middle, end, start);
}

template <class T>
struct Zeros {
  explicit Zeros(int64_t n) : memory(n) { std::fill_n(memory.data(), n, T(0)); }
  Rows<const T> rows() const { return {memory.data(), 0}; }
  Workspace<T> memory;
};

// Of the rows of W_hh, those whose products with the state are added up apart: all gates, or (wide)
// each; a GRU's last one always.
struct Groups {
  int count = 0;
  int64_t first[kMaxGroups], size[kMaxGroups];
  template <class T>
  Groups(const Plan<T>& plan, bool by_gate) {
    const int64_t joined = plan.kind == Recurrence::Gru ? plan.gates - 1 : plan.gates;
    if (!by_gate) add(0, joined * plan.units);
    for (int64_t g = by_gate ? 0 : joined; g < plan.gates; ++g) add(g * plan.units, plan.units);
  }
  void add(int64_t at, int64_t n) {
    first[count] = at;
    size[count++] = n;
  }
};

}  // namespace recurrence
}  // namespace lamina::cpu
