# SPDX-License-Identifier: MIT
# `make demo` needs Python >= 3.10 and a C++20 compiler; `make test` makes its own environment in .venv. Both install torch, for networks:
# TORCH is what pip is given for it.
PYTHON ?= python3
TORCH ?= torch==2.13.0
PYTEST_ARGS ?= -n 2
BENCH_ARGS ?=
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo picture test lint bench sanitize aarch64 clean

SOURCES := $(shell find src csrc CMakeLists.txt pyproject.toml -type f -not -name '*.so' -not -path '*/__pycache__/*' 2>/dev/null)
# A photograph that scikit-image ships.
PHOTO = "$$(.venv-demo/bin/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data/astronaut.png")')"
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -q -c constraints.txt

demo: .venv-demo/ready
	@mkdir -p demo
	.venv-demo/bin/halfpixel compare $(PHOTO) --scale 4 --model espcn_x4 -o demo/compare.png --overwrite
	.venv-demo/bin/halfpixel upscale $(PHOTO) --scale 4 -o demo/astronaut_x4.png --overwrite
	.venv-demo/bin/halfpixel upscale $(PHOTO) --model espcn_x4 -o demo/astronaut_espcn_x4.png --overwrite
	@printf '\nThe pictures:\n'; ls -1 $(CURDIR)/demo/*.png

# The picture of the README; its milliseconds are this machine's, so make it on a quiet one.
picture: .venv-demo/ready
	.venv-demo/bin/halfpixel compare $(PHOTO) --scale 4 -o docs/compare.webp --overwrite \
	  $(addprefix --method ,nearest linear mitchell cubic lanczos3 mks2013 spline3 lanczos5)

.venv-demo/ready: $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install -q --upgrade pip
	$(if $(TORCH),.venv-demo/bin/python -m pip install -q $(TORCH))
	.venv-demo/bin/python -m pip install -q ".[cli,models]" scikit-image
	touch $@

test: .venv/ready
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(PIP) ".[bench]"
	$(BIN)/python -m benchmarks $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.render

# torch first and pinned, so that nothing asks for another build of it.
.venv/tools: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(if $(TORCH),$(PIP) $(TORCH))
	$(PIP) "scikit-build-core>=0.11" "nanobind>=2.4" ninja $(if $(shell command -v cmake),,cmake) --group dev
	touch $@

.venv/ready: .venv/tools $(SOURCES)
	$(PIP) --no-build-isolation ".[train]"
	touch $@

# One instruction set: instrumented, each takes minutes to compile.
SANITIZE_ISAS ?= v3
# The suite on an instrumented extension, then the kernels without Python: copies and pooling, and all under ThreadSanitizer.
sanitize: .venv/ready
	rm -rf build/asan
	$(PIP) --no-build-isolation --no-deps --target build/asan . \
	  -C build-dir=build/asan-objects -C cmake.build-type=Debug -C install.strip=false \
	  -C cmake.define.HALFPIXEL_SANITIZE=address,undefined -C cmake.define.HALFPIXEL_ISAS="$(SANITIZE_ISAS)"
	ldd build/asan/halfpixel/_native*.so | grep -q libasan
	PYTHONPATH=build/asan UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  $(BIN)/python -m pytest -p no:cacheprovider $(SANITIZE_ARGS)

	cmake -S csrc/tests -B build/tests-asan -DCMAKE_BUILD_TYPE=Debug -DHALFPIXEL_SANITIZE=address,undefined -DHALFPIXEL_ISAS=v3
	cmake --build build/tests-asan -j 2 --target convolve_test depthwise_test pool_test rearrange_test sample_test window_test
	for program in convolve_test depthwise_test pool_test rearrange_test sample_test window_test; do \
	  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 build/tests-asan/$$program || exit 1; done
	cmake -S csrc/tests -B build/tsan -DCMAKE_BUILD_TYPE=Debug -DHALFPIXEL_SANITIZE=thread -DHALFPIXEL_ISAS=v3
	cmake --build build/tsan -j 2
	for program in parallel_test solve_test "pool_test 60" "rearrange_test 1000" "reduce_test 30" "sample_test 300" "band_test 300" "window_test 60" "convolve_test 60" "depthwise_test 60"; do \
	  TSAN_OPTIONS=halt_on_error=1 build/tsan/$$program; done

# Another processor, emulated: Debian's g++-aarch64-linux-gnu and qemu-user-static.
aarch64:
	@command -v aarch64-linux-gnu-g++ qemu-aarch64-static >/dev/null || \
	  { echo "needs: apt-get install g++-aarch64-linux-gnu qemu-user-static"; exit 1; }
	cmake -S csrc/tests -B build/aarch64 -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
	  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
	  -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64-static;-L;/usr/aarch64-linux-gnu"
	cmake --build build/aarch64 -j 2
	ctest --test-dir build/aarch64 --output-on-failure

clean:
	rm -rf build dist demo .venv .venv-demo
