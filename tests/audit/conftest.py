# SPDX-License-Identifier: MIT
"""Audits call small modules many times: threads would wait for each other."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='audits need pip install "halfpixel[torch]"')

import halfpixel  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before, ours = torch.get_num_threads(), halfpixel.get_num_threads()
    torch.set_num_threads(1)
    halfpixel.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    halfpixel.set_num_threads(ours)
