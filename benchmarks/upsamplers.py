# SPDX-License-Identifier: MIT
"""The registry's upsamplers, whole modules with first weights, from 64x64 to 128x128: forward, and with all gradients.

Beside them torch's plain form of the same numbers where there is one, and, of some, what their cost is judged by: the
convolutions that CARAFE needs, or bilinear interpolation and a 1x1 convolution for DySample.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as T

from halfpixel.upsamplers import Entry, create_upsampler, list_upsamplers

from . import memory, pairs
from .pairs import Job, Work, moved
from .record import Pair
from .rows import Effort, set_threads
from .tensor_windows import unfolded

CHANNELS, SIDE = (64, 256), 64
_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
_OPTIONS: dict[str, dict[str, Any]] = {"cubic": {"a": -0.75}}  # as torch's bicubic
_MOST_GUIDE = {"guided_filter": 16}  # channels; others take as many as the input has
_PEAKS = ("carafe", "convex", "dysample", "resize_conv", "sapa", "local_attention")
Module = Any
Form = Callable[[Module, Tensor], Any]


def jobs(quick: bool = False) -> Iterator[Job]:
    """All rows of the section; `quick` ones at sizes for tests."""
    for entry in list_upsamplers():
        for channels in CHANNELS if 2 in entry.dims else ():
            for layout in _FORMATS:
                for way in ("forward", "both"):
                    name = f"{entry.name}-{layout}-{channels}x{SIDE}x{SIDE}-{way}"
                    small = (16, 8) if quick else (channels, SIDE)
                    make = partial(_work, entry, *small, layout, way == "both")
                    yield Job(name, "upsampler", make, share=0.25)


def run(job: Job, effort: Effort, quick: bool = False) -> Pair:
    """`pairs.run`, and for some rows the memory at the peak, in a process of its own."""
    pair = pairs.run(job, effort)
    name, layout, size, way = job.id.split("-")
    if name not in _PEAKS or layout != "contiguous" or way != "forward":
        return pair
    channels = int(size.partition("x")[0])
    told = {"name": name, "channels": 16 if quick else channels, "side": 8 if quick else SIDE}
    command = [sys.executable, "-m", "benchmarks.upsamplers"]
    message = json.dumps({**told, "threads": effort.threads})
    done = subprocess.run(command, input=message, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{job.id}: {done.stderr.strip()}")
    return replace(pair, extra=max(0, int(done.stdout)))  # pages of the system's own come and go


def module_of(entry: Entry, channels: int, side: int, layout: str) -> tuple[Module, Tensor, Tensor | None]:
    """A module, its input, and its guide where it needs one, which has as many channels if the method takes them."""
    guide = min(channels, _MOST_GUIDE.get(entry.name, channels)) if entry.guide else None
    module = create_upsampler(entry.name, channels, guide_channels=guide, **_OPTIONS.get(entry.name, {}))
    module.to(memory_format=_FORMATS[layout])
    x, fine = torch.rand(1, channels, side, side), torch.rand(1, guide or 1, 2 * side, 2 * side)
    fine = fine.contiguous(memory_format=_FORMATS[layout])
    return module, x.contiguous(memory_format=_FORMATS[layout]), fine if entry.guide else None


def _settle() -> None:
    """Have the C library keep freed memory, as it does in any program that has freed something large before.

    Until then it hands the end of the heap back whenever a module's tensors are freed, and page faults are what would
    be measured.
    """
    torch.zeros(31 << 18)


def _work(entry: Entry, channels: int, side: int, layout: str, both: bool) -> Work:
    _settle()
    module, x, guide = module_of(entry, channels, side, layout)
    module.requires_grad_(both)
    x.requires_grad_(both)
    wanted = [x, *module.parameters()]
    if guide is not None and entry.name != "max_unpool":
        wanted.append(guide.requires_grad_(both))

    def called(form: Callable[[], Any]) -> Callable[[], Any]:
        torch.manual_seed(1)  # the same gradient for all forms, whatever the order of memory: rand_like fills by that
        grads = [torch.empty_like(y).copy_(torch.rand(y.shape, dtype=y.dtype)) for y in _all(form())]

        def call() -> Any:
            made = _all(form())
            if not both:
                return made
            found = torch.autograd.grad(made, wanted, grads, allow_unused=True)
            return (*made, *(g for g in found if g is not None))

        return call

    def ours() -> Tensor:
        return module(x, guide=guide)

    mine, theirs, beside = called(ours), {}, {}
    if entry.name == "max_unpool":
        theirs["torch"] = called(partial(_max_unpool, x, guide))
    elif entry.name in _PLAIN:
        theirs["torch"] = called(partial(_PLAIN[entry.name], module, x))
    if entry.name in _BESIDE:
        name, form = _BESIDE[entry.name]
        beside[name] = called(partial(form, module, x))
    y = ours()
    small, large = moved(x, *([] if guide is None else [guide])), moved(y)
    bytes_in, bytes_out = (2 * small + 2 * large, small + large) if both else (small, large)
    return Work({"functional": mine}, theirs, bytes_in, bytes_out, 2e-3 if both else 1e-4, beside)


def _all(made: Any) -> tuple[Tensor, ...]:
    return made if isinstance(made, tuple) else (made,)


# ------------------------------------------------------------------------------------------------ torch's plain forms


def _repeated(x: Tensor) -> Tensor:
    return T.interpolate(x, scale_factor=2.0, mode="nearest")


def _bilinear(x: Tensor) -> Tensor:
    return T.interpolate(x, scale_factor=2.0, mode="bilinear")


def _max_unpool(x: Tensor, guide: Tensor | None) -> Tensor:
    return T.max_unpool2d(x, T.max_pool2d(guide, 2, return_indices=True)[1], 2)


def _scores(module: Module, x: Tensor) -> Tensor:
    """CARAFE's convolutions."""
    return module.content_encoder(module.channel_compressor(x))


