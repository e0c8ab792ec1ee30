// Elementwise ops: layout, casts and threads. The arithmetic is in the tables.
#include <initializer_list>

#include "cpu/blocks.h"
#include "cpu/drivers.h"
#include "cpu/integer_micro.h"

namespace lamina::cpu {
namespace {

// Whether two contiguous runs share no byte.
bool apart(const TensorRef& a, const TensorRef& b, int64_t n) {
  const auto* p = static_cast<const char*>(a.data);
  const auto* q = static_cast<const char*>(b.data);
  return p + n * item_size(a.dtype) <= q || q + n * item_size(b.dtype) <= p;
}

// Work that fits one block needs neither an iterator nor a plan when all operands are the same
// contiguous run: the case of a small network, where every nanosecond of ours shows.
bool small_and_plain(const TensorRef& out, std::initializer_list<const TensorRef*> inputs,
                     int64_t n, int64_t grain) {
  if (n > grain || !out.contiguous()) return false;
  const auto* begin = static_cast<const char*>(out.data);
  const char* end = begin + n * item_size(out.dtype);
  for (const TensorRef* t : inputs) {
    if (t->dtype != out.dtype || t->rank() != out.rank() || !t->contiguous()) return false;
    for (size_t d = 0; d < out.sizes.size(); ++d)
      if (t->sizes[d] != out.sizes[d]) return false;
    const auto* p = static_cast<const char*>(t->data);
    if (p != begin && p < end && begin < p + (end - begin)) return false;  // Iter explains it
  }
  return true;
}

int64_t grain_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
    case UnaryOp::abs:
    case UnaryOp::sign:
    case UnaryOp::square:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::round:
    case UnaryOp::trunc:
    case UnaryOp::reciprocal:
    case UnaryOp::sqrt:
    case UnaryOp::rsqrt:
    case UnaryOp::relu:
    case UnaryOp::frac:
    case UnaryOp::cube:
    case UnaryOp::clamp:
    case UnaryOp::leaky_relu:
    case UnaryOp::relu6:
    case UnaryOp::hardtanh:
    case UnaryOp::threshold:
    case UnaryOp::softsign:
    case UnaryOp::softshrink:
    case UnaryOp::hardshrink:
    case UnaryOp::hardsigmoid:
    case UnaryOp::hardswish:
    case UnaryOp::smooth_l1:
    case UnaryOp::huber: return kLightGrain;
    default: return kHeavyGrain;
  }
}

int64_t grain_of(BinaryOp op) { return is_heavy(op) ? kHeavyGrain : kLightGrain; }
int64_t grain_of(TernaryOp op) { return is_heavy(op) ? kHeavyGrain : kLightGrain; }

[[noreturn, gnu::cold]] void refuse(const char* op, DType dtype) {
  raise<TypeError>(op, ": not defined for ", dtype, "; convert the tensor with ",
                   is_floating(dtype) ? ".long()" : ".float()", " first");
}

// A number beside a tensor, as the kernel wants it.
template <class T>
bool take_number(const char* op, const TensorRef& from, const TensorRef& dst, DType as, T& number) {
  if (from.numel() != 1 || from.rank() > dst.rank()) return false;
  cast_run(op, as, from.dtype)(1, reinterpret_cast<char*>(&number), sizeof(T),
                               from.as<const char>(), sizeof(T));
  return true;
}

}  // namespace

void unary(Ctx&, UnaryOp op, const TensorRef& dst, const TensorRef& x, Params params) {
  const char* name = info(op).name;
  dispatch(name, dst.dtype, [&]<class T>() {
    const auto kernel = pointwise_micro<T>().unary[static_cast<int>(op)];
    if (kernel == nullptr) refuse(name, dst.dtype);
    const T a = convert<T>(params.a);
    const T b = convert<T>(params.b);
    const int64_t n = dst.numel();
    const int64_t grain = grain_of(op);
    if (small_and_plain(dst, {&x}, n, grain)) {
      kernel(n, dst.as<T>(), x.as<const T>(), a, b);
      return;
    }
    const Iter it(name, {dst, x});
    const DType dtypes[] = {dst.dtype, dst.dtype};
    Blocks(name, it, dtypes, 0).run(grain, [&](int64_t count, char* const* p, unsigned) {
      kernel(count, reinterpret_cast<T*>(p[0]), reinterpret_cast<const T*>(p[1]), a, b);
    });
  });
}

