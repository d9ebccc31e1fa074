# SPDX-License-Identifier: MIT
"""Pictures with a mask of labels each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from halfpixel import io
from halfpixel.errors import HalfpixelValueError
from halfpixel.train._data import Named, PatchData
from halfpixel.train._pictures import list_images, read_rgb, readable, skip
from halfpixel.train.losses import IGNORED

IMAGES, MASKS = ("images", "image", "img", "imgs"), ("masks", "mask", "labels", "label", "annotations")


class SegmentationData(PatchData):
    """Patches (image, labels) for segmentation.

    **Convention:** batches hold uint8 `image` (N, patch, patch, 3) and `labels` (N, patch, patch): 0 ... classes - 1,
    or 255 where a pixel does not count.
    Arguments:
        data: a folder with the folders `images` and `masks` (or img, labels, annotations), files of the same stem in
            both; or a folder of images, with `masks`. Masks are images of one channel or with a palette, whose numbers
            or indices are the labels.
        classes: how many labels there are, up to 255. masks: the folder of masks, where it is elsewhere.
        validation: as data; None: every tenth picture is kept back.
        patch: side in pixels. batch_size, epoch_steps, seed, augment: of the batches.
    Raises: ValueError when it is set up, where nothing can be used, and for labels that are none of the classes; single
        files that cannot be read or have no mask are named in warnings.
    Example:
        >>> SegmentationData("scenes", classes=3).layers
        ('image', 'labels')
    """

    layers = ("image", "labels")
    scales = (1, 1)

    def __init__(
        self, data: Any, validation: Any = None, *, classes: int, masks: Any = None, patch: int = 128,
        batch_size: int = 16, epoch_steps: int = 500, seed: int = 0, augment: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            data, validation, patch=patch, batch_size=batch_size, epoch_steps=epoch_steps, seed=seed, augment=augment
        )
        if not 2 <= classes <= IGNORED:
            raise HalfpixelValueError(f"classes is {classes}", f"2 to {IGNORED}")
        self.classes, self.masks = classes, None if masks is None else Path(masks)

    def pictures(self, part: str) -> Named | None:
        """(name, (image, labels)) of every picture of a part."""
        root = self.data if part == "train" else self.validation
        if root is None:
            return None
        images, masks = folders(root, self.masks if part == "train" else None)
        found = readable(with_masks(images, masks), self._load, images)
        for (image, mask), (_, labels) in found:
            self._check(image, mask, labels)
        return [(str(image), (pixels, labels.astype(np.uint8))) for (image, _), (pixels, labels) in found]

    def _load(self, pair: tuple[Path, Path]) -> tuple[Any, Any]:
        image, labels = read_rgb(pair[0]), io.read_labels(str(pair[1]))
        if image.shape[:2] != labels.shape:
            (h, w), (mh, mw) = image.shape[:2], labels.shape
            raise HalfpixelValueError(f"{pair[0]} is {w} x {h} and its mask {pair[1]} is {mw} x {mh}")
        return image, labels

    def _check(self, image: Path, mask: Path, labels: Any) -> None:
        wrong = np.unique(labels[(labels >= self.classes) & (labels != IGNORED)])
        if wrong.size:
            shown = ", ".join(map(str, wrong[:5].tolist())) + (" ..." if wrong.size > 5 else "")
            raise HalfpixelValueError(
                f"{mask} holds the labels {shown}, and there are {self.classes} classes",
                f"classes={int(wrong.max()) + 1}, or {IGNORED} for pixels that do not count",
            )


def folders(root: Path, masks: Path | None) -> tuple[Path, Path]:
    """The folder of images and that of masks. Raises: ValueError where they are not found."""
    if masks is not None:
        return root, masks
    images = next((root / name for name in IMAGES if (root / name).is_dir()), None)
    labels = next((root / name for name in MASKS if (root / name).is_dir()), None)
    if images is None or labels is None:
        works = f"the folders {root / IMAGES[0]} and {root / MASKS[0]}, or masks="
        raise HalfpixelValueError(f"{root} has no folder of images or no folder of masks", works)
    return images, labels


def with_masks(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Each image with the mask of its stem; one that has none is named and left out.

    Raises: ValueError where none has one.
    """
    by_stem = {path.relative_to(masks).with_suffix(""): path for path in list_images(masks)}
    pairs = []
    for image in list_images(images):
        mask = by_stem.get(image.relative_to(images).with_suffix(""))
        if mask is None:
            skip(f"left out of training: {image}: {masks} holds no mask of the name {image.stem}")
        else:
            pairs.append((image, mask))
    if not pairs:
        raise HalfpixelValueError(f"no image of {images} has a mask in {masks}", "masks of the same names")
    return pairs
