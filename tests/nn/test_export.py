# SPDX-License-Identifier: MIT
"""Exported graphs: operators of ATen alone, the module's values; as ONNX, onnxruntime's values beside the module's."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from halfpixel import nn  # noqa: E402
from halfpixel.nn import check_export, export, functional  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters' own insides
MISSING = [name for name in ("onnx", "onnxruntime", "onnxscript") if not find_spec(name)]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")
AUTO = torch.export.Dim.AUTO


class Called(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def resized(*size, **options):
    return lambda x: functional.resize(x, size or None, **options)


def interpolated(**options):
    return lambda x: functional.interpolate(x, **options)


def spatial(x):
    return dict.fromkeys(range(2, x.dim()), AUTO)


def exported(function, x, dynamic=None, strict=False):
    """The program; its graph must hold ATen's operators and Python's on lengths, nothing else."""
    shapes = None if dynamic is None else (dynamic,)
    program = torch.export.export(Called(function), (x.clone(),), dynamic_shapes=shapes, strict=strict)
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    for target in targets:
        library = getattr(target, "namespace", None) or getattr(target, "__module__", "")
        assert library in ("aten", "_operator", "math", "torch"), target
    return program, {str(target) for target in targets}


MODES = {
    "nearest": {"mode": "nearest"},
    "nearest-exact": {"mode": "nearest-exact"},
    "bilinear": {"mode": "bilinear"},
    "bilinear, aligned": {"mode": "bilinear", "align_corners": True},
    "bicubic": {"mode": "bicubic"},
    "bicubic, aligned": {"mode": "bicubic", "align_corners": True},
    "area": {"mode": "area"},
    "bilinear, antialiased": {"mode": "bilinear", "antialias": True},
    "bicubic, antialiased": {"mode": "bicubic", "antialias": True},
    "lanczos": {"mode": "lanczos", "antialias": True},
}
SIZES = [{"scale_factor": 2}, {"scale_factor": 1.7}, {"scale_factor": 0.5}, {"size": (9, 3)}, {"size": (5, 1)}]
# Weights of a kept scale, or of a filter without translation: they are constants, and need sizes that are known.
STATIC_ONLY = {("bilinear, antialiased", 1.7), ("bilinear, antialiased", 0.5), ("bicubic, antialiased", 1.7)}
STATIC_ONLY |= {("bicubic, antialiased", 0.5), ("lanczos", 1.7), ("lanczos", 0.5)}


def near(got, want, name=""):
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    allowed = 0.0 if "nearest" in name else 5e-6
    assert (got.double() - want.double()).abs().max() <= allowed


@pytest.mark.parametrize("how", SIZES, ids=str)
@pytest.mark.parametrize("name", MODES)
def test_interpolate_of_known_sizes(name, how):
    x, function = torch.rand(1, 2, 6, 7), interpolated(**how, **MODES[name])
    near(exported(function, x)[0].module()(x), function(x), name)


@pytest.mark.parametrize("how", SIZES[:4], ids=str)
@pytest.mark.parametrize("name", MODES)
def test_interpolate_of_sizes_that_change(name, how):
    x, other, function = torch.rand(1, 2, 6, 7), torch.rand(3, 2, 9, 13), interpolated(**how, **MODES[name])
    dynamic = {0: AUTO, **spatial(x)}
    if (name, how.get("scale_factor")) in STATIC_ONLY:
        with pytest.raises(NotImplementedError, match=r"^interpolate(.|\n)*static sizes(.|\n)*recompute_scale_factor"):
            exported(function, x.expand(2, -1, -1, -1), dynamic)
        return
    near(exported(function, x.expand(2, -1, -1, -1), dynamic)[0].module()(other), function(other), name)


def test_a_clean_resize_is_torchs_operator():
    x = torch.rand(1, 2, 6, 7)
    for function, name in (
        (interpolated(scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
        (interpolated(scale_factor=2), "upsample_nearest2d"),
        (interpolated(size=(3, 7)), "upsample_nearest2d"),
        (resized(12, 15, filter="linear", antialias=False), "upsample_bilinear2d"),
        (resized(12, 15), "upsample_bilinear2d"),
        (resized(3, 15), "_upsample_bilinear2d_aa"),
        (resized(3, 15, filter="cubic"), "_upsample_bicubic2d_aa"),
        (resized(12, 15, filter="cubic(a=-0.75)", edge="edge", antialias=False), "upsample_bicubic2d"),
        (resized(scale=1.7, axes=(-2, -1), like="torch.bicubic"), "upsample_bicubic2d"),
        (resized(12, 15, grid="align_corners", antialias=False), "upsample_bilinear2d"),
        (resized(3, 7, like="torch.area"), "adaptive_avg_pool2d"),
    ):
        (used,) = (t for t in exported(function, x)[1] if "upsample" in t or "pool" in t)
        assert used.split(".")[1] == name


OWN = {
    "lanczos": resized(9, 4, filter="lanczos3"),
    "a box": resized(9, 4, filter="linear", box=((0.5, 4), (1, 5.25))),
    "a fill": resized(9, 4, filter="cubic", edge="constant", fill=3.0),
    "wrapped": resized(9, 20, filter="mitchell", edge="wrap"),
    "a spline along other axes": resized(scale=2, axes=(1, 3), filter="spline3", edge="reflect"),
    "nearest": resized(9, 4, filter="nearest"),
    "first axis": resized(5, axes=0, antialias=False),
    "three axes": resized(5, 9, 4, antialias=False),
    "half size": resized(scale=0.5, axes=(-2, -1)),
    "the same size": resized(6, 7),
    "antialiased to one column": resized(6, 1),
    "a long filter": resized(2, 2, filter="lanczos5"),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_resize_of_known_sizes(name, strict):
    x, function = torch.rand(2, 3, 6, 7), OWN[name]
    x = torch.rand(2, 3, 46, 37) if name == "a long filter" else x
    program, targets = exported(function, x, strict=strict)
    near(program.module()(x), function(x), name)
    assert ("aten.matmul.default" in targets) == (name == "a long filter")
    assert not any("index_put" in t or "scatter" in t for t in targets)


@pytest.mark.parametrize(
    "function",
    [
        resized(scale=1.7, axes=(-2, -1), filter="nearest"),
        resized(scale=2, axes=(-2, -1)),
        resized(scale=0.5, axes=(-2, -1), filter="cubic"),
        resized(scale=2, axes=(-1,), antialias=False),
        resized(scale=0.5, axes=(-1,)),
        resized(scale=1.7, axes=(-2, -1), like="torch.bilinear"),
        resized(scale=1.7, axes=(-1,), like="torch.nearest-exact"),
        resized(size_like=torch.empty(1, 1, 11, 5), filter="linear", edge="edge", antialias=False),
    ],
)
def test_resize_of_sizes_that_change(function):
    x, other = torch.rand(1, 2, 6, 8), torch.rand(1, 2, 10, 14)
    near(exported(function, x, spatial(x))[0].module()(other), function(other))


def test_batches_may_change_where_axes_do_not():
    x, other = torch.rand(4, 2, 6, 7), torch.rand(7, 2, 6, 7)
    for function in (OWN["lanczos"], OWN["nearest"], resized(9, 20)):
        near(exported(function, x, {0: AUTO})[0].module()(other), function(other))


@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (OWN["lanczos"], torch.float32),
        (resized(scale=2, axes=(-1,), filter="cubic"), torch.float32),
        (resized(scale=2, axes=(-3, -2, -1)), torch.float32),  # torch antialiases no volumes
        (resized(scale=2, axes=(-2, -1), antialias=False), torch.int32),
        (resized(9, 4, like="pillow.bicubic"), torch.uint8),
        (resized(3, 4, box=((0, 2), (0, 2))), torch.float32),
    ],
)
def test_sizes_that_change_are_refused_where_weights_need_them(function, dtype):
    x = torch.rand(1, 2, 6, 7).to(dtype)
    with pytest.raises(NotImplementedError, match=r"^resize(.|\n)*not all known(.|\n)*What would work: static sizes"):
        exported(function, x, spatial(x))


DTYPES = ["float64", "float16", "bfloat16", "uint8", "int16", "uint16", "int32", "int64", "bool", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype):
    x = (torch.rand(1, 2, 6, 7) * 200).to(getattr(torch, dtype))
    for function in (OWN["lanczos"], resized(9, 4), OWN["nearest"], resized(12, 14, antialias=False)):
        got, want = exported(function, x)[0].module()(x), function(x)
        wide = torch.complex128 if dtype == "complex64" else torch.float64
        allowed = {"float16": 0.13, "bfloat16": 1.0, "complex64": 1e-4, "float64": 1e-3}.get(dtype, 1.0)
        assert got.dtype == want.dtype
        assert (got.to(wide) - want.to(wide)).abs().max() <= allowed


def test_integer_presets_are_exact():
    x = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    for like in ("pillow.bicubic", "pillow.lanczos", "opencv.linear", "torch.bilinear(antialias=True)"):
        function = resized(9, 40, like=like)
        assert torch.equal(exported(function, x)[0].module()(x), function(x))
    function = interpolated(size=(9, 40), mode="bicubic")
    assert torch.equal(exported(function, x)[0].module()(x), function(x))


side = st.integers(1, 24)


@settings(max_examples=40, deadline=None)
@given(st.tuples(side, side), st.tuples(side, side), st.sampled_from(["linear", "cubic", "lanczos3", "nearest"]))
def test_any_sizes(size_in, size_out, filter):
    x, function = torch.rand(1, 1, *size_in), resized(*size_out, filter=filter)
    near(exported(function, x)[0].module()(x), function(x), filter)


def test_gradients_pass_through_an_exported_graph():
    x = torch.rand(1, 2, 6, 7, requires_grad=True)
    for function in (OWN["lanczos"], resized(9, 4)):
        got, want = (
            torch.autograd.grad(f(x).square().sum(), x)[0] for f in (exported(function, x)[0].module(), function)
        )
        torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


# --- ONNX ---


def agreed(function, x, nodes=None, dynamic=None, **more):
    report = check_export(function, x, dynamic_shapes=None if dynamic is None else (dynamic,), **more)
    assert report.agrees, str(report)
    assert nodes is None or set(dict(report.nodes)) == nodes, str(report)
    return report


@needs_onnx
@pytest.mark.parametrize(
    ("name", "how"),
    [*((name, SIZES[1]) for name in MODES), *((n, SIZES[3]) for n in MODES if "antialiased" in n)],
    ids=str,
)
def test_onnxruntime_gives_what_interpolate_gives(name, how):
    resizes = name in ("bilinear", "bilinear, aligned", "bicubic", "bicubic, aligned")
    # Two taps of axes that grow are no other with antialiasing.
    resizes = resizes or name == "bilinear, antialiased" or ("antialiased" in name and "size" in how)
    report = agreed(interpolated(**how, **MODES[name]), torch.rand(1, 2, 6, 7), {"Resize"} if resizes else None)
    assert ("Resize" in dict(report.nodes)) == resizes


class Like(torch.nn.Module):
    """The size of the second input, so that one model meets any pair of sizes."""

    def __init__(self, options):
        super().__init__()
        self.options = options

    def forward(self, x, reference):
        return functional.interpolate(x, size=reference.shape[2:], **self.options)


@needs_onnx
@pytest.mark.parametrize("name", [name for name in MODES if name != "lanczos"])
def test_onnxruntime_on_any_pair_of_sizes(name):
    import onnxruntime

    module, rng = Like(MODES[name]), np.random.default_rng(0)
    program = torch.onnx.export(
        module, (torch.rand(1, 1, 6, 7), torch.rand(1, 1, 5, 9)), dynamo=True, verbose=False,
        dynamic_shapes=({2: AUTO, 3: AUTO}, {2: AUTO, 3: AUTO}),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    first, second = (i.name for i in session.get_inputs())
    pairs = [
        ((51, 14), (7, 32)),
        ((192, 45), (225, 261)),
        ((1, 1), (1, 2)),
        ((1, 7), (7, 2)),
    ]  # the first two: torch's own
    pairs += [(tuple(rng.integers(1, 90, 2)), tuple(rng.integers(2, 90, 2))) for _ in range(150)]
    for size_in, size_out in pairs:
        x, reference = torch.rand(1, 1, *size_in), torch.empty(1, 1, *size_out)
        (got,) = session.run(None, {first: x.numpy(), second: reference.numpy()})
        allowed = 0.0 if "nearest" in name else 5e-5
        assert np.abs(got - module(x, reference).numpy()).max() <= allowed, (size_in, size_out)


@needs_onnx
@pytest.mark.parametrize("name", ["nearest", "nearest-exact", "bilinear", "area"])
def test_onnxruntime_on_sizes_that_change(name):
    import onnxruntime

    x, function = torch.rand(1, 2, 6, 7), interpolated(scale_factor=1.7, **MODES[name])
    program = torch.onnx.export(
        Called(function), (x.clone(),), dynamo=True, verbose=False, dynamic_shapes=({2: AUTO, 3: AUTO},)
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for size in ((6, 7), (9, 13), (31, 5)):
        x = torch.rand(1, 2, *size)
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        near(torch.from_numpy(got), function(x), name)


@needs_onnx
@pytest.mark.parametrize(
    "name", ["a box", "a fill", "a spline along other axes", "nearest", "first axis", "the same size"]
)
def test_onnxruntime_gives_what_resize_gives(name):
    agreed(OWN[name], torch.rand(2, 3, 6, 7))


@needs_onnx
@pytest.mark.parametrize("like", ["pillow.lanczos", "opencv.linear", "torch.bilinear"])
def test_onnxruntime_has_the_bytes_of_a_preset(like):
    x = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    assert agreed(resized(9, 40, like=like), x, atol=0).largest == 0


@needs_onnx
def test_modules_and_lines_and_volumes():
    agreed(nn.Upsample(scale_factor=2, mode="bilinear"), torch.rand(1, 3, 8, 8), {"Resize"}, {2: AUTO, 3: AUTO})
    agreed(nn.Upsample(scale_factor=1.7, mode="linear"), torch.rand(1, 3, 9), {"Unsqueeze", "Resize", "Gather"})
    agreed(nn.Upsample(scale_factor=1.7, mode="trilinear"), torch.rand(1, 3, 9, 4, 5), {"Resize"}, {2: AUTO})
    agreed(nn.UpsamplingNearest2d(size=(3, 8)), torch.rand(1, 3, 9, 4), {"Resize"}, opset=18)
    agreed(nn.UpsamplingNearest2d(scale_factor=2), torch.rand(1, 3, 9, 4), {"Resize"}, {2: AUTO})
    agreed(interpolated(size=(3, 2), mode="area"), torch.rand(1, 2, 9, 8), {"AveragePool"})
    assert "Resize" in dict(agreed(resized(scale=0.5, axes=(-1,)), torch.rand(1, 2, 9, 8), dynamic={3: AUTO}).nodes)


@needs_onnx
def test_the_report_on_the_page_is_a_real_one():
    page = (Path(__file__).parents[2] / "docs/torch.md").read_text()
    report = agreed(
        nn.Upsample(scale_factor=2, mode="bilinear"), torch.rand(1, 3, 8, 8), {"Resize"}, {2: AUTO, 3: AUTO}
    )
    assert "\n    ".join(str(report).splitlines()[:2]) in page


@needs_onnx
def test_a_report_says_where_a_model_differs():
    """torch's own antialiased operator forgets its scale on the way to ONNX."""

    class Forgets(torch.nn.Module):
        def forward(self, x):
            more = {"scale_factor": 1.7, "mode": "bilinear", "antialias": True}
            return {"same": x * 2, "other": torch.nn.functional.interpolate(x, **more)}

    x = torch.rand(1, 2, 8, 8)
    report = check_export(Forgets(), (x,), opset=18)
    same, other = report.outputs
    assert not report.agrees
    assert (same.count, same.largest, same.position) == (0, 0.0, None)
    assert other.largest == report.largest > 1e-3
    assert len(other.position) == 4
    assert 0 < other.count <= 2 * 13 * 13
    assert "Forgets, opset 18: onnxruntime DIFFERS" in str(report)
    assert f"at {other.position}" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["outputs"][1]["position"] == list(other.position)
    assert check_export(Forgets(), (x,), atol=10.0).agrees


