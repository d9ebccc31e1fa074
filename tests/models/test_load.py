# SPDX-License-Identifier: MIT
"""Weights in and out of files: what is recognised, what is refused, and that code in pickles never runs."""

from __future__ import annotations

import os
import pickle
import re

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file, save_file  # noqa: E402

from halfpixel import models  # noqa: E402
from halfpixel.models import _load  # noqa: E402
from tests.models.nets import ENTRIES, RESOLVERS, images, made  # noqa: E402

PUBLISHED = [name for name in RESOLVERS if name != "super_resolution"]
UNTOLD = {"fsrcnn": {"scale": 2}}  # its keys do not tell
NUMBERS = {"espcn": 2, "fsrcnn": 2, "edsr": 2, "srvgg": 4, "rrdbnet": 4}


def equal(a, b):
    x = images(1, b.in_channels, 5, 6)
    return torch.equal(a(x), b(x)) and not a.training


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_a_file_of_ours_makes_the_same_network(entry, tmp_path):
    for upsampler in {entry.upsampler, "carafe"}:
        model = made(entry.name, upsampler=upsampler)
        path = tmp_path / "net.safetensors"
        models.save(model, path, note="a note", score=3)
        again = models.load(path)
        assert type(again) is type(model) and not again.training and again.options == model.options
        for (key, value), (other, same) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
            assert key == other and torch.equal(value, same)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert _load.read(path)[1]["note"] == "a note" and _load.read(path)[1]["score"] == "3"


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("within", [None, "params", "params_ema", "state_dict"])
@pytest.mark.parametrize("begin", ["", "module.", "net_g.", "model.", "model.module."])
def test_published_checkpoints_are_recognised(name, within, begin, tmp_path):
    model = made(name, scale=NUMBERS[name])
    state = {begin + key: value for key, value in model.state_dict().items()}
    content = state if within is None else {"iteration": 5, within: state}
    torch.save(content, tmp_path / "net.pth")
    assert equal(models.load(tmp_path / "net.pth", **UNTOLD.get(name, {})), model)


SCALED = (
    [("espcn", s) for s in (1, 2, 3, 4)] + [("edsr", s) for s in (1, 2, 3, 4, 8)] + [("srvgg", s) for s in (1, 2, 3, 4)]
)
SCALED += [("rrdbnet", s) for s in (1, 2, 4, 8)]


@pytest.mark.parametrize(("name", "scale"), SCALED)
def test_the_scale_is_in_keys_and_shapes(name, scale, tmp_path):
    model = made(name, scale=scale)
    save_file({key: value.half() for key, value in model.state_dict().items()}, tmp_path / "net.safetensors")
    again = models.load(tmp_path / "net.safetensors")
    assert again.scale == scale and next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(
        again(images(1, model.in_channels, 4, 8)), model(images(1, model.in_channels, 4, 8)), rtol=0, atol=0.02
    )


