# SPDX-License-Identifier: MIT
"""Training steps of ESPCN x2 that load their patches from photos, beside the same steps on one batch at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import torch

from .check import WrongResult
from .measure import Sample
from .record import Measure
from .rows import Effort, set_threads

ID, TARGET = "training-espcn-x2-16x32x32", 1.1
BATCH, PATCH = 16, 32
_STEPS = 20  # that one sample takes: the loader prepares as many batches meanwhile as it hands out
_REST = 0.05  # seconds in which the loader comes to rest, so that it takes nothing from the steps without it
Step = Callable[[Any], float]


def run(effort: Effort, quick: bool = False) -> Measure:
    """Measure a step with its data and one without.

    Raises:
        WrongResult: a loss is not finite, or the loader gives other batches than the one at hand.
    """
    set_threads(effort.threads)
    torch.manual_seed(0)
    steps = 2 if quick else _STEPS
    with TemporaryDirectory() as folder, _loader(Path(folder)) as batches:
        step, ready = _step(), next(batches)
        if _shapes(next(batches)) != {"low": [BATCH, PATCH, PATCH, 3], "high": [BATCH, 2 * PATCH, 2 * PATCH, 3]}:
            raise WrongResult(f"the loader's batches are {_shapes(ready)}")
        samples = {
            "ours": _sample(lambda: step(next(batches)), steps),
            "reference": _sample(lambda: step(ready), steps),
        }
        found = replace(effort, budget=2 * effort.budget).interleaved(samples)
        if not isfinite(step(ready)):
            raise WrongResult("the loss is not finite")
    ours, reference = found["ours"].median_ms, found["reference"].median_ms
    ratio, ranges = ours / reference, {f"{name} iqr": t.iqr_ms for name, t in found.items()}
    return Measure(ID, "training", "ms", ours, reference, ratio, TARGET, ratio <= TARGET, ranges)


@contextmanager
def _loader(folder: Path) -> Iterator[Iterator[Any]]:
    """The batches of the photos that networks are trained on, without an end."""
    from halfpixel.train import SuperResolutionData
    from halfpixel.train.photos import copy_photos

    root = copy_photos(folder)
    data = SuperResolutionData(
        root / "train", root / "validation", scale=2, patch=PATCH, batch_size=BATCH, epoch_steps=1 << 40
    )
    batches: Any = iter(data.train_dataloader())
    try:
        yield batches
    finally:
        batches.close()  # ends its thread


def _step() -> Step:
    """Loss, gradients and Adam, as a Trainer without anything around them."""
    from halfpixel.train import SuperResolutionTask

    task = SuperResolutionTask("espcn", scale=2)
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-3)

    def step(batch: Any) -> float:
        loss, _ = task.step(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _sample(call: Callable[[], object], steps: int) -> Sample:
    def sample() -> float:
        sleep(_REST)
        call()
        start = perf_counter()
        for _ in range(steps):
            call()
        return (perf_counter() - start) / steps

    return sample


def _shapes(batch: Any) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in batch.items()}
