# SPDX-License-Identifier: MIT
"""Batches of patches: which sample is cut where follows from its number alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from halfpixel.train._draws import below, draws, order

Array = npt.NDArray[Any]
Layers = tuple[Array, ...]
"""One picture as the layers that are cut together: (low, high), (image, mask) or (image,)."""

_AHEAD = 2  # batches that a thread prepares while the device works on one


class Patches:
    """Square patches of pictures, turned and mirrored; sample number k is the same on every machine.

    **Convention:** every picture is used once in each turn of len(pictures) samples, in an order drawn for that turn.
    Layer i is HW or HWC and `scales[i]` times as large as layer 0, in which `patch` counts pixels; the patches of all
    layers show the same place.
    Arguments: pictures: their layers. names, scales: of the layers. patch: side. seed. augment: flip and turn by 90.
    Example:
        >>> cut = Patches([(np.zeros((9, 8, 3), np.uint8),)], ("image",), (1,), patch=4)
        >>> cut.batch(range(5))["image"].shape
        torch.Size([5, 4, 4, 3])
    """

    def __init__(
        self, pictures: Sequence[Layers], names: Sequence[str], scales: Sequence[int], *, patch: int, seed: int = 0,
        augment: bool = True,
    ) -> None:  # fmt: skip
        self.pictures, self.names, self.scales = pictures, tuple(names), tuple(scales)
        self.patch, self.seed, self.augment = patch, seed, augment
        self._turn, self._order = -1, np.zeros(0, np.int64)

    def batch(self, samples: Sequence[int]) -> dict[str, torch.Tensor]:
        """The samples with these numbers: a tensor (len(samples), side, side, ...) per layer, of the layer's dtype."""
        random = draws(self.seed, samples, 3)
        chosen = [self.pictures[self._picture(k)] for k in samples]
        sizes = np.array([layers[0].shape[:2] for layers in chosen])
        corners = below(random[:, :2], sizes - (self.patch - 1))
        turns = below(random[:, 2], 8) if self.augment else np.zeros(len(chosen), np.int64)
        where = list(zip(corners.tolist(), turns.tolist(), strict=True))
        return {
            name: self._cut([layers[i] for layers in chosen], where, scale)
            for i, (name, scale) in enumerate(zip(self.names, self.scales, strict=True))
        }

    def _picture(self, sample: int) -> int:
        turn, place = divmod(sample, len(self.pictures))
        if turn != self._turn:
            self._turn, self._order = turn, order(self.seed, turn, len(self.pictures))
        return int(self._order[place])

    def _cut(self, layers: list[Array], where: list[Any], scale: int) -> torch.Tensor:
        side = self.patch * scale
        out = np.empty((len(layers), side, side, *layers[0].shape[2:]), layers[0].dtype)
        for row, a, ((top, left), turn) in zip(out, layers, where, strict=True):
            place = a[top * scale : top * scale + side, left * scale : left * scale + side]
            beside = place.ndim == 3 and place.strides[2] == place.itemsize  # not so in STL10's files
            to, pixels = (whole_pixels(row), whole_pixels(place)) if beside else (row, place)
            to[...] = turned(pixels, turn)
        return torch.from_numpy(out)


def whole_pixels(a: Array) -> Array:
    """A view of (H, W, channels) as (H, W) of all channels' bytes: where rows are turned, copied twice as fast.

    Example:
        >>> whole_pixels(np.zeros((4, 5, 3), np.uint8)).dtype.itemsize
        3
    """
    return a.view(f"V{a.shape[2] * a.itemsize}")[..., 0]


def turned(a: Array, turn: int) -> Array:
    """One of the eight symmetries of the square, as a view: bit 0 flips rows, bit 1 columns, bit 2 exchanges them.

    Example:
        >>> turned(np.array([[1, 2], [3, 4]]), 3).tolist()
        [[4, 3], [2, 1]]
    """
    a = a[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return a.swapaxes(0, 1) if turn & 4 else a


class PatchLoader:
    """An endless run of batches in epochs of `steps`, for Lightning; it can be put back to any place.

    **Convention:** batch number b of process `rank` of `world` holds the samples from (b * world + rank) * batch_size
    on. `state_dict()` says how many batches were handed out. `ahead`: a thread prepares those to come, which changes
    nothing but the time: beside a GPU it saves some, on the CPU it would take its cores from the step.
    Example:
        >>> cut = Patches([(np.zeros((9, 8, 3), np.uint8),)], ("image",), (1,), patch=4)
        >>> [batch["image"].shape[0] for batch in PatchLoader(cut, batch_size=2, steps=3)]
        [2, 2, 2]
    """

    def __init__(
        self, patches: Patches, *, batch_size: int, steps: int, rank: int = 0, world: int = 1,
        pin: bool = False, ahead: bool = False,
    ) -> None:  # fmt: skip
        self.patches, self.batch_size, self.steps = patches, batch_size, steps
        self.rank, self.world, self.pin, self.ahead = rank, world, pin, ahead
        self._handed = 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """The batches up to the end of the epoch that the loader stands in."""
        # Lightning puts the state back between iter() and the first next(): nothing is read before that.
        end = (self._handed // self.steps + 1) * self.steps
        coming = range(self._handed, end)
        for batch in self._ahead(coming) if self.ahead else map(self._batch, coming):
            self._handed += 1
            yield batch

    def _ahead(self, numbers: range) -> Iterator[dict[str, torch.Tensor]]:
        """These batches, prepared by a thread while others are worked on."""
        coming = iter(numbers)
        with ThreadPoolExecutor(1, "halfpixel-patches") as thread:
            ready = deque(thread.submit(self._batch, b) for b in islice(coming, _AHEAD))
            while ready:
                batch = ready.popleft().result()
                ready.extend(thread.submit(self._batch, b) for b in islice(coming, 1))
                yield batch

    def _batch(self, b: int) -> dict[str, torch.Tensor]:
        first = (b * self.world + self.rank) * self.batch_size
        batch = self.patches.batch(range(first, first + self.batch_size))
        return {name: tensor.pin_memory() for name, tensor in batch.items()} if self.pin else batch

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"handed": self._handed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state_dict` was taken."""
        self._handed = int(state["handed"])


class WholeLoader:
    """Whole pictures, one a batch, shared out among the processes.

    Example:
        >>> batch = next(iter(WholeLoader([(np.zeros((9, 8, 3), np.uint8),)], ("image",), ["a.png"])))
        >>> batch["image"].shape, batch["name"]
        (torch.Size([1, 9, 8, 3]), 'a.png')
    """

    def __init__(
        self, pictures: Sequence[Layers], layers: Sequence[str], names: Sequence[str], *, rank: int = 0, world: int = 1
    ) -> None:
        self.pictures, self.layers, self.names = pictures[rank::world], tuple(layers), names[rank::world]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for name, picture in zip(self.names, self.pictures, strict=True):
            tensors = (torch.from_numpy(np.array(a))[None] for a in picture)
            yield {"name": name, **dict(zip(self.layers, tensors, strict=True))}
