"""jax-origin completion: what a real bash completes with its script."""

import shutil
import subprocess

import pytest

from jax_origin.cli.main import COMMANDS
from jax_origin.zoo import zoo_names

from .running import run

BASH = shutil.which("bash")
ASK = """
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_jax_origin
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    done = run(folder, "completion", "bash")
    assert done.code == 0, done.err
    path = folder / "jax-origin.bash"
    path.write_text(done.out)
    return path


def completed(script, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    if BASH is None:
        pytest.skip("there is no bash")
    arguments = [BASH, "--norc", "-c", ASK, "bash", str(script), "jax-origin", *words]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands(script):
    assert completed(script, "") == [*COMMANDS]
    assert completed(script, "a") == ["attribute", "audit", "ask"]


def test_flags(script):
    assert completed(script, "attribute", "--exp") == ["--explain"]
    assert "--noexplain" in completed(script, "attribute", "--no")
    assert completed(script, "plot", "scores", "--con") == ["--condition="]
    assert completed(script, "verify", "--alpha") == []


def test_generators_and_choices(script):
    # As bash splits words at the equals sign, and as it does where it is told not to.
    assert completed(script, "attribute", "--generator", "=") == zoo_names()
    assert completed(script, "audit", "--candidate", "=", "vae") == ["vae-cifar10"]
    assert completed(script, "ask", "a.png", "--candidate=vae") == ["--candidate=vae-cifar10"]
    assert completed(script, "attribute", "--readings", "=", "u") == ["usual"]
    assert completed(script, "plot", "r") == ["roc", "robustness"]
    assert completed(script, "completion", "") == ["bash", "zsh"]


def test_where_files_are_meant_bash_completes_them(script):
    assert completed(script, "attribute", "--images", "=", "") == []
    assert "complete -o default -F _jax_origin jax-origin" in script.read_text()


def test_zsh_and_other_shells(tmp_path):
    script = run(tmp_path, "completion", "zsh").out
    assert script.startswith("#compdef jax-origin\n")
    for name in COMMANDS:
        assert f"\n        {name}) _arguments" in script
    if zsh := shutil.which("zsh"):
        (tmp_path / "_jax-origin").write_text(script)
        subprocess.run([zsh, "-n", str(tmp_path / "_jax-origin")], check=True, timeout=60)
    done = run(tmp_path, "completion")
    assert (done.code, done.line) == (
        1,
        "completion: name a shell: jax-origin completion bash, or zsh",
    )
    assert "should be one of <bash|zsh>" in run(tmp_path, "completion", "fish").line
