# SPDX-License-Identifier: MIT
"""Measures of images and label maps."""
