# SPDX-License-Identifier: MIT
"""How far label maps overlap: IoU, Dice and Boundary IoU by class, of one image or of a data set.

**Convention of every measure here:** labels are 0 ... classes - 1. Pixels whose reference is `ignore_index` count for
nothing; a predicted `ignore_index` elsewhere is no class, so it is a miss. A class that occurs neither in the labels
nor in the reference has no score (NaN) and no part in the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfpixel import _sizes
from halfpixel.errors import (
    HalfpixelError,
    HalfpixelShapeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
)
from halfpixel.metrics import _bands, _inputs
from halfpixel.metrics._quality import plain

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """A measure by class: NaN where a class occurs nowhere. `mean` is over the others, NaN where there are none."""

    name: str
    per_class: tuple[float, ...]
    mean: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN is None."""
        return {"name": self.name, "mean": plain(self.mean), "per_class": [plain(one) for one in self.per_class]}


def _scores(name: str, over: Counts, under: Counts) -> ClassScores:
    there = under > 0
    ratios = np.where(there, over / np.where(there, under, 1), np.nan)
    return ClassScores(name, tuple(ratios.tolist()), float(ratios[there].mean()) if there.any() else math.nan)


def image_mean(scores: Iterable[ClassScores]) -> float:
    """The mean of the images' means: every image weighs the same, whatever classes it holds.

    **Convention:** images without any class are left out. That of a data set, from a `Confusion` or `Boundaries` that
    was given all images, weighs every pixel the same instead, and is what benchmarks print as mIoU.
    Returns: NaN where no image has a score.
    Example:
        >>> image_mean([miou([0, 0], [0, 1], classes=2), miou([1, 1], [1, 1], classes=2)])  # (1/4 + 1) / 2
        0.625
    """
    means = [one.mean for one in scores if not math.isnan(one.mean)]
    return sum(means) / len(means) if means else math.nan


class Confusion:
    """Counts of (reference, label) pairs over any number of images: mIoU and Dice of a data set.

    **Convention:** `counts` is (classes, classes + 1): rows are the reference's labels, columns the found ones, the
    last column what was left without a class.
    Arguments: classes: how many, 1 to 4096. ignore_index: a label of pixels that do not count.
    Raises: ValueError and TypeError that say what would work.
    Example:
        >>> seen = Confusion(2, ignore_index=255)
        >>> seen.add([[0, 1]], [[0, 255]]).add([[1, 1]], [[1, 0]]).miou().per_class
        (0.5, 0.5)
    """

    def __init__(self, classes: int, ignore_index: int | None = None) -> None:
        self.classes, self.ignore_index = _inputs.class_count(classes), _ignored(ignore_index)
        self.counts: Counts = np.zeros((self.classes, self.classes + 1), np.int64)

    def add(self, labels: Any, reference: Any) -> Confusion:
        """Count one image or many: integer maps, arrays or tensors, of one shape. Returns: itself."""
        try:
            found, true = _codes(labels, reference, self.classes, self.ignore_index)
        except HalfpixelError as error:
            raise error.in_call(describe_call("Confusion.add", labels, reference)) from None
        counted = true < self.classes
        pair = true[counted].astype(np.intp) * (self.classes + 1) + found[counted]
        self.counts += np.bincount(pair, minlength=self.counts.size).reshape(self.counts.shape)
        return self

    def merge(self, other: Confusion) -> Confusion:
        """Add what another one counted, such as another process's. Returns: itself."""
        if (self.classes, self.ignore_index) != (other.classes, other.ignore_index):
            raise HalfpixelValueError("the two count other classes", "the same classes and ignore_index")
        self.counts += other.counts
        return self

    def miou(self) -> ClassScores:
        """Intersection over union by class, over all pixels that were added."""
        both, labels, reference = self._areas()
        return _scores("iou", both, labels + reference - both)

    def dice(self) -> ClassScores:
        """Twice the intersection over the sum of both areas, by class: F1 of its pixels."""
        both, labels, reference = self._areas()
        return _scores("dice", 2 * both, labels + reference)

    def accuracy(self) -> float:
        """The share of pixels whose label is right; NaN where none counted."""
        total = int(self.counts.sum())
        return int(np.trace(self.counts)) / total if total else math.nan

    def _areas(self) -> tuple[Counts, Counts, Counts]:
        return self.counts.diagonal(), self.counts.sum(axis=0)[:-1], self.counts.sum(axis=1)


