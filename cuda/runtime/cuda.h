// The one place that says where CUDA comes from: the toolkit, or the emulation that runs the same
// kernels on the host, thread by thread, where no GPU is at hand.
#pragma once

#ifdef LAMINA_CUDA_EMULATION
#include "../emulation/cuda_runtime.h"
#else
#include <cuda_runtime.h>
#endif

#ifdef __CUDA_ARCH__  // the host compiler does not know the pragma
#define LAMINA_UNROLL _Pragma("unroll")
#define LAMINA_UNROLL_2 _Pragma("unroll 2")
#else
#define LAMINA_UNROLL
#define LAMINA_UNROLL_2
#endif

#ifdef __CUDACC__
#define LAMINA_NOINLINE __noinline__
#else
#define LAMINA_NOINLINE
#endif
