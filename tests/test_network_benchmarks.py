# SPDX-License-Identifier: MIT
"""The benchmark's rows of networks: each group measured small, what it refuses, the targets and the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from benchmarks import (  # noqa: E402
    network_memory,
    network_quality,
    network_tiles,
    networks,
    record,
    render,
    rows,
)
from benchmarks.check import WrongResult  # noqa: E402
from benchmarks.record import Machine, Measure, Results  # noqa: E402
from halfpixel import models  # noqa: E402

LEAST = rows.Effort(threads=1, budget=0, least=2, most=2)
TILES = list(network_tiles.cases(quick=True))


def test_the_rows_are_those_of_the_whole_run() -> None:
    ids = [job.id for job in networks.jobs()]
    assert len(set(ids)) == len(ids) and {"tiles", "memory"} <= {id_.partition("-")[0] for id_ in ids}
    assert ids[-1 - len(models.list_weights())] == network_memory.ID
    assert [id_.rpartition("-")[0] for id_ in ids if "tiles" in id_] == [case.id.rpartition("-")[0] for case in TILES]


def test_a_training_step_is_measured_with_its_data_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "tensorboard", "skimage", "sklearn"):
        pytest.importorskip(name)
    from benchmarks import network_training
    from halfpixel.train import PatchLoader

    found = network_training.run(LEAST, quick=True)
    assert found.group == "training" and found.ratio == found.ours / found.reference > 0.1
    assert found.reached == (found.ratio <= 1.1)
    # What the loader takes is seen: every batch is waited for.
    prepared = PatchLoader._batch

    def slow(self: PatchLoader, b: int) -> object:
        from time import sleep

        sleep(10 * found.reference / 1e3)
        return prepared(self, b)

    monkeypatch.setattr(PatchLoader, "_batch", slow)
    assert network_training.run(LEAST, quick=True).ratio > 1.5


@pytest.mark.parametrize("case", TILES[:2], ids=lambda case: case.id)
def test_tiles_are_checked_and_measured(monkeypatch: pytest.MonkeyPatch, case: network_tiles.Case) -> None:
    found = network_tiles.run(case, LEAST)
    assert found.beside["tiles"] == 4 and found.beside["error"] <= 2e-5
    assert found.target == 1.1 and found.reached == (found.ratio <= 1.1)
    halo = models.create_model(case.name, scale=2).reach.halo
    assert found.beside["share of pixels"] == round((48 + 2 * halo) ** 2 / 48**2, 4)
    with pytest.raises(WrongResult, match="single tile"):
        network_tiles.run(replace(case, tile=48), LEAST)
    tiled = models.run_tiled
    monkeypatch.setattr(network_tiles, "run_tiled", lambda *a, **k: tiled(*a, **k) + 1e-3)
    with pytest.raises(WrongResult, match=r"0\.001 away"):
        network_tiles.run(case, LEAST)


@pytest.mark.parametrize("case", list(network_tiles.cases()), ids=lambda case: case.id)
def test_whole_rows_are_cut_and_their_targets_follow_the_halo(case: network_tiles.Case) -> None:
    model = models.create_model(case.name, **dict(case.options))
    tiles, share = network_tiles.computed(model, case)
    assert tiles >= 2 and 1 < share < 2


def test_memory_is_measured_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = network_memory.probe(0.01, 1)
    assert abs(one["extra"]) < 64 << 20 and one["seconds"] > 0
    peaks = {1.0: 8, 10.0: 16, 100.0: 20}
    monkeypatch.setattr(network_memory, "probe", lambda size, threads: {"extra": peaks[size] << 20, "seconds": 1.0})
    found = network_memory.run(LEAST)
    assert (found.ours, found.reference, found.ratio, found.reached) == (20, 16, 1.25, True)
    assert found.beside["1 megapixels"] == 8
    peaks[100.0] = 21
    assert not network_memory.run(LEAST).reached
    monkeypatch.undo()
    monkeypatch.setattr(network_memory.sys, "executable", "false")
    with pytest.raises(WrongResult, match="100 megapixels"):
        network_memory.probe(100, 1)


@pytest.mark.parametrize("scale", [2, 3])
def test_weights_are_measured_beside_interpolation(tmp_path: Path, scale: int) -> None:
    for name in ("skimage", "sklearn"):
        pytest.importorskip(name)
    torch.manual_seed(0)
    path = tmp_path / "random.safetensors"
    models.save(models.create_model("espcn", scale=scale), path)
    found = network_quality.run(path, LEAST, quick=True)
    assert found.id == "quality-random" and found.beside["photos"] == 5 and found.beside["scale"] == scale
    assert 20 < found.reference < found.beside["lanczos3"] < 60  # its sharper filter
    assert found.ours < found.reference and found.ratio == found.ours - found.reference < 0 and not found.reached
    assert found.target == (0.7 if scale == 2 else found.beside["lanczos3"] - found.reference)


def test_bicubic_is_measured_by_the_papers_protocol() -> None:
    """Written out: luma in studio range of whole levels, a border of the scale cut off."""
    for name in ("skimage", "sklearn"):
        pytest.importorskip(name)
    photos = network_quality.originals(quick=True)
    assert len(photos) == 5 and all(photo.shape == (48, 48, 3) for photo in photos)
    low, high = network_quality.pair(photos[0][:47], 2)
    assert low.shape == (23, 24, 3) and high.shape == (46, 48, 3)
    inner = [p[2:-2, 2:-2].astype(float) @ (np.array([65.481, 128.553, 24.966]) / 255) for p in (high, high // 2)]
    expected = 10 * np.log10(255**2 / np.mean((inner[0] - inner[1]) ** 2))
    assert network_quality._mean([(low, high)], 2, lambda low, size: high // 2) == pytest.approx(expected)


def measure(group: str, ours: float, reference: float, target: float, reached: bool, **beside: float) -> Measure:
    ratio = ours - reference if group == "quality" else ours / reference
    return Measure(f"{group}-x", group, "ms", ours, reference, ratio, target, reached, beside)


def test_the_pages_show_every_row(tmp_path: Path) -> None:
    found = [
        measure("training", 21, 20, 1.1, True, iqr=0.5),
        measure("tiles", 30, 20, 1.2, False, tiles=4),
        measure("memory", 90, 75, 1.25, True),
        measure("quality", 31.25, 30, 0.7, True, lanczos3=30.5, scale=2),
    ]
    machine = Machine("m", "cpu", 2, "v3", "os", "3.11", 2, "abc", "madvise", {"numpy": "2"})
    results = Results(machine, networks=found)
    full, short = render.full_text(results), render.readme_text(results)
    assert "| `training-x` | 21 | 20 | 1.05 | 1.10 | 0.5 |" in full
    assert "| `tiles-x` (below target) | 30 | 20 | 1.50 | 1.20 | 4 |" in full
    assert "| `memory-x` | 90 | 75 | 1.20 | 1.25 |" in full
    assert "| `quality-x` | 31.25 | 30.00 | 1.25 | 0.70 | 30.5 |" in full
    assert "3 of 4 rows" in short and "1.50 to 1.50" in short and "1.25 to 1.25 dB" in short
    assert "### Networks" not in render.full_text(Results(machine))
    results.save(tmp_path / "m.json")
    assert record.load(tmp_path / "m.json") == results
