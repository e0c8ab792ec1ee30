"""What the machine can do right now: multiply-adds and memory traffic, measured by a small program.

The program is compiled for the machine it runs on, where a C++ compiler is there. Without one the
peaks are the best that NumPy reaches with a large product and an in-place addition, which is less
than the hardware's; `Peaks.source` says which of the two it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Ten accumulators hide the latency of two multiply-add units of four cycles and leave AVX2's
# sixteen registers room for the factors. The triad counts the three words that it names (STREAM's
# convention), not the read that a cache does before it writes.
_PROGRAM = r"""
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float V __attribute__((vector_size(kBytes)));
constexpr long kLanes = kBytes / 4, kChains = 10, kSteps = 20000000;
template <class F> double seconds(int threads, F work) {
  auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i) team.emplace_back(work, i);
  for (auto& t : team) t.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
volatile float sink;
int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  double fma = 1e9, triad = 1e9;
  for (int repeat = 0; repeat < 3; ++repeat) {
    fma = std::min(fma, seconds(threads, [](int i) {
      V sum[kChains], x, y;
      for (int l = 0; l < kLanes; ++l) x[l] = 0.5f + i * 1e-9f, y[l] = 0.25f + l;
      for (auto& s : sum) s = y;
      for (long n = 0; n < kSteps; ++n)
        for (auto& s : sum) s = s * x + y;
      for (auto& s : sum) y += s;
      sink = y[0];
    }));
  }
  const long n = 16L << 20;
  std::vector<float> a(n, 1.0f), b(n, 2.0f), c(n, 3.0f);
  for (int repeat = 0; repeat < 9; ++repeat) {
    triad = std::min(triad, seconds(threads, [&](int i) {
      float *A = a.data(), *B = b.data(), *C = c.data();
      for (long k = n / threads * i; k < n / threads * (i + 1); ++k) A[k] = B[k] + 3.0f * C[k];
    }));
  }
  std::printf("%g %g\n", 2e-9 * kLanes * kChains * kSteps * threads / fma, 12e-9 * n / triad);
}
"""


@dataclass(frozen=True)
class Peaks:
    """GFLOP/s of float32 multiply-adds, GB/s of a triad over 3 x 64 MB, and how they were found."""

    gflops: float
    gbytes: float
    source: str


class Meter:
    """Measures the peaks, as often as asked: a shared machine drifts.

    Parameters
    ----------
    threads : int
        That run at once.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="peaks-")
        self._program = self._compile()

    def measure(self) -> Peaks:
        """The peaks now; takes about a second."""
        if self._program is None:
            return self._with_numpy()
        command = [str(self._program), str(self.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        gflops, gbytes = map(float, done.stdout.split())
        return Peaks(gflops, gbytes, "compiled loops")

    def close(self) -> None:
        self._folder.cleanup()

    def _compile(self) -> Path | None:
        compiler = shutil.which(os.environ.get("CXX", "c++"))
        if compiler is None:
            return None
        source, program = (Path(self._folder.name) / name for name in ("peaks.cpp", "peaks"))
        source.write_text(_PROGRAM, encoding="utf-8")
        native = ["-march=native"] if os.uname().machine == "x86_64" else ["-mcpu=native"]
        options = ["-std=c++20", "-O3", "-ffp-contract=fast", *native, "-pthread"]
        command = [compiler, *options, str(source), "-o", str(program)]
        return program if subprocess.run(command, capture_output=True).returncode == 0 else None

    def _with_numpy(self) -> Peaks:
        side = 2048
        a = np.ones((side, side), np.float32)
        product = np.empty_like(a)
        x, y = np.ones(16 << 20, np.float32), np.ones(16 << 20, np.float32)
        flops = 2e-9 * side**3 / _best(lambda: np.matmul(a, a, out=product))
        return Peaks(
            flops, 12e-9 * x.size / _best(lambda: np.add(x, y, out=x)), "NumPy: lower bounds"
        )


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
