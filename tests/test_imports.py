# SPDX-License-Identifier: MIT
"""Imports run one way, and importing the package costs NumPy and nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import halfpixel

SOURCE = Path(halfpixel.__file__).parent
NAMES = "import sys, json; before = set(sys.modules); import {}; print(json.dumps(sorted(set(sys.modules) - before)))"

# A module may import from its own room and from the rooms above it. `_native` is the compiled extension.
ORDER = (
    ("errors", "_native"),
    ("_bt601", "_memory", "_sizes", "filters", "grids", "edges"),
    ("_solve", "_band"),
    ("_axis", "_spline", "_votes", "_recipe", "_request", "_conventions", "_plan", "presets"),
    ("backends",),
    ("_accelerate", "_threads", "_resize", "_labels", "_reduce", "_explain", "_missing", "compat"),
    ("__init__",),
    ("nn",),
    ("upsamplers",),
    ("io", "testing"),
    ("models",),
    ("metrics",),
    ("_audit", "train"),
    ("cli",),
)
ROOM = {name: depth for depth, names in enumerate(ORDER) for name in names}
# The one call upwards, made when it runs and not when it is loaded: a plan is called, and the call chooses its backend.
# And tensors go to the rooms that know torch.
LATE = {("_plan", "backends"), ("_resize", "nn"), ("_labels", "nn"), ("_reduce", "nn"), ("_accelerate", "nn")}
# What a room may import from outside the standard library at all, and what it may import when the module is loaded.
OUTSIDE = {
    "backends": {"torch"},  # of `_aten` alone, which is loaded when a tensor is computed: the tests below would tell
    "nn": {"torch"},
    "upsamplers": {"torch"},
    "models": {"torch"},
    "_audit": {"torch"},
    "train": {"lightning", "torch"},
    "testing": {"hypothesis"},
    "io": {"PIL", "tifffile", "imagecodecs"},
    "cli": {"PIL", "matplotlib", "rich", "typer"},
}
LAZY = {"_audit": {"matplotlib"}, "compat": {"PIL", "onnx"}, "models": {"safetensors"}, "testing": {"ml_dtypes"}}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


def dotted(path: Path) -> tuple[str, ...]:
    parts = ("halfpixel", *path.relative_to(SOURCE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def room(parts: tuple[str, ...]) -> str:
    return parts[1] if len(parts) > 1 else "__init__"


def imported(path: Path) -> list[tuple[tuple[str, ...], bool, int]]:
    """Every import in a file: dotted name, whether it runs when the module is loaded, line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = dotted(path) if path.name == "__init__.py" else dotted(path)[:-1]
    inner = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)) or _type_checking(outer)
        for node in ast.walk(outer)
        if node is not outer
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(tuple(alias.name.split(".")), id(node) not in inner, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            names = [(*base, alias.name) for alias in node.names] if base == ("halfpixel",) else [base]
            found += [(name, id(node) not in inner, node.lineno) for name in names]
    return found


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_only_from_its_own_room_and_those_above(path: Path) -> None:
    here = room(dotted(path))
    if here == "__init__":
        return  # the package's own file names everything and loads it on demand
    assert here in ROOM, f"{here} has no place in the order of imports: add it to ORDER"
    wrong = []
    for name, at_load, line in imported(path):
        if name[0] != "halfpixel":
            continue
        there = name[1] if len(name) > 1 and name[1] in ROOM else "__init__"
        if ROOM[there] > ROOM[here] and not ((here, there) in LATE and not at_load):
            wrong.append(f"{path.name}:{line}: {here} imports {'.'.join(name)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_only_the_libraries_of_its_room(path: Path) -> None:
    here = room(dotted(path))
    allowed = {"numpy", "halfpixel", "__future__"} | OUTSIDE.get(here, set()) | sys.stdlib_module_names
    lazy = allowed | LAZY.get(here, set())
    wrong = [
        f"{path.name}:{line}: {'.'.join(name)}"
        for name, at_load, line in imported(path)
        if name[0] not in (allowed if at_load else lazy)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_order_names_only_modules_that_exist() -> None:
    there = {p.stem for p in SOURCE.glob("*.py")} | {p.name for p in SOURCE.iterdir() if p.is_dir()} | {"_native"}
    assert not set(ROOM) - there


def fresh_modules(name: str) -> set[str]:
    """The top-level modules that importing `name` loads in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", NAMES.format(name)], capture_output=True, text=True, check=True)
    return {module.split(".")[0] for module in json.loads(done.stdout)}


def test_importing_the_package_loads_numpy_and_the_standard_library_alone() -> None:
    extra = fresh_modules("halfpixel") - fresh_modules("numpy") - {"halfpixel", "nanobind"} - sys.stdlib_module_names
    # Python's own helper modules carry names that differ from build to build.
    assert {name for name in extra if not name.startswith(("_sysconfigdata", "_distutils", "__"))} == set()


def test_the_command_line_starts_without_what_only_plots_need() -> None:
    if missing := [name for name in ("imagecodecs", "PIL", "rich", "tifffile", "typer") if not find_spec(name)]:
        pytest.skip(f"the command line needs {', '.join(missing)}, which is not installed")
    assert not fresh_modules("halfpixel.cli._app") & {"matplotlib", "scipy", "skimage", "torch"}


def test_the_check_would_see_a_heavy_import() -> None:
    assert "hypothesis" in fresh_modules("hypothesis")
