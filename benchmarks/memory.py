# SPDX-License-Identifier: MIT
"""Peak memory of one resize beyond its input and its output, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfpixel.testing.cases import Case, bytes_moved

from .record import Memory


def run(case: Case) -> Memory:
    """Measure `case` in a fresh process.

    Raises:
        RuntimeError: the process failed; the message is what it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.memory"]
    done = subprocess.run(command, input=json.dumps(asdict(case)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.id}: {done.stderr.strip()}")
    return Memory(case.id, *bytes_moved(case), int(done.stdout))


def _status(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _probe(case: Case) -> int:
    import halfpixel

    small = case.small()
    halfpixel.resize(small.array(), small.size, **small.options)  # loads the kernels, starts the threads
    x = case.array()
    return peak(lambda: halfpixel.resize(x, case.size, **case.options), lambda result: result.nbytes)


def peak(call: Callable[[], Any], size: Callable[[Any], int]) -> int:
    """Bytes at the peak of `call` beyond what was there before and its result, whose bytes `size` tells."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    result = call()
    return _status("VmHWM") - before - size(result)


if __name__ == "__main__":
    print(_probe(Case.from_json(json.load(sys.stdin))))
