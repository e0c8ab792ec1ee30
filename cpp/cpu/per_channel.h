// A vector with one value a channel, as kernels take it: adjacent, and there.
#pragma once

#include <algorithm>

#include "cpu/workspace.h"

namespace lamina::cpu {

// Of `count` channels; `otherwise` everywhere where the tensor is undefined.
template <class T>
class PerChannel {
 public:
  PerChannel(const TensorRef& t, int64_t count, T otherwise)
      : filled_(t.defined() ? 0 : count), data_(t.as<T>()) {
    if (data_ != nullptr) return;
    std::fill_n(filled_.data(), count, otherwise);
    data_ = filled_.data();
  }
  const T* at(int64_t channel) const { return data_ + channel; }

 private:
  Workspace<T> filled_;
  const T* data_;
};

}  // namespace lamina::cpu