void unary_backward(Ctx&, UnaryOp op, const TensorRef& dx, const TensorRef& g,
                    const TensorRef& saved, Params params) {
  const char* name = info(op).name;
  // Rows that save nothing have no second operand to read.
  const TensorRef& second = info(op).saves == Saves::None ? g : saved;
  dispatch_floating(name, dx.dtype, [&]<class T>() {
    const auto kernel = pointwise_micro<T>().unary_backward[static_cast<int>(op)];
    const T a = static_cast<T>(params.a);
    const T b = static_cast<T>(params.b);
    const int64_t n = dx.numel();
    const int64_t grain = grain_of(op);
    if (small_and_plain(dx, {&g, &second}, n, grain)) {
      kernel(n, dx.as<T>(), g.as<const T>(), second.as<const T>(), a, b);
      return;
    }
    const Iter it(name, {dx, g, second});
    const DType dtypes[] = {dx.dtype, dx.dtype, dx.dtype};
    Blocks(name, it, dtypes, 0).run(grain, [&](int64_t count, char* const* p, unsigned) {
      kernel(count, reinterpret_cast<T*>(p[0]), reinterpret_cast<const T*>(p[1]),
             reinterpret_cast<const T*>(p[2]), a, b);
    });
  });
}

void binary(Ctx&, BinaryOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y) {
  const char* name = info(op).name;
  dispatch(name, dst.dtype, [&]<class T>() {
    const auto kernel = pointwise_micro<T>().binary[static_cast<int>(op)];
    if (kernel == nullptr) refuse(name, dst.dtype);
    const int64_t n = dst.numel();
    const int64_t grain = grain_of(op);
    if (small_and_plain(dst, {&x, &y}, n, grain)) {
      kernel(n, dst.as<T>(), x.as<const T>(), y.as<const T>(), kNoScalar);
      return;
    }
    // The same with a number: x * 2 and 2 - x.
    T number;
    if (take_number(name, y, dst, dst.dtype, number) && small_and_plain(dst, {&x}, n, grain)) {
      kernel(n, dst.as<T>(), x.as<const T>(), &number, kYScalar);
      return;
    }
    if (take_number(name, x, dst, dst.dtype, number) && small_and_plain(dst, {&y}, n, grain)) {
      kernel(n, dst.as<T>(), &number, y.as<const T>(), kXScalar);
      return;
    }
    const Iter it(name, {dst, x, y});
    const DType dtypes[] = {dst.dtype, dst.dtype, dst.dtype};
    Blocks(name, it, dtypes, kXScalar | kYScalar)
        .run(grain, [&](int64_t count, char* const* p, unsigned scalars) {
          kernel(count, reinterpret_cast<T*>(p[0]), reinterpret_cast<const T*>(p[1]),
                 reinterpret_cast<const T*>(p[2]), scalars);
        });
  });
}

