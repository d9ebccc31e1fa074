# SPDX-License-Identifier: MIT
"""The machine's and the libraries' names for the head of a results file."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .record import Machine

_PACKAGES = ("numpy", "torch", "opencv-python-headless", "pillow", "pyvips-binary", "kornia_rs")


def describe(threads: int, name: str | None = None) -> Machine:
    """This machine; `name` defaults to a word made of the processor and its cores."""
    import halfpixel

    cpu, cores = _cpu(), os.cpu_count() or 1
    return Machine(
        name=name or re.sub(r"[^a-z0-9]+", "-", f"{cpu} {cores} cores".lower()).strip("-"),
        cpu=cpu,
        cores=cores,
        isa=_isa(),
        os=f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        python=platform.python_version(),
        threads=threads,
        commit=_git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "src", "csrc") else ""),
        huge_pages=_read("/sys/kernel/mm/transparent_hugepage/enabled").strip(),
        versions={"halfpixel": halfpixel.__version__, **{p: v for p in _PACKAGES if (v := _version(p))}},
    )


def _cpu() -> str:
    found = re.search(r"model name\s*: (.*)", _read("/proc/cpuinfo"))
    return found[1].strip() if found else platform.processor() or "unknown processor"


def _isa() -> str:
    try:
        from halfpixel import _native
    except ImportError:
        return "no native kernels"
    return str(_native.isa())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
