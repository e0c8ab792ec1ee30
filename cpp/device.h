// CONTRACT 1: what a device does.
//
// A device implements this table over whole tensors. It knows buffers and layout: blocking,
// threads or thread blocks, strides, casts. It does not know gradients (ops do) nor Python.
//
// The caller (an op) has checked dtypes, devices and sizes, allocated every output, and passes
// operands that live on the device. Unless a line says otherwise, operands may have any strides;
// "rows" means contiguous. A device that lacks an entry leaves it null; `device_api` turns that
// into one clear error.
#pragma once

#include <span>

#include "core/device.h"
#include "core/random.h"
#include "core/tensor.h"
#include "pointwise.h"
#include "updates.h"

namespace lamina {

// Where and in which order a call runs.
struct Ctx {
  Device device;
  void* stream = nullptr;  // cudaStream_t; unused on the CPU
};

struct Params {
  double a = 0;
  double b = 0;
};

enum class ReduceOp : uint8_t { Sum, Prod, Max, Min, Any, All };
enum class ScanOp : uint8_t { Sum, Prod, Max, Min };
enum class ScatterOp : uint8_t { Write, Add, Multiply };
// What a contraction or a norm may apply to its result, and the row that it is; None has none.
enum class Activation : uint8_t { None, Relu, Tanh, Sigmoid, Gelu };
constexpr UnaryOp row_of(Activation act) {
  constexpr UnaryOp kRow[] = {UnaryOp::relu, UnaryOp::relu, UnaryOp::tanh, UnaryOp::sigmoid,
                              UnaryOp::gelu};
  return kRow[static_cast<int>(act)];
}

// c = act(alpha * a b + beta * c + bias), batched over the leading dimension.
struct GemmArgs {
  TensorRef c;  // [B, M, N], last dimension contiguous, not overlapping a or b
  TensorRef a;  // [B, M, K]; a batch stride of 0 broadcasts; a transpose is a pair of strides
  TensorRef b;  // [B, K, N]
  TensorRef bias = {};  // [N] contiguous, or undefined
  TensorRef a_sums =
      {};  // [M] contiguous, or undefined: receives the sums of a's rows; B is 1 then
  double alpha = 1;
  double beta = 0;  // 0 means that c is never read, NaN or not
  Activation act = Activation::None;
};

// Images x [N, C, H, W], filters w [K, C/groups, R, S] and their correlation y [N, K, P, Q], all
// rows:
//
//   y[n,k,p,q] = sum of w[k,c,r,s] * x[n, c of k's group, p*stride - padding + r*dilation, ...]
//
// where x counts as zero outside. Padding is that before the first row and column; how much comes
// behind the last follows from the sizes. Each of the three is linear in the other two, and an
// entry of the table computes it from those: y, x (the gradient of x for y's; a transposed
// convolution) or w (the gradient of w).
struct ConvArgs {
  TensorRef x, w, y;
  TensorRef bias;  // or undefined: [K] added to y; [C] added to x; [K] receives the sums of y
  int64_t stride[2], padding[2], dilation[2];
  int64_t groups = 1;
  Activation act = Activation::None;  // of y, or of x
};

// Normalisation of x [N, C, S] (rows) over N and S, one group a channel. Vectors [C] are
// contiguous.
struct BatchNormArgs {
  TensorRef x, y;          // [N, C, S]
  TensorRef weight, bias;  // [C] or undefined
  TensorRef mean, invstd;  // [C]; written in training, read otherwise
  TensorRef running_mean,
      running_var;  // [C] or undefined; updated in training, with unbiased variance
  double momentum = 0.1;
  double eps = 1e-5;
  bool training = true;  // false: mean and invstd are given
  Activation act = Activation::None;
};

struct BatchNormBackwardArgs {
  TensorRef x, dy;           // [N, C, S]
  TensorRef weight;          // [C] or undefined
  TensorRef mean, invstd;    // [C]
  TensorRef dx;              // [N, C, S] or undefined when not needed; needed by an activation
  TensorRef dweight, dbias;  // [C] or undefined
  bool training = true;
  Activation act = Activation::None;
  TensorRef bias = {};  // [C] or undefined; read by an activation
};

// Normalisation of each group of a sample by itself: x [N, G, C, S] (rows) over C and S. Layer norm
// is G == S == 1, instance norm C == 1.
struct GroupNormArgs {
  TensorRef x, y;          // [N, G, C, S]
  TensorRef weight, bias;  // [G * C] contiguous or undefined
  TensorRef mean, invstd;  // [N * G], written; without a mean nothing is subtracted: RMS norm
  double eps = 1e-5;
};
struct GroupNormBackwardArgs {
  TensorRef x, dy;           // [N, G, C, S]
  TensorRef weight;          // [G * C] contiguous or undefined
  TensorRef mean, invstd;    // [N * G]; no mean: RMS norm
  TensorRef dx;              // [N, G, C, S]
  TensorRef dweight, dbias;  // [G * C] contiguous or undefined
};

// Softmax over the middle dimension of x [outer, n, inner] (rows).
struct SoftmaxArgs {
  TensorRef x, y;
  bool log = false;
};
struct SoftmaxBackwardArgs {
  TensorRef y, dy, dx;  // y is the forward's output
  bool log = false;
};

// Cross-entropy of logits [N, C] (rows) against class indices, one fused pass.
struct CrossEntropyArgs {
  TensorRef logits;      // [N, C]
  TensorRef target;      // [N] int64; already checked to lie in [0, C) or equal ignore_index
  TensorRef weight;      // [C] or undefined
  TensorRef loss;        // [N]: weighted and smoothed, 0 where ignored
  TensorRef row_weight;  // [N]: weight[target], 0 where ignored; the divisor of a mean
  TensorRef logsumexp;   // [N], kept for backward
  int64_t ignore_index = -100;
  double label_smoothing = 0;
};
struct CrossEntropyBackwardArgs {
  TensorRef logits, target, weight, logsumexp;
  TensorRef grad;     // [N]: dL/dloss of each row (a stride of 0 is common)
  TensorRef dlogits;  // [N, C]
  int64_t ignore_index = -100;
  double label_smoothing = 0;
};

// Recurrent layers over whole sequences, in one direction or both. What a layer reads and writes is
// stored step by step: the rows of all sequences at step 0, then at step 1, and so on. `batch` has
// the number of rows of each step, which never grows: sequences that go on are the first ones. N is
// the number of sequences, `total` the number of rows, H of units; G gates stand side by side, as
// i f g o (Lstm) or r z n (Gru).
enum class Recurrence : uint8_t { Tanh, Relu, Lstm, Gru };
constexpr int gates_of(Recurrence kind) {
  return kind == Recurrence::Lstm ? 4 : kind == Recurrence::Gru ? 3 : 1;
}
struct RecurrentDirection {
  bool reverse;           // from the last step to the first
  TensorRef w_ih, w_hh;   // [G H, I] and [G H, H] (rows)
  TensorRef b_ih, b_hh;   // [G H] contiguous, or undefined
  TensorRef h0, c0;       // [N, H] (rows), or undefined: zeros
  TensorRef y;            // [total, H], last dimension contiguous
  TensorRef gates, kept;  // for backward: [total, G H] after activation, [total, H] (rows): the
                          // cells (Lstm) or W_hn h + b_hn (Gru), undefined for the others
  TensorRef h_n, c_n;     // [N, H] (rows)
};
struct RecurrentArgs {
  Recurrence kind;
  TensorRef x;  // [total, I] (rows)
  std::span<const int64_t> batch;
  std::span<const RecurrentDirection> directions;
};
struct RecurrentGradients {
  TensorRef dy;      // [total, H], last dimension contiguous, or undefined: zeros
  TensorRef dh, dc;  // [N, H] (rows): those of h_n and c_n, become those of h0 and c0
  bool needs_state;  // whether the latter are wanted
  TensorRef dw_ih, dw_hh, db_ih, db_hh;  // as the weights; undefined when not needed
};
struct RecurrentBackwardArgs {
  RecurrentArgs forward;
  TensorRef dx;  // [total, I] (rows), or undefined when not needed
  std::span<const RecurrentGradients> directions;
};

// Scaled dot-product attention: y = dropout(softmax(scale q k^T + mask)) v, the softmax over keys.
// H is a multiple of G: query head h reads key head h / (H / G). The last dimension of q, k, v and
// y is contiguous, and so is the mask's; the others may have any strides, 0 among them in what is
// read. A query that may see no key gets zeros.
struct AttentionArgs {
  TensorRef q;          // [B, H, L, E]
  TensorRef k, v;       // [B, G, S, E], [B, G, S, Ev]
  TensorRef mask;       // [B, H, L, S], of q's dtype (added) or bool (may be seen); or undefined
  TensorRef y;          // [B, H, L, Ev]
  TensorRef logsumexp;  // [B, H, L] (rows): of the scores, infinite where no key may be seen
  double scale = 1;
  bool causal = false;  // query i sees keys 0 to i
  double dropout = 0;   // number ((b H + h) L + i) S + j of the stream decides on a probability
  PhiloxStream stream = {};
};
struct AttentionBackwardArgs {
  AttentionArgs forward;
  TensorRef dy;          // [B, H, L, Ev], last dimension contiguous
  TensorRef dq, dk, dv;  // of the sizes of q, k, v, last dimension contiguous; or undefined
};

// Windows along one dimension: which of `in` elements each of `out` results looks at. Element k of
// window i is start(i) + k * dilation, which may lie outside, in the padding.
struct Windows {
  int64_t in = 1, out = 1;
  int64_t kernel = 1, stride = 1, padding = 0, dilation = 1;
  bool adaptive = false;  // cuts as even as whole numbers are; `kernel` is no less than the longest
  int64_t start(int64_t i) const { return adaptive ? i * in / out : i * stride - padding; }
  int64_t length(int64_t i) const {
    return adaptive ? ((i + 1) * in - 1) / out + 1 - start(i) : kernel;
  }
  // Elements [first, last) of window i are in the input.
  int64_t first(int64_t i) const {
    const int64_t at = start(i);
    return at >= 0 ? 0 : (dilation - 1 - at) / dilation;
  }
  int64_t last(int64_t i) const {
    const int64_t room = in - start(i);
    const int64_t inside = room <= 0 ? 0 : (room - 1) / dilation + 1;
    return inside < length(i) ? inside : length(i);
  }
};

// The largest element of each window of x [P, H, W] (rows): of equal ones the first, of NaN the
// last. A window without elements gives -inf.
struct MaxPoolArgs {
  TensorRef x, y;   // [P, H, W], [P, rows.out, cols.out]
  TensorRef index;  // like y, or undefined; int64: the element's place in the plane, -1 for none;
                    // uint8: row * cols.kernel + column in the window, 255 for none
  Windows rows, cols;
};
// What lies at those places, or the inverse: `plane` is [P, H, W], `values` are like the index.
struct MaxPlacesArgs {
  TensorRef plane, values, index;
  Windows rows, cols;
};

// A linear map of lines, in memory of the host: element i of the result is the sum of weight[k]
// times element source[k] for first[i] <= k < first[i + 1]. Without weights they are 1.
struct Taps {
  std::span<const int64_t> first, source;
  std::span<const double> weight;
};
// y [P, OH, OW] = rows x cols of each plane of x [P, H, W] (rows).
struct ResampleArgs {
  TensorRef x, y;
  Taps rows, cols;
};

// Filling with random numbers: element i (logical, row-major) depends on the stream and i alone.
enum class Distribution : uint8_t {
  Uniform,    // [a, b)
  Normal,     // mean a, standard deviation b
  Bernoulli,  // 1 with probability a
};

// One tensor of an update of many, and what belongs to it: rows of one dtype (float32 or float64)
// and n elements. What a row of the table does without is null.
struct UpdateRow {
  DType dtype;
  int64_t n;
  void* target;        // of an optimizer: the parameter
  const void* source;  // and its gradient
  void* state[kUpdateStates];
  const double* coefficients;  // kUpdateCoefficients of them
};

struct DeviceApi {
  const char* name;

