# SPDX-License-Identifier: MIT
"""The benchmark's rows of whole upsamplers: every method, what it is beside, targets and the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from benchmarks import memory, pairs, render, render_upsamplers, rows, tensor_targets, upsamplers  # noqa: E402
from benchmarks.record import Machine, Pair, Results, Timing  # noqa: E402
from halfpixel.upsamplers import list_upsamplers  # noqa: E402

JOBS = {job.id: job for job in upsamplers.jobs(quick=True)}
LEAST = rows.Effort(threads=1, budget=0, least=2, most=2)
NAMES = [entry.name for entry in list_upsamplers() if 2 in entry.dims]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_every_method_is_checked_and_measured(name: str) -> None:
    for layout, way in (("contiguous", "both"), ("channels_last", "forward")):
        job = JOBS[f"{name}-{layout}-64x64x64-{way}"]
        measured = pairs.run(job, LEAST)
        work = job.make()
        assert set(measured.torch) == set(work.torch) and set(work.beside) < set(measured.floor)
        assert (name in upsamplers._PLAIN or name == "max_unpool") == bool(measured.torch)
        assert measured.error <= work.tolerance
        assert name in render_upsamplers.upsampler_text([measured])
        made = work.ours["functional"]()
        assert made[0].shape[2:] == (16, 16) and (len(made) > 1) == (way == "both")


def test_the_rows_are_those_of_the_whole_run() -> None:
    assert [job.id for job in upsamplers.jobs()] == list(JOBS) and len(JOBS) == 8 * len(NAMES)


@pytest.mark.parametrize("entry", [e for e in list_upsamplers() if 2 in e.dims], ids=lambda e: e.name)
def test_the_modules_of_whole_rows_can_be_made(entry) -> None:
    """With the channels that are measured, on few pixels."""
    for channels in upsamplers.CHANNELS:
        module, x, guide = upsamplers.module_of(entry, channels, 2, "contiguous")
        assert x.shape[1] == channels
        assert (guide is None) is not entry.guide
        assert module(x, guide=guide).shape[-2:] == (4, 4)


def test_channels_last_rows_are_channels_last() -> None:
    for entry in list_upsamplers():
        if 2 in entry.dims:
            module, x, guide = upsamplers.module_of(entry, 16, 8, "channels_last")
            for tensor in (x, guide, *(p for p in module.parameters() if p.dim() == 4)):
                assert tensor is None or tensor.is_contiguous(memory_format=torch.channels_last)


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    extra = upsamplers.run(JOBS["carafe-contiguous-64x64x64-forward"], LEAST, quick=True).extra
    assert 0 <= extra < 64 << 20
    assert upsamplers.run(JOBS["nearest-contiguous-64x64x64-forward"], LEAST, quick=True).extra == -1
    # A tensor that the call makes and drops is seen; one that it returns is not.
    x = torch.ones(4 << 20)
    dropped = memory.peak(lambda: torch.cat([x, x])[:1].add(1), pairs.moved)
    kept = memory.peak(lambda: torch.cat([x, x]), pairs.moved)
    assert dropped > 30 << 20 > 8 << 20 > kept


def pair(name: str, ours: float, theirs: float | None = None, **beside: float) -> Pair:
    def times(**ms: float) -> dict[str, Timing]:
        return {key.replace("_", " "): Timing(value, 0.0, 7) for key, value in ms.items()}

    return Pair(
        name, "upsampler", 8, 8, 0, 0.0, times(functional=ours), {} if theirs is None else times(torch=theirs),
        times(read=0.1, **beside),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (pair("carafe-contiguous-64x64x64-forward", 1.5, 9, convolutions=1),
         pair("carafe-contiguous-64x64x64-forward", 1.6, 9, convolutions=1), "1.60 of the convolutions alone"),
        (pair("dysample-contiguous-64x64x64-forward", 3, 9, bilinear_and_convolution=2),
         pair("dysample-contiguous-64x64x64-forward", 3.2, 9, bilinear_and_convolution=2), "1.60 of the bilinear and"),
        (pair("resize_conv-contiguous-64x64x64-forward", 1, 1.8),
         pair("resize_conv-contiguous-64x64x64-forward", 1, 1.7), "1.70x torch (wanted 1.8x)"),
        (pair("resize_conv-contiguous-64x64x64-both", 1, 1), pair("resize_conv-contiguous-64x64x64-both", 2, 1),
         "0.50x torch (wanted 1x)"),
        (pair("sapa-contiguous-64x64x64-both", 9), pair("upconv-contiguous-64x64x64-forward", 2, 1), "0.50x torch"),
    ],
)  # fmt: skip
def test_targets(good: Pair, bad: Pair, said: str) -> None:
    assert tensor_targets.pair_shortfalls(good) == []
    assert said in tensor_targets.pair_shortfalls(bad)[0]


def test_the_page_shows_every_row() -> None:
    slow = pair("carafe-contiguous-64x64x64-forward", 2, 9, convolutions=1)
    found = [replace(slow, extra=3 << 20), pair("sapa-contiguous-64x64x64-both", 9)]
    machine = Machine("m", "cpu", 2, "v3", "os", "3.11", 2, "abc", "madvise", {"numpy": "2"})
    results = Results(machine, upsamplers=found)
    full, short = render.full_text(results), render.readme_text(results)
    assert "| `carafe-contiguous-64x64x64-forward` (below target) | 2 | 9 | 4.5x | 1 | 2.00 | 3.00 |" in full
    assert "| `sapa-contiguous-64x64x64-both` | 9 |  |  |  |  |  |" in full
    assert "0 of 1 rows" in short and "sapa" not in short
    assert "### Upsamplers" not in render.full_text(Results(machine))
