# SPDX-License-Identifier: MIT
"""Published checkpoints: the state dict within, the network that its keys tell, and what is wrong with it if none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import HalfpixelError, HalfpixelValueError

from ._base import Recognised, State
from ._registry import TABLE, Entry, create

_WITHIN = ("params_ema", "params", "state_dict", "model_state_dict", "model")
_BEGINS = ("module.", "model.", "net_g.", "netG.", "generator.", "network.")


def made_of(content: Any, options: dict[str, Any]) -> Any:
    """The network of a published checkpoint, with its weights.

    Raises: ValueError that tells the first keys, and what would work.
    """
    state = _state_of(content)
    for candidate in _candidates(state):
        for entry in TABLE.values():
            found = _recognised(entry, candidate)
            if found is not None:
                return _filled(entry, found, options)
    keys = list(state)
    shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
    known = ", ".join(name for name, entry in TABLE.items() if entry.task == "super-resolution")
    works = (
        f"a file that halfpixel.models.save wrote, or a published checkpoint of: {known}; other weights by "
        "create_model and load_state_dict"
    )
    raise HalfpixelValueError(f"no known network has these keys: {shown}", works)


def _recognised(entry: Entry, state: State) -> Recognised | None:
    try:
        return entry.module.recognise(state)
    except (IndexError, ZeroDivisionError):
        why = f"its keys begin as those of {entry.name}, and a weight has another number of axes, or none of a size"
        raise HalfpixelValueError(why, f"a whole checkpoint of {entry.name}") from None


def check_state(model: Any, state: Mapping[str, Tensor]) -> None:
    """Raises: ValueError where keys or shapes are not the model's."""
    wanted = model.state_dict()
    name = model.entry.name
    wrong = [
        f"{key} is {tuple(state[key].shape)} and should be {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    missing, more = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    told = [
        f"{len(keys)} keys are {what}: {_few(keys)}" for what, keys in (("missing", missing), ("unknown", more)) if keys
    ]
    if wrong:
        told.append(f"{len(wrong)} shapes differ: {wrong[0]}")
    if told:
        works = f"a whole checkpoint of {name} alone; its options here: {model.options}"
        raise HalfpixelValueError(f"it looks like {name}, but " + "; ".join(told), works)


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")


def _state_of(content: Any) -> State:
    """The tensors by name, at the top or under a usual key."""
    if not isinstance(content, Mapping):
        works = "a state dict; of a whole pickled model: torch.save(model.state_dict(), path)"
        raise HalfpixelValueError(f"it holds a {type(content).__name__}", works)
    for key in _WITHIN:
        if isinstance(content.get(key), Mapping):
            return _state_of(content[key])
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        keys = ", ".join(map(str, list(content)[:6])) or "none"
        raise HalfpixelValueError(f"it holds no tensors; its keys: {keys}", f"tensors by name, or under {_WITHIN[:3]}")
    return state


def _candidates(state: State) -> Iterator[State]:
    """The state as it is, then without a usual begin: of all keys, or of those that have it."""
    yield state
    for begin in _BEGINS:
        part = {key[len(begin) :]: value for key, value in state.items() if key.startswith(begin)}
        if part:
            yield from _candidates(part)


def _filled(entry: Entry, found: Recognised, options: dict[str, Any]) -> Any:
    told = {**found.options, **options}
    for name in ("scale", "activation"):
        if name in entry.options and name not in told:
            works = f"load(path, {name}=...), as in {entry.options[name]!r}"
            raise HalfpixelValueError(f"it is {entry.name}, and its keys do not tell the {name}", works)
    try:
        with torch.device("meta"):
            model = create(entry.name, told)
    except HalfpixelError as error:
        raise HalfpixelValueError(f"it looks like {entry.name}, but {error.why}", error.works) from None
    check_state(model, found.state)
    model = create(entry.name, told)
    model.load_state_dict(found.state)
    return model
