// The product as its definition says it.

#include "cpu/micro.h"

namespace lamina::cpu::ref {
namespace {

template <class T>
void gemm_tile(const GemmTile<T>& t) {
  for (int i = 0; i < t.m; ++i) {
    for (int j = 0; j < t.n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < t.k; ++p)
        sum += double(t.a[i * t.ai + p * t.ap]) * double(t.b[p * t.bp + j * t.bj]);
      double r = double(t.alpha) * sum;
      if (t.bias != nullptr) r += double(t.bias[j]);
      T& c = t.c[i * t.ldc + j];
      if (t.beta != T(0)) r += double(t.beta) * double(c);
      c = T(r);
    }
  }
}

template <class T>
void gemm_pack(int64_t k, int width, const T* src, int64_t si, int64_t sp, T* panel,
               int panel_width) {
  for (int64_t p = 0; p < k; ++p) {
    for (int i = 0; i < width; ++i) panel[p * panel_width + i] = src[i * si + p * sp];
  }
}

template <class T>
constexpr GemmMicro<T> make_gemm() {
  GemmMicro<T> g{};
  g.mr = g.nr = g.a_width = 4;
  g.dot_m = 4;
  g.mc = g.nc = 32;
  g.kc = 64;
  g.tile = gemm_tile<T>;
  g.dot = gemm_tile<T>;
  g.outer = gemm_tile<T>;
  g.pack = gemm_pack<T>;
  return g;
}

}  // namespace

LAMINA_MICRO(GemmMicro, gemm);

}  // namespace lamina::cpu::ref
