// CONTRACT 2: what an instruction set does.
//
// A table of single-threaded block functions over contiguous memory, for float and double. Drivers
// (cpu/*.cpp, compiled once at baseline) own threads, strides, blocking and casts and call these; a
// micro kernel knows pointers and sizes only, allocates nothing and never throws. Every result
// depends on the values alone, not on addresses or on where in a block an element lies.
//
// `ref` fills the whole table with obvious loops (cpu/ref/*.cpp); the ISAs share cpu/kernels/*.cpp.
#pragma once

#include <cstdint>

#include "core/cpu_isa.h"
#include "pointwise.h"
#include "updates.h"

namespace lamina::cpu {

// Which inputs of a pointwise block are one value, broadcast over the block.
enum ScalarInputs : unsigned { kNoScalar = 0, kXScalar = 1, kYScalar = 2, kZScalar = 4 };

template <class T>
struct PointwiseMicro {
  using Unary = void (*)(int64_t n, T* out, const T* x, T a, T b);
  using UnaryBackward = void (*)(int64_t n, T* dx, const T* g, const T* saved, T a, T b);
  using Binary = void (*)(int64_t n, T* out, const T* x, const T* y, unsigned scalars);
  // Three operands and a parameter; bit k of `scalars`: operand k is one value.
  using Ternary = void (*)(int64_t n, T* out, const T* x, const T* y, const T* z, T a,
                           unsigned scalars);
  using Compare = void (*)(int64_t n, bool* out, const T* x, const T* y, unsigned scalars);

