# SPDX-License-Identifier: MIT
"""The same tests over every upsampler and downsampler of the tables."""

from __future__ import annotations

import copy
import inspect
import pickle
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from halfpixel import upsamplers  # noqa: E402
from halfpixel.nn import check_export  # noqa: E402
from tests.upsamplers.family import (  # noqa: E402
    CASES,
    CHANNELS,
    DOWN,
    ENTRIES,
    SIZES,
    UP,
    counting,
    created,
    guide_channels,
    guide_for,
    ids,
    input_of,
    stirred,
)

ALL = pytest.mark.parametrize(("entry", "dims"), CASES, ids=ids)
EACH = pytest.mark.parametrize("entry", ENTRIES, ids=ids)
ONLY_TWO = {"haar_unpool", "haar_pool"}
ONE_SCALE = {"dysample"}
MISSING = [name for name in ("onnx", "onnxruntime", "onnxscript") if not find_spec(name)]


@ALL
def test_the_size_is_the_scales(entry, dims):
    module = created(entry, dims)
    x = input_of(dims)
    y = module(x, guide=guide_for(module, x))
    times = module.shape.grown if entry.kind == "upsampler" else module.shape.shrunk
    assert tuple(y.shape) == (2, module.out_channels, *times(SIZES[dims]))
    assert y.dtype == x.dtype and y.isfinite().all()


@ALL
def test_scales_of_three_and_of_each_axis(entry, dims):
    for scale in (3, (1, 2, 3)[-dims:]):
        if entry.name in ONLY_TWO or (entry.name in ONE_SCALE and scale != 3 and dims > 1):
            with pytest.raises(ValueError, match=r"scale|divisible"):
                created(entry, dims, channels=36, scale=scale)
            continue
        module = created(entry, dims, channels=36, scale=scale)
        x = input_of(dims, channels=36)
        times = module.shape.grown if entry.kind == "upsampler" else module.shape.shrunk
        assert tuple(module(x, guide=guide_for(module, x)).shape[2:]) == times(SIZES[dims])


@pytest.mark.parametrize("entry", UP, ids=ids)
def test_a_skip_connection_of_odd_size(entry):
    """Whole scales cut up to scale - 1; the others take any size."""
    module = created(entry, entry.dims[-1])
    dims = module.dims
    x = input_of(dims)
    full = module.shape.grown(SIZES[dims])
    odd = tuple(n - 1 for n in full)
    guide = guide_for(module, x, odd)
    y = module(x, odd, guide)
    assert tuple(y.shape[2:]) == odd
    if guide is not None and not module.guide_at_input:
        assert torch.equal(module(x, guide=guide), y)  # the guide says the size
    if module.integer_only:
        if guide is None and module.cuts:
            assert torch.equal(y, module(x)[(..., *(slice(n) for n in odd))])
        for wrong in (tuple(n - 2 for n in full), tuple(n + 1 for n in full)):
            with pytest.raises(ValueError, match=r"(?s)size is .* make.*What would work"):
                module(x, wrong, guide_for(module, x, wrong))
    else:
        far = tuple(2 * n + 3 for n in full)
        assert tuple(module(x, far, guide_for(module, x, far)).shape[2:]) == far


