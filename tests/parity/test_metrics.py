# SPDX-License-Identifier: MIT
"""Our measures beside those of scikit-image, torchmetrics and OpenCV, where they compute the same thing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from halfpixel.metrics import boundary_iou, dice, miou, psnr, ssim

SIZES = [(11, 11), (12, 31), (37, 29), (64, 48)]


def noisy(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    b = np.clip(a + rng.normal(0, 0.1, shape), 0, 1)
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return (a * white).astype(dtype), (b * white).astype(dtype), white


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_scikit_image(size, dtype, channels):
    skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a, b, white = noisy((*size, *channels), dtype)
    theirs = skimage.structural_similarity(
        a, b, data_range=white, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=-1 if channels else None,
    )  # fmt: skip
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-12)
    assert psnr(a, b) == pytest.approx(skimage.peak_signal_noise_ratio(a, b, data_range=white), rel=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_scikit_image_on_luma(size):
    """rgb2ycbcr of scikit-image is the same luma; its input is the rounded levels."""
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    from skimage import color, metrics

    a, b, _ = noisy((*size, 3), np.uint8)
    first, second = (color.rgb2ycbcr(one)[2:-2, 2:-2, 0] for one in (a, b))
    assert skimage.__version__
    theirs = metrics.peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr(a, b, protocol="sr-y", scale=2) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_torchmetrics_on_images(size):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    theirs = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    a, b, _ = noisy((*size, 3), np.float64)
    x, y = (torch.from_numpy(one).permute(2, 0, 1)[None] for one in (a, b))
    assert psnr(a, b) == pytest.approx(theirs.peak_signal_noise_ratio(x, y, data_range=1.0).item(), rel=1e-6)
    # Its mean takes in windows that reach over the border, into a reflection; ours are those inside.
    _, whole = theirs.structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
    assert ssim(a, b) == pytest.approx(whole[..., 5:-5, 5:-5].mean().item(), abs=1e-6)


@pytest.mark.parametrize("ignored", [None, 255])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (31, 37)])
def test_torchmetrics_on_labels(shape, ignored):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    theirs = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    rng = np.random.default_rng(0)
    found, true = rng.integers(0, 3, (2, *shape))
    if ignored is not None:
        true[rng.random(shape) < 0.3] = ignored
    options = {"num_classes": 4, "ignore_index": ignored, "average": "none"}
    x, y = torch.from_numpy(found), torch.from_numpy(true)
    for ours, expected in (
        (miou, theirs.multiclass_jaccard_index(x, y, **options)),
        (dice, theirs.multiclass_f1_score(x, y, **options)),
    ):
        scores = ours(found, true, classes=4, ignore_index=ignored)
        # Theirs gives an absent class 0.
        assert [0 if math.isnan(one) else one for one in scores.per_class] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 7), (60, 80), (101, 97)])
def test_opencv_erosion(shape):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, (-(-shape[0] // 9), -(-shape[1] // 9))).repeat(9, 0).repeat(9, 1)[: shape[0], : shape[1]]
    found = np.where(rng.random(shape) < 0.01, 1, np.roll(true, 1, axis=1))
    d = max(1, round(0.02 * math.hypot(*shape)))

    def band(mask):
        padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=d)[1:-1, 1:-1] == 0)

    expected = []
    for c in range(3):
        a, b = band(found == c), band(true == c)
        expected.append((a & b).sum() / (a | b).sum() if (a | b).any() else math.nan)
    assert boundary_iou(found, true, classes=3).per_class == pytest.approx(expected, nan_ok=True, rel=1e-14)
