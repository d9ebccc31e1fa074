# SPDX-License-Identifier: MIT
"""Run a test by one backend, and be sure that it was that one."""

from __future__ import annotations

import contextlib
from unittest import mock

import pytest

from halfpixel import backends
from halfpixel.backends import cpu, eager, reference

NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(backends.why_not(name)), reason=backends.why_not(name) or "runs"))
    for name in backends.BACKENDS
]
# What a backend cannot compute without.
_ENTRIES = {
    "cpu": (cpu, ("native", "bind")),
    "reference": (reference, ("_compute", "_copy")),
    "eager": (eager, ("_run",)),
}


def _intruder(*args, **options):
    raise AssertionError("another backend than the one asked for has run")


@contextlib.contextmanager
def only(name):
    """Any other backend's entry raises."""
    with contextlib.ExitStack() as stack:
        for other, (module, entries) in _ENTRIES.items():
            for entry in entries if other != name else ():
                stack.enter_context(mock.patch.object(module, entry, _intruder))
        yield name