@pytest.mark.parametrize("entry", DOWN, ids=ids)
def test_down_and_up_again(entry):
    """A downsampler's size is one that whole upsamplers can undo, whatever the size was."""
    for size in ((5, 7), (4, 6), (1, 1), (9, 2)):
        x = input_of(2, size=size)
        small = created(entry, 2)(x)
        assert tuple(small.shape[2:]) == tuple(-(-n // 2) for n in size)
        up = upsamplers.create_upsampler("upconv", small.shape[1], 3)
        assert tuple(up(small, size).shape[2:]) == size


@ALL
def test_no_samples_one_channel_one_pixel(entry, dims):
    module = created(entry, dims)
    x = input_of(dims, batch=0)
    assert module(x, guide=guide_for(module, x)).shape[0] == 0
    tiny = input_of(dims, size=(1,) * dims)
    assert module(tiny, guide=guide_for(module, tiny)).isfinite().all()
    if entry.name in ("dysample", "haar_unpool"):
        with pytest.raises(ValueError, match="not divisible"):
            created(entry, dims, channels=1)
        return
    module = created(entry, dims, channels=1)
    one = input_of(dims, channels=1)
    assert module(one, guide=guide_for(module, one)).isfinite().all()


@ALL
@pytest.mark.parametrize("out_channels", [None, 4])
def test_parameters_and_multiply_adds_are_the_formulas(entry, dims, out_channels, monkeypatch):
    guide = guide_channels(entry, out_channels or CHANNELS)
    if out_channels and entry.name in ("haar_pool", "haar_unpool"):
        out_channels = {"haar_pool": CHANNELS * 2**dims, "haar_unpool": CHANNELS // 2**dims}[entry.name]
    make = getattr(upsamplers, f"create_{entry.kind}")
    module = make(entry.name, CHANNELS, out_channels, 2, guide, dims)
    asked = (CHANNELS, out_channels, 2, guide, dims)
    assert sum(p.numel() for p in module.parameters()) == entry.parameters(*asked)
    x = input_of(dims, batch=1)
    with torch.no_grad(), counting(monkeypatch) as counted:
        module(x, guide=guide_for(module, x))
    assert counted["adds"] == entry.multiply_adds(SIZES[dims], *asked)


@ALL
def test_gradients(entry, dims):
    module = stirred(created(entry, dims, channels=8).double())
    size = (2, 3, 2)[:dims]
    x = input_of(dims, batch=1, size=size, dtype=torch.float64).requires_grad_()
    guide = guide_for(module, x)
    inputs = [x]
    if guide is not None and entry.name != "max_unpool":
        inputs.append(guide.requires_grad_())
    parameters = [p for p in module.parameters() if p.requires_grad]
    names = [name for name, p in module.named_parameters() if p.requires_grad]

    def call(x, *rest):
        g = rest[0] if len(inputs) > 1 else guide
        weights = dict(zip(names, rest[len(inputs) - 1 :], strict=True))
        return torch.func.functional_call(module, weights, (x, None, g))

    assert torch.autograd.gradcheck(call, (*inputs, *parameters), fast_mode=True)


@EACH
def test_state_and_copies(entry):
    module = stirred(created(entry, entry.dims[-1]))
    x = input_of(module.dims)
    guide = guide_for(module, x)
    want = module(x, guide=guide)
    other = created(entry, entry.dims[-1])
    other.load_state_dict(module.state_dict())
    for again in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x, guide=guide), want)
    assert entry.name in repr(type(module)).lower() or str(module.in_channels) in repr(module)


@EACH
def test_the_same_bits_twice_also_backward(entry):
    module = created(entry, entry.dims[-1])
    x = input_of(module.dims, size=(9, 11, 4)[: module.dims]).requires_grad_()
    guide = guide_for(module, x)
    runs = []
    for _ in range(2):
        y = module(x, guide=guide)
        grads = torch.autograd.grad(y.square().sum(), [x, *module.parameters()], allow_unused=True)
        runs.append([y, *[g for g in grads if g is not None]])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@EACH
def test_channels_last_gives_the_same(entry):
    if 2 not in entry.dims:
        pytest.skip("channels-last is for images")
    module = stirred(created(entry, 2))
    x = input_of(2)
    guide = guide_for(module, x)
    got = module(x.to(memory_format=torch.channels_last), guide=guide)
    torch.testing.assert_close(got, module(x, guide=guide), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.convex], ids=ids)
