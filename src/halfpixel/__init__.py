# SPDX-License-Identifier: MIT
"""halfpixel: images, volumes, signals and feature maps, bigger and smaller.

Example:
    >>> import numpy as np, halfpixel
    >>> halfpixel.resize(np.eye(4, dtype=np.float32), (8, 8), filter="cubic").shape
    (8, 8)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        backends,
        compat,
        edges,
        errors,
        filters,
        grids,
        io,
        metrics,
        models,
        nn,
        presets,
        testing,
        train,
        upsamplers,
    )
    from ._accelerate import accelerate, accelerated
    from ._band import Band
    from ._explain import Explanation, explain
    from ._labels import resize_labels
    from ._plan import Plan, plan
    from ._reduce import Extremes, interpolate_argmax, interpolate_reduce, interpolate_threshold
    from ._resize import resize, resize_image
    from ._threads import get_num_threads, set_num_threads
    from .errors import HalfpixelError, PrecisionWarning

_HOME = {
    "Band": "_band",
    "Explanation": "_explain",
    "Extremes": "_reduce",
    "HalfpixelError": "errors",
    "Plan": "_plan",
    "PrecisionWarning": "errors",
    "accelerate": "_accelerate",
    "accelerated": "_accelerate",
    "explain": "_explain",
    "get_num_threads": "_threads",
    "interpolate_argmax": "_reduce",
    "interpolate_reduce": "_reduce",
    "interpolate_threshold": "_reduce",
    "plan": "_plan",
    "resize": "_resize",
    "resize_image": "_resize",
    "resize_labels": "_labels",
    "set_num_threads": "_threads",
}
_MODULES = (
    "backends", "compat", "edges", "errors", "filters", "grids", "io", "metrics", "models", "nn", "presets", "testing",
    "train", "upsamplers",
)  # fmt: skip

__all__ = [
    "Band",
    "Explanation",
    "Extremes",
    "HalfpixelError",
    "Plan",
    "PrecisionWarning",
    "accelerate",
    "accelerated",
    "backends",
    "compat",
    "edges",
    "errors",
    "explain",
    "filters",
    "get_num_threads",
    "grids",
    "interpolate_argmax",
    "interpolate_reduce",
    "interpolate_threshold",
    "io",
    "metrics",
    "models",
    "nn",
    "plan",
    "presets",
    "resize",
    "resize_image",
    "resize_labels",
    "set_num_threads",
    "testing",
    "train",
    "upsamplers",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("halfpixel")
    except metadata.PackageNotFoundError:
        return "0+unknown"
