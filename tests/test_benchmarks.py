# SPDX-License-Identifier: MIT
"""The benchmark's own parts: results files, targets, timing, the floor, and the gate in front of every figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import check, floor, fused, measure, memory, record, render, rows, targets
from benchmarks.peers import PEERS
from benchmarks.record import Machine, Memory, Results, Row, Timing
from halfpixel.testing.cases import CASES, PHOTO_CASES, SMALL, Case, find

SMALL_WITH_PEERS = [(case.small(), peer) for case in CASES for peer in case.peers]


def times(**ms: float) -> dict[str, Timing]:
    return {name: Timing(value, 0.0, 7) for name, value in ms.items()}


def row(id_: str, ours: float, **peers: float) -> Row:
    mine = times(fresh=ours, out=ours, out_one_thread=ours)
    return Row(id_, 100, 200, 0.0, mine, times(read=0.1, write=0.1, write_fresh=0.3), times(**peers))


def results() -> Results:
    machine = Machine("m", "cpu", 2, "v3", "os", "3.11", 2, "abc", "madvise", {"numpy": "2"})
    return Results(machine, [row("linear-x2-planar-float32-a", 1.0, torch=8.0)], [], [Memory("a", 1, 2, 3)])


def test_a_results_file_comes_back_as_it_was(tmp_path: Path) -> None:
    results().save(tmp_path / "m.json")
    assert record.load(tmp_path / "m.json") == results()
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("calls"), "calls"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["machine"].update(cores="2"), "cores"),
        (lambda d: d["rows"][0]["ours"]["fresh"].update(samples=1.5), "samples"),
        (lambda d: d["memory"][0].update(extra=True), "extra"),
    ],
)
def test_a_results_file_of_another_shape_is_refused(tmp_path: Path, change: object, said: str) -> None:
    path = tmp_path / "m.json"
    results().save(path)
    data = json.loads(path.read_text())
    change(data)  # type: ignore[operator]
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=said):
        record.load(path)


def test_a_results_file_from_before_a_section_is_read_as_one_without_it(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    results().save(path)
    data = json.loads(path.read_text())
    del data["tensors"], data["commits"]
    path.write_text(json.dumps(data))
    assert record.load(path) == results()


def test_a_later_run_replaces_its_sections_and_nothing_else() -> None:
    old = replace(results(), calls=times(plan=1.0))
    machine = replace(old.machine, commit="def", versions={"numpy": "2", "halfpixel": "9"})
    new = Results(machine, calls=times(plan=2.0))
    both = old.updated(new, ["calls"])
    assert both == replace(old, calls=new.calls, commits={"calls": "def"})
    for other in (replace(machine, threads=1), replace(machine, versions={"numpy": "3"})):
        with pytest.raises(ValueError, match=r"threads|versions"):
            old.updated(replace(new, machine=other), ["calls"])


def test_the_published_results_are_whole_and_name_rows_of_the_table() -> None:
    for path in record.RESULTS.glob("*.json"):
        known = {case.id for case in CASES}
        assert {r.id for r in record.load(path).rows} <= known, f"{path.name}: run `make bench` again"


def test_targets() -> None:
    assert targets.shortfalls(row("linear-x2-planar-float32-a", 1.0, torch=3.1)) == []
    assert targets.shortfalls(row("linear-x2-planar-float32-a", 0.59, torch=0.5)) == []  # 1.5 times the floor of 0.4
    assert "2.0x torch" in targets.shortfalls(row("linear-x2-planar-float32-a", 1.0, torch=2.0))[0]
    assert targets.shortfalls(row("linear-x2-interleaved-uint8-a", 1.0, torch=1.0, pillow=8.0)) == []
    assert "torch takes 0.50" in targets.shortfalls(row("linear-x2-interleaved-uint8-a", 1.0, opencv=2.0, torch=0.5))[0]
    assert "7.0x Pillow" in targets.shortfalls(row("linear-x2-interleaved-uint8-a", 1.0, pillow=7.0))[0]
    slow = replace(row("cubic-x2-planar-float32-a", 1.0), ours=times(fresh=10.0, out=10.0, out_one_thread=15.0))
    assert "1.50x one" in targets.shortfalls(slow)[0]


def test_the_tables_show_every_row_and_mark_the_slow_ones() -> None:
    both = replace(results(), rows=[*results().rows, row("cubic-x2-interleaved-uint8-b", 2.0, opencv=1.0, pillow=2.0)])
    full, short = render.full_text(both), render.readme_text(both)
    assert "`linear-x2-planar-float32-a` |" in full
    assert "`cubic-x2-interleaved-uint8-b` (below target)" in full
    assert "Rows below their target (2)" in short
    assert "geometric mean **8.0x**" in short


def test_rendering_replaces_what_stands_between_the_comments() -> None:
    assert render.between("a\n<!-- bench -->\nold\n<!-- /bench -->\nb", "bench", "new") == (
        "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb"
    )
    with pytest.raises(ValueError, match="0 times"):
        render.between("nothing", "bench", "new")


def test_samples_are_taken_in_turns_and_every_round_starts_with_another() -> None:
    order: list[str] = []

    def sample(name: str) -> float:
        order.append(name)
        return 0.001 * len(order)

    timings = measure.interleaved({n: lambda n=n: sample(n) for n in "ab"}, budget=0, least=3, most=9)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert timings["a"] == Timing(4.0, 2.0, 3)


def test_short_calls_are_repeated_inside_a_sample() -> None:
    calls: list[int] = []
    seconds = measure.timed(lambda: calls.append(1), shortest=1e-4)()
    assert len(calls) > 10
    assert seconds < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_floor_takes_time_for_every_part(threads: int) -> None:
    samples = floor.samples(1_000_003, 2_000_003, threads)
    assert set(samples) == {"read", "write", "write_fresh"}
    assert all(sample() > 0 for sample in samples.values())


def test_ids_are_unique_and_found() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert find(CASES[3].id) is CASES[3]
    with pytest.raises(KeyError, match="no case 'x'"):
        find("x")


@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.id)
def test_a_case_makes_the_array_that_it_describes(case: Case) -> None:
    x = case.array()
    assert x.shape == case.shape
    assert x.dtype.name == case.dtype
    order = np.argsort(np.negative(x.strides), kind="stable")
    inner = 1 if case.layout == "channels_last" else x.ndim - 1
    assert 1 in {x.shape[inner], *(n for n in x.shape[1:])} or order[-1] == inner
    assert np.ptp(x.astype(np.float64)) > 0 or x.size == 1


@pytest.mark.parametrize(("case", "name"), SMALL_WITH_PEERS, ids=lambda v: getattr(v, "id", v))
def test_every_peer_computes_the_definition(case: Case, name: str) -> None:
    peer = PEERS[name]
    if why := peer.why_not(case):
        pytest.skip(why)
    x = case.array()
    check.peer(case, name, peer.edge, peer.result(case, peer.prepare(case, x)()), x)


def _defined(case: Case, x: np.ndarray) -> np.ndarray:
    return np.concatenate([y for _, y in check.definition(case, x)], axis=case.axes[0])


@pytest.mark.parametrize("name", ["linear-x2-planar-float32-4x64x128x128", "area-by3-interleaved-uint8-1080x1920x3"])
def test_the_definition_in_slabs_is_the_whole(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    case = find(name).small()
    x = case.array()
    whole = _defined(case, x)
    monkeypatch.setattr(check, "_SLAB", x.size // 3)
    assert len(list(check.definition(case, x))) > 1
    np.testing.assert_allclose(_defined(case, x), whole, rtol=1e-12)


@pytest.mark.parametrize("row", [0, 1, -1])
def test_a_wrong_result_is_never_timed(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    case = find("linear-x2-planar-float32-4x64x128x128").small()
    x = case.array()
    monkeypatch.setattr(check, "_SLAB", x.size // 3)
    wrong = _defined(case, x).astype(x.dtype)
    wrong[0, 0, row, 1] += 1e-3
    with pytest.raises(check.WrongResult, match=r"halfpixel is 0\.001"):
        check.ours(case, wrong, x)
    wrong[0, 0, row, 1] = np.nan
    with pytest.raises(check.WrongResult, match="halfpixel is nan"):
        check.ours(case, wrong, x)
    monkeypatch.setattr(check, "ours", lambda *_: (_ for _ in ()).throw(check.WrongResult("ours is wrong")))
    with pytest.raises(check.WrongResult, match="ours is wrong"):
        rows.run(case, rows.Effort(1, 0, 2, 2))


def test_a_preset_that_is_one_level_off_is_noticed() -> None:
    case = find("pillow.bicubic-by2-interleaved-uint8-1080x1920x3")
    mine = np.zeros(case.small().out_shape)
    check.preset(case, "pillow", mine, mine)
    other = mine.copy()
    other[3, 4, 1] = 1
    with pytest.raises(check.WrongResult, match="differ in 1 elements"):
        check.preset(case, "pillow", other, mine)


def test_a_row_is_measured_whole() -> None:
    case = replace(find(PHOTO_CASES[0].id).small(), peers=())
    measured = rows.run(case, rows.Effort(threads=1, budget=0, least=2, most=2))
    assert set(measured.ours) == {"fresh", "out", "out_one_thread"}
    assert set(measured.floor) == {"read", "write", "write_fresh"}
    assert measured.error <= 0.5 + 1e-3


@pytest.mark.parametrize("case", fused.CASES, ids=lambda c: c.id)
def test_labels_out_of_logits_are_checked_and_measured(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    pytest.importorskip("torch")
    effort = rows.Effort(threads=1, budget=0, least=2, most=2)
    measured = fused.run(case.small(), effort)
    assert measured is not None and measured.id == case.id
    assert f"`{case.id}`: " in render.readme_text(replace(results(), fused=[measured]))
    monkeypatch.setattr(fused, "_theirs", lambda case, x: lambda: 1 - fused._ours(case, x)())
    monkeypatch.setattr(fused, "_ours", lambda case, x: lambda: np.zeros(1))
    with pytest.raises(check.WrongResult, match="not those of its resize"):
        fused.run(case.small(), effort)


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    case = find("linear-x2-planar-float32-4x64x128x128").small()
    found = memory.run(case)
    assert found.bytes_out == 4 * found.bytes_in
    assert abs(found.extra) < 64 << 20
