# SPDX-License-Identifier: MIT
"""What a run writes down, and the check that a results file holds exactly that."""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

RESULTS = Path(__file__).parent / "results"
T = TypeVar("T")
_NEWER = {"newer": True}  # a file from before the field is read as one without


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call: median and inter-quartile range over `samples` samples."""

    median_ms: float
    iqr_ms: float
    samples: int


@dataclass(frozen=True)
class Row:
    """One case: ours, the peers and the floor, all from the same loop."""

    id: str
    bytes_in: int
    bytes_out: int
    error: float  # ours against the float64 definition, in units of the output (levels for integers)
    ours: dict[str, Timing]  # fresh, out, out_one_thread, base (with --base)
    floor: dict[str, Timing]  # read, write, write_fresh
    peers: dict[str, Timing] = field(default_factory=dict)
    peer_error: dict[str, float] = field(default_factory=dict)  # a peer against the same definition
    left_out: dict[str, str] = field(default_factory=dict)  # peer -> why it was not timed


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak of one resize, beyond what the process held with its input and one warm call."""

    id: str
    bytes_in: int
    bytes_out: int
    extra: int  # peak - before - bytes_out


@dataclass(frozen=True)
class Fused:
    """Labels out of logits: ours in one pass, torch's interpolate and then argmax."""

    id: str
    ours: Timing
    torch: Timing
    extra: int  # bytes at the peak of ours, as in Memory
    torch_extra: int


@dataclass(frozen=True)
class Pair:
    """One call through torch tensors: ours, torch's and the floor, all from the same loop."""

    id: str
    group: str
    bytes_in: int
    bytes_out: int
    flops: int  # 0 where bytes say more
    error: float  # ours against torch, relative to torch's largest value where that is above 1
    ours: dict[str, Timing]  # functional and accelerate (torch's call under it), or the layouts
    torch: dict[str, Timing]  # torch, or the layouts
    floor: dict[str, Timing]  # read, write, write_fresh, write_tensor; clone, forward
    extra: int = field(default=-1, metadata=_NEWER)  # bytes at the peak, as in Memory; -1: not measured


@dataclass(frozen=True)
class Measure:
    """One promise of the networks, by group: training and tiles in ms, memory in MiB, quality in dB.

    ratio is ours / reference, at most the target; of quality it is ours - reference, at least the target.
    """

    id: str
    group: str
    unit: str
    ours: float
    reference: float
    ratio: float
    target: float
    reached: bool
    beside: dict[str, float] = field(default_factory=dict)  # inter-quartile ranges, the halo's share, other methods


@dataclass(frozen=True)
class Machine:
    """Where and with what the figures were taken."""

    name: str
    cpu: str
    cores: int
    isa: str
    os: str
    python: str
    threads: int
    commit: str
    huge_pages: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Results:
    """One results file."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    sweep: list[Row] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    calls: dict[str, Timing] = field(default_factory=dict)
    alternate: dict[str, Timing] = field(default_factory=dict)
    fused: list[Fused] = field(default_factory=list)
    tensors: list[Pair] = field(default_factory=list, metadata=_NEWER)
    upsamplers: list[Pair] = field(default_factory=list, metadata=_NEWER)
    networks: list[Measure] = field(default_factory=list, metadata=_NEWER)
    commits: dict[str, str] = field(default_factory=dict, metadata=_NEWER)  # of sections measured after the others

    def updated(self, new: Results, sections: Iterable[str]) -> Results:
        """These results with `sections` of a later run.

        Raises:
            ValueError: the later run was of another machine, or with other libraries.
        """
        mine, other = _setting(self.machine), _setting(new.machine)
        if mine != other:
            different = sorted(name for name in mine if mine[name] != other[name])
            raise ValueError(f"{self.machine.name}: the later run has other {', '.join(different)}; measure everything")
        chosen = tuple(sections)
        commits = self.commits | dict.fromkeys(chosen, new.machine.commit)
        return replace(self, **{name: getattr(new, name) for name in chosen}, commits=commits)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")
        os.replace(temporary, path)


def _setting(machine: Machine) -> dict[str, Any]:
    """What must be the same for figures to stand in one file: all but this package's own version."""
    versions = {name: v for name, v in machine.versions.items() if name != "halfpixel"}
    return {**asdict(machine), "commit": "", "versions": versions}


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    return _read(Results, json.loads(path.read_text()), path.name)


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as `kind`: the dataclasses above, list[...], dict[str, ...], str, bool, int, float."""
    origin = get_origin(kind)
    if origin is list and isinstance(value, list):
        return [_read(get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {k: _read(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        hints, names = get_type_hints(kind), {f.name for f in fields(kind)}
        newer = {f.name for f in fields(kind) if f.metadata.get("newer")}
        if odd := (names ^ set(value)) - newer:
            raise ValueError(f"{where}: fields {sorted(odd)} are missing or unknown")
        return kind(**{k: _read(hints[k], v, f"{where}.{k}") for k, v in value.items()})
    accepts = (int, float) if kind is float else kind
    fits = isinstance(value, bool) == (kind is bool) and not isinstance(kind, types.GenericAlias)
    if not (fits and isinstance(value, accepts)):
        raise ValueError(f"{where}: {value!r} is not of type {kind}")
    return value