  // -- memory ------------------------------------------------------------------------------------
  // dst = src, any pair of dtypes (C++ conversion; NaN -> integer is 0), any strides, src
  // broadcasts.
  void (*copy)(Ctx&, const TensorRef& dst, const TensorRef& src);
  void (*fill)(Ctx&, const TensorRef& dst, double value);  // integers: exact up to 2^53
  void (*arange)(Ctx&, const TensorRef& dst, double start, double step);  // rows
  // To or from memory of the host; both contiguous, same dtype and size. The CPU's is memcpy.
  void (*to_host)(Ctx&, void* host, const TensorRef& src);
  void (*from_host)(Ctx&, const TensorRef& dst, const void* host);

  // -- pointwise ---------------------------------------------------------------------------------
  // Operands broadcast to dst. They are cast to the compute dtype block by block: dst's for rows
  // of one to three operands, `compute` for comparisons (dst is bool).
  void (*unary)(Ctx&, UnaryOp, const TensorRef& dst, const TensorRef& x, Params);
  void (*unary_backward)(Ctx&, UnaryOp, const TensorRef& dx, const TensorRef& g,
                         const TensorRef& saved, Params);
  void (*binary)(Ctx&, BinaryOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y);
  void (*ternary)(Ctx&, TernaryOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
                  const TensorRef& z, Params);
  void (*compare)(Ctx&, CompareOp, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
                  DType compute);
  // dst = cond ? x : y; cond is bool.
  void (*where)(Ctx&, const TensorRef& dst, const TensorRef& cond, const TensorRef& x,
                const TensorRef& y);

