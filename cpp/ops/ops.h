// Every op, one documented line each. An op checks what arrives, allocates, calls the device, and
// records one Node; its file holds forward and backward side by side. Names and meanings are
// PyTorch's.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "autograd/autograd.h"
#include "core/random.h"
#include "core/tensor.h"
#include "device.h"
#include "ops/scalar.h"

namespace lamina::ops {

using IntList = std::span<const int64_t>;

// -- creation (creation.cpp) -------------------------------------------------------------------
Tensor full(const Dims& sizes, Scalar value, DType dtype, Device device = {});
Tensor zeros(const Dims& sizes, DType dtype, Device device = {});
Tensor ones(const Dims& sizes, DType dtype, Device device = {});
Tensor empty_like(const Tensor& x, std::optional<DType> dtype = {});  // contiguous
Tensor zeros_like(const Tensor& x, std::optional<DType> dtype = {});
Tensor ones_like(const Tensor& x, std::optional<DType> dtype = {});
Tensor scalar(Scalar value, Device device = {});  // 0-d, a wrapped number: joins promotion as one
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype, Device device = {});
Tensor linspace(double start, double end, int64_t steps, DType dtype, Device device = {});
Tensor logspace(double start, double end, int64_t steps, double base, DType dtype,
                Device device = {});
// The positions of a triangle of an n x m matrix, row by row, as [2, count].
Tensor tril_indices(int64_t n, int64_t m, int64_t offset, DType dtype, Device device = {});
Tensor triu_indices(int64_t n, int64_t m, int64_t offset, DType dtype, Device device = {});
Tensor eye(int64_t n, int64_t m, DType dtype, Device device = {});
DType default_dtype();
void set_default_dtype(DType dtype);

// -- random (random.cpp): Philox; element i depends on the seed, the call and i alone. No generator
// means the process-wide one. -------------------------------------------------------------------
Tensor rand(const Dims& sizes, DType dtype, Device device = {}, Generator* generator = nullptr);
Tensor randn(const Dims& sizes, DType dtype, Device device = {}, Generator* generator = nullptr);
Tensor randint(int64_t low, int64_t high, const Dims& sizes, DType dtype, Device device = {},
               Generator* generator = nullptr);
Tensor randperm(int64_t n, Device device = {}, Generator* generator = nullptr);
Tensor normal(const Tensor& mean, const Tensor& std, Generator* generator = nullptr);
Tensor bernoulli(const Tensor& p, Generator* generator = nullptr);
// Positions drawn with the weights of x [n] or [rows, n], as [count] or [rows, count].
Tensor multinomial(const Tensor& x, int64_t count, bool replacement,
                   Generator* generator = nullptr);
void uniform_(const Tensor& self, double from, double to, Generator* generator = nullptr);
void normal_(const Tensor& self, double mean, double std, Generator* generator = nullptr);
void bernoulli_(const Tensor& self, double p, Generator* generator = nullptr);
void bernoulli_(const Tensor& self, const Tensor& p, Generator* generator = nullptr);
// Integers in [from, to); without `to` up to the largest that the dtype counts to, without `from`
// from 0.
void random_(const Tensor& self, std::optional<int64_t> from, std::optional<int64_t> to,
             Generator* generator = nullptr);

// -- dropout (dropout.cpp): x itself outside of training; in place, x overwritten ----------------
Tensor dropout(const Tensor& x, double p, bool training, bool in_place = false);
// Whole channels, of [C, L] or [N, C, L], and of [N, C, H, W] or [N, C, L].
Tensor dropout1d(const Tensor& x, double p, bool training, bool in_place = false);
Tensor dropout2d(const Tensor& x, double p, bool training, bool in_place = false);
Tensor alpha_dropout(const Tensor& x, double p, bool training, bool in_place = false);

// -- pointwise (pointwise.cpp): the rows of pointwise.h ------------------------------------------
Tensor unary(UnaryOp op, const Tensor& x, Params params = {});
Tensor binary(BinaryOp op, const Tensor& x, const Tensor& y);
Tensor ternary(TernaryOp op, const Tensor& x, const Tensor& y, const Tensor& z, Params params = {});
Tensor compare(CompareOp op, const Tensor& x, const Tensor& y);  // bool
#define LAMINA_DECLARE_OP(name, ...) \
  inline Tensor name(const Tensor& x) { return unary(UnaryOp::name, x); }
