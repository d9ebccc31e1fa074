# SPDX-License-Identifier: MIT
"""Measures of images and label maps."""

from halfpixel.metrics import protocols
from halfpixel.metrics._overlap import Boundaries, ClassScores, Confusion, boundary_iou, dice, image_mean, miou
from halfpixel.metrics._quality import ImageScores, measure, psnr, ssim
from halfpixel.metrics.protocols import Protocol

__all__ = [
    "Boundaries",
    "ClassScores",
    "Confusion",
    "ImageScores",
    "Protocol",
    "boundary_iou",
    "dice",
    "image_mean",
    "measure",
    "miou",
    "protocols",
    "psnr",
    "ssim",
]
