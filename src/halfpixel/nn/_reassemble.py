# SPDX-License-Identifier: MIT
"""`reassemble`, and what stands on it: `convex_upsample` and `local_attention_weights`."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelShapeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
    unknown_name,
)

from . import _window, _window_softmax, _windows
from ._linear import unwatched
from ._tensors import Lately, written
from ._window_eager import Window, base

Padding = Literal["zeros", "renorm", "replicate"]
PADDINGS = ("zeros", "renorm", "replicate")
Sizes = tuple[int, ...]


def reassemble(
    x: Tensor, weights: Tensor, kernel_size: Any, scale: Any = None, groups: int = 1, padding: Padding = "zeros", *,
    softmax: bool = False,
) -> Tensor:  # fmt: skip
    """Each output pixel as a weighted sum of a window around its low-resolution pixel, as CARAFE reassembles features.

    **Convention:** x (N, C, H, W), weights (N, groups * k * k, H_out, W_out), which decide the output's size: larger,
    smaller, of any ratio. The window of output pixel p is centred at floor((p + 0.5) * H / H_out) along each axis; for
    a whole ratio s that is floor(p / s). Taps go row by row; channel c takes the weights of group c // (C / groups).
    Weights may also come before a pixel shuffle, (N, groups * k * k * s * s, H, W) with `scale` s, without another
    copy. Weights are used as they are, but for `softmax`. Halves are summed in float32.
    Arguments:
        kernel_size: the window, odd; one number or (height, width).
        scale: H_out / H, one number or one per axis: checked, floor(H * scale) must be H_out. Needed for weights
            before a pixel shuffle, which take whole ones.
        padding: what taps outside of x are: "zeros" count nothing, as published, so that borders darken; "renorm"
            leaves them out and multiplies the others by sum of all weights / sum of those inside; "replicate" takes
            the nearest pixel.
        softmax: weights are logits, and their softmax over the taps of a group is taken on the way: faster, and its
            result takes no memory.
    Returns: a new tensor (N, C, H_out, W_out) of x's dtype and memory format.
    Raises: ValueError (that is a RuntimeError for shapes that do not fit), TypeError.
    Source: Wang et al., CARAFE: Content-Aware ReAssembly of FEatures (2019); CARAFE++ (2021) for smaller outputs.
    Example:
        >>> import torch
        >>> x, logits = torch.rand(1, 8, 6, 7), torch.rand(1, 25, 12, 14)
        >>> reassemble(x, logits, 5, scale=2, softmax=True).shape
        torch.Size([1, 8, 12, 14])
    """
    key = _key(x, weights, kernel_size, scale, groups, padding, softmax)
    ready = None if key is None else _ready.get(key)
    if ready is not None:
        return ready(x, weights)
    try:
        _check_tensor(x, "x")
        _check_tensor(weights, "weights")
        window, out = _window_of(x, weights, kernel_size, scale, groups, padding)
        if weights.dtype != x.dtype and not (weights.dtype == torch.float32 and x.dtype.itemsize == 2):
            weights = weights.to(x.dtype)
        if key is not None and key[2] == weights.dtype and padding != "renorm" and _window.Ready.serves(x, weights):
            _ready.put(key, _window.Ready(x, weights, window, bool(softmax)))
        if softmax:
            if padding == "renorm":  # what is left out has the weight 0, and the others' sum is 1
                weights = _masked(weights, tuple(x.shape[2:]), out, window)
            return _window_softmax.forward(x, weights, window)
        if padding == "renorm":
            weights = _renormalised(weights, tuple(x.shape[2:]), out, window)
        return _window.forward(x, weights, window)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                "reassemble",
                x,
                weights,
                kernel_size,
                scale=scale,
                groups=groups,
                padding=padding,
                softmax=softmax or None,
            )
        ) from None


def convex_upsample(
    x: Tensor, logits: Tensor, scale: int = 8, kernel_size: Any = 3, flow: bool = False, padding: Padding = "zeros"
) -> Tensor:
    """Each output pixel as a convex combination of a window, with a softmax of `logits` over its taps, as in RAFT.

    **Convention:** x (N, C, H, W), logits (N, k * k * scale * scale, H, W): tap first, then the pixel's row and column
    within its cell, as RAFT's mask is. The result is (N, C, scale * H, scale * W).
    Arguments:
        scale: a whole number.
        kernel_size: the window, odd.
        flow: x holds displacements in pixels, which grow with the picture: they are multiplied by `scale`.
        padding: as in `reassemble`. "zeros", as published, darkens borders; the others keep combinations convex there.
    Returns: a new tensor of x's dtype.
    Raises: ValueError (that is a RuntimeError for shapes that do not fit), TypeError.
    Source: Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow (2020).
    Example:
        >>> import torch
        >>> convex_upsample(torch.rand(1, 2, 6, 7), torch.rand(1, 576, 6, 7), flow=True).shape
        torch.Size([1, 2, 48, 56])
    """
    key = _key(x, logits, kernel_size, scale, flow, padding, "convex")
    ready = None if key is None else _ready.get(key)
    if ready is not None:
        return ready(x * scale if flow else x, logits)
    try:
        _check_tensor(x, "x")
        _check_tensor(logits, "logits")
        k_h, k_w = _kernel(kernel_size)
        if not _is_whole(scale):
            raise HalfpixelValueError(f"scale is {scale!r}", "a whole number of at least 1")
        _check_channels("logits", logits, k_h * k_w * scale * scale, f"{k_h} * {k_w} * {scale} * {scale}")
        if logits.shape[2:] != x.shape[2:]:
            raise HalfpixelShapeError(
                f"logits are {_by(logits)} for an x of {_by(x)}", "logits of x's height and width"
            )
        if key is not None and key[2] == x.dtype and padding != "renorm" and _window.Ready.serves(x, logits):
            window = _window_of(x, logits, kernel_size, scale, 1, padding)[0]
            _ready.put(key, _window.Ready(x, logits, window, True))
        x = x * scale if flow else x
        return reassemble(x, logits, kernel_size, scale, 1, padding, softmax=True)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call(
                "convex_upsample", x, logits, scale=scale, kernel_size=kernel_size, flow=flow or None, padding=padding
            )
        ) from None


def local_attention_weights(
    query: Tensor, key: Tensor, kernel_size: Any, heads: int = 1, scale: float | None = None,
    padding: Padding = "renorm", softmax: bool = True,
) -> Tensor:  # fmt: skip
    """Attention of output pixels to the window around their low-resolution pixel: weights for `reassemble`.

    **Convention:** query (N, C, H_out, W_out), key (N, C, H, W), of any ratio; windows as in `reassemble`. The logit of
    a tap is scale * <query, key at the tap> over the channels of a head; weights are (N, heads * k * k, H_out, W_out).
    There is no matrix of all queries and keys.
    Arguments:
        kernel_size: the window, odd; one number or (height, width).
        heads: equal groups of channels, each with its own weights; `groups` of `reassemble`.
        scale: of the products; default 1 / sqrt(C / heads). SAPA takes 1.
        padding: what keys outside are: "renorm" leaves them out, "zeros" are keys of 0, whose logit is 0 (SAPA),
            "replicate" the nearest key.
        softmax: False returns the logits, -inf where a key is left out.
    Returns: a new tensor of query's dtype.
    Raises: ValueError (that is a RuntimeError for shapes that do not fit), TypeError.
    Source: Lu et al., SAPA: Similarity-Aware Point Affiliation for Feature Upsampling (2022).
    Example:
        >>> import torch
        >>> query, key, value = torch.rand(1, 32, 13, 9), torch.rand(1, 32, 6, 4), torch.rand(1, 8, 6, 4)
        >>> reassemble(value, local_attention_weights(query, key, 5), 5).shape
        torch.Size([1, 8, 13, 9])
    """
    try:
        _check_tensor(query, "query")
        _check_tensor(key, "key")
        window = Window(_kernel(kernel_size), _groups(key, heads, "heads"), _padding(padding) == "replicate", ())
        if query.shape[:2] != key.shape[:2]:
            raise HalfpixelShapeError(
                f"query is {tuple(query.shape)}, key {tuple(key.shape)}", "the same batch and channels"
            )
        if query.dtype != key.dtype:
            raise HalfpixelTypeError(f"query is {query.dtype}, key {key.dtype}", "one dtype for both")
        _check_sizes(key, tuple(query.shape[2:]))
        logits = _window.scores(query, key, window)
        logits = logits * (1 / math.sqrt(key.shape[1] / heads) if scale is None else scale)
        taps = logits.unflatten(1, (heads, -1))
        if padding == "renorm":
            taps = taps.masked_fill(~_inside(tuple(key.shape[2:]), tuple(query.shape[2:]), window, key), -math.inf)
        return (taps.softmax(2) if softmax else taps).flatten(1, 2)
    except HalfpixelError as error:
        raise error.in_call(
            describe_call("local_attention_weights", query, key, kernel_size, heads=heads, scale=scale, padding=padding)
        ) from None


# ------------------------------------------------------------------------------------------------ prepared calls

_ready: Lately[_window.Ready] = Lately()


def _key(x: Any, weights: Any, *options: Any) -> Any:
    """All that tells calls apart whose tensors record nothing; None for others."""
    if type(x) is not Tensor or type(weights) is not Tensor or not unwatched(x, weights):
        return None
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        return None
    key = (
        x.shape, weights.shape, weights.dtype, x.dtype, x.stride(), weights.stride(), x.is_neg() or weights.is_neg(),
        *map(written, options),
    )  # fmt: skip
    try:
        hash(key)
    except TypeError:  # the long way has the error
        return None
    return key


# ------------------------------------------------------------------------------------------------ weights at borders


def _inside(size: Sizes, out: Sizes, w: Window, like: Tensor) -> Tensor:
    """Whether each tap of each output pixel lies in the input: (taps, *out)."""
    valid = []
    for n_in, n_out, k in zip(size, out, w.kernel, strict=True):
        at = base(n_in, n_out, like.device) + torch.arange(-(k // 2), k // 2 + 1, device=like.device)[:, None]
        valid.append((at >= 0) & (at < n_in))
    rows, columns = valid
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)


def _masked(logits: Tensor, size: Sizes, out: Sizes, w: Window) -> Tensor:
    """Logits that are -inf where the tap lies outside."""
    outside = ~_inside(size, size if w.scale else out, w, logits)
    taps = (w.groups, len(outside), -1) if w.scale else (w.groups, len(outside))
    return (
        logits.unflatten(1, taps).masked_fill(outside[:, None] if w.scale else outside, -math.inf).reshape(logits.shape)
    )


def _renormalised(weights: Tensor, size: Sizes, out: Sizes, w: Window) -> Tensor:
    """Weights times the sum of all over the sum of those whose taps lie inside; untouched where all do."""
    taps = w.kernel[0] * w.kernel[1]
    inside = _inside(size, size if w.scale else out, w, weights)
    spread = inside[:, None] if w.scale else inside
    given = weights.unflatten(1, (w.groups, taps, -1) if w.scale else (w.groups, taps))
    total, kept = given.sum(2, keepdim=True), (given * spread).sum(2, keepdim=True)
    whole = inside.all(0)
    factor = torch.where(whole, 1, total / torch.where(whole, 1, kept))
    return (given * factor).flatten(1, 3 if w.scale else 2)


# ------------------------------------------------------------------------------------------------ arguments


def _by(x: Tensor) -> str:
    return " x ".join(map(str, x.shape[2:]))


def _check_tensor(x: Any, name: str) -> None:
    if not isinstance(x, Tensor):
        raise HalfpixelTypeError(f"{name} is a {type(x).__name__}", "a tensor")
    if not x.dtype.is_floating_point or x.dtype.itemsize < 2:
        raise HalfpixelTypeError(f"{name} is {x.dtype}", "float16, bfloat16, float32 or float64")
    if x.dim() != 4:
        raise HalfpixelShapeError(f"{name} has {x.dim()} dimensions", "(N, C, H, W)")


def _check_channels(name: str, x: Tensor, wanted: int, says: str) -> None:
    if x.shape[1] != wanted:
        raise HalfpixelShapeError(f"{name} have {x.shape[1]} channels", f"{says} = {wanted} channels")


def _check_sizes(x: Tensor, out: Sizes) -> None:
    if 0 in x.shape[2:]:
        raise HalfpixelShapeError(f"an input of {_by(x)} pixels has no windows", "sides of at least 1")


def _kernel(kernel_size: Any) -> Sizes:
    kernel = _windows.each(2, kernel_size, "kernel_size")
    if any(k < 1 or k % 2 == 0 for k in kernel):
        raise HalfpixelValueError(f"kernel_size is {kernel_size!r}", "odd numbers: windows have a centre")
    return kernel


def _groups(x: Tensor, groups: Any, name: str) -> int:
    if not _is_whole(groups):
        raise HalfpixelValueError(f"{name} is {groups!r}", "a whole number of at least 1")
    if x.shape[1] % groups:
        raise HalfpixelShapeError(
            f"{x.shape[1]} channels cannot be divided into {groups} {name}", f"a divisor of {x.shape[1]}"
        )
    return groups


def _is_whole(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 1


def _padding(padding: Any) -> str:
    if padding not in PADDINGS:
        raise unknown_name("padding", padding, PADDINGS)
    return str(padding)


def _window_of(
    x: Tensor, weights: Tensor, kernel_size: Any, scale: Any, groups: int, padding: str
) -> tuple[Window, Sizes]:
    """The window, and the output's size."""
    kernel, replicate = _kernel(kernel_size), _padding(padding) == "replicate"
    taps = _groups(x, groups, "groups") * kernel[0] * kernel[1]
    if weights.shape[0] != x.shape[0]:
        raise HalfpixelShapeError(
            f"x has a batch of {x.shape[0]}, weights one of {weights.shape[0]}", "weights for every sample"
        )
    _check_sizes(x, tuple(weights.shape[2:]))
    scales = None if scale is None else _scales(scale)
    if scales is not None and _before_shuffle(x, weights, scales):
        s_h, s_w = (int(s) for s in scales)
        _check_channels("weights", weights, taps * s_h * s_w, f"groups * k * k * s * s = {taps} * {s_h} * {s_w}")
        out = (x.shape[2] * s_h, x.shape[3] * s_w)
        return Window(kernel, groups, replicate, (s_h, s_w)), out
    _check_channels("weights", weights, taps, f"groups * k * k = {groups} * {kernel[0]} * {kernel[1]}")
    out = tuple(weights.shape[2:])
    if scales is not None:
        wanted = tuple(math.floor(n * s) for n, s in zip(x.shape[2:], scales, strict=True))
        if wanted != out:
            raise HalfpixelShapeError(
                f"scale {scale} makes {' x '.join(map(str, wanted))} of {_by(x)}, and weights are {_by(weights)}",
                "weights of that size; or no scale, and the weights decide",
            )
    return Window(kernel, groups, replicate, ()), out


def _before_shuffle(x: Tensor, weights: Tensor, scales: tuple[float, ...]) -> bool:
    whole = all(float(s).is_integer() and s >= 1 for s in scales)
    return whole and max(scales) > 1 and weights.shape[2:] == x.shape[2:]


def _scales(scale: Any) -> tuple[float, ...]:
    given = tuple(scale) if isinstance(scale, (list, tuple)) else (scale, scale)
    if len(given) != 2 or any(isinstance(s, bool) or not isinstance(s, (int, float)) for s in given):
        raise HalfpixelTypeError(f"scale is {scale!r}", "a number, or one per axis")
    if not all(0 < s < math.inf for s in given):
        raise HalfpixelValueError(f"scale is {scale!r}", "positive numbers")
    return given