void ternary(Ctx&, TernaryOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             const TensorRef& z, Params params) {
  const char* name = info(op).name;
  dispatch(name, dst.dtype, [&]<class T>() {
    const auto kernel = pointwise_micro<T>().ternary[static_cast<int>(op)];
    if (kernel == nullptr) refuse(name, dst.dtype);
    const T a = convert<T>(params.a);
    const int64_t n = dst.numel();
    const int64_t grain = grain_of(op);
    if (small_and_plain(dst, {&x, &y, &z}, n, grain)) {
      kernel(n, dst.as<T>(), x.as<const T>(), y.as<const T>(), z.as<const T>(), a, kNoScalar);
      return;
    }
    T number;
    if (take_number(name, z, dst, dst.dtype, number) && small_and_plain(dst, {&x, &y}, n, grain)) {
      kernel(n, dst.as<T>(), x.as<const T>(), y.as<const T>(), &number, a, kZScalar);
      return;
    }
    const Iter it(name, {dst, x, y, z});
    const DType dtypes[] = {dst.dtype, dst.dtype, dst.dtype, dst.dtype};
    Blocks(name, it, dtypes, kXScalar | kYScalar | kZScalar)
        .run(grain, [&](int64_t count, char* const* p, unsigned scalars) {
          kernel(count, reinterpret_cast<T*>(p[0]), reinterpret_cast<const T*>(p[1]),
                 reinterpret_cast<const T*>(p[2]), reinterpret_cast<const T*>(p[3]), a, scalars);
        });
  });
}

void compare(Ctx&, CompareOp op, const TensorRef& dst, const TensorRef& x, const TensorRef& y,
             DType compute) {
  const char* name = name_of(op);
  check<TypeError>(dst.dtype == DType::Bool, name, ": the result is bool, got ", dst.dtype);
  dispatch(name, compute, [&]<class T>() {
    const auto kernel = pointwise_micro<T>().compare[static_cast<int>(op)];
    // x > 0, without the plan.
    const int64_t n = dst.numel();
    T number;
    if (n <= kLightGrain && dst.contiguous() && x.dtype == compute && x.contiguous() &&
        x.numel() == n && apart(dst, x, n) && take_number(name, y, dst, compute, number)) {
      kernel(n, dst.as<bool>(), x.as<const T>(), &number, kYScalar);
      return;
    }
    const Iter it(name, {dst, x, y});
    const DType dtypes[] = {DType::Bool, compute, compute};
    Blocks(name, it, dtypes, kXScalar | kYScalar)
        .run(kLightGrain, [&](int64_t count, char* const* p, unsigned scalars) {
          kernel(count, reinterpret_cast<bool*>(p[0]), reinterpret_cast<const T*>(p[1]),
                 reinterpret_cast<const T*>(p[2]), scalars);
        });
  });
}

namespace {

// A choice moves bits, whatever they mean: one instance for each element size.
template <class Bits, bool kX, bool kY>
void choose(int64_t n, Bits* out, const uint8_t* cond, const Bits* x, const Bits* y) {
  for (int64_t i = 0; i < n; ++i) out[i] = cond[i] != 0 ? x[kX ? 0 : i] : y[kY ? 0 : i];
}

template <class Bits>
void where_bits(const Iter& it, DType dtype) {
  constexpr unsigned kX = 2, kY = 4;  // inputs 1 and 2, after the condition
  const DType dtypes[] = {dtype, DType::Bool, dtype, dtype};
  Blocks("where", it, dtypes, kX | kY)
      .run(kLightGrain, [&](int64_t n, char* const* p, unsigned scalars) {
        const auto f = scalars == 0    ? choose<Bits, false, false>
                       : scalars == kX ? choose<Bits, true, false>
                       : scalars == kY ? choose<Bits, false, true>
                                       : choose<Bits, true, true>;
        f(n, reinterpret_cast<Bits*>(p[0]), reinterpret_cast<const uint8_t*>(p[1]),
          reinterpret_cast<const Bits*>(p[2]), reinterpret_cast<const Bits*>(p[3]));
      });
}

}  // namespace

void where(Ctx&, const TensorRef& dst, const TensorRef& cond, const TensorRef& x,
           const TensorRef& y) {
  check<TypeError>(cond.dtype == DType::Bool, "where: the condition must be bool, got ",
                   cond.dtype);
  const Iter it("where", {dst, cond, x, y});
  switch (item_size(dst.dtype)) {
    case 1: return where_bits<uint8_t>(it, dst.dtype);
    case 4: return where_bits<uint32_t>(it, dst.dtype);
    default: return where_bits<uint64_t>(it, dst.dtype);
  }
}

}  // namespace lamina::cpu
