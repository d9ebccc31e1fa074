# SPDX-License-Identifier: MIT
"""`halfpixel audit`: exit statuses, options, JSON."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason='audits need pip install "halfpixel[torch]"')

MINE = """
import torch
import torch.nn.functional as F

def make(stride=2):
    return torch.nn.ConvTranspose2d(3, 3, 3, stride=stride, padding=1)

def twice(x):
    return F.interpolate(x, scale_factor=2, mode="bicubic")

def broken():
    raise RuntimeError("no weights here")

built = torch.nn.Upsample(scale_factor=2)
number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "audited_here.py").write_text(MINE)
    (tmp_path / "broken_here.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)


def test_a_clean_one_is_0_and_a_sinner_1(run, mine):
    assert "no faults" in run("audit", "audited_here:built").stdout
    found = run("audit", "audited_here:make", status=1).stdout
    assert "makes a checkerboard" in found and "polyphase" in found


def test_a_function_of_a_tensor_is_audited_itself_and_warnings_are_clean(run, mine):
    found = json.loads(run("audit", "audited_here:twice", "--json").stdout)
    assert found["passed"] and found["subject"] == "audited_here:twice" and found["scale"] == [2.0, 2.0]
    assert [c["verdict"] for c in found["checks"] if c["name"] == "overshoot"] == ["warning"]


def test_options_shape_and_scale_reach_the_factory_and_the_audit(run, mine):
    arguments = ("--option", "stride=1", "--shape", "16x20", "--in-channels", 3, "--scale", 1, "--json")
    found = json.loads(run("audit", "audited_here:make", *arguments).stdout)
    assert found["size_in"] == [16, 20] and found["size_out"] == [16, 20]


def test_the_picture(run, mine, tmp_path):
    pytest.importorskip("matplotlib", reason='pictures need pip install "halfpixel[plot]"')
    run("audit", "audited_here:built", "--plot", "found.png")
    assert (tmp_path / "found.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "arguments",
    [
        ("audited_here",),
        ("audited_here:nothing",),
        ("no_such_module_here:make",),
        ("audited_here:number",),
        ("audited_here:broken",),
        ("broken_here:make",),
        ("audited_here:make", "--option", "stride"),
        ("audited_here:make", "--option", "size=3"),
        ("audited_here:built", "--option", "a=1"),
        ("audited_here:built", "--shape", "axb"),
        ("audited_here:make", "--in-channels", "5"),
    ],
)
def test_wrong_use_is_2(run, mine, arguments):
    run("audit", *arguments, status=2)
