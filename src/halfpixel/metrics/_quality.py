# SPDX-License-Identifier: MIT
"""`psnr` and `ssim`: plain, or as a protocol's papers mean them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel import _sizes, filters
from halfpixel._plan import plan
from halfpixel.errors import HalfpixelError, HalfpixelShapeError, HalfpixelValueError, describe_call
from halfpixel.metrics import _inputs, protocols

Array = NDArray[np.float64]
WINDOW = 11
"""Pixels a side of the Gaussian window of `ssim`, of standard deviation 1.5 pixels."""


@dataclass(frozen=True)
class ImageScores:
    """PSNR in dB, infinite where nothing differs, and SSIM, 1 where nothing differs."""

    psnr: float
    ssim: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain values; what JSON has no number for, infinity and NaN, is None."""
        return {name: plain(value) for name, value in (("psnr", self.psnr), ("ssim", self.ssim))}


def plain(value: float) -> float | None:
    """The number, or None where JSON has none for it."""
    return value if math.isfinite(value) else None


def psnr(
    image: Any,
    reference: Any,
    *,
    protocol: str | protocols.Protocol | None = None,
    scale: int | None = None,
    crop: int | None = None,
    data_range: float | None = None,
) -> float:
    """The peak signal-to-noise ratio, 10 log10(data_range^2 / mean squared difference), in dB.

    **Convention:** all pixels and channels weigh the same. Without a protocol the samples are compared as they are:
    nothing is rounded or clipped. NaN in an image gives NaN.
    Arguments:
        image, reference: (height, width) or (height, width, channels), arrays or tensors of one shape: unsigned
            integers, or floats in 0 ... 1.
        protocol: a name from `protocols.TABLE`, such as "sr-y", or a `Protocol`: what is done to both first. The two
            may then differ in dtype.
        scale: with a protocol, the factor of the super-resolution: it says how much border is cut off.
        crop: pixels cut off on every side; with a protocol, in place of scale.
        data_range: without a protocol, the distance from black to white. Default: the largest integer of the dtype,
            1.0 for floats.
    Returns: dB; infinity where nothing differs.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import numpy as np
        >>> psnr(np.full((4, 4), 100, np.uint8), np.full((4, 4), 110, np.uint8))  # 20 log10(255 / 10)
        28.13080360867910...
    """
    options = {"protocol": protocol, "scale": scale, "crop": crop, "data_range": data_range}
    return _called("psnr", image, reference, options, _psnr)


def ssim(
    image: Any,
    reference: Any,
    *,
    protocol: str | protocols.Protocol | None = None,
    scale: int | None = None,
    crop: int | None = None,
    data_range: float | None = None,
) -> float:
    """The structural similarity, with the Gaussian window that its authors used.

    **Convention:** windows of 11 x 11 pixels, weights of a Gaussian with sigma 1.5, population covariance,
    K1 = 0.01, K2 = 0.03; only windows that lie inside the image, the mean over them and over channels. Nothing is
    shrunk first. NaN in an image gives NaN.
    Arguments: as of `psnr`; 11 pixels a side or more after the crop.
    Returns: 1 where nothing differs; below, and possibly below 0, where something does.
    Raises: as `psnr`.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004; agrees with scikit-image's structural_similarity with
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False.
    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 256).reshape(16, 16)
        >>> ssim(x, x), round(ssim(x, 1 - x, data_range=1.0), 3)
        (1.0, -0.826)
    """
    options = {"protocol": protocol, "scale": scale, "crop": crop, "data_range": data_range}
    return _called("ssim", image, reference, options, _ssim)


def measure(
    image: Any,
    reference: Any,
    *,
    protocol: str | protocols.Protocol | None = None,
    scale: int | None = None,
    crop: int | None = None,
    data_range: float | None = None,
) -> ImageScores:
    """`psnr` and `ssim` of the same call.

    **Convention:** arguments and errors as of `psnr`. Returns: ImageScores.
    Example:
        >>> import numpy as np
        >>> x = np.zeros((20, 20, 3), np.uint8)
        >>> measure(x, x, protocol="sr-y", scale=4).to_dict()
        {'psnr': None, 'ssim': 1.0}
    """
    options = {"protocol": protocol, "scale": scale, "crop": crop, "data_range": data_range}
    both = _called("measure", image, reference, options, lambda a, b, span: (_psnr(a, b, span), _ssim(a, b, span)))
    return ImageScores(*both)


def _called(name: str, image: Any, reference: Any, options: dict[str, Any], how: Any) -> Any:
    try:
        return how(*_prepared(image, reference, **options))
    except HalfpixelError as error:
        raise error.in_call(describe_call(name, image, reference, **options)) from None


