#include "cpu/convert.h"

#include <cstring>

namespace lamina::cpu {
namespace {

template <class To, class From>
void cast(int64_t n, char* dst, int64_t dst_stride, const char* src, int64_t src_stride) {
  constexpr int64_t kTo = sizeof(To);
  constexpr int64_t kFrom = sizeof(From);
  if (dst_stride == kTo && src_stride == kFrom) {
    if constexpr (std::is_same_v<To, From> && !std::is_same_v<To, bool>) {
      std::memmove(dst, src, static_cast<size_t>(n * kTo));
    } else {
      To* out = reinterpret_cast<To*>(dst);
      for (int64_t i = 0; i < n; ++i) out[i] = convert<To>(read<From>(src + i * kFrom));
    }
  } else if (src_stride == 0) {
    const To value = convert<To>(read<From>(src));
    if (dst_stride == kTo) {
      To* out = reinterpret_cast<To*>(dst);
      for (int64_t i = 0; i < n; ++i) out[i] = value;
    } else {
      for (int64_t i = 0; i < n; ++i) *reinterpret_cast<To*>(dst + i * dst_stride) = value;
    }
  } else if (dst_stride == kTo) {
    To* out = reinterpret_cast<To*>(dst);
    for (int64_t i = 0; i < n; ++i) out[i] = convert<To>(read<From>(src + i * src_stride));
  } else {
    for (int64_t i = 0; i < n; ++i)
      *reinterpret_cast<To*>(dst + i * dst_stride) = convert<To>(read<From>(src + i * src_stride));
  }
}

}  // namespace

CastRun cast_run(const char* op, DType to, DType from) {
  return dispatch(op, to, [&]<class To>() {
    return dispatch(op, from, []<class From>() -> CastRun { return cast<To, From>; });
  });
}

}  // namespace lamina::cpu
