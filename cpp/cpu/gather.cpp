// Gathering and scattering along one dimension, where every other coordinate is kept.
#include <type_traits>

#include "core/iter.h"
#include "core/parallel.h"
#include "cpu/convert.h"
#include "cpu/drivers.h"
#include "wrapping.h"

namespace lamina::cpu {
namespace {

constexpr int64_t kGrain = 16 * 1024;

// Elements that are only moved are moved as bits.
template <class F>
decltype(auto) dispatch_bits(DType dtype, F&& f) {
  switch (item_size(dtype)) {
    case 1: return f.template operator()<uint8_t>();
    case 4: return f.template operator()<uint32_t>();
    default: return f.template operator()<uint64_t>();
  }
}

// The place along the dimension that an index names, in bytes.
struct Along {
  Along(const TensorRef& t, int dim)
      : size(t.sizes[static_cast<size_t>(dim)]),
        step(t.strides[static_cast<size_t>(dim)] * item_size(t.dtype)) {}
  int64_t operator()(const char* index) const {
    const int64_t i = *reinterpret_cast<const int64_t*>(index);
    return (i < 0 ? i + size : i) * step;
  }
  int64_t size, step;
};

}  // namespace

void gather(Ctx&, const TensorRef& dst, const TensorRef& src, int dim, const TensorRef& index) {
  // src with the index's sizes; along dim it stands still, since the index says where to go.
  Dims strides(src.strides);
  strides[dim] = 0;
  const Along along(src, dim);
  const Iter it("gather", {dst, index, {src.data, dst.sizes, strides, src.dtype}});
  dispatch_bits(src.dtype, [&]<class Bits>() {
    parallel_for(it.numel(), kGrain, [&](int64_t begin, int64_t end) {
      it.for_range(begin, end, [&](int64_t n, char* const* p, const int64_t* s) {
        for (int64_t i = 0; i < n; ++i)
          *reinterpret_cast<Bits*>(p[0] + i * s[0]) =
              *reinterpret_cast<const Bits*>(p[2] + i * s[2] + along(p[1] + i * s[1]));
      });
    });
  });
}

namespace {

template <class T, ScatterOp Op>
void put(T* to, const T* from) {
  if constexpr (Op == ScatterOp::Write) {
    *to = *from;
  } else if constexpr (std::is_floating_point_v<T>) {
    *to = Op == ScatterOp::Add ? *to + *from : *to * *from;
  } else {
    const Wrapping<T> a(read<T>(to)), b(read<T>(from));
    *to = (Op == ScatterOp::Add ? a + b : a * b).value;
  }
}

// A line is what differs in `dim` alone. All that goes into a line of dst comes from the same line
// of index and src: so a line has one owner, which goes through it in order.
template <class T, ScatterOp Op>
void scatter_lines(const TensorRef& dst, int dim, const TensorRef& index, const TensorRef& src) {
  const auto without = [dim](std::span<const int64_t> values) {
    Dims out(values);
    out.erase(dim);
    return out;
  };
  const Dims sizes = without(index.sizes);
  const Dims index_strides = without(index.strides);
  const Dims src_strides = without(src.strides);
  const Dims dst_strides = without(dst.strides);
  const Iter lines("scatter",
                   {{index.data, sizes, index_strides, index.dtype},
                    {src.data, sizes, src_strides, src.dtype},
                    {dst.data, sizes, dst_strides, dst.dtype}},
                   0);
  const auto d = static_cast<size_t>(dim);
  const Along along(dst, dim);
  const int64_t length = index.sizes[d];
  const int64_t index_step = index.strides[d] * int64_t{sizeof(int64_t)};
  const int64_t src_step = src.strides[d] * int64_t{sizeof(T)};
  const auto put_one = [&](const char* at, const char* from, char* to) {
    put<T, Op>(reinterpret_cast<T*>(to + along(at)), reinterpret_cast<const T*>(from));
  };
  // Which loop is the inner one matters to the speed alone: the order within a line is the same.
  const bool line_by_line = lines.rank() == 0 || lines.size(0) < length;
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(length, 1));
  parallel_for(lines.numel(), grain, [&](int64_t begin, int64_t end) {
    if (line_by_line) {
      lines.for_range(begin, end, [&](int64_t n, char* const* p, const int64_t* s) {
        for (int64_t i = 0; i < n; ++i)
          for (int64_t k = 0; k < length; ++k)
            put_one(p[0] + i * s[0] + k * index_step, p[1] + i * s[1] + k * src_step,
                    p[2] + i * s[2]);
      });
      return;
    }
    for (int64_t k = 0; k < length; ++k)
      lines.for_range(begin, end, [&](int64_t n, char* const* p, const int64_t* s) {
        for (int64_t i = 0; i < n; ++i)
          put_one(p[0] + i * s[0] + k * index_step, p[1] + i * s[1] + k * src_step,
                  p[2] + i * s[2]);
      });
  });
}

}  // namespace

void scatter(Ctx&, const TensorRef& dst, int dim, const TensorRef& index, const TensorRef& src,
             ScatterOp op) {
  if (index.numel() == 0) return;
  if (op == ScatterOp::Write)
    return dispatch_bits(dst.dtype, [&]<class Bits>() {
      scatter_lines<Bits, ScatterOp::Write>(dst, dim, index, src);
    });
  dispatch("scatter", dst.dtype, [&]<class T>() {
    if (op == ScatterOp::Add)
      scatter_lines<T, ScatterOp::Add>(dst, dim, index, src);
    else
      scatter_lines<T, ScatterOp::Multiply>(dst, dim, index, src);
  });
}

}  // namespace lamina::cpu