def _prepared(
    image: Any, reference: Any, protocol: Any, scale: Any, crop: Any, data_range: Any
) -> tuple[Array, Array, float]:
    """What is compared, (height, width, channels), and its range."""
    a, b = _inputs.images(image, reference)
    if protocol is None:
        if scale is not None:
            raise HalfpixelValueError("scale belongs to a protocol", "protocol='sr-y', or crop= without scale=")
        span = _inputs.span(a, b, data_range)
        border = 0 if crop is None else _not_negative(crop, "crop")
        return _cropped(a.astype(np.float64), border), _cropped(b.astype(np.float64), border), span
    chosen = protocols.get(protocol)
    if data_range is not None:
        raise HalfpixelValueError(f"protocol {chosen.name!r} has its own range, 255", "either of the two")
    border = _border(chosen, scale, crop)
    if a.shape[2] not in (1, 3):
        works = "1 or 3 channels: HW, HW1 or HW3, transparency left out; tensors: x.permute(1, 2, 0)"
        raise HalfpixelShapeError(f"protocol {chosen.name!r} has no rule for {a.shape[2]} channels", works)
    taken = protocols.CHANNELS[chosen.channels]
    first, second = (
        taken(_inputs.levels(_cropped(one, border), what)) for one, what in ((a, "image"), (b, "reference"))
    )
    return first, second, protocols.PEAK


def _border(protocol: protocols.Protocol, scale: Any, crop: Any) -> int:
    if (scale is None) == (crop is None):
        works = "exactly one of scale=, such as scale=4, and crop=, in pixels"
        given = "neither" if scale is None else "both"
        raise HalfpixelValueError(
            f"protocol {protocol.name!r} cuts a border off, and {given} of the two is given", works
        )
    if crop is not None:
        return _not_negative(crop, "crop")
    factor = _sizes.integer(scale, "scale")
    if factor < 1:
        raise HalfpixelValueError(f"scale is {factor}", "1 or more")
    return factor + protocol.margin


def _not_negative(value: Any, what: str) -> int:
    found = _sizes.integer(value, what)
    if found < 0:
        raise HalfpixelValueError(f"{what} is {found}", "0 or more")
    return found


def _cropped(a: NDArray[Any], border: int) -> NDArray[Any]:
    if 2 * border >= min(a.shape[:2]):
        raise HalfpixelShapeError(
            f"nothing is left of {_inputs.shown(a.shape)} pixels without a border of {border}", "a larger image"
        )
    return a[border : a.shape[0] - border, border : a.shape[1] - border]


def _psnr(a: Array, b: Array, span: float) -> float:
    with np.errstate(all="ignore"):
        error = float(np.mean(np.square(a - b)))
    if error == 0:
        return math.inf
    return 20 * math.log10(span) - 10 * math.log10(error) if math.isfinite(error) else -error


def _ssim(a: Array, b: Array, span: float) -> float:
    if min(a.shape[:2]) < WINDOW:
        works = f"{WINDOW} pixels a side or more after the crop"
        raise HalfpixelShapeError(f"{_inputs.shown(a.shape)} pixels hold no window of {WINDOW} x {WINDOW}", works)
    # Channels one by one: as many float64 images live at once as a gray picture needs.
    with np.errstate(all="ignore"):
        means = [_ssim_of_channel(a[..., c], b[..., c], span) for c in range(a.shape[2])]
    return float(np.mean(means))


def _ssim_of_channel(a: Array, b: Array, span: float) -> float:
    # With s = a + b and d = a - b, four windowed means are enough, and equal images give exactly 1:
    # 2 ma mb = (ms^2 - md^2) / 2, ma^2 + mb^2 = (ms^2 + md^2) / 2, and the same for the (co)variances.
    s, d = a + b, a - b
    mean_s, mean_d = _windowed(s) ** 2, _windowed(d) ** 2
    var_s, var_d = _windowed(s * s) - mean_s, _windowed(d * d) - mean_d
    c1, c2 = 2 * (0.01 * span) ** 2, 2 * (0.03 * span) ** 2
    over, under = (mean_s - mean_d + c1) * (var_s - var_d + c2), (mean_s + mean_d + c1) * (var_s + var_d + c2)
    return float(np.mean(over / under))


def _windowed(x: Array) -> Array:
    """Gaussian means over every window inside."""
    smooth = plan(x.shape, x.shape, filter=filters.gaussian(1.5, WINDOW / 2), edge="edge")(np.ascontiguousarray(x))
    margin = WINDOW // 2
    return smooth[margin : x.shape[0] - margin, margin : x.shape[1] - margin]