LAMINA_MATH_ROWS(LAMINA_DECLARE_OP)
#undef LAMINA_DECLARE_OP
#define LAMINA_DECLARE_OP(name, ...) \
  inline Tensor name(const Tensor& x, const Tensor& y) { return binary(BinaryOp::name, x, y); }
LAMINA_ARITHMETIC_ROWS(LAMINA_DECLARE_OP)
LAMINA_BITS_BINARY_ROWS(LAMINA_DECLARE_OP)
#undef LAMINA_DECLARE_OP
#define LAMINA_DECLARE_OP(name, ...) \
  inline Tensor name(const Tensor& x, const Tensor& y) { return compare(CompareOp::name, x, y); }
LAMINA_COMPARE_ROWS(LAMINA_DECLARE_OP)
#undef LAMINA_DECLARE_OP
Tensor leaky_relu(const Tensor& x, double negative_slope);
Tensor where(const Tensor& cond, const Tensor& x, const Tensor& y);
Tensor clamp(const Tensor& x, const Tensor& low, const Tensor& high);  // either may be undefined
Tensor nan_to_num(const Tensor& x, double nan, std::optional<double> posinf,
                  std::optional<double> neginf);
Tensor logit(const Tensor& x, std::optional<double> eps);  // x is clamped to [eps, 1 - eps] first
Tensor logical_not(const Tensor& x);
Tensor logical_and(const Tensor& x, const Tensor& y);
Tensor logical_or(const Tensor& x, const Tensor& y);
Tensor bitwise_not(const Tensor& x);
void bitwise_not_(const Tensor& self);
Tensor logical_xor(const Tensor& x, const Tensor& y);
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor isfinite(const Tensor& x);
Tensor to(const Tensor& x, DType dtype);  // x itself when nothing changes
Tensor to(const Tensor& x, Device device);
DType result_type(const Tensor& x, const Tensor& y);  // PyTorch's promotion
DType result_type(const Tensor& x, const Tensor& y, const Tensor& z);

// -- in place and into a given output (inplace.cpp) ----------------------------------------------
void unary_(UnaryOp op, const Tensor& self, Params params = {});
void binary_(BinaryOp op, const Tensor& self, const Tensor& other);
void ternary_(TernaryOp op, const Tensor& self, const Tensor& y, const Tensor& z,
              Params params = {});
void copy_(const Tensor& self, const Tensor& src);  // broadcasts and casts
void fill_(const Tensor& self, Scalar value);
void masked_fill_(const Tensor& self, const Tensor& mask, const Tensor& value);
void unary_out(UnaryOp op, const Tensor& out, const Tensor& x, Params params = {});
void binary_out(BinaryOp op, const Tensor& out, const Tensor& x, const Tensor& y);
void ternary_out(TernaryOp op, const Tensor& out, const Tensor& x, const Tensor& y, const Tensor& z,
                 Params params = {});
// In place by way of a new tensor, for ops without a kernel that writes where it reads.
void rewrite(const char* op, const Tensor& self, bool records,
             const std::function<Tensor(const Tensor&)>& functional);
// `result` of an op without kernel of its own into `out`.
void composite_out(const char* op, const Tensor& out, const Tensor& result);
// What `op` made, or `out` with it written into it.
Tensor write_out(const char* op, const Tensor& out, const Tensor& result);

// -- reductions (reduce.cpp, reduce_math.cpp); no dims means all of them -------------------------
Tensor sum(const Tensor& x, IntList dims = {}, bool keepdim = false,
           std::optional<DType> dtype = {});
Tensor mean(const Tensor& x, IntList dims = {}, bool keepdim = false,
            std::optional<DType> dtype = {});
Tensor prod(const Tensor& x, IntList dims = {}, bool keepdim = false,
            std::optional<DType> dtype = {});
std::pair<Tensor, Tensor> var_mean(const Tensor& x, IntList dims = {}, double correction = 1,
                                   bool keepdim = false);
