"""Imports inside jax_origin point down, and only to packages that an installation brings along."""

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

# The parts of the package, lowest floor first. A part imports its own floor and those below it.
FLOORS = (
    {"files", "images", "distance", "checkpoints", "runtime", "command"},
    {"generators", "zoo"},
    {"inversion", "training"},
    {"score"},
    {"calibration"},
    {"methods", "scoring", "foreign_images", "calibrating", "attribution"},
    {"audit", "evaluation"},
    {"__init__"},
)
# These also know no JAX: all that they may import, besides the standard library.
WITHOUT_JAX = {
    "files": {"numpy"},
    "checkpoints": {"files", "huggingface_hub", "ml_dtypes", "numpy", "tensorstore"},
    "calibration": {"files", "checkpoints", "numpy", "scipy"},
}
# Folders beside the package; the package imports none of them.
BESIDE = {"benchmarks", "configs", "scripts", "tests"}


def part_of(path: Path, package: Path) -> str:
    """Returns the part (module or folder directly under the package) that a file belongs to."""
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
    """Yields place, importing part, imported part or package, and whether that is a part."""
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
    """Returns one line for each part without a floor and each import that is not allowed."""
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


def test_parts_do_not_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {}
    for _, part, target, inside in imports(ROOT / "jax_origin"):
        if inside and target != part:
            graph.setdefault(part, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("images/decode.py", "import jax_origin.score", "images imports score"),
        ("images/decode.py", "from jax_origin import score", "images imports score"),
        ("images/decode.py", "from .. import score", "images imports score"),
        ("images/decode.py", "from ..score import raw", "images imports score"),
        ("images/decode.py", "def f():\n    from ..score import raw", "images imports score"),
        ("score.py", "from .audit.record import read_records", "score imports audit"),
        ("score.py", "from jax_origin import attribute", "score imports __init__"),
        ("score.py", "import scripts.audit", "score imports scripts"),
        ("calibration/rule.py", "import jax.numpy as jnp", "calibration imports jax"),
        ("calibration/rule.py", "from ..images import ImageError", "calibration imports images"),
        ("files.py", "import jax", "files imports jax"),
        ("tricks/__init__.py", "", "tricks has no floor"),
        ("score.py", "from . import calibration", "score imports calibration"),
        ("score.py", "import jax, scipy\nfrom .inversion.engine import invert", None),
        (
            "images/decode.py",
            "import os\nfrom .photographs import crops\nfrom ..files import a",
            None,
        ),
        (
            "calibration/rule.py",
            "import json\nfrom scipy import stats\nfrom ..files import a",
            None,
        ),
        ("__init__.py", "from jax_origin.evaluation.metrics import auc", None),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, line, fault):
    package = tmp_path / "jax_origin"
    for name in (
        *("audit/record.py", "calibration/rule.py", "evaluation/metrics.py", "files.py"),
        *("images/decode.py", "images/photographs.py", "inversion/engine.py", "score.py", file),
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(line if name == file else "", encoding="utf-8")
    found = faults(package)
    assert len(found) == (fault is not None), found
    assert all(fault in line for line in found)


def test_packages_that_are_imported_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {distribution(line) for line in project["dependencies"]}
    for extra in project.get("optional-dependencies", {}).values():
        declared |= {distribution(line) for line in extra}
    provided_by = packages_distributions()
    undeclared = {
        f"{place}: {target}"
        for place, _, target, inside in imports(ROOT / "jax_origin")
        if not inside
        and target not in sys.stdlib_module_names
        and not declared & {distribution(name) for name in provided_by.get(target, [target])}
    }
    assert undeclared == set()


def test_requirements_are_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    assert required == [*project["dependencies"], "-e ."]
