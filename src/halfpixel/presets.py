# SPDX-License-Identifier: MIT
"""Presets: what other libraries do, by name. A new one is one row of `TABLE`.

**Convention:** a name is `library.method`, `library@version.method`, or either with options as in a call:
"torch.bicubic", "pillow@12.lanczos", "torch.bilinear(align_corners=True)", "scipy.zoom(order=1, mode='nearest')".
Without a version the newest that was checked is meant. A row's columns are the names of rules, which
`halfpixel._conventions` holds; `options` says which columns each value of an option replaces (the first value is the
default).
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from ._conventions.builder import Preset
from ._conventions.line import Numbers
from ._conventions.onnx import NEAREST, TRANSFORMATIONS, cubic_columns
from ._conventions.scipy import MODES
from ._conventions.spec import parsed
from .errors import HalfpixelTypeError

Columns = dict[str, Any]


def _rows(shared: Columns, rows: dict[str, Columns]) -> list[Preset]:
    return [Preset(name=name, **{**shared, **columns}) for name, columns in rows.items()]


_ALIGN: Columns = {"align_corners": {False: {}, True: {"grid": "align_corners"}}}
_RECOMPUTE: Columns = {"recompute_scale_factor": {False: {}, True: {"step_rule": "size"}}}
_STRETCHED: Columns = {
    "coord_rule": "torch.centres", "weight_rule": "truncated", "edge": "crop", "antialias": True, "skip_rule": "equal"
}  # fmt: skip
# Small images and channels-last ones go through a kernel that is float32 for doubles too.
_SINGLE: Columns = {"round_rule": "torch.single", "routes": ()}
_VECTORISED: Columns = {**_SINGLE, "weight_rule": "torch.vectorised"}
_TORCH: Columns = {
    "step_rule": "scale", "size_rule": "floor", "options": _RECOMPUTE, "library": "torch",
    "dtypes": "float64 float32 float16 bfloat16 uint8", "source": "torch.nn.functional.interpolate, 2.13, CPU",
}  # fmt: skip
_TORCH_LINEAR: Columns = {
    "filter": "linear", "coord_rule": "torch", "weight_rule": "torch.two_taps", "skip_rule": "equal",
    "options": {**_ALIGN, **_RECOMPUTE}, "dtypes": "float64 float32 float16 bfloat16", "summary": "two taps, clamped",
}  # fmt: skip
_TORCH_IMAGE: Columns = {"round_rule": "torch", "pass_order": "last_axis_first"}
_TORCH_ROWS = _rows(_TORCH, {
    "torch.nearest": {
        "filter": "nearest", "coord_rule": "torch.corners", "weight_rule": "floor", "round_rule": "torch.nearest",
        "routes": (("small_image", "torch.nearest, small image"),),
        "options": {"channels_last": {False: {}, True: _VECTORISED}, **_RECOMPUTE},
        "summary": "floor(o n / m), in float32",
    },
    "torch.nearest-exact": {
        "filter": "nearest", "coord_rule": "torch.middles", "weight_rule": "floor", "round_rule": "torch.nearest",
        "routes": (("small_image", "torch.nearest-exact, small image"),),
        "options": {"channels_last": {False: {}, True: _SINGLE}, **_RECOMPUTE},
        "summary": "floor((o + 1/2) n / m), in float32",
    },
    "torch.linear": _TORCH_LINEAR,
    "torch.bilinear": {
        **_TORCH_LINEAR, **_TORCH_IMAGE, "dtypes": _TORCH["dtypes"],
        "options": {**_ALIGN, "antialias": {False: {}, True: _STRETCHED}, **_RECOMPUTE},
        "summary": "two taps, clamped; antialias=True: the tent, stretched and cropped",
    },
    "torch.trilinear": _TORCH_LINEAR,
    "torch.bicubic": {
        "filter": "cubic(a=-0.75)", "coord_rule": "torch", "weight_rule": "torch.four_taps", **_TORCH_IMAGE,
        "options": {**_ALIGN, "antialias": {False: {}, True: {**_STRETCHED, "filter": "cubic"}}, **_RECOMPUTE},
        "summary": "four taps, a = -0.75, clamped; antialias=True: a = -0.5, stretched and cropped",
    },
    "torch.lanczos": {
        "filter": "lanczos3", **_STRETCHED, **_TORCH_IMAGE, "dtypes": "float64 float32 uint8",
        "summary": "three lobes, stretched and cropped (torch wants antialias=True)",
    },
    "torch.area": {
        "filter": "area", "coord_rule": "by_index", "weight_rule": "torch.adaptive", "options": {},
        "dtypes": "float64 float32 float16 bfloat16",
        "summary": "adaptive average pooling: the plain mean of what is touched",
    },
})  # fmt: skip

_PILLOW: Columns = {
    "coord_rule": "pillow", "weight_rule": "truncated", "edge": "crop", "antialias": True, "skip_rule": "cropped",
    "round_rule": "pillow", "box_rule": "float32", "library": "Pillow", "dtypes": "uint8 uint16 int32 float32 bool",
}  # fmt: skip
_PILLOW_NEAREST: Columns = {
    "filter": "nearest", "coord_rule": "accumulated", "weight_rule": "floor", "round_rule": "pillow.nearest",
    "antialias": False, "summary": "the sample under the centre, steps added up in double",
}  # fmt: skip
_PILLOW_METHODS: dict[str, Columns] = {
    "box": {"filter": "box", "summary": "mean of the samples in the half-open window"},
    "bilinear": {"filter": "linear", "summary": "the tent, stretched and cropped"},
    "hamming": {"filter": "hamming", "summary": "sinc under a Hamming window of one lobe, stretched and cropped"},
    "bicubic": {"filter": "cubic", "summary": "a = -0.5, stretched and cropped"},
    "lanczos": {"filter": "lanczos3", "summary": "three lobes, stretched and cropped"},
    "nearest": _PILLOW_NEAREST,
}
_PILLOW_13: dict[str, Columns] = {
    "mks2013": {"filter": "mks2013", "summary": "Magic Kernel Sharp 2013, stretched and cropped"},
    "mks2021": {"filter": "mks2021", "summary": "Magic Kernel Sharp 2021, stretched and cropped"},
}


def _pillow(prefix: str, version: str, pass_order: str, methods: dict[str, Columns]) -> list[Preset]:
    shared = {**_PILLOW, "pass_order": pass_order, "source": f"PIL.Image.resize, {version}"}
    return _rows(shared, {f"{prefix}.{name}": columns for name, columns in methods.items()})


_PILLOW_ROWS = [
    *_pillow("pillow", "13.0", "pillow13", {**_PILLOW_METHODS, **_PILLOW_13}),
    *_pillow("pillow@12", "11.3 to 12", "last_axis_first", _PILLOW_METHODS),
]

_OPENCV: Columns = {
    "coord_rule": "opencv", "step_rule": "scale", "size_rule": "half_even", "skip_rule": "all_equal", "most_axes": 2,
    "pass_order": "last_axis_first", "round_rule": "opencv", "dtypes": "uint8 uint16 int16 float32 float64",
    "library": "OpenCV", "source": "cv2.resize, 5.0",
}  # fmt: skip
_OPENCV_NEAREST: Columns = {"filter": "nearest", "weight_rule": "floor", "round_rule": "float", "dtypes": "all"}
_OPENCV_ROWS = _rows(_OPENCV, {
    "opencv.nearest": {
        **_OPENCV_NEAREST, "coord_rule": "opencv.corners", "summary": "floor(o n / m), in double",
    },
    "opencv.nearest_exact": {
        **_OPENCV_NEAREST, "coord_rule": "accumulated",
        "summary": "the sample under the centre, steps added up in double",
    },
    "opencv@4.nearest_exact": {
        **_OPENCV_NEAREST, "coord_rule": "by_index", "weight_rule": "opencv.fixed_point",
        "summary": "the sample under the centre, in 16.16 fixed point", "source": "cv2.resize, 4.14",
    },
    "opencv.linear": {
        "filter": "linear", "weight_rule": "opencv.two_taps", "round_rule": "opencv.linear",
        "routes": (("halves", "opencv.area"),),
        "summary": "two taps, clamped; half the size along both axes is area",
    },
    "opencv.linear_exact": {
        "filter": "linear", "weight_rule": "opencv.two_taps", "round_rule": "opencv.exact",
        "summary": "two taps, clamped; integers with exact fixed-point weights",
    },
    "opencv.cubic": {
        "filter": "cubic(a=-0.75)", "weight_rule": "opencv.four_taps", "round_rule": "opencv.taps",
        "summary": "four taps, a = -0.75, clamped",
    },
    "opencv.lanczos4": {
        "filter": "lanczos4", "weight_rule": "opencv.eight_taps", "round_rule": "opencv.taps",
        "summary": "eight taps, clamped",
    },
    "opencv.area": {
        "filter": "area", "coord_rule": "opencv.corners", "weight_rule": "opencv.cells",
        "routes": (
            ("enlarges", "opencv.area, growing"),
            ("halves", "opencv.area, halving"),
            ("divides", "opencv.area, dividing"),
        ),
        "summary": "overlap with the output sample; where an axis grows, two taps",
    },
})  # fmt: skip

_ANTIALIAS: Columns = {"antialias": {True: {}, False: {"antialias": False}}}
_JAX: Columns = {
    "coord_rule": "jax", "weight_rule": "jax.sampled", "edge": "crop", "antialias": True, "skip_rule": "equal",
    "round_rule": "jax", "options": _ANTIALIAS, "dtypes": "float32 float64", "library": "JAX",
    "source": "jax.image.resize, 0.10.2",
}  # fmt: skip
_JAX_ROWS = _rows(_JAX, {
    "jax.nearest": {
        "filter": "nearest", "coord_rule": "jax.products", "weight_rule": "floor", "round_rule": "jax.nearest",
        "antialias": False, "options": {}, "dtypes": "all", "summary": "floor((o + 1/2) n / m), in float32",
    },
    "jax.linear": {"filter": "linear", "summary": "the tent, stretched and cropped"},
    "jax.cubic": {"filter": "cubic", "summary": "a = -0.5, stretched and cropped"},
    "jax.lanczos3": {"filter": "lanczos3", "summary": "three lobes, stretched and cropped"},
    "jax.lanczos5": {"filter": "lanczos5", "summary": "five lobes, stretched and cropped"},
    "jax.cubic-pytorch": {
        "filter": "cubic", "summary": "a = -0.5, stretched and cropped; antialias=False: a = -0.75, clamped",
        "options": {"antialias": {True: {}, False: {"antialias": False, "filter": "cubic(a=-0.75)", "edge": "edge"}}},
    },
    "jax.area": {
        "filter": "area", "coord_rule": "jax.starts", "weight_rule": "jax.areas", "options": {},
        "summary": "overlap with the output sample, enlarging too",
    },
})  # fmt: skip

_MATLAB: Columns = {
    "coord_rule": "matlab", "weight_rule": "matlab", "edge": "symmetric", "antialias": True, "step_rule": "scale",
    "size_rule": "ceil", "pass_order": "ascending_scale", "round_rule": "matlab", "options": _ANTIALIAS,
    "dtypes": "float64 float32 uint8 int8 uint16 int16", "library": "MATLAB", "source": "imresize, R2015b to R2019b",
}  # fmt: skip
_MATLAB_ROWS = _rows(_MATLAB, {
    "matlab.bicubic": {"filter": "cubic", "summary": "a = -0.5, stretched and mirrored"},
    "matlab.bilinear": {"filter": "linear", "summary": "the tent, stretched and mirrored"},
    "matlab.box": {"filter": "box", "summary": "mean of the samples in the half-open window, mirrored"},
    "matlab.lanczos2": {"filter": "lanczos2", "summary": "two lobes, stretched and mirrored"},
    "matlab.lanczos3": {"filter": "lanczos3", "summary": "three lobes, stretched and mirrored"},
    "matlab.nearest": {"filter": "box", "antialias": False, "options": {}, "summary": "the sample under the centre"},
})  # fmt: skip

_SCIPY_ROWS = _rows({}, {
    "scipy.zoom": {
        "filter": "spline3", "coord_rule": "scipy", "weight_rule": "scipy.splines", "grid": "align_corners",
        "edge": "constant", "size_rule": "half_even", "skip_rule": "equal", "round_rule": "scipy", "library": "SciPy",
        "dtypes": "all but complex64, float16, bfloat16", "source": "scipy.ndimage.zoom, 1.17",
        "summary": "interpolating B-splines of order 0 to 5; fill= is cval",
        "options": {
            "order": {k: {"filter": f"spline{k}"} for k in (3, 0, 1, 2, 4, 5)},
            "mode": {mode: {"edge": mode, "skip_rule": row.skips} for mode, row in MODES.items()},
            "prefilter": {True: {}, False: {"prefilter": False, "skip_rule": "never"}},
            "grid_mode": {False: {}, True: {"grid": "half_pixel"}},
        },
    },
})  # fmt: skip

_ROI: Columns = {"grid": "tf_crop_and_resize", "box_rule": "roi"}
_TRANSFORMATIONS: Columns = {
    "coordinate_transformation_mode": {
        **{name: {"grid": name} for name in TRANSFORMATIONS}, "tf_crop_and_resize": _ROI,
    },
}  # fmt: skip
_NEAREST_MODES: Columns = {
    library: {"nearest_mode": {mode: {"weight_rule": f"{library}.{mode}"} for mode in NEAREST}}
    for library in ("onnx", "onnxruntime")
}
_EXCLUDE: Columns = {"exclude_outside": {False: {}, True: {"edge": "crop"}}}
_A: Columns = {"cubic_coeff_a": Numbers((-0.75, -0.5), cubic_columns)}
_SCALES: Columns = {"scale_dtype": {"float32": {}, "float64": {"coord_rule": "onnx.exact", "size_rule": "floor"}}}
_STRETCHES: Columns = {"antialias": {False: {}, True: {"antialias": True}}}
_ONNX: Columns = {
    "coord_rule": "onnx", "weight_rule": "onnx", "step_rule": "scale", "size_rule": "floor_float32",
    "skip_rule": "unscaled", "round_rule": "onnx", "library": "ONNX", "dtypes": "all",
    "source": "Resize, onnx.reference.ReferenceEvaluator, 1.23",
}  # fmt: skip
_ONNX_ROWS = _rows(_ONNX, {
    "onnx.nearest": {
        "filter": "nearest", "weight_rule": "onnx.round_prefer_floor", "summary": "the nearest sample, in double",
        "options": {**_TRANSFORMATIONS, **_NEAREST_MODES["onnx"], **_SCALES},
    },
    "onnx.linear": {
        "filter": "linear", "summary": "two taps, clamped; antialias=True: the tent, stretched and clamped",
        "options": {**_TRANSFORMATIONS, **_STRETCHES, **_EXCLUDE, **_SCALES},
    },
    "onnx.cubic": {
        "filter": "cubic(a=-0.75)", "summary": "four taps, clamped; antialias=True: stretched and clamped",
        "options": {**_TRANSFORMATIONS, **_A, **_STRETCHES, **_EXCLUDE, **_SCALES},
    },
})  # fmt: skip

_ORT_STRETCHED: Columns = {
    "antialias": True, "coord_rule": "onnxruntime.centres", "weight_rule": "onnxruntime.stretched",
    "skip_rule": "onnxruntime.unchanged", "pass_order": "last_axis_first", "round_rule": "onnxruntime.antialias",
}  # fmt: skip
_ORT_STRETCHES: Columns = {"antialias": {False: {}, True: _ORT_STRETCHED}}
_ORT: Columns = {
    "coord_rule": "onnxruntime", "step_rule": "scale", "size_rule": "product_float32",
    "skip_rule": "onnxruntime.unscaled", "round_rule": "onnxruntime", "library": "onnxruntime",
    "dtypes": "float32 float16 uint8 int8 int32", "source": "Resize, onnxruntime 1.31, CPU",
}  # fmt: skip
_ORT_ROWS = _rows(_ORT, {
    "onnxruntime.nearest": {
        "filter": "nearest", "weight_rule": "onnxruntime.round_prefer_floor",
        "summary": "the nearest sample, in float32; ties within 1e-6",
        "options": {**_TRANSFORMATIONS, **_NEAREST_MODES["onnxruntime"]},
    },
    "onnxruntime.linear": {
        "filter": "linear", "weight_rule": "onnxruntime.two_taps",
        "summary": "two taps, clamped; antialias=True: the tent, stretched and clamped",
        "options": {
            **_TRANSFORMATIONS, "channels_last": {False: {}, True: {"round_rule": "onnxruntime.channels_last"}},
            **_ORT_STRETCHES, **_EXCLUDE,
        },
    },
    "onnxruntime.cubic": {
        "filter": "cubic(a=-0.75)", "weight_rule": "onnxruntime.four_taps", "round_rule": "onnxruntime.float",
        "summary": "four taps, clamped; antialias=True: stretched and clamped",
        "options": {**_TRANSFORMATIONS, **_A, **_ORT_STRETCHES, **_EXCLUDE},
    },
})  # fmt: skip

_ALL = (
    *_TORCH_ROWS, *_PILLOW_ROWS, *_OPENCV_ROWS, *_SCIPY_ROWS, *_JAX_ROWS, *_MATLAB_ROWS, *_ONNX_ROWS, *_ORT_ROWS
)  # fmt: skip
TABLE: dict[str, Preset] = {row.name: row for row in _ALL}

_GROWING: Columns = {"weight_rule": "opencv.area_taps", "round_rule": "opencv.linear", "routes": ()}
_HALVING: Columns = {"weight_rule": "opencv.blocks", "round_rule": "opencv.halves", "routes": ()}
# What rows of TABLE become for some sizes: the second names in their `routes`.
PARTS: dict[str, Preset] = {
    "torch.nearest, small image": replace(TABLE["torch.nearest"], **_VECTORISED),
    "torch.nearest-exact, small image": replace(TABLE["torch.nearest-exact"], **_SINGLE),
    "opencv.area, growing": replace(TABLE["opencv.area"], **_GROWING),
    "opencv.area, halving": replace(TABLE["opencv.area"], **_HALVING),
    "opencv.area, dividing": replace(TABLE["opencv.area"], **{**_HALVING, "round_rule": "opencv.blocks"}),
}


@functools.lru_cache(maxsize=512)
def _parsed(spec: str) -> Preset:
    return parsed(spec, TABLE)


def get(like: str | Preset) -> Preset:
    """The preset of that name, its options set.

    Raises: ValueError with the nearest known names, or with the values that an option takes; TypeError for anything
    else.
    Example:
        >>> get("torch.bilinear(antialias=True)").weight_rule
        'truncated'
    """
    if isinstance(like, Preset):
        return like
    if not isinstance(like, str):
        raise HalfpixelTypeError(f"like is {like!r}", "a preset's name, such as 'torch.bicubic' or 'pillow.lanczos'")
    return TABLE.get(like) or _parsed(like)
