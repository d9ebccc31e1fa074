# SPDX-License-Identifier: MIT
"""Weights in and out of files: ours, which say what they are, and published ones, whose keys do."""

from __future__ import annotations

import json
import os
import pickle
import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from halfpixel.errors import (
    HalfpixelError,
    HalfpixelRuntimeError,
    HalfpixelTypeError,
    HalfpixelValueError,
    describe_call,
)

from ._base import Network, State
from ._recognise import made_of
from ._registry import create

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
WEIGHTS = Path(__file__).parent / "weights"
_Path = str | os.PathLike[str]


def load(path: _Path, **options: Any) -> Any:
    """A network with its weights, in eval mode, from a file or from the weights that the package ships.

    **Convention:** a file that `save` wrote says what network it holds. Any other is recognised by its keys and shapes:
    published checkpoints of ESPCN, FSRCNN, EDSR, SRVGGNetCompact and RRDBNet, under 'params_ema', 'params',
    'state_dict' or at the top, with or without a begin such as 'module.' or 'net_g.'. Pickles are read by torch's
    `weights_only`: code in them never runs. Weights become float32.
    Arguments: path: a .safetensors, .pth, .pt or .ckpt file, or a name of `list_weights()`. options: the network's,
        where the keys cannot tell: FSRCNN's scale, SRVGG's activation, EDSR's res_scale (else 0.1 from 256 channels
        on, 1 below) and img_range (else 255).
    Returns: the network on the CPU.
    Raises: FileNotFoundError; ValueError for what is no checkpoint, is cut short, or has keys that are unknown, too
        many or too few: with the path, what was found, and what would work. RuntimeError where safetensors is missing.
    Source: the file formats of safetensors and torch.
    Example:
        >>> import torch
        >>> from halfpixel import models
        >>> save(models.create_model("espcn", scale=2), "espcn.safetensors")
        >>> load("espcn.safetensors")(torch.zeros(1, 1, 4, 5)).shape
        torch.Size([1, 1, 8, 10])
    """
    try:
        file = _found(path)
        state, metadata = read(file)
        model = _ours(state, metadata, options) if "model" in metadata else made_of(state, options)
        return model.eval()
    except HalfpixelError as error:
        raise error.in_call(_named("load", str(path), **options)) from None


def save(model: Any, path: _Path, **metadata: Any) -> None:
    """Write a network of this package: weights, and what makes it again.

    **Convention:** safetensors with metadata `model`, its name, `options`, JSON, and what else is given, as text. The
    file appears whole or not at all, in place of one that was there.
    Arguments: model: a network of `create_model`. path: ends with .safetensors. metadata: more texts, by name.
    Raises: TypeError for other modules; ValueError for other endings and for names that are taken; RuntimeError where
        safetensors is missing.
    Source: the file format of safetensors.
    Example:
        >>> from halfpixel import models
        >>> save(models.create_model("fsrcnn", scale=3), "fsrcnn.safetensors", note="not trained")
        >>> load("fsrcnn.safetensors").scale
        3
    """
    try:
        _write(model, Path(path), metadata)
    except HalfpixelError as error:
        raise error.in_call(_named("save", str(path), **metadata)) from None


def list_weights() -> tuple[str, ...]:
    """The names of the weights that the package ships.

    Returns: names that `load` takes, sorted.
    Example:
        >>> isinstance(list_weights(), tuple)
        True
    """
    return tuple(sorted(file.stem for file in WEIGHTS.glob("*.safetensors")))


def read(file: Path) -> tuple[Any, dict[str, str]]:
    """What a file holds, and its metadata.

    Raises: ValueError where it cannot be read.
    """
    if file.suffix.lower() == ".safetensors":
        return _read_safetensors(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that fail below all the same
            return torch.load(file, map_location="cpu", weights_only=True), {}
    except Exception as error:  # zip, pickle, struct and runtime errors, by what is broken
        works = "a whole checkpoint of tensors, numbers and texts; other objects are not loaded, as loading runs code"
        why = f"it is no checkpoint that can be read safely: {_unread(error)}"
        raise HalfpixelValueError(why, works) from None


def _unread(error: Exception) -> str:
    """What is wrong with a pickle or zip; torch's own advice to run its code is left out."""
    text = str(error)
    if named := _GLOBAL.search(text):
        return f"it holds {named[1]}, which is code or an object"
    if isinstance(error, pickle.UnpicklingError) or not text.strip() or text.strip().isdigit():
        return "it is damaged, or no checkpoint at all"
    return text.strip().partition("\n")[0]


def _read_safetensors(file: Path) -> tuple[State, dict[str, str]]:
    safe_open = _safetensors().safe_open
    try:
        with safe_open(str(file), framework="pt") as tensors:
            return {key: tensors.get_tensor(key) for key in tensors.keys()}, tensors.metadata() or {}  # noqa: SIM118
    except Exception as error:  # its own class is no subclass of a common one
        raise HalfpixelValueError(f"it is no whole safetensors file: {error}", "the file, copied anew") from None


def _named(call: str, path: str, **options: Any) -> str:
    """The call with the whole path, however long."""
    return describe_call(call, **options).replace("(", f"({path!r}{', ' if options else ''}", 1)


def _found(path: _Path) -> Path:
    file = Path(path)
    if file.is_file():
        return file
    if str(path) in list_weights():
        return WEIGHTS / f"{path}.safetensors"
    if file.is_dir():
        raise _NoFile(f"{str(path)!r} is a folder", "a file in it")
    names = ", ".join(list_weights()) or "none"
    raise _NoFile(f"there is no file {str(path)!r}", f"a path that exists, or a name of shipped weights: {names}")


class _NoFile(HalfpixelValueError, FileNotFoundError):
    """No file of this path, and no weights of this name."""


def _ours(state: State, metadata: Mapping[str, str], options: dict[str, Any]) -> Any:
    try:
        kept = dict(json.loads(metadata.get("options", "{}")))
    except (TypeError, ValueError):
        why = f"its options are no JSON: {metadata['options']}"
        raise HalfpixelValueError(why, "a file that save wrote") from None
    differ = {k: v for k, v in options.items() if kept.get(k, v) != v or k not in kept}
    if differ:
        raise HalfpixelValueError(f"the file says {kept}, the call {differ}", "the call without options")
    model = create(metadata["model"], kept)
    return filled(model, state)


def filled(model: Any, state: State) -> Any:
    """The model with these weights.

    Raises: ValueError where keys or shapes differ.
    """
    from ._recognise import check_state

    check_state(model, state)
    model.load_state_dict(state)
    return model


def _write(model: Any, path: Path, metadata: dict[str, Any]) -> None:
    if not isinstance(model, Network):
        raise HalfpixelTypeError(f"a {type(model).__name__} is no network of this package", "one of create_model")
    if path.suffix != ".safetensors":
        raise HalfpixelValueError(f"the path ends with {path.suffix!r}", "a path that ends with .safetensors")
    if taken := {"model", "options"} & set(metadata):
        raise HalfpixelValueError(f"the metadata {sorted(taken)} are the network's own", "other names")
    tensors = {key: _plain(value) for key, value in model.state_dict().items()}
    about = {k: str(v) for k, v in metadata.items()}
    about |= {"model": model.entry.name, "options": json.dumps(model.options)}
    save_file = _safetensors().torch.save_file
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}", suffix=".safetensors")
    os.close(handle)
    try:
        save_file(tensors, temporary, about)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ModuleNotFoundError:
        raise HalfpixelRuntimeError("safetensors is not installed", 'pip install "halfpixel[models]"') from None
    return safetensors
