"""Work cut into shares, which workers on a Ray cluster do: they may die, and more may join."""

import collections
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jax_origin.parts import installing
from jax_origin.runs.record import RunError

Found = TypeVar("Found")

_MOST_LOST = 20  # Workers that one share may cost; then it is the share that kills them.
_ANSWER = 10.0  # Seconds within which a cluster has to answer.


def share_out(
    work: Callable[[int], Found],
    num: int,
    *,
    address: str,
    tell: Callable[[float, float], None] = lambda done, num: None,
) -> list[Found]:
    """Has workers do `work(0)`, ..., `work(num - 1)`; a lost worker's share goes to another.

    Each worker is an actor of Ray, a process that has a GPU to itself, or a core where the cluster
    has no GPUs. One more than there is room for is always asked for while shares wait: it begins
    when a worker has died or a machine has joined. A share that was begun by one worker is done
    again by another, so `work` has to go on where it was.

    Args:
      work: Called in the workers. Ray pickles it.
      num: How many shares there are.
      address: "local" begins a cluster on this machine, which ends with the work; otherwise that of
        a cluster, "HOST:PORT" or "auto".
      tell: Told how many shares are done, of how many.

    Returns:
      What each share's work has returned.

    Raises:
      RunError: Ray is not installed, there is no cluster, or a share has killed too many workers.
      Exception: What `work` has raised.
    """
    with on_cluster(address) as ray:
        return _Sharing(ray, work, num).done(tell)


@contextlib.contextmanager
def on_cluster(address: str) -> Iterator[Any]:
    """Joins a Ray cluster, for as long as the block lasts; inside another such block, nothing.

    Args:
      address: As `share_out` takes it.

    Yields:
      Ray's module.

    Raises:
      RunError: Ray is not installed, or there is no cluster.
    """
    ray = _need_ray()
    began = not ray.is_initialized()
    if began:
        _connect(ray, address)
    try:
        yield ray
    finally:
        if began:
            ray.shutdown()  # Workers end with it.


class _Worker:
    """A process that does one share after the other."""

    def here(self) -> None:
        """Returns once the worker has begun."""

    def do(self, work: Callable[[int], Found], share: int) -> Found:
        return work(share)


class _Sharing:
    """Which worker does what."""

    def __init__(self, ray: Any, work: Callable[[int], Any], num: int) -> None:
        self._ray, self._work = ray, ray.put(work)
        self._found: dict[int, Any] = {}
        self._num, self._waiting = num, collections.deque(range(num))
        self._idle: list[Any] = []
        self._under_way: dict[Any, tuple[Any, int | None]] = {}  # None: a worker that was asked for
        self._lost = collections.Counter[int | None]()
        gpus = ray.cluster_resources().get("GPU", 0) >= 1
        needs = {"num_gpus": 1} if gpus else {"num_cpus": 1}
        self._begin = ray.remote(**needs)(_Worker).remote

    def done(self, tell: Callable[[float, float], None]) -> list[Any]:
        """What all shares have come to."""
        tell(0, self._num)
        while len(self._found) < self._num:
            self._assign()
            ended, _ = self._ray.wait(list(self._under_way), num_returns=1)
            for reference in ended:
                self._end(reference)
            tell(len(self._found), self._num)
        return [self._found[share] for share in range(self._num)]

    def _assign(self) -> None:
        while self._waiting and self._idle:
            worker, share = self._idle.pop(), self._waiting.popleft()
            self._under_way[worker.do.remote(self._work, share)] = worker, share
        if self._waiting and not any(share is None for _, share in self._under_way.values()):
            worker = self._begin()
            self._under_way[worker.here.remote()] = worker, None

    def _end(self, reference: Any) -> None:
        worker, share = self._under_way.pop(reference)
        errors = self._ray.exceptions
        try:
            found = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayActorError as error:
            self._ray.kill(worker)  # It may only be out of reach.
            self._lost[share] += 1
            if self._lost[share] >= _MOST_LOST:
                what = "no worker begins" if share is None else f"share {share} kills its workers"
                said = " ".join(str(error).split())
                raise RunError(f"--ray: {what}, {_MOST_LOST} times now ({said})") from None
            if share is not None:
                self._waiting.append(share)
            return
        self._idle.append(worker)
        if share is None:
            self._lost[None] = 0
        else:
            self._found[share] = found


def _connect(ray: Any, address: str) -> None:
    local = {"include_dashboard": False} if address == "local" else {}
    host, colon, port = address.rpartition(":")
    before = signal.getsignal(signal.SIGTERM)
    try:
        if colon and "/" not in host:  # Where nobody answers, Ray would wait for minutes.
            socket.create_connection((host, int(port)), timeout=_ANSWER).close()
        ray.init(address=address, logging_level="ERROR", **local)
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise RunError(f"--ray={address}: no Ray cluster can be joined ({said})") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            # Ray has put its own in its place.
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _need_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise RunError(f"--ray: Ray is not installed ({installing('ray')})") from None
    return ray
