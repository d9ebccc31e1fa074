# SPDX-License-Identifier: MIT
"""Published networks: their counts of parameters, their keys, and what they compute, written again from the papers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as f  # noqa: E402

from halfpixel import models  # noqa: E402
from tests.models.nets import images, made  # noqa: E402

COUNTS = [
    ("espcn", {"scale": 2}, 21284),
    ("espcn", {"scale": 3}, 22729),
    ("espcn", {"scale": 4}, 24752),
    ("fsrcnn", {"scale": 3}, 12809),
    ("edsr", {"scale": 2}, 1369859),
    ("edsr", {"scale": 3}, 1554499),
    ("edsr", {"scale": 4}, 1517571),
    ("edsr", {"scale": 2, "channels": 256, "blocks": 32, "res_scale": 0.1}, 40729603),
    ("edsr", {"scale": 4, "channels": 256, "blocks": 32, "res_scale": 0.1}, 43089923),
    ("srvgg", {"scale": 4, "convs": 16}, 621424),
    ("srvgg", {"scale": 4, "convs": 32}, 1213296),
    ("rrdbnet", {"scale": 4}, 16697987),
    ("rrdbnet", {"scale": 4, "blocks": 6}, 4467779),
]

ESPCN = """
first_part.0.weight 64 1 5 5
first_part.0.bias 64
first_part.2.weight 32 64 3 3
first_part.2.bias 32
last_part.0.weight 9 32 3 3
last_part.0.bias 9
"""
FSRCNN = """
first_part.0.weight 56 1 5 5
first_part.0.bias 56
first_part.1.weight 56
mid_part.0.weight 12 56 1 1
mid_part.0.bias 12
mid_part.1.weight 12
mid_part.2.weight 12 12 3 3
mid_part.2.bias 12
mid_part.3.weight 12
mid_part.4.weight 56 12 1 1
mid_part.4.bias 56
mid_part.5.weight 56
last_part.weight 56 1 9 9
last_part.bias 1
"""
EDSR = """
conv_first.weight 64 3 3 3
conv_first.bias 64
body.0.conv1.weight 64 64 3 3
body.0.conv1.bias 64
body.0.conv2.weight 64 64 3 3
body.0.conv2.bias 64
conv_after_body.weight 64 64 3 3
conv_after_body.bias 64
upsample.0.weight 256 64 3 3
upsample.0.bias 256
upsample.2.weight 256 64 3 3
upsample.2.bias 256
conv_last.weight 3 64 3 3
conv_last.bias 3
"""
SRVGG = """
body.0.weight 64 3 3 3
body.0.bias 64
body.1.weight 64
body.2.weight 64 64 3 3
body.2.bias 64
body.3.weight 64
body.4.weight 48 64 3 3
body.4.bias 48
"""
RRDBNET = """
conv_first.weight 64 12 3 3
conv_first.bias 64
body.0.rdb1.conv1.weight 32 64 3 3
body.0.rdb1.conv1.bias 32
body.0.rdb1.conv2.weight 32 96 3 3
body.0.rdb1.conv2.bias 32
body.0.rdb1.conv3.weight 32 128 3 3
body.0.rdb1.conv3.bias 32
body.0.rdb1.conv4.weight 32 160 3 3
body.0.rdb1.conv4.bias 32
body.0.rdb1.conv5.weight 64 192 3 3
body.0.rdb1.conv5.bias 64
...
conv_body.weight 64 64 3 3
conv_body.bias 64
conv_up1.weight 64 64 3 3
conv_up1.bias 64
conv_up2.weight 64 64 3 3
conv_up2.bias 64
conv_hr.weight 64 64 3 3
conv_hr.bias 64
conv_last.weight 3 64 3 3
conv_last.bias 3
"""
KEYS = [
    ("espcn", {"scale": 3}, ESPCN),
    ("fsrcnn", {"mappings": 1}, FSRCNN),
    ("edsr", {"scale": 4, "blocks": 1}, EDSR),
    ("srvgg", {"scale": 4, "convs": 1}, SRVGG),
    ("rrdbnet", {"scale": 2, "blocks": 1}, RRDBNET),
]


@pytest.mark.parametrize(("name", "options", "count"), COUNTS)
def test_the_counts_of_the_papers(name, options, count):
    entry = next(entry for entry in models.list_models() if entry.name == name)
    assert entry.parameters(**options) == count


def test_a_count_is_that_of_the_network():
    entry = next(entry for entry in models.list_models() if entry.name == "rrdbnet")
    model = models.create_model("rrdbnet", blocks=1, upsampler="carafe")
    assert entry.parameters(blocks=1, upsampler="carafe") == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "options", "text"), KEYS, ids=[row[0] for row in KEYS])
def test_the_keys_and_shapes_of_published_checkpoints(name, options, text):
    state = models.create_model(name, **options).state_dict()
    lines = [" ".join(map(str, (key, *value.shape))) for key, value in state.items()]
    head, _, tail = text.strip().partition("...\n")
    if not tail:
        assert lines == head.splitlines()
    else:
        left, right = head.splitlines(), tail.splitlines()
        assert lines[: len(left)] == left and lines[-len(right) :] == right
        assert len(lines) == len(left) + 2 * 10 + len(right)


def conv(state, key, x, pad=1):
    return f.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=pad)


def shuffled(x, s):
    n, c, h, w = x.shape
    return x.reshape(n, c // s**2, s, s, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // s**2, h * s, w * s)


def espcn(state, x, scale):
    y = torch.tanh(conv(state, "first_part.0", x, 2))
    return shuffled(conv(state, "last_part.0", torch.tanh(conv(state, "first_part.2", y))), scale)


def sloped(state, key, x):
    return torch.where(x > 0, x, x * state[f"{key}.weight"].view(1, -1, 1, 1))


def fsrcnn(state, x, scale):
    y = sloped(state, "first_part.1", conv(state, "first_part.0", x, 2))
    for i in range(0, 8, 2):
        y = sloped(
            state, f"mid_part.{i + 1}", conv(state, f"mid_part.{i}", y, state[f"mid_part.{i}.weight"].shape[2] // 2)
        )
    weight, size = state["last_part.weight"], [n * scale for n in x.shape[2:]]
    out = torch.zeros(x.shape[0], 1, size[0] + 8, size[1] + 8, dtype=x.dtype)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            spread = torch.einsum("nc,cohw->nohw", y[:, :, i, j], weight)
            out[:, :, i * scale : i * scale + 9, j * scale : j * scale + 9] += spread
    return out[:, :, 4 : 4 + size[0], 4 : 4 + size[1]] + state["last_part.bias"]


def edsr(state, x, scale, blocks=2, res_scale=1.0):
    mean = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float32).to(x).view(1, 3, 1, 1)
    first = conv(state, "conv_first", (x - mean) * 255)
    y = first
    for i in range(blocks):
        y = y + res_scale * conv(state, f"body.{i}.conv2", conv(state, f"body.{i}.conv1", y).clamp(min=0))
    y = conv(state, "conv_after_body", y) + first
    for i, step in enumerate({1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]):
        y = shuffled(conv(state, f"upsample.{2 * i}", y), step)
    return conv(state, "conv_last", y) / 255 + mean


def srvgg(state, x, scale):
    y = x
    for i in (0, 2, 4):
        y = sloped(state, f"body.{i + 1}", conv(state, f"body.{i}", y))
    return shuffled(conv(state, "body.6", y), scale) + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


def rrdbnet(state, x, scale):
    r = 4 // scale
    n, c, h, w = x.shape
    y = x.reshape(n, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h // r, w // r)
    first = y = conv(state, "conv_first", y)
    inner = y
    for k in (1, 2, 3):
        maps = [inner]
        for i in range(1, 6):
            maps.append(conv(state, f"body.0.rdb{k}.conv{i}", torch.cat(maps, 1)))
            maps[-1] = leaky(maps[-1]) if i < 5 else maps[-1]
        inner = inner + 0.2 * maps[-1]
    y = first + conv(state, "conv_body", y + 0.2 * inner)
    for i in (1, 2):
        y = leaky(conv(state, f"conv_up{i}", y.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv(state, "conv_last", leaky(conv(state, "conv_hr", y)))


FORWARDS = [(espcn, s) for s in (1, 2, 3, 4)] + [(fsrcnn, s) for s in (2, 3, 4)] + [(edsr, s) for s in (1, 2, 3, 4)]
FORWARDS += [(srvgg, s) for s in (1, 3, 4)] + [(rrdbnet, s) for s in (1, 2, 4)]


@pytest.mark.parametrize(("forward", "scale"), FORWARDS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_networks_compute_what_the_papers_say(forward, scale):
    model = made(forward.__name__, scale=scale).double()
    x = images(2, model.in_channels, 8, 12, dtype=torch.float64)
    want = forward(model.state_dict(), x, scale)
    torch.testing.assert_close(model(x), want, rtol=1e-10, atol=1e-10)


def test_options_that_papers_vary():
    x = images(1, 3, 5, 4, dtype=torch.float64)
    model = made("edsr", res_scale=0.1).double()
    torch.testing.assert_close(model(x), edsr(model.state_dict(), x, 2, res_scale=0.1), rtol=1e-10, atol=1e-10)
    # img_range scales what goes in and what comes out, and a mean is taken away and given back.
    plain, scaled = (made("edsr", mean=(0.25,), img_range=r).double() for r in (1.0, 255.0))
    torch.testing.assert_close(
        plain((x - 0.25) * 255 + 0.25) / 255, scaled(x) + 0.25 / 255 - 0.25, rtol=1e-9, atol=1e-9
    )
    leaky_one = made("srvgg", activation="leakyrelu")
    assert isinstance(leaky_one.body[1], torch.nn.LeakyReLU) and leaky_one.body[1].negative_slope == 0.1
    for activation, function in (
        ("relu", torch.relu),
        ("gelu", f.gelu),
        ("leaky_relu", lambda v: f.leaky_relu(v, 0.1)),
    ):
        net = made("espcn", activation=activation).double()
        state, luma = net.state_dict(), x[:, :1]
        y = function(conv(state, "first_part.2", function(conv(state, "first_part.0", luma, 2))))
        torch.testing.assert_close(net(luma), shuffled(conv(state, "last_part.0", y), 2), rtol=1e-10, atol=1e-10)


def test_sides_that_blocks_do_not_divide_repeat_their_last_pixel():
    for scale in (1, 2):
        model = made("rrdbnet", scale=scale).double()
        block = 4 // scale
        x = images(1, 3, 2 * block + 1, 3 * block - 1, dtype=torch.float64)
        whole = f.pad(x, (0, 1, 0, block - 1), mode="replicate")
        want = rrdbnet(model.state_dict(), whole, scale)[:, :, : x.shape[2] * scale, : x.shape[3] * scale]
        torch.testing.assert_close(model(x), want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "stage"), [("espcn", "last_part"), ("fsrcnn", "last_part"), ("edsr", "upsample")])
def test_another_upsampler_keeps_the_other_keys(name, stage):
    before, after = (made(name, scale=2, upsampler=up).state_dict() for up in (None, "carafe"))
    kept = {key: value.shape for key, value in before.items() if not key.startswith(stage)}
    assert {key: value.shape for key, value in after.items() if not key.startswith(stage)} == kept
    assert any(key.startswith(f"{stage}.content_encoder") for key in after)


def test_another_upsampler_in_rrdbnet_and_srvgg():
    plain = made("rrdbnet").state_dict()
    for name in ("nearest", "pixel_shuffle"):
        other = made("rrdbnet", upsampler=name).state_dict()
        assert set(plain) <= set(other) and all(key.startswith("up") for key in set(other) - set(plain))
    # Nearest by name is the published network.
    model = made("rrdbnet", upsampler="nearest")
    model.load_state_dict(plain)
    x = images(1, 3, 5, 6)
    torch.testing.assert_close(model(x), made("rrdbnet")(x), rtol=1e-6, atol=1e-6)
    last = set(made("srvgg").state_dict()) - set(made("srvgg", upsampler="pixel_shuffle").state_dict())
    assert last == {"body.6.weight", "body.6.bias"}


def test_pixel_shuffles_start_without_a_checkerboard():
    torch.manual_seed(0)
    for name, options in (("espcn", {}), ("srvgg", {"convs": 1})):
        model = models.create_model(name, scale=3, **options).double()
        y = model(torch.full((1, model.in_channels, 12, 12), 0.5, dtype=torch.float64))[:, :, 15:-15, 15:-15]
        assert float((y - y.mean((2, 3), keepdim=True)).detach().abs().max()) < 1e-12
