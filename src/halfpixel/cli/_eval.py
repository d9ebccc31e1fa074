# SPDX-License-Identifier: MIT
"""`eval`: images against references, methods against each other, label maps against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from halfpixel.cli import _options as option
from halfpixel.cli import _paths
from halfpixel.cli._convert import default_jobs, usage

if TYPE_CHECKING:
    from halfpixel.cli._trials import Yardstick

PLAIN = "plain"
_Images = Annotated[list[str], typer.Argument(metavar="IMAGE", help="Files, folders (recursive), globs.")]
_Reference = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE|FOLDER", help="What they are compared with, by name; may be repeated."),
]
_Suffix = Annotated[str, typer.Option(metavar="TEXT", help="The end of an image's name that its reference lacks.")]
_Method = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Shrink the images, enlarge them by this filter or preset; may be repeated."),
]
_Model = Annotated[list[str] | None, typer.Option(metavar="NAME|FILE", help="... or by this network; may be repeated.")]
_Protocol = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"See 'halfpixel list protocols'; or {PLAIN}. Default: sr-y with --scale."),
]
_Scale = Annotated[int | None, typer.Option(min=1, metavar="4", help="The super-resolution's factor.")]
_Crop = Annotated[
    int | None, typer.Option(min=0, metavar="PIXELS", help="Border left out, in place of the protocol's.")
]
_Labels = Annotated[bool, typer.Option("--labels", help="They are label maps: mIoU, Dice, Boundary IoU.")]
_Classes = Annotated[int | None, typer.Option(min=1, max=4096, metavar="N", help="Labels are 0 to N - 1.")]
_Ignore = Annotated[int | None, typer.Option(metavar="LABEL", help="Of pixels of the reference that do not count.")]
_Ratio = Annotated[float | None, typer.Option(metavar="0.02", help="Width of boundaries, as a share of the diagonal.")]


def evaluate(
    images: _Images,
    reference: _Reference = None,
    suffix: _Suffix = "",
    method: _Method = None,
    model: _Model = None,
    protocol: _Protocol = None,
    scale: _Scale = None,
    crop: _Crop = None,
    labels: _Labels = False,
    classes: _Classes = None,
    ignore_index: _Ignore = None,
    dilation_ratio: _Ratio = None,
    jobs: option.Jobs = None,
    json: option.Json = False,
) -> None:
    """Measure images against references; or shrink originals, enlarge them by methods and networks, and measure those.

    halfpixel eval SR --reference HR --scale 4

    halfpixel eval HR --scale 4 --method matlab.bicubic --method lanczos3 --model espcn_x4

    halfpixel eval FOUND --reference TRUTH --labels --classes 21 --ignore-index 255
    """
    _check_use(locals())
    from halfpixel.cli import _measured
    from halfpixel.cli._report import Report

    report = Report("eval", json, quiet=False)
    jobs = jobs or default_jobs()
    with usage():
        if labels:
            paired = _measured.Paired.of(images, reference or [], suffix)
            ratio = 0.02 if dilation_ratio is None else dilation_ratio
            status = _measured.labels(paired, (classes, ignore_index, ratio), jobs, report, json)
        elif reference:
            paired = _measured.Paired.of(images, reference, suffix)
            status = _measured.images(paired, _yardstick(protocol, scale, crop), jobs, report, json)
        else:
            found, yardstick = list(_paths.expanded(images)), _yardstick(protocol, scale, crop)
            status = _measured.methods(found, method or [], model or [], yardstick, jobs, report, json)
    raise typer.Exit(status)


def _check_use(given: dict[str, Any]) -> None:
    """Raises: typer.BadParameter for options that do not go together."""
    # By identity: a crop and a label of 0 are given, though 0 == False.
    there = {
        name for name, value in given.items() if value is not None and value is not False and value not in ("", [])
    }
    methods, of_images = there & {"method", "model"}, there & {"protocol", "scale", "crop"}
    of_labels = there & {"classes", "ignore_index", "dilation_ratio"}
    if bool(methods) == ("reference" in there):
        raise typer.BadParameter("say with what to compare: either --reference, or --method and --model")
    if "labels" in there and methods:
        raise typer.BadParameter("label maps are compared with a --reference")
    if "labels" in there and "classes" not in there:
        raise typer.BadParameter("--labels needs --classes, how many there are")
    if "labels" in there and of_images:
        raise typer.BadParameter(f"{_flags(of_images)} is for pictures, and --labels is given")
    if "labels" not in there and of_labels:
        raise typer.BadParameter(f"{_flags(of_labels)} is for label maps: --labels")
    if methods and (given["scale"] or 1) < 2:
        raise typer.BadParameter("--method and --model need --scale, 2 or more: how much smaller the images become")
    if methods and "suffix" in there:
        raise typer.BadParameter("--suffix is for a --reference")
    if _paths.STDIO in [*given["images"], *(given["reference"] or [])]:
        raise typer.BadParameter("standard input has no name; name a file")


def _flags(names: set[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names))


def _yardstick(protocol: str | None, scale: int | None, crop: int | None) -> Yardstick:
    from halfpixel.cli._trials import Yardstick
    from halfpixel.metrics import protocols

    name = protocol or ("sr-y" if scale is not None else PLAIN)
    if name == PLAIN:
        return Yardstick(None, scale, crop)
    if scale is None and crop is None:
        raise typer.BadParameter(f"--protocol {name} cuts a border off: --scale says how much, or --crop")
    return Yardstick(protocols.get(name), scale, crop)
