"""A wheel's zoo: what it carries, and how the other members come onto a machine."""

import functools
import http.server
import importlib.util
import json
import os
import shutil
import threading
import tomllib
from pathlib import Path

import pytest

import jax_origin as jo
from jax_origin.cli.main import main
from jax_origin.zoo import ZOO, absent_names, fetch_member, members, zoo_names

ROOT = Path(__file__).parents[2]
CARRIED = ["dcgan-cifar10", "dcgan-cifar10-b", "vae-cifar10"]
SMALLEST = "autoencoder-tiny-cifar10"


@pytest.fixture(scope="module")
def script():
    """scripts/zoo_manifest.py, whose flags are its own."""
    path = ROOT / "scripts/zoo_manifest.py"
    spec = importlib.util.spec_from_file_location("zoo_manifest", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A machine with a wheel's zoo; the folder that fetched members come into."""
    (tmp_path / "package").mkdir()
    for name in CARRIED:
        (tmp_path / "package" / name).symlink_to(ZOO / name)
    monkeypatch.setattr(members, "ZOO", tmp_path / "package")
    monkeypatch.setenv("JAX_ORIGIN_ZOO", str(tmp_path / "fetched"))
    monkeypatch.delenv("JAX_ORIGIN_ZOO_FROM", raising=False)
    return tmp_path / "fetched"


@pytest.fixture(scope="module")
def address():
    """The address of a server that has the zoo's files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=ZOO)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_manifest_has_what_wheels_leave_out(script):
    assert (ZOO / "manifest.json").read_text() == script.manifest(), "run scripts/zoo_manifest.py"
    left_out = {folder.name for folder in script.left_out()}
    assert {folder.parent.name for folder in ZOO.glob("*/card.json")} - left_out == {*CARRIED}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = project["tool"]["setuptools"]["package-data"]["jax_origin"]
    assert all(list((ROOT / "jax_origin").glob(pattern)) for pattern in named)


def test_a_wheel_has_what_the_demonstration_needs(fetched):
    assert zoo_names() == zoo_names(calibrated="origin") == CARRIED
    assert len(absent_names()) == 7


@pytest.mark.parametrize("source", ["folder", "server", "release", "its_folder", "environment"])
def test_a_member_that_was_fetched_is_of_the_zoo(fetched, address, source, tmp_path, monkeypatch):
    where = {"folder": str(ZOO), "server": address, "release": f"{tmp_path}/{{name}}-{{file}}"}
    where["its_folder"] = f"{tmp_path}/"
    if source in ("release", "its_folder"):
        for path in (ZOO / SMALLEST).iterdir():
            shutil.copy(path, tmp_path / f"{SMALLEST}-{path.name}")
    if source == "environment":
        monkeypatch.setenv("JAX_ORIGIN_ZOO_FROM", f"file://{ZOO}/")
    assert fetch_member(SMALLEST, source=where.get(source)) == fetched / SMALLEST
    assert SMALLEST in zoo_names(calibrated="origin-latent")
    generator = jo.load_generator(SMALLEST)
    assert generator.name == SMALLEST and jo.load_calibration(generator).method["name"]
    assert fetch_member(SMALLEST, source="nowhere") == fetched / SMALLEST


def test_the_release_that_the_script_writes_can_be_fetched(fetched, script, tmp_path):
    script.write_release(tmp_path / "release")
    assert fetch_member(SMALLEST, source=f"{tmp_path}/release/{{name}}-{{file}}").is_dir()


def test_a_damaged_or_older_member_is_none_and_is_mended(fetched):
    folder = fetch_member(SMALLEST, source=str(ZOO))
    with open(folder / "calibration-origin-latent.json", "a") as file:
        file.write(" ")
    assert SMALLEST in absent_names()
    fetch_member(SMALLEST, source=str(ZOO))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"weights_sha256": "0" * 64}, indent=2))
    assert SMALLEST in absent_names()
    damaged = (folder / "samples.png").read_bytes()[:-1] + b"?"
    fetch_member(SMALLEST, source=str(ZOO))
    (folder / "samples.png").write_bytes(damaged)
    fetch_member(SMALLEST, source=str(ZOO))
    assert (folder / "samples.png").read_bytes() == (ZOO / SMALLEST / "samples.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("dcgan-cifar1", "x", "the zoo has no 'dcgan-cifar1'; did you mean 'dcgan-cifar10'"),
        (SMALLEST, None, "no public address yet: say --from=FOLDER or --from=URL"),
        (SMALLEST, "nowhere", "cannot be read .No such file or directory.; without a network"),
        (SMALLEST, "{address}/none", "card.json: cannot be read|json: cannot be read .404"),
        (SMALLEST, "http://127.0.0.1:1", "cannot be read .*refused"),
        (SMALLEST, "https://127.0.0.1:1", "cannot be read .*refused"),
        (SMALLEST, "ftp://127.0.0.1", r"^\S+: a folder, https://, http:// or file:// is meant$"),
        (SMALLEST, "{address}/vq-cifar10/card.json?{name}{file}", "not the file of this version"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line(fetched, address, name, source, message):
    where = None if source is None else source.replace("{address}", address)
    with pytest.raises(jo.CheckpointError, match=message) as caught:
        fetch_member(name, source=where)
    assert "\n" not in str(caught.value)
    assert not fetched.exists()


def test_a_member_that_is_not_here_says_how_to_get_it(fetched):
    with pytest.raises(jo.CheckpointError, match=f"jax-origin zoo get {SMALLEST}$"):
        jo.load_generator(SMALLEST)
    with pytest.raises(jo.CheckpointError, match=f"jax-origin zoo get {SMALLEST}$"):
        members.calibration_path(SMALLEST, "origin-latent")


def test_caches_lie_where_the_environment_says(monkeypatch):
    monkeypatch.delenv("JAX_ORIGIN_ZOO", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.join("any", "where"))
    assert members.fetched_folder() == Path("any/where/jax_origin/zoo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert members.fetched_folder() == Path.home() / ".cache/jax_origin/zoo"


def test_the_command_lists_and_gets(fetched, capsys):
    def size(name):
        return f"{sum(path.stat().st_size for path in (ZOO / name).iterdir()) / 1e6:.1f} MB"

    assert main(["zoo", "get", SMALLEST, "vae-cifar10", f"--from={ZOO}"]) == 0
    assert f"{SMALLEST}: {size(SMALLEST)} in {fetched / SMALLEST}" in capsys.readouterr().out
    assert main(["zoo", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert sorted(lines) == members.all_names()
    assert lines[SMALLEST].endswith(f"{size(SMALLEST)}  {fetched / SMALLEST}")
    assert lines["dcgan-cifar10"].endswith(f"{size('dcgan-cifar10')}  in the package")
    assert lines["vq-cifar10"].endswith("not here: jax-origin zoo get vq-cifar10")
    assert main(["zoo", "get", "--all", f"--from={ZOO}"]) == 0
    assert absent_names() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get"], "zoo: name generators: jax-origin zoo get NAME, or --all"),
        (["list", "vq-cifar10"], "zoo: zoo list takes no names"),
        (["gte"], "zoo: flag --action=gte: value should be one of <list|get>"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(["zoo", *arguments])
