# SPDX-License-Identifier: MIT
"""No kernel reads or writes outside its arrays: see tests/guarded.py and tests/guarded_places.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from halfpixel import backends
from tests.process import run_python

if backends.why_not("cpu") is not None:
    pytest.skip(str(backends.why_not("cpu")), allow_module_level=True)
if sys.platform != "linux":
    pytest.skip("pages are guarded with Linux's mprotect", allow_module_level=True)
native = pytest.importorskip("halfpixel._native")

ROOT = Path(__file__).parents[1]
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from tests import guarded, guarded_places
with open(sys.argv[2], "wb", buffering=0) as log:
    print(eval(sys.argv[3]))
"""


def run(call: str, log: Path) -> int:
    try:
        return int(run_python(RUN, str(ROOT), str(log), call, timeout=300))
    except AssertionError as error:
        case = log.read_text().strip() if log.exists() else "before the first case"
        raise AssertionError(f"{case}: {error}") from None


@pytest.mark.parametrize("isa", native.isas())
def test_random_passes_stay_inside_their_arrays(isa: str, tmp_path: Path) -> None:
    assert run(f"guarded.small({isa!r}, log, 100)", tmp_path / "case") == 1300


@pytest.mark.parametrize("isa", native.isas())
def test_large_outputs_stay_inside_their_arrays(isa: str, tmp_path: Path) -> None:
    assert run(f"guarded.large({isa!r}, log)", tmp_path / "case") == 18


def test_plans_stay_inside_their_arrays(tmp_path: Path) -> None:
    assert run(f"guarded.plans({native.isa()!r}, log)", tmp_path / "case") == 384


@pytest.mark.parametrize("isa", native.isas())
@pytest.mark.parametrize(
    ("call", "count"),
    [("copies", 5), ("pools", 8), ("maps", 4), ("convolutions", 3), ("depthwise", 8), ("windows", 4), ("sampling", 4)],
)
def test_other_kernels_stay_inside_their_arrays(isa: str, call: str, count: int, tmp_path: Path) -> None:
    assert run(f"guarded_places.{call}({isa!r}, log, 60)", tmp_path / "case") == 60 * count


READS_TOO_FAR = """
from tests.guarded import region
import ctypes
memory = region(100)
ctypes.string_at(memory.ctypes.data + len(memory) {}, 1)
"""


@pytest.mark.parametrize("beyond", ["", "- len(memory) - 1"])
def test_the_guards_guard(beyond: str) -> None:
    with pytest.raises(AssertionError, match=r"exit status -11|AddressSanitizer: SEGV"):
        run_python(f"import sys; sys.path.insert(0, {str(ROOT)!r})" + READS_TOO_FAR.format(beyond))
