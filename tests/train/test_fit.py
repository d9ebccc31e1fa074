# SPDX-License-Identifier: MIT
"""Each task learns something in seconds, and leaves behind what it promises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import halfpixel
from halfpixel import io, metrics, models
from halfpixel.train import fit

QUICK = {"progress": False, "accelerator": "cpu"}
TINY = {**QUICK, "batch_size": 2, "patch": 8, "max_steps": 4, "epoch_steps": 2}


def test_super_resolution_gets_better_than_bicubic(photos, tmp_path):
    result = fit(
        "sr", photos, run=tmp_path / "run", patch=16, batch_size=8, max_steps=400, epoch_steps=200, learning_rate=4e-3,
        ema=0.98, **QUICK,
    )  # fmt: skip
    assert result.steps == 400 and result.metrics["psnr"] > result.metrics["bicubic"]
    # The exported file holds the weights that were measured, and so does the checkpoint.
    low, high, shown = validated(photos)
    loaded = models.load(result.weights)
    with torch.no_grad():
        found = loaded(torch.tensor(low)[None, None].float() / 255)[0, 0].double().numpy() * 255
    psnr = metrics.psnr(np.clip(np.round(found), 0, 255), high, crop=2, data_range=255.0)
    assert psnr == pytest.approx(result.metrics["psnr"], abs=1e-3)
    bicubic = halfpixel.resize_image(shown, (128, 128), like="matlab.bicubic")
    assert metrics.psnr(
        np.round(luma(bicubic)), high, crop=2, data_range=255.0
    ) == pytest.approx(result.metrics["bicubic"], abs=1e-3)  # fmt: skip


def luma(rgb: np.ndarray) -> np.ndarray:
    return 16 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def validated(photos: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, high) luma levels of the photo that is kept back, and its small version: the first by name."""
    pixels = io.read(photos / "astronaut.png").pixels
    small = halfpixel.resize_image(pixels, (64, 64), like="matlab.bicubic")
    return luma(small), luma(pixels), small


def test_segmentation_learns_the_shapes(scenes, tmp_path):
    result = fit(
        "segmentation", scenes, run=tmp_path / "run", classes=3, patch=32, batch_size=8, max_steps=30, epoch_steps=15,
        learning_rate=1e-2, ema=0.9, model_options={"width": 8, "depth": 2}, loss="cross_entropy+dice", **QUICK,
    )  # fmt: skip
    # All background would be 0.3 at most.
    assert result.metrics["miou"] > 0.75 and result.metrics["dice"] > result.metrics["miou"]
    assert type(models.load(result.weights)) is models.UNet


def test_an_autoencoder_learns_to_give_back_its_input(photos, tmp_path):
    from halfpixel.train import AutoencoderData, AutoencoderTask

    data = AutoencoderData(photos, patch=32)
    data.setup()
    torch.manual_seed(0)
    task = AutoencoderTask(model_options={"widths": (16, 16, 16), "norm": "batch"}).eval()
    with torch.no_grad():
        (before, _) = task.scores(next(iter(data.val_dataloader())))["psnr"]
    result = fit(
        "autoencoder", photos, run=tmp_path / "run", patch=32, batch_size=8, max_steps=100, epoch_steps=100,
        learning_rate=4e-3, ema=0.95, model_options={"widths": (16, 16, 16), "norm": "batch"}, **QUICK,
    )  # fmt: skip
    assert result.metrics["psnr"] > max(before + 4, 17)  # a flat picture of the mean colour has 13


@pytest.mark.parametrize("loss", ["l1", "charbonnier", "mse"])
@pytest.mark.parametrize("schedule", ["cosine", "multistep", "constant"])
def test_every_loss_falls_on_a_single_batch(photos, tmp_path, loss, schedule):
    from halfpixel.train import SuperResolutionData, SuperResolutionTask

    data = SuperResolutionData(photos, patch=8)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)
    task = SuperResolutionTask(loss=loss, schedule=schedule, optimizer="adamw", weight_decay=1e-4)
    made = task.optimization.for_lightning(task.parameters(), 20)
    optimizer, rate = made["optimizer"], made.get("lr_scheduler", {}).get("scheduler")
    found = []
    for _ in range(20):
        value, shown = task.step(batch)
        found.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if rate is not None:
            rate.step()
    assert found[-1] < found[0] / 1.5
    assert shown["psnr"].item() > 0
    share = {"cosine": 0, "multistep": 0.125, "constant": 1}[schedule]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * share, abs=1e-9)