  // -- reductions --------------------------------------------------------------------------------
  // dst has x's rank, with size 1 in the reduced dimensions. Sum and Prod accumulate in dst's dtype
  // (x is cast block by block), float sums by fixed blocks; Max and Min propagate NaN; Any and All
  // give bool. An empty Sum is 0, Prod 1, Any false, All true (Max and Min of nothing: never
  // called).
  void (*reduce)(Ctx&, ReduceOp, const TensorRef& dst, const TensorRef& x);
  // Index (int64) of the first maximum or minimum along `dim`; NaN counts as the extreme.
  void (*arg_reduce)(Ctx&, ReduceOp, const TensorRef& values, const TensorRef& indices,
                     const TensorRef& x, int dim);
  // Mean and sum of squared deviations / (n - correction), two passes. dst and mean as for reduce.
  void (*var)(Ctx&, const TensorRef& dst, const TensorRef& mean, const TensorRef& x,
              double correction);

  // -- along one dimension -----------------------------------------------------------------------
  // Running sums, products, maxima or minima of x along `dim`, from the other end if `reverse`. dst
  // has x's sizes and dtype; floats accumulate in double. `indices` (int64, for Max and Min) says
  // where the extreme so far is: the last of equal ones, NaN above all.
  void (*scan)(Ctx&, ScanOp, const TensorRef& dst, const TensorRef& indices, const TensorRef& x,
               int dim, bool reverse);
  // The first k elements of x in order along `dim` and their indices (int64); k is the size of
  // values and indices there. Equal ones stay in the order of x; NaN counts as the largest.
  void (*sort)(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x, int dim,
               bool descending);
  // The lower median along `dim` and an index of it; with a NaN there, the first NaN. values and
  // indices have size 1 in `dim`.
  void (*median)(Ctx&, const TensorRef& values, const TensorRef& indices, const TensorRef& x,
                 int dim);
  // The order (int64 [n]) that sorts the rows of x [n, m] (rows) by their first, then second, ...
  // element, stable.
  void (*order_rows)(Ctx&, const TensorRef& order, const TensorRef& x);

