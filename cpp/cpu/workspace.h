// Scratch memory for the length of one call.
#pragma once

#include "core/device.h"

namespace lamina::cpu {

// Small requests live on the stack, larger ones come from the caching allocator, so that neither
// asks the system in a steady state. Uninitialised, 64-byte aligned.
template <class T, size_t kInlineBytes = 8192>
class Workspace {
 public:
  explicit Workspace(int64_t count) : bytes_(static_cast<size_t>(count) * sizeof(T)) {
    data_ = bytes_ <= kInlineBytes
                ? reinterpret_cast<T*>(inline_)
                : static_cast<T*>(allocator(DeviceKind::Cpu).allocate(Device{}, bytes_));
  }
  ~Workspace() {
    if (bytes_ > kInlineBytes) allocator(DeviceKind::Cpu).deallocate(Device{}, data_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  size_t bytes_;
  T* data_;
  alignas(64) unsigned char inline_[kInlineBytes];
};

}  // namespace lamina::cpu
