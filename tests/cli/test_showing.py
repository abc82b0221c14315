"""What commands say while they work, and who opens their files."""

import time

import jax
import jax.numpy as jnp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict

from jax_origin.cli import settings, showing
from jax_origin.images import Decoders
from jax_origin.sources import open_sources


def compile_something() -> None:
    scale = time.time()  # Another program each time: no cache has it.
    jax.jit(lambda x: jnp.sin(x) * scale)(jnp.ones(3))


def test_long_compiling_is_said_and_how_long_it_took(monkeypatch, capsys):
    with showing.showing():
        compile_something()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(showing, "_LONG", 0.0)
    with showing.showing():
        compile_something()
        compile_something()
    first, *others = capsys.readouterr().err.splitlines()
    cache = jax.config.jax_compilation_cache_dir
    assert first == f"compiling for this machine, once per shape; kept in {cache}"
    assert len(others) >= 2 and set(others) == {"compiled in 0 s"}
    compile_something()  # Nobody listens any more.
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("asked", "files", "num"), [(None, 255, 0), (None, 256, "some"), (0, 256, 0), (3, 1, 3)]
)
def test_many_files_are_opened_in_processes(asked, files, num):
    config = ConfigDict({"decoders": asked or 0, "decode_seconds": 5.0})
    if asked is None:
        config = ConfigDict({"decode_seconds": 5.0, "decoders": None})
    with settings.decoders_of(config, iter(range(files))) as decoders:
        if num == 0:
            assert decoders is None
        else:
            assert isinstance(decoders, Decoders) and decoders.seconds == 5.0
            assert decoders.num == num if num != "some" else 2 <= decoders.num <= 4


def test_what_is_counted_is_known_when_all_is_counted():
    count = showing.Counting(iter(range(1000)))
    for _ in range(100):
        if count() is not None:
            break
        time.sleep(0.01)
    assert count() == 1000
    assert showing.Counting(None)() is None


def test_a_source_that_knows_its_length_is_not_read_to_count_it(tmp_path):
    pq.write_table(pa.table({"image": [b"small"] * 7}), tmp_path / "seven.parquet")
    count = showing.Counting(open_sources([str(tmp_path / "seven.parquet")]))
    while count() is None:
        time.sleep(0.01)
    assert count() == 7