  Unary unary[kUnaryOps];
  UnaryBackward unary_backward[kUnaryOps];
  Binary binary[kBinaryOps];
  Ternary ternary[kTernaryOps];
  Compare compare[kCompareOps];
};

template <class T>
struct ReduceMicro {
  // Sums in a fixed order that is a function of n: lanes, then blocks, then pairwise.
  T (*sum)(int64_t n, const T* x);
  T (*prod)(int64_t n, const T* x);
  T (*max)(int64_t n, const T* x);  // n > 0; NaN wins
  T (*min)(int64_t n, const T* x);
  // acc[i] op= x[i]: a column-wise reduction takes one row at a time.
  void (*add)(int64_t n, T* acc, const T* x);
  void (*multiply)(int64_t n, T* acc, const T* x);
  void (*maximum)(int64_t n, T* acc, const T* x);
  void (*minimum)(int64_t n, T* acc, const T* x);
};

// One tile of a product, the operands where they lie: for i < m and j < n,
// c[i*ldc + j] = alpha * sum_p a[i*ai + p*ap] * b[p*bp + j*bj] + beta * c[i*ldc + j] + bias[j].
template <class T>
struct GemmTile {
  int64_t k;
  const T* a;
  int64_t ai, ap;
  const T* b;
  int64_t bp, bj;
  T* c;
  int64_t ldc;
  int m, n;
  T alpha, beta;  // beta == 0: c is not read
  const T* bias;  // null: none
};

template <class T>
struct GemmMicro {
  int mr, nr;              // largest m and n of `tile`
  int thin_rows, thin_nr;  // up to so many rows, so many columns
  int a_width;             // elements from one k to the next in a packed panel of a; at least mr
  int dot_m;               // rows up to which `dot` beats transposing panels of b
  int mc, kc, nc;          // cache blocks: a tile of c for one task, and the depth of a panel
  // bj == 1 and any other strides. A packed panel is ai == 1, ap == a_width, or bp == nr.
  void (*tile)(const GemmTile<T>&);
  // ap == bp == 1 and any m and n: lanes run along k.
  void (*dot)(const GemmTile<T>&);
  // k == 1, bj == 1, beta == 0, no bias, any m and n: a column times a row, by rows of c.
  void (*outer)(const GemmTile<T>&);
  // panel[p*panel_width + i] = src[i*si + p*sp] for i < width, anything from there to panel_width,
  // which is nr, thin_nr or a_width.
  void (*pack)(int64_t k, int width, const T* src, int64_t si, int64_t sp, T* panel,
               int panel_width);
};

// One tile of a convolution. Channels of a result lie along vectors; a row is a pixel of it or, for
// the gradient of a weight, an element that meets one; the sum runs over `segments` runs of a:
//
//   c[i*ldc + j] (+)= sum over s < segments, p < count of
//                     a[offsets[s] + i*ai + p*ap] * b[(s*count + p)*n + j]
//
// One channel at a time (`depthwise`: a channel of the result meets itself alone) a has j too:
//
//   c[i*ldc + j] = sum_s a[offsets[s] + i*ai + j] * b[s*n + j]
template <class T>
struct ConvTile {
  const T* a;
  int64_t ai, ap;
  const int64_t* offsets;
  int64_t segments, count;
  const T* b;
  T* c;
  int64_t ldc;
  int m, n;  // n: one vector or two
  bool add;  // to what c holds
};

// Another, along a row of pixels of m channels of the result: for i < m and j < n,
//
//   y[i*plane + j] = bias[i] + sum over s < segments, p < count of
//                    w[(s*count + p)*m + i] * x[offsets[s] + p*step + j]
//
// What lies behind n in x, up to a vector's end, is read.
template <class T>
struct ConvRow {
  const T* w;
  const T* x;
  const int64_t* offsets;
  int64_t segments, count, step;
  T* y;
  int64_t plane;
  const T* bias;  // null: none
  int m, n;
};

template <class T>
struct ConvMicro {
  int lanes;    // of a vector
  int rows[2];  // largest m with one vector (n up to its lanes), and with two
  void (*row)(const ConvRow<T>&);
  int depthwise_rows, depthwise_taps;
  void (*tile)(const ConvTile<T>&);
  void (*depthwise)(const ConvTile<T>&);  // count is 1, ap unused
  // c[i*ldc + j] += sum_s,p a[taps[i] + offsets[s] + p*ap + j] * b[(s*count + p)*n + j]
  void (*depthwise_weight)(const ConvTile<T>&, const int64_t* taps);
  // dst[j*ld + i] = src[i][j] for i < rows, j < n: pixels come to hold their channels.
  void (*pack)(int64_t rows, int64_t n, const T* const* src, T* dst, int64_t ld);
  // dst[j*ld + i] = src[i*width + j] + bias[j] for i < rows, j < n: and give them back. A null bias
  // is none.
  void (*unpack)(int64_t rows, int n, const T* src, int64_t width, T* dst, int64_t ld,
                 const T* bias);
};

// Softmax over n values: of `rows` adjacent rows, or down `width` adjacent columns, where one value
// of a column is `stride` elements from the next. The backward takes the forward's output y.
template <class T>
struct SoftmaxMicro {
  void (*softmax)(int64_t rows, int64_t n, T* y, const T* x, bool log);
  void (*softmax_columns)(int64_t n, int64_t width, int64_t stride, T* y, const T* x, bool log);
  void (*backward)(int64_t rows, int64_t n, T* dx, const T* dy, const T* y, bool log);
  void (*backward_columns)(int64_t n, int64_t width, int64_t stride, T* dx, const T* dy, const T* y,
                           bool log);
  // Of one row: its maximum, and log(sum(exp(x - max))).
  void (*logsumexp)(int64_t n, const T* x, T* max, T* log_sum);
  // sum_j w[j] * (log_sum - (x[j] - max)); w null: all ones.
  T (*smoothing)(int64_t n, const T* x, const T* w, T max, T log_sum);
  // dx[j] = exp(x[j] - logsumexp) * scale - w[j] * w_scale; w null: all ones.
  void (*cross_entropy_backward)(int64_t n, T* dx, const T* x, T logsumexp, T scale, const T* w,
                                 T w_scale);
};

// A block of attention scores s[r*ld + j], r < rows, j < n. Row r may see the first visible + r of
// them, at least none and at most all n, and of those where keep is not 0; the others are never
// read, and become probabilities of 0. `bias` is added to a score; either mask may be null.
template <class T>
struct AttentionBlock {
  int64_t rows, n, visible;
  T* s;
  int64_t ld;
  const T* bias;
  const uint8_t* keep;
  int64_t mask_ld;
};

template <class T>
struct AttentionMicro {
  // One more block of an online softmax (Milakov and Gimelshein, 2018): scores become exp(s - m),
  // m being the row's largest score so far. max and sum, -inf and 0 before the first block, are
  // brought up to date; what was summed up before is to be multiplied by rescale.
  void (*exponentials)(const AttentionBlock<T>&, T* max, T* sum, T* rescale);
  // Scores become exp(s - logsumexp[r]).
  void (*probabilities)(const AttentionBlock<T>&, const T* logsumexp);
  // s = p * (s - delta[r]), where it may be seen; p has the stride ld too. Masks are not read.
  void (*backward)(const AttentionBlock<T>&, const T* p, const T* delta);
  // out[r] = sum_j x[r*ldx + j] * y[r*ldy + j]
  void (*dot_rows)(int64_t rows, int64_t n, const T* x, int64_t ldx, const T* y, int64_t ldy,
                   T* out);
  // x[r*ld + j] *= factor[r]
  void (*scale_rows)(int64_t rows, int64_t n, T* x, int64_t ld, const T* factor);
};

// One cached block x[r*stride + j], r < rows, j < n: of one channel, or (`_columns`) of n channels.
// Sums are taken in T with many lanes and leave in double, so that blocks merge without loss.
template <class T>
struct NormMicro {
  // Merges the block's mean and sum of squared deviations from it into those of `before` others:
  // Chan, Golub and LeVeque (1979). The deviations are a second pass over the block, which also
  // corrects the mean's rounding.
  void (*moments)(int64_t rows, int64_t n, const T* x, int64_t stride, double before, double* mean,
                  double* m2);
  void (*moments_columns)(int64_t rows, int64_t n, const T* x, int64_t stride, double before,
                          double* mean, double* m2);
  // y = (x - mean) * scale + shift
  void (*affine)(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, T mean, T scale,
                 T shift);
  void (*affine_columns)(int64_t rows, int64_t n, T* y, const T* x, int64_t stride, const T* mean,
                         const T* scale, const T* shift);
  // sum_dy += sum(dy), sum_dyx += sum(dy * (x - mean))
  void (*backward_sums)(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride, T mean,
                        double* sum_dy, double* sum_dyx);
  void (*backward_sums_columns)(int64_t rows, int64_t n, const T* dy, const T* x, int64_t stride,
                                const T* mean, double* sum_dy, double* sum_dyx);
  // dx = dy * p + (x - mean) * q + r
  void (*backward)(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride, T mean,
                   T p, T q, T r);
  void (*backward_columns)(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, int64_t stride,
                           const T* mean, const T* p, const T* q, const T* r);
  // Adjacent rows of n values, each by its own statistics, which are written:
  // y = (x - mean) * invstd * weight + bias; weight and bias have n values. Where `mean` is null,
  // nothing is subtracted: invstd is 1 / sqrt(mean(x^2) + eps) then.
  void (*rows)(int64_t rows, int64_t n, T* y, const T* x, const T* weight, const T* bias,
               double eps, T* mean, T* invstd);
  // dx of such rows; dweight[j] += sum(dy * (x - mean) * invstd), dbias[j] += sum(dy), in T.
  void (*rows_backward)(int64_t rows, int64_t n, T* dx, const T* dy, const T* x, const T* weight,
                        const T* mean, const T* invstd, T* dweight, T* dbias);
};

// Rows of one matrix, `stride` elements apart; 0 repeats the first.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  T* row(int64_t i) const { return data + i * stride; }
};

