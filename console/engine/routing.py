"""Who is told what, before anything is sent: an alert leaves alone or in a digest, on its own route or, where nobody
there accepts it, on the fallback; and what was given up is told elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from console.clock import Clock
from console.config import RouteSettings
from console.control.digest import WINDOW, Waiting, digest_words
from console.control.digest import let_out as decide
from console.durations import duration_words
from console.engine.own_shadow import tell_or_note
from console.failpoints import failpoint
from console.model.ids import instant, maybe_instant, micros
from console.store import routing as rows
from console.store.alert_rows import DIGEST, HEADWAY, NewAlert
from console.store.open import Store

log = structlog.get_logger("headway.outbox")

LOOK_SECONDS = 1.0
"""How often is looked for what no URL has accepted, and what was given up."""
HANDED_ON = timedelta(hours=48)
"""Older alerts are not handed on, should a fallback be configured later."""
TOLD_AGAIN = timedelta(hours=1)
"""Least time between two alerts about parked deliveries of one route."""


class Routing:
    """Decides before the outbox claims; its own steps are transactions of their own."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        routes: Mapping[str, RouteSettings],
        default_route: str = "",
        shadow_route: str = "",
    ) -> None:
        self._store = store
        self._clock = clock
        self._routes = routes
        self._default = default_route
        self._shadow = shadow_route
        self.words = {name: tuple(url.words for url in route.urls) for name, route in routes.items()}
        self._look_at = 0.0

    def step(self, fence: int) -> None:
        """Lets out what waits; once a second hands on what was not accepted, and tells what was parked."""
        self._let_out(fence)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._hand_over(fence)
            self._tell_parked(fence)

    def park_strays(self, fence: int) -> None:
        found = rows.park_strays(self._store, fence, self.words, micros(self._clock.now()))
        if found:
            log.error("alerts whose URL left the config were given up", deliveries=found)

    def given_up(self) -> dict[str, int]:
        """Route -> how many deliveries are parked."""
        return {one.route: one.count for one in rows.parked(self._store)}

    def _let_out(self, fence: int) -> None:
        waiting = rows.waiting(self._store)
        if not waiting:
            return
        now = self._clock.now()
        alone: list[int] = []
        digests: list[tuple[NewAlert, list[int]]] = []
        for route, group in groupby(sorted(waiting, key=lambda one: (one.route, one.id)), lambda one: one.route):
            limit = self._routes[route].max_per_minute if route in self._routes else len(waiting)
            let, digest = rows.let_since(self._store, route, micros(now - WINDOW))
            found = decide([_waiting(one) for one in group], let, maybe_instant(digest), limit, now)
            alone += found.alone
            if found.together:
                digests.append((_digest(route, found.together, limit, now), [one.id for one in found.together]))
        if alone or digests:
            rows.let_out(self._store, fence, self.words, alone, digests, micros(now))
            failpoint("outbox.let_out")

    def _hand_over(self, fence: int) -> None:
        now = self._clock.now()
        found: list[tuple[int, NewAlert]] = []
        for name, route in self._routes.items():
            if not route.fallback:
                continue
            late = rows.unaccepted(self._store, name, micros(now - route.fallback_after), micros(now - HANDED_ON))
            found += [(one.id, self._as_fallback(one, route)) for one in late]
        if found:
            rows.hand_over(self._store, fence, self.words, found, micros(now))
            log.warning("alerts were handed to a fallback route", alerts=[one for one, _ in found])

    def _as_fallback(self, one: rows.Unaccepted, route: RouteSettings) -> NewAlert:
        after = duration_words(route.fallback_after.total_seconds())
        line = f'Route "{one.route}" has not accepted this in {after}; you are told as its fallback.'
        last = f" It said last: {one.error}" if one.error else ""
        return rows.as_fallback(one, route.fallback, line + last, line)

    def _tell_parked(self, fence: int) -> None:
        """Once an hour and route at most. Of alerts about Headway itself nothing is told again: that would not end."""
        now = self._clock.now()
        for one in rows.parked(self._store):
            since = micros(now - TOLD_AGAIN)
            if one.news_us < since or rows.told_since(self._store, key_of_parked(one.route), since):
                continue
            wanted = self._routes[one.route].fallback if one.route in self._routes else ""
            told_at = wanted or self._default
            if told_at:
                shadow = self._shadow if self._shadow != one.route else ""
                tell_or_note(
                    self._store, fence, self.words, _parked_alert(one, told_at), shadow, micros(now), one.news_us
                )


def key_of_parked(route: str) -> str:
    return f"headway:parked:{route}"


def own_alert(route: str, key: str, title: str, lines: list[str], plain: list[str]) -> NewAlert:
    """An alert about Headway itself: nothing delays it."""
    body, short = "\n".join(lines) + "\n", "\n".join(plain) + "\n"
    return NewAlert(route, HEADWAY, title, body, key, title, short, urgent=True, waits=False)


def _parked_alert(one: rows.Parked, told_at: str) -> NewAlert:
    number = f"{one.count} alert{'s' if one.count > 1 else ''}"
    title = f'[Headway] gave up {number} to route "{one.route}"'
    first = f'{number} to route "{one.route}" could not be delivered and will not be tried again by itself.'
    mend = ["", "See: headway alert", "Send again, once it is mended: headway alert retry --parked"]
    return own_alert(told_at, key_of_parked(one.route), title, [first, f"Last answer: {one.error}", *mend],
                     [first, *mend])  # fmt: skip


def _waiting(one: rows.WaitingAlert) -> Waiting:
    return Waiting(one.id, instant(one.made_us), one.urgent, one.incident, one.title, one.plain_title)


def _digest(route: str, together: tuple[Waiting, ...], limit: int, now: datetime) -> NewAlert:
    words = digest_words(together, limit)
    key = f"headway:digest:{route}:{micros(now)}"
    made = NewAlert(route, DIGEST, words.title, words.body, key, words.plain_title, words.plain_body)
    return replace(made, waits=False)
