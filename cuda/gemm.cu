// c = act(alpha * a b + beta * c + bias): a tiled matrix product for any strides.
//
// A block computes a kTile x kTile part of c. It goes through K in steps of kDepth: the two panels
// of the next step are on their way from memory to registers while the current ones, in shared
// memory, are multiplied. A thread owns kRows x kRows results, in groups of four so that its reads
// of shared memory are 16 bytes wide and neighbours read neighbouring words.
//
// Each result is one chain of fma over k in order, so it has the same bits for either tile.
#include "entries.h"
#include "runtime/runtime.h"

namespace lamina::cuda {
namespace {

constexpr int kThreads = 256;  // 16 x 16
template <int kTile>
constexpr int kDepthOf = kTile > 64 ? 8 : 16;  // so that registers suffice for two blocks at once
constexpr int kGroup = 4;

template <class T>
struct Matrices {
  const T* a;
  const T* b;
  const T* bias;  // [N] or null
  T* c;
  int64_t m, n, k, batch;
  int64_t a_batch, a_m, a_k;  // strides in elements
  int64_t b_batch, b_n, b_k;
  int64_t c_batch, c_m;
  T alpha, beta;
  Activation act;
  int64_t tiles_n;
};

// A panel [kTile outer, kDepth] of a or b on its way: read from memory, then put to shared memory
// as [kDepth][kTile]. Threads run first over the dimension with the smaller stride; a thread's
// elements then lie in one line along the other.
template <class T, int kTile>
class Panel {
 public:
  static constexpr int kDepth = kDepthOf<kTile>;
  static constexpr int kPitch = kTile + 4;  // keeps rows 16-byte aligned and off each other's banks

  __device__ Panel(const T* from, int64_t outer_stride, int64_t k_stride, int64_t outer_left)
      : outer_left_(outer_left), next_panel_(kDepth * k_stride) {
    const bool k_fast = k_stride < outer_stride;
    const auto thread = static_cast<int>(threadIdx.x);
    outer_ = k_fast ? thread / kDepth : thread % kTile;
    k_ = k_fast ? thread % kDepth : thread / kTile;
    outer_step_ = k_fast ? kThreads / kDepth : 0;
    k_step_ = k_fast ? 0 : kThreads / kTile;
    from_ = from + outer_ * outer_stride + k_ * k_stride;
    step_ = outer_step_ * outer_stride + k_step_ * k_stride;
  }

  // Zeros stand in beyond the edges. The next call reads the next panel along K.
  __device__ void read(int64_t k_left) {
    LAMINA_UNROLL
    for (int i = 0; i < kEach; ++i) {
      const bool there = outer_ + i * outer_step_ < outer_left_ && k_ + i * k_step_ < k_left;
      v_[i] = there ? from_[i * step_] : T(0);
    }
    from_ += next_panel_;
  }

  __device__ void put(T (&to)[kDepth][kPitch]) const {
    LAMINA_UNROLL
    for (int i = 0; i < kEach; ++i) to[k_ + i * k_step_][outer_ + i * outer_step_] = v_[i];
  }

 private:
  static constexpr int kEach = kTile * kDepth / kThreads;
  const T* from_;
  int64_t step_, outer_left_, next_panel_;
  int outer_, k_, outer_step_, k_step_;
  T v_[kEach];
};

// Called for each of up to 64 results a thread: inlined, it would be most of the kernel's code.
template <class T>
__device__ LAMINA_NOINLINE T activated(Activation act, T x) {
  switch (act) {
    case Activation::Relu: return rows::relu_row::forward(x, T(0), T(0));
    case Activation::Tanh: return rows::tanh_row::forward(x, T(0), T(0));
    case Activation::Sigmoid: return rows::sigmoid_row::forward(x, T(0), T(0));
    case Activation::Gelu: return rows::gelu_row::forward(x, T(0), T(0));
    default: return x;
  }
}

template <class T, int kTile>
__global__ void __launch_bounds__(kThreads, 2) gemm_kernel(Matrices<T> p) {
  constexpr int kRows = kTile / 16;
  constexpr int kDepth = kDepthOf<kTile>;
  constexpr int kPitch = Panel<T, kTile>::kPitch;
  struct alignas(16) Panels {
    T a[kDepth][kPitch];
    T b[kDepth][kPitch];
  };
  __shared__ Panels panels;
  const int tx = static_cast<int>(threadIdx.x) % 16;
  const int ty = static_cast<int>(threadIdx.x) / 16;
  const int64_t m0 = static_cast<int64_t>(blockIdx.x / p.tiles_n) * kTile;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x % p.tiles_n) * kTile;