def test_a_run_leaves_its_options_pictures_logs_and_checkpoints(photos, tmp_path):
    run = tmp_path / "deep/run"
    result = fit("sr", photos, run=run, model="fsrcnn", scale=3, pictures=1, ema=None, seed=7, **TINY)
    found = json.loads((run / "config.json").read_text())
    assert found["task"] == "sr" and found["options"]["seed"] == 7 and found["options"]["scale"] == 3
    assert found["options"]["data"] == str(photos)
    assert set(found["versions"]) >= {"halfpixel", "python", "numpy", "torch", "lightning"}
    assert sorted(p.name for p in (run / "pictures").iterdir()) == ["step-00000002-0.png", "step-00000004-0.png"]
    side = 128 // 3 * 3
    assert io.header(run / "pictures/step-00000004-0.png").size == (side + 4, 3 * (side + 4))
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert result.run == run and result.checkpoint.is_file() and result.last.is_file() and result.steps == 4
    assert scalars(run) >= {"train/loss", "val/psnr", "val/bicubic"} and images(run)
    assert json.loads(json.dumps(result.to_dict()))["steps"] == 4
    assert models.load(result.weights).scale == 3


def events(run: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(run / "logs")).Reload()


def scalars(run: Path) -> set[str]:
    return set(events(run).Tags()["scalars"])


def images(run: Path) -> list[str]:
    return events(run).Tags()["images"]


def test_the_best_weights_are_kept_not_the_last(photos, tmp_path):
    # A rate this high throws the network to and fro.
    result = fit("sr", photos, run=tmp_path / "run", schedule="constant", learning_rate=0.05, ema=None, **{
        **TINY, "max_steps": 10,
    })  # fmt: skip
    seen = [event.value for event in events(result.run).Scalars("val/psnr")]
    best = seen.index(max(seen))
    assert len(seen) == 5 and best != 4
    assert torch.load(result.checkpoint, weights_only=True)["global_step"] == 2 * (best + 1)
    assert result.metrics["psnr"] == pytest.approx(max(seen), abs=1e-3)


def test_steps_after_the_last_epoch_are_validated_too(photos, tmp_path):
    result = fit("sr", photos, run=tmp_path / "run", **{**TINY, "max_steps": 5, "epoch_steps": 3})
    assert torch.load(result.checkpoint, weights_only=True)["scored_at"] in (3, 5)
    assert result.module.scored_at == 5


def test_averaged_weights_are_the_average_of_every_step(photos, tmp_path):
    from lightning.pytorch import Callback

    class Watch(Callback):
        """The average by its definition, in float64."""

        def __init__(self):
            self.mean, self.steps = None, 0

        def on_train_batch_end(self, trainer, module, *_):
            weights = torch.cat([p.detach().flatten() for p in module.parameters()]).double()
            share = 1 - min(0.5, (1 + self.steps) / (10 + self.steps))
            self.mean = weights if self.mean is None else self.mean + share * (weights - self.mean)
            self.steps += 1

    watch = Watch()
    result = fit("sr", photos, run=tmp_path / "run", ema=0.5, callbacks=[watch], schedule="constant", **{
        **TINY, "max_steps": 20,
    })  # fmt: skip
    kept = torch.load(result.last, weights_only=True)
    mean = torch.cat([v.flatten() for v in kept["state_dict"].values()]).double()
    plain = torch.cat([v.flatten() for v in kept["current_model_state"].values()]).double()
    assert watch.steps == 20
    torch.testing.assert_close(mean, watch.mean, rtol=0, atol=1e-6)
    assert (mean - plain).abs().max() > 1e-4


