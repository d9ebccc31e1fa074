# SPDX-License-Identifier: MIT
"""Another revision of halfpixel, built aside and timed in the same loop: ``--base REF``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from halfpixel.testing.cases import Case

from .measure import Sample, timed

_BUILD = Path("build/base")


def build(ref: str) -> Path:
    """The folder that holds halfpixel as it was at `ref`; made once per commit.

    Raises:
        CalledProcessError: git does not know `ref`, or it does not build.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", f"{ref}^{{commit}}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    site = (_BUILD / commit / "site").resolve()
    if not site.exists():
        source = site.parent / "source"
        source.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, source], check=True
        )
    return site


class BaseWorker:
    """A process that has the other revision imported and times its calls when asked."""

    def __init__(self, site: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.base"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(Path.cwd())])},
        )

    def sample(self, case: Case, threads: int) -> Sample:
        """A sample of the other revision's ``resize`` for `case`."""
        self._ask({**asdict(case), "threads": threads})
        return lambda: self._ask({})

    def _ask(self, message: dict[str, object]) -> float:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the base process has no pipes")
        stdin.write(json.dumps(message) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the base process ended with status {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _serve() -> None:
    import halfpixel

    sample: Sample = lambda: 0.0  # noqa: E731
    for line in sys.stdin:
        fields = json.loads(line)
        if fields:
            halfpixel.set_num_threads(fields.pop("threads"))
            sample = _resize(Case.from_json(fields))
        print(sample() if not fields else 0.0, flush=True)


def _resize(case: Case) -> Sample:
    import halfpixel

    x = case.array()
    return timed(lambda: halfpixel.resize(x, case.size, **case.options))


if __name__ == "__main__":
    _serve()
