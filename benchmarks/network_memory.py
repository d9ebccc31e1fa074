# SPDX-License-Identifier: MIT
"""Memory at the peak of `enlarge`, ESPCN x2 on RGB of 8 bits, beyond input and output: flat as pictures grow."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from math import isqrt
from time import perf_counter
from typing import Any

import numpy as np

from . import memory
from .check import WrongResult
from .record import Measure
from .rows import Effort, set_threads

ID, TARGET = "memory-enlarge-espcn-x2", 1.25
MEGAPIXELS = (1.0, 10.0, 100.0)  # of the output
_QUICK = (0.01, 0.02, 0.04)
_PROCESSES = 3  # of each size: what an allocator keeps of freed memory differs from run to run
MIB = 2**20


def run(effort: Effort, quick: bool = False) -> Measure:
    """Measure the largest picture's peak beside that of one with a tenth of its pixels, each in fresh processes.

    Raises:
        WrongResult: a process failed; the message is what it wrote.
    """
    sizes = _QUICK if quick else MEGAPIXELS
    found = {size: [probe(size, effort.threads) for _ in range(1 if quick else _PROCESSES)] for size in sizes}
    peaks = {size: statistics.median(one["extra"] for one in probes) / MIB for size, probes in found.items()}
    least, reference, ours = (round(max(peaks[size], 0.01), 3) for size in sizes)  # pages of the system come and go
    beside = {f"{sizes[0]:g} megapixels": least}
    for size, probes in found.items():
        beside[f"{size:g} megapixels, most"] = round(max(one["extra"] for one in probes) / MIB, 3)
        beside[f"{size:g} megapixels, s"] = round(statistics.median(one["seconds"] for one in probes), 3)
    ratio = ours / reference
    return Measure(ID, "memory", "MiB", ours, reference, ratio, TARGET, ratio <= TARGET, beside)


def probe(megapixels: float, threads: int) -> dict[str, Any]:
    """Bytes at the peak beyond input and output, and seconds, in a process of its own.

    Raises:
        WrongResult: the process failed.
    """
    command, told = [sys.executable, "-m", "benchmarks.network_memory"], {"megapixels": megapixels, "threads": threads}
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongResult(f"{megapixels:g} megapixels: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _probe(megapixels: float, threads: int) -> dict[str, float]:
    import torch

    from halfpixel.models import create_model, enlarge

    set_threads(threads)
    torch.manual_seed(0)
    model = create_model("espcn", scale=2).eval()
    side = isqrt(int(megapixels * 1e6 / 4))
    x = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    enlarge(model, x[:24, :24])  # loads the kernels, starts the threads
    start = perf_counter()
    extra = memory.peak(lambda: enlarge(model, x), lambda result: result.nbytes)
    return {"extra": extra, "seconds": perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(_probe(**json.load(sys.stdin))))
