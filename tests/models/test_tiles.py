# SPDX-License-Identifier: MIT
"""Tiles give what the whole gives: every size, every stride, and when memory runs out."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='networks need pip install "halfpixel[models]"')

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from halfpixel import models  # noqa: E402
from halfpixel.models import BlendWarning, Reach, _tile_size, _windows, run_tiled  # noqa: E402

nn = torch.nn


def made(name, **options):
    torch.manual_seed(3)
    return models.create_model(name, **options).double().eval()


SMALL = {
    "espcn": {"scale": 2},
    "fsrcnn": {"scale": 3},
    "edsr": {"scale": 2, "channels": 8, "blocks": 2},
    "srvgg": {"scale": 4, "channels": 8, "convs": 2},
    "rrdbnet": {"scale": 4, "channels": 8, "growth": 4, "blocks": 1},
}


def picture(channels, height, width, seed=0, dtype=torch.float64):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def whole(net, x):
    with torch.no_grad():
        return net(x)


class Strided(nn.Module):
    """Pixels of blocks of four side by side, convolutions, and back: sizes must be multiples of four."""

    in_channels, scale = 1, 2
    reach = Reach(12, 4)

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(16, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 64, 5, padding=2),
            nn.PixelShuffle(8),
        ).double()  # fmt: skip

    def forward(self, x):
        return self.body(x)


class Down(nn.Module):
    """A strided convolution and a transposed one; it takes any size and gives it back."""

    in_channels, scale = 1, 1
    reach = Reach(6, 2)

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.down = nn.Conv2d(1, 6, 3, stride=2, padding=1).double()
        self.up = nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1).double()

    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))[..., : x.shape[2], : x.shape[3]]


class Everywhere(nn.Module):
    """What comes out depends on the mean of the whole."""

    in_channels, scale, reach = 1, 2, None

    def forward(self, x):
        x = x - 0.1 * x.mean((2, 3), keepdim=True)
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Hungry(nn.Module):
    """Fails on windows above a number of pixels, as a machine with little memory does."""

    def __init__(self, net, most, error, stride=1):
        super().__init__()
        self.net, self.most, self.error = net, 10**9, error
        self.in_channels, self.scale, self.reach = net.in_channels, net.scale, net.reach
        self.runs, self.refused = [], []
        _tile_size.facts(self, net.in_channels, stride)  # while there is memory
        self.runs.clear()
        self.most = most

    def forward(self, x):
        area = x.shape[2] * x.shape[3]
        if area > self.most:
            self.refused.append(area)
            raise self.error
        self.runs.append(area)
        return self.net(x)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (31, 2), (41, 53), (64, 48)])
@pytest.mark.parametrize("tile", [5, 16, (40, 9)])
def test_tiled_is_the_whole(name, size, tile):
    net = made(name, **SMALL[name])
    x = picture(net.in_channels, *size)
    assert (run_tiled(net, x, tile=tile) - whole(net, x)).abs().max() < 1e-12


@pytest.mark.parametrize("name", SMALL)
def test_in_float32_to_a_few_ulps(name):
    net = made(name, **SMALL[name]).float()
    x = picture(net.in_channels, 71, 83, dtype=torch.float32)
    expected = whole(net, x)
    got = run_tiled(net, x, tile=24)
    assert got.dtype == torch.float32
    assert (got - expected).abs().max() <= 16 * torch.finfo(torch.float32).eps * max(1, expected.abs().max())


@pytest.mark.parametrize("net", [Strided, Down], ids=lambda net: net.__name__)
@pytest.mark.parametrize("size", [(32, 48), (8, 100), (64, 64)])
@pytest.mark.parametrize("tile", [4, 12, 19])
def test_tiles_begin_at_multiples_of_the_stride(net, size, tile):
    net, x = net(), picture(1, *size)
    assert (run_tiled(net, x, tile=tile) - whole(net, x)).abs().max() < 1e-12


@pytest.mark.parametrize("size", [(33, 47), (1, 1), (5, 23), (31, 29)])
def test_sizes_that_a_network_takes_are_given_as_they_are(size):
    net, x = Down(), picture(1, *size)
    assert (run_tiled(net, x, tile=8) - whole(net, x)).abs().max() < 1e-12


@pytest.mark.parametrize("size", [(33, 47), (30, 32), (5, 23)])
def test_other_sizes_are_continued_by_reflection(size):
    net, x = Strided(), picture(1, *size)
    padded = nn.functional.pad(x, (0, -size[1] % 4, 0, -size[0] % 4), mode="reflect")
    expected = whole(net, padded)[..., : 2 * size[0], : 2 * size[1]]
    assert (run_tiled(net, x, tile=8) - expected).abs().max() < 1e-12


def test_one_pixel_is_continued_by_itself():
    net, x = Strided(), picture(1, 1, 1)
    assert (run_tiled(net, x) - whole(net, x.expand(1, 1, 4, 4))[..., :2, :2]).abs().max() < 1e-12


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.integers(1, 30), st.sampled_from(["espcn", "fsrcnn"])
)
def test_any_size_and_tile(height, width, tile_h, tile_w, name):
    net = made(name, **SMALL[name])
    x = picture(1, height, width)
    assert (run_tiled(net, x, tile=(tile_h, tile_w)) - whole(net, x)).abs().max() < 1e-12


def test_a_halo_that_is_too_small_is_seen():
    net = made("fsrcnn", scale=2)
    x = picture(1, 40, 40)
    assert (run_tiled(net, x, tile=10, halo=1) - whole(net, x)).abs().max() > 1e-9


def test_a_module_that_says_nothing_of_itself_is_looked_at():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
    net = net.double()
    x = picture(2, 30, 41)
    y = run_tiled(net, x, tile=8)
    assert y.shape == (1, 3, 60, 82)
    assert (y - whole(net, x)).abs().max() < 1e-12


def test_batches_types_and_modes_are_kept():
    net = made("espcn").float().train()
    x = torch.rand(3, 1, 20, 21, dtype=torch.float64, requires_grad=True)
    y = run_tiled(net, x, tile=8)
    assert y.dtype == torch.float64 and y.shape == (3, 1, 40, 42) and not y.requires_grad
    assert all(module.training for module in net.modules())
    y.add_(1)  # no inference tensor, which could not be changed or saved


def test_running_means_are_not_moved_and_dropout_is_off():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.PixelShuffle(2)).double()
    before = net[1].running_mean.clone()
    x = picture(1, 24, 24)
    y = run_tiled(net, x, tile=8)
    assert net.training and torch.equal(net[1].running_mean, before)
    assert (y - whole(net.eval(), x)).abs().max() < 1e-12


# Windows.


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 90), st.integers(0, 40), st.sampled_from([1, 2, 3, 4, 8]))
def test_exact_windows(n, tile, halo, stride):
    spans = _windows.exact(n, tile, halo, stride)
    assert [spans[0].start, spans[-1].stop] == [0, n]
    assert all(a.stop == b.start for a, b in itertools.pairwise(spans))
    for one in spans:
        assert one.start % stride == 0 == one.low % stride
        assert one.low <= max(0, one.start - halo) and one.high >= min(n, one.stop + halo)
        assert one.low >= 0 and one.high <= n
        assert one.stop - one.start <= max(tile, stride)
    lengths = [-(-(one.stop - one.start) // stride) for one in spans]
    assert max(lengths) - min(lengths) <= 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 90), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]))
def test_overlapping_windows(n, tile, overlap, multiple):
    overlap = _windows.up_to(overlap, multiple)
    spans = _windows.overlapping(n, tile, overlap, multiple)
    assert spans[0].low == 0 and spans[-1].high == n
    assert all(one.low % multiple == 0 for one in spans)
    assert all(a.high - b.low == overlap for a, b in itertools.pairwise(spans))
    assert all(a.high <= c.low for a, c in zip(spans, spans[2:], strict=False))


# Networks without a finite reach.


def test_without_a_reach_it_runs_whole_where_that_fits():
    net, x = Everywhere(), picture(1, 90, 70)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(run_tiled(net, x), whole(net, x))


def test_without_a_reach_tiles_are_blended_and_it_says_so():
    net, x = Everywhere(), picture(1, 90, 70)
    with pytest.warns(BlendWarning, match="no finite receptive field: it is run in tiles that share 8 pixels"):
        y = run_tiled(net, x, tile=32, overlap=8)
    assert 1e-6 < (y - whole(net, x)).abs().max() < 0.05


@pytest.mark.parametrize("blend", ["linear", "cosine"])
@pytest.mark.parametrize("size", [(90, 70), (33, 200), (8, 8), (1, 1), (47, 53)])
def test_weights_sum_to_one(blend, size):
    """A network that looks at single pixels is not changed by blending, whatever the ramps."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2)).double()
    x = picture(1, *size)
    y = run_tiled(net, x, tile=16, overlap=8, blend=blend)
    assert (y - whole(net, x)).abs().max() < 1e-12


