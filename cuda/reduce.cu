// Reductions of any dimensions, in an order that depends on the shape and strides alone and without
// atomics, so that a sum has the same bits every time.
//
// A group of `lanes` threads reduces one chunk of one output: lane l takes elements l, l + lanes,
// ..., then a tree joins the lanes. A chunk has a fixed size; where an output has several, they are
// written as partial results and reduced the same way, until one is left.
#include "cast.h"
#include "entries.h"
#include "runtime/runtime.h"
#include "strided.h"
#include "wrapping.h"

namespace lamina::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr uint32_t kPerLane = 32;      // elements of a chunk that one lane takes
constexpr uint32_t kColumnWidth = 32;  // neighbouring outputs of a block, when they are contiguous
constexpr unsigned kMaxGridY = 65535;

template <class T>
struct Found {
  T value;
  int64_t index;
};

// A reduction: the state of a lane before the first element, how it takes an element, how two
// states become one (a's elements come first), and what is stored.
template <class T>
struct SumOp {
  using State = T;
  static constexpr bool kIndexed = false;
  static __device__ State start() { return T(0); }
  static __device__ void take(State& s, T x, T, int64_t) { s = join(s, x); }
  static __device__ State join(State a, State b) {
    if constexpr (std::is_integral_v<T>)
      return (Wrapping<T>(a) + Wrapping<T>(b)).value;
    else
      return a + b;
  }
};

template <class T>
struct ProdOp {
  using State = T;
  static constexpr bool kIndexed = false;
  static __device__ State start() { return T(1); }
  static __device__ void take(State& s, T x, T, int64_t) { s = join(s, x); }
  static __device__ State join(State a, State b) {
    if constexpr (std::is_integral_v<T>)
      return (Wrapping<T>(a) * Wrapping<T>(b)).value;
    else
      return a * b;
  }
};

template <class T>
struct SquaredDeviationOp {
  using State = T;
  static constexpr bool kIndexed = false;
  static __device__ State start() { return T(0); }
  static __device__ void take(State& s, T x, T mean, int64_t) { s += (x - mean) * (x - mean); }
  static __device__ State join(State a, State b) { return a + b; }
};

// Max and Min with the index of the first extreme. NaN is more extreme than any number. The index
// is that of no element (the end of int64) until an element has been taken.
template <class T, bool kMax>
struct ExtremeOp {
  using State = Found<T>;
  static constexpr bool kIndexed = true;
  static __device__ State start() { return {T(0), INT64_MAX}; }
  static __device__ void take(State& s, T x, T, int64_t index) { s = join(s, {x, index}); }
  static __device__ State join(State a, State b) {
    if (b.index == INT64_MAX) return a;
    if (a.index == INT64_MAX) return b;
    const bool a_nan = a.value != a.value;
    const bool b_nan = b.value != b.value;
    if (a_nan || b_nan) return a_nan && (!b_nan || a.index < b.index) ? a : b;
    if (a.value == b.value) return a.index < b.index ? a : b;
    return (a.value > b.value) == kMax ? a : b;
  }
};

// One pass. Reduced elements are those of `reduced` (operand 0: x); outputs are those of `kept`
// (operand 0: dst, 1: x).
template <class T>
struct ReducePass {
  Strided<1> reduced;
  Strided<2> kept;
  DType in, out;
  bool truth;       // elements count as x != 0 (Any, All)
  bool lanes_fast;  // neighbouring threads are lanes of one output, else outputs
  uint32_t lanes;   // a power of two, of kThreads
  uint32_t chunk;
  uint32_t chunks;
  T divisor;               // of the result, where it is not 1
  const char* mean;        // moves as dst does
  const int64_t* indices;  // of the elements, where these are partial results
  T* partials;             // [chunks, outputs]; null in the last pass
  int64_t* partial_indices;
  int64_t* index_out;  // moves as dst does, in elements
  int out_size;        // bytes of an element of dst
};

