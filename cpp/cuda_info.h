// Whether CUDA can be used here, and if not, why. There in every build.
#pragma once

#include <string>
#include <vector>

namespace lamina {

struct CudaInfo {
  bool available = false;
  std::string reason;                // why not; empty when available
  std::vector<std::string> devices;  // the name of each device, by index
};

// Asks the driver the first time (it takes a moment where there is one) and remembers.
const CudaInfo& cuda_info();

// Registers CUDA's allocator and device table if a device is there; returns whether it is. To be
// called once a device of kind Cuda is first named, so that a program on the CPU never wakes the
// driver. May be called again, from any thread.
bool register_cuda();

}  // namespace lamina