def test_ramps_are_those_of_their_names():
    net = Everywhere()
    x = torch.zeros(1, 1, 4, 40, dtype=torch.float64)
    x[..., 20:] = 1
    for blend, ramp in (("linear", lambda at: at), ("cosine", lambda at: (1 - np.cos(np.pi * at)) / 2)):
        y = run_tiled(net, x, tile=(4, 24), overlap=8, blend=blend)[0, 0, 0]
        first, second = whole(net, x[..., :24])[0, 0, 0], whole(net, x[..., 16:])[0, 0, 0]
        weight = torch.from_numpy(ramp((np.arange(16) + 0.5) / 16))
        assert (y[32:48] - (first[32:] * (1 - weight) + second[:16] * weight)).abs().max() < 1e-12
        assert torch.equal(y[:32], first[:32]) and torch.equal(y[48:], second[16:])


# Memory.

ERRORS = {
    "cuda": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "allocator": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"),
    "python": MemoryError(),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("most", [2000, 500, 170])
def test_where_memory_runs_out_tiles_are_halved(error, most):
    net = made("espcn")
    hungry = Hungry(net, most, ERRORS[error])
    x = picture(1, 90, 110)
    y = run_tiled(hungry, x, tile=64)
    assert (y - whole(net, x)).abs().max() < 1e-12
    assert 1 <= len(hungry.refused) <= 20
    assert all(later < earlier for earlier, later in itertools.pairwise(hungry.refused))  # none is tried again
    assert max(hungry.runs) <= most


def test_finished_tiles_are_kept():
    net = made("espcn")

    class Later(Hungry):
        def forward(self, x):
            self.most = 10**9 if len(self.runs) < 4 else 400
            return super().forward(x)

    later = Later(net, 10**9, MemoryError())
    x = picture(1, 64, 64)
    y = run_tiled(later, x, tile=16)
    assert (y - whole(net, x)).abs().max() < 1e-12
    assert len(later.refused) == 1
    assert sum(area > 400 for area in later.runs) == 2  # those of the corners are 400: their halo is cut off


def test_blended_tiles_are_halved_too():
    class Pixels(Everywhere):
        def forward(self, x):
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    hungry = Hungry(Pixels(), 700, MemoryError(), stride=None)
    x = picture(1, 90, 70)
    with pytest.warns(BlendWarning):
        y = run_tiled(hungry, x, tile=64, overlap=8)
    assert (y - whole(Pixels(), x)).abs().max() < 1e-12
    assert hungry.refused and max(hungry.runs) <= 700


def test_memory_that_is_never_enough_is_an_error():
    hungry = Hungry(made("espcn"), 10, MemoryError())
    with pytest.raises(RuntimeError, match="not enough memory for the network, even on"):
        run_tiled(hungry, picture(1, 40, 40))


def test_other_errors_are_not_taken_for_memory():
    hungry = Hungry(made("espcn"), 500, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run_tiled(hungry, picture(1, 40, 40))
    assert len(hungry.refused) == 1


def test_tiles_fit_into_the_memory_that_is_given():
    net = made("edsr", scale=2, channels=16, blocks=2).float()
    per_pixel = _tile_size.facts(net, 3, 1).pixel_bytes
    assert 16 * 4 * 2 < per_pixel < 16 * 4 * 60
    seen = []
    handle = net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[2:].numel()))
    x = picture(3, 200, 300, dtype=torch.float32)
    y = run_tiled(net, x, memory=int(per_pixel * 3600))
    handle.remove()
    assert 1800 < max(seen) <= 3600
    assert len(seen) > 12
    assert (y - whole(net, x)).abs().max() < 1e-5


