"""An audit by workers of a real Ray cluster, one of which is killed again and again."""

import functools
import importlib.util
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks import kills
from jax_origin.audit import check_manifest
from jax_origin.audit.part_files import parts_in
from jax_origin.runs import RunError, share_out

from .real_audits import NUM, ended, prepared, start

pytestmark = pytest.mark.outer
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one machine with three cores, as far as Ray knows."""
    os.environ["RAY_worker_niceness"] = "0"  # Else they wait for whatever else runs.
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    yield cluster
    cluster.shutdown()


def workers() -> dict[int, float]:
    """When each worker that is at a share began, by its process."""
    found, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "cmdline").read_bytes()
            _, _, rest = (path / "stat").read_text().rpartition(")")
        except OSError:
            continue
        parents[int(path.name)] = int(rest.split()[1])
        if name.startswith(b"ray::_Worker.do"):
            found[int(path.name)] = float(rest.split()[19])
    return {pid: since for pid, since in found.items() if parents.get(parents[pid]) == os.getpid()}


def wait_for_workers(num: int, audit: subprocess.Popen) -> dict[int, float]:
    while len(found := workers()) < num:
        assert audit.poll() is None, ended([audit], None)
        time.sleep(0.05)
    return found


@needs_ray
def test_a_worker_of_three_is_killed_five_times(tmp_path, cluster):
    rng, num = random.Random(0), 3 * NUM
    folder = prepared(tmp_path, num)
    flags = (f"--ray={cluster.address}", "--shares=24")
    # Its devices are its workers': it would fail if it asked for a GPU itself.
    audit = start(folder, "many", *flags, platforms="cuda")
    for _ in range(5):
        found = wait_for_workers(1, audit)
        time.sleep(rng.uniform(0, 2))
        os.kill(max(found, key=found.__getitem__), signal.SIGKILL)  # The latest, in its place.
        time.sleep(0.2)
    assert kills.on_disk(folder / "many") < 2 * num
    ended([audit])
    assert kills.records(folder / "many") == kills.records(folder / "whole")
    assert kills.on_disk(folder / "many") == 2 * num
    assert check_manifest(folder / "many") == []
    assert len({part.process for part in parts_in(folder / "many/one/parts")}) == 24
    # One process finds nothing left to do, in whatever way the others shared it.
    ended([start(folder, "many")])
    assert kills.on_disk(folder / "many") == 2 * num


def _until_four_are_there(folder: Path, share: int) -> int:
    """Tells who does a share; after the first ones, it waits until four workers have told so."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 300
    while share >= 3 and len(list(folder.iterdir())) < 4 and time.monotonic() < until:
        time.sleep(0.1)
    return os.getpid()


@needs_ray
def test_a_machine_joins(tmp_path, cluster):
    def tell(done: float, num: float) -> None:
        if done == 1:
            assert len(list(tmp_path.iterdir())) <= 3
            cluster.add_node(num_cpus=1)

    work = functools.partial(_until_four_are_there, tmp_path)
    assert len(set(share_out(work, 12, address=cluster.address, tell=tell))) == 4


def _fatal(share: int) -> int:
    if share == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if share == 2:
        raise ValueError("not this one")
    return share


@needs_ray
def test_what_the_work_raises_ends_it_and_so_does_a_share_that_kills(cluster, monkeypatch):
    monkeypatch.setattr("jax_origin.runs.elastic._MOST_LOST", 2)
    told = []
    assert share_out(abs, 5, address=cluster.address, tell=lambda *n: told.append(n)) == [*range(5)]
    assert told[0] == (0, 5) and told[-1] == (5, 5)
    with pytest.raises(ValueError, match="not this one"):
        share_out(_fatal, 3, address=cluster.address)
    with pytest.raises(RunError, match="share 1 kills its workers, 2 times now"):
        share_out(_fatal, 2, address=cluster.address)


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port"])
def test_no_cluster_is_one_line(address):
    with pytest.raises(RunError, match=rf"^--ray={address}: no Ray cluster can be joined"):
        share_out(abs, 1, address=address)
