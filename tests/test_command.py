"""How the commands in scripts/ begin and fail."""

import sys

import pytest
from absl import app, flags
from ml_collections import ConfigDict

from jax_origin.command import command, define_processes, overridden
from jax_origin.runtime import ClusterError


def failing(error: Exception):
    @command("try_out", KeyError, ClusterError)
    def main() -> None:
        raise error

    return main


def test_what_a_user_can_cause_is_one_line_with_the_scripts_name():
    with pytest.raises(SystemExit) as caught:
        failing(ClusterError("nobody is there"))(["try_out.py"])
    assert caught.value.code == "try_out: nobody is there"


def test_any_other_failure_is_shown_in_full():
    with pytest.raises(ValueError, match="a mistake of ours"):
        failing(ValueError("a mistake of ours"))(["try_out.py"])


def test_an_argument_that_is_no_flag_is_refused_before_anything_runs():
    with pytest.raises(app.UsageError, match="unknown argument 'photos'; is a flag's value"):
        failing(KeyError())(["try_out.py", "photos"])


@pytest.fixture
def defined():
    """Flags defined in a test, which are taken away after it."""
    known = set(flags.FLAGS)
    yield
    for name in set(flags.FLAGS) - known:
        delattr(flags.FLAGS, name)


def test_only_flags_that_were_given_change_a_config(defined):
    one = flags.DEFINE_integer("one", None, "")
    two = flags.DEFINE_bool("two", None, "")
    flags.FLAGS(["try_out.py", "--notwo"])
    config = ConfigDict({"one": 1, "two": True})
    assert overridden(config, [one, two]).to_dict() == {"one": 1, "two": False}


def test_the_flags_of_processes_are_the_callers_own_and_do_nothing_by_default(defined):
    join = define_processes()
    shown = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])}
    assert shown >= {"distributed", "coordinator", "num_processes", "process_id"}
    flags.FLAGS(["try_out.py", "--coordinator=127.0.0.1:1"])
    join()
    flags.FLAGS(["try_out.py", "--distributed"])
    with pytest.raises(ClusterError, match="go together"):
        join()