// One step of `rows` sequences in n units of a recurrent layer. Gate k of unit j is element
// k * gate + j of a row.
template <class T>
struct RnnStep {
  int64_t rows, n, gate;
  Rows<T> gates;         // activated in place
  Rows<T> kept;          // Lstm: receives the cells. Gru: holds W_hn h + b_hn
  Rows<const T> before;  // Lstm: the cells before; Gru: the state before
  Rows<T> h;             // receives the state
};
template <class T>
struct RnnStepBackward {
  int64_t rows, n, gate;
  Rows<const T> gates, kept, before, h;
  Rows<const T> dy;  // null: zeros
  // Of the state. Gru leaves the part of the state before that does not pass the gates.
  Rows<T> dh;
  Rows<T> dc;      // Lstm: of the cells, becomes that of the cells before
  Rows<T> dgates;  // before activation
  Rows<T> dkept;   // Gru: of W_hn h + b_hn
};

template <class T>
struct RnnMicro {
  using Step = void (*)(const RnnStep<T>&);
  using StepBackward = void (*)(const RnnStepBackward<T>&);
  // In the order of Recurrence.
  Step step[4];
  StepBackward backward[4];
};

// `lines` lines of `count` windows, each of rows x cols elements that all lie in one plane: element
// (r, c) of window j of line l is x[l*line_step + j*stride + r*row_step + c*col_step], and its code
// first_code + r*code_step + c. What belongs to the window lies at l*out_step + j.
struct MaxWindows {
  int64_t lines, count;
  int rows, cols;
  int64_t row_step, col_step;
  int64_t stride;  // 1 or 2
  int64_t line_step, out_step;
  int first_code, code_step;
};

