"""What a program sets up before it uses JAX: a cache of compiled programs, several processes."""

import atexit
import collections
import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import jax

Item = TypeVar("Item")

_OURS = "jax_origin/"  # What we leave with JAX's coordinator.
_LOOK_EVERY = 0.2  # Seconds between looks at who has come.
_visits = collections.Counter[str]()


class ClusterError(ValueError):
    """Processes that cannot find each other; one line says what to do."""


def keep_compiled_programs(folder: str | os.PathLike[str]) -> None:
    """Lets JAX keep what it compiles in a folder, and read it back in later runs.

    If JAX_COMPILATION_CACHE_DIR is set, JAX uses that folder instead.

    Args:
      folder: The folder; "~" stands for the user's own. If it is empty, nothing is kept.
    """
    if not folder or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    jax.config.update("jax_compilation_cache_dir", os.path.expanduser(os.fspath(folder)))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def join_processes(
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Makes this process one of several that share the work. Call it before any other use of JAX.

    Without arguments JAX asks the cluster's environment: it knows Slurm, Open MPI, Kubernetes and
    Google's TPU machines (`jax.distributed.initialize`).

    Args:
      coordinator: Address and port of process 0, "host:1234".
      num_processes: How many processes there are.
      process_id: Which one this is, from 0 on.

    Raises:
      ClusterError: If the processes cannot be joined.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is not None for value in given) and None in given:
        raise ClusterError(
            "--coordinator, --num_processes and --process_id go together: give all three, or none "
            "where the cluster says them"
        )
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
        atexit.register(_end_together)  # It runs before JAX's own, which is registered by now.
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ClusterError(
            f"the processes cannot be joined ({reason}): give --coordinator=HOST:PORT, "
            "--num_processes and --process_id"
        ) from None


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def own_share(items: Sequence[Item]) -> list[Item]:
    """This process's share of the items; each item falls to one process."""
    return list(items[jax.process_index() :: jax.process_count()])


def wait_for_all(name: str) -> None:
    """Waits until every process has come here, however long that takes.

    It asks JAX's coordinator, and no device: nothing times out, and signals are heard while it
    waits. Where a process dies, JAX ends the others within two minutes.

    Args:
      name: Tells places apart. All processes come to the same ones in the same order.

    Raises:
      ClusterError: If another process has left by an error, or because it was told to.
    """
    num = jax.process_count()
    if num == 1:
        return
    client, _, _ = _coordinator()
    _visits[name] += 1
    place = f"{_OURS}{name}/{_visits[name]}/"
    client.key_value_set(f"{place}{jax.process_index()}", "here")
    while len(client.key_value_dir_get(place)) < num:
        if left := client.key_value_dir_get(f"{_OURS}left/"):
            which = left[0][0].rpartition("/")[2]
            raise ClusterError(
                f"process {which} has stopped: see what it says; what this one has done is kept, "
                "and the same command goes on, with any number of processes"
            )
        time.sleep(_LOOK_EVERY)


@contextlib.contextmanager
def telling_others() -> Iterator[None]:
    """Lets the other processes know where this one leaves the block by an error."""
    try:
        yield
    except BaseException:
        if jax.distributed.is_initialized():
            # Where the coordinator has gone, JAX ends all processes.
            with contextlib.suppress(Exception):
                client, process, _ = _coordinator()
                client.key_value_set(f"{_OURS}left/{process}", "", True)
        raise


def _end_together() -> None:
    """Waits until every process has come to its end.

    JAX has them wait there too, but for five minutes only; then it would end those still at work.
    So would the end of this process: it does not hear SIGTERM while it waits.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(Exception):  # The coordinator has gone, or JAX was shut down before.
        client, process, num = _coordinator()
        client.key_value_set(f"{_OURS}end/{process}", "here", True)
        while len(client.key_value_dir_get(f"{_OURS}end/")) < num:
            time.sleep(_LOOK_EVERY)


def _coordinator() -> tuple[Any, int, int]:
    """What talks to JAX's coordinator; which process this is, of how many. Asks no device."""
    from jax._src import distributed  # As Orbax does: nothing public talks to the coordinator.

    state = distributed.global_state
    assert state.client is not None
    return state.client, state.process_id, state.num_processes
