# SPDX-License-Identifier: MIT
"""Models whose modules are swapped: the same numbers, parameters, hooks and checkpoints."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from halfpixel import nn  # noqa: E402
from halfpixel.nn import _convert  # noqa: E402


class SegNet(torch.nn.Module):
    """Written without us: every kind of module that is swapped, one of them twice in the tree."""

    def __init__(self):
        super().__init__()
        self.pool, self.unpool = torch.nn.MaxPool2d(2, return_indices=True), torch.nn.MaxUnpool2d(2)
        self.up = torch.nn.Sequential(
            torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.Upsample(scale_factor=2, mode="bicubic"), torch.nn.ReLU(),
            torch.nn.ConvTranspose2d(8, 8, 3, 2, 1, 1), torch.nn.ChannelShuffle(2), torch.nn.PixelShuffle(2),
            torch.nn.PixelUnshuffle(2), torch.nn.UpsamplingBilinear2d(size=(9, 9)),
        )  # fmt: skip
        self.again = self.up[1]

    def forward(self, x):
        y, places = self.pool(x)
        return self.again(self.up(self.unpool(y, places)))


def test_the_same_model():
    torch.manual_seed(0)
    model = SegNet()
    x = torch.rand(1, 4, 6, 6)
    want = model(x)
    state, modules, parameters = model.state_dict(), list(model.modules()), list(model.parameters())
    seen = []
    model.up[1].register_forward_hook(lambda *_: seen.append(1))
    report = nn.convert(model)
    assert len(report.swapped) == 8
    assert {swap.name for swap in report.swapped} == {"pool", "unpool", *(f"up.{i}" for i in (1, 3, 4, 5, 6, 7))}
    assert not report.left
    torch.testing.assert_close(model(x), want)
    assert len(seen) == 2
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == list(state)
    assert type(model.up[1]) is nn.Upsample and type(model.pool) is nn.MaxPool2d
    assert repr(model.up[1]) == repr(torch.nn.Upsample(scale_factor=2, mode="bicubic"))
    SegNet().load_state_dict(model.state_dict())
    assert not nn.convert(model).swapped


def test_every_row_of_the_table_has_the_same_name_and_base():
    assert len(_convert.TABLE) >= 18
    for theirs, ours in _convert.TABLE.items():
        assert ours.__name__ == theirs.__name__
        assert issubclass(ours, theirs)


def test_subclasses_are_left_and_named():
    class Odd(torch.nn.Upsample):
        def forward(self, x):
            return -super().forward(x)

    model = torch.nn.Sequential(Odd(scale_factor=2), torch.nn.PixelShuffle(2))
    report = nn.convert(model)
    assert type(model[0]) is Odd
    assert [(swap.name, swap.kind) for swap in report.left] == [("0", "Odd")]
    assert "subclass of torch's Upsample" in str(report)
    assert report.to_dict()["swapped"] == ({"name": "1", "kind": "PixelShuffle", "why_not": None},)


def test_the_model_itself_and_lazy_ones():
    model = torch.nn.LazyConvTranspose2d(3, 2, stride=2)
    assert nn.convert(model).swapped[0].name == ""
    assert model(torch.rand(1, 5, 4, 4)).shape == (1, 3, 8, 8)
    assert type(model) is nn.ConvTranspose2d


@pytest.mark.filterwarnings("ignore")
def test_a_converted_model_compiles():
    torch._dynamo.reset()
    model = torch.nn.Sequential(
        torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.ConvTranspose2d(2, 2, 2, 2)
    )
    x = torch.rand(1, 2, 5, 5)
    want = model(x)
    nn.convert(model)
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), want)


def test_bad_input():
    with pytest.raises(TypeError, match=r"convert\(model\): model is a dict"):
        nn.convert({})
