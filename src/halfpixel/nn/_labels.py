# SPDX-License-Identifier: MIT
"""`resize_labels` on tensors: the operator `halfpixel::labels`. Labels have no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfpixel._labels import check_labels, copies, ignored_label, vote
from halfpixel._request import Options
from halfpixel.errors import HalfpixelTypeError

from . import _how, _resize, _tensors

_library = torch.library.Library("halfpixel", "FRAGMENT")
_library.define(
    "labels(Tensor x, str how, SymInt[] size_in, SymInt[] size_out, str method, int? ignore_index) -> Tensor"
)


def _kernel(x: Tensor, how: str, size_in: Any, size_out: Any, method: str, ignore_index: int | None) -> Tensor:
    plan = _how.plan(how, tuple(size_in), tuple(size_out), False)
    if (copying := copies(plan, method)) is not None:
        return _tensors.apply(copying, x)
    _tensors.check_device(x)
    out = _tensors.result(x, plan.shape_out(tuple(x.shape)))
    vote(plan, _tensors.array(x), _tensors.array(out), method, ignore_index)
    return out


def _fake(x: Tensor, how: str, size_in: Any, size_out: Any, method: str, ignore_index: int | None) -> Tensor:
    shape = list(x.shape)
    for axis, n in zip(_how.axes_of(how), size_out, strict=True):
        shape[axis] = n
    return _tensors.result(x, tuple(shape))


_library.impl("labels", _kernel, "CPU")
torch.library.register_fake("halfpixel::labels", _fake, lib=_library)


def resize_labels(labels: Tensor, options: Options, method: str, ignore_index: Any) -> Tensor:
    """`halfpixel.resize_labels` on a tensor; errors do not name the call."""
    if options.new_spacing is not None:
        raise HalfpixelTypeError("tensors take no spacing", "size= or scale=, or labels.numpy()")
    whole = not (labels.is_floating_point() or labels.is_complex())
    check_labels("i" if whole else "f", labels.dtype)
    ignored = _ignored(ignore_index, str(labels.dtype))
    resized: Tensor = torch.ops.halfpixel.labels.default(labels, *_resize.asked(labels, options), method, ignored)
    return resized


@torch.compiler.assume_constant_result
def _ignored(ignore_index: Any, dtype: str) -> int | None:
    return ignored_label(ignore_index, np.dtype(dtype.removeprefix("torch.")))