  // -- contractions and fused layers -------------------------------------------------------------
  void (*gemm)(Ctx&, const GemmArgs&);
  void (*conv)(Ctx&, const ConvArgs&);         // y
  void (*conv_input)(Ctx&, const ConvArgs&);   // x
  void (*conv_weight)(Ctx&, const ConvArgs&);  // w
  // b = a^-1 b for each a [B, n, n], b [B, n, k] (rows); a is overwritten. Returns the number of
  // the first a that is singular, or -1.
  int64_t (*solve)(Ctx&, const TensorRef& a, const TensorRef& b);
  // r [B, m, n] holds the matrices and becomes R; q [B, m, k] the first k columns of Q (rows).
  void (*qr)(Ctx&, const TensorRef& q, const TensorRef& r);
  void (*softmax)(Ctx&, const SoftmaxArgs&);
  void (*softmax_backward)(Ctx&, const SoftmaxBackwardArgs&);
  void (*cross_entropy)(Ctx&, const CrossEntropyArgs&);
  void (*cross_entropy_backward)(Ctx&, const CrossEntropyBackwardArgs&);
  void (*attention)(Ctx&, const AttentionArgs&);
  void (*attention_backward)(Ctx&, const AttentionBackwardArgs&);
  void (*batch_norm)(Ctx&, const BatchNormArgs&);
  void (*batch_norm_backward)(Ctx&, const BatchNormBackwardArgs&);
  void (*group_norm)(Ctx&, const GroupNormArgs&);
  void (*group_norm_backward)(Ctx&, const GroupNormBackwardArgs&);
  void (*max_pool)(Ctx&, const MaxPoolArgs&);
  void (*max_pool_take)(Ctx&, const MaxPlacesArgs&);  // values = plane at the places, 0 for none
  void (*max_pool_put)(Ctx&, const MaxPlacesArgs&);   // plane = 0, then += values at the places
  void (*resample)(Ctx&, const ResampleArgs&);
  void (*recurrent)(Ctx&, const RecurrentArgs&);
  void (*recurrent_backward)(Ctx&, const RecurrentBackwardArgs&);

