# SPDX-License-Identifier: MIT
"""`halfpixel train`: its options reach the package, and its errors are usage errors."""

from __future__ import annotations

import inspect
import json

import pytest

pytest.importorskip("typer")
from typer.testing import CliRunner

from halfpixel.cli import _train
from halfpixel.cli._app import app
from halfpixel.train import TASKS, fit

from .conftest import noise, save

QUICK = ["--accelerator", "cpu", "--batch-size", "2", "--patch", "8", "--max-steps", "3", "--quiet"]


def run(*arguments: object, status: int = 0):
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(
        app, ["train", *map(str, arguments)]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def test_super_resolution_from_end_to_end_and_on(photos, tmp_path):
    options = [*QUICK, "--scale", 3, "--model-option", "activation=relu", "--model-option", "widths=[8, 4]", "--ema", 0]
    shown = run("sr", photos, "-o", tmp_path / "run", *options, "--json", "--no-augment", "--milestone", 0.5)
    result = json.loads(shown.stdout)
    assert result["steps"] == 3 and result["weights"].endswith("model.safetensors") and result["metrics"]["psnr"] > 0
    kept = json.loads((tmp_path / "run/config.json").read_text())["options"]
    assert kept["model_options"] == {"activation": "relu", "widths": [8, 4]} and kept["scale"] == 3
    assert kept["augment"] is False and kept["ema"] is None and kept["milestones"] == [0.5]
    # What was said the first time need not be said again.
    again = run("sr", photos, "-o", tmp_path / "run", "--resume", "--max-steps", 5, "--quiet", "--json")
    assert json.loads(again.stdout)["steps"] == 5


def test_segmentation_and_autoencoder(scenes, photos, tmp_path):
    small = [*QUICK, "--patch", "16"]
    run("segmentation", scenes, "-o", tmp_path / "s", "--classes", 3, "--model-option", "width=4", *small)
    run("autoencoder", photos, "-o", tmp_path / "a", "--model-option", "widths=[4, 4, 4]", *small)
    assert (tmp_path / "s/model.safetensors").exists() and (tmp_path / "a/model.safetensors").exists()


def test_files_that_are_left_out_are_named_on_standard_error(tmp_path):
    for name in "abc":
        save(tmp_path / f"in/{name}.png", noise(20, 20))
    (tmp_path / "in/mistyped.png").write_text("no picture")
    shown = run("sr", tmp_path / "in", "-o", tmp_path / "run", *QUICK, "--model-option", "widths=[4, 4]")
    (line,) = shown.stderr.splitlines()
    assert line.startswith("halfpixel: left out of training") and "mistyped.png" in line


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["sr", "nowhere", "-o", "run"], "nowhere does not exist"),
        (["sr", "nowhere"], "Missing option"),
        (["segmentation", "nowhere", "-o", "run"], "needs classes"),
        (["sr", "x", "-o", "run", "--model-option", "relu"], "is not NAME=VALUE"),
        (["sr", "x", "-o", "run", "--loss", "l3"], "unknown loss 'l3'"),
        (["sr", "x", "-o", "run", "--accelerator", "abacus"], "abacus"),
        (["paint", "x"], "No such command"),
    ],
)
def test_wrong_uses_are_said_and_end_with_status_2(tmp_path, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    for name in "ab":
        save(tmp_path / f"x/{name}.png", noise(120, 120))
    assert why in " ".join(run(*arguments, status=2).output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", TASKS)
def test_every_option_of_a_command_is_one_of_the_package(task):
    import lightning.pytorch as pl

    entry = TASKS[task]
    calls = (fit, entry.module, entry.data, pl.Trainer)
    known = {name for call in calls for name in inspect.signature(call).parameters}
    about, own = _train._OF_TASK[task]
    assert about and {option.name for option in (*own, *_train._COMMON)} <= known
    # And every option of the module and of the data is on the command line.
    offered = {option.name for option in (*own, *_train._COMMON)} | {"data", "signed"}
    assert {name for call in (entry.module, entry.data) for name in inspect.signature(call).parameters} <= offered


def test_an_interrupted_run_ends_with_status_130_and_can_be_resumed(photos, tmp_path, monkeypatch):
    import signal

    from halfpixel.train import SuperResolutionTask

    def interrupted(self, batch, batch_idx):
        if batch_idx == 2:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    step, handler = SuperResolutionTask.training_step, signal.getsignal(signal.SIGINT)
    options = [*QUICK, "--checkpoint-every", 1, "--max-steps", 5]
    with monkeypatch.context() as patched:
        patched.setattr(SuperResolutionTask, "training_step", interrupted)
        try:
            shown = run("sr", photos, "-o", tmp_path / "run", *options, status=130)
        finally:
            signal.signal(signal.SIGINT, handler)  # Lightning ignores the signal from then on
    assert "--resume" in shown.stderr and not (tmp_path / "run/model.safetensors").exists()
    again = run("sr", photos, "-o", tmp_path / "run", "--resume", "--quiet", "--json")
    assert json.loads(again.stdout)["steps"] == 5


def test_zeros_are_given(photos, tmp_path):
    """A 0 is no option that was left out: `--pictures 0` and `--scale 0` mean what they say."""
    small = [*QUICK, "--model-option", "widths=[4, 4]"]
    run("sr", photos, "-o", tmp_path / "run", *small, "--pictures", 0, "--seed", 0)
    assert not (tmp_path / "run/pictures").exists()
    for wrong in (("--scale", 0), ("--seed", -1), ("--checkpoint-every", 0), ("--pictures", -1)):
        shown = run("sr", photos, "-o", tmp_path / "wrong", *small, *wrong, status=2)
        assert f"is {wrong[1]}" in shown.stderr
    assert not (tmp_path / "wrong").exists()


def test_standard_output_is_for_the_result(photos, tmp_path):
    small = [one for one in QUICK if one != "--quiet"]
    shown = run("sr", photos, "-o", tmp_path / "run", *small, "--model-option", "widths=[4, 4]", "--json")
    assert json.loads(shown.stdout)["steps"] == 3
    assert "Epoch" in shown.stderr and "psnr" in shown.stderr


def test_what_cannot_be_written_or_read_is_said_in_a_sentence(photos, tmp_path):
    small = [*QUICK, "--model-option", "widths=[4, 4]"]
    (tmp_path / "file").write_text("no folder")
    shown = run("sr", photos, "-o", tmp_path / "file/run", *small, status=1)
    assert shown.stderr.startswith("halfpixel: ") and "file" in shown.stderr
    run("sr", photos, "-o", tmp_path / "run", *small)
    (tmp_path / "run/checkpoints/last.ckpt").write_bytes(b"no checkpoint")
    assert (
        "last.ckpt: it is no checkpoint"
        in run("sr", photos, "-o", tmp_path / "run", "--resume", *small, status=2).stderr
    )
    (tmp_path / "run/config.json").write_text("{")
    assert "config.json is damaged" in run("sr", photos, "-o", tmp_path / "run", "--resume", *small, status=2).stderr
