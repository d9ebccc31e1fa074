# SPDX-License-Identifier: MIT
"""What an upsampler or a network does to every image, found without data."""