VARIED = [
    ("espcn", {"widths": (6, 5), "in_channels": 3, "activation": "prelu"}),
    ("fsrcnn", {"features": 5, "shrunk": 3, "mappings": 0, "scale": 2}), ("fsrcnn", {"in_channels": 3, "scale": 2}),
    ("edsr", {"channels": 4, "blocks": 3, "in_channels": 1}), ("srvgg", {"channels": 5, "convs": 3, "in_channels": 1}),
    ("rrdbnet", {"channels": 6, "growth": 3, "blocks": 2, "in_channels": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), VARIED)
def test_widths_and_depths_are_in_shapes(name, options, tmp_path):
    model = made(name, **options)
    torch.save(model.state_dict(), tmp_path / "net.pt")
    again = models.load(tmp_path / "net.pt", **UNTOLD.get(name, {}))
    assert equal(again, model)
    for key, value in options.items():
        assert again.options[key] == (list(value) if isinstance(value, tuple) else value)


def test_what_keys_do_not_tell_is_asked_for(tmp_path):
    torch.save(made("fsrcnn", scale=3).state_dict(), tmp_path / "f.pth")
    with pytest.raises(ValueError, match=r"^load\('.*f.pth'\): it is fsrcnn, and its keys do not tell the scale"):
        models.load(tmp_path / "f.pth")
    assert models.load(tmp_path / "f.pth", scale=3).scale == 3
    model = made("srvgg", activation="leakyrelu")
    torch.save(model.state_dict(), tmp_path / "s.pth")
    with pytest.raises(ValueError, match="do not tell the activation"):
        models.load(tmp_path / "s.pth")
    assert equal(models.load(tmp_path / "s.pth", activation="leakyrelu"), model)
    large = models.create_model("edsr", channels=256, blocks=1, res_scale=0.1).eval()
    torch.save(large.state_dict(), tmp_path / "e.pth")
    assert equal(models.load(tmp_path / "e.pth"), large)
    assert models.load(tmp_path / "e.pth", res_scale=1.0).options["res_scale"] == 1.0
    with pytest.raises(ValueError, match="unknown option of 'edsr' 'sclae'"):
        models.load(tmp_path / "e.pth", sclae=2)


def test_other_keys_of_espcn_and_fsrcnn(tmp_path):
    model = made("espcn", scale=3)
    state = model.state_dict()
    names = {"first_part.0": "feature_maps.0", "first_part.2": "feature_maps.2", "last_part.0": "sub_pixel.0"}
    torch.save(
        {"state_dict": {f"{o}.{w}": state[f"{k}.{w}"] for k, o in names.items() for w in ("weight", "bias")}},
        tmp_path / "e.pth",
    )
    assert equal(models.load(tmp_path / "e.pth"), model)
    model = made("fsrcnn", mappings=2)
    names = {
        "first_part.0": "feature_extraction.0", "first_part.1": "feature_extraction.1", "mid_part.0": "shrink.0",
        "mid_part.1": "shrink.1", "mid_part.2": "map.0", "mid_part.3": "map.1", "mid_part.4": "map.2",
        "mid_part.5": "map.3", "mid_part.6": "expand.0", "mid_part.7": "expand.1", "last_part": "deconv",
    }  # fmt: skip
    other = {}
    for key, value in model.state_dict().items():
        layer, _, what = key.rpartition(".")
        other[f"{names[layer]}.{what}"] = value
    torch.save(other, tmp_path / "f.pth")
    assert equal(models.load(tmp_path / "f.pth", scale=2), model)


class Authors(torch.nn.Module):
    """EDSR as its authors lay it out: pixels 0 to 255, a 1x1 convolution that shifts colours, head, body and tail."""

    def __init__(self, scale, channels=6, blocks=2, rgb_range=255.0):
        super().__init__()
        nn, mean = torch.nn, torch.tensor([0.4488, 0.4371, 0.4040])

        def conv(a, b):
            return nn.Conv2d(a, b, 3, padding=1)

        def shift(sign):
            layer = nn.Conv2d(3, 3, 1)
            layer.weight.data = torch.eye(3).view(3, 3, 1, 1)
            layer.bias.data = sign * rgb_range * mean
            return layer

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(conv(channels, channels), nn.ReLU(), conv(channels, channels))

            def forward(self, x):
                return x + self.body(x)

        steps = {2: [2], 3: [3], 4: [2, 2]}[scale]
        ups = [layer for s in steps for layer in (conv(channels, channels * s * s), nn.PixelShuffle(s))]
        self.sub_mean, self.add_mean = shift(-1), shift(1)
        self.head = nn.Sequential(conv(3, channels))
        self.body = nn.Sequential(*(Block() for _ in range(blocks)), conv(channels, channels))
        self.tail = nn.Sequential(nn.Sequential(*ups), conv(channels, 3))

    def forward(self, x):
        x = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(self.body(x) + x))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_of_its_authors(scale, tmp_path):
    torch.manual_seed(2)
    for rgb_range in (255.0, 1.0):
        model = Authors(scale, rgb_range=rgb_range)
        torch.save(model.state_dict(), tmp_path / "edsr.pt")
        x = images(1, 3, 5, 7)
        got = models.load(tmp_path / "edsr.pt")(x)
        torch.testing.assert_close(got, model(x * rgb_range) / rgb_range, rtol=1e-5, atol=1e-5)
    state = model.state_dict()
    state["add_mean.bias"] = state["add_mean.bias"] + 1
    torch.save(state, tmp_path / "edsr.pt")
    with pytest.raises(ValueError, match="not shifts by the mean of DIV2K"):
        models.load(tmp_path / "edsr.pt")
    torch.save({k: v for k, v in state.items() if k != "add_mean.bias"}, tmp_path / "edsr.pt")
    with pytest.raises(ValueError, match="of sub_mean and add_mean there are"):
        models.load(tmp_path / "edsr.pt")
    torch.save({k: v for k, v in state.items() if "mean" not in k}, tmp_path / "edsr.pt")
    assert models.load(tmp_path / "edsr.pt").img_range == 255


