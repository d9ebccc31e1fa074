# SPDX-License-Identifier: MIT
"""Networks that live on upsamplers: made by name, loaded from published checkpoints, with the reach that tiles need.

Example:
    >>> import torch
    >>> model = create_model("espcn", scale=2, upsampler="carafe")
    >>> model(torch.zeros(1, 1, 5, 6)).shape
    torch.Size([1, 1, 10, 12])
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ._base import Network, SuperResolver
from ._enlarge import Enlarger, enlarge
from ._load import list_weights, load, save
from ._probe import reach_of
from ._reach import Reach
from ._registry import TABLE, Entry, create, register
from ._tiles import BlendWarning, run_tiled


def create_model(name: str, **options: Any) -> Any:
    """A network, with weights that are not trained.

    **Convention:** images are (N, C, H, W), values 0 to 1; see the class for what comes out.
    Arguments: name: of `list_models()`. options: the class's arguments, `upsampler` among them: a name of
        `halfpixel.upsamplers`, whose own options may follow.
    Returns: a `torch.nn.Module`.
    Raises: ValueError and TypeError that name the call, the reason, and what would work.
    Example:
        >>> import torch
        >>> create_model("srvgg", scale=2, channels=8, convs=2)(torch.zeros(1, 3, 4, 6)).shape
        torch.Size([1, 3, 8, 12])
    """
    return create(name, options)


def list_models() -> tuple[Entry, ...]:
    """Every network by name: what it is for, where it is from, and how many parameters it has.

    Example:
        >>> [(entry.name, entry.parameters(scale=4)) for entry in list_models() if entry.name == "espcn"]
        [('espcn', 24752)]
    """
    return tuple(entry for _, entry in sorted(TABLE.items()))


# Every file of this package registers what it holds: a new network is one file.
for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")

from .edsr import EDSR  # noqa: E402
from .espcn import ESPCN  # noqa: E402
from .fpn import FPN  # noqa: E402
from .fsrcnn import FSRCNN  # noqa: E402
from .generator import Generator  # noqa: E402
from .rrdbnet import RRDBNet  # noqa: E402
from .segnet import SegNet  # noqa: E402
from .srvgg import SRVGG  # noqa: E402
from .super_resolution import SuperResolution  # noqa: E402
from .unet import UNet  # noqa: E402

__all__ = [
    "BlendWarning", "EDSR", "ESPCN", "Enlarger", "Entry", "FPN", "FSRCNN", "Generator", "Network", "RRDBNet", "Reach",
    "SRVGG", "SegNet", "SuperResolution", "SuperResolver", "UNet", "create_model", "enlarge", "list_models",
    "list_weights", "load", "reach_of", "register", "run_tiled", "save",
]  # fmt: skip
