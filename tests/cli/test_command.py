"""How commands begin and fail: their list, help, flags, settings, one-line errors, exit codes."""

import errno
import importlib.metadata
import inspect
import io
import os
import re
import subprocess
import sys
import time

import pytest
from absl import app, flags
from ml_collections import ConfigDict

from jax_origin.cli import command, options
from jax_origin.cli.help_text import MOST_USED
from jax_origin.cli.main import COMMANDS
from jax_origin.cli.terminal import coloured
from jax_origin.runtime import ClusterError

from .running import REPOSITORY, run, start


def failing(error: BaseException, *errors: type[Exception]):
    @command.command("try_out", *errors)
    def main() -> None:
        raise error

    return main


def ended_by(error: BaseException, *errors: type[Exception]) -> int | str:
    with pytest.raises(SystemExit) as caught:
        failing(error, *errors)(["try_out.py"])
    return caught.value.code


def test_what_a_user_can_cause_is_one_line_with_the_commands_name():
    assert ended_by(ClusterError("nobody\nis there")) == "try_out: nobody is there"
    assert ended_by(KeyError("own"), KeyError) == "try_out: 'own'"
    full = OSError(errno.ENOSPC, "No space left on device", "out.json")
    assert ended_by(full) == "try_out: out.json: No space left on device"


def test_any_other_failure_is_shown_in_full():
    with pytest.raises(ValueError, match="a mistake of ours"):
        failing(ValueError("a mistake of ours"))(["try_out.py"])


