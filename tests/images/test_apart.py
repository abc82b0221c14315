"""A decoder that hangs or crashes takes its process along, and nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_origin.images import Decoders, ImageError, map_ahead, open_image, save_png

HEADER = b"\xff\x0a\x41"  # As the plugin has it, which is not to be imported here.
MADE = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


@pytest.fixture
def plugin(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent / "failing")


@pytest.fixture
def decoders(plugin):
    with Decoders(2, seconds=2.0) as decoders:
        yield decoders


def test_a_file_is_opened_as_in_this_process(decoders, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    save_png(tmp_path / "a.png", pixels)
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    for source in (tmp_path / "a.png", str(tmp_path / "a.jpg"), (tmp_path / "a.jpg").read_bytes()):
        ours, theirs = open_image(source), decoders(open_image, source)
        assert np.array_equal(ours.pixels, theirs.pixels) and ours.path == theirs.path
        assert ours.stored.kind == theirs.stored.kind and ours.sha256 == theirs.sha256
        for one, other in zip(ours.stored.coefficients, theirs.stored.coefficients, strict=True):
            assert np.array_equal(one, other)
    with pytest.raises(ImageError, match=r"a\.png: is 6x5 \(HxW\), the generator makes 3x3"):
        decoders(open_image, tmp_path / "a.png", size=(3, 3))
    with pytest.raises(ValueError, match="3 channels"):
        decoders(open_image, tmp_path / "a.png", channels=2)


@pytest.mark.outer
def test_files_whose_decoder_hangs_or_crashes_are_named_and_the_rest_goes_on(decoders, tmp_path):
    reasons = {
        b"hangs": "its decoder takes more than 2 s (--decode_seconds); convert it to PNG",
        b"crashes": (
            "its decoder crashes (Segmentation fault); convert it to PNG with another program"
        ),
    }
    words = [b"fine", b"hangs", b"fine", b"crashes", b"fine"]
    paths = [tmp_path / f"{i}.jxl" for i in range(len(words))]
    for path, word in zip(paths, words, strict=True):
        path.write_bytes(HEADER + word)

    def opened(path):
        try:
            return decoders(open_image, path)
        except ImageError as error:
            return error

    for path, word, found in zip(paths, words, map_ahead(opened, paths), strict=True):
        if word == b"fine":  # What the decoder prints is no part of the answer.
            assert np.array_equal(found.pixels, MADE)
        else:
            assert str(found) == f"{path}: {reasons[word]}"


def processes_of(decoders) -> set[int]:
    return {process.pid for process in decoders._all}


def test_its_processes_begin_when_they_are_needed_know_no_jax_and_end_with_it(plugin):
    with Decoders(4) as decoders:
        assert not processes_of(decoders)
        decoders(open_image, HEADER)
        (process,) = processes_of(decoders)
        maps = Path(f"/proc/{process}/maps")
        if maps.exists():
            assert "jaxlib" not in maps.read_text()
        # Told to all processes of a terminal or a batch job, this is not for them.
        for each in (signal.SIGINT, signal.SIGTERM):
            os.kill(process, each)
        decoders(open_image, HEADER)
        assert processes_of(decoders) == {process}
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(OSError, match="have ended"):
        decoders(open_image, HEADER)


@pytest.mark.outer
def test_whoever_waits_for_a_decoder_that_hangs_is_set_free_at_the_end(plugin):
    ended = threading.Event()

    def wait():
        with pytest.raises(ImageError):
            decoders(open_image, HEADER + b"hangs")
        ended.set()

    with Decoders(1, seconds=600) as decoders:
        decoders(open_image, HEADER)
        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.2)
    assert ended.wait(5)


@pytest.mark.outer
def test_a_decoder_that_hangs_ends_though_its_parent_was_killed(plugin, tmp_path):
    program = """
from jax_origin.images import Decoders, open_image
with Decoders(1, seconds=1) as decoders:
    decoders(open_image, b"\\xff\\x0a\\x41")
    print(*(process.pid for process in decoders._all), flush=True)
    decoders(open_image, b"\\xff\\x0a\\x41hangs")
"""
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], env=where, stdout=subprocess.PIPE)
    process = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("it is still there")


def test_processes_that_cannot_be_started_are_an_error_and_no_verdict_on_files(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with Decoders(1) as decoders, pytest.raises(OSError, match=r"\(exit code 1\); --decoders=0"):
        decoders(open_image, HEADER)


@pytest.mark.parametrize("options", [{"num": 0}, {"num": 1, "seconds": 0}])
def test_wrong_numbers_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Decoders(**options)
