// The CPU's entries of CONTRACT 1 (device.h), one function each, by their names there.
#pragma once

#include "device.h"

namespace lamina::cpu {

// copy.cpp
void copy(Ctx&, const TensorRef& dst, const TensorRef& src);
void fill(Ctx&, const TensorRef& dst, double value);
void arange(Ctx&, const TensorRef& dst, double start, double step);
void to_host(Ctx&, void* host, const TensorRef& src);
void from_host(Ctx&, const TensorRef& dst, const void* host);

// pointwise.cpp
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

// reduce.cpp
void reduce(Ctx&, ReduceOp, const TensorRef& dst, const TensorRef& x);
void arg_reduce(Ctx&, ReduceOp, const TensorRef& values, const TensorRef& indices,
                const TensorRef& x, int dim);
void var(Ctx&, const TensorRef& dst, const TensorRef& mean, const TensorRef& x, double correction);

// scan.cpp, sort.cpp
void scan(Ctx&, ScanOp, const TensorRef& dst, const TensorRef& indices, const TensorRef& x, int dim,
          bool reverse);
void sort(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim,
          bool descending);
void median(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim);
void order_rows(Ctx&, const TensorRef& order, const TensorRef& x);

// conv.cpp, conv_weight.cpp
void conv(Ctx&, const ConvArgs&);
void conv_input(Ctx&, const ConvArgs&);
void conv_weight(Ctx&, const ConvArgs&);

// gemm.cpp, softmax.cpp, norm.cpp, group_norm.cpp, optim.cpp
void gemm(Ctx&, const GemmArgs&);
void softmax(Ctx&, const SoftmaxArgs&);
void softmax_backward(Ctx&, const SoftmaxBackwardArgs&);
void cross_entropy(Ctx&, const CrossEntropyArgs&);
void cross_entropy_backward(Ctx&, const CrossEntropyBackwardArgs&);
void batch_norm(Ctx&, const BatchNormArgs&);
void batch_norm_backward(Ctx&, const BatchNormBackwardArgs&);
void update(Ctx&, Update, std::span<const UpdateRow>);
double total_norm(Ctx&, std::span<const UpdateRow>, double order);

// pool.cpp, resample.cpp
void max_pool(Ctx&, const MaxPoolArgs&);
void max_pool_take(Ctx&, const MaxPlacesArgs&);
void max_pool_put(Ctx&, const MaxPlacesArgs&);
void resample(Ctx&, const ResampleArgs&);
void group_norm(Ctx&, const GroupNormArgs&);
void group_norm_backward(Ctx&, const GroupNormBackwardArgs&);

// attention.cpp
void attention(Ctx&, const AttentionArgs&);
void attention_backward(Ctx&, const AttentionBackwardArgs&);
void recurrent(Ctx&, const RecurrentArgs&);  // rnn.cpp, rnn_backward.cpp
void recurrent_backward(Ctx&, const RecurrentBackwardArgs&);

// random.cpp
void random(Ctx&, Distribution, const TensorRef& dst, double a, double b, const PhiloxStream&);
void random_integers(Ctx&, const TensorRef& dst, int64_t low, uint64_t range, const PhiloxStream&);
void dropout(Ctx&, const TensorRef& y, const TensorRef& mask, const TensorRef& x, double p,
             const PhiloxStream&);

// index.cpp
void index_read(Ctx&, const TensorRef& dst, const TensorRef& src,
                std::span<const TensorRef> indices);
void index_write(Ctx&, const TensorRef& dst, std::span<const TensorRef> indices,
                 const TensorRef& src, bool accumulate);
bool indices_in_range(Ctx&, const TensorRef& index, int64_t low, int64_t high, int64_t* bad);
int64_t count_nonzero(Ctx&, const TensorRef& x);
void nonzero(Ctx&, const TensorRef& dst, const TensorRef& x);

// gather.cpp
void gather(Ctx&, const TensorRef& dst, const TensorRef& src, int dim, const TensorRef& index);
void scatter(Ctx&, const TensorRef& dst, int dim, const TensorRef& index, const TensorRef& src,
             ScatterOp);

// linalg.cpp
int64_t solve(Ctx&, const TensorRef& a, const TensorRef& b);
void qr(Ctx&, const TensorRef& q, const TensorRef& r);

}  // namespace lamina::cpu