  // -- random ------------------------------------------------------------------------------------
  void (*random)(Ctx&, Distribution, const TensorRef& dst, double a, double b, const PhiloxStream&);
  // Integers low, low + 1, ... of which there are `range`; a range of 0 stands for all 2^64.
  void (*random_integers)(Ctx&, const TensorRef& dst, int64_t low, uint64_t range,
                          const PhiloxStream&);
  // mask = uniform >= p (bool, rows); y = mask ? x / (1 - p) : 0.
  void (*dropout)(Ctx&, const TensorRef& y, const TensorRef& mask, const TensorRef& x, double p,
                  const PhiloxStream&);

  // -- indexing ----------------------------------------------------------------------------------
  // `indices` are int64, broadcast to one shape S, one for each leading dimension of the indexed
  // tensor, every value checked to lie in [-size, size). Indexed sizes: S + the remaining
  // dimensions.
  void (*index_read)(Ctx&, const TensorRef& dst, const TensorRef& src,
                     std::span<const TensorRef> indices);
  // dst[indices] = src, or += when accumulating; a destination row has one owner, which goes
  // through its sources in index order (so the last one wins, and sums have one order).
  void (*index_write)(Ctx&, const TensorRef& dst, std::span<const TensorRef> indices,
                      const TensorRef& src, bool accumulate);
  // Checks that every value lies in [low, high); returns the first that does not in `bad`.
  bool (*indices_in_range)(Ctx&, const TensorRef& index, int64_t low, int64_t high, int64_t* bad);
  // dst[..., i, ...] = src[..., index[..., i, ...], ...] along `dim`. index is int64, of dst's
  // sizes, checked; but for `dim` they are at most src's.
  void (*gather)(Ctx&, const TensorRef& dst, const TensorRef& src, int dim, const TensorRef& index);
  // dst[..., index[..., i, ...], ...] op= src[..., i, ...]: for each element of dst in the order of
  // i, whoever does it. src has index's sizes and dst's dtype, and is not in its memory.
  void (*scatter)(Ctx&, const TensorRef& dst, int dim, const TensorRef& index, const TensorRef& src,
                  ScatterOp);
  // Number of true elements; then their indices, row-major, as [count, rank] int64 (rows).
  int64_t (*count_nonzero)(Ctx&, const TensorRef& x);
  void (*nonzero)(Ctx&, const TensorRef& dst, const TensorRef& x);

  // -- many tensors in one call (updates.h) ------------------------------------------------------
  void (*update)(Ctx&, Update, std::span<const UpdateRow>);
  // The norm of the norms of the targets; of order 0, how many of them are not all zero.
  double (*total_norm)(Ctx&, std::span<const UpdateRow>, double order);
};

extern const DeviceApi kCpuApi;

// The table of a kind of device; null until it is there. CUDA registers itself when it is built in.
const DeviceApi* device_api(DeviceKind kind);
void register_device_api(DeviceKind kind, const DeviceApi* api);

// Calls one entry, or says that the device has no such kernel:
//
//   call<&DeviceApi::gemm>(device, "matmul", args);
template <auto Entry, class... Args>
decltype(auto) call(Device device, const char* op, Args&&... args) {
  const DeviceApi* api = device_api(device.kind);
  check<RuntimeError>(api != nullptr, op,
                      ": this build of lamina has no CUDA; reinstall it with "
                      "-C cmake.define.LAMINA_CUDA=ON");
  check<NotImplementedError>(api->*Entry != nullptr, op, ": no kernel for it on ", device,
                             " yet; move the tensors with .cpu()");
  Ctx ctx{device};
  return (api->*Entry)(ctx, std::forward<Args>(args)...);
}

}  // namespace lamina