@pytest.mark.parametrize(("halo", "stride"), [(4, 1), (8, 4), (36, 1), (0, 1)])
@pytest.mark.parametrize("width", [1, 200, 3001, 5000, 50_000])
def test_tiles_of_wide_pictures_are_lower_and_no_larger(halo, stride, width):
    square = (192, min(192, _windows.up_to(width, stride)))
    low, wide = _tile_size.lowered(square, (4000, width), halo, stride)
    area, most = (low + 2 * halo) * (wide + 2 * halo), (192 + 2 * halo) * (square[1] + 2 * halo)
    assert low % stride == 0 and wide % stride == 0 and 0 < low <= 192 and area <= most
    assert low * width <= _tile_size.STRIP or low < 12 * halo + stride or low == stride
    if width * 192 <= _tile_size.STRIP:
        assert (low, wide) == square


def test_what_a_network_holds_is_measured():
    """Two maps of 32 channels live at the same time, and the input: known by counting."""
    net = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 1, 3, padding=1))
    assert _tile_size.facts(net, 1, 1).pixel_bytes == _tile_size._SCRATCH * 4 * (1 + 64)


def test_progress_is_told_and_can_stop_it():
    told = []
    run_tiled(made("espcn"), picture(1, 40, 40), tile=10, on_progress=told.append)
    assert told == [i / 16 for i in range(1, 17)]

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiled(made("espcn"), picture(1, 40, 40), tile=10, on_progress=stop)


