"""Several processes that come to their end at different times."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.outer
ROOT = Path(__file__).parents[1]
# JAX's own patience at the end is five minutes: here it is two seconds.
PROGRAM = """
import os, signal, sys, time
from jax._src.lib import _jax
client = _jax.get_distributed_runtime_client
_jax.get_distributed_runtime_client = lambda *a, **k: client(*a, **{**k, "shutdown_timeout": 2})
from jax_origin.runtime import join_processes, telling_others, wait_for_all
address, process, leaves, how = sys.argv[1], *map(int, sys.argv[2:])
join_processes(coordinator=address, num_processes=2, process_id=process)

@telling_others()
def main():
    wait_for_all("begin")
    if process == leaves:
        raise SystemExit(how)
    for _ in range(8):
        time.sleep(1)
    print("its share is done", flush=True)
    if how:
        wait_for_all("end")

main()
"""


@pytest.mark.parametrize("leaves", [0, 1])
@pytest.mark.parametrize("how", [0, 4])
def test_one_that_ends_early_leaves_the_other_at_work(leaves, how):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(process), str(leaves), str(how)],
            env=environment,
            **pipes,
        )
        for process in range(2)
    ]
    with pytest.raises(subprocess.TimeoutExpired):  # It waits, and a signal does not end it.
        both[leaves].wait(timeout=8)
    both[leaves].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=120)[0] for process in both]
    assert both[leaves].returncode == how, said[leaves]
    stays = said[1 - leaves]
    assert "its share is done" in stays
    assert both[1 - leaves].returncode == bool(how), stays
    assert (f"process {leaves} has stopped" in stays) == bool(how)
