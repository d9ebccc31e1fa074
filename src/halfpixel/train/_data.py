# SPDX-License-Identifier: MIT
"""What the three LightningDataModules share: batches of patches to train on, whole pictures to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from halfpixel.errors import HalfpixelError, HalfpixelValueError
from halfpixel.train._patches import Layers, Patches, PatchLoader, WholeLoader
from halfpixel.train._pictures import list_images, numbered, read_rgb, readable, skip, stl10

Named = list[tuple[str, Layers]]


class PatchData(pl.LightningDataModule):
    """Patches of named pictures. Subclasses say where the pictures come from: `pictures(part)`.

    An epoch is `epoch_steps` batches: what lies between two validations.
    """

    layers: tuple[str, ...]
    scales: tuple[int, ...]

    def __init__(
        self, data: Any, validation: Any, *, patch: int, batch_size: int, epoch_steps: int, seed: int, augment: bool
    ) -> None:
        super().__init__()
        for name, value in (("patch", patch), ("batch_size", batch_size), ("epoch_steps", epoch_steps)):
            if value < 1:
                raise HalfpixelValueError(f"{name} is {value}", f"{name} of 1 or more")
        self.data, self.validation = Path(data), None if validation is None else Path(validation)
        self.patch, self.batch_size, self.epoch_steps = patch, batch_size, epoch_steps
        self.seed, self.augment = seed, augment
        self.patches: Patches | None = None
        self.held: Named = []

    def pictures(self, part: str) -> Named | None:
        """The pictures of a part, "train" or "valid"; None for "valid": a tenth of the others is kept back."""
        raise NotImplementedError

    def setup(self, stage: str = "fit") -> None:
        """Read everything once; Lightning calls it in each process."""
        if self.patches is not None:
            return
        try:
            held, found = self.pictures("valid"), self.pictures("train")
            if found is None:
                raise HalfpixelValueError(f"{self.data} holds nothing to train on")
            if held is None:
                found, held = kept_back(found, self.data)
            self.patches = Patches(
                [layers for _, layers in self.large_enough(found)],
                self.layers, self.scales, patch=self.patch, seed=self.seed, augment=self.augment,
            )  # fmt: skip
            self.held = held
        except HalfpixelError as error:
            raise error.in_call(f"{type(self).__name__}({str(self.data)!r})") from error

    def large_enough(self, found: Named) -> Named:
        """The pictures that a patch fits in; the others are named and left out. Raises: ValueError where none is."""
        kept: Named = []
        for name, layers in found:
            height, width = layers[0].shape[:2]
            if min(height, width) >= self.patch:
                kept.append((name, layers))
            else:
                side, scale = self.patch * self.scales[-1], self.scales[-1]
                skip(f"left out of training: {name}: {width * scale} x {height * scale} pixels, a patch needs {side}")
        if not kept:
            raise HalfpixelValueError(
                f"every picture of {self.data} is smaller than a patch of {self.patch} pixels", "a smaller patch"
            )
        return kept

    def train_dataloader(self) -> PatchLoader:
        """The patches of this process, endless in epochs of `epoch_steps`."""
        self.setup()
        if self.patches is None:
            raise HalfpixelValueError("there is nothing to train on")
        rank, world = self._place()
        device = getattr(self.trainer.strategy.root_device, "type", "cpu") if self.trainer else "cpu"
        return PatchLoader(
            self.patches, batch_size=self.batch_size, steps=self.epoch_steps, rank=rank, world=world,
            pin=device == "cuda", ahead=device != "cpu",
        )  # fmt: skip

    def val_dataloader(self) -> WholeLoader:
        """The validation pictures of this process, whole."""
        self.setup()
        rank, world = self._place()
        names, pictures = [name for name, _ in self.held], [layers for _, layers in self.held]
        return WholeLoader(pictures, self.layers, names, rank=rank, world=world)

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def kept_back(found: Named, where: object) -> tuple[Named, Named]:
    """Pictures to train on and every tenth, from the first on, to validate on. Raises: ValueError for a single one."""
    if len(found) < 2:
        works = "validation=, a folder of others"
        raise HalfpixelValueError(f"{where} holds one picture that can be used: none is left to validate on", works)
    return [one for index, one in enumerate(found) if index % 10], found[::10]


def load_pictures(root: Path, part: str = "train") -> list[tuple[str, Any]] | None:
    """The pictures of a folder, of a file, or of STL10's binary files, by name; None where STL10 has no such part.

    STL10: "train" is train_X.bin and unlabeled_X.bin, "valid" test_X.bin.
    """
    if files := stl10_files(root, part):
        return [named for path in files if path.exists() for named in numbered(stl10(path), path.name)] or None
    return [(str(path), pixels) for path, pixels in readable(list_images(root), read_rgb, root)]


def stl10_files(root: Path, part: str) -> Sequence[Path]:
    """STL10's binary files of a part: those of a folder that has some, or the one file given."""
    if root.suffix == ".bin" and root.is_file():
        return [root]
    if any(root.glob("*_X.bin")):
        return [root / f"{name}_X.bin" for name in (("test",) if part == "valid" else ("train", "unlabeled"))]
    return []