Tensor var(const Tensor& x, IntList dims = {}, double correction = 1, bool keepdim = false);
Tensor std(const Tensor& x, IntList dims = {}, double correction = 1, bool keepdim = false);
Tensor amax(const Tensor& x, IntList dims = {}, bool keepdim = false);  // ties share the gradient
Tensor amin(const Tensor& x, IntList dims = {}, bool keepdim = false);
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t dim, bool keepdim = false);  // and indices
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x, std::optional<int64_t> dim = {}, bool keepdim = false);
Tensor argmin(const Tensor& x, std::optional<int64_t> dim = {}, bool keepdim = false);
Tensor any(const Tensor& x, IntList dims = {}, bool keepdim = false);
Tensor all(const Tensor& x, IntList dims = {}, bool keepdim = false);
std::pair<Tensor, Tensor> std_mean(const Tensor& x, IntList dims = {}, double correction = 1,
                                   bool keepdim = false);
std::pair<Tensor, Tensor> aminmax(const Tensor& x, std::optional<int64_t> dim = {},
                                  bool keepdim = false);
Tensor logsumexp(const Tensor& x, IntList dims, bool keepdim = false);
// (sum |x|^p)^(1/p); p may be infinite, and 0 counts what is not zero.
Tensor norm(const Tensor& x, double p = 2, IntList dims = {}, bool keepdim = false,
            std::optional<DType> dtype = {});
Tensor count_nonzero(const Tensor& x, IntList dims = {});  // int64
Tensor trace(const Tensor& x);
Tensor sum_to(const Tensor& x, IntList sizes);  // undoes a broadcast: sums x down to `sizes`

// -- along one dimension (scan.cpp) ---------------------------------------------------------------
Tensor cumsum(const Tensor& x, int64_t dim, std::optional<DType> dtype = {});
Tensor cumprod(const Tensor& x, int64_t dim, std::optional<DType> dtype = {});
std::pair<Tensor, Tensor> cummax(const Tensor& x, int64_t dim);  // and indices
std::pair<Tensor, Tensor> cummin(const Tensor& x, int64_t dim);
Tensor diff(const Tensor& x, int64_t n, int64_t dim, const Tensor& prepend = {},
            const Tensor& append = {});

// -- order (order.cpp): NaN counts as the largest; pairs are values and indices ------------------
std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t dim = -1,
                               bool descending = false);  // stable
Tensor argsort(const Tensor& x, int64_t dim = -1, bool descending = false);
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t dim = -1, bool largest = true);
Tensor median(const Tensor& x);  // the lower one
std::pair<Tensor, Tensor> median(const Tensor& x, int64_t dim, bool keepdim = false);
// q: 0-d, or 1-d for a leading dimension of results; dim: all of x when there is none.
Tensor quantile(const Tensor& x, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                std::string_view interpolation);
struct Unique {
  Tensor values;   // ascending
  Tensor inverse;  // where each element of x is in `values`, if wanted
  Tensor counts;   // if wanted
};
Unique unique(const Tensor& x, std::optional<int64_t> dim, bool inverse, bool counts);
Tensor bincount(const Tensor& x, const Tensor& weights, int64_t min_length);

// -- views (view.cpp): share memory --------------------------------------------------------------
Tensor as_strided(const Tensor& x, const Dims& sizes, const Dims& strides, int64_t offset);
// What `base` is after `view` of it was overwritten by `written`: history only, no memory moves.
Tensor copy_slices(const Tensor& base, const Tensor& view, const Tensor& written);
Tensor view(const Tensor& x, IntList sizes);  // one size may be -1; refuses what needs a copy
Tensor alias_view(const Tensor& x);
Tensor permute(const Tensor& x, IntList dims);
Tensor transpose(const Tensor& x, int64_t dim0, int64_t dim1);
Tensor t(const Tensor& x);                      // 2-d and below
Tensor mT(const Tensor& x);                     // last two dimensions
Tensor expand(const Tensor& x, IntList sizes);  // -1 keeps a size
Tensor squeeze(const Tensor& x, std::optional<int64_t> dim = {});
Tensor unsqueeze(const Tensor& x, int64_t dim);
Tensor select(const Tensor& x, int64_t dim, int64_t index);
Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t end, int64_t step = 1);
Tensor diagonal(const Tensor& x, int64_t offset, int64_t dim0, int64_t dim1);
std::vector<Tensor> unbind(const Tensor& x, int64_t dim = 0);
std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t dim = 0);
std::vector<Tensor> split(const Tensor& x, IntList sizes, int64_t dim);
std::vector<Tensor> chunk(const Tensor& x, int64_t chunks, int64_t dim = 0);

