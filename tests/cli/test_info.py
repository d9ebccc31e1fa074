# SPDX-License-Identifier: MIT
"""`info`, `explain` and `list` say what the package knows of itself."""

from __future__ import annotations

import json

import pytest

import halfpixel
from halfpixel import backends, edges, filters, grids, io
from halfpixel.cli import _tables
from halfpixel.metrics import protocols


def test_version(run):
    assert run("--version").stdout.strip() == halfpixel.__version__


def test_info(run):
    found = json.loads(run("info", "--json").stdout)
    assert found["version"] == halfpixel.__version__
    assert found["threads"] == halfpixel.get_num_threads()
    assert found["backends"] == {name: backends.why_not(name) for name in backends.BACKENDS}
    assert found["backends"][found["chosen"]] is None
    text = run("info").stdout
    assert all(f"backend {name}" in text for name in backends.BACKENDS)


def test_info_says_who_resamples_tensors_elsewhere(run, monkeypatch):
    found = json.loads(run("info", "--json").stdout)["other_devices"]
    if backends.why_not("eager") is None:
        assert found == {"backend": "eager", "reason": backends.cpu.why_not(device="other devices")}
        assert f"eager, since {found['reason']}" in run("info").stdout
    monkeypatch.setattr(backends.eager, "_absent", lambda: "torch is not here")
    assert json.loads(run("info", "--json").stdout)["other_devices"] == {"backend": None, "reason": "torch is not here"}
    assert "cannot run: torch is not here" in run("info").stdout


def test_info_lists_what_accelerate_replaces(run, monkeypatch):
    found = json.loads(run("info", "--json").stdout)["accelerates"]
    ready = backends.why_not("eager") is None and backends.why_not("cpu") is None
    assert ("upsample_bilinear2d_backward" in found) is ("pixel_shuffle" in found) is ready
    assert ("aten's upsample_nearest1d" in run("info").stdout) is ready
    monkeypatch.setattr(backends.cpu, "_load", lambda: (None, "the compiled kernels are not here"))
    assert json.loads(run("info", "--json").stdout)["accelerates"] == []


def test_info_gives_the_reason_of_a_backend_that_cannot_run(run, monkeypatch):
    monkeypatch.setattr(backends.cpu, "_load", lambda: (None, "the compiled kernels are not here"))
    found = json.loads(run("info", "--json").stdout)
    assert found["backends"]["cpu"] == "the compiled kernels are not here"
    assert (found["chosen"], found["instruction_sets"]["usable"]) == ("reference", [])
    assert "cannot run: the compiled kernels are not here" in run("info").stdout


def test_explain_is_that_of_the_api(run):
    found = json.loads(run("explain", "64x48", "--scale", "2", "--filter", "cubic", "--at", "5,-1", "--json").stdout)
    expected = halfpixel.explain((48, 64), scale=(2, 2), filter="cubic", index=(-1, 5))
    assert found == json.loads(json.dumps(expected.to_dict()))
    assert (
        run("explain", "64x48", "--scale", "2", "--filter", "cubic", "--at", "5,-1").stdout.strip()
        == str(expected).strip()
    )


def test_explain_takes_size_and_type_from_a_file(run, folder):
    found = json.loads(run("explain", "in/a.png", "--size", "10x9", "--json").stdout)
    assert (found["size_in"], found["size_out"], found["dtype"]) == ([24, 32], [9, 10], "uint8")
    (folder / "bad.png").write_bytes(b"bad")
    assert "bad.png" in run("explain", "bad.png", "--scale", "2", status=1).stderr


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("filters", filters.TABLE),
        ("grids", grids.TABLE),
        ("edges", edges.TABLE),
        ("formats", io.formats.TABLE),
        ("protocols", protocols.TABLE),
    ],
)
def test_list_is_the_table(run, name, table):
    rows = [json.loads(line) for line in run("list", name, "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list(table)
    assert {row["table"] for row in rows} == {name}
    text = run("list", name).stdout
    assert all(key in text for key in table)


def test_list_shows_all_tables(run):
    text = run("list").stdout
    assert all(name in text for name in ("filters", "grids", "edges", "formats", "lanczos3", "half_pixel", "webp"))
    tables = {json.loads(line)["table"] for line in run("list", "--json").stdout.splitlines()}
    assert tables >= {"filters", "grids", "edges", "formats"}


def test_list_of_presets(run):
    presets = _tables.table("presets")
    rows = [json.loads(line) for line in run("list", "presets", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list(presets)
