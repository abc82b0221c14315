"""jax-origin serve: what it refuses before it listens."""

import socket

import pytest

from .running import run

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_mib=0"], "--max_mib=0: must be at least 1"),
        (["--port=70000"], "--port=70000: must lie between 0 and 65535"),
        (["--host=no.such.host.invalid"], "--host=no.such.host.invalid --port=8000: "),
        (["--port=0", "--candidate=none"], "none: no such generator"),
        (["--port=0", "--alpha=2"], "--alpha=2.0: must lie strictly between 0 and 1"),
        (["image.png"], "unknown argument 'image.png'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = run(tmp_path, "serve", *arguments)
    assert (done.code, done.out) == (1, "") and done.line.startswith(f"serve: {message}"), done


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "serve", f"--port={port}")
    assert done.line == f"serve: --port={port}: cannot listen on it (Address already in use): " + (
        "give another"
    )


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run(tmp_path, "serve")
    assert done.line == (
        "serve: starlette and uvicorn not installed "
        "(pip install 'jax_origin[serve]', in a checkout pip install -e '.[serve]')"
    )
