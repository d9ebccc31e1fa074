# SPDX-License-Identifier: MIT
"""Training of the networks in halfpixel.models."""
