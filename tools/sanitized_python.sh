#!/usr/bin/env bash
# Runs a Python program on an extension under AddressSanitizer and UBSan:
#
#   tools/sanitized_python.sh tests/python/fuzz_ops.py
#   tools/sanitized_python.sh -m pytest tests/python/test_indexing.py
#
# Needs pybind11, cmake and ninja in the current environment, beside what the program needs. The
# objects are those of the preset asan; only the bindings are compiled anew after its native tests.
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/asan
cmake --preset asan -DLAMINA_PYTHON=ON "-Dpybind11_DIR=$(python -m pybind11 --cmakedir)" >/dev/null
cmake --build --preset asan --target _core

rm -rf "$build/python"
mkdir -p "$build/python"
cp -r python/lamina "$build/python/lamina"
cp "$build"/_core.*.so "$build/python/lamina/"

# -S: an editable installation would put itself before PYTHONPATH.
packages=$(python -c 'import sys; print(":".join(p for p in sys.path if p.endswith("-packages")))')
compiler=${CXX:-g++}
preload="$($compiler -print-file-name=libasan.so) $($compiler -print-file-name=libstdc++.so)"
# A malloc of the sanitizer's own for Python's objects too; the interpreter leaks some at its end.
exec env "LD_PRELOAD=$preload" PYTHONMALLOC=malloc "PYTHONPATH=$PWD/$build/python:$packages" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1024:abort_on_error=0 \
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 python -S "$@"