def test_convex_results_stay_within_the_input(entry):
    """What a method promises with default options: between the least and largest of each channel, for any weights."""
    for dims in entry.dims:
        module = stirred(created(entry, dims))
        x = input_of(dims) - 0.5
        y = module(x, guide=guide_for(module, x)).flatten(2)
        low, high = x.flatten(2).amin(-1, keepdim=True), x.flatten(2).amax(-1, keepdim=True)
        assert (y >= low - 1e-6).all() and (y <= high + 1e-6).all()
        level = torch.full_like(x, 0.7)
        torch.testing.assert_close(module(level, guide=guide_for(module, x)).amin(), torch.tensor(0.7), **LEVEL)


LEVEL = {"rtol": 0, "atol": 2e-6}
MODES = {"nearest": "nearest-exact", "linear": ("linear", "bilinear", "trilinear"), "cubic": "bicubic"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("entry", "dims"), [(e, d) for e, d in CASES if e.kind == "upsampler"], ids=ids)
def test_what_starts_as_an_interpolation_is_one(entry, dims, mode):
    """Who says that it can start as an interpolation, does; for whole scales, 2 and 3."""
    for scale in (2, 3):
        if entry.name == "haar_unpool":
            return
        module = created(entry, dims, channels=36, scale=scale)
        if (why := module.start_as(mode)) is not None:
            assert len(why) > 10
            continue
        x = input_of(dims, channels=36)
        name = MODES[mode] if isinstance(MODES[mode], str) else MODES[mode][dims - 1]
        want = torch.nn.functional.interpolate(x, scale_factor=scale, mode=name)
        torch.testing.assert_close(module(x, guide=guide_for(module, x)), want, rtol=0, atol=2e-6)


def test_some_do_start_as_an_interpolation():
    able = {
        (e.name, mode) for e in UP for mode in MODES if e.name != "haar_unpool" and not created(e, 2).start_as(mode)
    }
    assert able >= {("nearest", "nearest"), ("linear", "linear"), ("resize_conv", "nearest"), ("adaptive", "linear")}
    assert able >= {("pixel_shuffle", "nearest"), ("upconv", "nearest"), ("separable", "nearest"), ("fir", "linear")}


@EACH
def test_compiles_as_one_graph(entry):
    module = stirred(created(entry, entry.dims[-1] if 2 not in entry.dims else 2))
    x = input_of(module.dims)
    guide = guide_for(module, x)
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager", dynamic=False)
    torch.testing.assert_close(compiled(x, None, guide), module(x, None, guide), rtol=1e-5, atol=2e-6)


class Together(torch.nn.Module):
    """Several modules as one: an export has its price, and so have large graphs."""

    def __init__(self, modules):
        super().__init__()
        self.all = torch.nn.ModuleList(modules)

    def forward(self, x, guides):
        return [module(x, guide=guide) for module, guide in zip(self.all, guides, strict=True)]


ABLE = [entry for entry in ENTRIES if entry.exportable and 2 in entry.dims]


@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")
@pytest.mark.filterwarnings("ignore")  # of the exporters' own insides
@pytest.mark.parametrize("first", range(0, len(ABLE), 8))
def test_what_claims_to_export_agrees_in_onnxruntime(first):
    able = ABLE[first : first + 8]
    modules = [stirred(created(entry, 2)).eval() for entry in able]
    x = input_of(2)
    report = check_export(Together(modules), (x, [guide_for(module, x) for module in modules]), atol=2e-5)
    apart = [f"{entry.name}: {out}" for entry, out in zip(able, report.outputs, strict=True) if out.count]
    assert report.agrees and len(report.outputs) == len(able), "\n".join(apart)


@EACH
def test_the_row_is_filled(entry):
    assert len(entry.summary) > 20 and entry.summary.endswith("."), entry.summary
    assert entry.source and set(entry.dims) <= {1, 2, 3}
    assert entry.module.entry is entry
    options = [p for p in inspect.signature(entry.module).parameters.values() if p.kind == p.KEYWORD_ONLY]
    assert all(p.default is not p.empty for p in options)
    for option in options:
        assert option.name in entry.module.__doc__, f"{entry.name}: {option.name} is not described"