// -- shape with copies (shape.cpp) ---------------------------------------------------------------
Tensor reshape(const Tensor& x, IntList sizes);  // a view where possible
Tensor flatten(const Tensor& x, int64_t start = 0, int64_t end = -1);
Tensor contiguous(const Tensor& x);
Tensor clone(const Tensor& x);
Tensor cat(std::span<const Tensor> tensors, int64_t dim = 0);
Tensor stack(std::span<const Tensor> tensors, int64_t dim = 0);

// -- rearranging (rearrange.cpp) -----------------------------------------------------------------
// Views first.
Tensor unflatten(const Tensor& x, int64_t dim, IntList sizes);  // one dimension made several
Tensor movedim(const Tensor& x, IntList from, IntList to);
Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step);  // windows, as a last dim
std::vector<Tensor> broadcast_tensors(std::span<const Tensor> tensors);
std::vector<Tensor> meshgrid(std::span<const Tensor> tensors, bool swapped = false);
Tensor repeat(const Tensor& x, IntList times);
Tensor tile(const Tensor& x, IntList times);  // leading dimensions left out count once
Tensor repeat_interleave(const Tensor& x, int64_t times, std::optional<int64_t> dim = {});
Tensor repeat_interleave(const Tensor& x, const Tensor& times, std::optional<int64_t> dim = {});
Tensor repeat_interleave(const Tensor& times);  // 0, 1, 2, ... each so many times
Tensor hstack(std::span<const Tensor> tensors);
Tensor vstack(std::span<const Tensor> tensors);
Tensor dstack(std::span<const Tensor> tensors);
Tensor column_stack(std::span<const Tensor> tensors);
Tensor flip(const Tensor& x, IntList dims);
Tensor roll(const Tensor& x, IntList shifts, IntList dims = {});  // no dims: as if flattened
Tensor diag(const Tensor& x, int64_t offset = 0);                 // a copy: vector <-> matrix
Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim0, int64_t dim1);
Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);
void tril_(const Tensor& self, int64_t diagonal = 0);
void triu_(const Tensor& self, int64_t diagonal = 0);

// -- along one dimension (scatter.cpp) -----------------------------------------------------------
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<int64_t> dim = {});
Tensor take(const Tensor& x, const Tensor& index);  // of the flattened input
// src: a tensor, or a number as a 0-d one. Several writes to one element: the last one stays.
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src,
               ScatterOp op = ScatterOp::Write);
void scatter_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src,
              ScatterOp op = ScatterOp::Write);
// Whole slices: index is 1-d, source has as many.
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source,
                 Scalar alpha = 1);
Tensor index_copy(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source);
Tensor index_fill(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& value);
void index_add_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                Scalar alpha = 1);
void index_copy_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source);
void index_fill_(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& value);

// -- indexing (index.cpp) ------------------------------------------------------------------------
// Integer or bool tensors for the leading dimensions; an undefined entry keeps its dimension whole.
Tensor index(const Tensor& x, std::span<const Tensor> indices);
void index_put_(const Tensor& self, std::span<const Tensor> indices, const Tensor& values,
                bool accumulate = false);
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
Tensor gather_rows(const Tensor& x, const Tensor& index);  // x[index], one batch of a data set
Tensor masked_select(const Tensor& x, const Tensor& mask);
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value);  // 0-d value
Tensor nonzero(const Tensor& x);  // [count, rank] int64

// -- products (matmul.cpp) -----------------------------------------------------------------------
Tensor matmul(const Tensor& a, const Tensor& b);  // NumPy's rules: 1-d, 2-d, batched, broadcasting
Tensor mm(const Tensor& a, const Tensor& b);
Tensor bmm(const Tensor& a, const Tensor& b);

// -- the fully connected layer (linear.cpp): act(x W^T + b)
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Activation act = Activation::None);

// -- convolution (conv.cpp): x [N, C, H, W] or [N, C, L], or one image without N -----------------
struct Window {
  int spatial;               // dimensions: 1 or 2
  IntList stride, dilation;  // one number, or one a dimension, or none for 1 (and padding for 0)
  int64_t groups = 1;
};
// weight [K, C/groups, ...]; padding on both sides, or by name: "valid" (none), "same" (so much
// that the result has x's size, the odd one behind).
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
            IntList padding, Activation act = Activation::None);
Tensor conv(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
            std::string_view padding, Activation act = Activation::None);
