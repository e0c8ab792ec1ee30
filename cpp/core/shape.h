// Sizes and strides, held inline.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "core/check.h"

namespace lamina {

inline constexpr int kMaxRank = 12;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> values) : Dims(std::span(values.begin(), values.size())) {}
  explicit Dims(std::span<const int64_t> values) {
    check<ValueError>(values.size() <= kMaxRank, "a tensor has at most ", kMaxRank,
                      " dimensions, got ", values.size());
    rank_ = static_cast<int>(values.size());
    std::copy(values.begin(), values.end(), v_);
  }
  static Dims filled(int rank, int64_t value) {
    Dims d;
    d.resize(rank, value);
    return d;
  }

  int rank() const { return rank_; }
  int64_t size() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t& operator[](int i) { return v_[i]; }
  int64_t operator[](int i) const { return v_[i]; }
  int64_t* begin() { return v_; }
  int64_t* end() { return v_ + rank_; }
  const int64_t* begin() const { return v_; }
  const int64_t* end() const { return v_ + rank_; }
  int64_t back() const { return v_[rank_ - 1]; }
  operator std::span<const int64_t>() const { return {v_, static_cast<size_t>(rank_)}; }

  void resize(int rank, int64_t value = 0) {
    check<ValueError>(rank <= kMaxRank, "a tensor has at most ", kMaxRank, " dimensions, got ",
                      rank);
    for (int i = rank_; i < rank; ++i) v_[i] = value;
    rank_ = rank;
  }
  void push_back(int64_t value) { resize(rank_ + 1, value); }
  void insert(int at, int64_t value) {
    resize(rank_ + 1);
    std::copy_backward(v_ + at, v_ + rank_ - 1, v_ + rank_);
    v_[at] = value;
  }
  void erase(int at) {
    std::copy(v_ + at + 1, v_ + rank_, v_ + at);
    --rank_;
  }

  friend bool operator==(const Dims& a, const Dims& b) {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }
  friend std::string to_text(const Dims& d) {
    return text::concat(static_cast<std::span<const int64_t>>(d));
  }

 private:
  int rank_ = 0;
  int64_t v_[kMaxRank];
};

// Number of elements; raises when it, or a size, is negative or does not fit 62 bits.
int64_t checked_numel(std::span<const int64_t> sizes);
Dims contiguous_strides(std::span<const int64_t> sizes);
bool is_contiguous(std::span<const int64_t> sizes, std::span<const int64_t> strides);
// The shape both broadcast to (NumPy's rule); raises in the name of `op`.
Dims broadcast_sizes(const char* op, std::span<const int64_t> a, std::span<const int64_t> b);
bool can_broadcast_to(std::span<const int64_t> from, std::span<const int64_t> to);
// dim in [-rank, rank) -> [0, rank); a 0-d tensor takes -1 and 0, as PyTorch's does.
int wrap_dim(const char* op, int64_t dim, int rank);

}  // namespace lamina
