// Devices, streams, checked calls and launches: everything of CUDA's runtime that drivers use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device.h"
#include "cuda.h"
#include "device.h"

namespace lamina::cuda {

// Raises RuntimeError (MemoryError when the device is out of memory) naming the op, the call and
// CUDA's reason. Kernels run asynchronously, so a fault may surface in the call after its own.
void check_call(const char* op, const char* call, cudaError_t result);

// The stream on which this thread works on `device`: the default stream until a StreamGuard says
// otherwise. Memory goes back to the stream that it was allocated on, so a block is never handed to
// another stream while work on the first may still use it.
cudaStream_t current_stream(int device);

class StreamGuard {
 public:
  StreamGuard(int device, cudaStream_t stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  int device_;
  cudaStream_t previous_;
};

// Makes `device` the current one while it lives.
class DeviceGuard {
 public:
  DeviceGuard(const char* op, int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = -1;  // -1: it was current already
};

int multiprocessors(const char* op, int device);

// What one call of the device works with: its name in errors, its device, its stream.
class Call {
 public:
  Call(const char* op, const Ctx& ctx)
      : op_(op),
        device_(ctx.device),
        device_guard_(op, ctx.device.index),
        stream_guard_(ctx.device.index, ctx.stream ? static_cast<cudaStream_t>(ctx.stream)
                                                   : current_stream(ctx.device.index)) {}

  const char* op() const { return op_; }
  Device device() const { return device_; }
  cudaStream_t stream() const { return current_stream(device_.index); }
  void check(const char* call, cudaError_t result) const { check_call(op_, call, result); }

  // Blocks for a loop that strides over the grid: enough to fill the device, no more.
  unsigned blocks_for(uint64_t items, unsigned threads) const;

  template <class... Params, class... Args>
  void launch(void (*kernel)(Params...), dim3 grid, unsigned threads, const Args&... args) const {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.stream = stream();
    check("cudaLaunchKernelEx", cudaLaunchKernelEx(&config, kernel, Params(args)...));
  }

 private:
  const char* op_;
  Device device_;
  DeviceGuard device_guard_;
  StreamGuard stream_guard_;
};

extern const Allocator kAllocator;

// Scratch memory for the length of a call; later work on the stream may reuse it at once, since it
// runs after.
class Workspace {
 public:
  Workspace(Device device, size_t bytes)
      : device_(device),
        bytes_(bytes),
        data_(bytes == 0 ? nullptr : kAllocator.allocate(device, bytes)) {}
  ~Workspace() {
    if (data_) kAllocator.deallocate(device_, data_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Device device_;
  size_t bytes_;
  void* data_;
};

struct MemoryStats {
  int64_t live_bytes;    // handed out now
  int64_t cached_bytes;  // held for reuse
  int64_t cuda_mallocs;  // allocations that had to ask CUDA
};
MemoryStats memory_stats();
// Gives every cached block back to CUDA. Waits for the devices.
void empty_cache() noexcept;

}  // namespace lamina::cuda
