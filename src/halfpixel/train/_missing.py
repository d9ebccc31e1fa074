# SPDX-License-Identifier: MIT
"""What to say where the libraries of training are not installed."""

from __future__ import annotations

from importlib.util import find_spec

from halfpixel.errors import HalfpixelRuntimeError

_NEEDED = {"torch": "torch", "lightning": "lightning", "tensorboard": "tensorboard", "PIL": "Pillow"}


class MissingLibraryError(HalfpixelRuntimeError, ModuleNotFoundError):
    """Training needs a library that is not installed."""


def require() -> None:
    """Raises: MissingLibraryError (a RuntimeError and a ModuleNotFoundError) that says what to install."""
    if missing := [package for module, package in _NEEDED.items() if find_spec(module) is None]:
        why = f"training needs {' and '.join(missing)}, not installed here"
        raise MissingLibraryError(why, 'pip install "halfpixel[train]"')
