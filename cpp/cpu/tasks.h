// How drivers cut their work.
#pragma once

#include <bit>
#include <cstdint>

namespace lamina::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The size of equal parts (but for the last) of `count`, none above `most`.
constexpr int64_t even_part(int64_t count, int64_t most) {
  return count == 0 ? 1 : ceil_div(count, ceil_div(count, most));
}

// The grain of a loop over `count` tasks whose blocks are to have about `grain`: a few blocks are
// made a power of two, so that as many threads get as much each. Five blocks keep two threads as
// busy as six would.
constexpr int64_t fair_grain(int64_t count, int64_t grain) {
  const int64_t blocks = ceil_div(count, grain);
  return blocks < 1 || blocks > 16
             ? grain
             : ceil_div(count, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(blocks))));
}

// Multiplications and additions of about 15 us of one core: less is not worth waking another for.
// Half of it was tried: 32x784x512 forward took 10% longer, a transformer's step at batch 1 did not
// gain.
inline constexpr double kTaskWork = 2e6;

}  // namespace lamina::cpu