def _carafe(module: Module, x: Tensor) -> Tensor:
    return unfolded(x, T.pixel_shuffle(_scores(module, x), 2).softmax(1), module.up_kernel, 2)


def _convex(module: Module, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    weights = (0.25 * module.mask(x)).view(n, 1, 9, 2, 2, h, w).softmax(2)
    windows = T.unfold(x, [3, 3], padding=1).view(n, c, 9, 1, 1, h, w)
    return (weights * windows).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(n, c, 2 * h, 2 * w)


def _dysample(module: Module, x: Tensor) -> Tensor:
    """Positions in the range of `grid_sample`, for each group of channels."""
    n, c, h, w = x.shape
    g = module.groups
    offsets = (module.offset(x) * 0.25 + module.init_pos).view(n, 2, g, 2, 2, h, w)
    places = torch.stack(torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy"))
    at = (offsets + places.view(1, 2, 1, 1, 1, h, w)) * 2 / torch.tensor([w, h]).view(1, 2, 1, 1, 1, 1, 1) - 1
    grid = at.permute(0, 2, 5, 3, 6, 4, 1).reshape(n * g, 2 * h, 2 * w, 2)
    y = T.grid_sample(x.reshape(n * g, c // g, h, w), grid, "bilinear", "border", align_corners=False)
    return y.view(n, c, 2 * h, 2 * w)


_PLAIN: dict[str, Form] = {
    "nearest": lambda m, x: _repeated(x),
    "linear": lambda m, x: _bilinear(x),
    "cubic": lambda m, x: T.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "resize_conv": lambda m, x: T.conv2d(_repeated(x), m.conv.weight, m.conv.bias, padding=1),
    "upconv": lambda m, x: T.conv_transpose2d(x, m.conv.weight, m.conv.bias, 2),
    "conv_transpose": lambda m, x: T.conv_transpose2d(x, m.conv.weight, m.conv.bias, 2, 1),
    "pixel_shuffle": lambda m, x: T.pixel_shuffle(m.conv(x), 2),
    "lightweight": lambda m, x: T.hardswish(T.pixel_shuffle(m.expand(x), 2)),
    "separable": lambda m, x: T.pixel_shuffle(m.pointwise(m.depthwise(x)), 2),
    "dupsampling": lambda m, x: T.pixel_shuffle(m.conv(x), 2) / m.temperature,
    "carafe": _carafe,
    "convex": _convex,
    "dysample": _dysample,
}


_BESIDE: dict[str, tuple[str, Form]] = {
    "carafe": ("convolutions", _scores),
    "convex": ("convolutions", lambda m, x: m.mask(x)),
    "dysample": ("bilinear and convolution", lambda m, x: (_bilinear(x), m.offset(x))),
}


def _probe(name: str, channels: int, side: int, threads: int) -> int:
    set_threads(threads)
    entry = next(e for e in list_upsamplers() if e.name == name)
    with torch.no_grad():
        for shape in ((channels, 8), (channels, side)):  # the first loads the kernels and starts the threads
            module, x, guide = module_of(entry, *shape, "contiguous")
            found = memory.peak(partial(module, x, guide=guide), moved)
    return found


if __name__ == "__main__":
    print(_probe(**json.load(sys.stdin)))
