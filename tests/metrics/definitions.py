# SPDX-License-Identifier: MIT
"""The measures again, as loops over pixels in Python floats, written from the formulas alone."""

from __future__ import annotations

import math


def eight_bits(value: float, white: float) -> int:
    """A sample as a level 0 ... 255, rounded half up."""
    return math.floor(min(max(float(value) * 255 / white, 0.0), 255.0) + 0.5)


def luma(red: float, green: float, blue: float) -> float:
    """BT.601 in studio range from levels 0 ... 255."""
    return 16 + 65.481 * red / 255 + 128.553 * green / 255 + 24.966 * blue / 255


def psnr(a, b, peak: float) -> float:
    """Of two flat lists."""
    error = sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)) / len(a)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(a, b, peak: float) -> float:
    """Of two lists of rows: the mean over 11 x 11 windows inside, weighed by a Gaussian of sigma 1.5."""
    kernel = [[math.exp(-(dy * dy + dx * dx) / (2 * 1.5**2)) for dx in range(-5, 6)] for dy in range(-5, 6)]
    total = sum(map(sum, kernel))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    found = []
    for y in range(5, len(a) - 5):
        for x in range(5, len(a[0]) - 5):
            taps = [
                (kernel[i][j] / total, float(a[y + i - 5][x + j - 5]), float(b[y + i - 5][x + j - 5]))
                for i in range(11)
                for j in range(11)
            ]
            mean_a, mean_b = sum(w * p for w, p, _ in taps), sum(w * q for w, _, q in taps)
            var_a = sum(w * (p - mean_a) ** 2 for w, p, _ in taps)
            var_b = sum(w * (q - mean_b) ** 2 for w, _, q in taps)
            cov = sum(w * (p - mean_a) * (q - mean_b) for w, p, q in taps)
            found.append(
                (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return sum(found) / len(found)


def areas(labels, reference, classes: int, ignored: int | None):
    """[(in both, in the labels, in the reference)] by class, of two lists of rows."""
    found = []
    for c in range(classes):
        pairs = [
            (p == c and p != ignored, q == c)
            for row, true in zip(labels, reference, strict=True)
            for p, q in zip(row, true, strict=True)
            if q != ignored
        ]
        found.append((sum(p and q for p, q in pairs), sum(p for p, _ in pairs), sum(q for _, q in pairs)))
    return found


def band(mask, d: int):
    """The mask minus the mask eroded d times by 3 x 3, nothing outside the image."""
    height, width = len(mask), len(mask[0])
    kept = [list(row) for row in mask]
    for _ in range(d):
        kept = [
            [
                all(
                    0 <= y + i < height and 0 <= x + j < width and kept[y + i][x + j]
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                )
                for x in range(width)
            ]
            for y in range(height)
        ]
    return [[m and not k for m, k in zip(*rows, strict=True)] for rows in zip(mask, kept, strict=True)]
