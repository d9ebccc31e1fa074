# SPDX-License-Identifier: MIT
"""Random numbers as a function of (seed, sample, which): no generator has a state that could be lost or shared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]

_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _mixed(x: Bits) -> Bits:
    """The finaliser of splitmix64: each bit of the result depends on every bit of x."""
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def draws(seed: int, samples: npt.ArrayLike, count: int) -> Bits:
    """64 random bits for each of `count` decisions about each sample, (samples, count).

    **Convention:** the result depends on the numbers given and on nothing else: not on the order of calls, the process,
    or the version of a library.
    Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
    Example:
        >>> bool((draws(0, [7, 8], 2)[1] == draws(0, [8], 2)[0]).all())
        True
    """
    with np.errstate(over="ignore"):
        key = _mixed(np.asarray([seed % (1 << 64)], np.uint64) + _STEP)
        rows = _mixed(np.asarray(samples).astype(np.uint64) * _STEP + key)
        return _mixed(rows[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP)


def below(bits: Bits, n: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Integers in 0 ... n - 1 from random bits; n under 2**32.

    Example:
        >>> int(below(draws(0, range(100), 1), 3).max())
        2
    """
    return (((bits >> np.uint64(32)) * np.asarray(n, np.uint64)) >> np.uint64(32)).astype(np.int64)


def order(seed: int, turn: int, n: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 ... n - 1, another one in each turn.

    Example:
        >>> sorted(order(0, 5, 4).tolist())
        [0, 1, 2, 3]
    """
    (key,) = draws(seed, [turn], 1)[:, 0]
    return np.argsort(draws(int(key), np.arange(n), 1)[:, 0], kind="stable")
