# SPDX-License-Identifier: MIT
"""The options of `upscale` and `resize`, said once; what they choose from is read from the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Annotated, Any

import typer

from halfpixel import edges, filters, grids
from halfpixel.cli import _values

DEFAULT_FILTER = "lanczos3"


def _option(panel: str) -> Callable[..., Any]:
    def option(*names: str, **details: Any) -> Any:
        return typer.Option(*names, rich_help_panel=panel, show_default=False, **details)

    return option


def _names(table: Iterable[str]) -> str:
    return ", ".join(table)


_size, _method = _option("Size (exactly one way)"), _option("Method")
_output, _running = _option("Output"), _option("Running")

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Files, folders (recursive, tree kept), globs, or - for standard input."),
]

Scale = Annotated[Fraction | None, _size(parser=_values.scale, metavar="4|1.5|3/2", help="Factor, taken exactly.")]
Size = Annotated[_values.Box | None, _size(parser=_values.box, metavar="WxH", help="This size, whatever the aspect.")]
Width = Annotated[int | None, _size(metavar="PIXELS", help="This width; the height follows, unless given too.")]
Height = Annotated[int | None, _size(metavar="PIXELS", help="This height; the width follows, unless given too.")]
Fit = Annotated[_values.Box | None, _size(parser=_values.box, metavar="WxH", help="The largest that fits inside.")]
Megapixels = Annotated[float | None, _size(metavar="N", help="N million pixels, aspect kept.")]

FilterName = Annotated[
    str | None,
    _method(
        "--filter",
        metavar="NAME",
        help=f"{_names(filters.TABLE)}, or a call such as 'cubic(a=-0.75)'. Default: {DEFAULT_FILTER}.",
    ),
]
Like = Annotated[
    str | None,
    _method(
        metavar="PRESET", help="Another library's arithmetic, such as pillow.lanczos: see 'halfpixel list presets'."
    ),
]
GridName = Annotated[str | None, _method("--grid", metavar="NAME", help=f"{_names(grids.TABLE)}. Default: half_pixel.")]
EdgeName = Annotated[str | None, _method("--edge", metavar="NAME", help=f"{_names(edges.TABLE)}. Default: crop.")]
Model = Annotated[
    str | None,
    _method(
        "--model",
        metavar="NAME|FILE",
        help="A super-resolution network: see 'halfpixel list models', or a file of weights.",
    ),
]
Tile = Annotated[
    int | None,
    _method("--tile", min=1, metavar="PIXELS", help="Of the input, a side, for --model. Default: by memory."),
]
Device = Annotated[str | None, _method("--device", metavar="NAME", help="Where --model runs. Default: cpu.")]
NoAntialias = Annotated[bool, _method("--no-antialias", help="Do not widen the filter when shrinking.")]
LinearLight = Annotated[bool, _method("--linear-light", help="Average light, not sRGB code values.")]

Output = Annotated[
    str | None, _output("-o", "--output", metavar="FILE|FOLDER", help="Where to; - for standard output.")
]
Suffix = Annotated[str, _output(metavar="TEXT", help="Put behind each name; without -o, beside the input.")]
FormatName = Annotated[str | None, _output("--format", metavar="NAME", help="See 'halfpixel list formats'.")]
Quality = Annotated[int | None, _output(min=1, max=100, help="Of JPEG (default 95), WebP (90) and AVIF (85).")]
Lossless = Annotated[bool, _output("--lossless", help="WebP without loss.")]
Depth = Annotated[str | None, _output(metavar="8|16|float", help="Samples of this depth, the loss being meant.")]
Background = Annotated[
    _values.Colour | None, _output(parser=_values.colour, metavar="COLOUR", help="Lay transparent pictures on it.")
]
Overwrite = Annotated[bool, _output("--overwrite", help="Replace outputs that exist.")]
SkipExisting = Annotated[bool, _output("--skip-existing", help="Leave outputs that exist, and go on with the rest.")]

Jobs = Annotated[int | None, _running("-j", "--jobs", min=1, help="Files at a time. Default: up to 4.")]
MaxMemory = Annotated[
    int | None,
    _running(
        parser=_values.byte_count,
        metavar="2GiB",
        help="For decoded inputs and outputs together; above it TIFF goes in rows. Default: half of the machine's.",
    ),
]
MaxPixels = Annotated[
    int | None,
    _running(
        parser=_values.pixel_count, metavar="500M", help="An input may declare. Default: 268M, unless --max-memory."
    ),
]
DryRun = Annotated[bool, _running("--dry-run", help="Say what would be done, from the headers alone.")]
Json = Annotated[bool, _running("--json", help="One JSON object per line on standard output: see docs/cli_json.md.")]
Quiet = Annotated[bool, _running("-q", "--quiet", help="Nothing but errors.")]
