# SPDX-License-Identifier: MIT
"""Patches by number: the same for any batching, aligned, and what every symmetry promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfpixel.train._draws import below, draws, order
from halfpixel.train._patches import Patches, PatchLoader, WholeLoader, turned


def marked(height: int, width: int, scale: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose samples say where they are, (number, row, column), and the same at `scale` times the size."""
    y, x = np.mgrid[:height, :width]
    low = np.stack([np.full_like(y, number), y, x], -1).astype(np.uint8)
    return low, low.repeat(scale, 0).repeat(scale, 1)


def patches(scale: int = 2, seed: int = 0, patch: int = 5, **options) -> Patches:
    pictures = [marked(7 + i, 11 - i, scale, i) for i in range(3)]
    return Patches(pictures, ("low", "high"), (1, scale), patch=patch, seed=seed, **options)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_both_layers_show_the_same_place_the_same_way_round(scale):
    batch = patches(scale).batch(range(60))
    low, high = batch["low"].numpy(), batch["high"].numpy()
    assert low.shape == (60, 5, 5, 3) and high.shape == (60, 5 * scale, 5 * scale, 3)
    np.testing.assert_array_equal(low.repeat(scale, 1).repeat(scale, 2), high)


def test_a_patch_is_a_window_turned_one_of_eight_ways_and_all_ways_and_places_occur():
    cut, seen = patches().batch(range(900))["low"].numpy(), set()
    for patch in cut:
        number = patch[0, 0, 0]
        rows, columns = patch[..., 1], patch[..., 2]
        top, left = rows.min(), columns.min()
        original = marked(7 + number, 11 - number, 1, number)[0][top : top + 5, left : left + 5]
        (way,) = [t for t in range(8) if np.array_equal(turned(original, t), patch)]
        seen.add((int(number), int(top), int(left), way))
    places = {(n, t, c) for n in range(3) for t in range(7 + n - 4) for c in range(11 - n - 4)}
    assert {s[:3] for s in seen} == places
    assert {s[3] for s in seen} == set(range(8))


def test_without_augmentation_nothing_is_turned():
    batch = patches(augment=False).batch(range(30))["low"].numpy()
    assert (np.diff(batch[..., 1].astype(int), axis=1) == 1).all()
    assert (np.diff(batch[..., 2].astype(int), axis=2) == 1).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63), st.lists(st.integers(0, 10**9), min_size=1, max_size=9))
def test_a_sample_does_not_depend_on_its_batch(seed, samples):
    together = patches(seed=seed).batch(samples)
    for i, k in enumerate(samples):
        alone = patches(seed=seed).batch([k])
        assert all((together[name][i] == alone[name][0]).all() for name in together)


def test_every_picture_is_used_once_in_each_turn_and_orders_differ():
    numbers = patches().batch(range(30))["low"][:, 0, 0, 0].reshape(10, 3).tolist()
    assert all(sorted(turn) == [0, 1, 2] for turn in numbers)
    assert len({tuple(turn) for turn in numbers}) > 2


def test_the_numbers_are_fixed_for_good():
    # Weights that ship can be made again only while these stay: they are a promise, not a measurement.
    assert draws(0, [0, 1], 2).tolist() == draws(0, [0, 1], 3)[:, :2].tolist()
    assert draws(1, [2], 3).tolist() == [[11446999876264359965, 9047282882916087253, 8566811186491711777]]
    assert order(3, 1, 7).tolist() == [5, 0, 2, 4, 3, 1, 6]


def splitmix(x: int) -> int:
    """The finaliser with Python's integers."""
    mask = (1 << 64) - 1
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(1, 4))
def test_draws_are_splitmix_of_seed_sample_and_place(seed, sample, place):
    step, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    row = splitmix((sample * step + splitmix((seed + step) & mask)) & mask)
    assert int(draws(seed, [sample], 4)[0, place - 1]) == splitmix((row + place * step) & mask)


def test_draws_are_spread_evenly():
    values = below(draws(5, np.arange(60000), 1)[:, 0], 6)
    assert values.min() == 0 and values.max() == 5
    assert np.abs(np.bincount(values) - 10000).max() < 400  # four standard deviations


def loader(**options) -> PatchLoader:
    return PatchLoader(patches(), **{"batch_size": 4, "steps": 5, **options})


def lows(batches) -> list:
    return [batch["low"].tolist() for batch in batches]


def test_an_epoch_has_as_many_batches_as_it_says_and_the_next_goes_on():
    run = loader()
    first, second = lows(run), lows(run)
    assert len(first) == len(second) == len(run) == 5
    assert first + second == [patches().batch(range(4 * b, 4 * b + 4))["low"].tolist() for b in range(10)]


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 4, 5, 7, 9])
def test_a_loader_that_is_put_back_goes_on_with_the_next_batch(stop, ahead):
    whole = list(itertools.islice(itertools.chain.from_iterable(lows(run) for run in [loader(steps=10)]), 10))
    begun = loader(ahead=ahead)
    taken, batches = 0, iter(())
    while taken < stop:
        batches = iter(begun) if taken % 5 == 0 else batches
        next(batches)
        taken += 1
    after = loader(ahead=ahead)
    after.load_state_dict(begun.state_dict())
    assert lows(after) == whole[stop : (stop // 5 + 1) * 5]


def test_processes_share_out_the_samples_of_one():
    alone = lows(loader(batch_size=6))
    shares = [lows(loader(batch_size=2, rank=rank, world=3)) for rank in range(3)]
    assert [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)] == alone


def test_an_error_in_the_thread_that_prepares_is_raised():
    broken = loader(ahead=True)
    broken.patches.pictures = []
    with pytest.raises(ZeroDivisionError):
        next(iter(broken))


def test_whole_pictures_are_shared_out_and_none_is_lost():
    pictures = [marked(4, 5 + i, 2, i) for i in range(5)]
    names = [f"{i}.png" for i in range(5)]
    parts = [list(WholeLoader(pictures, ("low", "high"), names, rank=rank, world=2)) for rank in range(2)]
    assert [[batch["name"] for batch in part] for part in parts] == [["0.png", "2.png", "4.png"], ["1.png", "3.png"]]
    assert parts[1][1]["high"].shape == (1, 8, 16, 3)


def test_pictures_whose_channels_lie_apart_are_cut_the_same_way():
    pictures = [marked(7 + i, 11 - i, 1, i)[:1] for i in range(3)]
    apart = [(np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1),) for (a,) in pictures]
    assert apart[0][0].strides[2] != 1
    one, other = (Patches(p, ("low",), (1,), patch=5).batch(range(40))["low"] for p in (pictures, apart))
    assert (one == other).all()


def test_making_a_batch_costs_less_than_a_tenth_of_the_step(photos):
    """Time of this process alone, on one thread: what stands beside it on the machine does not count."""
    import time

    import torch

    from halfpixel.train import SuperResolutionData, SuperResolutionTask

    data = SuperResolutionData(photos, patch=48, batch_size=16)
    data.setup()
    task = SuperResolutionTask("espcn")
    optimizer = torch.optim.Adam(task.parameters())
    batch = data.patches.batch(range(16))

    def step() -> None:
        loss, _ = task.step(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def seconds(work, count: int) -> float:
        found = []
        for _ in range(count):
            begin = time.process_time()
            work()
            found.append(time.process_time() - begin)
        return min(found)

    assert seconds(lambda: data.patches.batch(range(16)), 20) < seconds(step, 4) / 10
