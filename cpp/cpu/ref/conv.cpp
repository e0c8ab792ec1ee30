// The tiles of a convolution as their definitions say it.

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <class T>
void conv_tile(const ConvTile<T>& t) {
  for (int i = 0; i < t.m; ++i) {
    for (int j = 0; j < t.n; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < t.segments; ++s) {
        for (int64_t p = 0; p < t.count; ++p)
          sum += double(t.a[t.offsets[s] + i * t.ai + p * t.ap]) *
                 double(t.b[(s * t.count + p) * t.n + j]);
      }
      T& c = t.c[i * t.ldc + j];
      c = t.add ? T(double(c) + sum) : T(sum);
    }
  }
}

template <class T>
void conv_row(const ConvRow<T>& t) {
  for (int i = 0; i < t.m; ++i) {
    for (int j = 0; j < t.n; ++j) {
      double sum = t.bias == nullptr ? 0 : double(t.bias[i]);
      for (int64_t s = 0; s < t.segments; ++s) {
        for (int64_t p = 0; p < t.count; ++p)
          sum +=
              double(t.w[(s * t.count + p) * t.m + i]) * double(t.x[t.offsets[s] + p * t.step + j]);
      }
      t.y[i * t.plane + j] = T(sum);
    }
  }
}

template <class T>
void depthwise(const ConvTile<T>& t) {
  for (int i = 0; i < t.m; ++i) {
    for (int j = 0; j < t.n; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < t.segments; ++s)
        sum += double(t.a[t.offsets[s] + i * t.ai + j]) * double(t.b[s * t.n + j]);
      t.c[i * t.ldc + j] = T(sum);
    }
  }
}

template <class T>
void depthwise_weight(const ConvTile<T>& t, const int64_t* taps) {
  for (int i = 0; i < t.m; ++i) {
    for (int j = 0; j < t.n; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < t.segments; ++s) {
        for (int64_t p = 0; p < t.count; ++p)
          sum += double(t.a[taps[i] + t.offsets[s] + p * t.ap + j]) *
                 double(t.b[(s * t.count + p) * t.n + j]);
      }
      T& c = t.c[i * t.ldc + j];
      c = T(double(c) + sum);
    }
  }
}

template <class T>
void pack(int64_t rows, int64_t n, const T* const* src, T* dst, int64_t ld) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < n; ++j) dst[j * ld + i] = src[i][j];
  }
}

template <class T>
void unpack(int64_t rows, int n, const T* src, int64_t width, T* dst, int64_t ld, const T* bias) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int j = 0; j < n; ++j) {
      const T v = src[i * width + j];
      dst[j * ld + i] = bias == nullptr ? v : v + bias[j];
    }
  }
}

template <class T>
constexpr ConvMicro<T> make_conv() {
  ConvMicro<T> c{};
  c.lanes = 4;
  c.rows[0] = c.rows[1] = 3;
  c.depthwise_rows = c.depthwise_taps = 2;
  c.tile = conv_tile<T>;
  c.row = conv_row<T>;
  c.depthwise = depthwise<T>;
  c.depthwise_weight = depthwise_weight<T>;
  c.pack = pack<T>;
  c.unpack = unpack<T>;
  return c;
}

}  // namespace

LAMINA_MICRO(ConvMicro, conv);

}  // namespace lamina::cpu::ref
