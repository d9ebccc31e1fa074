# SPDX-License-Identifier: MIT
"""Every example runs: the Python blocks of README.md and docs/, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import halfpixel

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
# Its examples read files and run commands: tests/cli/test_docs.py makes both for them.
ELSEWHERE = {ROOT / "docs/cli.md"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def blocks(page: Path) -> list[tuple[int, str]]:
    """The Python blocks of a page with the lines they start at."""
    text = page.read_text(encoding="utf-8")
    return [(text[: found.start()].count("\n") + 2, found[1]) for found in BLOCK.finditer(text)]


def run(page: Path, line: int, source: str, names: dict[str, object]) -> None:
    """Run a block: as a doctest where it shows prompts, as a program where it does not."""
    if ">>>" not in source:
        exec(compile("\n" * (line - 1) + source, str(page), "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(source, names, page.name, str(page), line - 1)
    output: list[str] = []
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=output.append, clear_globs=False).failed
    names.update(test.globs)
    assert not failed, "".join(output)


@pytest.mark.parametrize("page", sorted({*PAGES} - ELSEWHERE), ids=lambda p: p.name)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for line, source in blocks(page):
        run(page, line, source, names)


@pytest.mark.parametrize("page", sorted([*PAGES, ROOT / "CONTRIBUTING.md"]), ids=lambda p: p.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    missing = [t for t in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / t).exists()]
    assert not missing


def test_a_wrong_example_is_noticed() -> None:
    with pytest.raises(AssertionError, match="Expected"):
        run(Path("page.md"), 1, ">>> 1 + 1\n3\n", {})


def modules() -> list[str]:
    found = pkgutil.walk_packages(halfpixel.__path__, "halfpixel.")
    return ["halfpixel", *sorted(m.name for m in found if not m.name.endswith(("._native", ".__main__")))]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        module: ModuleType = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        pytest.skip(f"{name} needs {missing.name}, which is not installed")
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)