  for (int64_t batch = blockIdx.z; batch < p.batch; batch += gridDim.z) {
    T sums[kRows][kRows] = {};
    Panel<T, kTile> a(p.a + batch * p.a_batch + m0 * p.a_m, p.a_m, p.a_k, p.m - m0);
    Panel<T, kTile> b(p.b + batch * p.b_batch + n0 * p.b_n, p.b_n, p.b_k, p.n - n0);
    a.read(p.k);
    b.read(p.k);
    for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
      a.put(panels.a);
      b.put(panels.b);
      __syncthreads();
      if (k0 + kDepth < p.k) {
        a.read(p.k - k0 - kDepth);
        b.read(p.k - k0 - kDepth);
      }
      // By more, loads move up until registers run out.
      LAMINA_UNROLL_2
      for (int k = 0; k < kDepth; ++k) {
        T x[kRows];
        T y[kRows];
        LAMINA_UNROLL
        for (int i = 0; i < kRows; ++i) {
          const int place = i / kGroup * (16 * kGroup) + i % kGroup;
          x[i] = panels.a[k][ty * kGroup + place];
          y[i] = panels.b[k][tx * kGroup + place];
        }
        LAMINA_UNROLL
        for (int i = 0; i < kRows; ++i) {
          LAMINA_UNROLL
          for (int j = 0; j < kRows; ++j) sums[i][j] = std::fma(x[i], y[j], sums[i][j]);
        }
      }
      __syncthreads();
    }

    T* c = p.c + batch * p.c_batch;
    LAMINA_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int64_t row = m0 + ty * kGroup + i / kGroup * (16 * kGroup) + i % kGroup;
      LAMINA_UNROLL
      for (int j = 0; j < kRows; ++j) {
        const int64_t col = n0 + tx * kGroup + j / kGroup * (16 * kGroup) + j % kGroup;
        if (row >= p.m || col >= p.n) continue;
        T* at = c + row * p.c_m + col;
        T v = p.alpha * sums[i][j];
        if (p.beta != T(0)) v += p.beta * *at;
        if (p.bias) v += p.bias[col];
        *at = p.act == Activation::None ? v : activated(p.act, v);
      }
    }
  }
}

template <class T, int kTile>
void launch(const Call& call, Matrices<T> p) {
  p.tiles_n = (p.n + kTile - 1) / kTile;
  const int64_t tiles = (p.m + kTile - 1) / kTile * p.tiles_n;
  check<ValueError>(tiles <= INT32_MAX, call.op(), ": a result of [", p.m, ", ", p.n,
                    "] is larger than one CUDA launch can give");
  const dim3 grid(static_cast<unsigned>(tiles), 1,
                  static_cast<unsigned>(std::min<int64_t>(p.batch, 65535)));
  call.launch(gemm_kernel<T, kTile>, grid, kThreads, p);
}

}  // namespace

void gemm(Ctx& ctx, const GemmArgs& args) {
  const Call call("matmul", ctx);
  const TensorRef& a = args.a;
  const TensorRef& b = args.b;
  const TensorRef& c = args.c;
  if (args.a_sums.defined()) {
    TensorRef sums = args.a_sums;
    const int64_t sizes[] = {1, a.sizes[1], 1}, strides[] = {0, args.a_sums.strides[0], 0};
    sums.sizes = sizes;
    sums.strides = strides;
    reduce(ctx, ReduceOp::Sum, sums, a);
  }
  if (c.numel() == 0) return;
  dispatch_floating(call.op(), c.dtype, [&]<class T>() {
    Matrices<T> p{};
    p.a = a.as<const T>();
    p.b = b.as<const T>();
    p.bias = args.bias.as<const T>();
    p.c = c.as<T>();
    p.batch = c.sizes[0];
    p.m = c.sizes[1];
    p.n = c.sizes[2];
    p.k = a.sizes[2];
    // A dimension of size 1 may have any stride, and does not move.
    const auto stride = [](const TensorRef& t, size_t d) {
      return t.sizes[d] == 1 ? 0 : t.strides[d];
    };
    p.a_batch = stride(a, 0);
    p.a_m = stride(a, 1);
    p.a_k = stride(a, 2);
    p.b_batch = stride(b, 0);
    p.b_k = stride(b, 1);
    p.b_n = stride(b, 2);
    p.c_batch = stride(c, 0);
    p.c_m = stride(c, 1);
    p.alpha = static_cast<T>(args.alpha);
    p.beta = static_cast<T>(args.beta);
    p.act = args.act;
    // The large tile reads each element half as often; it pays once its tiles fill a device.
    constexpr int64_t kLargeTile = 128;
    const int64_t large_tiles = (p.m / kLargeTile) * (p.n / kLargeTile) * p.batch;
    if constexpr (std::is_same_v<T, float>) {
      if (large_tiles >= multiprocessors(call.op(), ctx.device.index))
        return launch<T, kLargeTile>(call, p);
    }
    launch<T, 64>(call, p);
  });
}

}  // namespace lamina::cuda
