# SPDX-License-Identifier: MIT
"""One row of the case table: checked, then ours, the peers and the floor timed in one loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import halfpixel
from halfpixel.testing.cases import Case, bytes_moved

from . import check, floor
from .base import BaseWorker
from .measure import Sample, interleaved, timed
from .peers import PEERS
from .record import Row, Timing


@dataclass(frozen=True)
class Effort:
    """How long to measure: threads on every side, seconds and rounds per row."""

    threads: int
    budget: float = 4.0
    least: int = 7
    most: int = 41

    def interleaved(self, samples: dict[str, Sample]) -> dict[str, Timing]:
        """The samples' timings with this effort."""
        return interleaved(samples, self.budget, self.least, self.most)


def run(case: Case, effort: Effort, base: BaseWorker | None = None) -> Row:
    """Check and measure `case`.

    Raises:
        WrongResult: our own result is wrong; a peer's wrong result only leaves the peer out.
    """
    x = case.array()
    set_threads(effort.threads)
    plan = halfpixel.plan(case.shape, case.size, **case.options)
    out = plan(x)
    error = check.ours(case, plan(x, out=out), x)
    samples = {
        "ours fresh": timed(lambda: halfpixel.resize(x, case.size, **case.options)),
        "ours out": timed(lambda: plan(x, out=out)),
        "ours out_one_thread": _on_one_thread(timed(lambda: plan(x, out=out)), effort.threads),
    }
    if base is not None:
        samples["ours base"] = base.sample(case, effort.threads)
    peer_error: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in case.peers:
        try:
            call, peer_error[name] = _checked(case, name, x, out)
        except (check.WrongResult, NotAvailable) as why:
            left_out[name] = str(why)
        else:
            samples[f"peers {name}"] = timed(call)
    bytes_in, bytes_out = bytes_moved(case)
    samples |= {f"floor {what}": s for what, s in floor.samples(bytes_in, bytes_out, effort.threads).items()}
    timings = effort.interleaved(samples)

    def group(head: str) -> dict[str, Timing]:
        return {name.removeprefix(head + " "): t for name, t in timings.items() if name.startswith(head + " ")}

    return Row(case.id, bytes_in, bytes_out, error, group("ours"), group("floor"), group("peers"), peer_error, left_out)


class NotAvailable(Exception):
    """A peer cannot run a case; the message is the peer's own sentence."""


def _checked(case: Case, name: str, x: np.ndarray, mine: np.ndarray) -> tuple[Callable[[], Any], float]:
    peer = PEERS[name]
    if why := peer.why_not(case):
        raise NotAvailable(why)
    call = peer.prepare(case, x)
    result = peer.result(case, call())
    check.preset(case, name, result, mine)
    return call, check.peer(case, name, peer.edge, result, x)


def set_threads(count: int) -> None:
    """The same number of threads for ours and for every installed peer."""
    halfpixel.set_num_threads(count)
    for peer in PEERS.values():
        if peer.installed:
            peer.set_threads(count)


def _on_one_thread(sample: Sample, threads: int) -> Sample:
    def run_alone() -> float:
        halfpixel.set_num_threads(1)
        try:
            return sample()
        finally:
            halfpixel.set_num_threads(threads)

    return run_alone