def test_differences_are_counted_and_placed():
    want = torch.tensor([[1.0, 2.0], [float("nan"), 4.0]])
    for got, largest, position, count in (
        (want.clone(), 0.0, None, 0),
        (torch.tensor([[1.0, 2.5], [float("nan"), 4.1]]), 0.5, (0, 1), 2),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), float("inf"), (1, 0), 1),
    ):
        found = export._difference(0, want, got, 1e-5)
        assert (found.largest, found.position, found.count) == (largest, position, count)
    shapes = export._difference(1, want, want[0], 1e-5)
    assert (shapes.largest, shapes.shape_onnx) == (float("inf"), (2,))
    assert "onnxruntime gives 2" in str(shapes)
    report = export.ExportReport("f", 20, (("Resize", 1),), 1e-5, (shapes,))
    assert not report.agrees
    whole = torch.tensor([200, 5], dtype=torch.uint8)
    assert export._difference(0, whole, torch.tensor([5, 200], dtype=torch.uint8), 0).largest == 195


class Unpool(torch.nn.Module):
    def forward(self, x, places):
        return nn.functional.max_unpool2d(x, places, 2)


@needs_onnx
@pytest.mark.parametrize(
    ("module", "shape", "node"),
    [
        (nn.PixelShuffle(2), (1, 8, 6, 5), "DepthToSpace"),
        (nn.PixelShuffle((2, 1, 2), order="onnx"), (1, 8, 3, 4, 5), "Transpose"),
        (nn.PixelUnshuffle(2), (1, 3, 4, 6), "Transpose"),
        (nn.ChannelShuffle(4), (1, 8, 5), "Transpose"),
        (nn.ConvTranspose2d(8, 4, 3, 2, "same", padding_mode="replicate"), (1, 8, 6, 5), "ConvTranspose"),
        (nn.ConvTranspose2d(8, 4, 4, 2, ((0, 1), 2), padding_mode="circular"), (1, 8, 6, 5), "ConvTranspose"),
        (nn.MaxPool2d(2, return_indices=True), (1, 8, 6, 5), "MaxPool"),
    ],
    ids=str,
)
def test_the_other_modules_in_onnxruntime(module, shape, node):
    report = check_export(module.eval(), torch.rand(shape))
    assert report.agrees, str(report)
    assert node in dict(report.nodes)


@needs_onnx
def test_unpooling_in_onnxruntime_has_the_same_winners():
    x, places = torch.rand(1, 3, 4, 3), torch.randint(0, 6, (1, 3, 4, 3))  # twelve values for six places
    assert check_export(Unpool(), (x, places)).agrees


@needs_onnx
def test_errors_of_check_export():
    x = torch.rand(1, 2, 6, 7)
    with pytest.raises(NotImplementedError, match=r"^resize\(.*\n.*static sizes"):
        check_export(OWN["lanczos"], x, dynamic_shapes=({2: AUTO},))
    with pytest.raises(RuntimeError, match=r"^check_export\(.*No ONNX function found.*lanczos"):
        check_export(lambda t: torch.nn.functional.interpolate(t, size=9, mode="lanczos", antialias=True), x)
    with pytest.raises(TypeError, match="meta"):
        check_export(OWN["lanczos"], x.to("meta"))


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(RuntimeError, match=r"^check_export\(.*onnxscript not installed\n.*halfpixel\[onnx\]"):
        check_export(torch.nn.Identity(), torch.rand(1))
