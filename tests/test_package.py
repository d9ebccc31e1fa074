# SPDX-License-Identifier: MIT
"""What the installed distribution says of itself."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest

import halfpixel

EXTRAS = {"all", "bench", "cli", "models", "onnx", "plot", "torch", "train"}


def installed() -> None:
    """Skip where the package is only on the path: there is no metadata to read."""
    try:
        metadata("halfpixel")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("halfpixel is on the path but not installed: no metadata")


def test_version_is_that_of_the_distribution() -> None:
    installed()
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", halfpixel.__version__)
    assert halfpixel.__version__ == version("halfpixel")


def test_numpy_is_the_only_requirement_outside_the_extras() -> None:
    installed()
    always = [r for r in requires("halfpixel") or [] if "extra ==" not in r]
    assert [re.split(r"[^\w-]", r)[0] for r in always] == ["numpy"]


def test_extras_are_the_promised_ones() -> None:
    installed()
    assert set(metadata("halfpixel").get_all("Provides-Extra") or []) == EXTRAS


def test_type_hints_are_shipped() -> None:
    assert (Path(halfpixel.__file__).parent / "py.typed").is_file()


def test_public_names_exist_and_are_documented() -> None:
    for name in halfpixel.__all__:
        thing = getattr(halfpixel, name)
        assert name.startswith("__") or getattr(thing, "__doc__", None), f"halfpixel.{name} has no docstring"


def test_no_module_bears_the_name_of_a_public_function() -> None:
    functions = {name for name in halfpixel.__all__ if callable(getattr(halfpixel, name))}
    assert not functions & {module.name for module in pkgutil.iter_modules(halfpixel.__path__)}


@pytest.mark.parametrize("path", sorted(Path(halfpixel.__file__).parent.rglob("*.py")), ids=lambda p: p.name)
def test_every_file_names_its_licence_on_the_first_line(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: MIT\n")
