# SPDX-License-Identifier: MIT
"""A new interpreter for what needs one: forks, crashes, limits and exits. A hang fails, and shows how far it came."""

from __future__ import annotations

import os
import signal
import subprocess
import sys


def run_python(source: str, *arguments: str, timeout: float = 60, **environment: str) -> str:
    """What the program prints. Its children die with it.

    Raises: AssertionError for a nonzero status, a signal, or no end within `timeout` seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"no end after {timeout} s; printed so far:\n{out}\n{err}") from None
    if process.returncode:
        raise AssertionError(f"exit status {process.returncode}; printed:\n{out}\n{err}")
    return out.strip()
