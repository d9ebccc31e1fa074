# SPDX-License-Identifier: MIT
"""The libraries measured beside ours: how each is called, and why it sometimes is not.

"The same" means: the same filter on the same pixel grid with the same antialiasing, found equal to the float64
definition under the peer's own edge rule (`edge`) before anything is timed. Each peer gets its own kind of image
beforehand, and keeps its own kind of result: no conversion is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from halfpixel.testing.cases import Case

Call = Callable[[], Any]


@dataclass(frozen=True)
class Peer:
    """A library: `prepare` makes the call to time, `result` turns what it returned into an array like ours."""

    module: str
    prepare: Callable[[Case, np.ndarray], Call]
    result: Callable[[Case, Any], np.ndarray]
    set_threads: Callable[[int], None]
    edge: str | None = None  # None: the case's own rule
    dtypes: tuple[str, ...] = ()  # () takes all
    layouts: tuple[str, ...] = ("interleaved",)

    @property
    def installed(self) -> bool:
        """The library can be imported."""
        return find_spec(self.module) is not None

    def why_not(self, case: Case) -> str | None:
        """Why this peer cannot run `case`, or None."""
        if not self.installed:
            return f"{self.module} is not installed"
        if self.dtypes and case.dtype not in self.dtypes:
            return f"{self.module} is called here for {', '.join(self.dtypes)} only"
        if case.layout not in self.layouts:
            return f"{self.module} is called here for {', '.join(self.layouts)} images only"
        return None


def _method(case: Case, table: dict[tuple[str, bool], Any]) -> Any:
    """The peer's name for the case's filter."""
    try:
        return table[case.filter, case.antialias]
    except KeyError:
        raise ValueError(f"{case.id}: the peer has no {case.filter} with antialias={case.antialias}") from None


def torch_arguments(case: Case, x: np.ndarray) -> tuple[Any, dict[str, Any]]:
    """`x` as a tensor, and the keyword arguments of torch's `interpolate` for the case."""
    import torch

    bits = x.view(np.uint16) if case.dtype == "bfloat16" else x
    tensor = torch.from_numpy(bits)
    tensor = tensor.view(torch.bfloat16) if case.dtype == "bfloat16" else tensor
    if case.layout == "interleaved":
        tensor = tensor.permute(2, 0, 1)[None]
    spatial = tensor.ndim - 2
    whole = all(m % case.shape[a] == 0 for a, m in zip(case.axes, case.size, strict=True))
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[spatial]
    mode = _method(
        case,
        {
            ("nearest", False): "nearest" if whole else "nearest-exact",
            ("linear", False): linear,
            ("linear", True): linear,
            ("cubic(a=-0.75)", False): "bicubic",
            ("cubic", True): "bicubic",
            ("lanczos3", True): "lanczos",
            ("area", True): "area",
        },
    )
    options: dict[str, Any] = {"size": case.size, "mode": mode}
    if case.antialias and mode != "area":
        options["antialias"] = True
    return tensor, options


def _torch_prepare(case: Case, x: np.ndarray) -> Call:
    import torch

    tensor, options = torch_arguments(case, x)
    return lambda: torch.nn.functional.interpolate(tensor, **options)


def _torch_result(case: Case, result: Any) -> np.ndarray:
    if case.layout == "interleaved":
        result = result[0].permute(1, 2, 0)
    return np.asarray(result.double().numpy())


def _torch_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _opencv_prepare(case: Case, x: np.ndarray) -> Call:
    import cv2

    how = _method(
        case,
        {
            ("nearest", False): cv2.INTER_NEAREST_EXACT,
            ("linear", False): cv2.INTER_LINEAR,
            ("cubic(a=-0.75)", False): cv2.INTER_CUBIC,
            ("lanczos4", False): cv2.INTER_LANCZOS4,
            ("area", True): cv2.INTER_AREA,
        },
    )
    return lambda: cv2.resize(x, case.size[::-1], interpolation=how)


def _opencv_threads(count: int) -> None:
    import cv2

    cv2.setNumThreads(count)


def _pillow_prepare(case: Case, x: np.ndarray) -> Call:
    from PIL import Image

    how = _method(
        case,
        {
            ("nearest", False): Image.Resampling.NEAREST,
            ("linear", True): Image.Resampling.BILINEAR,
            ("cubic", True): Image.Resampling.BICUBIC,
            ("lanczos3", True): Image.Resampling.LANCZOS,
        },
    )
    image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
    height, width = case.size
    return lambda: image.resize((width, height), how)


def _pyvips_prepare(case: Case, x: np.ndarray) -> Call:
    import pyvips

    pyvips.cache_set_max(0)  # otherwise the second call returns the first one's result
    height, width, bands = x.shape
    image = pyvips.Image.new_from_memory(
        x.tobytes(), width, height, bands, {"uint8": "uchar", "uint16": "ushort"}[case.dtype]
    )
    kernel = _method(case, {("linear", True): "linear", ("cubic", True): "cubic", ("lanczos3", True): "lanczos3"})
    scale, vscale = case.size[1] / width, case.size[0] / height
    return lambda: image.resize(scale, vscale=vscale, kernel=kernel, gap=0.0).write_to_memory()


def _pyvips_result(case: Case, result: Any) -> np.ndarray:
    return _array_result(case, np.frombuffer(result, case.dtype))


def _kornia_prepare(case: Case, x: np.ndarray) -> Call:
    from kornia_rs.imgproc import resize

    how = _method(
        case,
        {
            ("nearest", False): "nearest",
            ("linear", False): "bilinear",
            ("cubic", True): "bicubic",
            ("lanczos3", True): "lanczos",
        },
    )
    height, width = case.size
    return lambda: resize(x, (height, width), how, antialias=case.antialias)


def _array_result(case: Case, result: Any) -> np.ndarray:
    return np.asarray(result).reshape(case.out_shape).astype(np.float64)


def _fixed_threads(count: int) -> None:
    """Pillow has one thread; libvips and kornia-rs read theirs from the environment before they are imported."""


PEERS = {
    "torch": Peer(
        "torch", _torch_prepare, _torch_result, _torch_threads, layouts=("planar", "channels_last", "interleaved")
    ),
    "opencv": Peer("cv2", _opencv_prepare, _array_result, _opencv_threads, dtypes=("uint8", "uint16", "float32")),
    "pillow": Peer("PIL", _pillow_prepare, _array_result, _fixed_threads, dtypes=("uint8",)),
    "pyvips": Peer("pyvips", _pyvips_prepare, _pyvips_result, _fixed_threads, edge="edge", dtypes=("uint8", "uint16")),
    "kornia": Peer("kornia_rs", _kornia_prepare, _array_result, _fixed_threads, edge="edge", dtypes=("uint8",)),
}
