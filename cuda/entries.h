// The entries of CUDA's device table, one group a file. device.h says what each does.
#pragma once

#include "device.h"

namespace lamina::cuda {

extern const DeviceApi kApi;

// copy.cu
void copy(Ctx&, const TensorRef& dst, const TensorRef& src);
void fill(Ctx&, const TensorRef& dst, double value);
void arange(Ctx&, const TensorRef& dst, double start, double step);
void to_host(Ctx&, void* host, const TensorRef& src);
void from_host(Ctx&, const TensorRef& dst, const void* host);

// pointwise.cu
void unary(Ctx&, UnaryOp, const TensorRef& dst, const TensorRef& x, Params);
void unary_backward(Ctx&, UnaryOp, const TensorRef& dx, const TensorRef& g, const TensorRef& saved,
                    Params);
void binary(Ctx&, BinaryOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y);
void ternary(Ctx&, TernaryOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             const TensorRef& z, Params);
void compare(Ctx&, CompareOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             DType compute);
void where(Ctx&, const TensorRef& dst, const TensorRef& cond, const TensorRef& x,
           const TensorRef& y);

// reduce.cu
void reduce(Ctx&, ReduceOp, const TensorRef& dst, const TensorRef& x);
void arg_reduce(Ctx&, ReduceOp, const TensorRef& values, const TensorRef& indices,
                const TensorRef& x, int dim);
void var(Ctx&, const TensorRef& dst, const TensorRef& mean, const TensorRef& x, double correction);

// gemm.cu
void gemm(Ctx&, const GemmArgs&);

}  // namespace lamina::cuda
