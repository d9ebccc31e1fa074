# SPDX-License-Identifier: MIT
"""Every network with every upsampler, sizes of one pixel and of primes, empty batches, layouts, and bad calls."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from halfpixel import models, upsamplers  # noqa: E402
from halfpixel.errors import HalfpixelError  # noqa: E402
from halfpixel.models._stages import ReflectConv2d  # noqa: E402
from tests.models.nets import ENTRIES, FREE, QUICK, RESOLVERS, SMALL, images, made, scales  # noqa: E402

ALL = [entry.name for entry in upsamplers.list_upsamplers()]
# Bands side by side become a quarter of the channels: those are not what these networks need there.
UNFIT = {("haar_unpool", name) for name in ("edsr", "rrdbnet", "srvgg")}
WHOLE = ["generator", "segnet", "unet"]


def test_the_table_and_its_names():
    assert [entry.name for entry in ENTRIES] == [
        "edsr", "espcn", "fpn", "fsrcnn", "generator", "rrdbnet", "segnet", "srvgg", "super_resolution", "unet",
    ]  # fmt: skip
    for entry in ENTRIES:
        assert entry.summary and entry.source and entry.module.entry is entry
        assert entry.parameters(**SMALL[entry.name]) == sum(p.numel() for p in made(entry.name).parameters())
        assert len(entry.summary) < 140 and entry.summary.endswith(".")


@pytest.mark.parametrize("name", RESOLVERS)
@pytest.mark.parametrize("upsampler", FREE)
def test_super_resolution_with_every_upsampler(name, upsampler):
    options = QUICK.get(upsampler, {})
    if (upsampler, name) in UNFIT:
        with pytest.raises(ValueError, match=rf"^create_model\('{name}'.*bands"):
            made(name, scale=2, upsampler=upsampler)
        return
    channels = {"in_channels": 4} if upsampler == "dysample" else {}  # it samples four groups
    if upsampler == "haar_unpool":
        channels = {"in_channels": 2} if name in ("espcn", "fsrcnn") else {}
    model = made(name, scale=2, upsampler=upsampler, **channels, **options)
    x = images(2, model.in_channels, 5, 7).requires_grad_()
    y = model(x)
    assert y.shape == (2, model.out_channels, 10, 14) and bool(y.isfinite().all())
    y.sum().backward()
    assert x.grad is not None and all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", RESOLVERS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_size_batch_and_scale(name, data):
    scale = data.draw(st.sampled_from(scales(name)))
    n, height, width = data.draw(st.tuples(st.integers(0, 2), st.integers(1, 13), st.integers(1, 13)))
    model = made(name, scale=scale)
    assert (model.scale, model.out_channels) == (scale, model.in_channels)
    x = images(n, model.in_channels, height, width)
    y = model(x)
    assert y.shape == (n, model.out_channels, height * scale, width * scale)
    each = [model(x[i : i + 1]) for i in range(n)]
    torch.testing.assert_close(y, torch.cat(each) if each else y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*RESOLVERS, *WHOLE])
def test_channels_last_gives_the_same_numbers(name):
    model = made(name)
    x = images(2, model.in_channels, 9, 13)
    want = model(x)
    got = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RESOLVERS)
def test_gradients_are_those_of_differences(name):
    model = made(name, scale=2).double()
    x = images(1, model.in_channels, 4, 5, dtype=torch.float64).requires_grad_()
    step = images(*x.shape, dtype=torch.float64, seed=2) - 0.5
    weight = images(*model(x).shape, dtype=torch.float64, seed=3)
    (grad,) = torch.autograd.grad((model(x) * weight).sum(), x)
    h = 1e-6
    with torch.no_grad():
        rise = ((model(x + h * step) - model(x - h * step)) * weight).sum() / (2 * h)
    torch.testing.assert_close((grad * step).sum(), rise, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("upsampler", ALL)
def test_networks_of_the_inputs_size_with_every_upsampler(name, upsampler):
    entry = next(e for e in upsamplers.list_upsamplers() if e.name == upsampler)
    if name == "generator" and entry.guide:
        with pytest.raises(ValueError, match="needs a guide"):
            made(name, upsampler=upsampler)
        return
    model = made(name, upsampler=upsampler, **QUICK.get(upsampler, {}))
    # SAPA's own norm needs more than one value.
    for size in ((13, 9), (8, 8), (1, 6)) + (() if upsampler == "sapa" else ((1, 1),)):
        y = model(images(1, 3, *size))
        assert y.shape == (1, model.out_channels, *size) and bool(y.isfinite().all())
    model.train()(images(2, 3, 11, 10)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=15, deadline=None)
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), n=st.integers(0, 2))
def test_networks_of_the_inputs_size_at_any_size(name, size, n):
    model = made(name)
    assert model(images(n, 3, *size)).shape == (n, model.out_channels, *size)


def test_the_generator_mirrors_its_borders():
    model = made("generator")
    assert float(model(images(1, 3, 6, 5)).detach().abs().max()) <= 1
    x, stage = images(1, 3, 7, 5, dtype=torch.float64), model.encoder[0][0].double()
    padded = torch.nn.functional.pad(x, (1, 2, 1, 2), mode="reflect")  # of odd sides one pixel more is mirrored behind
    torch.testing.assert_close(stage(x), torch.nn.functional.conv2d(padded, stage.weight, stage.bias, 2))
    one = images(1, 3, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(stage(one), stage(one.expand(1, 3, 4, 4))[:, :, 1:, 1:])  # a pixel alone is repeated
    assert [s[0].stride for s in model.encoder] == [(2, 2)] * 3
    assert [s[0].out_channels for s in models.Generator().encoder] == [32, 64, 128]


def test_mirrored_strides_do_not_shift():
    """Each result stands in the middle of its block: mirroring the picture mirrors the result."""
    conv = ReflectConv2d(2, 3, 4, 2).double()
    with torch.no_grad():
        conv.weight.copy_(conv.weight + conv.weight.flip(-1, -2))
    x = images(1, 2, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(conv(x.flip(-1, -2)), conv(x).flip(-1, -2))
    with pytest.raises(ValueError, match="shifts at stride 2"):
        ReflectConv2d(2, 3, 3, 2)


def test_segnet_unpools_by_its_encoders_indices():
    model = made("segnet")
    seen = []
    for stage in model.decoder:
        stage.up.register_forward_hook(lambda module, args, y: seen.append((args[2], y)))
    model(images(1, 3, 9, 7))
    for indices, y in seen:
        assert indices.dtype == torch.int64
        places = torch.zeros_like(y).flatten(2).scatter(2, indices.flatten(2), 1.0).view_as(y)
        assert bool((y[places == 0] == 0).all())
    assert [len(s.convs) // 3 for s in models.SegNet(widths=(4, 4, 4), depths=(2, 2, 3)).decoder] == [3, 2, 1]


def test_segnet_and_unet_along_one_and_three_axes():
    for dims, size in ((1, (11,)), (3, (5, 6, 3))):
        for name in ("unet", "segnet"):
            model = made(name, dims=dims, in_channels=2)
            assert model(images(1, 2, *size)).shape == (1, model.out_channels, *size)
    assert models.UNet(widths=(4, 6), upsampler="linear")(images(1, 3, 4, 4)).shape == (1, 1, 4, 4)
    assert models.UNet(depth=0, width=4)(images(1, 3, 4, 4)).shape == (1, 1, 4, 4)
    down = models.UNet(1, 2, width=4, depth=1, downsampler="blur_pool")
    assert down(images(1, 1, 5, 4)).shape == (1, 2, 5, 4)


PYRAMIDS = [
    [(16, 12), (8, 6), (4, 3)],
    [(13, 9), (7, 5), (4, 3)],
    [(13, 9), (13, 9), (5, 1)],
    [(40, 6), (9, 3), (1, 1)],
]


@pytest.mark.parametrize("upsampler", [name for name in ALL if name != "haar_unpool"])
def test_pyramids_of_any_sizes(upsampler):
    options = QUICK.get(upsampler, {})
    levels, scores = (
        made("fpn", upsampler=upsampler, **options),
        made("fpn", out_channels=3, upsampler=upsampler, **options),
    )
    for sizes in PYRAMIDS:
        if upsampler == "sapa" and (1, 1) in sizes:
            continue  # its own norm needs more than one value
        maps = [images(2, c, *size) for c, size in zip((4, 6, 8), sizes, strict=True)]
        assert [tuple(y.shape) for y in levels(maps)] == [(2, 8, *size) for size in sizes]
        assert scores(maps).shape == (2, 3, *sizes[0])
        assert scores(maps, size=(50, 31)).shape == (2, 3, 50, 31)


def test_a_pyramid_is_sums_from_coarse_to_fine():
    model = made("fpn").double()
    maps = [images(1, c, n, n, dtype=torch.float64) for c, n in ((4, 8), (6, 4), (8, 2))]
    state = model.state_dict()

    def conv(key, x):
        weight = state[f"{key}.weight"]
        return torch.nn.functional.conv2d(x, weight, state[f"{key}.bias"], padding=weight.shape[2] // 2)

    top = conv("top", maps[2])
    want = [conv("smooth", top)]
    for i, x in ((0, maps[1]), (1, maps[0])):
        top = conv(f"steps.{i}.lateral", x) + top.repeat_interleave(2, 2).repeat_interleave(2, 3)
        want.append(conv(f"steps.{i}.smooth", top))
    for got, level in zip(model(maps), reversed(want), strict=True):
        torch.testing.assert_close(got, level, rtol=1e-10, atol=1e-10)


def test_super_resolution_starts_as_cubic_interpolation():
    model = models.SuperResolution(scale=2, channels=4)
    x = images(1, 3, 5, 6)
    want = upsamplers.create_upsampler("cubic", 3, scale=2)(x)
    torch.testing.assert_close(model(x), want)
    assert [m.stride for m in (model.down1, model.down2)] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("name", ["espcn", "srvgg", "rrdbnet", "generator"])
@pytest.mark.filterwarnings("ignore")
def test_export(name):
    model, x = made(name), images(2, made(name).in_channels, 9, 13)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x))


BAD = [
    (("espcm", {}), "did you mean 'espcn'"),
    (("espcn", {"scale": 0}), "scale is 0"),
    (("espcn", {"scale": 2.0}), "scale is 2.0"),
    (("espcn", {"channels": 4}), "unknown option of 'espcn' 'channels'"),
    (("espcn", {"activation": "swish"}), "unknown activation 'swish'"),
    (("espcn", {"widths": (4,)}), "two numbers"),
    (("espcn", {"upsampler": "bilinear"}), "unknown upsampler 'bilinear'"),
    (("espcn", {"upsampler": "carafe", "kernel": 4}), "unknown option of 'carafe' 'kernel'"),
    (("espcn", {"upsampler": "sapa"}), "needs a guide, and this network has none"),
    (("fsrcnn", {"scale": 10}), "leaves holes at scale=10"),
    (("edsr", {"scale": 6}), "no tail for scale=6"),
    (("edsr", {"mean": (0.1, 0.2)}), "a mean of 2 values for 3 channels"),
    (("rrdbnet", {"scale": 3}), "no tail for scale=3"),
    (("rrdbnet", {"scale": 8, "steps": 2}), "steps is 2"),
    (("srvgg", {"in_channels": 3, "out_channels": 2}), "cannot be added"),
    (("srvgg", {"activation": "tanh"}), "unknown activation"),
    (("super_resolution", {"in_channels": 2, "out_channels": 3}), "cannot be added"),
    (("unet", {"widths": ()}), "widths is empty"),
    (("unet", {"dims": 4}), "dims is 4"),
    (("unet", {"norm": "layer"}), "unknown norm"),
    (("segnet", {"widths": (4, 8), "depths": (1,)}), "2 widths and 1 depths"),
    (("segnet", {"depths": (0, 1, 1, 1, 1)}), "depth is 0"),
    (("fpn", {"in_channels": ()}), "in_channels is empty"),
    (("generator", {"widths": ()}), "widths is empty"),
    (("generator", {"upsampler": "max_unpool"}), "needs a guide"),
]


@pytest.mark.parametrize(("call", "why"), BAD)
def test_bad_options_are_named(call, why):
    name, options = call
    with pytest.raises(HalfpixelError, match=rf"^create_model\('{name}'[^\n]*\): [\s\S]*{why}") as caught:
        models.create_model(name, **options)
    assert isinstance(caught.value, (ValueError, TypeError)) and caught.value.works


@pytest.mark.parametrize("name", [*RESOLVERS, *WHOLE])
def test_bad_inputs_are_named(name):
    model = made(name)
    c = model.in_channels
    for x, kind, why in (
        (None, TypeError, "NoneType"), (torch.zeros(1, c + 1, 4, 4), ValueError, f"for {c} channels"),
        (torch.zeros(c, 4, 4), ValueError, "has shape"), (torch.zeros(1, c, 0, 4), ValueError, "sides of at least 1"),
        (torch.zeros(1, c, 4, 4, dtype=torch.uint8), TypeError, "uint8"),
    ):  # fmt: skip
        with pytest.raises(kind, match=why) as caught:
            model(x)
        assert type(model).__name__ in str(caught.value)


def test_bad_pyramids_are_named():
    model = made("fpn")
    maps = [images(1, c, n, n) for c, n in ((4, 8), (6, 4), (8, 2))]
    with pytest.raises(ValueError, match=r"channels \(8, 6, 4\)"):
        model(maps[::-1])
    with pytest.raises(TypeError, match="list of tensors"):
        model(maps[0])
    with pytest.raises(ValueError, match="size is for the head"):
        model(maps, size=(4, 4))
