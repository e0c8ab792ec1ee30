// Strided tensors over shared storage. No mathematics here, and no autograd: a tensor only carries
// the autograd layer's record without knowing what is in it.
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "core/device.h"
#include "core/dtype.h"
#include "core/ref.h"
#include "core/shape.h"

namespace lamina {

// What a kernel sees of a tensor: where it lies and how. Points into a live tensor's sizes and
// strides (in elements), so it is for the length of one call.
struct TensorRef {
  void* data = nullptr;
  std::span<const int64_t> sizes;
  std::span<const int64_t> strides;
  DType dtype = DType::Float32;

  int rank() const { return static_cast<int>(sizes.size()); }
  int64_t numel() const {
    int64_t n = 1;
    for (const int64_t s : sizes) n *= s;
    return n;
  }
  bool contiguous() const { return is_contiguous(sizes, strides); }
  bool defined() const { return data != nullptr; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// A block of device memory. All views of it share its version: the number of in-place writes so
// far, and the name of the op that made the last one (for error texts).
class Storage final : public RefCounted {
 public:
  Storage(Device device, size_t bytes)
      : data_(allocator(device.kind).allocate(device, bytes)), bytes_(bytes), device_(device) {}
  // Memory that belongs to someone else (NumPy, DLPack): `release(context)` gives it back.
  Storage(Device device, void* data, size_t bytes, void (*give_back)(void*) noexcept, void* context,
          bool writable)
      : data_(data),
        bytes_(bytes),
        device_(device),
        writable_(writable),
        give_back_(give_back),
        context_(context) {}
  ~Storage() override {
    if (give_back_)
      give_back_(context_);
    else
      allocator(device_.kind).deallocate(device_, data_, bytes_);
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool writable() const { return writable_; }

  uint32_t version() const { return version_.load(std::memory_order_relaxed); }
  const char* last_writer() const { return last_writer_; }
  void wrote(const char* op) {
    add<uint32_t>(version_, 1, std::memory_order_relaxed);
    last_writer_ = op;
  }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
  bool writable_ = true;
  std::atomic<uint32_t> version_{0};
  const char* last_writer_ = "";
  void (*give_back_)(void*) noexcept = nullptr;
  void* context_ = nullptr;
};

// The autograd layer derives its record of a tensor from this.
struct AutogradRecord : Pooled {
  virtual ~AutogradRecord() = default;
};

struct TensorImpl final : RefCounted {
  TensorImpl() {
  }  // or `new TensorImpl()` would zero all of it first  NOLINT(modernize-use-equals-default)
  Ptr<Storage> storage;
  int64_t offset = 0;  // in elements
  Dims sizes;
  Dims strides;
  int64_t numel = 0;
  DType dtype = DType::Float32;
  bool contiguous = true;
  bool requires_grad = false;   // a leaf that collects a gradient, or an output that has a grad_fn
  bool wrapped_number = false;  // made from a Python number: takes part in promotion as one
  std::unique_ptr<AutogradRecord> autograd;
  void* python = nullptr;  // the live Python object of this tensor; borrowed, guarded by the GIL
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  const Ptr<TensorImpl>& ptr() const { return impl_; }
  bool same(const Tensor& other) const { return impl_ == other.impl_; }

  const Dims& sizes() const { return impl_->sizes; }
  const Dims& strides() const { return impl_->strides; }
  int64_t size(int i) const { return impl_->sizes[i]; }
  int64_t stride(int i) const { return impl_->strides[i]; }
  int rank() const { return impl_->sizes.rank(); }
  int64_t numel() const { return impl_->numel; }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->storage->device(); }
  int64_t offset() const { return impl_->offset; }
  bool contiguous() const { return impl_->contiguous; }
  bool requires_grad() const { return impl_->requires_grad; }
  Storage& storage() const { return *impl_->storage; }
  void* data() const {
    return static_cast<char*>(impl_->storage->data()) + impl_->offset * item_size(impl_->dtype);
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data());
  }
  TensorRef ref() const { return {data(), impl_->sizes, impl_->strides, impl_->dtype}; }
  operator TensorRef() const { return ref(); }

 private:
  Ptr<TensorImpl> impl_;
};

// "[32, 20]", or "[32, 20] float64 cuda:0" where dtype or device are out of the ordinary.
std::string to_text(const Tensor& t);

Tensor empty(const Dims& sizes, DType dtype, Device device = {});
Tensor empty_strided(const Dims& sizes, const Dims& strides, DType dtype, Device device = {});
// Over memory of `storage`, sharing it and its version; knows nothing of autograd. The bounds are
// the caller's to keep.
Tensor alias(const Tensor& t, const Dims& sizes, const Dims& strides, int64_t offset);
// The same elements under a new identity, without gradient.
Tensor alias(const Tensor& t);
// Elements from the first to the last that a strided tensor of these sizes touches; 0 when empty.
int64_t strided_extent(std::span<const int64_t> sizes, std::span<const int64_t> strides);
// True when two indices reach the same element (a broadcast dimension, say).
bool overlaps_itself(std::span<const int64_t> sizes, std::span<const int64_t> strides);

}  // namespace lamina
