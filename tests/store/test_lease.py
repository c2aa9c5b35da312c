"""One engine works; the others know who, and a holder that comes back late can write nothing."""

from __future__ import annotations

import pytest

from console.model.ids import instant
from console.store.errors import LeaseLost
from console.store.lease import ENGINE, HeldBy, Lease, acquire, begin_anew, release, renew
from console.store.open import Store

SECOND = 1_000_000


def taken(store: Store, holder: str, at: float) -> Lease:
    found = acquire(store, ENGINE, holder, 10, now_us=round(at * SECOND))
    assert isinstance(found, Lease)
    return found


def test_the_second_engine_is_told_who_holds_the_lease_and_since_when(store: Store) -> None:
    taken(store, "host-1:17", 100)
    assert HeldBy("host-1:17", instant(100 * SECOND), instant(110 * SECOND)) == acquire(
        store, ENGINE, "host-2:9", 10, now_us=105 * SECOND
    )


def test_an_engine_that_died_is_followed_once_its_lease_is_over(store: Store) -> None:
    first = taken(store, "host-1:17", 100)
    second = taken(store, "host-2:9", 111)
    assert (1, 2) == (first.fence, second.fence)
    with pytest.raises(LeaseLost, match="fence 1"):
        renew(store, ENGINE, first, 10, now_us=112 * SECOND)


def test_a_renewed_lease_keeps_its_fence_and_lasts_longer(store: Store) -> None:
    first = taken(store, "host-1:17", 100)
    later = renew(store, ENGINE, first, 10, now_us=108 * SECOND)
    assert (first.fence, instant(118 * SECOND)) == (later.fence, later.until)
    assert isinstance(acquire(store, ENGINE, "host-2:9", 10, now_us=115 * SECOND), HeldBy)


def test_a_released_lease_is_free_at_once_and_its_fence_is_over(store: Store) -> None:
    first = taken(store, "host-1:17", 100)
    release(store, ENGINE, first)
    with pytest.raises(LeaseLost):
        renew(store, ENGINE, first, 10, now_us=101 * SECOND)
    assert 2 == taken(store, "host-2:9", 101).fence
    release(store, ENGINE, first)
    assert isinstance(acquire(store, ENGINE, "host-3:1", 10, now_us=102 * SECOND), HeldBy)


def test_a_lease_that_begins_anew_was_nobody_elses_in_between_and_ends_its_old_fence(store: Store) -> None:
    first = taken(store, "host-1:17", 100)
    second = begin_anew(store, ENGINE, first)
    assert (2, first.until) == (second.fence, second.until)
    assert isinstance(acquire(store, ENGINE, "host-2:9", 10, now_us=101 * SECOND), HeldBy)
    with pytest.raises(LeaseLost), store.write(first.fence):
        pass
    with pytest.raises(LeaseLost, match="fence 1"):
        begin_anew(store, ENGINE, first)
    assert second.fence == renew(store, ENGINE, second, 10, now_us=102 * SECOND).fence


def test_the_clock_of_a_lease_is_the_real_one(store: Store) -> None:
    assert isinstance(acquire(store, ENGINE, "one", 60), Lease)
    assert isinstance(acquire(store, ENGINE, "two", 60), HeldBy)
