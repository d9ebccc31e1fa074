# SPDX-License-Identifier: MIT
"""What every row through torch tensors is meant to reach, and the sentences that stand for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .record import Pair
from .targets import LEVEL, geometric_mean

NEAR = 1.5  # times the floor, where nothing more is asked of a row that moves bytes
_OVER_CLONE = 1.3
_LATENCY = {"latency-no_grad": 1.5, "latency-grad": 2.5}  # times torch's
_BACKWARD_MEAN = 8.0
_OF_THE_RATE = 0.8
_BESIDE = {"carafe": "convolutions", "dysample": "bilinear and convolution"}  # of upsamplers


def speedup(pair: Pair, mine: str = "functional", theirs: str = "torch") -> float:
    """How many times our call goes into torch's."""
    return pair.torch[theirs].median_ms / pair.ours[mine].median_ms


def write_ms(pair: Pair) -> float:
    """Writing a new result in the cheaper of two memories: huge pages, or what torch's allocator hands out."""
    return min(pair.floor[name].median_ms for name in ("write_fresh", "write_tensor"))


def floor_ms(pair: Pair) -> float:
    """Reading what is read and writing what is new, once."""
    return pair.floor["read"].median_ms + write_ms(pair)


def best_rate(pairs: Sequence[Pair]) -> float | None:
    """The best convolution of the run, in floating-point operations per millisecond; None where none was measured."""
    found = [pair.flops / t.median_ms for pair in pairs if pair.group == "rate" for t in pair.torch.values()]
    return max(found, default=None)


def pair_shortfalls(pair: Pair, rate: float | None = None) -> list[str]:
    """One sentence for every target that the row misses; `rate` is `best_rate` of the same run."""
    if pair.group == "conv_transpose":
        return _transposed(pair, rate)
    return _RULES[pair.group](pair)


def _moving(pair: Pair, wanted: float) -> list[str]:
    """So many times torch, or near the floor."""
    missed, bound = [], floor_ms(pair)
    for name, t in pair.ours.items():
        times, near = speedup(pair, name), t.median_ms / bound
        if times < wanted and near > NEAR:
            missed.append(
                f"{name}: {times:.1f}x torch, {near:.1f}x the floor (wanted {wanted:g}x torch or {NEAR:g}x the floor)"
            )
    return missed


def _twice(pair: Pair) -> list[str]:
    over = {name: t.median_ms / pair.floor["forward"].median_ms for name, t in pair.ours.items()}
    return [f"{name}: {x:.2f} of the forward's time (wanted 1)" for name, x in over.items() if x > LEVEL]


def _level(pair: Pair) -> list[str]:
    slow = [name for name in pair.ours if speedup(pair, name) < 1 / LEVEL]
    return [f"{name}: torch takes {speedup(pair, name):.2f} of our time" for name in slow]


def _shuffle(pair: Pair) -> list[str]:
    over = {name: t.median_ms / pair.floor["clone"].median_ms for name, t in pair.ours.items()}
    return [f"{name}: {x:.2f}x a clone (wanted {_OVER_CLONE:g}x)" for name, x in over.items() if x > _OVER_CLONE]


def _pool(pair: Pair) -> list[str]:
    return _moving(pair, 5 if "unpool" in pair.id else 3)


def _window(pair: Pair) -> list[str]:
    return _moving(pair, 50 if pair.id.startswith("reassemble") and pair.id.endswith("-forward") else 20)


def _latency(pair: Pair) -> list[str]:
    wanted, times = _LATENCY.get(pair.id), 1 / speedup(pair)
    return [f"{times:.2f}x torch's time (wanted {wanted:g}x)"] if wanted and times > wanted else []


def _samples(pair: Pair, wanted: float) -> list[str]:
    slow = {name: speedup(pair, name) for name in pair.ours if speedup(pair, name) < wanted / LEVEL}
    return [f"{name}: {x:.2f}x torch (wanted {wanted:g}x)" for name, x in slow.items()]


def _dysample(pair: Pair) -> list[str]:
    over = 1 / speedup(pair, theirs="bilinear and convolution")
    return [f"{over:.2f} of bilinear and the convolution (wanted 1.5)"] if over > 1.5 else []


