"""Work is done ahead, in order, and no further than it may be."""

import itertools
import threading
import time

import pytest

from jax_origin.images import map_ahead


def test_results_come_in_the_order_of_their_items():
    def slow_if_even(item):
        time.sleep(0.01 * (item % 2 == 0))
        return item, threading.get_ident()

    found = list(map_ahead(slow_if_even, range(20), workers=4, ahead=8))
    assert [item for item, _ in found] == list(range(20))
    assert len({thread for _, thread in found}) > 1
    assert threading.get_ident() not in {thread for _, thread in found}


def test_work_is_done_at_the_same_time():
    # Each waits for the others: one after the other would never end.
    barrier = threading.Barrier(3, timeout=10)
    assert list(map_ahead(lambda item: barrier.wait() * 0 + item, range(3), workers=3)) == [0, 1, 2]


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_so_many_items_are_taken_ahead_and_no_more(ahead):
    taken = 0

    def without_end():
        nonlocal taken
        for item in itertools.count():
            taken += 1
            yield item

    results = map_ahead(lambda item: -item, without_end(), workers=2, ahead=ahead)
    assert taken == 0  # nothing is asked for yet
    for count in range(1, 21):
        assert next(results) == 1 - count
        assert taken == count + ahead
    results.close()
    assert taken == 20 + ahead


def test_what_is_ahead_is_done_before_it_is_asked_for():
    done = threading.Event()
    results = map_ahead(lambda item: done.set() if item == 2 else item, range(5), ahead=3)
    assert next(results) == 0
    assert done.wait(timeout=10)  # item 2, of which nobody has asked


def test_few_items_or_none_are_done_too():
    assert list(map_ahead(str, [7], workers=4, ahead=128)) == ["7"]
    assert list(map_ahead(str, [], workers=4, ahead=128)) == []


def test_an_exception_comes_out_at_its_item_s_place():
    def fails_at_three(item):
        if item == 3:
            raise KeyError("no three")
        time.sleep(0.02 * (item == 2))  # The failure is there before the result before it is.
        return item

    results = map_ahead(fails_at_three, range(10), workers=4, ahead=6)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="no three"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_whoever_stops_asking_does_not_wait_for_what_nobody_looks_at(how):
    begun: list[int] = []

    def slow(item):
        begun.append(item)
        if item == 0:
            return item
        if item == 1 and how == "failed":
            raise KeyError("broken")
        time.sleep(0.1)
        return item

    results = map_ahead(slow, range(100), workers=2, ahead=64)
    assert next(results) == 0
    began = time.perf_counter()
    if how == "closed":
        results.close()
    else:
        with pytest.raises(KeyError):
            next(results)
    # Two that were under way, not sixty that were waiting: those would take three seconds.
    assert time.perf_counter() - began < 2
    after = len(begun)
    assert after < 12
    time.sleep(0.15)
    assert len(begun) == after
