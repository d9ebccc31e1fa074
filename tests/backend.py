# SPDX-License-Identifier: MIT
"""Run a test by one backend, and be sure that it was that one."""

from __future__ import annotations

import contextlib
from unittest import mock

import pytest

from halfpixel import backends
from halfpixel.backends import cpu, reference

NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(bool(backends.why_not(name)), reason=backends.why_not(name) or "runs"))
    for name in backends.BACKENDS
]


def _intruder(*args, **options):
    raise AssertionError("another backend than the one asked for has run")


@contextlib.contextmanager
def only(name):
    """Any other backend's entry raises."""
    with contextlib.ExitStack() as stack:
        if name == "cpu":
            stack.enter_context(mock.patch.object(reference, "_compute", _intruder))
            stack.enter_context(mock.patch.object(reference, "_copy", _intruder))
        else:
            stack.enter_context(mock.patch.object(cpu, "native", _intruder))
            stack.enter_context(mock.patch.object(cpu, "bind", _intruder))
        yield name