@EACH
def test_wrong_arguments_of_a_module(entry):
    make = getattr(upsamplers, f"create_{entry.kind}")
    guide = guide_channels(entry)
    start = rf"(?s)^create_{entry.kind}\('{entry.name}', .*What would work"
    with pytest.raises(ValueError, match=start):
        make(entry.name, 8, None, 2, guide, 4)
    with pytest.raises(ValueError, match=start):
        make(entry.name, 8, None, (2, 2, 2, 2), guide, entry.dims[-1])
    for scale in (0, -2, float("nan"), 0.5):
        with pytest.raises(ValueError, match=start):
            make(entry.name, 8, None, scale, guide, entry.dims[-1])
    with pytest.raises(TypeError, match=start):
        make(entry.name, 8, None, "2", guide, entry.dims[-1])
    with pytest.raises(TypeError, match="What would work"):
        make(entry.name, 8.0, None, 2, guide, entry.dims[-1])
    with pytest.raises(ValueError, match="unknown option of"):
        make(entry.name, 8, None, 2, guide, entry.dims[-1], nonsense=1)
    if entry.integer_only:
        with pytest.raises(ValueError, match=r"whole scales only, not 1\.5"):
            make(entry.name, 8, None, 1.5, guide, entry.dims[-1])
    if entry.guide:
        with pytest.raises(ValueError, match="guide_channels is None"):
            make(entry.name, 8)


@EACH
def test_wrong_arguments_of_a_call(entry):
    module = created(entry, entry.dims[-1])
    x = input_of(module.dims)
    guide = guide_for(module, x)
    start = rf"(?s)^{entry.name}\(.*What would work"
    for wrong in (x[:, :-1], x[0], x.unsqueeze(0)):
        with pytest.raises(ValueError, match=start):
            module(wrong, guide=guide)
    with pytest.raises(TypeError, match=start):
        module("x", guide=guide)
    for size in ((3,) * (module.dims + 1), (0,) * module.dims):
        with pytest.raises(ValueError, match=start):
            module(x, size, guide)
    with pytest.raises(TypeError, match=start):
        module(x, (2.5,) * module.dims, guide)
    if entry.guide:
        with pytest.raises(ValueError, match="needs a guide and none was given"):
            module(x)
        with pytest.raises(ValueError, match="guide has shape"):
            module(x, guide=guide[:, :-1])
        if not module.guide_at_input:
            with pytest.raises(ValueError, match=r"guide"):
                module(x, module.shape.grown(x.shape[2:]), guide=guide[..., :-1])


def test_unknown_names_have_suggestions():
    with pytest.raises(ValueError, match=r"unknown upsampler 'pixelshuffle'\n.*did you mean 'pixel_shuffle'"):
        upsamplers.create_upsampler("pixelshuffle", 8)
    with pytest.raises(ValueError, match=r"did you mean 'max_pool'"):
        upsamplers.create_downsampler("maxpool", 8)


def test_a_new_method_is_one_class():
    def none(shape, *size):
        return 0

    @upsamplers.register("tests-own", source="here", parameters=none, multiply_adds=none, integer_only=True)
    class Own(upsamplers.Upsampler):
        """Every sample is written twice, and twice again."""

        def upsample(self, x, size, guide):
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    try:
        entry = next(e for e in upsamplers.list_upsamplers() if e.name == "tests-own")
        assert entry.parameters(3) == 0 and entry.summary.startswith("Every sample")
        assert upsamplers.create_upsampler("tests-own", 3)(torch.ones(1, 3, 2, 2), (3, 4)).shape == (1, 3, 3, 4)

        class Other(Own):
            """Another."""

        with pytest.raises(ValueError, match="taken"):
            upsamplers.register("nearest", source="here", parameters=none, multiply_adds=none)(Other)
    finally:
        from halfpixel.upsamplers import _registry

        del _registry.TABLES["upsampler"]["tests-own"]