// The gradient of conv's input as an op: weight [C, K/groups, ...].
Tensor conv_transpose(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const Window& window, IntList padding, IntList output_padding,
                      Activation act = Activation::None);

// -- attention (attention.cpp): softmax(scale q k^T + mask) v over [..., H, L, E], [..., H, S, E]
// and
// [..., H, S, Ev]; scale is 1 / sqrt(E) unless given. shared_heads: k and v have G heads, each for
// H / G of q.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& mask = {}, double dropout = 0,
                                    bool causal = false, std::optional<double> scale = {},
                                    bool shared_heads = false);

// -- tables of rows (embedding.cpp) --------------------------------------------------------------
struct EmbeddingOptions {
  std::optional<int64_t> padding;  // a row without gradient; in a bag it does not count either
  std::optional<double> max_norm;  // rows that are read are scaled down to it first, in place
  double norm_type = 2;
  bool by_frequency = false;  // a row's gradient is divided by the times that it was read
  bool sparse = false;        // the gradient touches no other row, and says which it did
};
Tensor embedding(const Tensor& index, const Tensor& weight, const EmbeddingOptions& options = {});
enum class BagMode : uint8_t { Sum, Mean, Max };
// One row for each bag of indices: a row of a 2-d index, or what lies between offsets of a 1-d one.
Tensor embedding_bag(const Tensor& index, const Tensor& weight, const Tensor& offsets, BagMode mode,
                     const Tensor& sample_weights, bool last_offset_included,
                     const EmbeddingOptions& options = {});
// Zeros that take memory once they are touched; numbers of rows outside of which a table is zero,
// which hold until it is written in place; and those rows of any tensor, looked for without a note.
Tensor untouched_zeros(const Dims& sizes, DType dtype, Device device = {});
void note_rows(const Tensor& table, const Tensor& rows);
Tensor touched_rows(const Tensor& x);
Tensor one_hot(const Tensor& index, std::optional<int64_t> classes = {});  // int64

// -- more products (product.cpp, einsum.cpp) -----------------------------------------------------
Tensor mv(const Tensor& a, const Tensor& x);
Tensor dot(const Tensor& x, const Tensor& y);
Tensor inner(const Tensor& x, const Tensor& y);  // over the last dimension of both
Tensor outer(const Tensor& x, const Tensor& y);
Tensor kron(const Tensor& x, const Tensor& y);
// beta input + alpha (product of a and b), input broadcast; with beta 0 input is never read.
struct Sum {
  Scalar beta = 1, alpha = 1;
};
Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s = {});
Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Sum s = {});
Tensor addr(const Tensor& input, const Tensor& x, const Tensor& y, Sum s = {});
Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s = {});
Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Sum s = {});  // over the batch
using AddProduct = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, Sum);
void add_product_(const char* op, AddProduct f, const Tensor& self, const Tensor& a,
                  const Tensor& b, Sum s);
Tensor tensordot(const Tensor& a, const Tensor& b, int64_t dims);
Tensor tensordot(const Tensor& a, const Tensor& b, IntList dims_a, IntList dims_b);
Tensor einsum(const char* equation, std::span<const Tensor> operands);

// -- linear algebra (linalg.cpp) -----------------------------------------------------------------
// No dims: of everything. Where a norm is zero, so is its gradient.
Tensor vector_norm(const Tensor& x, double order, IntList dims = {}, bool keepdim = false,
                   std::optional<DType> dtype = {});
Tensor matrix_norm(const Tensor& x, double order, IntList dims, bool keepdim = false,
                   std::optional<DType> dtype = {});  // order 1, -1, inf, -inf
Tensor cdist(const Tensor& x, const Tensor& y, double p = 2);
Tensor solve(const Tensor& a, const Tensor& b, bool left = true);
Tensor inv(const Tensor& a);
enum class QrMode : uint8_t { Reduced, Complete, R };
std::pair<Tensor, Tensor> qr(const Tensor& a, QrMode mode = QrMode::Reduced);

