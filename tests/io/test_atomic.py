# SPDX-License-Identifier: MIT
"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from halfpixel import io
from halfpixel.io import _atomic, formats


def test_failure_in_the_encoder_leaves_nothing(tmp_path, pixels, monkeypatch):
    def fails(file, picture, quality, lossless):
        file.write(b"half a pict")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    broken = dict(formats.TABLE)
    broken["png"] = formats.replace(broken["png"], encode=fails)
    monkeypatch.setattr(formats, "TABLE", broken)
    with pytest.raises(io.ImageFileError, match=r"a\.png: No space left on device"):
        io.write(io.Picture(pixels("rgb", "uint8"), "rgb"), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def interrupted(target):
    with io.atomic_write(target, overwrite=True) as file:
        file.write(b"after")
        raise KeyboardInterrupt


def test_failure_keeps_what_was_there(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        interrupted(target)
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_under_the_name_before_the_end(tmp_path):
    target = tmp_path / "a.bin"
    with io.atomic_write(target) as file:
        file.write(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"


def test_overwriting_is_asked_for(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"before")
    with pytest.raises(io.ImageFileError, match="exists already"), io.atomic_write(target) as file:
        file.write(b"after")
    assert target.read_bytes() == b"before"
    with io.atomic_write(target, overwrite=True) as file:
        file.write(b"after")
    assert target.read_bytes() == b"after"


def overtaken(target):
    with io.atomic_write(target) as file:
        file.write(b"mine")
        target.write_bytes(b"theirs")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch, links):
    def no_links(*args):
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(_atomic.os, "link", no_links)
    target = tmp_path / "a.bin"
    with pytest.raises(io.ImageFileError, match="exists already"):
        overtaken(target)
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_without_hard_links_it_still_works(tmp_path, monkeypatch):
    monkeypatch.setattr(_atomic.os, "link", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOTSUP, "")))
    with io.atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_permissions_and_links_survive(tmp_path):
    target, link = tmp_path / "a.bin", tmp_path / "link"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.symlink_to(target)
    with io.atomic_write(link, overwrite=True) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with io.atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_no_file_is_not_replaced(tmp_path):
    with pytest.raises(io.ImageFileError, match="not a regular file"), io.atomic_write(tmp_path, overwrite=True):
        pass


def test_long_names_leave_room_for_the_temporary_one(tmp_path):
    target = tmp_path / ("n" * 250 + ".bin")
    with io.atomic_write(target) as file:
        file.write(b"x")
    assert target.exists()
