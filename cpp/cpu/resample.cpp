// Linear maps of the rows and columns of planes: sums of windows, interpolation, and the transposes
// of both.
//
// A row of the result is the rows of x that it is made of, added up by vectors, then the columns of
// that one line. Neighbouring rows are often made of the same ones (a plane made larger), and are
// then copied.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "cpu/micro.h"
#include "cpu/workspace.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kTaskElements = 16 * 1024;

bool weighted(const Taps& t) { return !t.weight.empty(); }

// Whether elements i and i - 1 are made of the same.
bool as_before(const Taps& t, int64_t i) {
  const auto at = [&](int64_t k) { return static_cast<size_t>(k); };
  const int64_t from = t.first[at(i)], to = t.first[at(i + 1)], before = t.first[at(i - 1)];
  if (to - from != from - before) return false;
  for (int64_t k = 0; k < to - from; ++k) {
    if (t.source[at(from + k)] != t.source[at(before + k)]) return false;
    if (weighted(t) && t.weight[at(from + k)] != t.weight[at(before + k)]) return false;
  }
  return true;
}

template <class T>
class Resample {
 public:
  explicit Resample(const ResampleArgs& args)
      : rows_(args.rows),
        cols_(args.cols),
        x_(args.x.as<const T>()),
        y_(args.y.as<T>()),
        height_(args.x.sizes[1]),
        width_(args.x.sizes[2]),
        out_rows_(args.y.sizes[1]),
        out_cols_(args.y.sizes[2]),
        taps_(static_cast<int64_t>(cols_.source.size())) {
    const auto one_each = [](std::span<const int64_t> first) {
      for (size_t i = 0; i + 1 < first.size(); ++i)
        if (first[i + 1] != first[i] + 1) return false;
      return true;
    };
    single_ = one_each(cols_.first) && !weighted(cols_);
    same_ = single_ && width_ == out_cols_;
    for (int64_t j = 0; same_ && j < width_; ++j) same_ = cols_.source[static_cast<size_t>(j)] == j;
  }

  void run(int64_t planes) const {
    const int64_t row_taps =
        static_cast<int64_t>(rows_.source.size()) / std::max<int64_t>(out_rows_, 1);
    const int64_t work = 1 + width_ * row_taps / 4 + out_cols_ + taps_;
    parallel_for(planes * out_rows_, std::max<int64_t>(1, kTaskElements / work),
                 [&](int64_t begin, int64_t end) {
                   const Workspace<T> line(width_);
                   for (int64_t n = begin; n < end; ++n) {
                     const int64_t p = n / out_rows_, i = n % out_rows_;
                     T* const y = y_ + n * out_cols_;
                     if (n > begin && i > 0 && as_before(rows_, i))
                       std::copy(y - out_cols_, y, y);
                     else
                       one_row(y, x_ + p * height_ * width_, i, line.data());
                   }
                 });
  }

 private:
  void one_row(T* y, const T* plane, int64_t i, T* line) const {
    const auto from = static_cast<size_t>(rows_.first[static_cast<size_t>(i)]);
    const auto to = static_cast<size_t>(rows_.first[static_cast<size_t>(i + 1)]);
    if (same_) line = y;
    const auto row = [&](size_t k) { return plane + rows_.source[k] * width_; };
    if (to - from == 1 && !weighted(rows_)) {
      if (same_)
        std::copy_n(row(from), width_, y);
      else
        columns(y, row(from));
      return;
    }
    add_rows(line, from, to, row);
    if (!same_) columns(y, line);
  }

  template <class Row>
  void add_rows(T* line, size_t from, size_t to, Row row) const {
    const Micro<T>& m = micro().of<T>();
    if (from == to) {
      std::fill_n(line, width_, T(0));
      return;
    }
    if (!weighted(rows_)) {
      std::copy_n(row(from), width_, line);
      for (size_t k = from + 1; k < to; ++k) m.reduce.add(width_, line, row(k));
      return;
    }
    const auto weight = [&](size_t k) { return static_cast<T>(rows_.weight[k]); };
    const T first = weight(from);
    m.pointwise.binary[static_cast<int>(BinaryOp::mul)](width_, line, row(from), &first, kYScalar);
    for (size_t k = from + 1; k < to; ++k) {
      const T w = weight(k);
      m.pointwise.ternary[static_cast<int>(TernaryOp::addcmul)](width_, line, line, row(k), &w,
                                                                T(1), kZScalar);
    }
  }

  void columns(T* y, const T* line) const {
    const int64_t* const first = cols_.first.data();
    const int64_t* const source = cols_.source.data();
    if (single_) {
      for (int64_t j = 0; j < out_cols_; ++j) y[j] = line[source[j]];
    } else if (!weighted(cols_)) {
      int64_t k = 0;
      for (int64_t j = 0; j < out_cols_; ++j) {
        T sum = 0;
        for (const int64_t end = first[j + 1]; k < end; ++k) sum += line[source[k]];
        y[j] = sum;
      }
    } else {
      const double* const weight = cols_.weight.data();
      int64_t k = 0;
      for (int64_t j = 0; j < out_cols_; ++j) {
        T sum = 0;
        for (const int64_t end = first[j + 1]; k < end; ++k)
          sum += static_cast<T>(weight[k]) * line[source[k]];
        y[j] = sum;
      }
    }
  }

  Taps rows_, cols_;
  const T* x_;
  T* y_;
  int64_t height_, width_, out_rows_, out_cols_, taps_;
  bool single_;  // every column is one of the line's
  bool same_;    // the very same one
};

}  // namespace

void resample(Ctx&, const ResampleArgs& args) {
  if (args.y.numel() == 0) return;
  dispatch_floating("resample", args.x.dtype,
                    [&]<class T>() { Resample<T>(args).run(args.y.sizes[0]); });
}

}  // namespace lamina::cpu
