#include <atomic>

#include "cpu/drivers.h"

namespace lamina {

constexpr DeviceApi kCpuApi = {
    .name = "cpu",
    .copy = cpu::copy,
    .fill = cpu::fill,
    .arange = cpu::arange,
    .to_host = cpu::to_host,
    .from_host = cpu::from_host,
    .unary = cpu::unary,
    .unary_backward = cpu::unary_backward,
    .binary = cpu::binary,
    .ternary = cpu::ternary,
    .compare = cpu::compare,
    .where = cpu::where,
    .reduce = cpu::reduce,
    .arg_reduce = cpu::arg_reduce,
    .var = cpu::var,
    .scan = cpu::scan,
    .sort = cpu::sort,
    .median = cpu::median,
    .order_rows = cpu::order_rows,
    .gemm = cpu::gemm,
    .conv = cpu::conv,
    .conv_input = cpu::conv_input,
    .conv_weight = cpu::conv_weight,
    .solve = cpu::solve,
    .qr = cpu::qr,
    .softmax = cpu::softmax,
    .softmax_backward = cpu::softmax_backward,
    .cross_entropy = cpu::cross_entropy,
    .cross_entropy_backward = cpu::cross_entropy_backward,
    .attention = cpu::attention,
    .attention_backward = cpu::attention_backward,
    .batch_norm = cpu::batch_norm,
    .batch_norm_backward = cpu::batch_norm_backward,
    .group_norm = cpu::group_norm,
    .group_norm_backward = cpu::group_norm_backward,
    .max_pool = cpu::max_pool,
    .max_pool_take = cpu::max_pool_take,
    .max_pool_put = cpu::max_pool_put,
    .resample = cpu::resample,
    .recurrent = cpu::recurrent,
    .recurrent_backward = cpu::recurrent_backward,
    .random = cpu::random,
    .random_integers = cpu::random_integers,
    .dropout = cpu::dropout,
    .index_read = cpu::index_read,
    .index_write = cpu::index_write,
    .indices_in_range = cpu::indices_in_range,
    .gather = cpu::gather,
    .scatter = cpu::scatter,
    .count_nonzero = cpu::count_nonzero,
    .nonzero = cpu::nonzero,
    .update = cpu::update,
    .total_norm = cpu::total_norm,
};

namespace {

// Constant-initialised, so that a device may register from a static constructor.
constinit std::atomic<const DeviceApi*> apis[kDeviceKinds] = {&kCpuApi, nullptr};

}  // namespace

const DeviceApi* device_api(DeviceKind kind) {
  return apis[static_cast<int>(kind)].load(std::memory_order_acquire);
}

void register_device_api(DeviceKind kind, const DeviceApi* api) {
  apis[static_cast<int>(kind)].store(api, std::memory_order_release);
}

}  // namespace lamina
