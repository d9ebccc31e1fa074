# SPDX-License-Identifier: MIT
"""``python -m benchmarks``: measure this machine and write benchmarks/results/<machine>.json."""

from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

SECTIONS = ("rows", "sweep", "memory", "calls", "alternate", "fused", "tensors", "upsamplers", "networks")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows",
        default="*",
        metavar="GLOB",
        help="only the rows whose id matches, of rows, tensors, upsamplers, networks",
    )
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=None, help="default: all")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="on every side (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small rows, few rounds: shows that all runs; writes nothing"
    )
    parser.add_argument("--base", metavar="REF", help="also time the halfpixel of another commit, in the same loop")
    parser.add_argument("--machine", help="name of the results file (default: the processor and its cores)")
    parser.add_argument("--output", type=Path, help="results file (default: benchmarks/results/<machine>.json)")
    parser.add_argument(
        "--update", action="store_true", help="put the chosen sections, whole, into this machine's results file"
    )
    options = parser.parse_args()
    if options.update and (options.quick or options.rows != "*"):
        parser.error("--update takes whole sections: not with --rows or --quick")
    return options


def main() -> int:
    options = _options()
    # These libraries read their thread counts once, when they are imported.
    os.environ |= {"VIPS_CONCURRENCY": str(options.threads), "RAYON_NUM_THREADS": str(options.threads)}
    from . import record, session
    from .machine import describe

    sections = options.sections or (("rows", "tensors", "upsamplers", "networks") if options.rows != "*" else SECTIONS)
    machine = describe(options.threads, options.machine)
    path = options.output or record.RESULTS / f"{machine.name}.json"
    earlier = record.load(path) if options.update and path.exists() else None
    if earlier:
        earlier.updated(record.Results(machine), ())  # refuses now, not when all is measured
    results, failed = session.run(
        sections,
        lambda name: fnmatch(name, options.rows),
        options.threads,
        options.quick,
        options.base,
        options.machine,
    )
    if earlier:
        results = earlier.updated(results, sections)
    whole = set(sections) == set(SECTIONS) and options.rows == "*" and not options.quick
    if options.output or options.update or whole:
        results.save(path)
        print(f"\nwritten: {path}")
    else:
        print("\nnot written: a part, or a quick run; --output FILE keeps it, --update puts sections into the results")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
