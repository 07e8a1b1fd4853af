#!/usr/bin/env bash
# pycuda into a folder, for the tests, on a machine without CUDA: NVIDIA's headers come from PyPI and
# a hollow libcuda is linked against. On a Jetson `pip install pycuda` does it with the real ones.
set -euo pipefail
into=$1
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# 12.6 is JetPack 6's.
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target headers \
	nvidia-cuda-runtime-cu12==12.6.77 nvidia-cuda-profiler-api-cu12==12.6.77
CPATH=$(printf '%s:' "$work"/headers/nvidia/*/include)
export CPATH

# Some systems forget a library that gives no symbol; pycuda must look for libcuda.so.1 when loaded.
export LDFLAGS=-Wl,--no-as-needed CFLAGS='-O0 -w' CXXFLAGS='-O0 -w'
mkdir hollow
: | gcc -shared -x c - -Wl,-soname,libcuda.so.1 -o hollow/libcuda.so

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary pycuda pycuda==2026.1
tar xf pycuda-*.tar.gz
cat >pycuda-2026.1/siteconf.py <<S
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = ["$work/hollow"]
S
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$into" \
	./pycuda-2026.1 pytools platformdirs siphash24 mako
