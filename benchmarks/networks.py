# SPDX-License-Identifier: MIT
"""What the networks promise: training that waits for no data, tiles that cost their halo, flat memory, better pictures.

Each row is ours beside a reference, with the target that it is meant to reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from . import network_memory, network_quality, network_tiles, network_training
from .record import Measure
from .rows import Effort


@dataclass(frozen=True)
class Job:
    """A row to measure, when its turn comes.

    `make` raises WrongResult where what is to be measured is not what it should be.
    """

    id: str
    make: Callable[[Effort], Measure]


def jobs(quick: bool = False) -> Iterator[Job]:
    """All rows of the section; `quick` ones at sizes for tests. What is not installed has no rows."""
    photos = all(find_spec(name) for name in ("skimage", "sklearn"))
    if photos and find_spec("lightning"):
        yield Job(network_training.ID, partial(network_training.run, quick=quick))
    for case in network_tiles.cases(quick):
        yield Job(case.id, partial(network_tiles.run, case))
    yield Job(network_memory.ID, partial(network_memory.run, quick=quick))
    for name in network_quality.weights() if photos else ():
        yield Job(f"quality-{name}", partial(network_quality.run, name, quick=quick))
