# SPDX-License-Identifier: MIT
"""Measurements of halfpixel beside its peers: ``python -m benchmarks``; see docs/performance.md for the method."""
