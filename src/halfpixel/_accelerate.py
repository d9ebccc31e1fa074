# SPDX-License-Identifier: MIT
"""`accelerate`: torch's own upsampling on this package's kernels."""

from __future__ import annotations

from types import TracebackType

from .backends import cpu, eager


class Acceleration:
    """What `accelerate` returns: leaving it as a context restores what was before."""

    def __init__(self, before: bool) -> None:
        self._before = before

    def __enter__(self) -> Acceleration:  # noqa: PYI034 (Self is of Python 3.11)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _switch(self._before)

    def __repr__(self) -> str:
        return f"<torch's upsampling operators are {'' if accelerated() else 'not '}replaced>"


def accelerate(on: bool = True) -> Acceleration:
    """Put this package's kernels behind torch's own upsampling operators, for CPU tensors, in this process.

    **Convention:** `torch.nn.functional.interpolate`, `Upsample`, pixel and channel shuffle, adaptive average pooling
    and their gradients give what `halfpixel.nn.functional` gives; code that calls them needs no change. Inputs that our
    kernels do not take go to torch's own. Functions that torch.compile has compiled do not call these operators;
    `halfpixel.nn.convert` serves those.
    Arguments: on: False puts torch's own kernels back.
    Returns: a context manager, whose end restores what was before the call.
    Raises: RuntimeError where the compiled kernels are absent, ImportError without torch.
    Example:
        >>> import torch
        >>> with accelerate():
        ...     y = torch.nn.functional.interpolate(torch.ones(1, 1, 2, 2), scale_factor=2, mode="bilinear")
        >>> y.shape
        torch.Size([1, 1, 4, 4])
    """
    before = accelerated()
    _switch(on)
    return Acceleration(before)


def accelerated() -> bool:
    """Whether torch's operators are replaced now."""
    from .nn import _accelerate

    return _accelerate.installed()


def replaceable() -> tuple[str, ...]:
    """The operators of ATen that `accelerate` replaces in the torch installed; none without torch or kernels."""
    if eager.why_not() is not None or cpu.why_not() is not None:
        return ()
    from .nn import _accelerate

    return _accelerate.replaced()


def _switch(on: bool) -> None:
    from .nn import _accelerate

    (_accelerate.install if on else _accelerate.remove)()
