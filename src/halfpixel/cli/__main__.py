# SPDX-License-Identifier: MIT
"""``python -m halfpixel.cli``."""

from halfpixel.cli import main

main()