// -- activations (activation.cpp) -----------------------------------------------------------------
// The rows that take arguments, for unary, unary_; the arguments are checked.
struct ActivationRow {
  UnaryOp op;
  Params params = {};
};
ActivationRow hardtanh_row(const Tensor& x, double low, double high);
ActivationRow celu_row(double alpha);
ActivationRow softshrink_row(double lambda);
ActivationRow gelu_row(std::string_view approximate);  // "none", "tanh"
Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20);
Tensor prelu(const Tensor& x, const Tensor& weight);  // weight: one number, or one a channel
// In training the slope of each element is drawn from [lower, upper], else it is their middle.
Tensor rrelu(const Tensor& x, double lower, double upper, bool training);
void rrelu_(const Tensor& self, double lower, double upper, bool training);
Tensor glu(const Tensor& x, int64_t dim = -1);
Tensor softmin(const Tensor& x, int64_t dim);
Tensor gumbel_softmax(const Tensor& logits, double tau, bool hard, int64_t dim = -1);

// -- distances and angles (distance.cpp) ----------------------------------------------------------
enum class Reduction : uint8_t { None, Mean, Sum, BatchMean };
Tensor normalize(const Tensor& x, double p = 2, int64_t dim = 1, double eps = 1e-12);
Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim = 1, double eps = 1e-8);
Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p = 2, double eps = 1e-6,
                         bool keepdim = false);
Tensor pdist(const Tensor& x, double p = 2);  // of every pair of rows
Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& weight, const Tensor& bias = {});
Tensor margin_ranking_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin,
                           Reduction reduction);
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           double margin, double p, double eps, bool swap, Reduction reduction);
Tensor cosine_embedding_loss(const Tensor& x1, const Tensor& x2, const Tensor& target,
                             double margin, Reduction reduction);

// -- layers and losses (softmax.cpp, loss.cpp, elementwise_loss.cpp, norm.cpp) --------------------
Tensor softmax(const Tensor& x, int64_t dim);
Tensor log_softmax(const Tensor& x, int64_t dim);
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight = {},
                     int64_t ignore_index = -100, Reduction reduction = Reduction::Mean,
                     double label_smoothing = 0);
Tensor nll_loss(const Tensor& log_probabilities, const Tensor& target, const Tensor& weight = {},
                int64_t ignore_index = -100, Reduction reduction = Reduction::Mean);
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::Mean);
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::Mean);
Tensor multi_margin_loss(const Tensor& x, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight, Reduction reduction);
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction, double beta);
Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction, double delta);
Tensor binary_cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight,
                            Reduction reduction);
Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction, bool log_target);
Tensor multilabel_soft_margin_loss(const Tensor& x, const Tensor& target, const Tensor& weight,
                                   Reduction reduction);
Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin,
                            Reduction reduction);
Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction);
Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, bool log_input, bool full,
                        double eps, Reduction reduction);
// var: of x's sizes, or 1 for one of them, or without the last; or a number.
Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& var, bool full,
                         double eps, Reduction reduction);
Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target,
                                        const Tensor& weight = {}, const Tensor& pos_weight = {},
                                        Reduction reduction = Reduction::Mean);
// x [N, C] or [N, C, ...]; running statistics are updated in training and may be undefined then.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum,
                  double eps, Activation act = Activation::None);
// Over the last dimensions, which are `shape`.
Tensor layer_norm(const Tensor& x, IntList shape, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);
Tensor rms_norm(const Tensor& x, IntList shape, const Tensor& weight = {},
                std::optional<double> eps = {});  // by default the dtype's epsilon
// x [N, C, ...]: of each sample, the channels of a group together.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight = {},
                  const Tensor& bias = {}, double eps = 1e-5);
// x [N, C, ...]: each channel of each sample; by the running statistics where the input's are not
// used.
Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats,
                     double momentum, double eps);
// x [N, C, ...] / (k + alpha * mean of x^2 over a window of `size` channels)^beta
Tensor local_response_norm(const Tensor& x, int64_t size, double alpha = 1e-4, double beta = 0.75,
                           double k = 1);

// -- windows over the last `rank` (1 or 2) dimensions of [(N,) C, ...] (pool.cpp, fold.cpp) ------
// One number for all dimensions, or one for each; none: as large as the kernel, 0, 1.
struct WindowSizes {
  IntList kernel, stride, padding, dilation;
  bool ceil_mode = false;
};
// The second is where in the plane each maximum is; undefined unless asked for.
std::pair<Tensor, Tensor> max_pool(int rank, const Tensor& x, const WindowSizes& w, bool indices);
std::pair<Tensor, Tensor> adaptive_max_pool(int rank, const Tensor& x, IntList sizes, bool indices);
Tensor avg_pool(int rank, const Tensor& x, const WindowSizes& w, bool count_padding = true,
                std::optional<int64_t> divisor = {});
