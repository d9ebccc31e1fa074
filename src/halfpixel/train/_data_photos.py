# SPDX-License-Identifier: MIT
"""Pictures alone."""

from __future__ import annotations

from typing import Any

from halfpixel.train._data import Named, PatchData, load_pictures, stl10_files


class AutoencoderData(PatchData):
    """Patches of pictures.

    **Convention:** batches hold uint8 `image` (N, patch, patch, 3).
    Arguments:
        data: a folder of photos; or one with STL10's binary files, of which train_X.bin and unlabeled_X.bin are for
            training and test_X.bin for validation; or one such file.
        validation: the same; None: STL10's test_X.bin, or every tenth picture, which is kept back.
        patch: side in pixels. batch_size, epoch_steps, seed, augment: of the batches.
    Raises: ValueError when it is set up, where nothing can be used; single files that cannot are named in warnings.
    Example:
        >>> AutoencoderData("photos", patch=64).layers
        ('image',)
    """

    layers = ("image",)
    scales = (1,)

    def __init__(
        self, data: Any, validation: Any = None, *, patch: int = 96, batch_size: int = 16, epoch_steps: int = 500,
        seed: int = 0, augment: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            data, validation, patch=patch, batch_size=batch_size, epoch_steps=epoch_steps, seed=seed, augment=augment
        )

    def pictures(self, part: str) -> Named | None:
        """(name, (image,)) of every picture of a part."""
        root = self.data if part == "train" or self.validation is None else self.validation
        if part == "valid" and self.validation is None and not (root.is_dir() and stl10_files(root, part)):
            return None
        found = load_pictures(root, part)
        return found and [(name, (pixels,)) for name, pixels in found]