# What is refused.


class Odd(nn.Module):
    """Its scale is no whole number."""

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=1.5)


@pytest.mark.parametrize(
    ("net", "x", "options", "message"),
    [
        ("espcn", torch.zeros(1, 1, 4), {}, r"of shape \(1, 1, 4\)"),
        ("espcn", torch.zeros(1, 1, 0, 4), {}, "none of them 0"),
        ("espcn", torch.zeros(1, 1, 4, 4, dtype=torch.uint8), {}, "a tensor of floats"),
        ("espcn", torch.zeros(1, 1, 4, 4, dtype=torch.complex64), {}, "a tensor of floats"),
        ("espcn", np.zeros((1, 1, 4, 4)), {}, "a tensor of floats"),
        ("espcn", torch.zeros(1, 3, 4, 4), {}, "3 channels"),
        ("espcn", torch.zeros(1, 1, 4, 4), {"tile": 0}, "tile is 0"),
        ("espcn", torch.zeros(1, 1, 4, 4), {"tile": (3, 4, 5)}, "pixels of a side"),
        ("espcn", torch.zeros(1, 1, 4, 4), {"halo": -1}, "halo is -1"),
        ("espcn", torch.zeros(1, 1, 4, 4), {"blend": "hard"}, "'linear' or 'cosine'"),
        ("espcn", torch.zeros(1, 1, 4, 4), {"overlap": 0}, "overlap is 0"),
        (Odd(), torch.zeros(1, 1, 4, 4), {"halo": 4}, "scale is unknown: it makes 36 x 36 of 24 x 24"),
        (nn.Flatten(), torch.zeros(1, 1, 4, 4), {"halo": 4}, "does not return a picture"),
    ],
)
def test_refused(net, x, options, message):
    net = made(net) if isinstance(net, str) else net
    with pytest.raises((ValueError, TypeError), match=message):
        run_tiled(net, x, **options)
