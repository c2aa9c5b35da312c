"""One engine works; the others know who, and a holder that comes back late can write nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.domain.ids import instant
from console.store.db.database import Database
from console.store.db.lease import (
    HeldLease,
    LeaseHolder,
    acquire_lease,
    release_lease,
    renew_fence,
    renew_lease,
    store_id,
)
from console.store.errors import LeaseLost, StoreTooNew
from tests.store.ready import open_ready

SECOND = 1_000_000


def acquired(store: Database, holder: str, at: float) -> HeldLease:
    lease = acquire_lease(store, holder, 10, now_us=round(at * SECOND))
    assert isinstance(lease, HeldLease)
    return lease


def test_the_second_engine_learns_who_holds_the_lease_and_since_when(store: Database) -> None:
    acquired(store, "host-1:17", 100)
    assert LeaseHolder("host-1:17", instant(100 * SECOND), instant(110 * SECOND)) == acquire_lease(
        store, "host-2:9", 10, now_us=105 * SECOND
    )


def test_an_engine_that_died_is_followed_once_its_lease_is_over(store: Database) -> None:
    first = acquired(store, "host-1:17", 100)
    second = acquired(store, "host-2:9", 111)
    assert (1, 2) == (first.fence, second.fence)
    with pytest.raises(LeaseLost, match="fence 1"):
        renew_lease(store, first, 10, now_us=112 * SECOND)


def test_a_renewed_lease_keeps_its_fence_and_lasts_longer(store: Database) -> None:
    first = acquired(store, "host-1:17", 100)
    later = renew_lease(store, first, 10, now_us=108 * SECOND)
    assert (first.fence, instant(118 * SECOND)) == (later.fence, later.until)
    assert isinstance(acquire_lease(store, "host-2:9", 10, now_us=115 * SECOND), LeaseHolder)


def test_a_released_lease_is_free_at_once_and_its_fence_is_over(store: Database) -> None:
    first = acquired(store, "host-1:17", 100)
    release_lease(store, first)
    with pytest.raises(LeaseLost):
        renew_lease(store, first, 10, now_us=101 * SECOND)
    assert 2 == acquired(store, "host-2:9", 101).fence
    release_lease(store, first)
    assert isinstance(acquire_lease(store, "host-3:1", 10, now_us=102 * SECOND), LeaseHolder)


def test_a_restarted_lease_was_held_by_nobody_in_between_and_ends_its_old_fence(store: Database) -> None:
    first = acquired(store, "host-1:17", 100)
    second = renew_fence(store, first)
    assert (2, first.until) == (second.fence, second.until)
    assert isinstance(acquire_lease(store, "host-2:9", 10, now_us=101 * SECOND), LeaseHolder)
    with pytest.raises(LeaseLost), store.write(first.fence):
        pass
    with pytest.raises(LeaseLost, match="fence 1"):
        renew_fence(store, first)
    assert second.fence == renew_lease(store, second, 10, now_us=102 * SECOND).fence


def test_a_store_that_a_newer_engine_has_migrated_gives_no_lease_and_renews_none(store: Database) -> None:
    """Another holder is named all the same: an older engine waits for it without a complaint."""
    lease = acquired(store, "host-1:17", 100)
    with store.write(None) as session:
        session.rows("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="has schema 9999, written by"):
        renew_lease(store, lease, 10, now_us=101 * SECOND)
    assert isinstance(acquire_lease(store, "host-2:9", 10, now_us=102 * SECOND), LeaseHolder)
    release_lease(store, lease)
    with pytest.raises(StoreTooNew, match="has schema 9999, written by"):
        acquire_lease(store, "host-1:17", 10, now_us=103 * SECOND)


def test_the_clock_of_a_lease_is_the_real_one(store: Database) -> None:
    assert isinstance(acquire_lease(store, "one", 60), HeldLease)
    assert isinstance(acquire_lease(store, "two", 60), LeaseHolder)


def test_all_engines_of_a_store_know_it_by_one_identity_and_another_store_has_another(
    store: Database, tmp_path: Path
) -> None:
    identities = []
    for holder, at in (("host-1:17", 100), ("host-2:9", 111)):
        acquired(store, holder, at)
        identities.append(store_id(store))
    other = open_ready(str(tmp_path / "other.db"))
    acquired(other, "host-1:17", 100)
    identities.append(store_id(other))
    other.close()
    assert identities[0] == identities[1] != identities[2]
    assert "" not in identities
