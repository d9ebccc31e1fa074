# SPDX-License-Identifier: MIT
"""`LazyUpsampler`: an upsampler whose channels its first input tells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter, is_lazy

from halfpixel.errors import HalfpixelError, HalfpixelRuntimeError, HalfpixelValueError, describe_call

from ._registry import create, entry_of

# Channels that some method with some options takes: 64 and what divides by much, then small ones, as a flow's 2.
_SOME = (64, 576, *range(1, 64), 2880)


class LazyUpsampler(torch.nn.Module):
    """An upsampler of a name whose channels, and scale and axes where they are None, its first input tells.

    **Convention:** at the first call, or the first `load_state_dict`, it becomes the module that `create_upsampler`
    makes. Until then its parameters have names, dtype and device, and no shape, as those of torch's lazy modules:
    `.to()` works, counting elements and `state_dict` do not. They are the same objects before and after: optimizers
    that were made before train them. Compilers need one plain call before.
    Arguments: name: of `list_upsamplers()`, a method without guide that keeps channels. scale: None: the least whole
        one that reaches the size of the first call. dims: of the input; None: what the first input has. options: the
        upsampler's own.
    Raises: ValueError for unknown names and options, and at the first call where the method cannot take the input.
    Example:
        >>> import torch
        >>> up = LazyUpsampler("pixel_shuffle")
        >>> up(torch.zeros(1, 8, 5, 6)).shape, type(up).__name__, up.in_channels
        (torch.Size([1, 8, 10, 12]), 'PixelShuffle', 8)
    """

    def __init__(self, name: str, scale: Any = 2, dims: int | None = None, **options: Any) -> None:
        super().__init__()
        self.method, self.scale, self.dims, self.options = name, scale, dims, options
        self.mode: str | None = None
        template = self._template()
        self.integer_only = template.integer_only
        empty: Any = UninitializedParameter
        for module in template.modules():
            for key, p in module._parameters.items():
                if p is not None:
                    module._parameters[key] = empty(dtype=p.dtype)
        for held in ("_modules", "_parameters", "_buffers"):
            setattr(self, held, getattr(template, held))
        self._non_persistent_buffers_set = template._non_persistent_buffers_set

    def extra_repr(self) -> str:
        """The name and the scale."""
        return f"{self.method!r}, scale={self.scale}"

    def start_as(self, mode: str) -> str | None:
        """Have the module start as an interpolation once it is made; as `Upsampler.start_as`."""
        self.mode = mode
        why: str | None = self._template().start_as(mode)
        return why

    def forward(self, x: Tensor, size: Any = None, guide: Tensor | None = None) -> Tensor:
        """x, bigger; from then on this is another module."""
        if torch.compiler.is_compiling():
            raise HalfpixelRuntimeError("a LazyUpsampler has no channels yet", "one call of the model before")
        with torch.inference_mode(False):  # parameters made in inference mode could not be trained
            self._become(self._made(x, size), x)
        return self.forward(x, size, guide)

    def _made(self, x: Tensor, size: Any) -> Any:
        dims = x.dim() - 2
        scale = self.scale
        try:
            if self.dims not in (None, dims) or dims < 1:
                raise HalfpixelValueError(f"x has {x.dim()} dimensions", f"{(self.dims or 2) + 2}")
            if scale is None:
                each = tuple(size) if isinstance(size, (list, tuple)) else (size,) * dims
                if size is None or len(each) != dims:
                    raise HalfpixelValueError(f"the size is {size!r} and there is no scale", "size=, one per axis")
                if any(m < n for n, m in zip(x.shape[2:], each, strict=True)):
                    raise HalfpixelValueError(f"it makes {tuple(x.shape[2:])} smaller, {each}")
                scale = tuple(-(-m // n) for n, m in zip(x.shape[2:], each, strict=True))
                fits = all(s - 1 >= n * s - m for n, m, s in zip(x.shape[2:], each, scale, strict=True))
                if self.integer_only and not fits:
                    raise HalfpixelValueError(f"{self.method} takes whole scales only, not {x.shape[2:]} to {each}")
            made = create("upsampler", self.method, x.shape[1], None, scale, None, dims, self.options)
            _check_kept(made)
            return made
        except HalfpixelError as error:
            more = "swap_upsamplers with example= leaves what does not fit as it was"
            works = f"{error.works}; {more}" if error.works else more
            raise HalfpixelValueError(error.why, works, describe_call("LazyUpsampler", x, size=size)) from None

    def _template(self) -> Any:
        """The module of some channels: parameters' names do not depend on them."""
        entry = entry_of("upsampler", self.method)
        dims = self.dims or (2 if 2 in entry.dims else entry.dims[0])
        scale = 2 if self.scale is None else self.scale
        refused = []
        with torch.random.fork_rng(devices=[]):  # what is drawn here is no part of the model
            for channels in _SOME:
                try:
                    made = create("upsampler", self.method, channels, None, scale, None, dims, self.options)
                    _check_kept(made)
                    return made
                except HalfpixelError as error:
                    refused.append(error)
        raise refused[0]

    @torch.no_grad()
    def _become(self, made: Any, x: Tensor | None) -> None:
        if self.mode is not None:
            made.start_as(self.mode)
        like = next(self.parameters(), x)
        if like is not None:
            made.to(device=like.device, dtype=like.dtype if like.is_floating_point() else None)
        for key, mine in list(self.named_parameters()):
            owner, _, leaf = key.rpartition(".")
            holder = made.get_submodule(owner)
            new = holder._parameters[leaf]
            mine.materialize(new.shape)
            mine.copy_(new)
            holder._parameters[leaf] = mine
        made.train(self.training)
        kept = {name: value for name, value in self.__dict__.items() if "hook" in name}
        self.__dict__.clear()
        self.__dict__.update(made.__dict__ | kept)
        self.__class__ = type(made)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if next(self.parameters(), None) is not None:
            why = f"{prefix[:-1] or 'the model'}, a LazyUpsampler, has no weights yet"
            raise HalfpixelRuntimeError(why, "one call of the model, or load_state_dict, before state_dict")
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        names = {name for name, _ in self.named_parameters()}
        found = {n: state_dict[prefix + n] for n in names if prefix + n in state_dict}
        if names and len(found) == len(names) and not any(map(is_lazy, found.values())):
            made = self._of_shapes({n: tuple(p.shape) for n, p in found.items()})
            if made is None:
                why = "no number of channels gives these shapes" if self.scale is not None else "the scale is unknown"
                rest[-1].append(f"{prefix[:-1]}, a LazyUpsampler: {why}; call the model once before load_state_dict")
            else:
                with torch.inference_mode(False):
                    self._become(made, None)
        torch.nn.Module._load_from_state_dict(self, state_dict, prefix, *rest)  # of the class that it is by now

    def _of_shapes(self, shapes: dict[str, tuple[int, ...]]) -> Any:
        """The module whose parameters have these shapes; None where there is none."""
        if self.scale is None:
            return None
        entry = entry_of("upsampler", self.method)
        total = sum(torch.Size(shape).numel() for shape in shapes.values())
        numbers = {n for shape in shapes.values() for n in shape[:2]}
        for dims in (self.dims,) if self.dims else entry.dims:
            block = entry.shape(1, 1, self.scale, None, dims).block if self.integer_only else 1
            for channels in sorted(numbers | {n * block for n in numbers}):
                try:
                    if entry.parameters(channels, None, self.scale, None, dims, **self.options) != total:
                        continue
                    made = create("upsampler", self.method, channels, None, self.scale, None, dims, self.options)
                except HalfpixelError:
                    continue
                if {n: tuple(p.shape) for n, p in made.named_parameters()} == shapes:
                    return made
        return None


def _check_kept(made: Any) -> None:
    if made.out_channels != made.in_channels:
        raise HalfpixelValueError(f"{made.entry.name} makes {made.out_channels} channels of {made.in_channels}")
