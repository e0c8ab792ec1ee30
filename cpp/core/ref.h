// Intrusive reference counting: one word in the object, no control block.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "core/pool.h"
#include "core/sharing.h"

namespace lamina {

class RefCounted : public Pooled {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void retain() const noexcept { add<uint32_t>(refs_, 1, std::memory_order_relaxed); }
  void release() const noexcept {
    if (add<uint32_t>(refs_, -1u, std::memory_order_acq_rel) == 1) last_release();
  }
  // For weak back pointers: fails once the count has reached zero.
  bool try_retain() const noexcept {
    uint32_t n = refs_.load(std::memory_order_relaxed);
    while (n != 0)
      if (refs_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) return true;
    return false;
  }
  uint32_t ref_count() const noexcept { return refs_.load(std::memory_order_acquire); }

 protected:
  virtual ~RefCounted() = default;
  // What happens to an object nobody owns. Overridden where destruction must not recurse.
  virtual void last_release() const noexcept { delete this; }

 private:
  mutable std::atomic<uint32_t> refs_{0};
};

template <class T>
class Ptr {
 public:
  Ptr() = default;
  Ptr(std::nullptr_t) {}
  explicit Ptr(T* p) noexcept : p_(p) {
    if (p_) p_->retain();
  }
  Ptr(const Ptr& other) noexcept : Ptr(other.p_) {}
  Ptr(Ptr&& other) noexcept : p_(std::exchange(other.p_, nullptr)) {}
  template <class U>
  Ptr(const Ptr<U>& other) noexcept : Ptr(static_cast<T*>(other.get())) {}
  template <class U>
  Ptr(Ptr<U>&& other) noexcept : p_(other.detach()) {}
  ~Ptr() {
    if (p_) p_->release();
  }
  Ptr& operator=(Ptr other) noexcept {
    std::swap(p_, other.p_);
    return *this;
  }

  // Takes over a reference that the caller already holds.
  static Ptr adopt(T* p) noexcept {
    Ptr out;
    out.p_ = p;
    return out;
  }
  [[nodiscard]] T* detach() noexcept { return std::exchange(p_, nullptr); }

  T* get() const noexcept { return p_; }
  T* operator->() const noexcept { return p_; }
  T& operator*() const noexcept { return *p_; }
  explicit operator bool() const noexcept { return p_ != nullptr; }
  friend bool operator==(const Ptr& a, const Ptr& b) noexcept { return a.p_ == b.p_; }

 private:
  T* p_ = nullptr;
};

template <class T, class... Args>
Ptr<T> make(Args&&... args) {
  return Ptr<T>(new T(std::forward<Args>(args)...));
}

}  // namespace lamina