OLDEST = {1: {"conv_hr": 2, "conv_last": 4}, 2: {"conv_up1": 3, "conv_hr": 5, "conv_last": 7}}
OLDEST[4] = {"conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}
OLDEST[8] = {"conv_up1": 3, "conv_up2": 6, "conv_up3": 9, "conv_hr": 11, "conv_last": 13}


@pytest.mark.parametrize("scale", OLDEST)
def test_esrgans_oldest_keys(scale, tmp_path):
    model = made("rrdbnet", scale=scale, steps={1: 0, 2: 1, 4: 2, 8: 3}[scale], blocks=2)
    state, other = model.state_dict(), {}
    for what in ("weight", "bias"):
        other[f"model.0.{what}"] = state[f"conv_first.{what}"]
        other[f"model.1.sub.2.{what}"] = state[f"conv_body.{what}"]
        for b in range(2):
            for k in (1, 2, 3):
                for c in range(1, 6):
                    other[f"model.1.sub.{b}.RDB{k}.conv{c}.0.{what}"] = state[f"body.{b}.rdb{k}.conv{c}.{what}"]
        other |= {f"model.{n}.{what}": state[f"{key}.{what}"] for key, n in OLDEST[scale].items()}
    torch.save(other, tmp_path / "old.pth")
    again = models.load(tmp_path / "old.pth")
    assert equal(again, model) and again.scale == scale


def test_esrgans_older_keys(tmp_path):
    model = made("rrdbnet", scale=4, blocks=2)
    begins = {"body.": "RRDB_trunk.", "conv_body.": "trunk_conv.", "conv_up1.": "upconv1.", "conv_up2.": "upconv2."}
    begins |= {"conv_hr.": "HRconv.", "conv_first.": "conv_first.", "conv_last.": "conv_last."}
    other = {}
    for key, value in model.state_dict().items():
        begin = next(b for b in begins if key.startswith(b))
        other[begins[begin] + key[len(begin) :].replace("rdb", "RDB")] = value
    torch.save(other, tmp_path / "old.pth")
    assert equal(models.load(tmp_path / "old.pth"), model)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_pickles_never_runs(tmp_path):
    for i, content in enumerate(
        [Evil(tmp_path / "ran"), {"params": made("espcn").state_dict(), "x": Evil(tmp_path / "ran")}]
    ):
        torch.save(content, tmp_path / f"{i}.pth")
        with pytest.raises(ValueError, match=r"no checkpoint that can be read safely"):
            models.load(tmp_path / f"{i}.pth")
        (tmp_path / f"{i}.ckpt").write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=r"no checkpoint that can be read safely"):
            models.load(tmp_path / f"{i}.ckpt")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()  # it would have


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.98])
def test_files_that_are_cut_short(ending, part, tmp_path):
    path = tmp_path / f"net{ending}"
    if ending == ".pth":
        torch.save(made("espcn").state_dict(), path)
    else:
        models.save(made("espcn"), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ValueError, match=rf"^load\('{re.escape(str(path))}'\): it is no"):
        models.load(path)


