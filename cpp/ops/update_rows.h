// Many tensors as the device's `update` and `total_norm` take them.
#pragma once

#include <array>
#include <cstring>

#include "ops/common.h"

namespace lamina::ops {

using Coefficients = std::array<double, kUpdateCoefficients>;

// A row's struct as an array.
template <class Row>
Coefficients as_array(const Row& row) {
  static_assert(sizeof(Row) <= sizeof(Coefficients));
  Coefficients out{};
  std::memcpy(out.data(), &row, sizeof row);
  return out;
}

// Whatever is not laid out in rows is worked on as a copy and written back.
class Rows {
 public:
  explicit Rows(const char* op) : op_(op) {}

  void reserve(size_t n) { rows_.reserve(n), alive_.reserve(n); }

  // A tensor to write to, or to look at.
  UpdateRow& add(const Tensor& target, const char* what, bool writes = true) {
    check_floating(op_, what, target);
    if (rows_.empty()) device_ = target.device();
    check<ValueError>(target.device() == device_, op_, ": tensors on ", device_, " and ",
                      target.device(), "; take those of each device in a call of their own");
    UpdateRow row{};
    row.dtype = target.dtype();
    row.n = target.numel();
    row.target = writes ? written(target) : read(target);
    return rows_.emplace_back(row);
  }
  // What is read beside it, or written too.
  const void* source(const Tensor& t, const Tensor& target, const char* what) {
    fits(t, target, what);
    return read(t);
  }
  void* state(const Tensor& t, const Tensor& target) {
    fits(t, target, "optimizer state");
    return written(t);
  }
  void keep(Tensor t) { alive_.push_back(std::move(t)); }

  bool empty() const { return rows_.empty(); }
  UpdateRow& operator[](size_t i) { return rows_[i]; }
  size_t size() const { return rows_.size(); }

  // The same coefficients for all.
  template <class Row>
  void update(Update what, const Row& row) {
    const Coefficients c = as_array(row);
    for (UpdateRow& r : rows_) r.coefficients = c.data();
    update(what);
  }
  void update(Update what) {
    if (rows_.empty()) return;
    call<&DeviceApi::update>(device_, op_, what, std::span<const UpdateRow>(rows_));
    for (const auto& [original, copy] : copies_) copy_(original, copy);
  }
  double norm(double order) {
    if (rows_.empty()) return 0;
    return call<&DeviceApi::total_norm>(device_, op_, std::span<const UpdateRow>(rows_), order);
  }

 private:
  void fits(const Tensor& t, const Tensor& target, const char* what) {
    check<ValueError>(
        t.sizes() == target.sizes() && t.dtype() == target.dtype() && t.device() == target.device(),
        op_, ": ", what, " does not fit its tensor", line("tensor", target), line(what, t));
  }
  void* read(const Tensor& t) {
    keep(t.contiguous() ? t : contiguous(detach(t)));
    return alive_.back().data();
  }
  void* written(const Tensor& t) {
    if (t.contiguous()) return t.data();
    copies_.emplace_back(detach(t), clone(detach(t)));
    return copies_.back().second.data();
  }

  const char* op_;
  Device device_;
  std::vector<UpdateRow> rows_;
  std::vector<Tensor> alive_;
  std::vector<std::pair<Tensor, Tensor>> copies_;
};

}  // namespace lamina::ops
