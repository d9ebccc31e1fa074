# SPDX-License-Identifier: MIT
"""Training of the networks in `halfpixel.models`, on Lightning: `fit`, or the parts of it with a Trainer of your own.

Lightning and torch are imported when the first name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfpixel.train import losses
    from halfpixel.train._data import PatchData
    from halfpixel.train._data_labels import SegmentationData
    from halfpixel.train._data_photos import AutoencoderData
    from halfpixel.train._data_sr import SuperResolutionData
    from halfpixel.train._fit import TASKS, Result, fit
    from halfpixel.train._optimizers import Optimization
    from halfpixel.train._patches import Patches, PatchLoader, WholeLoader
    from halfpixel.train._pictures import SkippedFileWarning
    from halfpixel.train._task_labels import SegmentationTask
    from halfpixel.train._task_photos import AutoencoderTask
    from halfpixel.train._task_sr import SuperResolutionTask

_HOME = {
    "AutoencoderTask": "_task_photos",
    "SegmentationTask": "_task_labels",
    "AutoencoderData": "_data_photos",
    "SegmentationData": "_data_labels",
    "Optimization": "_optimizers",
    "PatchData": "_data",
    "PatchLoader": "_patches",
    "Patches": "_patches",
    "Result": "_fit",
    "SkippedFileWarning": "_pictures",
    "SuperResolutionData": "_data_sr",
    "SuperResolutionTask": "_task_sr",
    "TASKS": "_fit",
    "WholeLoader": "_patches",
    "fit": "_fit",
}

__all__ = [
    "TASKS", "AutoencoderData", "AutoencoderTask", "Optimization", "PatchData", "PatchLoader", "Patches", "Result",
    "SegmentationData", "SegmentationTask", "SkippedFileWarning", "SuperResolutionData", "SuperResolutionTask",
    "WholeLoader", "fit", "losses",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME and name != "losses":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from halfpixel.train._missing import require

    require()
    home = importlib.import_module(f"{__name__}.{_HOME.get(name, name)}")
    value = home if name == "losses" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
