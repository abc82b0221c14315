"""Builds wheel and source distribution, and tries the wheel in an environment away from here.

python scripts/smoke.py                                  with this interpreter
python scripts/smoke.py --python=python3.13 --out=dist   with another; keeps what it built
python scripts/smoke.py --lowest                         with the lowest versions that are allowed

It needs the package `build`, and no other. The wheel is built from the source distribution, and
must hold every file of jax_origin/ but the generators that `jax-origin zoo get` gets. What then
runs sees the installed wheel alone.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_BUILT_FROM = ("LICENSE", "README.md", "jax_origin", "pyproject.toml")
_DEMONSTRATION_ENDS = "right 36, wrong 0, undecided or not read 0"
_TO_FETCH = "autoencoder-tiny-cifar10"


def main() -> None:
    """Reads the flags, builds, and tries; ends with the reason if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--python", default=sys.executable, help="Interpreter to try it with.")
    parser.add_argument("--out", help="Folder that keeps the wheel and the source distribution.")
    parser.add_argument("--lowest", action="store_true", help="Use requirements-lowest.txt.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        away = pathlib.Path(folder).resolve()
        wheel, source = _built(away)
        _check_complete(wheel)
        for path in (wheel, source):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        if given.out:
            os.makedirs(given.out, exist_ok=True)
            for path in (wheel, source):
                shutil.copy(path, given.out)
        lowest = ["-c", str(_ROOT / "requirements-lowest.txt")] if given.lowest else []
        _try(wheel, away, given.python, lowest)


def _built(away: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """The wheel and the source distribution, built from a copy: what lies about here stays out."""
    copy = away / "checkout"
    for name in _BUILT_FROM:
        path, ignored = _ROOT / name, shutil.ignore_patterns("__pycache__")
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=ignored)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(path, copy)
    _run([sys.executable, "-m", "build", "--outdir", away / "dist", copy], away)
    (wheel,), (source,) = (away / "dist").glob("*.whl"), (away / "dist").glob("*.tar.gz")
    return wheel, source


def _check_complete(wheel: pathlib.Path) -> None:
    """Ends the process unless the wheel holds what it should, and no more."""
    fetched = json.loads((_ROOT / "jax_origin/zoo/manifest.json").read_text(encoding="ascii"))
    wanted = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "jax_origin").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.parent.name not in fetched
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("jax_origin/")}
    if wrong := sorted(wanted ^ held):
        sys.exit(f"in the wheel or the checkout alone, see pyproject.toml: {', '.join(wrong)}")
    print(f"{wheel.name}: {len(held)} files of jax_origin/")


def _try(wheel: pathlib.Path, away: pathlib.Path, python: str, options: list[str]) -> None:
    """Installs the wheel into a new environment, and runs the installed command there."""
    venv, work = away / "venv", away / "work"
    work.mkdir()
    _run([python, "-m", "venv", venv], work)
    _run([venv / "bin/pip", "install", "-q", "--no-compile", *options, wheel], work)
    command = venv / "bin/jax-origin"
    where = _run([venv / "bin/python", "-c", "import jax_origin as j; print(j.__file__)"], work)
    if str(venv) not in where:
        sys.exit(f"not the installed package: {where}")
    _run([command, "--help"], work)
    said = _run([command, "attribute"], work)
    if _DEMONSTRATION_ENDS not in said:
        sys.exit(f"the demonstration does not end with {_DEMONSTRATION_ENDS!r}:\n{said}")
    _run([command, "zoo", "get", _TO_FETCH, f"--from={_ROOT / 'jax_origin/zoo'}"], work)
    if f"{work / 'zoo' / _TO_FETCH}" not in _run([command, "zoo", "list"], work):
        sys.exit(f"zoo list does not show {_TO_FETCH}, which was fetched")


def _run(command: list[str | pathlib.Path], folder: pathlib.Path) -> str:
    """What a command prints; ends the process with it if the command fails."""
    environment = {**os.environ, "JAX_ORIGIN_ZOO": str(folder / "zoo")}
    environment.pop("PYTHONPATH", None)
    began = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    words = " ".join(os.path.basename(str(part)) for part in command[:4])
    if done.returncode:
        sys.exit(f"{done.stdout}\n{words}: exit code {done.returncode}")
    print(f"{words}: {time.perf_counter() - began:.0f} s", flush=True)
    return done.stdout


if __name__ == "__main__":
    main()
