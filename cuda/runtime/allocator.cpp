// Freed blocks are kept and handed out again for the same size class, device and stream: cudaMalloc
// and cudaFree wait for the whole device, and a training step asks for the same sizes every time.
#include <bit>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime.h"

namespace lamina::cuda {
namespace {

struct BlockClass {
  int device;
  cudaStream_t stream;
  size_t bytes;
  friend bool operator<(const BlockClass& a, const BlockClass& b) {
    return std::tie(a.device, a.stream, a.bytes) < std::tie(b.device, b.stream, b.bytes);
  }
};

struct Cache {
  std::mutex mutex;
  std::map<BlockClass, std::vector<void*>> free;
  std::unordered_map<void*, BlockClass> live;
  MemoryStats stats{};
};

// Never destroyed: tensors may outlive every static, and at exit CUDA frees all by itself.
Cache& cache() {
  static Cache* const c = new Cache;
  return *c;
}

// Multiples of 512 bytes (CUDA's alignment is 256), then eight steps to each power of two.
size_t class_bytes(size_t bytes) {
  const size_t step = bytes <= 4096 ? 512 : std::bit_floor(bytes - 1) / 8;
  return bytes == 0 ? step : (bytes + step - 1) / step * step;
}

void* allocate(Device device, size_t bytes) {
  constexpr const char* kOp = "allocating memory";
  const BlockClass key{device.index, current_stream(device.index), class_bytes(bytes)};
  const auto size = static_cast<int64_t>(key.bytes);
  Cache& c = cache();
  {
    const std::lock_guard lock(c.mutex);
    if (const auto found = c.free.find(key); found != c.free.end() && !found->second.empty()) {
      void* data = found->second.back();
      c.live.emplace(data, key);
      found->second.pop_back();
      c.stats.cached_bytes -= size;
      c.stats.live_bytes += size;
      return data;
    }
  }
  const DeviceGuard guard(kOp, device.index);
  void* data = nullptr;
  cudaError_t result = cudaMalloc(&data, key.bytes);
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    empty_cache();
    result = cudaMalloc(&data, key.bytes);
  }
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    size_t available = 0;
    size_t total = 0;
    (void)cudaMemGetInfo(&available, &total);
    raise<MemoryError>("cannot allocate ", bytes, " bytes on ", device, ": ", available, " of ",
                       total, " bytes are free, and lamina holds ", memory_stats().live_bytes);
  }
  check_call(kOp, "cudaMalloc", result);
  const std::lock_guard lock(c.mutex);
  c.live.emplace(data, key);
  c.stats.live_bytes += size;
  ++c.stats.cuda_mallocs;
  return data;
}

void deallocate(Device, void* data, size_t) noexcept {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  const auto found = c.live.find(data);
  const BlockClass key = found->second;
  c.free[key].push_back(data);
  c.live.erase(found);
  c.stats.live_bytes -= static_cast<int64_t>(key.bytes);
  c.stats.cached_bytes += static_cast<int64_t>(key.bytes);
}

}  // namespace

const Allocator kAllocator = {allocate, deallocate};

MemoryStats memory_stats() {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  return c.stats;
}

void empty_cache() noexcept {
  Cache& c = cache();
  const std::lock_guard lock(c.mutex);
  for (auto& [key, blocks] : c.free)
    for (void* block : blocks) (void)cudaFree(block);  // waits until no kernel uses it
  c.free.clear();
  c.stats.cached_bytes = 0;
}

}  // namespace lamina::cuda
