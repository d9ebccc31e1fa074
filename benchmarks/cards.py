# SPDX-License-Identifier: MIT
"""The model cards of weights that ship: `python -m benchmarks.cards` writes one beside each, from what it measures."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import halfpixel
from halfpixel import metrics, models
from halfpixel.models._load import WEIGHTS, read
from halfpixel.train._pictures import read_rgb
from halfpixel.train.photos import Photo, open_photos

from .network_quality import METHODS, cut

Array = npt.NDArray[np.uint8]


def _jpeg(picture: Array) -> Array:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=75)
    return np.asarray(Image.open(file))


def shrunk(picture: Array, scale: int, **how: Any) -> Array:
    """A photo divided by a whole number."""
    return halfpixel.resize_image(picture, (picture.shape[0] // scale, picture.shape[1] // scale), **how)


# How small photos came about: first as in training, then otherwise.
ORIGINS: dict[str, Callable[[Array, int], Array]] = {
    "shrunk by MATLAB's bicubic, as in training": lambda x, s: shrunk(x, s, like="matlab.bicubic"),
    "shrunk so, then JPEG of quality 75": lambda x, s: _jpeg(shrunk(x, s, like="matlab.bicubic")),
    "shrunk by area means": lambda x, s: shrunk(x, s, filter="area"),
    "shrunk by a Gaussian, which blurs more": lambda x, s: shrunk(x, s, filter="gaussian"),
    "shrunk by nearest, which aliases": lambda x, s: shrunk(x, s, filter="nearest", antialias=False),
}


def scores(model: Any, photos: Sequence[Photo], origin: Callable[[Array, int], Array]) -> dict[str, dict[str, Any]]:
    """PSNR and SSIM by the protocol sr-y of each photo, by the network and by each of METHODS."""
    found: dict[str, dict[str, Any]] = {}
    for photo in photos:
        high = cut(read_rgb(photo.path), model.scale)
        low, row = origin(high, model.scale), {}
        for name, how in METHODS.items():
            row[name] = metrics.measure(
                halfpixel.resize_image(low, high.shape[:2], **how), high, protocol="sr-y", scale=model.scale
            )
        row["network"] = metrics.measure(models.enlarge(model, low), high, protocol="sr-y", scale=model.scale)
        found[photo.file] = row
    return found


def mean(found: dict[str, dict[str, Any]], name: str, what: str = "psnr") -> float:
    """Over photos."""
    return float(np.mean([getattr(row[name], what) for row in found.values()]))


def _table(found: dict[str, dict[str, Any]]) -> list[str]:
    names = [*METHODS, "network"]
    lines = [f"| photo | {' | '.join(names)} | over bicubic |", f"|---|{'---:|' * (len(names) + 1)}"]
    for file, row in found.items():
        each = " | ".join(f"{row[n].psnr:.2f} / {row[n].ssim:.4f}" for n in names)
        lines.append(f"| {file} | {each} | {row['network'].psnr - row['bicubic'].psnr:+.2f} |")
    each = " | ".join(f"{mean(found, n):.2f} / {mean(found, n, 'ssim'):.4f}" for n in names)
    return [*lines, f"| **mean** | {each} | **{mean(found, 'network') - mean(found, 'bicubic'):+.2f}** |"]


def _origins(model: Any, photos: Sequence[Photo]) -> tuple[list[str], list[str]]:
    lines = ["| small photos | bicubic | lanczos3 | network | over the better |", "|---|---:|---:|---:|---:|"]
    lost = []
    for said, origin in ORIGINS.items():
        found = scores(model, photos, origin)
        best = max(mean(found, name) for name in METHODS)
        gain = mean(found, "network") - best
        numbers = " | ".join(f"{mean(found, name):.2f}" for name in (*METHODS, "network"))
        lines.append(f"| {said} | {numbers} | {gain:+.2f} |")
        if gain < 0:
            lost.append(said)
    return lines, lost


def _photos(split: str) -> str:
    rows = [f"{p.file} ({p.author}, {p.licence}, in {p.package})" for p in open_photos(split)]
    return "; ".join(rows)


_CARD = """# {name}

{kind} x{scale}, {parameters} parameters, {size} KiB. One channel: BT.601 luma in studio range, over 0 to 1;
`halfpixel upscale --model` and `halfpixel.models.enlarge` enlarge the chroma by cubic interpolation.

## Training

```sh
python -m halfpixel.train.photos photos
{command}
```

Seed {seed}. The weights are averages over steps, those after step {steps}, which did best on the validation photos.

- Learned from: {train}.
- Chosen by: {validation}.

The weights are under the licence of the package (MIT).

## Scores on photos that it has not seen

{held}.

PSNR in dB and SSIM by the protocol `sr-y`: cut to a multiple of the scale, shrunk by MATLAB's bicubic, rounded to 8
bits, luma, a border of {scale} pixels left out.

{table}

## Where it loses

The gain is least on {least}. It is a small network: it sharpens edges, and invents no texture. It learned to undo one
way of shrinking; by the mean PSNR of other ways {losses}.

{origins}

`halfpixel.audit` says of it: {audit}.
"""


def card(file: Path) -> str:
    """The page of one file of weights."""
    model, (_, about) = models.load(file), read(file)
    held = open_photos("held-out")
    origins, lost = _origins(model, held)
    found = scores(model, held, next(iter(ORIGINS.values())))
    said = f"it loses to the better filter where photos were {' or '.join(lost)}" if lost else "it is ahead too"
    return _CARD.format(
        name=file.stem, kind=type(model).__name__, scale=model.scale, size=file.stat().st_size // 1024,
        parameters=sum(p.numel() for p in model.parameters()), command=about["command"], seed=about["seed"],
        steps=about["steps"], train=_photos("train"), validation=_photos("validation"), held=_photos("held-out"),
        audit=halfpixel.audit(model).verdict, table="\n".join(_table(found)), losses=said, origins="\n".join(origins),
        least=min(found, key=lambda f: found[f]["network"].psnr - found[f]["bicubic"].psnr),
    )  # fmt: skip


def ship(runs: Path) -> None:
    """Take the exported weights of runs, NAME/model.safetensors, into the package, with what their cards tell."""
    WEIGHTS.mkdir(exist_ok=True)
    for run in sorted(path.parent for path in runs.glob("*/model.safetensors")):
        _, about = read(run / "model.safetensors")
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        given = config["options"]
        command = (
            f"halfpixel train sr photos/train --validation photos/validation --model {about['model']} "
            f"--scale {given['scale']} \\\n  --patch {given['patch']} --max-steps {given['max_steps']} "
            f"--learning-rate {given['learning_rate']} --epoch-steps {given['epoch_steps']} "
            f"--seed {given['seed']} -o runs/{run.name}"
        )
        models.save(
            models.load(run / "model.safetensors"), WEIGHTS / f"{run.name}.safetensors", command=command,
            seed=given["seed"], steps=about["steps"], scores=about["scores"], licence="MIT",
        )  # fmt: skip


def main() -> None:
    """`python -m benchmarks.cards [RUNS]`."""
    if len(sys.argv) > 1:
        ship(Path(sys.argv[1]))
    for file in sorted(WEIGHTS.glob("*.safetensors")):
        text = card(file)
        file.with_suffix(".md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main()
