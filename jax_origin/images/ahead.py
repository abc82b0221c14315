"""Work done ahead of its use, in threads, a bounded number of items at a time."""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    fn: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 4, ahead: int = 128
) -> Iterator[Result]:
    """Applies a function to items in worker threads, ahead of the consumer; yields in order.

    Args:
      fn: The function; its exceptions are raised at their item's place.
      items: Any number of them, consumed as results are.
      workers: Threads.
      ahead: The most results, done or under way, that wait.
    """
    source = iter(items)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            waiting = collections.deque(
                pool.submit(fn, item) for item in itertools.islice(source, ahead)
            )
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(fn, item) for item in itertools.islice(source, 1))
                yield result
        finally:
            # Whoever stops asking shall not wait for what nobody will look at.
            pool.shutdown(wait=False, cancel_futures=True)
