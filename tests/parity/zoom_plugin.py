# SPDX-License-Identifier: MIT
"""A pytest plugin for SciPy's own tests: scipy.ndimage.zoom is halfpixel.compat.scipy.zoom while a test runs.

The exchange waits until the tests are collected: SciPy's decorators look its own function up while they are imported.
"""

import scipy.ndimage

from halfpixel import compat
from halfpixel.compat import scipy as ours

calls = []


def counted(*args, **options):
    calls.append(options)
    return ours.zoom(*args, **options)


def pytest_collection_finish(session):
    scipy.ndimage.zoom = counted


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"{compat.__name__}.scipy.zoom was called {len(calls)} times")