def test_an_interrupt_is_one_line_and_130(capsys):
    assert ended_by(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "try_out: interrupted\n"


def test_an_argument_that_is_no_flag_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(app.UsageError, match="unknown argument 'photos'; is a flag's value"):
        failing(KeyError())(["try_out.py", "photos"])
    done = run(tmp_path, "attribute", "photos", "others")
    assert (done.code, done.line[:40]) == (1, "attribute: unknown argument 'others'; is")


@pytest.mark.parametrize("name", ["attribute", "audit"])
def test_images_are_meant_by_an_argument_without_a_name(tmp_path, name):
    done = run(tmp_path, name, "photos")
    assert (done.code, done.line) == (1, f"{name}: photos: no such file or folder")


def test_the_version_is_that_of_the_package(tmp_path):
    done = run(tmp_path, "--version")
    assert (done.code, done.out) == (0, f"jax_origin {importlib.metadata.version('jax_origin')}\n")


def test_without_a_command_or_with_a_wrong_one_the_commands_are_listed(tmp_path):
    for arguments, code in (((), 1), (("atribute",), 1), (("--help",), 0)):
        done = run(tmp_path, *arguments)
        lines = (done.out or done.err).splitlines()
        assert done.code == code
        for name in COMMANDS:
            assert sum(line.startswith(f"  {name} ") for line in lines) == 1
    assert "did you mean 'attribute'?" in run(tmp_path, "atribute").err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_commands_own_flags_and_is_quick(tmp_path, name):
    began = time.perf_counter()
    done = start(tmp_path, "-X", "importtime", "-m", "jax_origin", name, "--help")
    seconds = time.perf_counter() - began
    assert done.code == 0 and f"jax-origin {name}" in done.out
    without = ("verify", "export", "zoo", "completion")
    assert "Exit code" in done.out and ("--config" in done.out) == (name not in without)
    assert ("--images" in done.out) == (name in ("attribute", "audit"))
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert not imported & {"jax", "flax", "optax", "scipy", "PIL", "numpy.random", "torch"}
    assert seconds < 10  # Alone it takes less than one; other tests run beside it.


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_the_most_used_flags(tmp_path, name):
    given = flags.FlagValues()
    getattr(options, name)(given)
    assert {*MOST_USED[name]} <= {*given} and len(MOST_USED[name]) <= 10
    head, _, rest = run(tmp_path, name, "--help").out.partition("most used flags:\n")
    most, _, others = rest.partition("\nmore flags:\n")
    assert head.startswith(inspect.getdoc(getattr(options, name)))
    listed = [re.findall(r"^  --(?:\[no\])?(\w+)", part, re.MULTILINE) for part in (most, others)]
    assert listed[0] == [*MOST_USED[name]]
    has_config = (REPOSITORY / f"jax_origin/cli/configs/{name}.py").exists()
    expected = {*given} - {*MOST_USED[name]} | ({"config"} if has_config else set())
    assert listed[1] == sorted(expected)
    assert all(len(line) <= 100 for line in rest.splitlines())
    short = run(tmp_path, name, "--helpshort").out
    assert most in short and "more flags:" not in short
    assert "--flagfile=FILE" in run(tmp_path, name, "--helpfull").out


@pytest.mark.parametrize("arguments", ["--help", "attribute --help", "completion bash"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path, arguments):
    line = f"{sys.executable} -m jax_origin {arguments} | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == (str(command.NO_READER), "")


def test_of_other_libraries_only_errors_reach_the_terminal(tmp_path):
    program = """
import logging, warnings
from jax_origin.cli.main import main
main(["--help"])
logging.getLogger("jax._src.xla_bridge").warning("A Google TPU may be present on this machine")
logging.getLogger("jax._src.xla_bridge").warning("An NVIDIA GPU may be present on this machine")
warnings.warn("a parameter is deprecated")
logging.getLogger("orbax").error("the disk is full")
logging.getLogger("jax_origin.inversion.engine").warning("out of memory on the device")
"""
    done = start(tmp_path, "-c", program)
    assert done.code == 0 and len(done.out.splitlines()) > len(COMMANDS)
    note, error, own = done.err.splitlines()
    assert note.startswith("note: there seems to be an NVIDIA GPU") and "jax[cuda12]" in note
    assert error == "orbax: the disk is full" and own == "note: out of memory on the device"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_verdicts_have_colours_and_a_legend_on_a_terminal_alone(monkeypatch):
    table = "verdict  image\nbelongs  a.png\nundecided  belongs.png"
    assert coloured(table) == table
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = coloured(table).splitlines()
    assert lines[0] == "verdict  image" and lines[1].startswith("\x1b[38;5;33mbelongs\x1b[0m  a")
    assert lines[2] == "\x1b[90mundecided\x1b[0m  belongs.png"
    assert any(line.startswith("not_recognised  nothing speaks for the model") for line in lines)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = coloured(table)
    assert plain.startswith(table) and "\x1b" not in plain and "nothing speaks" in plain


def test_scripts_take_the_same_flags(tmp_path):
    script = str(REPOSITORY / "scripts/convert_checkpoint.py")
    done = start(tmp_path, script, "--source=none.pt", "--kind=dcgan", "--out=made")
    assert (done.code, done.out) == (1, "")
    assert done.line == "convert: none.pt: no such file"
    config = str(REPOSITORY / "configs/attribute.py")
    done = run(tmp_path, "attribute", f"--config={config}", "--config.seed=1", "--alpha=3")
    assert (done.code, done.line) == (
        1,
        "attribute: --alpha=3.0: must lie strictly between 0 and 1",
    )


FAULTS = {
    "--config.sed=3": "--config.sed: there is no such setting; did you mean 'seed'?",
    "--config.zzzz=3": "--config.zzzz: there is no such setting",
    "--config.seed.x=3": "--config: ",
    "--config=none.py": "none.py",
    "--config=broken.py": "broken.py",
    "--config=raises.py": "raises.py raised NameError: name 'nothing' is not defined",
    "--config.seed=many": "flag --config.seed=many: invalid literal for int()",
    "--config.resize=maybe": "flag --config.resize=maybe",
    "--seed=many": "flag --seed=many",
    "--seed": "Missing value for flag --seed",
    "--sede=3": "Unknown command line flag 'sede'. Did you mean: seed ?",
    "--seed=99999999999999999999": "--seed=99999999999999999999: must have at most 32 bits",
    "--alpha=0": "--alpha=0.0: must lie strictly between 0 and 1",
    "--config.beta=2.": "--beta=2.0: must lie strictly between 0 and 1",
    "--max_false_attribution=nan": "--max_false_attribution=nan: must lie strictly",
    "--config.blocks=0": "--config.blocks: blocks must be at least 1, not 0",
    "--config.sheet_images=0": "--config.sheet_images=0: must be at least 1",
}


@pytest.mark.parametrize("argument", FAULTS)
def test_a_wrong_flag_or_setting_is_one_line(tmp_path, argument):
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    (tmp_path / "raises.py").write_text("def get_config():\n    return nothing\n")
    done = run(tmp_path, "attribute", argument)
    assert (done.code, done.out) == (1, "")
    assert done.line.startswith("attribute: ")
    assert FAULTS[argument] in done.line


def test_only_flags_that_were_given_change_a_config(tmp_path, monkeypatch):
    seen = []

    def define(given: flags.FlagValues) -> None:
        """Help."""
        flags.DEFINE_integer("seed", None, "", flag_values=given)
        flags.DEFINE_bool("resize", None, "", flag_values=given)

    def work(config: ConfigDict, given: flags.FlagValues) -> int:
        seen.append((config.seed, config.resize))
        return 7

    config = str(REPOSITORY / "configs/audit.py")
    for arguments in ([], ["--noresize", "--seed=5"], ["--resize"], ["--config.seed=3"]):
        assert command.run("try_out", define, work, arguments, config=config) == 7
    assert seen == [(1, False), (5, False), (1, True), (3, False)]


def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path, tmp_path / "file/a.json", tmp_path / f"{'a' * 300}.json"):
        with pytest.raises(command.CommandError, match="--out="):
            command.check_writable(wrong, "--out")
    command.check_writable(tmp_path / "new/a.json", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_kinds_that_convert_offers_are_those_that_there_are():
    from jax_origin.generators.files import KINDS

    assert list(options.KINDS) == sorted(KINDS)
