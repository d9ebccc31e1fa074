# SPDX-License-Identifier: MIT
"""Beside the rest of torch: its compiler, autocast, traces, copies, fake tensors, deterministic mode, loaders."""

from __future__ import annotations

import copy
import io
import os
import pickle
import shutil
import warnings

import pytest

torch = pytest.importorskip("torch")

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

from halfpixel import nn  # noqa: E402
from halfpixel.nn import functional  # noqa: E402
from tests.process import run_python  # noqa: E402

MODULES = {
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample(scale_factor=1.7, mode="bilinear"),
    "bicubic": nn.Upsample(size=(5, 9), mode="bicubic", antialias=True),
    "aligned": nn.UpsamplingBilinear2d(scale_factor=3),
}


def through(x, reference):
    """A function with work of the compiler's own around two resizes."""
    y = functional.interpolate(x.sin(), scale_factor=2, mode="bilinear").cos()
    return (y + functional.resize(x, size_like=reference, filter="lanczos3")).relu()


@pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs g++, which is not installed")
@pytest.mark.filterwarnings("ignore")
def test_inductor_compiles_it_whole_with_dynamic_shapes_forward_and_backward():
    torch._dynamo.reset()
    compiled = torch.compile(through, fullgraph=True, dynamic=True)
    for n in (4, 5, 9):
        x, reference = torch.rand(1, 2, n, n + 1, requires_grad=True), torch.rand(1, 1, 2 * n, 2 * n + 2)
        want, got = through(x, reference), compiled(x, reference)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
        torch.testing.assert_close(*(torch.autograd.grad(y.sum(), x)[0] for y in (got, want)), rtol=0, atol=2e-6)
    last = torch.rand(1, 2, 6, 7).contiguous(memory_format=torch.channels_last)
    got, want = compiled(last, torch.rand(1, 1, 12, 14)), through(last, torch.rand(1, 1, 12, 14))
    assert got.stride() == want.stride()
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_graph_keeps_the_operator():
    torch._dynamo.reset()
    seen = []

    def backend(graph, inputs):
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    torch.compile(through, fullgraph=True, backend=backend)(torch.rand(1, 2, 4, 5), torch.rand(1, 1, 8, 10))
    assert sum("halfpixel.resize" in name for name in seen) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_autocast_keeps_the_dtype_as_torch_does(mode, dtype):
    x = torch.rand(1, 2, 6, 5).to(dtype)
    for fast in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", fast):
            want = torch.nn.functional.interpolate(x, size=(9, 4), mode=mode)
            got = functional.interpolate(x, size=(9, 4), mode=mode)
        assert got.dtype == want.dtype == dtype
        assert torch.equal(got, functional.interpolate(x, size=(9, 4), mode=mode))


def test_autocast_between_two_layers():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), nn.Upsample(scale_factor=2, mode="bicubic"), torch.nn.Conv2d(3, 1, 3)
    )
    with torch.autocast("cpu", torch.bfloat16):
        y = net(torch.rand(1, 2, 8, 8))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_copied_pickled_saved_and_moved(name):
    module, x = MODULES[name], torch.rand(1, 2, 8, 8)
    want, file = module(x), io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(file, weights_only=False)):
        assert torch.equal(again(x), want)
    assert module.to("meta")(x.to("meta")).shape == want.shape
    torch.testing.assert_close(copy.deepcopy(module).half()(x.half()).float(), want, rtol=0, atol=2e-3)


def traced(module, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and says that lengths became constants
        return torch.jit.trace(module, x)


@pytest.mark.parametrize("name", MODULES)
def test_a_trace_holds_the_operator_and_its_sizes(name):
    trace = traced(MODULES[name], torch.rand(1, 2, 8, 9))
    assert "halfpixel::resize" in str(trace.graph)
    x = torch.rand(3, 2, 8, 9)
    assert torch.equal(trace(x), MODULES[name](x))
    with pytest.raises(RuntimeError, match="the plan reads"):
        trace(torch.rand(1, 2, 9, 9))


def test_a_trace_of_a_whole_function():
    x, reference = torch.rand(1, 2, 6, 7), torch.rand(1, 1, 12, 14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = torch.jit.trace(through, (x, reference))
    assert torch.equal(trace(x + 1, reference), through(x + 1, reference))


def test_deterministic_algorithms_are_what_there_is():
    torch.use_deterministic_algorithms(True)
    try:
        for name, module in MODULES.items():
            x = torch.rand(2, 3, 20, 30, requires_grad=True)
            grads = [torch.autograd.grad(module(x).square().sum(), x)[0] for _ in range(3)]
            assert torch.equal(grads[0], grads[1]), name
            assert torch.equal(grads[0], grads[2]), name
    finally:
        torch.use_deterministic_algorithms(False)


def test_fake_tensors_have_the_real_ones_shapes_and_strides():
    with FakeTensorMode():
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.empty(2, 3, 4, 5).contiguous(memory_format=layout)
            y = functional.interpolate(x, scale_factor=2, mode="bilinear")
            want = torch.empty(2, 3, 8, 10).contiguous(memory_format=layout)
            assert (y.shape, y.stride(), y.device) == (want.shape, want.stride(), want.device)
            assert functional.resize(x, (9, 9), filter="spline3", box=((0, 2), (1, 4))).shape == (2, 3, 9, 9)


LOADER = """
import torch, halfpixel
from halfpixel.nn import functional
torch.set_num_threads(2)
box = torch.tensor([[[0.5, 20], [3, 29.5]]])
def picture(i):
    x = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(i))
    return torch.cat([functional.resize(x, (16, 17), filter="lanczos3"), functional.resize(x, (16, 17), box=box)])
class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, i):
        return picture(i)
picture(0)  # threads and caches in the parent
for workers in (0, 2):
    batches = torch.utils.data.DataLoader(Pictures(), batch_size=2, num_workers=workers)
    seen = torch.cat(list(batches))
    assert torch.equal(seen, torch.stack([picture(i) for i in range(6)])), workers
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("backend", ["", "eager"])
def test_loaders_that_fork_resize_tensors_in_their_workers(backend):
    more = {"HALFPIXEL_BACKEND": backend} if backend else {}
    assert run_python(LOADER, PYTHONWARNINGS="ignore", **more) == "done"
