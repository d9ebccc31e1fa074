# SPDX-License-Identifier: MIT
"""`audit`: all checks on one subject, and the verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.modules.pooling import _AdaptiveMaxPoolNd, _MaxPoolNd

from halfpixel.errors import HalfpixelError, describe_call

from . import _geometry, _levels, _patterns
from ._limits import TABLE
from ._result import Audit, Check, flat_picture
from ._subject import Subject, kept, name_of

_WORDS = {
    "checkerboard": "makes a checkerboard", "shift": "shifts content", "border": "changes borders",
    "overshoot": "overshoots", "shift-equivariance": "depends on where things are",
}  # fmt: skip

_POOLS = ("max_pool", "max_unpool")  # of `halfpixel.upsamplers`; where indices are used, they were made


def audit(
    module: Any, *, in_channels: int | None = None, shape: Sequence[int] | None = None, scale: Any = None,
    device: Any = None,
) -> Audit:  # fmt: skip
    """Whether an upsampler, a downsampler or a network harms every image: found without data, in seconds.

    **Convention:** it is called with synthetic inputs (N, in_channels, *shape) in 0..1; pixel p of an output belongs at
    (p + 1/2) / scale - 1/2 of the input. Modules run in eval mode; their mode, gradients, buffers and torch's random
    state are afterwards what they were. Upsamplers of `halfpixel.upsamplers` that need a guide get a flat one and one
    with a step.
    Arguments:
        module: a `torch.nn.Module`, or a function of a tensor. in_channels, shape: of the input, spatial sizes; found
            from the layers, or by trying, if not given; found shapes grow until the result has an inside that borders
            do not reach. scale: output pixels per input pixel, one or one per axis; None: as the sizes say.
        device: of the probes; None: the module's.
    Returns: an `Audit`: `passed`, `verdict`, `checks`; str, `to_dict()`, `plot(path)`.
    Raises: ValueError where no probe fits; TypeError where `module` cannot be called.
    Source: polyphase sums: Sugawara, Shiota, Kiya, Super-resolution using convolutional neural networks without any
        checkerboard artifacts (2018); backward: Odena et al., Deconvolution and checkerboard artifacts (2016).
    Example:
        >>> import torch
        >>> found = audit(torch.nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1))
        >>> found.passed, found["shift"].verdict, found["flat"].verdict
        (False, 'pass', 'fail')
    """
    try:
        with kept(module):
            return _audited(Subject(module, in_channels, shape, scale, device))
    except HalfpixelError as error:
        if error.call is None:
            error.in_call(describe_call("audit", name_of(module), in_channels=in_channels, shape=shape, scale=scale))
        raise


def _audited(subject: Subject) -> Audit:
    levels = _patterns.Levels(subject)
    keeps = levels.keeps(subject)
    checks: dict[str, Check] = {}
    pictures: dict[str, Any] = {}

    def add(name: str, number: float | None, sentence: str, sure: float | None = None, verdict: str = "") -> None:
        checks[name] = _judged(subject, name, number, sentence, number if sure is None else sure, verdict)

    flat_number, flat_sentence = _worst_guide(subject, lambda: _patterns.flat(subject, levels_of(subject, levels)))
    number, sentence, _ = _patterns.polyphase(subject)
    evened = flat_number <= _limit(subject, "flat")
    if number is not None and number > TABLE["polyphase"].limit and evened:
        add("polyphase", number, f"{sentence}; what follows evens it out", verdict="warning")
    else:
        add("polyphase", number, sentence)
    add("flat", flat_number, flat_sentence)
    add("ramp", *_patterns.ramp(subject, levels))
    number, sentence, pictures["spectrum"] = _patterns.comb(subject)
    add("comb", number, sentence)
    number, sentence, pictures["gradient"] = _patterns.gradient(subject)
    if number is not None and number > TABLE["gradient"].limit and _fractional(subject):
        add("gradient", number, "input pixels have unequal shares, as most fractional scales give", verdict="warning")
    elif number is not None and number > TABLE["gradient"].limit and _pools(subject):
        said = "of a constant, input pixels have unequal shares: max pooling takes the first of equals"
        add("gradient", number, said, verdict="warning")
    else:
        add("gradient", number, sentence)
    moved = _geometry.shift(subject)
    pictures["impulse"] = moved.response
    add("shift", moved.number, moved.sentence, moved.sure)
    _level_checks(subject, levels, keeps, add, pictures)
    number, sentence = _geometry.equivariance(subject)
    if moved.varies:  # a grid that is spaced otherwise moves by other distances: one fault, said once
        add("equivariance", number, "the grid is not spaced as the scale says: see shift", verdict="not applicable")
    else:
        add("equivariance", number, sentence)
    ordered = tuple(checks[name] for name in TABLE)
    drawn = {
        name: flat_picture(p.unsqueeze(0) if name == "spectrum" else p) for name, p in pictures.items() if p is not None
    }
    return Audit(
        subject.name, subject.channels, subject.out_channels, subject.size_in, subject.size_out,
        tuple(float(s) for s in subject.scale), subject.halo, ordered, _verdict(ordered), drawn,
    )  # fmt: skip


def levels_of(subject: Subject, levels: _patterns.Levels) -> _patterns.Levels:
    """The answers to constants under the guide that is on."""
    return _patterns.Levels(subject) if subject.guide_structured else levels


def _worst_guide(subject: Subject, measured: Callable[[], Any]) -> Any:
    """The worse of the numbers under a flat guide and under one with a step."""
    found = measured()
    if not subject.guided:
        return found
    subject.guide_structured = True
    try:
        other = measured()
    finally:
        subject.guide_structured = False
    return max(found, other, key=lambda each: each[0])


def _level_checks(subject: Subject, levels: Any, keeps: bool, add: Any, pictures: dict[str, Any]) -> None:
    number, sentence, pictures["constant"] = _levels.border(subject, levels)
    if number > _limit(subject, "border") and not keeps:
        sentence += ", as zeros outside do with learned filters"
        add("border", number, sentence, verdict="warning")
    else:
        add("border", number, sentence)
    if not keeps:
        for name in ("overshoot", "noise"):
            add(name, None, "results are not in the units of inputs: constants do not stay what they are")
        return
    number, sentence, pictures["step"] = _worst_guide(subject, lambda: _levels.overshoot(subject))
    add("overshoot", number, sentence)
    add("noise", *_worst_guide(subject, lambda: _levels.beyond(subject)))


def _fractional(subject: Subject) -> bool:
    return any(s.numerator > 1 and s.denominator > 1 for s in subject.scale)


def _pools(subject: Subject) -> bool:
    """Whether there is max pooling, whose gradient at a constant says nothing of that at pictures."""
    parts = subject.module.modules() if isinstance(subject.module, torch.nn.Module) else ()
    return any(
        isinstance(part, (_MaxPoolNd, _AdaptiveMaxPoolNd))
        or getattr(getattr(part, "entry", None), "name", "") in _POOLS
        for part in parts
    )


def _limit(subject: Subject, name: str) -> float:
    row = TABLE[name]
    return row.limit + (16 * subject.rounding if row.of_level and subject.rounding > 1e-5 else 0.0)


def _judged(
    subject: Subject, name: str, number: float | None, sentence: str, sure: float | None, verdict: str
) -> Check:
    row, limit = TABLE[name], _limit(subject, name)
    if number is None or sure is None:
        verdict = "not applicable"
    elif not verdict:
        verdict = row.fault if not sure <= limit else "pass"  # NaN is a fault
    return Check(name, row.kind, row.what, number, limit, row.unit, row.reason, verdict, sentence)


def _verdict(checks: Sequence[Check]) -> str:
    """One line: what fails, then what is a warning."""
    bad = _kinds(checks, "fail")
    warned = {kind: text for kind, text in _kinds(checks, "warning").items() if kind not in bad}
    text = "; ".join(bad.values()) if bad else "no faults"
    return f"{text} (warnings: {'; '.join(warned.values())})" if warned else text


def _kinds(checks: Sequence[Check], verdict: str) -> dict[str, str]:
    found: dict[str, list[Check]] = {}
    for check in checks:
        if check.verdict == verdict:
            found.setdefault(check.kind, []).append(check)
    return {kind: f"{_WORDS[kind]}: {_told(kind, each)}" for kind, each in found.items()}


def _told(kind: str, checks: list[Check]) -> str:
    names = ", ".join(check.name for check in checks)
    return names if kind == "checkerboard" else checks[0].sentence