template <class T>
struct PoolMicro {
  // The largest element of each window and its code: of equal ones the first, of NaN the last.
  // `code` may be null. Beside results, between the first and the last, anything may be written.
  void (*max)(const MaxWindows&, T* y, uint8_t* code, const T* x);
  // Windows of 2 x 2 next to each other, in lines of `width` elements of x: element (r, c) of
  // window j of line l becomes g[l*count + j] if code[l*count + j] is 2 * r + c, and 0 otherwise.
  // Beside them, between the first and the last, anything may be written.
  void (*put_2x2)(int64_t lines, int64_t count, T* x, int64_t width, const T* g,
                  const uint8_t* code);
};

template <class T>
struct OptimMicro {
  // n elements of p in place, with those of g and of the states; `coefficients` is the row's struct
  // (updates.h) as an array.
  using UpdateFn = void (*)(int64_t n, T* p, const T* g, T* const* state, const T* coefficients);
  UpdateFn update[kUpdates];
  // In double, so that nothing overflows that float can hold.
  double (*sum_squares)(int64_t n, const T* x);
  double (*sum_abs)(int64_t n, const T* x);
  T (*max_abs)(int64_t n, const T* x);  // NaN wins; of nothing, 0
};

// The families. X of them is kernels/x.cpp, compiled once for each ISA with its flags, and
// ref/x.cpp; each such object defines x_f32 and x_f64 in the ISA's namespace and nothing else that
// the linker sees.
#define LAMINA_MICRO_FAMILIES(ROW) \
  ROW(PointwiseMicro, pointwise)   \
  ROW(ReduceMicro, reduce)         \
  ROW(GemmMicro, gemm)             \
  ROW(ConvMicro, conv)             \
  ROW(SoftmaxMicro, softmax)       \
  ROW(AttentionMicro, attention)   \
  ROW(NormMicro, norm)             \
  ROW(PoolMicro, pool)             \
  ROW(RnnMicro, rnn)               \
  ROW(OptimMicro, optim)

// At the end of a family's file: what it made is its table.
#define LAMINA_MICRO(Type, family)                                    \
  extern constexpr Type<float> family##_f32 = make_##family<float>(); \
  extern constexpr Type<double> family##_f64 = make_##family<double>()

template <class T>
struct Micro {
#define LAMINA_ROW(Type, family) const Type<T>& family;
  LAMINA_MICRO_FAMILIES(LAMINA_ROW)
#undef LAMINA_ROW
};

struct MicroTable {
  Isa isa;
  Micro<float> f32;
  Micro<double> f64;

  template <class T>
  const Micro<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};

// Double-checked arithmetic in plain loops: what the other tables are tested against.
extern const MicroTable kRefTable;

// Null when the build or the CPU lacks it.
const MicroTable* table_for(Isa isa);
// The table in use: the best one the CPU has, or what LAMINA_ISA names. Chosen once.
const MicroTable& micro();
// Tests run every table in one process; returns the one that was in use.
const MicroTable* use_table(const MicroTable* table);

}  // namespace lamina::cpu
