# SPDX-License-Identifier: MIT
"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from halfpixel.io._picture import ImageFileError


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends well, and goes when it does not.

    **Convention:** the bytes reach the disk before the name does; a symbolic link is followed; permissions of a file
    that is replaced are kept. Without ``overwrite`` a file that appeared in the meantime is left alone.
    Raises: ImageFileError where something stands at ``path`` that must not be replaced; OSError from the system.

    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "a.bin"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"whole")
    >>> target.read_bytes(), len(list(target.parent.iterdir()))
    (b'whole', 1)
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target, overwrite)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
    with _removed_afterwards(temporary):
        with open(temporary, "x+b") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(temporary, target, overwrite)


@contextmanager
def _removed_afterwards(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _mode_of(target: Path, overwrite: bool) -> int | None:
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ImageFileError(f"{target} is not a regular file and is not replaced")
    if not overwrite:
        raise _exists(target)
    return stat.S_IMODE(found.st_mode)


def _put_in_place(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
    else:
        _link_or_rename(temporary, target)
    _sync_folder(target.parent)


def _link_or_rename(temporary: Path, target: Path) -> None:
    """A hard link fails where the name is taken, which a rename does not; not every file system has one."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES):
            raise
        if target.exists():
            raise _exists(target) from None
        os.replace(temporary, target)


def _exists(target: Path) -> ImageFileError:
    return ImageFileError(f"{target} exists already; --overwrite replaces it, --skip-existing leaves it")


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):  # some network file systems refuse to sync a folder; the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