def without(state, *keys):
    return {k: v for k, v in state.items() if k not in keys}


def test_checkpoints_with_too_few_or_too_many_keys(tmp_path):
    path, state = tmp_path / "net.pth", made("edsr").state_dict()

    def refused(content, why):
        torch.save(content, path)
        with pytest.raises(ValueError, match=why) as caught:
            models.load(path)
        assert str(caught.value).startswith(f"load({str(path)!r})") and caught.value.works

    refused(without(state, "body.1.conv2.bias"), "looks like edsr, but 1 keys are missing: body.1.conv2.bias")
    refused({**state, "extra.weight": torch.zeros(1)}, "1 keys are unknown: extra.weight")
    refused({**state, **made("rrdbnet").state_dict()}, "looks like (edsr|rrdbnet)")
    refused({**state, "conv_hr.weight": torch.zeros(2, 2)}, "unknown: conv_hr.weight")
    refused(
        {**state, "conv_after_body.weight": torch.zeros(3, 3, 3, 3)}, r"is \(3, 3, 3, 3\) and should be \(8, 8, 3, 3\)"
    )
    refused(
        {"features.0.weight": torch.zeros(2), "b": torch.zeros(2)},
        "no known network has these keys: features.0.weight, b",
    )
    refused({"epoch": 3}, "holds no tensors; its keys: epoch")
    refused({}, "its keys: none")
    refused([torch.zeros(2)], "it holds a list")
    refused({"body.0.weight": torch.zeros(4, 3, 3, 3), "body.1.weight": torch.zeros(4)}, "body.1 is the last layer")
    refused(dict.fromkeys(("first_part.0.weight", "last_part.0.weight"), torch.zeros(4)), "another number of axes")
    espcn = made("espcn", scale=2).state_dict()
    refused({**espcn, "last_part.0.weight": torch.zeros(5, 8, 3, 3)}, "5 channels, which are not 1 times a square")
    first = {"conv_first.weight": torch.zeros(8, 5, 3, 3)}
    refused({**made("rrdbnet").state_dict(), **first}, "make no scale")


def test_calls_that_cannot_be(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"^load\('no.pth'\): there is no file 'no.pth'"):
        models.load("no.pth")
    with pytest.raises(TypeError, match="Linear is no network"):
        models.save(torch.nn.Linear(2, 2), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"ends with '.pth'"):
        models.save(made("espcn"), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="the network's own"):
        models.save(made("espcn"), tmp_path / "x.safetensors", options="y")
    assert not list(tmp_path.iterdir())
    models.save(made("espcn"), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"the call \{'scale': 3\}"):
        models.load(tmp_path / "x.safetensors", scale=3)
    assert models.load(tmp_path / "x.safetensors", scale=2).scale == 2
    tensors = load_file(tmp_path / "x.safetensors")
    save_file(tensors, tmp_path / "y.safetensors", {"model": "nothing", "options": "{}"})
    with pytest.raises(ValueError, match="unknown model 'nothing'"):
        models.load(tmp_path / "y.safetensors")
    save_file(tensors, tmp_path / "y.safetensors", {"model": "espcn", "options": "{"})
    with pytest.raises(ValueError, match="its options are no JSON"):
        models.load(tmp_path / "y.safetensors")


def test_shipped_weights_have_names(tmp_path, monkeypatch):
    assert models.list_weights() == tuple(sorted(models.list_weights()))
    monkeypatch.setattr(_load, "WEIGHTS", tmp_path)
    models.save(made("espcn", scale=3), tmp_path / "espcn_x3.safetensors")
    assert models.list_weights() == ("espcn_x3",) and models.load("espcn_x3").scale == 3
    with pytest.raises(FileNotFoundError, match="espcn_x3"):
        models.load("espcn_x2")
