"""What pyproject.toml says is what the requirements files, the workflows and the container use."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def lines_of(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_requirements_are_the_dependencies():
    assert lines_of("requirements.txt") == [*PROJECT["dependencies"], "-e ."]
    assert lines_of("requirements-test.txt") == ["-r requirements.txt", *EXTRAS["test"]]


def test_the_lowest_versions_are_those_that_are_allowed():
    lowest = [re.sub(r">=([\d.]+)(,.*)?$", r"==\1", line) for line in PROJECT["dependencies"]]
    assert lines_of("requirements-lowest.txt") == lowest
    assert all("==" in line for line in lowest)


def test_all_is_each_extra_of_the_commands():
    (line,) = EXTRAS["all"]
    machines, people = {"cuda12", "cuda13", "tpu", "ray"}, {"docs", "test"}
    assert set(re.findall(r"\w+", line)[1:]) == set(EXTRAS) - machines - people - {"all"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_parts_of_the_ci_script(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["name"] == path.stem and True in workflow  # YAML 1.1 reads "on" so.
    parts = set(re.findall(r"^(\w+)\(\) \{$", (ROOT / ".ci/run").read_text(), re.M))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = [step["run"].split() for step in steps if "run" in step]
    assert called
    for program, *arguments in called:
        if program != "gh":  # which makes a release
            assert (program, arguments[0]) == ("bash", ".ci/run")
            assert set(arguments[1:]) <= parts


def test_the_four_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["docs", "nightly", "release", "tests"]


def test_the_container_copies_what_there_is():
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", text, re.M)
    assert copied and all((ROOT / name).exists() for line in copied for name in line.split())
    assert {"cuda12", "cuda13"} <= set(EXTRAS)
