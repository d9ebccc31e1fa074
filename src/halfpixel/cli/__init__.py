# SPDX-License-Identifier: MIT
"""The command ``halfpixel``. What it can do is read from the tables; what it does is done by the package."""

from __future__ import annotations

import sys

_EXTRA = {"typer": "typer", "rich": "rich", "PIL": "Pillow", "tifffile": "tifffile", "imagecodecs": "imagecodecs"}


def main() -> None:
    """Run the command line and exit: 0 all done, 1 some failed, 2 usage."""
    try:
        from halfpixel.cli._app import app

        app()
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _EXTRA:
            raise
        print(f'halfpixel: {_EXTRA[name]} is not installed: pip install "halfpixel[cli]"', file=sys.stderr)
        raise SystemExit(2) from None