template <class T, class Op>
__global__ void __launch_bounds__(kThreads) reduce_kernel(ReducePass<T> p) {
  using State = typename Op::State;
  __shared__ State states[kThreads];
  const uint32_t outputs_here = kThreads / p.lanes;
  const uint32_t lane = p.lanes_fast ? threadIdx.x % p.lanes : threadIdx.x / outputs_here;
  const uint32_t slot = p.lanes_fast ? threadIdx.x / p.lanes : threadIdx.x % outputs_here;
  const uint32_t neighbour = p.lanes_fast ? 1 : outputs_here;  // of a lane, in threads
  const uint64_t o = static_cast<uint64_t>(blockIdx.x) * outputs_here + slot;
  const bool there = o < p.kept.numel;
  int64_t at[2] = {0, 0};
  if (there) p.kept.offsets(o, at);
  T mean = T(0);
  if (p.mean && there) mean = *reinterpret_cast<const T*>(p.mean + at[0]);

  for (uint32_t c = blockIdx.y; c < p.chunks; c += gridDim.y) {
    State state = Op::start();
    const uint64_t begin = static_cast<uint64_t>(c) * p.chunk;
    const uint64_t end = begin + p.chunk < p.reduced.numel ? begin + p.chunk : p.reduced.numel;
    for (uint64_t r = begin + lane; there && r < end; r += p.lanes) {
      int64_t in[1];
      p.reduced.offsets(r, in);
      const char* x = p.kept.data[1] + at[1] + in[0];
      const T value = p.truth ? T(load_as<bool>(x, p.in)) : load_as<T>(x, p.in);
      int64_t index = static_cast<int64_t>(r);
      if (Op::kIndexed && p.indices)
        index =
            p.indices[reinterpret_cast<const T*>(x) - reinterpret_cast<const T*>(p.kept.data[1])];
      Op::take(state, value, mean, index);
    }
    states[threadIdx.x] = state;
    for (uint32_t step = p.lanes / 2; step > 0; step /= 2) {
      __syncthreads();
      if (lane < step)
        states[threadIdx.x] = Op::join(states[threadIdx.x], states[threadIdx.x + step * neighbour]);
    }
    if (lane == 0 && there) {
      state = states[threadIdx.x];
      T value;
      if constexpr (Op::kIndexed)
        value = state.value;
      else
        value = state;
      const uint64_t partial = static_cast<uint64_t>(c) * p.kept.numel + o;
      if (p.partials) {
        p.partials[partial] = value;
        if constexpr (Op::kIndexed) p.partial_indices[partial] = state.index;
      } else {
        if (p.divisor != T(1)) value = value / p.divisor;
        store_from<T>(p.kept.data[0] + at[0], p.out, value);
        if constexpr (Op::kIndexed)
          if (p.index_out) p.index_out[at[0] / p.out_size] = state.index;
      }
    }
    __syncthreads();  // the next chunk writes `states`
  }
}

uint32_t power_of_two_from(uint64_t n) {
  uint32_t p = 1;
  while (p < n && p < kThreads) p *= 2;
  return p;
}

// How the threads of a block divide over outputs and lanes, and what a chunk is.
template <class T>
void plan(ReducePass<T>& p) {
  const bool kept_moves = p.kept.rank > 0;
  p.lanes_fast = !kept_moves || (p.reduced.rank > 0 && std::abs(p.reduced.strides[0][0]) <=
                                                           std::abs(p.kept.strides[1][0]));
  if (p.lanes_fast) {
    p.lanes = power_of_two_from(p.reduced.numel);
  } else {
    const uint32_t width = power_of_two_from(p.kept.numel);
    p.lanes = kThreads / (width < kColumnWidth ? width : kColumnWidth);
  }
  p.chunk = p.lanes * kPerLane;
  const uint64_t chunks = (p.reduced.numel + p.chunk - 1) / p.chunk;
  p.chunks = static_cast<uint32_t>(chunks == 0 ? 1 : chunks);
}

// Runs First over x, and Rest over partial results until there are none.
template <class T, class First, class Rest>
void run(const Call& call, ReducePass<T> p) {
  plan(p);
  const uint64_t outputs = p.kept.numel;
  const uint32_t outputs_here = kThreads / p.lanes;
  const uint64_t blocks = (outputs + outputs_here - 1) / outputs_here;
  check<ValueError>(blocks <= static_cast<uint64_t>(INT32_MAX), call.op(), ": ", outputs,
                    " results are more than one CUDA launch can give");
  const dim3 grid(static_cast<unsigned>(blocks), p.chunks < kMaxGridY ? p.chunks : kMaxGridY);
  if (p.chunks == 1) {
    call.launch(reduce_kernel<T, First>, grid, kThreads, p);
    return;
  }
  const uint64_t partials = outputs * p.chunks;
  const Workspace values(call.device(), partials * sizeof(T));
  const Workspace indices(call.device(), First::kIndexed ? partials * sizeof(int64_t) : 0);
  ReducePass<T> next = p;
  p.partials = values.as<T>();
  p.partial_indices = indices.as<int64_t>();
  call.launch(reduce_kernel<T, First>, grid, kThreads, p);

  // [chunks, outputs], reduced over the first; dst moves as before.
  next.reduced = Strided<1>();
  next.reduced.numel = p.chunks;
  next.reduced.rank = 1;
  next.reduced.sizes[0] = p.chunks;
  next.reduced.strides[0][0] = static_cast<int64_t>(outputs * sizeof(T));
  next.reduced.narrow = partials * sizeof(T) <= static_cast<uint64_t>(INT32_MAX);
  next.kept.data[1] = values.as<char>();
  next.kept.narrow = next.kept.narrow && next.reduced.narrow;
  auto stride = static_cast<int64_t>(sizeof(T));
  for (int d = 0; d < next.kept.rank; ++d) {
    next.kept.strides[1][d] = stride;
    stride *= next.kept.sizes[d];
  }
  next.in = kDTypeOf<T>;
  next.truth = false;
  next.mean = nullptr;
  next.indices = indices.as<int64_t>();
  run<T, Rest, Rest>(call, next);
}

