# SPDX-License-Identifier: MIT
"""The three things that `eval` does, from files to tables and closing lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from halfpixel import metrics
from halfpixel.cli import _scores, _trials
from halfpixel.cli._matching import Match, matches
from halfpixel.cli._paths import Found, expanded
from halfpixel.cli._report import Report
from halfpixel.cli._run import INTERRUPTED
from halfpixel.cli._scores import Line
from halfpixel.metrics._quality import plain

_HEADS = {"psnr": "PSNR, dB", "ssim": "SSIM", "miou": "mIoU", "dice": "Dice", "boundary_iou": "Boundary IoU"}
_HEADS["accuracy"] = "accuracy"
_FORMATS = {"psnr": ".2f"}
_MOST_CLASSES, _MOST_NOTES = 40, 10  # that are shown


@dataclass(frozen=True)
class Paired:
    """Images and references; ``unused`` are references that no image belongs to, ``missed`` those that should have one.

    A folder of references is a data set where a folder or a glob of images is evaluated: each needs its image.
    """

    made: list[Match]
    unused: list[str]
    missed: list[Match]

    @classmethod
    def of(cls, images: Sequence[str], references: Sequence[str], suffix: str) -> Paired:
        """Find the files that are meant and their pairs; what is wrong with a reference is a failure too."""
        found, there = list(expanded(images)), list(expanded(references))
        alone = [one.source for one in found] == [*images] and [one.source for one in there] == [*references]
        made, unused = matches(found, there, suffix, alone)
        missed = [Match(one.source, problem=one.problem) for one in there if one.problem]
        if any(one.source not in images for one in found):
            missed += [Match(one, problem="no image has its name") for one in unused]
            unused = []
        return cls(made, unused, missed)


def images(paired: Paired, yardstick: _trials.Yardstick, jobs: int, report: Report, json: bool) -> int:
    """Images against references: returns the exit status."""
    items = [*paired.made, *paired.missed]
    lines = _scores.run(items, lambda match: [_trials.pair(match, yardstick)], jobs, report)
    if lines is None:
        return INTERRUPTED
    done = _scores.done(lines)
    means = {"mean": _scores.mean(done)} if done else {}
    about = _about(yardstick)
    if json:
        _say_means(report, done, means)
    elif done:
        rows = [(line.input, line.scores) for line in done]
        _print(f"{_images(done)}, {about['text']}", "image", rows, means)
        _print_notes(done, paired.unused)
    return report.finish(**about["fields"], unused=paired.unused)


def labels(paired: Paired, classes: tuple[Any, Any, float], jobs: int, report: Report, json: bool) -> int:
    """Label maps against references: returns the exit status."""
    count, ignored, ratio = classes
    seen, edges = metrics.Confusion(count, ignored), metrics.Boundaries(count, ignored, ratio)
    counted: list[tuple[metrics.Confusion, metrics.Boundaries]] = []

    def work(match: Match) -> list[Line]:
        fresh = metrics.Confusion(count, ignored), metrics.Boundaries(count, ignored, ratio)
        line = _trials.label_pair(match, *fresh)
        if line.error is None:
            counted.append(fresh)
        return [line]

    lines = _scores.run([*paired.made, *paired.missed], work, jobs, report)
    if lines is None:
        return INTERRUPTED
    for one, its_edges in counted:
        seen.merge(one)
        edges.merge(its_edges)
    done = _scores.done(lines)
    means = {"mean of images": _scores.mean(done), "data set": _trials.overlaps(seen, edges)} if done else {}
    by_class = _by_class(seen, edges)
    if json and done:
        _say_means(report, done, {"mean": means["mean of images"]})
        report.line(
            {"event": "dataset", "images": len(done), **_scores.numbers(means["data set"]), "classes": by_class}
        )
    elif done:
        _print(f"{_images(done)}, {count} classes", "image", [(line.input, line.scores) for line in done], means)
        _print_classes(by_class)
        _print_notes(done, paired.unused)
    return report.finish(classes=count, ignore_index=ignored, dilation_ratio=ratio, unused=paired.unused)


def methods(
    found: Sequence[Found], names: Sequence[str], models: Sequence[str], yardstick: _trials.Yardstick, jobs: int,
    report: Report, json: bool,
) -> int:  # fmt: skip
    """Originals shrunk and enlarged by methods and networks: returns the exit status."""
    scale = yardstick.scale or 1
    chosen = _trials.enlargers(names, models, scale)
    work = partial(_trials.trial, chosen=chosen, yardstick=yardstick, scale=scale)
    # One network at a time: its own threads fill the machine, and two need twice the memory.
    lines = _scores.run(found, work, 1 if models else jobs, report)
    if lines is None:
        return INTERRUPTED
    done = _scores.done(lines)
    grouped = {name: [line for line in done if line.method == name] for name in chosen}
    means = {name: _scores.mean(group) for name, group in grouped.items() if group}
    about = _about(yardstick)
    if json:
        for name, mean in means.items():
            _say_means(report, grouped[name], {name: mean}, method=name)
    elif means:
        counts = {len(group) for group in grouped.values()}
        title = f"{_images(grouped[next(iter(means))])}, shrunk {scale} times by {_trials.SHRINK}, {about['text']}"
        _print(title, "method", list(means.items()), {}, best=True)
        if len(counts) > 1:
            text = ", ".join(f"{name} {len(group)}" for name, group in grouped.items())
            Console(highlight=False).print(f"[yellow]note:[/] means of different images: {escape(text)}")
        _print_notes(grouped[next(iter(means))], [])
    return report.finish(**about["fields"], shrink=_trials.SHRINK)


def _about(yardstick: _trials.Yardstick) -> dict[str, Any]:
    """How it was measured, in words and as fields of the closing line."""
    border, protocol = yardstick.border, yardstick.protocol
    text = (protocol.name if protocol else "plain") + (f", {border} pixels of border left out" if border else "")
    fields = {"protocol": protocol.name if protocol else "plain", "scale": yardstick.scale, "crop": border}
    return {"text": text, "fields": fields}


def _images(done: Sequence[Line]) -> str:
    return f"{len(done)} image{'s' * (len(done) != 1)}"


def _say_means(report: Report, done: Sequence[Line], means: dict[str, dict[str, float]], **more: Any) -> None:
    for mean in means.values():
        same = {"identical": sum(line.scores["psnr"] == math.inf for line in done)} if "psnr" in mean else {}
        report.line({"event": "mean", **more, "images": len(done), **same, **_scores.numbers(mean)})


def _by_class(seen: metrics.Confusion, edges: metrics.Boundaries) -> list[dict[str, Any]]:
    columns = {"iou": seen.miou(), "dice": seen.dice(), "boundary_iou": edges.boundary_iou()}
    return [
        {"class": index, **{name: plain(round(column.per_class[index], 6)) for name, column in columns.items()}}
        for index in range(seen.classes)
    ]


def _table(first: str, heads: Sequence[str]) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column(first, style="cyan", overflow="fold")
    for head in heads:
        drawn.add_column(head, justify="right", no_wrap=True)
    return drawn


def _print(
    title: str, first: str, rows: Sequence[tuple[str, Any]], means: dict[str, dict[str, float]], best: bool = False
) -> None:
    names = list(rows[0][1])
    drawn = _table(first, [_HEADS[name] for name in names])
    top = {name: max(scores[name] for _, scores in rows) if best and len(rows) > 1 else None for name in names}
    for label, scores in rows:
        drawn.add_row(escape(label), *(_cell(name, scores[name], scores[name] == top[name]) for name in names))
    for label, scores in means.items():
        drawn.add_row(f"[bold]{label}[/]", *(f"[bold]{_cell(name, scores[name])}[/]" for name in names))
    console = Console(highlight=False)
    console.print(f"[bold]{escape(title)}[/]\n", soft_wrap=True)
    console.print(drawn)


def _cell(name: str, value: float, good: bool = False) -> str:
    text = "-" if math.isnan(value) else f"{value:{_FORMATS.get(name, '.4f')}}"
    return f"[bold green]{text}[/]" if good else text


def _print_classes(by_class: Sequence[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if len(by_class) > _MOST_CLASSES:
        console.print(f"\n{len(by_class)} classes: their scores are in --json")
        return
    names = [name for name in by_class[0] if name != "class"]
    drawn = _table("class", ["IoU", "Dice", "Boundary IoU"])
    for row in by_class:
        drawn.add_row(str(row["class"]), *(_cell(name, math.nan if row[name] is None else row[name]) for name in names))
    console.print()
    console.print(drawn)


def _print_notes(done: Sequence[Line], unused: Sequence[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    notes = [f"{line.input}: {note}" for line in done for note in line.notes]
    for note in notes[:_MOST_NOTES]:
        console.print(f"[yellow]note:[/] {escape(note)}")
    if len(notes) > _MOST_NOTES:
        console.print(f"[yellow]note:[/] {len(notes) - _MOST_NOTES} more are in --json")
    for name in unused:
        console.print(f"[yellow]note:[/] no image belongs to {escape(name)}")
