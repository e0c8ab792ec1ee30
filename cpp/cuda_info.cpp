// What a build without CUDA answers; the real ones are in cuda/runtime/info.cpp.
#include "cuda_info.h"

#ifndef LAMINA_WITH_CUDA

namespace lamina {

const CudaInfo& cuda_info() {
  static const CudaInfo* const info = new CudaInfo{
      false, "this build has no CUDA; reinstall with -C cmake.define.LAMINA_CUDA=ON", {}};
  return *info;
}

bool register_cuda() { return false; }

}  // namespace lamina

#endif
