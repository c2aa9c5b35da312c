"""Notifications and suppressions of incidents are the same in the store and in the double that plays nights without
one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import count

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from console.domain.alert import (
    AlertKind,
    IncidentPhase,
    JobErrors,
    NotificationState,
    NotifiedDay,
    NotifiedIncident,
    RouteNotification,
    SuppressedNotice,
    SuppressionFacts,
)
from console.domain.decision import (
    Decisions,
    IncidentDecision,
    KnownIncident,
    NewIncident,
    Notice,
    ReopenedIncident,
    Suppressions,
)
from console.domain.ids import instant, micros
from console.domain.incident_record import IncidentFingerprint
from console.domain.reason import GreenAgain
from console.store import alert_routing
from console.store.notification_state import last_notifications, load_notification_state
from tests.control.ledger import next_notification_state
from tests.factories import minutes
from tests.messages import message_of
from tests.properties import examples
from tests.store.estate import Estate, at
from tests.store.test_decisions import ROUTES as ALERT_ROUTES
from tests.store.test_decisions import decide, incident

ROUTES, TEXTS, STAGES = ("oncall", "manager"), ("technical", "business"), ("wait", "silence", "group")
WHO = st.tuples(st.sampled_from(ROUTES), st.sampled_from(TEXTS))
NOTICES = st.lists(WHO, max_size=2, unique=True)
HELD = st.lists(
    st.tuples(WHO, st.sampled_from(STAGES), st.sampled_from(("a", "b"))), max_size=2, unique_by=lambda pair: pair[0]
)
STEP = st.tuples(st.sampled_from(("goes on", "ends", "joins another")), NOTICES, HELD)
NIGHT = st.lists(st.tuples(st.integers(0, 2), STEP), min_size=2, max_size=8)
_nights = count()


class StoredNight:
    """A night of up to three incidents, stored in both. `number`: which night of this store."""

    def __init__(self, served: Estate, number: int) -> None:
        self._served = served
        self._number = number
        self._step = 0
        self._double = NotificationState()
        self.ids: dict[int, int] = {}
        self.over: set[int] = set()
        self.merged: set[int] = set()

    def play(
        self, place: int, does: str, notices: list[tuple[str, str]], held: list[tuple[tuple[str, str], str, str]]
    ) -> None:
        """One decision about one of them, a minute after the last."""
        if place in self.merged:
            return
        self._step += 1
        key = f"run:{self._number}:{place}"
        others = [number for number in self.ids if number != place and number not in self.over | self.merged]
        joins = others[:1] if does == "joins another" and place not in self.over else []
        until = at("06:00") if does == "ends" else None  # of what is over only what leaves later is held
        content = NotifiedIncident(
            f"f{self._step}",
            IncidentPhase.CLOSED if does == "ends" else IncidentPhase.OPEN,
            (JobErrors(f"job {self._step}", 2, after_success=True),),
            ("hosts/load",),
            (
                NotifiedDay(
                    "daily", date(2026, 11, 19), "at_risk", at("06:30"), at("05:40") if does == "ends" else None
                ),
            ),
        )
        incident_decision = incident(
            incident=self._incident(place), key=key, close_reason=GreenAgain() if does == "ends" else None,
            fingerprint=IncidentFingerprint(NotifiedIncident(f"f{self._step}")),
            merges={self.ids[text]: text for text in joins},
            notices=tuple(
                Notice(AlertKind.UPDATED, route, message_of("t", "b"), style=text, content=content, not_before=until)
                for route, text in notices),
            suppressions=Suppressions(
                tuple(SuppressedNotice(*who, AlertKind.OPENED, stage, why, until) for who, stage, why in held)
            ),
        )  # fmt: skip
        self._keep(place, key, incident_decision)
        self.merged |= set(joins)
        self.over = self.over | {place} if incident_decision.closed else self.over - {place}

    def _incident(self, place: int) -> NewIncident | KnownIncident:
        if place not in self.ids:
            return NewIncident()
        return (ReopenedIncident if place in self.over else KnownIncident)(self.ids[place])

    def _keep(self, place: int, key: str, decision: IncidentDecision) -> None:
        now = at("01:00") + minutes(self._step)
        decide(self._served, f"{now:%H:%M}", incidents=(decision,))
        if place not in self.ids:
            [(self.ids[place],)] = self._served.rows(f"SELECT id FROM incident WHERE key = '{key}'")
        self._double = next_notification_state(
            self._double, Decisions(incidents=(decision,)), now, {key: self.ids[place]}
        )

    def by_store(self) -> tuple[dict[int, set[RouteNotification]], dict[int, set[SuppressionFacts]]]:
        with self._served.store.read() as connection:
            state = load_notification_state(connection, micros(at("01:00")))
            incidents = [row.id for row in connection.rows("SELECT id FROM incident")]
            notified = last_notifications(connection, incidents)
        return self._as_sets(replace(state, notified=notified))

    def by_double(self) -> tuple[dict[int, set[RouteNotification]], dict[int, set[SuppressionFacts]]]:
        return self._as_sets(self._double)

    def _as_sets(
        self, state: NotificationState
    ) -> tuple[dict[int, set[RouteNotification]], dict[int, set[SuppressionFacts]]]:
        own = [number for place, number in self.ids.items() if place not in self.merged]
        held = {
            number: {
                replace(suppression, since=instant(micros(suppression.since)))
                for suppression in state.suppressions.get(number, ())
            }
            for number in own
        }
        notified = {
            number: {notice._replace(accepted=(), is_undelivered=False) for notice in state.notified.get(number, ())}
            for number in own
        }
        return notified, held


@examples(100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(NIGHT)
def test_a_night_is_stored_equally_by_the_store_and_by_its_fake(
    served: Estate, night: list[tuple[int, tuple[str, list[tuple[str, str]], list[tuple[tuple[str, str], str, str]]]]]
) -> None:
    replies = StoredNight(served, next(_nights))
    for place, (does, notices, held) in night:
        replies.play(place, does, notices, held)
        assert replies.by_double() == replies.by_store()


def test_a_stage_that_suppresses_it_again_does_so_from_then_on(served: Estate) -> None:
    """It waited for company, then for the morning, then for company again: that is a new wait."""
    replies = StoredNight(served, next(_nights))
    for stage in ("group", "wait", "group"):
        replies.play(0, "goes on", [], [(("oncall", "technical"), stage, "why")])
    _, held = replies.by_store()
    assert [at("01:03")] == [suppression.since for suppressions in held.values() for suppression in suppressions]


def test_a_route_notified_of_a_part_counts_as_notified_of_the_whole_since_then(served: Estate) -> None:
    replies = StoredNight(served, next(_nights))
    replies.play(0, "goes on", [("oncall", "technical")], [])
    replies.play(1, "goes on", [], [])
    replies.play(1, "joins another", [("oncall", "technical")], [])
    notifications, _ = replies.by_store()
    assert [(at("01:01"), 2)] == [
        (notification.first_at, notification.times)
        for route_notification in notifications.values()
        for notification in route_notification
    ]


def test_an_alert_is_delayed_until_its_hour_and_not_by_the_moment_until_its_release(served: Estate) -> None:
    """An end was notified twice else: one that is delayed counts as never sent where its incident fails again."""
    replies = StoredNight(served, next(_nights))
    replies.play(0, "goes on", [("oncall", "business")], [])
    replies.play(1, "ends", [("oncall", "business")], [])
    waiting = [number for (number,) in served.rows("SELECT id FROM alert WHERE waits")]
    alert_routing.release_alerts(served.store, None, ALERT_ROUTES, waiting, [], micros(at("01:03")))  # type: ignore[arg-type]
    notifications, _ = replies.by_store()
    assert [None, at("06:00")] == [
        notification.until for number in sorted(notifications) for notification in notifications[number]
    ]
