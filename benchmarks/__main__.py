# SPDX-License-Identifier: MIT
"""``python -m benchmarks``: measure this machine and write benchmarks/results/<machine>.json."""

from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

SECTIONS = ("rows", "sweep", "memory", "calls", "alternate", "fused")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--rows", default="*", metavar="GLOB", help="only the rows whose id matches; other sections stay out"
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
    return parser.parse_args()


def main() -> int:
    options = _options()
    # These libraries read their thread counts once, when they are imported.
    os.environ |= {"VIPS_CONCURRENCY": str(options.threads), "RAYON_NUM_THREADS": str(options.threads)}
    from . import session

    sections = options.sections or (("rows",) if options.rows != "*" else SECTIONS)
    results, failed = session.run(
        sections,
        lambda name: fnmatch(name, options.rows),
        options.threads,
        options.quick,
        options.base,
        options.machine,
    )
    whole = set(sections) == set(SECTIONS) and options.rows == "*" and not options.quick
    if options.output or whole:
        path = options.output or session.RESULTS / f"{results.machine.name}.json"
        results.save(path)
        print(f"\nwritten: {path}")
    else:
        print("\nnot written: a part of the table, or a quick run (give --output FILE to keep it)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
