# SPDX-License-Identifier: MIT
"""Label maps resized by votes: the heaviest label of a window wins, of equal ones the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel._votes import Votes

from . import choose, cpu
from ._dtypes import VIEWS, code_of

Array = NDArray[Any]
Ints = NDArray[np.int64]

_PART = 1 << 19  # labels that are looked at together


def run(x: Array, out: Array, axes: Sequence[int], tables: Sequence[Votes], ignored: int | None) -> None:
    """Resize the labels x into `out`.

    Arguments: x, out: native, aligned, integers or bools of one dtype. axes: negative. tables: one for each axis.
    ignored: the label that has no weight.
    """
    if choose(None, x.dtype) != cpu.name:
        return reference(x, out, axes, tables, ignored)
    code = code_of(x.dtype)
    view = VIEWS.get(code)
    if view is not None:
        x, out = x.view(view), out.view(view)
    if ignored is not None and ignored >= 1 << 63:
        ignored -= 1 << 64
    rows = [(a, x.shape[a], t.first, t.sample, t.weight) for a, t in zip(axes, tables, strict=True)]
    cpu.native().labels(x, out, code, rows, ignored)
    return None


def reference(x: Array, out: Array, axes: Sequence[int], tables: Sequence[Votes], ignored: int | None) -> None:
    """The same in NumPy: the labels of every window sorted, the weights of equal ones added."""
    last = tuple(range(-len(axes), 0))
    a, y = np.moveaxis(x, axes, last), np.moveaxis(out, axes, last)
    windows = [_padded(t) for t in tables]
    taps = int(np.prod([index.shape[1] for index, _ in windows]))
    lines = y.shape[: y.ndim - 1]
    step = max(1, _PART // taps)
    for line in np.ndindex(*lines):
        batch, at = line[: len(line) - len(axes) + 1], line[len(line) - len(axes) + 1 :]
        for o in range(0, y.shape[-1], step):
            chosen = [(i[o_k : o_k + 1], w[o_k : o_k + 1]) for (i, w), o_k in zip(windows[:-1], at, strict=True)]
            chosen.append((windows[-1][0][o : o + step], windows[-1][1][o : o + step]))
            y[(*line, slice(o, o + step))] = _elected(a[batch], chosen, ignored)


def _padded(table: Votes) -> tuple[Ints, Ints]:
    """(n_out, taps) indices and weights; what is filled up has no weight."""
    count = np.diff(table.first)
    k = np.arange(int(count.max()))
    at = table.first[:-1, None] + np.minimum(k, count[:, None] - 1)
    return table.sample[at], np.where(k < count[:, None], table.weight[at], 0)


def _elected(a: Array, windows: list[tuple[Ints, Ints]], ignored: int | None) -> Array:
    """The labels of outputs along the last axis. `windows`: one row for each other axis, one for each output here."""
    n = len(windows[-1][0])
    place: list[Ints] = []
    weight: Ints = np.ones((n,) + (1,) * len(windows), np.int64)
    for k, (index, w) in enumerate(windows):
        shape = [-1] + [1] * len(windows)
        shape[k + 1] = index.shape[1]
        place.append(index.reshape(shape))
        weight = weight * w.reshape(shape)
    labels = np.broadcast_to(a[tuple(place)], weight.shape).reshape(n, -1)
    weight = weight.reshape(n, -1)
    if ignored is not None:
        weight = np.where(labels == ignored, 0, weight)
    order = np.argsort(labels, axis=1, kind="stable")
    labels, weight = np.take_along_axis(labels, order, 1), np.take_along_axis(weight, order, 1)
    begins = np.ones(labels.shape, bool)
    begins[:, 1:] = labels[:, 1:] != labels[:, :-1]
    begin = np.flatnonzero(begins)
    total = np.add.reduceat(weight.ravel(), begin)
    owner = begin // labels.shape[1]
    heaviest = np.maximum.reduceat(total, np.searchsorted(owner, np.arange(n)))
    winners = np.flatnonzero(total == heaviest[owner])
    first = winners[np.searchsorted(owner[winners], np.arange(n))]
    found = labels.ravel()[begin[first]]
    return found if ignored is None else np.where(heaviest > 0, found, labels.dtype.type(ignored))
