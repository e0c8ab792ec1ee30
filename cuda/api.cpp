#include "entries.h"

namespace lamina::cuda {

// Entries that are not named here are null: device.h's `call` says so in one clear error.
constinit const DeviceApi kApi = [] {
  DeviceApi api{};
  api.name = "cuda";
  api.copy = copy;
  api.fill = fill;
  api.arange = arange;
  api.to_host = to_host;
  api.from_host = from_host;
  api.unary = unary;
  api.unary_backward = unary_backward;
  api.binary = binary;
  api.ternary = ternary;
  api.compare = compare;
  api.where = where;
  api.reduce = reduce;
  api.arg_reduce = arg_reduce;
  api.var = var;
  api.gemm = gemm;
  return api;
}();

}  // namespace lamina::cuda
