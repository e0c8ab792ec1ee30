// Where memory lives, and who allocates it there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/check.h"

namespace lamina {

enum class DeviceKind : uint8_t { Cpu, Cuda };
inline constexpr int kDeviceKinds = 2;

struct Device {
  DeviceKind kind = DeviceKind::Cpu;
  int8_t index = 0;
  bool is_cpu() const { return kind == DeviceKind::Cpu; }
  friend bool operator==(Device, Device) = default;
  friend std::string to_text(Device d) {
    return d.is_cpu() ? "cpu" : text::concat("cuda:", static_cast<int>(d.index));
  }
};

// Raw memory of one kind of device: 64-byte aligned at least, never null for bytes > 0, raises
// MemoryError when it cannot. `deallocate` gets the size that was asked for.
struct Allocator {
  void* (*allocate)(Device device, size_t bytes);
  void (*deallocate)(Device device, void* data, size_t bytes) noexcept;
};

const Allocator& allocator(DeviceKind kind);
void register_allocator(DeviceKind kind, const Allocator* allocator);

}  // namespace lamina
