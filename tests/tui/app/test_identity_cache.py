"""What is found in a long list is found once, and not while somebody waits for a screen."""

from __future__ import annotations

import dataclasses
import threading
from typing import cast

import pytest

from console.domain.service import ServiceView
from console.tui.frame.service_groups import MAX_CACHED, MIN_CACHED, cached_by_identity
from tests.tui.driving import Night, on_the_night

MANY = 2_000


def test_a_tuple_is_compared_once_and_a_list_each_time() -> None:
    requests: list[int] = []

    @cached_by_identity
    def total(many: object) -> int:
        requests.append(1)
        return sum(many)  # type: ignore[call-overload, no-any-return]

    pair, other = (1, 2, 3), [1, 2, 3]
    assert [6, 6, 6, 6] == [total(pair), total(pair), total(other), total(other)]
    assert 3 == len(requests)
    other.append(4)
    assert 10 == total(other)


def test_only_the_last_few_entries_are_kept_and_each_separately() -> None:
    requests: list[object] = []

    @cached_by_identity
    def first(many: object) -> object:
        requests.append(many)
        return many

    lists = [(number, object()) for number in range(MIN_CACHED + 1)]
    for pair in lists:
        assert pair is first(pair)
    assert lists[0] is first(lists[0])
    assert MIN_CACHED + 2 == len(requests)


def test_the_groups_of_a_list_are_cached_beside_it_however_many_there_are() -> None:
    """Nine owners were enough for every picture to count all services again."""
    requests: list[object] = []

    @cached_by_identity
    def longest(many: object) -> int:
        requests.append(many)
        return len(many)  # type: ignore[arg-type]

    whole = tuple(range(200))
    groups = [tuple(range(number, number + 10)) for number in range(0, 200, 10)]
    for group in [whole, *groups] * 2:
        longest(group)
    assert [whole, *groups] == requests
    for number in range(10 * MAX_CACHED):
        longest((number, number))
    requests.clear()
    longest(whole)
    assert [whole] == requests


def test_thousands_of_services_are_processed_in_the_readers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_screen: list[int] = []
    before = cast("property", vars(ServiceView)["is_endangered"])

    def counted(view: ServiceView) -> bool:
        if threading.current_thread() is threading.main_thread():
            on_the_screen.append(view.id)
        return bool(before.__get__(view))

    def prepare(night: Night) -> None:
        calm = night.reads.services_[-1]
        night.reads.services_ += [
            dataclasses.replace(calm, id=100 + n, name=f"s-{n}", title=f"Service {n:04d}") for n in range(MANY)
        ]

    @on_the_night(prepare=prepare, size=(120, 36))
    async def commits(night: Night) -> None:
        await night.see("Supply plan", f"SERVICES {MANY + 5}")
        await night.answered()
        monkeypatch.setattr(ServiceView, "is_endangered", property(counted))
        night.reads.services_ = [dataclasses.replace(service, tier=4) for service in night.reads.services_]
        night.reads.changed()
        await night.see(" 4 06:30")
        await night.answered()
        night.app.screen.tick()  # type: ignore[attr-defined]
        assert len(on_the_screen) < MANY / 4

    commits()
