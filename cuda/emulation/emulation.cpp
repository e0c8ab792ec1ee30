#include <ucontext.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "core/check.h"
#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace lamina::cuda::emulation {
namespace {

constexpr size_t kStackBytes = size_t{64} << 10;

// One thread of a block: a stack and where it stands.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

struct Block {
  std::vector<Fiber> fibers;
  ucontext_t scheduler;
  const std::function<void()>* kernel = nullptr;
  size_t current = 0;
  bool fibers_run = false;
  bool met_barrier = false;
};
Block g_block;

void fiber_main() {
  (*g_block.kernel)();
  g_block.fibers[g_block.current].done = true;
  swapcontext(&g_block.fibers[g_block.current].context, &g_block.scheduler);
}

void start(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  fiber.done = false;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
}

// Each round takes every thread from one barrier to the next, forwards and backwards in turn, so
// that neither order of the threads hides a barrier that is missing.
void run_block() {
  const size_t threads = size_t{blockDim.x};
  g_block.fibers_run = true;
  if (g_block.fibers.size() < threads) g_block.fibers.resize(threads);
  for (size_t t = 0; t < threads; ++t) start(g_block.fibers[t]);
  size_t left = threads;
  for (int round = 0; left > 0; ++round) {
    for (size_t i = 0; i < threads; ++i) {
      const size_t t = round % 2 == 0 ? i : threads - 1 - i;
      Fiber& fiber = g_block.fibers[t];
      if (fiber.done) continue;
      g_block.current = t;
      threadIdx = dim3(static_cast<unsigned>(t), 0, 0);
      swapcontext(&g_block.scheduler, &fiber.context);
      left -= fiber.done ? 1 : 0;
    }
  }
  g_block.fibers_run = false;
}

// For kernels without a barrier: a loop, which is far faster.
void run_block_in_order() {
  for (unsigned t = 0; t < blockDim.x; ++t) {
    threadIdx = dim3(t, 0, 0);
    (*g_block.kernel)();
  }
}

struct Memory {
  std::map<void*, size_t> blocks;
  size_t used = 0;
};
Memory g_memory;

}  // namespace

cudaError_t run_grid(dim3 grid, dim3 block, const void* id, const std::function<void()>& kernel) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535 || block.x == 0 || block.x > 1024 || block.y != 1 || block.z != 1)
    return cudaErrorInvalidConfiguration;
  gridDim = grid;
  blockDim = block;
  g_block.kernel = &kernel;
  g_block.met_barrier = false;
  static std::map<const void*, bool> has_barrier;  // learnt from a kernel's first launch
  const auto known = has_barrier.find(id);
  const bool in_order = known != has_barrier.end() && !known->second;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        in_order ? run_block_in_order() : run_block();
      }
  has_barrier[id] |= g_block.met_barrier;
  return cudaSuccess;
}

}  // namespace lamina::cuda::emulation

using namespace lamina::cuda::emulation;

void __syncthreads() {
  g_block.met_barrier = true;
  lamina::check<lamina::RuntimeError>(
      g_block.fibers_run, "emulation: a kernel met a barrier that its first launch did not");
  swapcontext(&g_block.fibers[g_block.current].context, &g_block.scheduler);
}

const char* cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    default: return "invalid argument";
  }
}

const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    default: return "cudaErrorInvalidValue";
  }
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 1;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  *total = g_memory_limit;
  *available = g_memory_limit - g_memory.used;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  if (bytes > g_memory_limit - g_memory.used) return cudaErrorMemoryAllocation;
  *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*data) return cudaErrorMemoryAllocation;
  g_memory.blocks[*data] = bytes;
  g_memory.used += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  const auto found = g_memory.blocks.find(data);
  if (found == g_memory.blocks.end()) return cudaErrorInvalidValue;
  g_memory.used -= found->second;
  g_memory.blocks.erase(found);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
