# SPDX-License-Identifier: MIT
"""A run that was killed and resumed ends in the same bits as one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import halfpixel
from halfpixel.train import fit

# Batch norm has buffers, and dropout draws numbers in every step: both have to come out the same.
SOURCE = """
import os, sys, torch, warnings
import lightning.pytorch as pl
from halfpixel.train import fit

torch.set_num_threads(1)

class Net(torch.nn.Module):
    scale, in_channels = 2, 1

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Dropout(0.2),
            torch.nn.Conv2d(8, 4, 3, padding=1), torch.nn.PixelShuffle(2),
        )

    def forward(self, x):
        return self.body(x)

class Stop(Exception):
    pass

class Kill(pl.Callback):
    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            self.act()

def stop():
    raise Stop

def begin(photos, run, step=-1, act=stop, **options):
    torch.manual_seed(0)
    told = {
        "patch": 8, "batch_size": 3, "max_steps": 20, "epoch_steps": 8, "checkpoint_every": 3, "seed": 5,
        "progress": False, "accelerator": "cpu", "pictures": 1, **options,
    }
    return fit("sr", photos, run=run, model=Net(), callbacks=[Kill(step, act)], **told)

if __name__ == "__main__":
    begin(sys.argv[1], sys.argv[2], int(sys.argv[3]), lambda: os._exit(9))
"""
PROGRAM: dict = {"__name__": "program"}
exec(compile(SOURCE, "program.py", "exec"), PROGRAM)


def state(result) -> dict:
    """Everything of the last checkpoint that the next step depends on, and the best weights."""
    last = torch.load(result.last, weights_only=True)
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "scores")
    best = torch.load(result.checkpoint, weights_only=True)
    return {**{name: last.get(name) for name in parts}, "best": best["state_dict"], "at": best["global_step"]}


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The run that was not stopped."""
    torch.set_num_threads(1)
    return state(PROGRAM["begin"](photos, tmp_path_factory.mktemp("whole") / "run"))


def test_killed_in_the_middle_of_an_epoch_and_resumed_by_a_new_process(photos, tmp_path, whole):
    (tmp_path / "program.py").write_text(SOURCE)
    path = os.pathsep.join([str(Path(halfpixel.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(tmp_path / "program.py"), str(photos), str(tmp_path / "run"), "13"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    kept = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 12  # the run was in step 13 of 20, in the second epoch of 8
    assert same(state(PROGRAM["begin"](photos, tmp_path / "run", resume=True)), whole)


# With a checkpoint every 3 and 4 steps: before the first one, just behind one, at the end of an epoch, in the last.
@pytest.mark.parametrize(("step", "every"), [(2, 3), (4, 3), (9, 4), (9, 8), (18, 3)])
def test_stopped_anywhere_and_resumed(photos, tmp_path, whole, step, every):
    with pytest.raises(PROGRAM["Stop"]):
        PROGRAM["begin"](photos, tmp_path / "run", step, checkpoint_every=every)
    assert same(state(PROGRAM["begin"](photos, tmp_path / "run", resume=True, checkpoint_every=every)), whole)


def test_a_finished_run_may_go_on_for_longer(photos, tmp_path):
    shared = {"schedule": "constant", "epoch_steps": 4}
    PROGRAM["begin"](photos, tmp_path / "a", max_steps=6, **shared)
    longer = PROGRAM["begin"](photos, tmp_path / "a", max_steps=11, resume=True, **shared)
    straight = PROGRAM["begin"](photos, tmp_path / "b", max_steps=11, **shared)
    one, other = state(longer), state(straight)
    assert same(one["current_model_state"], other["current_model_state"])
    assert same(one["state_dict"], other["state_dict"]) and same(one["optimizer_states"], other["optimizer_states"])


def test_a_finished_run_that_is_resumed_gives_its_result_again(photos, tmp_path, whole):
    before = PROGRAM["begin"](photos, tmp_path / "run")
    again = PROGRAM["begin"](photos, tmp_path / "run", resume=True)
    assert again.metrics == before.metrics and again.steps == 20 and same(state(again), whole)


def test_another_seed_ends_elsewhere(photos, tmp_path, whole):
    assert not same(state(PROGRAM["begin"](photos, tmp_path / "run", seed=6)), whole)


def test_another_run_is_not_resumed(photos, tmp_path):
    PROGRAM["begin"](photos, tmp_path / "run", max_steps=2)
    with pytest.raises(ValueError, match=r"holds another run \(batch_size: 3 then, 4 now; seed: 5 then, 6 now\)"):
        PROGRAM["begin"](photos, tmp_path / "run", max_steps=2, batch_size=4, seed=6, resume=True)
    with pytest.raises(ValueError, match="holds a run of the task 'sr'"):
        fit("autoencoder", photos, run=tmp_path / "run", resume=True)
