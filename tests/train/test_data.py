# SPDX-License-Identifier: MIT
"""Folders, layouts and binary files, and what is said of those that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import halfpixel
from halfpixel import io
from halfpixel.errors import HalfpixelError
from halfpixel.train import AutoencoderData, SegmentationData, SkippedFileWarning, SuperResolutionData

from .conftest import noise, save, scene


def set_up(data):
    data.setup("fit")
    return data


def pictures(data) -> dict[str, tuple]:
    """The validation pictures by file name."""
    return {Path(name).name: layers for name, layers in set_up(data).held}


def everything(data) -> int:
    """How many pictures there are, in both parts."""
    return len(set_up(data).patches.pictures) + len(data.held)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_versions_are_matlabs_bicubic_of_the_cropped_picture(tmp_path, scale):
    high = noise(45, 50)
    save(tmp_path / "t/a.png", high)
    save(tmp_path / "v/b.png", high)
    low, kept = pictures(SuperResolutionData(tmp_path / "t", tmp_path / "v", scale=scale, patch=4))["b.png"]
    h, w = 45 // scale, 50 // scale
    np.testing.assert_array_equal(kept, high[: h * scale, : w * scale])
    np.testing.assert_array_equal(low, halfpixel.resize_image(kept, (h, w), like="matlab.bicubic"))


@pytest.mark.parametrize(
    ("method", "options"), [("lanczos3", {"filter": "lanczos3"}), ("pillow.box", {"like": "pillow.box"})]
)
def test_any_filter_or_preset_makes_small_versions(tmp_path, method, options):
    for name in "ab":
        save(tmp_path / f"{name}.png", noise(16, 12))
    low, high = pictures(SuperResolutionData(tmp_path, degrade=method, patch=4))["a.png"]
    np.testing.assert_array_equal(low, halfpixel.resize_image(high, (8, 6), **options))


LAYOUT_FILES = {
    "div2k": ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X2/0001x2.png"),
    "mixed": ("image_SRF_2/img_001_SRF_2_HR.png", "image_SRF_2/img_001_SRF_2_LR.png"),
    "two folders": ("HR/baby.png", "LR_bicubic/X2/babyx2.png"),
}


@pytest.mark.parametrize("layout", LAYOUT_FILES)
def test_a_data_sets_own_small_versions_are_used(tmp_path, layout):
    high, low = LAYOUT_FILES[layout]
    save(tmp_path / high, noise(20, 24))
    save(tmp_path / low, noise(10, 12, seed=1))  # not what any filter makes of it
    save(tmp_path / high.replace("1", "2").replace("baby", "bird"), noise(20, 24, seed=2))
    save(tmp_path / low.replace("001", "002").replace("baby", "bird"), noise(10, 12, seed=3))
    save(tmp_path / "valid/v.png", noise(20, 24))
    data = set_up(SuperResolutionData(tmp_path, tmp_path / "valid", patch=5))
    lows = [layers[0].tolist() for layers in data.patches.pictures]
    assert noise(10, 12, seed=1).tolist() in lows and noise(10, 12, seed=3).tolist() in lows
    made = set_up(SuperResolutionData(tmp_path, tmp_path / "valid", patch=5, degrade="matlab.bicubic"))
    assert noise(10, 12, seed=1).tolist() not in [layers[0].tolist() for layers in made.patches.pictures]


def test_div2k_brings_its_own_validation(tmp_path):
    for name in ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png"):
        save(tmp_path / name, noise(20, 24))
    data = set_up(SuperResolutionData(tmp_path, patch=5))
    assert [Path(name).name for name, _ in data.held] == ["0801.png"] and len(data.patches.pictures) == 1


def test_a_folder_of_small_versions_may_be_given(tmp_path):
    for name in "abc":
        save(tmp_path / f"hr/{name}.png", noise(20, 24))
        save(tmp_path / f"lr/{name}_x2.png", noise(10, 12, seed=1))
    data = SuperResolutionData(tmp_path / "hr", tmp_path / "hr", low=tmp_path / "lr", patch=5)
    assert all((layers[0] == noise(10, 12, seed=1)).all() for layers in set_up(data).patches.pictures)


def test_folders_are_searched_to_the_bottom_and_hidden_files_are_left(tmp_path):
    for name in ("a.png", "deep/b.bmp", "deep/er/c.tif", "deep/d.webp"):
        save(tmp_path / name, noise(16, 16))
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture")
    assert everything(AutoencoderData(tmp_path, patch=8)) == 4


@pytest.mark.parametrize(
    ("pixels", "kind", "expected"),
    [
        (np.array([[0, 128, 255]], np.uint8), "gray", [0, 128, 255]),
        (np.array([[0, 32896, 65535]], np.uint16), "gray", [0, 128, 255]),
        (np.array([[-1.0, 128 / 255, 2.0]], np.float32), "gray", [0, 128, 255]),
        (np.array([[[0, 9], [128, 9], [255, 9]]], np.uint8), "gray+alpha", [0, 128, 255]),
    ],
)
def test_depths_gray_and_alpha_become_rgb_bytes(tmp_path, pixels, kind, expected):
    from halfpixel.train._pictures import read_rgb

    io.write(io.Picture(pixels, kind), tmp_path / "a.tif")
    assert read_rgb(tmp_path / "a.tif").tolist() == [[[v] * 3 for v in expected]]


def test_files_that_cannot_be_read_are_named_once_each_and_left_out(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", noise(20, 20))
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "mistyped.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    with pytest.warns(SkippedFileWarning) as said:
        data = set_up(SuperResolutionData(tmp_path, patch=5))
    messages = sorted(str(w.message) for w in said)
    assert len(messages) == 3 and len(data.held) + len(data.patches.pictures) == 3
    for name, message in zip(("broken.png", "empty.png", "mistyped.jpg"), messages, strict=True):
        assert name in message
    assert data.setup("validate") is None  # a second time nothing is read, and nothing is said again


def test_pictures_too_small_for_a_patch_are_named_and_left_out(tmp_path):
    for name, side in (("a", 40), ("b", 40), ("c", 39)):
        save(tmp_path / f"{name}.png", noise(40, side))
    with pytest.warns(SkippedFileWarning, match=r"c\.png: 38 x 40 pixels, a patch needs 40"):
        data = set_up(SuperResolutionData(tmp_path, patch=20))
    assert len(data.patches.pictures) == 1


def stl10(path: Path, count: int, seed: int) -> np.ndarray:
    """An STL10 file written sample by sample, as its page says: channels, then columns, then rows."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    with open(path, "wb") as file:
        for image in images:
            for channel in range(3):
                file.writelines(bytes(image[:, column, channel].tolist()) for column in range(96))
    return images


