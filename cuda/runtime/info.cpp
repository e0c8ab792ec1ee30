#include "cuda_info.h"

#include "../entries.h"
#include "runtime.h"

namespace lamina {
namespace {

std::string version_text(int version) {
  return text::concat(version / 1000, ".", version % 1000 / 10);
}

CudaInfo ask() {
  CudaInfo info;
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    (void)cudaGetLastError();
    info.reason = "no CUDA driver";
    return info;
  }
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess) (void)cudaGetLastError();
  if (result == cudaErrorInsufficientDriver) {
    info.reason = text::concat("the CUDA driver is for CUDA ", version_text(driver),
                               ", this build needs ", version_text(CUDART_VERSION));
  } else if (result == cudaErrorNoDevice || (result == cudaSuccess && count == 0)) {
    info.reason = "no device";
  } else if (result != cudaSuccess) {
    info.reason = text::concat("cudaGetDeviceCount failed: ", cudaGetErrorString(result), " (",
                               cudaGetErrorName(result), ")");
  }
  for (int i = 0; i < count && info.reason.empty(); ++i) {
    cudaDeviceProp properties;
    const bool known = cudaGetDeviceProperties(&properties, i) == cudaSuccess;
    info.devices.emplace_back(known ? properties.name : "unknown");
  }
  info.available = info.reason.empty();
  return info;
}

}  // namespace

const CudaInfo& cuda_info() {
  static const CudaInfo* const info = new CudaInfo(ask());
  return *info;
}

bool register_cuda() {
  static const bool registered = [] {
    if (!cuda_info().available) return false;
    register_allocator(DeviceKind::Cuda, &cuda::kAllocator);
    register_device_api(DeviceKind::Cuda, &cuda::kApi);
    return true;
  }();
  return registered;
}

}  // namespace lamina