class Boundaries:
    """Overlap of the inner boundaries of classes, over any number of images: Boundary IoU of a data set.

    **Convention:** the band of a class is its mask minus the mask eroded d times by a 3 x 3 square, outside of the
    image counting as outside of the mask; d is `dilation_ratio` times the image's diagonal, rounded, 1 or more. Pixels
    that do not count are outside of every mask, in both maps. `counts` is (3, classes): pixels in both bands, in that
    of the labels, in that of the reference.
    Arguments: classes, ignore_index: as of `Confusion`. dilation_ratio: 0.02 is the paper's; 0.005 that of Cityscapes.
    Raises: ValueError and TypeError that say what would work.
    Source: Cheng, Girshick, Dollar, Berg, Kirillov 2021.
    """

    def __init__(self, classes: int, ignore_index: int | None = None, dilation_ratio: float = 0.02) -> None:
        self.classes, self.ignore_index = _inputs.class_count(classes), _ignored(ignore_index)
        self.dilation_ratio = _ratio(dilation_ratio)
        self.counts: Counts = np.zeros((3, self.classes), np.int64)

    def add(self, labels: Any, reference: Any) -> Boundaries:
        """Count one image: integer maps (height, width), arrays or tensors. Returns: itself."""
        try:
            found, true = _codes(labels, reference, self.classes, self.ignore_index)
            if true.ndim != 2:
                raise HalfpixelShapeError(f"the maps have {true.ndim} dimensions", "(height, width), one image a call")
        except HalfpixelError as error:
            raise error.in_call(describe_call("Boundaries.add", labels, reference)) from None
        d = _bands.reach(true.shape, self.dilation_ratio)
        near_found, near_true = _bands.bands(found, d), _bands.bands(true, d)
        kept = (found[near_found & near_true & (found == true)], found[near_found], true[near_true])
        for row, values in zip(self.counts, kept, strict=True):
            row += np.bincount(values, minlength=self.classes + 1)[:-1]
        return self

    def merge(self, other: Boundaries) -> Boundaries:
        """Add what another one counted, such as another process's. Returns: itself."""
        if _settings(self) != _settings(other):
            raise HalfpixelValueError("the two count other bands", "the same classes, ignore_index and dilation_ratio")
        self.counts += other.counts
        return self

    def boundary_iou(self) -> ClassScores:
        """Intersection over union of the bands by class, over all pixels that were added."""
        both, labels, reference = self.counts
        return _scores("boundary_iou", both, labels + reference - both)


def _settings(seen: Boundaries) -> tuple[Any, ...]:
    return seen.classes, seen.ignore_index, seen.dilation_ratio


def miou(labels: Any, reference: Any, *, classes: int, ignore_index: int | None = None) -> ClassScores:
    """Intersection over union by class, and its mean over the classes that occur.

    **Convention:** see `Confusion`, which this is for one call; several images in one call are one pool of pixels.
    Arguments: labels, reference: integer maps of one shape, arrays or tensors. classes, ignore_index: as of
        `Confusion`.
    Returns: ClassScores. Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> miou([[0, 0], [1, 1]], [[0, 1], [1, 255]], classes=3, ignore_index=255).per_class
        (0.5, 0.5, nan)
    """
    return _of_one("miou", Confusion.miou, labels, reference, classes, ignore_index)


def dice(labels: Any, reference: Any, *, classes: int, ignore_index: int | None = None) -> ClassScores:
    """Dice's coefficient by class, 2 |A and B| / (|A| + |B|), and its mean over the classes that occur.

    **Convention, arguments, Returns, Raises:** as of `miou`.
    Example:
        >>> dice([0, 0, 1, 1], [0, 1, 1, 1], classes=2).per_class  # 2/3 and 4/5
        (0.6666666666666666, 0.8)
    """
    return _of_one("dice", Confusion.dice, labels, reference, classes, ignore_index)


def boundary_iou(
    labels: Any, reference: Any, *, classes: int, ignore_index: int | None = None, dilation_ratio: float = 0.02
) -> ClassScores:
    """IoU of the inner boundaries of classes: what `miou` hardly sees of large objects.

    **Convention:** see `Boundaries`, which this is for one image of shape (height, width).
    Arguments: as of `miou`; dilation_ratio: the bands' width as a share of the image's diagonal.
    Returns, Raises: as of `miou`.
    Example:
        >>> import numpy as np
        >>> square = np.zeros((50, 50), int)
        >>> square[10:40, 10:40] = 1
        >>> moved = np.roll(square, 1, axis=1)
        >>> boundary_iou(moved, square, classes=2).per_class[1] < miou(moved, square, classes=2).per_class[1]
        True
    """
    try:
        seen = Boundaries(classes, ignore_index, dilation_ratio)
        return seen.add(labels, reference).boundary_iou()
    except HalfpixelError as error:
        options = {"classes": classes, "ignore_index": ignore_index, "dilation_ratio": dilation_ratio}
        raise error.in_call(describe_call("boundary_iou", labels, reference, **options)) from None


def _of_one(name: str, how: Any, labels: Any, reference: Any, classes: Any, ignore_index: Any) -> ClassScores:
    try:
        scores: ClassScores = how(Confusion(classes, ignore_index).add(labels, reference))
        return scores
    except HalfpixelError as error:
        call = describe_call(name, labels, reference, classes=classes, ignore_index=ignore_index)
        raise error.in_call(call) from None


def _codes(
    labels: Any, reference: Any, classes: int, ignored: int | None
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]:
    """Both maps with `classes` in place of what is no class or does not count."""
    found, true = _inputs.labels(labels, reference)
    out = true == ignored if ignored is not None else np.zeros(true.shape, np.bool_)
    none = out | (found == ignored) if ignored is not None else out
    _inputs.check_range(true[~out], classes, "reference", ignored)
    _inputs.check_range(found[~none], classes, "label map", ignored)
    return _coded(found, none, classes), _coded(true, out, classes)


def _coded(labels: NDArray[Any], left_out: NDArray[np.bool_], classes: int) -> NDArray[np.unsignedinteger]:
    codes = np.full(labels.shape, classes, np.min_scalar_type(classes))
    np.copyto(codes, labels, where=~left_out, casting="unsafe")
    return codes


def _ignored(ignore_index: Any) -> int | None:
    return None if ignore_index is None else _sizes.integer(ignore_index, "ignore_index")


def _ratio(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise HalfpixelTypeError(f"dilation_ratio is {value!r}", "a share of the diagonal, such as 0.02")
    if not 0 < value <= 1:
        raise HalfpixelValueError(f"dilation_ratio is {value!r}", "a share of the diagonal, above 0 and up to 1")
    return float(value)