Tensor adaptive_avg_pool(int rank, const Tensor& x, IntList sizes);
Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const WindowSizes& w,
                    IntList output_size = {});
// Windows as columns, [N, C * kernel, windows], and the sum of columns where they came from.
Tensor im2col(const Tensor& x, const WindowSizes& w);
Tensor col2im(const Tensor& x, IntList output_size, const WindowSizes& w);

// -- recurrent layers (rnn.cpp): weights in PyTorch's order, for each layer and direction w_ih,
// w_hh and, with biases, b_ih, b_hh. No hx: zeros.
struct RecurrentStack {
  int64_t layers = 1;
  bool biases = true, bidirectional = false, batch_first = false, training = false;
  double dropout = 0;  // between the layers
};
// y, h_n and, for an LSTM, c_n. x is [T, N, I], or [total, I] with the rows of each step in
// batch_sizes.
std::vector<Tensor> recurrent(Recurrence kind, const Tensor& x, const Tensor& batch_sizes,
                              std::span<const Tensor> hx, std::span<const Tensor> weights,
                              const RecurrentStack& stack);
// One step: h and, for an LSTM, c.
std::vector<Tensor> recurrent_cell(Recurrence kind, const Tensor& x, std::span<const Tensor> hx,
                                   std::span<const Tensor> weights);

// -- sequences of several lengths (sequence.cpp) -------------------------------------------------
// Of a batch [T, N, ...], longest sequence first: the rows [total, ...] that are no padding, step
// by step, and how many each step has.
std::pair<Tensor, Tensor> pack_padded_sequence(const Tensor& x, const Tensor& lengths,
                                               bool batch_first);
// Back again, with `length` steps if that is not 0; and the lengths.
std::pair<Tensor, Tensor> pad_packed_sequence(const Tensor& data, const Tensor& batch_sizes,
                                              bool batch_first, Scalar padding, int64_t length);
Tensor pad_sequence(std::span<const Tensor> sequences, bool batch_first, Scalar padding, bool left);

// -- other sizes (pad.cpp, interpolate.cpp) ------------------------------------------------------
// Elements before and after the last dimension, then the one before it, ...; negative ones crop.
Tensor pad(const Tensor& x, IntList pads, std::string_view mode = "constant", Scalar value = 0);
// To `sizes` of the last dimensions. A scale that was asked for is the step between samples.
Tensor interpolate(const Tensor& x, IntList sizes, std::span<const std::optional<double>> scales,
                   std::string_view mode, bool align_corners);
Tensor pixel_shuffle(const Tensor& x, int64_t factor);  // [.., C f f, H, W] -> [.., C, H f, W f]
Tensor pixel_unshuffle(const Tensor& x, int64_t factor);

// -- optimizers (optim.cpp): one call a step; parameters without gradient are skipped ------------
struct OptimizerStep {
  std::span<const Tensor> params;
  std::span<const Tensor> state[kUpdateStates];  // aligned with params; empty where there is none
  Tensor scalars;  // float64 [params, k]: the number of steps, and what else the method counts
};
// How a method goes from its settings to an update; they are numbers, in the order that
// ops/optim.cpp lists them for each.
struct OptimizerMethod;
const OptimizerMethod* optimizer_method(std::string_view name);  // "adam"; null where there is none
const char* name_of(const OptimizerMethod& method);              // "adam_step", for errors
// Gradients are multiplied by `factor` as they are read.
void optimizer_step(const OptimizerMethod& method, const OptimizerStep& s, double factor,
                    std::span<const double> settings);
void zero_grad(std::span<const Tensor> params, bool set_to_none);

// -- many tensors in one call (clip.cpp)
// The norm of the norms of all the tensors.
Tensor total_norm(std::span<const Tensor> tensors, double order);
double grad_norm(std::span<const Tensor> params);  // of order 2, of the gradients
// In place on gradients; parameters without one are passed over.
Tensor clip_grad_norm_(std::span<const Tensor> params, double max_norm, double order,
                       bool error_if_nonfinite);
void clip_grads_with_norm_(std::span<const Tensor> params, double max_norm, double norm);
void clip_grad_value_(std::span<const Tensor> params, double limit);
// targets += weight (sources - targets)
void lerp_many(std::span<const Tensor> targets, std::span<const Tensor> sources, double weight);

}  // namespace lamina::ops
