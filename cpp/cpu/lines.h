// The lines of a tensor along one of its dimensions: one for each index of the others.
#pragma once

#include "core/tensor.h"

namespace lamina::cpu {

class Lines {
 public:
  Lines(const TensorRef& t, int dim)
      : sizes_(t.sizes), dim_(dim), length_(t.sizes[static_cast<size_t>(dim)]) {
    for (int d = 0; d < t.rank(); ++d) {
      if (d == dim) continue;
      count_ *= size(d);
      inner_ = d;
    }
  }

  int64_t count() const { return count_; }
  int64_t length() const { return length_; }
  // The last of the other dimensions, along which successive lines lie; -1 if there is none.
  int inner() const { return inner_; }
  int64_t inner_size() const { return inner_ < 0 ? 1 : size(inner_); }

  // Of the first element of a line, in elements, in a tensor with the same other dimensions.
  int64_t offset(const TensorRef& t, int64_t line) const {
    int64_t at = 0;
    for (int d = t.rank() - 1; d >= 0; --d) {
      if (d == dim_) continue;
      at += line % size(d) * t.strides[static_cast<size_t>(d)];
      line /= size(d);
    }
    return at;
  }
  int64_t step(const TensorRef& t) const { return t.strides[static_cast<size_t>(dim_)]; }
  int64_t inner_step(const TensorRef& t) const {
    return inner_ < 0 ? 0 : t.strides[static_cast<size_t>(inner_)];
  }

 private:
  int64_t size(int d) const { return sizes_[static_cast<size_t>(d)]; }

  std::span<const int64_t> sizes_;
  int dim_;
  int inner_ = -1;
  int64_t length_;
  int64_t count_ = 1;
};

}  // namespace lamina::cpu
