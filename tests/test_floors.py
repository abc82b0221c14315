"""The shape of the package: imports point down, names differ, functions and signatures are few.

Imports go only to packages that an installation brings along.
"""

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rooms of the package, lowest floor first. A room imports its own floor and those below it.
FLOORS = (
    {"parts", "files", "runtime", "images", "sources", "distances", "checkpoints"},
    {"generators", "zoo"},
    {"inversion", "training"},
    {"scores"},
    {"calibration"},
    {"evidence"},
    {"workflow"},
    {"runs"},
    {"audit"},
    {"pages"},
    {"figures", "server"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
# These also know no JAX: all that they may import, besides the standard library.
WITHOUT_JAX: dict[str, set[str]] = {
    "parts": set(),
    "files": {"numpy"},
    "images": {"files", "PIL", "c2pa", "numpy", "scipy"},
    "sources": {
        *("parts", "images"),
        *("array_record", "fsspec", "google", "google_crc32c", "numpy", "pyarrow"),
    },
    "checkpoints": {
        *("files", "diffusers", "huggingface_hub", "ml_dtypes", "numpy", "tensorstore"),
    },
    "calibration": {"parts", "files", "checkpoints", "numpy", "scipy"},
    "evidence": {"parts", "calibration", "numpy", "scipy"},
}
# Stems that modules of several rooms have, and what both are.
SHARED_STEMS = {
    "arrays": "what a room knows of arrays",
    "ask": "a command, and its configuration",
    "attribute": "a command, and its configuration",
    "audit": "a command, and its configuration",
    "base": "what the classes of a room derive from",
    "calibrate": "a command, its configuration, and the work",
    "consistency": "a family of generators, and how it is trained",
    "convert": "a command, and the work",
    "diffusion": "a family of generators, and how it is trained",
    "file_set": "the set of images behind a file, and the distance to it",
    "export": "a command, and the work",
    "files": "writing a file whole, and the files of generators",
    "foreign": "groups of foreign images, and how a command reads them",
    "load": "images and generators from where they lie",
    "plot": "a command, and its configuration",
    "recipe": "how to invert, and how to train",
    "serve": "a command, and its configuration",
    "vae": "a family of generators, and how it is trained",
}
# `convert --verify` compares with PyTorch where there is one; without it, it says what to install.
WITHOUT_A_PROMISE = {"jax_origin/cli/convert.py": {"torch", "safetensors"}}
# What the package keeps under, so that it stays easy to see.
MOST_LINES = 41_100
MOST_LINES_OF_A_FUNCTION = 80
MOST_SIGNATURES = {"alpha": 6, "progress": 4}
# Folders beside the package; the package imports none of them.
BESIDE = {"benchmarks", "configs", "scripts", "tests"}


def part_of(path: Path, package: Path) -> str:
    """Returns the room (module or folder directly under the package) that a file belongs to."""
    return path.relative_to(package).with_suffix("").parts[0]


def imported_names(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yields line and absolute dotted name of each import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            if node.level:
                base = [*path.relative_to(package.parent).parts[: -node.level], *base]
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])


def imports(package: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Yields place, importing room, imported room or package, and whether that is a room."""
    parts = {part_of(path, package) for path in package.rglob("*.py")}
    for path in sorted(package.rglob("*.py")):
        for line, name in imported_names(path, package):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            inside = top == package.name
            if inside:
                target = target if target in parts else "__init__"
            place = f"{path.relative_to(package.parent)}:{line}"
            yield place, part_of(path, package), target if inside else top, inside


def faults(package: Path) -> list[str]:
    """Returns one line for each room without a floor and each import that is not allowed."""
    floor = {part: level for level, parts in enumerate(FLOORS) for part in parts}
    parts = {part_of(path, package) for path in package.rglob("*.py")}
    found = [f"{part} has no floor: give it one in FLOORS" for part in sorted(parts - set(floor))]
    for place, part, target, inside in imports(package):
        if target == part or part not in floor or (inside and target not in floor):
            continue
        if inside and floor[target] > floor[part]:
            found.append(f"{place}: {part} imports {target}, which is on a higher floor")
        elif not inside and target in BESIDE:
            found.append(f"{place}: {part} imports {target}, which is outside the package")
        elif part in WITHOUT_JAX and target not in WITHOUT_JAX[part] | sys.stdlib_module_names:
            found.append(f"{place}: {part} imports {target}; it may import {WITHOUT_JAX[part]}")
    return found


def distribution(requirement: str) -> str:
    """Returns the normalised name of the distribution that a requirement line asks for."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip())[0]).lower()


def test_imports_point_down():
    assert faults(ROOT / "jax_origin") == []


def test_rooms_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for _, part, target, inside in imports(ROOT / "jax_origin"):
        if inside and target != part:
            graph.setdefault(part, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("images/decode.py", "import jax_origin.scores", "images imports scores"),
        ("images/decode.py", "from jax_origin import scores", "images imports scores"),
        ("images/decode.py", "from .. import scores", "images imports scores"),
        ("images/decode.py", "from ..scores import raw", "images imports scores"),
        ("images/decode.py", "def f():\n    from ..scores import raw", "images imports scores"),
        ("scores.py", "from .runs.record import read_records", "scores imports runs"),
        ("scores.py", "from jax_origin import attribute", "scores imports __init__"),
        ("scores.py", "import scripts.audit", "scores imports scripts"),
        ("scores.py", "from jax_origin.cli import attribute", "scores imports cli"),
        ("runs/record.py", "import jax_origin.audit", "runs imports audit"),
        ("evidence/ratios.py", "import jax", "evidence imports jax"),
        ("parts.py", "import numpy", "parts imports numpy"),
        ("calibration/rules.py", "import jax.numpy as jnp", "calibration imports jax"),
        ("calibration/rules.py", "from ..images import ImageError", "calibration imports images"),
        ("files.py", "import jax", "files imports jax"),
        ("tricks/__init__.py", "", "tricks has no floor"),
        ("scores.py", "from . import calibration", "scores imports calibration"),
        ("scores.py", "import jax, scipy\nfrom .inversion.engine import invert", None),
        (
            "images/decode.py",
            "import os\nfrom .photographs import crops\nfrom ..files import a",
            None,
        ),
        (
            "calibration/rules.py",
            "import json\nfrom scipy import stats\nfrom ..files import a",
            None,
        ),
        ("__init__.py", "from jax_origin.runs import record", None),
        ("__init__.py", "from benchmarks.metrics import auc", "imports benchmarks"),
        ("cli/audit.py", "from jax_origin import audit, calibrate", None),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, line, fault):
    package = tmp_path / "jax_origin"
    for name in (
        *("runs/record.py", "calibration/rules.py", "files.py", "cli/command.py"),
        *("audit/report.py", "evidence/ratios.py", "parts.py"),
        *("images/decode.py", "images/photographs.py", "inversion/engine.py", "scores.py", file),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(line if name == file else "", encoding="utf-8")
    found = faults(package)
    assert len(found) == (fault is not None), found
    assert all(fault in line for line in found)


def modules(package: Path) -> list[Path]:
    return [path for path in sorted(package.rglob("*.py")) if path.stem != "__init__"]


def functions(package: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yields place and syntax tree of each function and method."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(package.parent)}:{node.lineno} {node.name}", node


def test_no_two_rooms_share_a_name():
    package = ROOT / "jax_origin"
    rooms = [path.stem for path in package.glob("*.py")]
    rooms += [path.parent.name for path in package.glob("*/__init__.py")]
    assert len(rooms) == len(set(rooms)), sorted(rooms)
    assert set(rooms) == set().union(*FLOORS)


def test_modules_share_a_name_only_where_it_says_the_same():
    stems = [path.stem for path in modules(ROOT / "jax_origin")]
    assert {stem for stem in stems if stems.count(stem) > 1} == set(SHARED_STEMS)


def test_no_function_is_long():
    long = [
        f"{place}: {lines} lines"
        for place, node in functions(ROOT / "jax_origin")
        if (lines := node.end_lineno - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("name", MOST_SIGNATURES)
def test_what_belongs_in_an_object_is_in_few_signatures(name):
    found = [
        place
        for place, node in functions(ROOT / "jax_origin")
        if name in [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    ]
    assert len(found) <= MOST_SIGNATURES[name], found


def test_the_package_is_small():
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "jax_origin").rglob("*.py")
    }
    assert sum(lines.values()) <= MOST_LINES


def test_packages_that_are_imported_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {distribution(line) for line in project["dependencies"]}
    for extra, lines in project["optional-dependencies"].items():
        if extra not in ("docs", "test"):  # Who uses the package need not have these.
            declared |= {distribution(line) for line in lines}
    provided_by = {"c2pa": ["c2pa-python"], **packages_distributions()}
    undeclared = {
        f"{place}: {target}"
        for place, _, target, inside in imports(ROOT / "jax_origin")
        if not inside
        and target not in sys.stdlib_module_names
        and target not in WITHOUT_A_PROMISE.get(place.rpartition(":")[0], set())
        and not declared & {distribution(name) for name in provided_by.get(target, [target])}
    }
    assert undeclared == set()
