# SPDX-License-Identifier: MIT
"""The benchmark's rows through torch tensors: what is called, the gate in front of the figures, targets and tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import halfpixel  # noqa: E402
from benchmarks import pairs, render, render_tensors, rows, tensor_ops, tensor_targets, tensors  # noqa: E402
from benchmarks.check import WrongResult  # noqa: E402
from benchmarks.record import Machine, Pair, Results, Timing  # noqa: E402

JOBS = {job.id: job for job in tensors.jobs(quick=True)}
LEAST = rows.Effort(threads=1, budget=0, least=2, most=2)
# One of every kind; `--quick` runs all.
SOME = (
    "forward-cubic-x2-channels_last-float32-4x64x128x128",
    "forward-linear-x2-planar-bfloat16-4x64x128x128",
    "backward-lanczos3_aa-by4-planar-float32-1x3x2048x2048",
    "backward-area-by2-channels_last-float32-4x64x256x256",
    "double_backward-linear-x2-planar-float32-1x16x64x64x64",
    "model-channels_last-backward",
    "model-contiguous-forward",
    "conv2d-3s1-64to64-128x128",
    "conv_transpose2d-8s4-64to32-64x64-forward",
    "conv_transpose2d-4s2-depthwise64-128x128-backward",
    "conv_transpose3d-2s2-32to16-32x32x32-backward",
    "pixel_shuffle-3-channels_last-uint8-3x1080x1920",
    "pixel_unshuffle-2-contiguous-float32-16x540x960",
    "max_pool2d-3s2-channels_last-4x64x128x128",
    "max_unpool2d-2s2-contiguous-4x64x128x128",
    "latency-forward_and_backward",
    "reassemble-5s2-channels_last-64x64x64-both",
    "reassemble-3s4-contiguous-64x64x64-forward",
    "convex-3s8-2x55x128-both",
)


def times(**ms: float) -> dict[str, Timing]:
    return {name: Timing(value, 0.0, 7) for name, value in ms.items()}


def pair(group: str, ours: dict[str, float], theirs: dict[str, float], id_: str = "row", **beside: float) -> Pair:
    bounds = times(read=0.1, write=0.1, write_fresh=0.4, write_tensor=0.3, **beside)
    return Pair(f"{group}-{id_}", group, 100, 200, 1000, 0.0, times(**ours), times(**theirs), bounds)


def transposed(kind: str, ours: tuple[float, float], theirs: tuple[float, float]) -> Pair:
    mine, other = ({"contiguous": t[0], "channels_last": t[1]} for t in (ours, theirs))
    name = "conv_transpose3d" if kind.count("x") == 2 else "conv_transpose2d"
    return replace(pair("conv_transpose", mine, other), id=f"{name}-{kind}-forward")


@pytest.mark.parametrize("name", SOME)
def test_a_row_is_checked_and_measured(name: str) -> None:
    measured = pairs.run(JOBS[name], LEAST)
    work = JOBS[name].make()
    assert set(measured.ours) == set(work.ours)
    assert set(measured.torch) == set(work.torch)
    assert set(measured.floor) == {"read", "write", "write_fresh", "write_tensor", *work.beside}
    assert measured.error <= work.tolerance
    assert measured.bytes_in > 0 and measured.bytes_out > 0
    assert name.removeprefix(f"{measured.group}-") in render_tensors.tensor_text([measured])


def test_the_rows_are_those_of_the_whole_run() -> None:
    whole = list(tensors.jobs())
    assert [job.id for job in whole] == list(JOBS)
    assert len({job.id for job in whole}) == len(whole)
    tables = {group for _, groups, _ in render_tensors._TABLES for group in groups}
    assert {job.group for job in whole} == tables
    twice = {job.id for job in whole if job.group == "double_backward"}
    assert twice == {f"double_backward-{name}" for name in tensors._TWICE}


def test_channels_last_rows_are_channels_last() -> None:
    for name in ("pixel_shuffle-2-channels_last-uint8-16x540x960", "conv_transpose2d-4s2-64to32-128x128-forward"):
        work = JOBS[name].make()
        key = "channels_last" if "conv" in name else "functional"
        for call in (work.ours[key], work.torch["channels_last" if "conv" in name else "torch"]):
            result = call()
            assert result.is_contiguous(memory_format=torch.channels_last) and not result.is_contiguous()


@pytest.mark.parametrize("backward", [False, True])
def test_bytes_and_operations_of_a_transposed_convolution(backward: bool) -> None:
    work = tensor_ops._transposed(3, 2, 4, 6, 2, (5, 7), backward)
    given, made = 4 * (4 * 5 * 7 + 4 * 3 * 9 + 6), 4 * 6 * 11 * 15
    assert (work.bytes_in, work.bytes_out) == ((given + made, given) if backward else (given, made))
    assert work.flops == 2 * (4 * 3 * 9 * 5 * 7) * (2 if backward else 1)


def test_accelerate_is_on_for_its_own_call_alone() -> None:
    seen: dict[str, set[bool]] = {"accelerate": set(), "functional": set(), "torch": set()}

    def call(name: str) -> torch.Tensor:
        seen[name].add(halfpixel.accelerated())
        return torch.ones(2)

    work = pairs.Work(
        {name: lambda name=name: call(name) for name in ("functional", "accelerate")},  # type: ignore[misc]
        {"torch": lambda: call("torch")}, 8, 8,
    )  # fmt: skip
    pairs.run(pairs.Job("a", "forward", lambda: work), LEAST)
    assert seen == {"accelerate": {True}, "functional": {False}, "torch": {False}}


@pytest.mark.parametrize(
    ("ours", "tolerance", "said"),
    [
        (lambda x: x + 1e-3, 1e-4, "0.001 away"),
        (lambda x: x * torch.nan, 1e-4, "nan away"),
        (lambda x: x + 1e-6, 0.0, "differ in 6 elements of 6"),
        (lambda x: x[:1], 1.0, "other shapes"),
        (lambda x: x.double(), 1.0, "other shapes or dtypes"),
        (lambda x: (x, x.long() + 1), 1.0, "differ in 6"),
    ],
)
def test_a_wrong_result_is_never_timed(ours: object, tolerance: float, said: str) -> None:
    x = torch.zeros(2, 3)

    def theirs() -> object:
        return (x, x.long()) if "in 6" in said and tolerance else x

    work = pairs.Work({"functional": lambda: ours(x)}, {"torch": theirs}, 24, 24, tolerance)  # type: ignore[operator]
    with pytest.raises(WrongResult, match=said):
        pairs.run(pairs.Job("a", "forward", lambda: work), LEAST)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (pair("forward", {"functional": 1, "accelerate": 1}, {"torch": 3}),
         pair("forward", {"functional": 1, "accelerate": 2}, {"torch": 3}), r"accelerate: 1\.5x torch, 5\.0x the"),
        (pair("backward", {"functional": 0.59}, {"torch": 0.1}), pair("backward", {"functional": 0.8}, {"torch": 0.8}),
         r"1\.0x torch, 2\.0x the floor \(wanted 3x"),
        (pair("double_backward", {"functional": 1}, {"torch": 1}, forward=1),
         pair("double_backward", {"functional": 1}, {"torch": 9}, forward=0.8), r"1\.25 of the forward"),
        (pair("model", {"accelerate": 1.04}, {"torch": 1}), pair("model", {"accelerate": 2}, {"torch": 1}), "0.50 of"),
        (pair("shuffle", {"functional": 1.3}, {"torch": 1}, clone=1),
         pair("shuffle", {"functional": 1.4}, {"torch": 9}, clone=1), r"1\.40x a clone"),
        (pair("pool", {"functional": 1}, {"torch": 3}, "max_pool"),
         pair("pool", {"functional": 1}, {"torch": 3}, "max_unpool"), "wanted 5x"),
        (pair("latency", {"functional": 1.5}, {"torch": 1}, "no_grad"),
         pair("latency", {"functional": 1.6}, {"torch": 1}, "no_grad"), r"1\.60x torch's time"),
        (pair("latency", {"functional": 2.5}, {"torch": 1}, "grad"),
         pair("latency", {"functional": 2.6}, {"torch": 1}, "grad"), "wanted 2.5x"),
        (transposed("4s2-64to32-128x128", (1, 1), (3, 1)), transposed("4s2-64to32-128x128", (2, 1), (3, 1)),
         "contiguous: torch's channels-last takes 0.50"),
        (transposed("4s4-64to32-64x64", (1, 1), (3, 2)), transposed("4s4-64to32-64x64", (1, 1.8), (3, 2)),
         r"1\.1x torch's best layout, 56% of"),
        (transposed("16s8-21to21-64x64", (1.5, 1.5), (9, 2)), transposed("16s8-21to21-64x64", (3, 1), (2, 2)),
         "contiguous: torch takes 0.67"),
        (transposed("4s2-depthwise64-9x9", (1, 1), (15, 15)), transposed("4s2-depthwise64-9x9", (1, 1), (14, 15)),
         r"contiguous: 14\.0x torch"),
        (transposed("2s2-32to16-32x32x32", (1, 1), (4, 4)), transposed("2s2-32to16-32x32x32", (1, 1), (4, 3)),
         r"channels_last: 3\.0x torch \(wanted 4x"),
    ],
)  # fmt: skip
def test_targets(good: Pair, bad: Pair, said: str) -> None:
    rate = tensor_targets.best_rate([pair("rate", {}, {"channels_last": 1.0}), pair("rate", {}, {"channels_last": 2})])
    assert rate == 1000.0  # so that 80% of it and the output's floor are 1.55 ms
    assert tensor_targets.pair_shortfalls(good, rate) == []
    assert re.search(said, tensor_targets.pair_shortfalls(bad, rate)[0])


def test_without_a_rate_only_torch_counts() -> None:
    row = transposed("8s4-64to32-64x64", (1.5, 1.5), (9, 2))
    assert tensor_targets.best_rate([row]) is None
    assert "1.3x torch's best layout (wanted" in tensor_targets.pair_shortfalls(row)[0]


def test_the_page_shows_every_row_and_the_readme_a_few_numbers() -> None:
    found = [
        pair("forward", {"functional": 1, "accelerate": 2}, {"torch": 4}, "a"),
        pair("forward", {"functional": 1, "accelerate": 2}, {"torch": 9}, "b"),
        pair("backward", {"functional": 1, "accelerate": 1}, {"torch": 6}),
        pair("shuffle", {"functional": 2}, {"torch": 2}, "c", clone=1),
        transposed("4s2-64to32-128x128", (1, 1), (3, 1)),
        pair("rate", {}, {"channels_last": 1e-6}, "d"),
        pair("latency", {"functional": 0.001}, {"torch": 0.001}, "grad"),
    ]
    found[-1] = replace(found[-1], ours=times(functional=0.001, accelerate=0.002))
    machine = Machine("m", "cpu", 2, "v3", "os", "3.11", 2, "abc", "madvise", {"numpy": "2"})
    results = Results(machine, tensors=found)
    full, short = render.full_text(results), render.readme_text(results)
    assert "geometric mean **6.0x**, torch's own calls under `accelerate()` 3.0x, lowest 2.0x; 1 of 2 rows" in short
    assert "backward through tensors against torch: geometric mean **6.0x**" in short
    assert "6.0x (below target)" in short
    assert "| `a` (below target) | 1 | 2 | 4 | 4.0x | 2.0x | 0.4 |" in full
    assert "- `shuffle-c`: functional: 2.00x a clone" in full
    assert "| `grad` | 1.0 | 2.0 | 1.0 | 1.00 |" in full
    assert "| `d` |  |  |  | 1e-06 |  |  |  | 1000 |" in full
    assert "shuffle-c" not in short and len(tensor_targets.tensor_summary(found)) == 3
    assert render_tensors.tensor_text([]) == ""