template <class T>
ReducePass<T> first_pass(const Iter& it, const TensorRef& dst, const TensorRef& x) {
  ReducePass<T> p{};
  p.reduced = Strided<1>(it, 0, it.reduced_rank(), {1});
  p.kept = Strided<2>(it, it.reduced_rank(), it.rank(), {0, 1});
  p.in = x.dtype;
  p.out = dst.dtype;
  p.divisor = T(1);
  p.out_size = static_cast<int>(item_size(dst.dtype));
  return p;
}

constexpr const char* kReduceNames[] = {"sum", "prod", "max", "min", "any", "all"};

}  // namespace

void reduce(Ctx& ctx, ReduceOp op, const TensorRef& dst, const TensorRef& x) {
  const Call call(kReduceNames[static_cast<int>(op)], ctx);
  if (dst.numel() == 0) return;
  if (x.numel() == 0)
    return fill(ctx, dst, op == ReduceOp::Prod || op == ReduceOp::All ? 1.0 : 0.0);
  check_dtype(call.op(), x.dtype);
  const Iter it = Iter::reduction(call.op(), dst, x);
  dispatch_compute(call.op(), dst.dtype, [&]<class T>() {
    auto p = first_pass<T>(it, dst, x);
    switch (op) {
      case ReduceOp::Sum: return run<T, SumOp<T>, SumOp<T>>(call, p);
      case ReduceOp::Prod: return run<T, ProdOp<T>, ProdOp<T>>(call, p);
      case ReduceOp::Any:
      case ReduceOp::All: p.truth = true; break;
      default: break;
    }
    if (op == ReduceOp::Max || op == ReduceOp::Any)
      run<T, ExtremeOp<T, true>, ExtremeOp<T, true>>(call, p);
    else
      run<T, ExtremeOp<T, false>, ExtremeOp<T, false>>(call, p);
  });
}

void arg_reduce(Ctx& ctx, ReduceOp op, const TensorRef& values, const TensorRef& indices,
                const TensorRef& x, int) {
  const Call call(op == ReduceOp::Max ? "argmax" : "argmin", ctx);
  if (values.numel() == 0) return;
  // One set of offsets serves both results. The dimension is the one in which they have size 1.
  check<RuntimeError>(std::equal(values.strides.begin(), values.strides.end(),
                                 indices.strides.begin(), indices.strides.end()),
                      call.op(), ": values and indices must have the same strides",
                      line("values", values.strides), line("indices", indices.strides));
  const Iter it = Iter::reduction(call.op(), values, x);
  dispatch_compute(call.op(), values.dtype, [&]<class T>() {
    auto p = first_pass<T>(it, values, x);
    p.index_out = indices.as<int64_t>();
    if (op == ReduceOp::Max)
      run<T, ExtremeOp<T, true>, ExtremeOp<T, true>>(call, p);
    else
      run<T, ExtremeOp<T, false>, ExtremeOp<T, false>>(call, p);
  });
}

void var(Ctx& ctx, const TensorRef& dst, const TensorRef& mean, const TensorRef& x,
         double correction) {
  const Call call("var", ctx);
  if (dst.numel() == 0) return;
  check<RuntimeError>(
      dst.dtype == mean.dtype && std::equal(dst.strides.begin(), dst.strides.end(),
                                            mean.strides.begin(), mean.strides.end()),
      call.op(), ": variance and mean must have the same dtype and strides",
      line("var", dst.strides), line("mean", mean.strides));
  const auto n = static_cast<double>(x.numel() / dst.numel());
  if (n == 0) {
    fill(ctx, dst, std::numeric_limits<double>::quiet_NaN());
    return fill(ctx, mean, std::numeric_limits<double>::quiet_NaN());
  }
  dispatch_floating(call.op(), dst.dtype, [&]<class T>() {
    auto sums = first_pass<T>(Iter::reduction(call.op(), mean, x), mean, x);
    sums.divisor = static_cast<T>(n);
    run<T, SumOp<T>, SumOp<T>>(call, sums);
    auto squares = first_pass<T>(Iter::reduction(call.op(), dst, x), dst, x);
    squares.mean = static_cast<const char*>(mean.data);
    squares.divisor = static_cast<T>(n > correction ? n - correction : 0.0);
    run<T, SquaredDeviationOp<T>, SumOp<T>>(call, squares);
  });
}

}  // namespace lamina::cuda