def test_stl10_is_read_from_its_binary_files(tmp_path):
    train, free = stl10(tmp_path / "train_X.bin", 2, 0), stl10(tmp_path / "unlabeled_X.bin", 3, 1)
    test = stl10(tmp_path / "test_X.bin", 2, 2)
    data = set_up(AutoencoderData(tmp_path, patch=96))
    np.testing.assert_array_equal([layers[0] for layers in data.patches.pictures], [*train, *free])
    np.testing.assert_array_equal([layers[0] for _, layers in data.held], test)
    assert isinstance(data.patches.pictures[0][0], np.memmap)  # mapped, not read
    pairs = set_up(SuperResolutionData(tmp_path / "unlabeled_X.bin", tmp_path / "test_X.bin", scale=3, patch=32))
    assert len(pairs.patches.pictures) == 3 and pairs.held[0][1][0].shape == (32, 32, 3)


def test_masks_hold_numbers_or_indices_of_a_palette(tmp_path):
    from PIL import Image

    image, labels = scene(0)
    for name in "ab":
        save(tmp_path / f"images/{name}.jpg", image)
    save(tmp_path / "masks/a.png", labels)
    indexed = Image.fromarray(labels)
    indexed.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    indexed.save(tmp_path / "masks/b.png")
    data = set_up(SegmentationData(tmp_path, classes=3, patch=16))
    np.testing.assert_array_equal(data.held[0][1][1], labels)
    np.testing.assert_array_equal(data.patches.pictures[0][1], labels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_labels_are_read_as_they_are_stored(tmp_path, suffix):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert io.read_labels(str(save(tmp_path / f"m{suffix}", labels))).tolist() == labels.tolist()


def test_labels_of_sixteen_bits_and_of_one_bit(tmp_path):
    from PIL import Image

    io.write(io.Picture(np.array([[0, 300]], np.uint16), "gray"), tmp_path / "deep.png")
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bit.png")
    assert io.read_labels(str(tmp_path / "deep.png")).tolist() == [[0, 300]]
    assert io.read_labels(str(tmp_path / "bit.png")).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("name", "pixels", "why"), [("m.png", noise(3, 3), "one whole number a pixel"), ("m.jpg", noise(3, 3), "exactly")]
)
def test_what_cannot_be_labels_is_refused(tmp_path, name, pixels, why):
    with pytest.raises(io.ImageFileError, match=why):
        io.read_labels(str(save(tmp_path / name, pixels)))


def scenes_of(tmp_path: Path) -> Path:
    for seed in range(3):
        image, labels = scene(seed)
        save(tmp_path / f"images/{seed}.png", image)
        save(tmp_path / f"masks/{seed}.png", labels)
    return tmp_path


