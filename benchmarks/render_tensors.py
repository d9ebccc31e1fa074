# SPDX-License-Identifier: MIT
"""The tables of the rows through torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .record import Pair, Timing
from .tables import ms, table
from .tensor_targets import best_rate, floor_ms, pair_shortfalls, speedup, tensor_summary

_LAYOUTS = ("contiguous", "channels_last")


def tensor_text(pairs: Sequence[Pair]) -> str:
    """All rows, a table for each group, and below it why rows miss their targets; nothing for no rows."""
    if not pairs:
        return ""
    rate = best_rate(pairs)
    parts = ["### Through torch tensors", "", *(f"- {line}" for line in tensor_summary(pairs))]
    for title, groups, draw in _TABLES:
        found = [pair for pair in pairs if pair.group in groups]
        if found:
            missed = [f"- `{pair.id}`: {why}" for pair in found for why in pair_shortfalls(pair, rate)]
            parts += ["", f"#### {title}", "", draw(found, rate)]
            parts += ["", "Below target:", "", *missed] if missed else []
    return "\n".join(parts)


def _name(pair: Pair, rate: float | None) -> str:
    """The id without its group, which the title has."""
    return f"`{pair.id.removeprefix(pair.group + '-')}`" + (" (below target)" if pair_shortfalls(pair, rate) else "")


def _times(pair: Pair, mine: str, theirs: str = "torch") -> str:
    return f"{speedup(pair, mine, theirs):.1f}x" if mine in pair.ours and theirs in pair.torch else ""


def _moving(pairs: Sequence[Pair], rate: float | None) -> str:
    head = ("row", "ours", "torch's under accelerate", "torch", "times", "times under accelerate", "floor")
    return table(
        head,
        [
            (
                _name(pair, rate),
                ms(pair.ours.get("functional")),
                ms(pair.ours.get("accelerate")),
                ms(pair.torch["torch"]),
                _times(pair, "functional"),
                _times(pair, "accelerate"),
                f"{floor_ms(pair):.3g}",
            )
            for pair in pairs
        ],
    )


def _beside(what: str, says: str) -> Callable[[Sequence[Pair], float | None], str]:
    """A table of ours against torch's, and against something of the same loop."""

    def draw(pairs: Sequence[Pair], rate: float | None) -> str:
        return table(
            ("row", "ours", "torch's under accelerate", "torch", "times", what, says),
            [
                (
                    _name(pair, rate),
                    ms(pair.ours["functional"]),
                    ms(pair.ours.get("accelerate")),
                    ms(pair.torch["torch"]),
                    _times(pair, "functional"),
                    ms(pair.floor[what]),
                    f"{pair.ours['functional'].median_ms / pair.floor[what].median_ms:.2f}",
                )
                for pair in pairs
            ],
        )

    return draw


def _model(pairs: Sequence[Pair], rate: float | None) -> str:
    head = ("row", "torch under accelerate", "torch", "times")
    return table(
        head,
        [
            (_name(p, rate), ms(p.ours["accelerate"]), ms(p.torch["torch"]), _times(p, "accelerate"))
            for p in pairs
        ],
    )  # fmt: skip


def _layouts(pairs: Sequence[Pair], rate: float | None) -> str:
    """The convolutions that set the rate are torch's alone."""
    head = (
        "row", "ours, contiguous", "ours, channels-last", "torch, contiguous", "torch, channels-last",
        "times, contiguous", "times, channels-last", "ours, GFLOP/s", "torch, GFLOP/s",
    )  # fmt: skip
    return table(
        head,
        [
            (
                _name(pair, rate),
                *(ms(side.get(layout)) for side in (pair.ours, pair.torch) for layout in _LAYOUTS),
                *(_times(pair, layout, layout) for layout in _LAYOUTS),
                *(_rate(pair, side) for side in (pair.ours, pair.torch)),
            )
            for pair in pairs
        ],
    )


def _rate(pair: Pair, side: dict[str, Timing]) -> str:
    """Of the faster layout."""
    return f"{pair.flops / min(t.median_ms for t in side.values()) / 1e6:.0f}" if side else ""


def _latency(pairs: Sequence[Pair], rate: float | None) -> str:
    def us(timing: Timing) -> str:
        return f"{timing.median_ms * 1e3:.1f}"

    head = ("row", "ours, us", "torch's under accelerate, us", "torch, us", "ours / torch")
    return table(
        head,
        [
            (
                _name(pair, rate),
                us(pair.ours["functional"]),
                us(pair.ours["accelerate"]),
                us(pair.torch["torch"]),
                f"{1 / speedup(pair):.2f}",
            )
            for pair in pairs
        ],
    )


def _dysample(pairs: Sequence[Pair], rate: float | None) -> str:
    rows = [(pair, pair.ours["functional"], pair.torch["bilinear and convolution"]) for pair in pairs]
    return table(
        ("row", "ours", "torch's bilinear and the convolution", "ours / torch"),
        [(_name(pair, rate), ms(a), ms(b), f"{a.median_ms / b.median_ms:.2f}") for pair, a, b in rows],
    )


_TABLES: tuple[tuple[str, tuple[str, ...], Callable[[Sequence[Pair], float | None], str]], ...] = (
    ("Forward", ("forward",), _moving),
    ("Backward", ("backward",), _moving),
    ("Double backward", ("double_backward",), _beside("forward", "over the forward")),
    ("A model that is torch's alone", ("model",), _model),
    ("Transposed convolution", ("conv_transpose", "rate"), _layouts),
    ("Pixel shuffle", ("shuffle",), _beside("clone", "over a clone")),
    ("Max-pooling with indices, and back", ("pool",), _moving),
    ("Sums over windows, against unfolding", ("window",), _moving),
    ("Sampling at a grid", ("sample_forward", "sample_backward"), _moving),
    (
        "DySample's samples and convolution beside bilinear upsampling and the same convolution",
        ("dysample",),
        _dysample,
    ),
    ("A tiny tensor, 1x3x8x8, bilinear x2", ("latency",), _latency),
)
