# SPDX-License-Identifier: MIT
"""Openly licensed photographs that come inside scikit-image and scikit-learn, parted into those to learn from and the others."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from halfpixel.errors import HalfpixelRuntimeError, unknown_name

SPLITS = ("train", "validation", "held-out")
_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}


@dataclass(frozen=True)
class Photo:
    """A photograph: the file, the package that it comes with, its licence, who made it, and what it serves for.

    ``split`` is "train"; "validation", which chooses among the weights of a run; or "held-out", which nothing that ships
    with this package has seen.
    """

    file: str
    package: str
    licence: str
    author: str
    split: str

    @property
    def path(self) -> Path:
        """Where it lies.

        Raises: RuntimeError where the package is not installed or has no such file.
        """
        module, folder = _FOLDERS[self.package]
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            raise HalfpixelRuntimeError(f"{self.file} comes with {self.package}", f"pip install {self.package}")
        path = Path(found.origin).parent / folder / self.file
        if not path.is_file():
            raise HalfpixelRuntimeError(f"{path} is missing", f"a release of {self.package} that has it")
        return path


# Held out are photographs of different kinds: people, food, fur, petals, metal on cloth.
PHOTOS = (
    Photo("astronaut.png", "scikit-image", "public domain", "NASA", "held-out"),
    Photo("chelsea.png", "scikit-image", "CC0", "Stefan van der Walt", "held-out"),
    Photo("coffee.png", "scikit-image", "CC0", "Rachel Michetti", "held-out"),
    Photo("coins.png", "scikit-image", "no known copyright restrictions", "Brooklyn Museum", "held-out"),
    Photo("flower.jpg", "scikit-learn", "CC BY 2.0", "vultilion", "held-out"),
    Photo("brick.png", "scikit-image", "CC0", "CC0Textures", "train"),
    Photo("camera.png", "scikit-image", "CC0", "Lav Varshney", "train"),
    Photo("china.jpg", "scikit-learn", "CC BY 2.0", "danielbuechele", "train"),
    Photo("grass.png", "scikit-image", "CC0", "linolafett", "train"),
    Photo("gravel.png", "scikit-image", "CC0", "CC0Textures", "train"),
    Photo("hubble_deep_field.jpg", "scikit-image", "public domain", "NASA", "train"),
    Photo("ihc.png", "scikit-image", "no known copyright restrictions", "CMMI", "validation"),
    Photo("retina.jpg", "scikit-image", "CC0", "Mikael Häggström", "train"),
    Photo("rocket.jpg", "scikit-image", "public domain", "SpaceX", "validation"),
)


def open_photos(split: str) -> tuple[Photo, ...]:
    """The photographs of a split.

    Arguments: split: "train", "validation" or "held-out".
    Raises: ValueError for another name.
    Example:
        >>> [photo.file for photo in open_photos("held-out")][:2]
        ['astronaut.png', 'chelsea.png']
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return tuple(photo for photo in PHOTOS if photo.split == split)
