# SPDX-License-Identifier: MIT
"""What an upsampler, a downsampler or a network does to every image, found without data."""

from __future__ import annotations

from ._audit import audit
from ._limits import TABLE, Limit
from ._result import Audit, Check

__all__ = ["TABLE", "Audit", "Check", "Limit", "audit"]