def test_a_module_of_your_own_and_a_trainer_of_your_own(photos, tmp_path):
    import lightning.pytorch as pl

    from halfpixel.train import SuperResolutionData, SuperResolutionTask

    class Own(torch.nn.Module):
        scale, in_channels = 2, 3

        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            return self.gain * x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    task = SuperResolutionTask(Own(), learning_rate=0.05, schedule="constant")
    data = SuperResolutionData(photos, patch=8, epoch_steps=30)
    trainer = pl.Trainer(
        max_steps=30, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with quiet_lightning():
        trainer.fit(task, data)
    assert task.model.gain.item() == pytest.approx(1, abs=0.08)
    assert 20 < float(trainer.callback_metrics["val/psnr"]) < float(trainer.callback_metrics["val/bicubic"])
    result = fit("sr", photos, run=tmp_path / "run", model=Own(), **TINY)
    assert result.weights is None and not (tmp_path / "run/model.safetensors").exists()


def quiet_lightning():
    from halfpixel.train._run import quiet

    return quiet()


def test_mixed_precision_is_lightnings_flag(photos, tmp_path):
    result = fit("sr", photos, run=tmp_path / "run", precision="bf16-mixed", **TINY)
    assert math.isfinite(result.metrics["psnr"])
    assert {p.dtype for p in result.module.parameters()} == {torch.float32}


def test_a_loss_that_is_no_number_ends_the_run(photos, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) after step"):
        fit("sr", photos, run=tmp_path / "run", learning_rate=1e30, loss="mse", **TINY)


@pytest.mark.parametrize(
    ("task", "options", "why"),
    [
        ("superres", {}, "unknown task 'superres'"),
        ("sr", {"loss": "l3"}, "unknown loss 'l3'"),
        ("sr", {"model": "espnc"}, r"unknown model 'espnc'(.|\n)*espcn"),
        ("sr", {"model": "unet"}, r"'unet' is for segmentation, not for super-resolution(.|\n)*fsrcnn"),
        ("sr", {"accelerator": "abacus"}, "Lightning refuses(.|\n)*abacus"),
        ("sr", {"optimizer": "sgdd"}, "unknown optimizer"),
        ("sr", {"schedule": "cosin"}, r"unknown schedule 'cosin'(.|\n)*cosine"),
        ("sr", {"learning_rate": 0}, "learning_rate is 0"),
        ("sr", {"ema": 1.5}, "the decay of averaged weights is 1.5"),
        ("sr", {"lerning_rate": 1}, r"unknown option of fit\('sr'\) 'lerning_rate'(.|\n)*learning_rate"),
        ("sr", {"classes": 3}, r"unknown option of fit\('sr'\) 'classes'"),
        ("sr", {"max_steps": -1, "max_time": "00:00:01:00"}, "needs to know how many steps"),
        ("sr", {"resume": True, "overwrite": True}, "exclude each other"),
        ("segmentation", {}, r"fit\('segmentation'\) needs classes"),
    ],
)
def test_wrong_calls_are_errors_and_leave_nothing_behind(photos, tmp_path, task, options, why):
    with pytest.raises(ValueError, match=why) as raised:
        fit(task, photos, run=tmp_path / "run", **{**TINY, **options})
    assert str(raised.value).startswith("fit(")
    if "max_time" not in options:
        assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_not_written_to(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not the folder of a run"):
        fit("sr", photos, run=tmp_path / "run", overwrite=True, **TINY)
    fit("sr", photos, run=tmp_path / "other", **TINY)
    with pytest.raises(ValueError, match=r"holds a run already(.|\n)*--resume"):
        fit("sr", photos, run=tmp_path / "other", **TINY)
    (tmp_path / "other/notes.txt").write_text("mine")
    fit("sr", photos, run=tmp_path / "other", overwrite=True, **TINY)
    assert (tmp_path / "other/notes.txt").read_text() == "mine"
