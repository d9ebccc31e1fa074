# SPDX-License-Identifier: MIT
"""Labels out of logits: `interpolate_argmax` beside torch's `interpolate` and then `argmax`, time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

import halfpixel
from halfpixel.testing.cases import METHODS, Case

from . import memory
from .check import WrongResult
from .measure import timed
from .record import Fused
from .rows import Effort, set_threads

CASES = tuple(
    Case(f"argmax-linear-x8-{layout}-float32-1x150x64x64", (1, 150, 64, 64), layout, "float32", (2, 3), (512, 512),
         *METHODS["linear"])
    for layout in ("planar", "channels_last")
)  # fmt: skip
# Where torch rounds two nearly equal logits another way, it may name the other class.
_AGREEING = 0.999


def run(case: Case, effort: Effort) -> Fused | None:
    """Check and measure `case`; None without torch.

    Raises:
        WrongResult: our labels are not the argmax of our own resize, or not torch's.
    """
    if not find_spec("torch"):
        return None
    set_threads(effort.threads)
    x = case.array()
    ours, theirs = _ours(case, x), _theirs(case, x)
    labels = ours()
    if not np.array_equal(labels, halfpixel.resize(x, case.size, **case.options).argmax(1)):
        raise WrongResult(f"{case.id}: halfpixel's labels are not those of its resize")
    if (labels == theirs().numpy()).mean() < _AGREEING:
        raise WrongResult(f"{case.id}: torch names other classes")
    timings = effort.interleaved({"ours": timed(ours), "torch": timed(theirs)})
    extra = [_extra(case, who, effort.threads) for who in ("ours", "torch")]
    return Fused(case.id, timings["ours"], timings["torch"], *extra)


def _ours(case: Case, x: np.ndarray) -> Callable[[], Any]:
    return lambda: halfpixel.interpolate_argmax(x, case.size, dim=1, **case.options)


def _theirs(case: Case, x: np.ndarray) -> Callable[[], Any]:
    import torch

    tensor = torch.from_numpy(x)
    return lambda: torch.nn.functional.interpolate(tensor, size=case.size, mode="bilinear").argmax(1)


def _extra(case: Case, who: str, threads: int) -> int:
    """Bytes at the peak beyond the input and the labels, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fused"]
    message = json.dumps({"case": asdict(case), "who": who, "threads": threads})
    done = subprocess.run(command, input=message, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case.id}: {done.stderr.strip()}")
    return int(done.stdout)


def _probe(case: Case, who: str, threads: int) -> int:
    make = {"ours": _ours, "torch": _theirs}[who]
    set_threads(threads)
    small = replace(case, shape=(1, 3, 16, 16), size=(128, 128))
    make(small, small.array())()  # loads the kernels, starts the threads
    call = make(case, case.array())
    return memory.peak(call, lambda labels: labels.nbytes)


if __name__ == "__main__":
    told = json.load(sys.stdin)
    print(_probe(Case.from_json(told["case"]), told["who"], told["threads"]))