def test_a_picture_without_mask_or_with_one_of_another_size_is_named_and_left_out(tmp_path):
    folder = scenes_of(tmp_path)
    save(folder / "images/lonely.png", noise(48, 48))
    save(folder / "images/odd.png", noise(48, 48))
    save(folder / "masks/odd.png", np.zeros((48, 47), np.uint8))
    with pytest.warns(SkippedFileWarning) as said:
        assert everything(SegmentationData(folder, classes=3, patch=16)) == 3
    assert (
        sorted(" ".join(str(w.message).split())[:26] for w in said) == ["left out of training: " + str(folder)[:4]] * 2
    )
    assert any("no mask of the name lonely" in str(w.message) for w in said)
    assert any("is 48 x 48 and its mask" in str(w.message) for w in said)


def bad(tmp_path: Path, what: str):
    """Data that cannot be used."""
    if what == "missing":
        return SuperResolutionData(tmp_path / "nowhere")
    if what == "empty":
        return SuperResolutionData(tmp_path)
    if what == "single":
        save(tmp_path / "a.png", noise(200, 200))
        return SuperResolutionData(tmp_path)
    if what == "unmatched":
        save(tmp_path / "hr/a.png", noise(9, 9))
        save(tmp_path / "lr/b.png", noise(9, 9))
        return SuperResolutionData(tmp_path / "hr", low=tmp_path / "lr")
    if what == "no masks":
        save(tmp_path / "a.png", noise(9, 9))
        return SegmentationData(tmp_path, classes=2)
    if what == "other masks":
        save(tmp_path / "images/a.png", noise(9, 9))
        save(tmp_path / "masks/b.png", np.zeros((9, 9), np.uint8))
        return SegmentationData(tmp_path, classes=2)
    if what == "labels":
        return SegmentationData(scenes_of(tmp_path), classes=2)
    (tmp_path / "train_X.bin").write_bytes(b"1234")
    return AutoencoderData(tmp_path)


@pytest.mark.filterwarnings("ignore::halfpixel.train.SkippedFileWarning")
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("missing", "nowhere does not exist"),
        ("empty", "holds no images"),
        ("single", "none is left to validate on"),
        ("unmatched", "no picture of .*hr has a small version in .*lr"),
        ("no masks", "no folder of images or no folder of masks"),
        ("other masks", "no image of .*images has a mask"),
        ("labels", r"masks/0\.png holds the labels 2, and there are 2 classes(.|\n)*classes=3"),
        ("stl10", "4 bytes, no multiple of the 27648"),
    ],
)
def test_data_that_cannot_be_used_is_an_error_that_names_it(tmp_path, what, why):
    with pytest.raises(HalfpixelError, match=why) as raised:
        set_up(bad(tmp_path, what))
    assert isinstance(raised.value, ValueError)
    assert "Data('" in str(raised.value)


@pytest.mark.filterwarnings("ignore::halfpixel.train.SkippedFileWarning")
def test_sizes_that_do_not_fit_name_both_files(tmp_path):
    save(tmp_path / "hr/a.png", noise(20, 20))
    save(tmp_path / "lr/a.png", noise(9, 10))
    with pytest.raises(ValueError, match=r"lr/a\.png is 10 x 9, and .*hr/a\.png divided by 2 is 10 x 10"):
        set_up(SuperResolutionData(tmp_path / "hr", tmp_path / "hr", low=tmp_path / "lr", patch=4))


@pytest.mark.filterwarnings("ignore::halfpixel.train.SkippedFileWarning")
def test_a_patch_larger_than_every_picture_is_an_error(tmp_path):
    for name in "ab":
        save(tmp_path / f"{name}.png", noise(40, 40))
    with pytest.raises(ValueError, match=r"every picture of .* is smaller than a patch of 48 pixels"):
        set_up(SuperResolutionData(tmp_path))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: SuperResolutionData("x", scale=1), "scale is 1"),
        (lambda: SuperResolutionData("x", patch=0), "patch is 0"),
        (lambda: SuperResolutionData("x", batch_size=-1), "batch_size is -1"),
        (lambda: SuperResolutionData("x", degrade="lanczos9"), "unknown filter 'lanczos9'"),
        (lambda: SuperResolutionData("x", degrade="matlab.bicubik"), "unknown preset 'matlab.bicubik'"),
        (lambda: SuperResolutionData("x", degrade="area", low="y"), "exclude each other"),
        (lambda: SegmentationData("x", classes=256), "classes is 256"),
        (lambda: SegmentationData("x", classes=1), "classes is 1"),
    ],
)
def test_options_are_checked_at_once(make, why):
    with pytest.raises(ValueError, match=why):
        make()
