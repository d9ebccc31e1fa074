# SPDX-License-Identifier: MIT
"""The floor of a resize: its input read once and its output written once, at this machine's rates, on as many threads.

The C library's memchr reads and its memset writes, the fastest that this process can call without a kernel of ours.
Each thread takes its own part and its own time, and the slowest counts: starting the threads is not charged, so the
floor is never flattered in our favour. The bytes are not zeros: processors exist that move lines of zeros to and from
memory at twice the rate of all others, and results are not made of zeros.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from threading import Barrier, Thread
from time import perf_counter

from .measure import Sample

_BYTE = 0x5A
_libc = ctypes.CDLL(None)
_libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_libc.memset.restype = ctypes.c_void_p
_libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_libc.memchr.restype = ctypes.c_void_p


def samples(bytes_in: int, bytes_out: int, threads: int) -> dict[str, Sample]:
    """Samples of "read", "write" (into mapped memory) and "write_fresh" (new memory, huge pages advised)."""
    source, target = _map(bytes_in), _map(bytes_out)
    for memory, size in ((source, bytes_in), (target, bytes_out)):
        _libc.memset(_address(memory), _BYTE, size)
    return {
        "read": lambda: _split(_read, _address(source), bytes_in, threads),
        "write": lambda: written(_address(target), bytes_out, threads),
        "write_fresh": lambda: _write_fresh(bytes_out, threads),
    }


def _map(size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _read(address: int, size: int) -> None:
    _libc.memchr(address, 0, size)  # which is not there


def _write(address: int, size: int) -> None:
    _libc.memset(address, _BYTE, size)


def _write_fresh(size: int, threads: int) -> float:
    start = perf_counter()
    memory = _map(size)
    mapping = perf_counter() - start
    return mapping + written(_address(memory), size, threads)


def written(address: int, size: int, threads: int) -> float:
    """The seconds that writing the memory there takes."""
    return _split(_write, address, size, threads)


def _split(work: Callable[[int, int], None], address: int, size: int, threads: int) -> float:
    part = -(-size // threads)
    if threads == 1:
        return _clock(work, address, size)
    seconds, barrier = [0.0] * threads, Barrier(threads)

    def run(index: int) -> None:
        barrier.wait()
        begin = index * part
        seconds[index] = _clock(work, address + begin, max(0, min(part, size - begin)))

    workers = [Thread(target=run, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(seconds)


def _clock(work: Callable[[int, int], None], address: int, size: int) -> float:
    start = perf_counter()
    work(address, size)
    return perf_counter() - start
