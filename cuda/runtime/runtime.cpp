#include "runtime.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace lamina::cuda {
namespace {

constexpr int kMaxDevices = 128;  // Device::index is an int8_t
thread_local std::array<cudaStream_t, kMaxDevices> t_streams{};

}  // namespace

void check_call(const char* op, const char* call, cudaError_t result) {
  if (result == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // an error that is not sticky must not surface again in the next call
  const std::string reason = text::concat(op, ": ", call, " failed: ", cudaGetErrorString(result),
                                          " (", cudaGetErrorName(result), ")");
  if (result == cudaErrorMemoryAllocation) raise<MemoryError>(reason);
  raise<RuntimeError>(reason);
}

cudaStream_t current_stream(int device) { return t_streams[static_cast<size_t>(device)]; }

StreamGuard::StreamGuard(int device, cudaStream_t stream)
    : device_(device), previous_(current_stream(device)) {
  t_streams[static_cast<size_t>(device)] = stream;
}
StreamGuard::~StreamGuard() { t_streams[static_cast<size_t>(device_)] = previous_; }

DeviceGuard::DeviceGuard(const char* op, int device) {
  int now = 0;
  check_call(op, "cudaGetDevice", cudaGetDevice(&now));
  if (now == device) return;
  check_call(op, "cudaSetDevice", cudaSetDevice(device));
  previous_ = now;
}

DeviceGuard::~DeviceGuard() {
  if (previous_ >= 0) (void)cudaSetDevice(previous_);  // it was current before, so it can be again
}

int multiprocessors(const char* op, int device) {
  static std::array<std::atomic<int>, kMaxDevices> known{};
  std::atomic<int>& entry = known[static_cast<size_t>(device)];
  int count = entry.load(std::memory_order_relaxed);
  if (count == 0) {
    check_call(op, "cudaDeviceGetAttribute",
               cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
    entry.store(count, std::memory_order_relaxed);
  }
  return count;
}

unsigned Call::blocks_for(uint64_t items, unsigned threads) const {
  // 2048 threads are resident on a multiprocessor at most; two waves even out their ends.
  const uint64_t fill = static_cast<uint64_t>(multiprocessors(op_, device_.index)) * 4096 / threads;
  return static_cast<unsigned>(
      std::clamp<uint64_t>((items + threads - 1) / threads, 1, std::max<uint64_t>(fill, 1)));
}

}  // namespace lamina::cuda
