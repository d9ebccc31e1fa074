# SPDX-License-Identifier: MIT
"""Each operator against its formula, written as loops in float64, apart from the package's code."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from halfpixel.upsamplers import create_downsampler, create_upsampler  # noqa: E402
from halfpixel.upsamplers.conv_transpose import linear_profile  # noqa: E402
from halfpixel.upsamplers.resize_conv import low_resolution_kernel  # noqa: E402
from tests.upsamplers.family import stirred  # noqa: E402

EXACT = {"rtol": 0, "atol": 1e-12}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(name, *args, **options):
    torch.manual_seed(0)
    return stirred(create_upsampler(name, *args, **options).double()).requires_grad_(False)


def window_sum(x, weights, kernel, groups=1, padding="zeros"):
    """y[c, p] = sum of w[g, n, p] x[c, base(p) + n], one number at a time."""
    n, c, h, w = x.shape
    size, r, weights = weights.shape[2:], kernel // 2, weights.detach()
    y = torch.zeros(n, c, *size, dtype=torch.float64)
    for b, ch, i, j in itertools.product(range(n), range(c), range(size[0]), range(size[1])):
        top, left = (2 * i + 1) * h // (2 * size[0]), (2 * j + 1) * w // (2 * size[1])
        total = mass = 0.0
        for t, (u, v) in enumerate(itertools.product(range(-r, r + 1), repeat=2)):
            weight = float(weights[b, ch // (c // groups) * kernel**2 + t, i, j])
            row, col = top + u, left + v
            if padding == "replicate":
                row, col = min(max(row, 0), h - 1), min(max(col, 0), w - 1)
            if 0 <= row < h and 0 <= col < w:
                total += weight * float(x[b, ch, row, col])
                mass += weight
        y[b, ch, i, j] = total / mass if padding == "renorm" else total
    return y


def softmaxed(scores, groups=1):
    e = scores.unflatten(1, (groups, -1)).exp()
    return (e / e.sum(2, keepdim=True)).flatten(1, 2)


def repeated(x, s):
    return x.repeat_interleave(s, 2).repeat_interleave(s, 3)


@pytest.mark.parametrize("scale", [2, 3, (1, 2)])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "circular", "reflect"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_resize_conv_is_nearest_and_a_convolution(scale, padding, kernel):
    module = made("resize_conv", 3, 2, scale=scale, kernel_size=kernel, padding_mode=padding)
    x = rand(2, 3, 4, 5)
    u = x.repeat_interleave(module.scale[0], 2).repeat_interleave(module.scale[1], 3)
    p = kernel // 2
    u = F.pad(u, (p,) * 4, mode="constant" if padding == "zeros" else padding)
    torch.testing.assert_close(module(x), F.conv2d(u, module.conv.weight, module.conv.bias), **EXACT)
    plain = create_upsampler("resize_conv", 3, 2, scale=scale, kernel_size=kernel, padding_mode=padding, fused=False)
    plain.double().load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x), plain(x), **EXACT)


def test_the_low_resolution_form_follows_its_weights():
    """Whatever changes the weights, and however silently."""
    torch.manual_seed(0)
    module = create_upsampler("resize_conv", 3, 4)
    plain, x = create_upsampler("resize_conv", 3, 4, fused=False), rand(1, 3, 5, 6).float()

    def same(module, x, atol=1e-5):
        plain.to(x.dtype).load_state_dict(module.state_dict())
        torch.testing.assert_close(module(x), plain(x), rtol=0, atol=atol)

    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    for change in (
        lambda: module.conv.weight.data.mul_(1.5),  # which no version counts
        lambda: torch.nn.init.normal_(module.conv.weight),
        lambda: module.load_state_dict(create_upsampler("resize_conv", 3, 4).state_dict()),
        lambda: (module(x).square().sum().backward(), optimizer.step()),
        lambda: setattr(module.conv, "weight", torch.nn.Parameter(torch.ones(4, 3, 3, 3))),
        lambda: module.conv.weight.detach().numpy().fill(0.5),
    ):
        for again in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            with torch.no_grad():
                again(x)
        change()
        with torch.no_grad():
            same(module, x)
    same(module.double(), x.double(), 1e-12)
    same(module.bfloat16(), x.bfloat16(), 0.1)


def test_the_low_resolution_form_of_channels_last_weights():
    """Made without moving channels: the same numbers, the same gradient."""
    weight = torch.rand(5, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    last = weight.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    results = [low_resolution_kernel(w, (2, 3)) for w in (weight, last)]
    assert results[1].transpose(0, 1).movedim(1, -1).is_contiguous()
    torch.testing.assert_close(*results)
    towards = torch.rand_like(results[0])
    grads = [torch.autograd.grad(k, w, towards)[0] for k, w in zip(results, (weight, last), strict=True)]
    torch.testing.assert_close(*grads)


def test_the_low_resolution_form_needs_as_many_multiplications_as_it_says():
    kernel = low_resolution_kernel(torch.ones(1, 1, 3, 3), (2, 2))
    assert kernel.shape == (1, 1, 4, 4)
    assert kernel.sum() == 36  # nine taps for each of the four places that a sample fills
    (entry,) = (create_upsampler("resize_conv", 4).entry,)
    plain, fused = (entry.multiply_adds((8, 8), 4, fused=f) for f in (False, None))
    assert plain / fused == 2.25


@pytest.mark.parametrize(("kernel", "scale"), [(4, 2), (5, 3), (2, 2), (6, 2), (8, 4), (3, 3), (4, 3)])
def test_first_weights_of_conv_transpose_show_no_checkerboard(kernel, scale):
    line = linear_profile((kernel,), (scale,))
    assert all(line[p::scale].sum() == pytest.approx(1) for p in range(scale))
    module = create_upsampler(
        "conv_transpose", 5, 4, scale=scale, kernel_size=kernel, padding_mode="replicate"
    ).double()
    level = torch.full((1, 5, 6, 6), 0.3, dtype=torch.float64)
    y = module(level)
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y), rtol=0, atol=1e-7)
    rough = create_upsampler("conv_transpose", 5, 4, scale=2, init="torch").double()(level)
    assert rough[..., 2:4, 2:4].std() > 1e-3


def test_pixel_shuffle_starts_even_and_its_blur_shifts_nothing():
    x = rand(1, 3, 4, 5)
    y = create_upsampler("pixel_shuffle", 3, 2, scale=3).double()(x)
    torch.testing.assert_close(y, repeated(y[..., ::3, ::3], 3), **EXACT)
    for scale in (2, 3, 4):
        blurred = create_upsampler("pixel_shuffle", 1, scale=scale, blur=True).double()
        blurred.blur = False
        assert blurred.start_as("nearest") is None
        blurred.blur = True
        spot = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
        spot[0, 0, 4, 2] = 1
        z = blurred(spot)[0, 0].detach()
        places = torch.arange(9 * scale, dtype=torch.float64)
        assert float((z.sum(1) * places).sum() / z.sum()) == pytest.approx(4 * scale + (scale - 1) / 2)
        assert float((z.sum(0) * places).sum() / z.sum()) == pytest.approx(2 * scale + (scale - 1) / 2)
        # Phases that differ average out: alternating noise on a constant vanishes.
        noise = torch.arange(scale**2, dtype=torch.float64) - (scale**2 - 1) / 2
        torch.nn.init.zeros_(blurred.conv.weight)
        blurred.conv.bias.data.copy_(noise)
        assert blurred(spot).detach()[..., scale:-scale, scale:-scale].abs().max() < 1e-12


EDGES = {"replicate": lambda i, n: min(max(i, 0), n - 1), "wrap": lambda i, n: i % n, "zeros": lambda i, n: i}
EDGES["reflect"] = lambda i, n: n - 1 - abs(n - 1 - abs(i))


def fir_line(x, s, taps, edge):
    """Zeros between the samples of the extended line, then the filter, centred."""
    n, half = len(x), (len(taps) - s) / 2
    y = np.zeros(n * s)
    for o in range(n * s):
        for at in range(-9, n + 9):
            t = o + half - s * at
            i = EDGES[edge](at, n)
            if 0 <= t < len(taps) and 0 <= i < n:
                y[o] += s * taps[int(t)] / sum(taps) * x[i]
    return y


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(("scale", "taps"), [(2, None), (3, None), (2, (1, 1)), (2, (1, 5, 10, 10, 5, 1)), (1, None)])
def test_fir_and_blur_pool(edge, scale, taps):
    x = rand(1, 1, 11)
    line = taps or {1: (1,), 2: (1, 3, 3, 1), 3: (1, 3, 6, 7, 6, 3, 1)}[scale]
    up = create_upsampler("fir", 1, scale=scale, dims=1, taps=taps, edge=edge)
    np.testing.assert_allclose(up(x)[0, 0], fir_line(x[0, 0].numpy(), scale, line, edge), atol=1e-14)
    down = create_downsampler("blur_pool", 1, scale=scale, dims=1, taps=taps, edge=edge)
    m, half = -(-11 // scale), (len(line) - scale) // 2
    want = [
        sum(
            t / sum(line) * float(x[0, 0, EDGES[edge](scale * q + k - half, 11)])
            for k, t in enumerate(line)
            if 0 <= EDGES[edge](scale * q + k - half, 11) < 11
        )
        for q in range(m)
    ]
    np.testing.assert_allclose(down(x)[0, 0], want, atol=1e-14)


def test_fir_refuses_checkerboards_and_shifts():
    with pytest.raises(ValueError, match="checkerboard"):
        create_upsampler("fir", 1, scale=4, taps=(1, 3, 3, 1))
    with pytest.raises(ValueError, match="shifts by half"):
        create_upsampler("fir", 1, taps=(1, 2, 1))
    with pytest.raises(ValueError, match="leaves holes"):
        create_upsampler("fir", 1, taps=(1,))


def test_haar_takes_apart_and_puts_together():
    for dims in (1, 2, 3):
        x = rand(2, 3, *(4, 6, 2)[:dims])
        small = create_downsampler("haar_pool", 3, dims=dims)(x)
        torch.testing.assert_close(create_upsampler("haar_unpool", 3 * 2**dims, dims=dims)(small), x, **EXACT)
        assert float((small**2).sum()) == pytest.approx(float((x**2).sum()))
        block = x[0, 1][(slice(2),) * dims]
        assert float(small[0, 2**dims][(0,) * dims]) == pytest.approx(float(block.sum()) / 2 ** (dims / 2))
    x = rand(1, 2, 4, 6)
    low = create_downsampler("haar_pool", 2)(x)[:, ::4]
    guided = create_upsampler("haar_unpool", 2, guide_channels=2)
    torch.testing.assert_close(guided(low, guide=x), x, **EXACT)
    odd = rand(1, 1, 5, 3)
    back = create_upsampler("haar_unpool", 4)(create_downsampler("haar_pool", 1)(odd), (5, 3))
    torch.testing.assert_close(back, odd, **EXACT)


def test_max_unpool_by_the_map_and_by_its_indices():
    guide = rand(2, 3, 5, 7)
    pooled, indices = F.max_pool2d(guide, 2, ceil_mode=True, return_indices=True)
    module = create_upsampler("max_unpool", 3, guide_channels=3)
    by_map = module(pooled, guide=guide)
    assert torch.equal(by_map, module(pooled, (5, 7), indices))
    assert torch.equal(by_map[by_map != 0], guide[by_map != 0]) and int((by_map != 0).sum()) == pooled.numel()
    with pytest.raises(ValueError, match="indices have shape"):
        module(pooled, guide=indices[:, :1])


def test_adaptive_gives_constants_alike_on_either_side_of_the_threshold():
    small, large = (made("adaptive", 3, 2, threshold=t) for t in (1000, 0))
    level = torch.full((1, 3, 5, 4), 0.7, dtype=torch.float64)
    torch.testing.assert_close(F.avg_pool2d(small(level), 2), F.avg_pool2d(large(level), 2), rtol=0, atol=1e-12)
    assert (small(rand(1, 3, 5, 4)) - large(rand(1, 3, 5, 4))).abs().max() > 1e-3
    torch.manual_seed(0)
    first = [create_upsampler("adaptive", 3, 2, threshold=t).double() for t in (1000, 0)]
    first[1].load_state_dict(first[0].state_dict())
    x = rand(1, 3, 5, 4)
    torch.testing.assert_close(first[0](x), first[1](x), rtol=0, atol=1e-7)


def test_hybrid():
    module = made("hybrid", 3, 2)
    x = rand(1, 3, 4, 5)
    y = F.conv2d(F.interpolate(x, scale_factor=2, mode="bilinear"), module.conv.weight, module.conv.bias, padding=1)
    told = torch.stack([y.mean(1), y.max(1).values], 1)
    gate = 1 / (1 + torch.exp(-F.conv2d(told, module.attention.weight, padding=3)))
    torch.testing.assert_close(module(x), y * gate, **EXACT)


def test_dupsampling_fits_label_blocks_as_well_as_any_linear_map():
    gen = torch.Generator().manual_seed(0)
    labels = repeated(torch.randint(0, 3, (4, 1, 6, 8), generator=gen), 2)[:, 0]
    labels[0, :5, :5] = torch.randint(0, 3, (5, 5), generator=gen)
    labels[1, 0, 0] = 255
    module = create_upsampler("dupsampling", 4, 3).double()
    error = module.fit(labels)
    hot = torch.stack([(labels == k).double() for k in range(3)], 1)
    v = F.pixel_unshuffle(hot, 2).permute(1, 0, 2, 3).flatten(1)
    _, s, _ = torch.linalg.svd(v, full_matrices=False)
    assert error == pytest.approx(float((s[4:] ** 2).sum() / v.numel()))
    w = module.conv.weight[..., 0, 0]
    codes = (w.T @ v).reshape(4, 4, 6, 8).transpose(0, 1)
    assert float(((module(codes).detach() - hot) ** 2).mean()) == pytest.approx(error)
    for wrong in (labels.float(), labels[0], labels[:0]):
        with pytest.raises((ValueError, TypeError), match=r"^dupsampling.fit"):
            module.fit(wrong)


def test_guided_filter_is_a_regression_in_every_window():
    module = create_upsampler("guided_filter", 2, guide_channels=3, radius=1, eps=0.01)
    x, guide = rand(1, 2, 4, 5), rand(1, 3, 8, 10, seed=1)
    g = F.interpolate(guide, (4, 5), mode="bilinear")
    slopes, offsets = torch.zeros(2, 3, 4, 5).double(), torch.zeros(2, 4, 5).double()

    def window(a, i, j):
        return a[..., max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].flatten(-2)

    for i, j in itertools.product(range(4), range(5)):
        gs, ps = window(g[0], i, j), window(x[0], i, j)
        gc, pc = gs - gs.mean(1, keepdim=True), ps - ps.mean(1, keepdim=True)
        count = gs.shape[1]
        a = torch.linalg.solve(gc @ gc.T / count + 0.01 * torch.eye(3).double(), gc @ pc.T / count)
        slopes[:, :, i, j] = a.T
        offsets[:, i, j] = ps.mean(1) - a.T @ gs.mean(1)
    mean = torch.zeros(2, 4, 4, 5).double()
    both = torch.cat([slopes, offsets[:, None]], 1)
    for i, j in itertools.product(range(4), range(5)):
        mean[..., i, j] = window(both, i, j).mean(-1)
    fine = F.interpolate(mean, (8, 10), mode="bilinear")
    want = (fine[:, :3] * guide).sum(1) + fine[:, 3]
    torch.testing.assert_close(module(x, guide=guide)[0], want, rtol=0, atol=1e-10)
    far = module(x, guide=guide.float() + 1000)  # large means, small deviations
    torch.testing.assert_close(far[0], want, rtol=0, atol=0.02)


def liif_value(module, feat, y, x, cell):
    """One query of one sample, as the paper has it: (y, x) and cell in [-1, 1]."""
    c, h, w = feat.shape
    answers, areas = [], []
    for vy, vx in itertools.product((-1, 1), repeat=2):
        py, px = (min(max(p + v / n + 1e-6, -1 + 1e-6), 1 - 1e-6) for p, v, n in ((y, vy, h), (x, vx, w)))
        i, j = min(int((py + 1) * h / 2), h - 1), min(int((px + 1) * w / 2), w - 1)
        code = [
            float(feat[k, i + u, j + v]) if 0 <= i + u < h and 0 <= j + v < w else 0.0
            for k in range(c) for u in (-1, 0, 1) for v in (-1, 0, 1)
        ]  # fmt: skip
        ry, rx = (y - ((2 * i + 1) / h - 1)) * h, (x - ((2 * j + 1) / w - 1)) * w
        told = torch.tensor([*code, ry, rx, cell[0] * h, cell[1] * w], dtype=torch.float64)
        answers.append(module.imnet.layers(told))
        areas.append(abs(ry * rx) + 1e-9)
    return sum(a * s for a, s in zip(answers, areas[::-1], strict=True)) / sum(areas)


@pytest.mark.parametrize("size", [(6, 8), (5, 11)])
def test_liif_is_a_network_of_each_coordinate(size):
    module = made("liif", 2, 3, hidden=(6, 5))
    feat = rand(2, 2, 3, 4)
    got = module(feat, size)
    for b, i, j in itertools.product(range(2), range(0, size[0], 2), range(0, size[1], 3)):
        y, x = (2 * i + 1) / size[0] - 1, (2 * j + 1) / size[1] - 1
        want = liif_value(module, feat[b], y, x, (2 / size[0], 2 / size[1]))
        torch.testing.assert_close(got[b, :, i, j], want, rtol=0, atol=1e-9)
    module.chunk = 7
    torch.testing.assert_close(module(feat, size), got, **EXACT)
    coord = rand(2, 5, 2, seed=4) * 2 - 1
    told = module.query(feat, coord, torch.tensor([0.1, 0.2]))
    want = liif_value(module, feat[1], float(coord[1, 3, 0]), float(coord[1, 3, 1]), (0.1, 0.2))
    torch.testing.assert_close(told[1, 3], want, rtol=0, atol=1e-7)
    names = {"imnet.layers.0.weight": (6, 22), "imnet.layers.2.weight": (5, 6), "imnet.layers.4.bias": (3,)}
    assert all(tuple(module.state_dict()[k].shape) == v for k, v in names.items())
    with pytest.raises(ValueError, match=r"^liif.query.*coord has shape"):
        module.query(feat, coord[:1], torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize("padding", ["zeros", "renorm", "replicate"])
@pytest.mark.parametrize(("groups", "scale"), [(1, 2), (2, 3)])
def test_carafe(padding, groups, scale):
    module = made("carafe", 4, scale=scale, compressed_channels=3, up_group=groups, up_kernel=3, padding=padding)
    x = rand(2, 4, 3, 4)
    z = F.conv2d(F.conv2d(x, module.channel_compressor.weight, module.channel_compressor.bias),
                 module.content_encoder.weight, module.content_encoder.bias, padding=1)  # fmt: skip
    weights = softmaxed(F.pixel_shuffle(z, scale), groups)
    torch.testing.assert_close(module(x), window_sum(x, weights, 3, groups, padding), **EXACT)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_carafe_is_the_same_where_nothing_is_recorded(layout):
    module = stirred(create_upsampler("carafe", 20)).to(memory_format=layout)
    x = torch.rand(2, 20, 7, 18).contiguous(memory_format=layout)
    recorded = module(x)
    with torch.no_grad():
        y = module(x)
    assert y.stride() == recorded.stride()
    torch.testing.assert_close(y, recorded.detach(), atol=1e-5, rtol=1e-5)


def test_carafe_is_published_names_shapes_and_a_box_at_first():
    module = create_upsampler("carafe", 256)
    shapes = {
        "channel_compressor.weight": (64, 256, 1, 1), "channel_compressor.bias": (64,),
        "content_encoder.weight": (100, 64, 3, 3), "content_encoder.bias": (100,),
    }  # fmt: skip
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == shapes
    assert module.entry.parameters(256) == 74148 and module.entry.parameters(64) == 61860
    assert module.entry.parameters(256, scale=4) == 247248
    y = module(torch.ones(1, 256, 9, 9)).detach()
    assert float(y[0, 0, 0, 0]) == pytest.approx(9 / 25, abs=0.01)  # a corner keeps nine taps of 25
    assert float(y[0, 0, 9, 9]) == pytest.approx(1)


def test_carafe_downwards():
    torch.manual_seed(0)
    module = stirred(create_downsampler("carafe", 4, compressed_channels=3, down_group=2).double()).requires_grad_(
        False
    )
    x = rand(1, 4, 5, 6)
    z = F.conv2d(F.conv2d(x, module.channel_compressor.weight, module.channel_compressor.bias),
                 module.content_encoder.weight, module.content_encoder.bias, 2, 1)  # fmt: skip
    torch.testing.assert_close(module(x), window_sum(x, softmaxed(z, 2), 5, 2), **EXACT)


def bilinear(plane, y, x):
    """A sample at (y, x) in pixels, positions outside moved to the border."""
    h, w = plane.shape
    y, x = min(max(y, 0), h - 1), min(max(x, 0), w - 1)
    i, j = min(int(y), h - 1), min(int(x), w - 1)
    fy, fx = y - i, x - j
    i1, j1 = min(i + 1, h - 1), min(j + 1, w - 1)
    top = plane[i, j] * (1 - fx) + plane[i, j1] * fx
    return top * (1 - fy) + (plane[i1, j] * (1 - fx) + plane[i1, j1] * fx) * fy


@pytest.mark.parametrize("dyscope", [False, True])
@pytest.mark.parametrize("style", ["lp", "pl"])
@pytest.mark.parametrize(("scale", "groups"), [(2, 2), (3, 1)])
def test_dysample(style, scale, groups, dyscope):
    channels = 2 * scale**2
    module = made("dysample", channels, scale=scale, groups=groups, style=style, dyscope=dyscope)
    x = rand(1, channels, 3, 4)
    source = F.pixel_shuffle(x, scale) if style == "pl" else x
    offset = F.conv2d(source, module.offset.weight, module.offset.bias)
    offset = offset * torch.sigmoid(F.conv2d(source, module.scope.weight)) * 0.5 if dyscope else offset * 0.25
    if style == "pl":
        offset = F.pixel_unshuffle(offset, scale)
    offset = offset.reshape(2, groups, scale, scale, 3, 4)
    y = torch.zeros(1, channels, 3 * scale, 4 * scale, dtype=torch.float64)
    for c, h, w, i, j in itertools.product(range(channels), range(3), range(4), range(scale), range(scale)):
        ox, oy = (float(offset[a, c // (channels // groups), i, j, h, w]) for a in (0, 1))
        at_y, at_x = h + (i - (scale - 1) / 2) / scale + oy, w + (j - (scale - 1) / 2) / scale + ox
        y[0, c, scale * h + i, scale * w + j] = bilinear(x[0, c], at_y, at_x)
    torch.testing.assert_close(module(x), y, **EXACT)


def test_dysample_has_published_names_shapes_and_counts():
    module = create_upsampler("dysample", 256, dyscope=True)
    shapes = {
        "offset.weight": (32, 256, 1, 1), "offset.bias": (32,), "scope.weight": (32, 256, 1, 1),
        "init_pos": (1, 32, 1, 1),
    }  # fmt: skip
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == shapes
    assert module.init_pos.flatten().tolist() == [-0.25, 0.25] * 8 + [-0.25, -0.25, 0.25, 0.25] * 4
    count = module.entry.parameters
    assert count(256) == 8224 and count(256, dyscope=True) == 16416
    assert count(256, style="pl", groups=8) == 1040 and count(256, style="pl", groups=8, dyscope=True) == 2064
    with pytest.raises(ValueError, match="not divisible by 4"):
        create_upsampler("dysample", 6)
    with pytest.raises(ValueError, match="pixels of a block"):
        create_upsampler("dysample", 6, style="pl", groups=2)


def test_dysample_of_bfloat16_knows_where_it_is():
    """At width 1920 a ramp of positions: samples lie within 1/64 pixel of where they should."""
    module = create_upsampler("dysample", 4).to(torch.bfloat16)
    assert module.start_as("linear") is None
    torch.nn.init.constant_(module.offset.bias, 1.0)  # a quarter of a pixel
    x = torch.zeros(1, 4, 1, 1920, dtype=torch.bfloat16)
    x[..., 1::2] = 1  # between neighbours the value is the position
    got = module(x)[0, 0, 0, 10:-10].float()
    at = (torch.arange(3840, dtype=torch.float64)[10:-10] + 0.5) / 2 - 0.5 + 0.25
    want = 1 - (at % 2 - 1).abs()
    assert (got - want).abs().max() < 1 / 64


def test_sapa():
    for options in ({"embedding": 3}, {"embedding": None}):
        module = made("sapa", 4, guide_channels=4, up_kernel=3, **options)
        x, guide = rand(1, 4, 3, 2), rand(1, 4, 6, 4, seed=1)
        q, k = guide, x
        if module.embedding is not None:
            q = F.conv2d(F.group_norm(q, 4, module.norm_en.weight, module.norm_en.bias), module.q.weight, module.q.bias)
            k = F.conv2d(F.group_norm(k, 4, module.norm_de.weight, module.norm_de.bias), module.k.weight, module.k.bias)
        weights = attended(q, k, 3)
        torch.testing.assert_close(module(x, guide=guide), window_sum(x, weights, 3, padding="renorm"), **EXACT)
    assert create_upsampler("sapa", 256, guide_channels=256).entry.parameters(256, guide_channels=256) == 17472


def attended(q, k, kernel, bias=None):
    n, _, h, w = q.shape
    scores = torch.zeros(n, kernel**2, h, w, dtype=torch.float64)
    r = kernel // 2
    for b, i, j in itertools.product(range(n), range(h), range(w)):
        top, left = (2 * i + 1) * k.shape[2] // (2 * h), (2 * j + 1) * k.shape[3] // (2 * w)
        for t, (u, v) in enumerate(itertools.product(range(-r, r + 1), repeat=2)):
            row, col = min(max(top + u, 0), k.shape[2] - 1), min(max(left + v, 0), k.shape[3] - 1)
            scores[b, t, i, j] = q[b, :, i, j] @ k[b, :, row, col]
            if bias is not None:
                scores[b, t, i, j] += bias(i, j, top + u, left + v)
    return softmaxed(scores)


def test_fade():
    module = made("fade", 3, guide_channels=3, embedding=2, up_kernel=3)
    x, guide = rand(1, 3, 3, 2), rand(1, 3, 6, 4, seed=1)
    encoder = module.content_encoder
    high = F.conv2d(F.conv2d(guide, module.en.weight, module.en.bias), encoder.weight, encoder.bias, padding=1)
    low = F.conv2d(F.conv2d(x, module.de.weight), encoder.weight, padding=1)
    y = window_sum(x, softmaxed(high + repeated(low, 2)), 3)
    g = torch.sigmoid(repeated(F.conv2d(x, module.gate.weight, module.gate.bias), 2))
    torch.testing.assert_close(module(x, guide=guide), g * guide + (1 - g) * y, **EXACT)
    assert module.entry.parameters(256, guide_channels=256) == 47514


def test_freqfusion():
    module = made("freqfusion", 3, guide_channels=2, compressed_channels=4)
    x, guide = rand(1, 3, 3, 2), rand(1, 2, 6, 4, seed=1)
    encoder, hr, lr = module.content_encoder, module.hr_channel_compressor, module.lr_channel_compressor
    high = F.conv2d(F.conv2d(guide, hr.weight, hr.bias), encoder.weight, encoder.bias, padding=1)
    low = F.conv2d(F.conv2d(x, lr.weight, lr.bias), encoder.weight, encoder.bias, padding=1)
    line = torch.tensor([0.54 - 0.46 * math.cos(2 * math.pi * i / 4) for i in range(5)], dtype=torch.float64)
    weights = softmaxed(high + repeated(low, 2)) * torch.outer(line, line).flatten().view(1, 25, 1, 1)
    want = window_sum(x, weights / weights.sum(1, keepdim=True), 5)
    torch.testing.assert_close(module(x, guide=guide), want, **EXACT)


def test_convex():
    module = made("convex", 3, scale=2, guide_channels=5, hidden=4)
    x, hidden = rand(2, 3, 3, 4), rand(2, 5, 3, 4, seed=1)
    mask = 0.25 * module.mask(hidden)
    e = mask.view(2, 9, 2, 2, 3, 4).exp()
    weights = e / e.sum(1, keepdim=True)
    weights = weights.permute(0, 1, 4, 2, 5, 3).reshape(2, 9, 6, 8)
    torch.testing.assert_close(module(x, guide=hidden), window_sum(x, weights, 3), **EXACT)
    assert module.entry.parameters(2, scale=8, guide_channels=128) == 443200
    flow = create_upsampler("convex", 2, scale=(2, 4), flow=True, padding="renorm")
    y = flow(torch.ones(1, 2, 3, 3)).detach()
    torch.testing.assert_close(y[0, :, 5, 5], torch.tensor([4.0, 2.0]))


def test_joint_bilateral():
    x, guide = rand(1, 2, 3, 4), rand(1, 2, 6, 10, seed=1) * 0.3 + 5
    module = create_upsampler("joint_bilateral", 2, guide_channels=2, up_kernel=3)
    coarse = F.interpolate(guide, (3, 4), mode="bilinear")
    want = torch.zeros(1, 2, 6, 10, dtype=torch.float64)
    for i, j in itertools.product(range(6), range(10)):
        top, left, total = (2 * i + 1) * 3 // 12, (2 * j + 1) * 4 // 20, 0.0
        for row, col in itertools.product(range(top - 1, top + 2), range(left - 1, left + 2)):
            if 0 <= row < 3 and 0 <= col < 4:
                near = ((i + 0.5) / 2 - 0.5 - row) ** 2 + ((j + 0.5) * 0.4 - 0.5 - col) ** 2
                alike = float(((guide[0, :, i, j] - coarse[0, :, row, col]) ** 2).sum())
                weight = math.exp(-near / (2 * 0.75**2) - alike / (2 * 0.1**2))
                want[0, :, i, j] += weight * x[0, :, row, col]
                total += weight
        want[0, :, i, j] /= total
    torch.testing.assert_close(module(x, guide=guide), want, rtol=0, atol=1e-10)


def test_local_attention():
    module = made("local_attention", 4, guide_channels=3, heads=2, embedding=6, up_kernel=3)
    x, guide = rand(1, 4, 3, 4), rand(1, 3, 5, 7, seed=1)
    q, k = (F.conv2d(a, m.weight, m.bias) for a, m in ((guide, module.q), (x, module.k)))
    parts = []
    for head in range(2):
        wide = 2 * math.exp(2 * float(module.spread[head]))

        def near(i, j, row, col, wide=wide):
            return -(((i + 0.5) * 3 / 5 - 0.5 - row) ** 2 + ((j + 0.5) * 4 / 7 - 0.5 - col) ** 2) / wide

        its = slice(3 * head, 3 * head + 3)
        parts.append(attended(q[:, its] / math.sqrt(3), k[:, its], 3, near))
    want = window_sum(x, torch.cat(parts, 1), 3, 2, "renorm")
    torch.testing.assert_close(module(x, guide=guide), want, **EXACT)


@pytest.mark.parametrize("padding", ["renorm", "replicate"])
@pytest.mark.parametrize("name", ["carafe", "convex", "freqfusion", "sapa", "local_attention"])
def test_padding_that_makes_windows_convex(name, padding):
    guide = 4 if name in ("freqfusion", "sapa", "local_attention") else None
    module = made(name, 4, guide_channels=guide, padding=padding)
    level = torch.full((1, 4, 3, 4), 0.7, dtype=torch.float64)
    y = module(level, guide=None if guide is None else rand(1, 4, 6, 8))
    torch.testing.assert_close(y, torch.full_like(y, 0.7), **EXACT)
