// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011).
//
// A number is a function of (seed, offset of the op, logical index of the element) and of nothing
// else, so it does not depend on the thread count, the instruction set or the device. Integers and
// uniforms are equal bit for bit everywhere; normals to 4 ULP, since log and sin are not.
//
//   const PhiloxStream stream = default_generator().reserve(n);
//   out[i] = uniform_f32(stream, i);
//
// The functions marked LAMINA_RANDOM_HD are device code too when nvcc compiles this file.
#pragma once

#include <cmath>
#include <cstdint>
#include <mutex>

#ifdef __CUDACC__
#define LAMINA_RANDOM_HD __host__ __device__
#else
#define LAMINA_RANDOM_HD
#endif

namespace lamina {

struct PhiloxBlock {
  uint32_t word[4];
};

// The numbers of one op: blocks of 128 bits, the first of which has the counter `offset`.
struct PhiloxStream {
  uint64_t seed;
  uint64_t offset;
};

LAMINA_RANDOM_HD inline PhiloxBlock philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  uint32_t* c = counter.word;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    const auto hi0 = static_cast<uint32_t>(p0 >> 32);
    const auto hi1 = static_cast<uint32_t>(p1 >> 32);
    const uint32_t next0 = hi1 ^ c[1] ^ key0;
    const uint32_t next2 = hi0 ^ c[3] ^ key1;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    c[0] = next0;
    c[2] = next2;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

LAMINA_RANDOM_HD inline PhiloxBlock philox_block(const PhiloxStream& stream, uint64_t block) {
  const uint64_t counter = stream.offset + block;
  return philox4x32({{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}},
                    static_cast<uint32_t>(stream.seed), static_cast<uint32_t>(stream.seed >> 32));
}

// --- from a block to numbers: a block holds four 32-bit elements or two 64-bit ones ---

LAMINA_RANDOM_HD inline uint32_t block_bits32(const PhiloxBlock& block, int which) {
  return block.word[which];
}

LAMINA_RANDOM_HD inline uint64_t block_bits64(const PhiloxBlock& block, int which) {
  return (static_cast<uint64_t>(block.word[2 * which + 1]) << 32) | block.word[2 * which];
}

// In [0, 1): a multiple of 2^-24, and of 2^-53.
LAMINA_RANDOM_HD inline float to_uniform_f32(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

LAMINA_RANDOM_HD inline double to_uniform_f64(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// The high half of a 128-bit product.
LAMINA_RANDOM_HD inline uint64_t multiply_high(uint64_t a, uint64_t b) {
  const uint64_t a0 = a & 0xffffffffu;
  const uint64_t a1 = a >> 32;
  const uint64_t b0 = b & 0xffffffffu;
  const uint64_t b1 = b >> 32;
  const uint64_t middle = a1 * b0 + ((a0 * b0) >> 32);
  const uint64_t low = a0 * b1 + (middle & 0xffffffffu);
  return a1 * b1 + (middle >> 32) + (low >> 32);
}

// One of `range` integers from `low` on (0: of all 2^64): floor(bits * range / 2^64). A value's
// probability is off by less than 2^-64.
LAMINA_RANDOM_HD inline int64_t to_range(uint64_t bits, int64_t low, uint64_t range) {
  const uint64_t steps = range == 0 ? bits : multiply_high(bits, range);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + steps);
}

// In [low, high), which must not be empty.
LAMINA_RANDOM_HD inline int64_t to_integer(uint64_t bits, int64_t low, int64_t high) {
  return to_range(bits, low, static_cast<uint64_t>(high) - static_cast<uint64_t>(low));
}

template <class T>
struct NormalPair {
  T first;
  T second;
};

// cos and sin of 2*pi*turn for turn in [0, 1). Every step before sin and cos is exact (turn has few
// enough bits), so results next to a zero keep their relative accuracy.
template <class T>
LAMINA_RANDOM_HD inline NormalPair<T> cos_sin_turn(T turn) {
  const T eighths = 8 * turn;
  const int octant = static_cast<int>(eighths);
  T rest = eighths - static_cast<T>(octant);  // within the octant, in [0, 1)
  if (octant & 1) rest = 1 - rest;            // measured from the nearer axis
  const T angle = rest * static_cast<T>(0.78539816339744830962);
  const T c = std::cos(angle);
  const T s = std::sin(angle);
  const bool swap = ((octant + 1) & 2) != 0;  // nearer to the second axis than to the first
  const T x = swap ? s : c;
  const T y = swap ? c : s;
  return {octant >= 2 && octant < 6 ? -x : x, octant >= 4 ? -y : y};
}

// Box-Muller: two independent standard normals from u in (0, 1] and turn in [0, 1).
template <class T>
LAMINA_RANDOM_HD inline NormalPair<T> box_muller(T u, T turn) {
  const T radius = std::sqrt(-2 * std::log(u));
  const NormalPair<T> direction = cos_sin_turn(turn);
  return {radius * direction.first, radius * direction.second};
}

// Elements 2*pair and 2*pair+1 of a block's four float normals. Both inputs have 24 bits, so that
// they are exact in float32 too (where |normal| <= 5.77); the host evaluates in double and rounds
// once.
LAMINA_RANDOM_HD inline NormalPair<float> block_normals_f32(const PhiloxBlock& block, int pair) {
#ifdef __CUDA_ARCH__
  using T = float;
#else
  using T = double;
#endif
  const T u = static_cast<T>((block.word[2 * pair] >> 8) + 1) * static_cast<T>(0x1p-24);
  const T turn = static_cast<T>(block.word[2 * pair + 1] >> 8) * static_cast<T>(0x1p-24);
  const NormalPair<T> normals = box_muller(u, turn);
  return {static_cast<float>(normals.first), static_cast<float>(normals.second)};
}

// A block's two double normals, from 53 bits each (|normal| <= 8.58).
LAMINA_RANDOM_HD inline NormalPair<double> block_normals_f64(const PhiloxBlock& block) {
  const double u = static_cast<double>((block_bits64(block, 0) >> 11) + 1) * 0x1p-53;
  const double turn = static_cast<double>(block_bits64(block, 1) >> 11) * 0x1p-53;
  return box_muller(u, turn);
}

// --- one element of a stream; `i` is the logical index ---

LAMINA_RANDOM_HD inline uint32_t random_bits32(const PhiloxStream& stream, uint64_t i) {
  return block_bits32(philox_block(stream, i / 4), static_cast<int>(i % 4));
}

LAMINA_RANDOM_HD inline uint64_t random_bits64(const PhiloxStream& stream, uint64_t i) {
  return block_bits64(philox_block(stream, i / 2), static_cast<int>(i % 2));
}

LAMINA_RANDOM_HD inline float uniform_f32(const PhiloxStream& stream, uint64_t i) {
  return to_uniform_f32(random_bits32(stream, i));
}

LAMINA_RANDOM_HD inline double uniform_f64(const PhiloxStream& stream, uint64_t i) {
  return to_uniform_f64(random_bits64(stream, i));
}

LAMINA_RANDOM_HD inline int64_t uniform_integer(const PhiloxStream& stream, uint64_t i, int64_t low,
                                                int64_t high) {
  return to_integer(random_bits64(stream, i), low, high);
}

LAMINA_RANDOM_HD inline float normal_f32(const PhiloxStream& stream, uint64_t i) {
  const auto pair = block_normals_f32(philox_block(stream, i / 4), static_cast<int>(i % 4 / 2));
  return i % 2 ? pair.second : pair.first;
}

LAMINA_RANDOM_HD inline double normal_f64(const PhiloxStream& stream, uint64_t i) {
  const auto pair = block_normals_f64(philox_block(stream, i / 2));
  return i % 2 ? pair.second : pair.first;
}

// --- many elements, each block computed once: put(i, value) for i in [begin, end) ---

template <class Put>
inline void for_each_bits32(const PhiloxStream& stream, uint64_t begin, uint64_t end, Put put) {
  for (uint64_t i = begin; i < end;) {
    const PhiloxBlock block = philox_block(stream, i / 4);
    for (auto which = static_cast<int>(i % 4); which < 4 && i < end; ++which, ++i) {
      put(i, block_bits32(block, which));
    }
  }
}

template <class Put>
inline void for_each_bits64(const PhiloxStream& stream, uint64_t begin, uint64_t end, Put put) {
  for (uint64_t i = begin; i < end;) {
    const PhiloxBlock block = philox_block(stream, i / 2);
    for (auto which = static_cast<int>(i % 2); which < 2 && i < end; ++which, ++i) {
      put(i, block_bits64(block, which));
    }
  }
}

template <class Put>
inline void for_each_normal_f32(const PhiloxStream& stream, uint64_t begin, uint64_t end, Put put) {
  for (uint64_t i = begin; i < end;) {
    const PhiloxBlock block = philox_block(stream, i / 4);
    for (auto pair = static_cast<int>(i % 4 / 2); pair < 2 && i < end; ++pair) {
      const NormalPair<float> normals = block_normals_f32(block, pair);
      if (i % 2 == 0) put(i++, normals.first);
      if (i < end) put(i++, normals.second);
    }
  }
}

template <class Put>
inline void for_each_normal_f64(const PhiloxStream& stream, uint64_t begin, uint64_t end, Put put) {
  for (uint64_t i = begin; i < end;) {
    const NormalPair<double> normals = block_normals_f64(philox_block(stream, i / 2));
    if (i % 2 == 0) put(i++, normals.first);
    if (i < end) put(i++, normals.second);
  }
}

// --- the generator ---

// Hands out streams that never overlap. All members may be called from any thread.
class Generator {
 public:
  struct State {
    uint64_t seed;    // what the numbers depend on
    uint64_t offset;  // blocks handed out so far
  };

  explicit Generator(uint64_t seed) : state_{seed, 0} {}

  // Starts again at the first number of `seed`.
  void manual_seed(uint64_t seed) { set_state({seed, 0}); }
  // The same for a seed that nobody can foresee, which it returns.
  uint64_t seed();
  uint64_t initial_seed() const { return state().seed; }

  State state() const;
  void set_state(State state);

  // The stream of one op with `elements` elements (each takes at most one block). An op without
  // elements leaves the generator where it is.
  PhiloxStream reserve(int64_t elements);

 private:
  friend Generator& default_generator();
  mutable std::mutex mutex_;
  State state_;
};

// The process-wide generator. Its first seed is not predictable; a forked child continues from the
// state at the fork.
Generator& default_generator();

}  // namespace lamina