def _upsampler(pair: Pair) -> list[str]:
    """Of whole modules: the forward pass of three has targets of its own; all others are not slower than torch's."""
    name, forward = pair.id.partition("-")[0], pair.id.endswith("-forward")
    ours = pair.ours["functional"].median_ms
    missed = []
    if forward and name in _BESIDE:
        beside = _BESIDE[name]
        over = ours / pair.floor[beside].median_ms
        missed += [f"{over:.2f} of the {beside} alone (wanted {NEAR:g})"] if over > NEAR else []
    wanted = 1.8 if forward and name == "resize_conv" else 1 / LEVEL
    if "torch" in pair.torch and (times := speedup(pair)) < wanted:
        missed.append(f"{times:.2f}x torch (wanted {max(wanted, 1):g}x)")
    return missed


_RULES: dict[str, Callable[[Pair], list[str]]] = {
    "forward": lambda pair: _moving(pair, 3),
    "backward": lambda pair: _moving(pair, 3),
    "double_backward": _twice,
    "model": _level,
    "rate": lambda pair: [],
    "shuffle": _shuffle,
    "pool": _pool,
    "window": _window,
    "sample_forward": lambda pair: _samples(pair, 1),
    "sample_backward": lambda pair: _samples(pair, 2),
    "dysample": _dysample,
    "latency": _latency,
    "upsampler": _upsampler,
}


def _transposed(pair: Pair, rate: float | None) -> list[str]:
    ours = {name: t.median_ms for name, t in pair.ours.items()}
    theirs = {name: t.median_ms for name, t in pair.torch.items()}
    missed = [
        f"{layout}: torch takes {theirs[layout] / ms:.2f} of our time"
        for layout, ms in ours.items()
        if ms > LEVEL * theirs[layout]
    ]
    times = 15 if "-depthwise" in pair.id else 4 if pair.id.startswith("conv_transpose3d") else None
    if times:
        slow = {name: theirs[name] / ms for name, ms in ours.items() if theirs[name] < times * ms}
        return missed + [f"{layout}: {x:.1f}x torch (wanted {times}x)" for layout, x in slow.items()]
    if any(f"-{kind}-" in pair.id for kind in ("2s2", "3s2", "4s2")):
        if ours["contiguous"] > LEVEL * theirs["channels_last"]:
            part = theirs["channels_last"] / ours["contiguous"]
            missed.append(f"contiguous: torch's channels-last takes {part:.2f} of our time")
        return missed
    best, slowest = min(theirs.values()), max(ours.values())
    reachable = pair.flops / (_OF_THE_RATE * rate) + write_ms(pair) if rate else 0.0
    if slowest > max(best / 2, reachable):
        rates = f", {pair.flops / slowest / rate:.0%} of the best convolution's rate" if rate else ""
        missed.append(f"{best / slowest:.1f}x torch's best layout{rates} (wanted 2x, or 80% and the output's floor)")
    return missed


def tensor_summary(pairs: Sequence[Pair]) -> list[str]:
    """The figures that stand for all rows through tensors, each as one sentence."""
    rate, lines = best_rate(pairs), []
    for group, wanted in (("forward", None), ("backward", _BACKWARD_MEAN)):
        found = [pair for pair in pairs if pair.group == group]
        if not found:
            continue
        means = {name: geometric_mean(speedup(pair, name) for pair in found) for name in found[0].ours}
        low = min(speedup(pair, name) for pair in found for name in pair.ours)
        reach = sum(not pair_shortfalls(pair) for pair in found)
        below = " (below target)" if wanted and min(means.values()) < wanted else ""
        lines.append(
            f"{group} through tensors against torch: geometric mean **{means['functional']:.1f}x**, torch's own calls "
            f"under `accelerate()` {means['accelerate']:.1f}x{below}, lowest {low:.1f}x; "
            f"{reach} of {len(found)} rows reach their target"
        )
    rest = [pair for pair in pairs if pair.group not in ("forward", "backward", "rate")]
    if rest:
        reach = sum(not pair_shortfalls(pair, rate) for pair in rest)
        lines.append(
            f"double backward, transposed convolution, shuffles, pooling, sampling, a model, latency: {reach} of "
            f"{len(rest)} rows reach their target"
        )
    return lines
