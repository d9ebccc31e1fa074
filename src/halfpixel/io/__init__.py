# SPDX-License-Identifier: MIT
"""Image files in and out, at the depth that they have, with what they say of themselves."""

from halfpixel.io import formats
from halfpixel.io._atomic import atomic_write
from halfpixel.io._files import encoded, header, open_image, read, write
from halfpixel.io._job import Job, Settings, plan_file, resize_file
from halfpixel.io._labels import read_labels
from halfpixel.io._limits import MAX_PIXELS, Limits, MemoryBudget
from halfpixel.io._network import Network
from halfpixel.io._picture import KINDS, Header, ImageFileError, Kind, Metadata, NeedsMemory, Picture
from halfpixel.io._size import SizeRule

__all__ = [
    "KINDS",
    "MAX_PIXELS",
    "Header",
    "ImageFileError",
    "Job",
    "Kind",
    "Limits",
    "MemoryBudget",
    "Metadata",
    "NeedsMemory",
    "Network",
    "Picture",
    "Settings",
    "SizeRule",
    "atomic_write",
    "encoded",
    "formats",
    "header",
    "open_image",
    "plan_file",
    "read",
    "read_labels",
    "resize_file",
    "write",
]
