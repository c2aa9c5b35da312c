"""Deliveries as rows: claimed, sending, sent, postponed or parked. Every step is its own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from console.domain.alert import NEEDS_PERSON, AlertKind, PendingAlert, PresentDay
from console.domain.estate import PlanFacts
from console.domain.ids import incident_name
from console.domain.incident import IncidentSummary
from console.domain.incident_record import CauseKind
from console.domain.message import NO_MESSAGE, Message
from console.domain.request import RequestKind
from console.domain.service import ServiceEstimate, Timeliness
from console.store.alerts import DIGEST, GROUP, HEADWAY, HEADWAY_RESOLVED, PERSON, TEST
from console.store.audit import ChangeOrigin
from console.store.db.database import Database
from console.store.db.session import Row, Session, Values, WriteSession
from console.store.plan_steps import PLAN_FACTS
from console.store.row_values import from_row, parse_reasons
from console.store.subjects import ROOT_JOINS, ROOT_NAME

# ruff: noqa: S608  (only our own names; every value is bound)
_SENT_BEFORE = (
    "EXISTS (SELECT 1 FROM alert s JOIN delivery t ON t.alert_id = s.id WHERE s.incident_id = a.incident_id"
    " AND s.route = a.route AND t.url_index = d.url_index AND t.id <> d.id AND t.wire_us IS NOT NULL)"
)
ORIGIN_KIND = "COALESCE((SELECT f.kind FROM alert f WHERE f.id = {0}.fallback_of), {0}.kind)"
DUE_US = "CASE WHEN {0}.let_us > {0}.made_us THEN {0}.let_us END AS due_us"
"""The hour for which alert {0} waits; NULL without one. One in a digest of a flood has no `let_us`."""
_IS_OLDER = "({0}.version < {1}.version OR ({0}.version = {1}.version AND {0}.id < {1}.id))"
"""Whether alert {0} has an earlier state of their incident than {1}. A copy on a fallback route keeps its version."""
_OWN_BEFORE = (
    "SELECT 1 FROM alert e JOIN delivery o ON o.alert_id = COALESCE(e.digest_id, e.id)"
    " JOIN alert g ON g.id = o.alert_id WHERE e.incident_id = y.incident_id"
    " AND e.route = y.route AND o.url_index = x.url_index AND o.id < x.id AND (o.state = 'claimed' OR o.state ="
    f" 'pending' AND g.kind = '{GROUP}')"
)
"""An earlier alert about the same incident that is being sent, or that waits in a group."""
_INCLUDES = (
    "e.incident_id = n.incident_id AND e.route = n.route AND NOT e.waits AND NOT n.waits AND x.url_index = o.url_index"
    " AND x.state = 'pending' AND x.wire_us IS NULL AND o.wire_us IS NULL"
    f" AND {ORIGIN_KIND.format('e')} = '{PERSON}' AND {ORIGIN_KIND.format('n')} NOT IN ('{PERSON}', 'recovered')"
)
"""Alert {n}, an open incident's state, is sent together with {e}, which needs a person for the incident: neither can
have arrived. {x} and {o} are their deliveries."""
_INCLUDED_IN = (
    "SELECT 1 FROM alert e JOIN alert n ON n.incident_id = e.incident_id JOIN delivery o ON o.alert_id = n.id"
    f" WHERE e.id = y.id AND o.state = 'pending' AND (o.tries > 0 OR o.next_us = 0) AND {_INCLUDES} AND NOT EXISTS"
    " (SELECT 1 FROM alert l JOIN delivery s ON s.alert_id = l.id WHERE l.incident_id = n.incident_id AND l.route ="
    f" n.route AND NOT l.waits AND s.url_index = o.url_index AND s.state IN ('pending', 'claimed') AND"
    f" {_IS_OLDER.format('n', 'l')} AND {ORIGIN_KIND.format('l')} <> '{PERSON}')"
)
"""The newest waiting alert about its incident that alert {y} is sent together with; one that waits for an hour set for
it is not."""
_MAKE_STATES_DUE = (
    "UPDATE delivery SET next_us = 0 WHERE id IN (SELECT o.id FROM delivery x JOIN alert e ON e.id = x.alert_id"
    " JOIN alert n ON n.incident_id = e.incident_id JOIN delivery o ON o.alert_id = n.id WHERE x.next_us <= ?"
    f" AND o.state = 'pending' AND o.tries > 0 AND o.next_us > ? AND {_INCLUDES})"
)
_CLAIM_INCLUDED = (
    "UPDATE delivery SET state = 'claimed', tries = tries + 1 WHERE id IN (SELECT x.id FROM delivery o JOIN alert n ON"
    " n.id = o.alert_id JOIN alert e ON e.incident_id = n.incident_id JOIN delivery x ON x.alert_id = e.id"
    f" WHERE o.id = ? AND {_INCLUDES}) RETURNING id"
)
_SINCE = "CASE WHEN d.since_us <> 0 THEN d.since_us ELSE a.made_us END AS since_us"
_INCLUDED = (
    f"SELECT d.id, d.alert_id, a.message, a.plain, d.tries - 1 AS tries, d.refusals, {_SINCE} FROM {{keys}} JOIN"
    " delivery d ON d.id = k.a JOIN alert a ON a.id = d.alert_id"
)
"""Alerts claimed in another one, with their tries before this one."""
REPLACED_BY = (
    "SELECT 1 FROM alert n JOIN delivery o ON o.alert_id = n.id WHERE n.incident_id = y.incident_id AND n.route ="
    " y.route AND NOT n.waits AND o.url_index = x.url_index AND o.state IN ('pending', 'claimed')"
    f" AND {_IS_OLDER.format('y', 'n')}"
    f" AND '{PERSON}' NOT IN ({ORIGIN_KIND.format('n')}, {ORIGIN_KIND.format('y')})"
)
"""A later undelivered alert about the same incident, which is sent in place of this one."""
_REPLACES = (
    "SELECT e.id FROM alert e JOIN alert n ON n.incident_id = e.incident_id AND n.route = e.route WHERE n.id = ? AND"
    f" {_IS_OLDER.format('e', 'n')} AND '{PERSON}' NOT IN ({ORIGIN_KIND.format('n')}, {ORIGIN_KIND.format('e')})"
)
"""Earlier alerts about the incident of an alert: a reader of several would act on a past state."""
_REPLACED = (
    "SELECT e.message, e.plain, e.made_us FROM alert e JOIN delivery o ON o.alert_id = e.id WHERE e.digest_id = ?"
    " AND o.url_index = ? AND o.state = 'digested' AND o.wire_us IS NULL ORDER BY e.id LIMIT 1"
)
_DIGEST_BEFORE = (
    "SELECT 1 FROM alert m JOIN alert e ON e.incident_id = m.incident_id AND e.route = m.route"
    " JOIN delivery o ON o.alert_id = e.digest_id WHERE m.digest_id = y.id"
    " AND o.url_index = x.url_index AND o.id < x.id AND (o.state = 'claimed' OR o.state = 'pending' AND"
    f" {ORIGIN_KIND.format('e')} = '{PERSON}')"
)
"""An earlier digest with one of this digest's incidents that is being sent, or that needs a person for it."""
_NEWER = (
    "SELECT 1 FROM alert n JOIN delivery o ON o.alert_id = COALESCE(n.digest_id, n.id) WHERE n.incident_id ="
    " m.incident_id AND n.route = m.route AND NOT n.waits AND o.alert_id <> m.digest_id AND o.url_index = d.url_index"
    f" AND o.state IN ('pending', 'claimed', 'sent') AND {_IS_OLDER.format('m', 'n')}"
    f" AND '{PERSON}' NOT IN ({ORIGIN_KIND.format('n')}, {ORIGIN_KIND.format('m')})"
)
"""An alert outside of the digest of {m} with a later state of its incident, which is sent in place of that part."""
_REPLACED_PARTS = (
    f"SELECT m.id FROM delivery d JOIN alert m ON m.digest_id = d.alert_id WHERE d.id = ? AND EXISTS ({_NEWER})"
)
_PARTS = (
    f"SELECT m.id, m.route, m.made_us, m.urgent, m.incident_id, m.message, m.plain, {ORIGIN_KIND.format('m')} ="
    f" '{PERSON}' AS needs_person, {DUE_US.format('m')} FROM delivery d JOIN alert m ON m.digest_id = d.alert_id WHERE"
    " d.id = ? ORDER BY m.id"
)
_DROP_REPLACED_DIGESTS = (
    "UPDATE delivery SET state = 'dropped', error = 'a newer alert about each of its incidents replaces it' WHERE id IN"
    f" (SELECT d.id FROM delivery d JOIN alert g ON g.id = d.alert_id WHERE d.state = 'pending' AND g.kind = '{DIGEST}'"
    f" AND NOT EXISTS (SELECT 1 FROM alert m WHERE m.digest_id = g.id AND NOT EXISTS ({_NEWER})))"
)
_REPLACED_BY_DIGEST = (
    "SELECT e.id FROM alert m JOIN alert e ON e.incident_id = m.incident_id AND e.route = m.route WHERE m.digest_id = ?"
    f" AND {_IS_OLDER.format('e', 'm')} AND {ORIGIN_KIND.format('e')} <> '{PERSON}'"
)
"""Alerts with an earlier state of an incident than a digest has."""
_REPLACED_PART = (
    "SELECT m.message, m.plain, m.made_us FROM alert n JOIN alert m ON m.incident_id = n.incident_id AND m.route ="
    " n.route JOIN delivery d ON d.alert_id = m.digest_id JOIN alert g ON g.id = m.digest_id WHERE n.id = ? AND"
    f" d.url_index = ? AND g.kind = '{DIGEST}' AND (d.wire_us IS NULL OR d.wire_us >= n.let_us) AND"
    f" d.repeats = 0 AND {_IS_OLDER.format('m', 'n')} AND '{PERSON}' NOT IN ({ORIGIN_KIND.format('n')},"
    f" {ORIGIN_KIND.format('m')}) ORDER BY m.id LIMIT 1"
)
"""The first part of a digest that an alert is sent in place of: the digest was not sent before its release."""
_PLAN_KEY = "headway:person:plan:"
_DROP_ANSWERED = (
    "UPDATE delivery SET state = 'dropped', error = 'its plan was resumed or aborted meanwhile' WHERE state = 'pending'"
    f" AND EXISTS (SELECT 1 FROM alert a JOIN plan p ON p.id = CASE WHEN a.dedup_key LIKE '{_PLAN_KEY}%' THEN"
    f" CAST(SUBSTR(a.dedup_key, {len(_PLAN_KEY) + 1}) AS BIGINT) END WHERE a.id = delivery.alert_id"
    f" AND a.kind = '{PERSON}' AND a.commands <> '[]' AND p.state NOT IN ('paused', 'stopped'))"
)
"""Drops unsent alerts that ask to resume a plan which no longer waits for that."""
_DROP_CONFIRMED = (
    "UPDATE delivery SET state = 'dropped', error = 'another route has accepted it meanwhile' WHERE state = 'pending'"
    " AND wire_us IS NULL AND EXISTS (SELECT 1 FROM alert c JOIN alert f ON f.id = c.fallback_of JOIN alert n ON n.id ="
    " f.id OR (n.fallback_of = f.id AND n.route <> c.route) OR (n.incident_id = f.incident_id AND n.route = f.route AND"
    f" {_IS_OLDER.format('f', 'n')} AND '{PERSON}' NOT IN (f.kind, n.kind)) JOIN delivery o ON o.alert_id ="
    " COALESCE(n.digest_id, n.id) WHERE c.id = delivery.alert_id AND o.state = 'sent')"
)
"""Drops unsent copies on fallback routes where the alert's own route has accepted it or a later one about its
incident, or another fallback has."""
_CLOSED_DIGESTS = (
    "SELECT DISTINCT g.dedup_key FROM alert c JOIN alert m ON m.incident_id = c.incident_id AND m.route = c.route"
    " JOIN alert g ON g.id = m.digest_id WHERE (c.id = ? OR c.digest_id = ?) AND g.id <> ? AND NOT EXISTS (SELECT 1"
    " FROM alert n JOIN incident i ON i.id = n.incident_id WHERE n.digest_id = g.id AND i.closed_us IS NULL)"
)
"""Dedup keys of other digests with an incident of this alert or digest, all of whose incidents are closed."""
LEAST_REPEAT = timedelta(seconds=10)
"""Least time between two tries that may both arrive."""
REFUSALS = 3
"""Permanent refusals of the same message in a row before the delivery is abandoned."""
GIVE_UP_AFTER = timedelta(hours=24)
"""A delivery that was not accepted by then is abandoned."""
MAX_PARTS = 20
"""Merged incidents named in the headers of a mail at most."""
_NEEDS_PERSON = ", ".join(f"'{kind}'" for kind in (*NEEDS_PERSON, PERSON))
_RANK_OF_KIND = (
    f"CASE WHEN {ORIGIN_KIND} = 'recovered' THEN 3 WHEN {{0}}.urgent THEN 0"
    f" WHEN {ORIGIN_KIND} IN ({_NEEDS_PERSON}) THEN 1 ELSE 2 END"
)
_RANK = (
    f"CASE WHEN {ORIGIN_KIND.format('y')} = 'recovered' THEN 3 WHEN y.incident_id IS NULL THEN COALESCE((SELECT"
    f" MIN({_RANK_OF_KIND.format('m')}) FROM alert m WHERE m.digest_id = y.id), {_RANK_OF_KIND.format('y')}) ELSE"
    f" (SELECT MIN({_RANK_OF_KIND.format('m')}) FROM alert m WHERE m.incident_id = y.incident_id AND m.route = y.route"
    f" AND (m.id = y.id OR m.digest_id = y.id OR (({_IS_OLDER.format('m', 'y')} OR {ORIGIN_KIND.format('m')} ="
    f" '{PERSON}') AND EXISTS (SELECT 1 FROM delivery o WHERE o.alert_id = m.id AND o.url_index = x.url_index AND"
    " o.state = 'pending')))) END"
)
"""Urgent alerts, those that need a person, updates, ends; a digest has the rank of its most urgent part, an alert
that of the most urgent one that it replaces or includes. Problems of Headway and their ends have one rank, so that
they keep their order."""


class ReplacedAlert(NamedTuple):
    """An alert that its receiver had not accepted when a later one about its incident was sent."""

    message: Message
    plain: Message
    made_us: int


class IncludedAlert(NamedTuple):
    """An alert that needs a person, sent in the message about the present state of its incident."""

    id: int
    """Of its delivery."""
    message: Message
    plain: Message
    tries: int
    refusals: int
    since_us: int


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One alert for one URL of its route, claimed by this engine."""

    id: int
    route: str
    url_index: int
    message: Message
    dedup_key: str
    tries: int
    repeats: int
    maybe_repeat: bool
    """It may have been sent before, with an unknown outcome."""
    receiver: str = ""
    kind: str = ""
    plain: Message = NO_MESSAGE
    since_us: int = 0
    made_us: int = 0
    refusals: int = 0
    incident_id: int | None = None
    begins: bool = True
    """No other alert about its incident was sent to this URL on its own."""
    parts: tuple[str, ...] = ()
    """Dedup keys of the incidents merged into its own, oldest first."""
    origin: str = ""
    """Its kind; for an alert on a fallback route that of the first one."""
    is_resolved: bool = False
    """It says that its incident, or each one of a digest, is resolved."""
    resolves: tuple[str, ...] = ()
    """Dedup keys of the incidents and digests that are resolved with it, besides its own."""
    origin_id: int = 0
    """Of the alert; for one on a fallback route that of the first one."""
    tier: int | None = None
    """Of the most important service that its incident affects."""
    act_by_us: int | None = None
    """Of its incident."""
    replaced: ReplacedAlert | None = None
    """The first undelivered alert that this one is sent in place of."""
    plan: PlanFacts | None = None
    """The plan of its incident that was started last, since the incident was reopened; not for business readers."""
    days: tuple[PresentDay, ...] = ()
    """The service days of an end."""
    remaining: tuple[PendingAlert, ...] = ()
    """The parts of a digest that no newer alert replaces; empty if none was replaced."""
    included: tuple[IncludedAlert, ...] = ()
    """Claimed with it, oldest first."""

    @property
    def claimed(self) -> tuple[DueDelivery | IncludedAlert, ...]:
        """The deliveries that it sends, itself first."""
        return (self, *self.included)

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the deliveries that it sends; its own first."""
        return tuple(part.id for part in self.claimed)


class PagedIncident(NamedTuple):
    """An open incident that a receiver was alerted to."""

    route: str
    receiver: str
    incident_id: int
    dedup_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertedIncident(IncidentSummary):
    """An incident as Alertmanager and webhooks describe it."""

    service: str
    """The most important affected service; empty without one."""
    rule: str
    """Of the finding that is its cause."""

    @property
    def is_closed(self) -> bool:
        return self.closed is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertedService(ServiceEstimate):
    """A service that an incident affects, as the incident last judged it."""

    incident_id: int


_RELEASE = (
    "UPDATE delivery SET state = 'pending', next_us = 0,"
    " repeats = repeats + CASE WHEN wire_us IS NULL THEN 0 ELSE 1 END WHERE state = 'claimed'"
)
"""Due again at once; marked as a repeat if it may have been sent."""
_COLUMNS = (
    "d.id, a.route, d.url_index, a.message, a.dedup_key, d.tries, d.repeats, d.receiver, a.kind, a.plain, a.made_us,"
    " d.refusals, a.incident_id, a.version, a.fallback_of, a.id AS alert_id,"
    " (SELECT min(s.tier) FROM incident_service x JOIN service s ON s.id = x.service_id"
    " WHERE x.incident_id = a.incident_id) AS tier,"
    " (SELECT i.act_by_us FROM incident i WHERE i.id = a.incident_id) AS act_by_us"
)
_DUE = (
    f"SELECT {_COLUMNS}, d.wire_us IS NOT NULL AS maybe_repeat, {_SINCE}, {_SENT_BEFORE} AS later FROM"
    f" (SELECT MIN({_RANK} * {1 << 60} + x.id) AS first FROM delivery x JOIN alert y ON y.id = x.alert_id"
    " WHERE x.state = 'pending' AND x.next_us <= ? AND NOT y.waits AND"
    f" ((y.incident_id IS NULL AND {ORIGIN_KIND.format('y')} NOT IN ('{DIGEST}', '{GROUP}')) OR NOT"
    " CAST(? AS BOOLEAN)) AND NOT"
    f" EXISTS ({_OWN_BEFORE}) AND NOT EXISTS ({_DIGEST_BEFORE}) AND NOT EXISTS ({REPLACED_BY})"
    f" AND NOT EXISTS ({_INCLUDED_IN}) GROUP BY y.route, x.url_index) q"
    f" JOIN delivery d ON d.id = q.first % {1 << 60} JOIN alert a ON a.id = d.alert_id ORDER BY q.first"
)
_LATEST = (
    f"SELECT {_COLUMNS}, FALSE AS maybe_repeat, a.made_us AS since_us, FALSE AS later FROM delivery d"
    " JOIN alert a ON a.id = d.alert_id WHERE d.id IN (SELECT max(x.id) FROM delivery x JOIN alert y ON y.id ="
    " x.alert_id JOIN incident i ON i.id = y.incident_id WHERE i.closed_us IS NULL AND (x.wire_us IS NOT NULL OR"
    " x.state = 'digested') GROUP BY y.incident_id, y.route, x.receiver) ORDER BY d.id"
)
_PAGED = (
    "SELECT q.id AS alert_id, q.route, q.receiver, q.incident_id, q.dedup_key, q.kind, q.fallback_of FROM (SELECT a.id,"
    " a.route, d.receiver, a.incident_id, a.dedup_key, a.kind, a.fallback_of, row_number() OVER (PARTITION BY a.route,"
    " d.receiver ORDER BY d.id DESC) AS place, d.id AS delivery_id FROM delivery d JOIN alert a ON a.id = d.alert_id"
    " WHERE d.id IN (SELECT max(x.id) FROM delivery x JOIN alert y ON y.id = x.alert_id JOIN incident i ON i.id ="
    " y.incident_id WHERE i.closed_us IS NULL AND x.wire_us IS NOT NULL AND x.state <> 'digested' GROUP BY"
    " y.incident_id, y.route, x.receiver) AND EXISTS (SELECT 1 FROM {keys} WHERE k.a = a.route AND k.b = d.receiver)"
    " AND a.kind <> 'recovered') q WHERE q.place <= ? ORDER BY q.delivery_id DESC"
)
_ALERTED = (
    f"SELECT i.id, {ROOT_NAME} AS root_job, i.owner, i.runbook, i.failed_since_us, i.act_by_us, i.cause, CASE i.cause"
    f" WHEN '{CauseKind.RULE}' THEN i.cause_subject WHEN '{CauseKind.UNDELIVERED}' THEN i.cause ELSE '' END AS rule,"
    " i.business_date, i.opened_us, i.closed_us, v.name AS service, v.tier FROM {keys} JOIN incident i ON i.id = k.a"
    f" {ROOT_JOINS} LEFT JOIN service v ON v.id = (SELECT s.id FROM"
    " incident_service x JOIN service s ON s.id = x.service_id WHERE x.incident_id = i.id ORDER BY s.tier, s.name"
    " LIMIT 1)"
)
_SERVICES = (
    "SELECT x.incident_id, s.name, s.title, s.tier, s.zone, x.business_date, x.timeliness, x.deadline_us, x.act_by_us,"
    " x.expected_us, x.reasons, d.p_late, d.delivered_us FROM {keys} JOIN incident_service x ON x.incident_id = k.a"
    " JOIN service s ON s.id = x.service_id LEFT JOIN service_day d ON d.service_id = x.service_id"
    " AND d.business_date = x.business_date"
    " ORDER BY x.incident_id, s.tier, s.name, x.business_date"
)
_MERGED = (
    "WITH RECURSIVE part (id, key) AS (SELECT id, key FROM incident WHERE merged_into = ? UNION SELECT i.id, i.key FROM"
    " part p JOIN incident i ON i.merged_into = p.id) SELECT key FROM part ORDER BY id LIMIT ?"
)
_SAME_DAYS = (
    "SELECT DISTINCT i.key FROM alert_notified_day m JOIN alert_notified_day o ON o.service = m.service AND"
    " o.business_date = m.business_date AND o.route = m.route AND o.style = m.style AND o.incident_id <> m.incident_id"
    " JOIN incident i ON i.id = o.incident_id WHERE m.incident_id = ? AND m.route = ? AND m.style = 'business'"
    " AND i.closed_us IS NOT NULL AND i.merged_into IS NULL ORDER BY i.key LIMIT ?"
)
"""Closed incidents about the same service days on that route: the end of one ends no page of the others."""
_LAST_STYLE = (
    "(SELECT b.style FROM alert_notified b WHERE b.incident_id = {0}.incident_id AND b.route = {0}.route"
    " ORDER BY b.last_us DESC, b.style DESC LIMIT 1)"
)
"""The style in which the route of alert {0} was last notified of its incident."""
_DAYS = (
    "SELECT m.service, COALESCE(NULLIF(s.title, ''), s.name) AS title,"
    " m.style, s.zone, d.deadline_us, d.timeliness, d.delivered_us, d.expected_us, d.act_by_us, m.status AS"
    " notified_as, CASE WHEN m.act_by_us > a.made_us THEN m.act_by_us END AS notified_act_by_us,"
    " d.incident_id IS NOT NULL AS is_affected FROM alert a JOIN incident i ON i.id = a.incident_id AND i.closed_us IS"
    " NOT NULL JOIN alert_notified_day m ON m.incident_id = a.incident_id AND m.route = a.route AND m.style ="
    f" {_LAST_STYLE.format('a')} JOIN incident_service x ON x.incident_id = a.incident_id AND"
    " x.business_date = m.business_date JOIN service s ON s.id = x.service_id JOIN service_day d ON"
    " d.service_id = x.service_id AND d.business_date = x.business_date AND m.service = s.name"
    " WHERE a.id = ? AND m.status <> '' ORDER BY s.tier, m.service, d.deadline_us"
)
"""The affected service days of a closed incident that an alert's route was last notified of, as they are now; with the
act-by that was ahead when it was written."""
_PLAN = (
    f"{PLAN_FACTS} JOIN incident i ON i.id = p.incident_id WHERE i.id = ? AND (p.ended_us IS NULL OR (p.ended_us >="
    " i.failed_since_us AND p.ended_us >= COALESCE((SELECT max(v.at_us) FROM event v WHERE v.incident_id = i.id AND"
    " v.kind = 'reopened'), 0))) AND NOT EXISTS (SELECT 1 FROM alert f"
    f" WHERE f.id = ? AND {_LAST_STYLE.format('f')} = 'business')"
    " GROUP BY p.id, p.incident_id, p.state HAVING"
    " SUM(CASE WHEN s.state <> 'planned' THEN 1 ELSE 0 END) > 0 ORDER BY p.id DESC LIMIT 1"
)
"""The plan of an incident that was started last, unless it ended before the incident was reopened or its cause failed;
for an alert on a route that was last notified in another style than that of owners."""


def recover_claims(store: Database, fence: int) -> int:
    """Releases the claims of a dead engine; their number."""
    with store.write(fence) as session:
        return len(session.rows(f"{_RELEASE} RETURNING id"))


def release_stray_claims(store: Database, fence: int, busy: frozenset[tuple[str, int]]) -> None:
    """Releases claims at URLs that are not `busy`: the answer to the commit of such a claim was lost."""
    claimed = store.rows(
        "SELECT d.id, a.route, d.url_index FROM delivery d JOIN alert a ON a.id = d.alert_id WHERE d.state = 'claimed'"
    )
    for row in claimed:
        if (row.route, row.url_index) not in busy:
            release_claim(store, fence, row.id)


CLAIMED_AT_ONCE = 20


def claim_due(
    store: Database, fence: int, now_us: int, busy: frozenset[tuple[str, int]], *, without_incidents: bool = False
) -> list[DueDelivery]:
    """Up to CLAIMED_AT_ONCE due deliveries of released alerts, one for each (route, url) that is not `busy`, so that a
    broken URL delays no other: urgent ones first, then those that need a person, updates, ends, each the oldest first.
    What waits for one incident and route leaves as one message with the newest state: an alert, alone or in a digest,
    replaces the earlier undelivered ones about its incident, also those in a digest, but for those that need a person:
    these are sent in it, if it is not an end. It waits for one that is being sent. An alert that asks to resume a plan
    is dropped once that was done, a copy on a fallback route once its own route has accepted it.
    `without_incidents`: none about an incident, alone or in a digest."""
    with store.write(fence) as session:
        session.rows(_DROP_ANSWERED)
        session.rows(_DROP_CONFIRMED)
        session.rows(_DROP_REPLACED_DIGESTS)
        session.rows(_MAKE_STATES_DUE, (now_us, now_us))
        rows = session.rows(_DUE, (now_us, without_incidents))
        due = [row for row in rows if (row.route, row.url_index) not in busy][:CLAIMED_AT_ONCE]
        session.many(
            "UPDATE delivery SET state = 'claimed', tries = tries + 1 WHERE id = ?", [(row.id,) for row in due]
        )
        for row in due:
            query = _REPLACED_BY_DIGEST if row.kind == DIGEST else _REPLACES
            _absorb_pending(session, query, row.alert_id, row.url_index)
        return [_leaving(session, row) for row in due]


def _leaving(session: Session, row: Row) -> DueDelivery:
    """The delivery with what it is sent in place of, and with the present state of its plan, days and parts."""
    delivery = _delivery(session, row, _remaining(session, row.id) if row.kind == DIGEST else ())
    if row.incident_id is None:
        return delivery
    replaces = (session.first(query, (row.alert_id, row.url_index)) for query in (_REPLACED, _REPLACED_PART))
    before = next(filter(None, replaces), None)
    plan = session.first(_PLAN, (row.incident_id, delivery.origin_id))
    return replace(
        delivery,
        replaced=from_row(ReplacedAlert, before) if before is not None else None,
        included=_claim_included(session, row.id),
        plan=PlanFacts(plan.id, plan.state, plan.done, plan.total) if plan is not None else None,
        days=_present_days(session, delivery.origin_id) if delivery.is_resolved else (),
    )


def _claim_included(session: Session, delivery_id: int) -> tuple[IncludedAlert, ...]:
    claimed = sorted(row.id for row in session.rows(_CLAIM_INCLUDED, (delivery_id,)))
    alerts = sorted(session.by_keys(_INCLUDED, claimed), key=lambda alert: alert.alert_id)
    return tuple(from_row(IncludedAlert, alert) for alert in alerts)


def _delivery(session: Session, row: Row, remaining: tuple[PendingAlert, ...] = ()) -> DueDelivery:
    merged = session.rows(_MERGED, (row.incident_id, MAX_PARTS)) if row.incident_id is not None else []
    parts = tuple(part.key for part in merged)
    first_id, origin = _origin(session, row)
    if origin in (DIGEST, GROUP):
        query = "SELECT id, dedup_key, kind FROM alert WHERE digest_id = ? ORDER BY id"
        left = {part.id for part in remaining}
        last = {part.dedup_key: part.kind for part in session.rows(query, (first_id,)) if not left or part.id in left}
        resolves = tuple(key for key, kind in last.items() if kind == AlertKind.RECOVERED)
        is_resolved = len(resolves) == len(last) > 0
    else:
        is_resolved = origin == AlertKind.RECOVERED or (origin in (HEADWAY, TEST) and row.version == HEADWAY_RESOLVED)
        resolves = parts if is_resolved else ()
        if is_resolved and row.incident_id is not None:
            same = session.rows(_SAME_DAYS, (row.incident_id, row.route, MAX_PARTS))
            resolves += tuple(incident.key for incident in same)
    if is_resolved or resolves:
        resolves += tuple(digest.dedup_key for digest in session.rows(_CLOSED_DIGESTS, (first_id,) * 3))
    page = {"origin": origin, "origin_id": first_id, "is_resolved": is_resolved, "resolves": resolves}
    return from_row(DueDelivery, row, begins=not row.later, parts=parts, remaining=remaining, **page)


def _remaining(session: Session, digest_delivery_id: int) -> tuple[PendingAlert, ...]:
    replaced = {part.id for part in session.rows(_REPLACED_PARTS, (digest_delivery_id,))}
    parts = session.rows(_PARTS, (digest_delivery_id,)) if replaced else []
    return tuple(pending_alert(part) for part in parts if part.id not in replaced)


def pending_alert(row: Row) -> PendingAlert:
    """The alert of a row, as digests read it."""
    return from_row(PendingAlert, row, incident=incident_name(row.incident_id) if row.incident_id else "")


def _present_days(session: Session, alert_id: int) -> tuple[PresentDay, ...]:
    rows = session.rows(_DAYS, (alert_id,))
    return tuple(from_row(PresentDay, row, timeliness=Timeliness(row.timeliness)) for row in rows)


def _origin(session: Session, row: Row) -> tuple[int, str]:
    """Id and kind of the alert, or of the first one where it is on a fallback route."""
    if row.fallback_of is None:
        return row.alert_id, row.kind
    [first] = session.rows("SELECT id, kind FROM alert WHERE id = ?", (row.fallback_of,))
    return first.id, first.kind


def _absorb_pending(session: Session, replaced: str, digest_id: int, url_index: int) -> None:
    rows = session.rows(
        "UPDATE delivery SET state = 'digested' WHERE state = 'pending' AND url_index = ?"
        f" AND alert_id IN ({replaced}) RETURNING alert_id",
        (url_index, digest_id),
    )
    for row in rows:
        session.rows(
            "UPDATE alert SET digest_id = ?, waits = FALSE WHERE id = ? OR digest_id = ?",
            (digest_id, row.alert_id, row.alert_id),
        )


def latest_of_open_incidents(store: Database) -> list[DueDelivery]:
    """The last delivery about each open incident that each URL received or is receiving, alone or in a digest."""
    with store.read() as session:
        return [_delivery(session, row) for row in session.rows(_LATEST)]


def paged_incidents(store: Database, receivers: Sequence[tuple[str, str]], limit: int) -> list[PagedIncident]:
    """Open incidents whose last alert to the (route, receiver) does not resolve them, the newest alert first, up to
    `limit` for each receiver. Alerts in a digest do not count."""
    with store.read() as session:
        rows = session.by_keys(_PAGED, receivers, (limit,))
        return [
            PagedIncident(row.route, row.receiver, row.incident_id, row.dedup_key)
            for row in rows
            if _origin(session, row)[1] != AlertKind.RECOVERED
        ]


def alerted_incidents(store: Database, ids: Sequence[int]) -> list[AlertedIncident]:
    """Those that exist, in one read."""
    with store.read() as session:
        return [from_row(AlertedIncident, row) for row in session.by_keys(_ALERTED, ids)]


def incidents_of_alert(store: Database, alert_id: int) -> list[tuple[AlertedIncident, list[AlertedService]]]:
    """The incidents of an alert or digest, each with its affected services, the most important ones first."""
    with store.read() as session:
        alerts = session.rows(
            "SELECT DISTINCT incident_id FROM alert WHERE (id = ? OR digest_id = ?) AND incident_id IS NOT NULL"
            " ORDER BY incident_id",
            (alert_id, alert_id),
        )
        ids = [row.incident_id for row in alerts]
        incidents = [from_row(AlertedIncident, row) for row in session.by_keys(_ALERTED, ids)]
        services = [
            from_row(AlertedService, row, reasons=parse_reasons(row.reasons)) for row in session.by_keys(_SERVICES, ids)
        ]
    own = {
        incident.id: [service for service in services if service.incident_id == incident.id] for incident in incidents
    }
    return [(incident, own[incident.id]) for incident in sorted(incidents, key=lambda incident: incident.id)]


def mark_sending(store: Database, fence: int, delivery_id: int, now_us: int) -> None:
    """From here on only the receiver knows the outcome."""
    with store.write(fence) as session:
        session.rows("UPDATE delivery SET wire_us = ? WHERE id = ?", (now_us, delivery_id))


def release_claim(store: Database, fence: int, delivery_id: int) -> None:
    """Releases a claim that no thread sends."""
    with store.write(fence) as session:
        session.rows(f"{_RELEASE} AND id = ?", (delivery_id,))


_UNPARK = (
    "UPDATE delivery SET state = 'pending', next_us = 0, parked_us = NULL WHERE id IN (SELECT x.id FROM delivery x JOIN"
    " alert y ON y.id = x.alert_id WHERE x.state = 'parked' AND x.refusals = ? AND x.since_us > ? AND x.receiver ="
    f" (SELECT receiver FROM delivery WHERE id = ?) AND y.kind <> '{HEADWAY}' AND NOT EXISTS (SELECT 1 FROM delivery o"
    f" JOIN alert g ON g.id = o.alert_id WHERE g.id = y.digest_id AND g.kind = '{DIGEST}' AND o.url_index = x.url_index"
    f" AND o.state IN ('pending', 'claimed', 'parked', 'sent')) AND (y.kind = '{DIGEST}' OR NOT EXISTS"
    " (SELECT 1 FROM alert m JOIN alert n ON n.incident_id = m.incident_id AND n.route = m.route JOIN delivery o ON"
    " o.alert_id = COALESCE(n.digest_id, n.id) WHERE (m.id = y.id OR m.digest_id = y.id) AND o.url_index = x.url_index"
    f" AND o.state IN ('pending', 'claimed', 'sent') AND {_IS_OLDER.format('m', 'n')}"
    f" AND '{PERSON}' NOT IN ({ORIGIN_KIND.format('n')}, {ORIGIN_KIND.format('m')})))) RETURNING alert_id"
)
"""Makes deliveries that their receiver refused permanently due again, once, unless they are in a digest of its own or
it has a newer alert about the incident."""

_RECORD_INCLUDED = "UPDATE delivery SET state = 'digested', error = '' WHERE id = ?"
_SET_DIGEST = (
    "UPDATE alert SET digest_id = (SELECT alert_id FROM delivery WHERE id = ?) WHERE id = (SELECT alert_id FROM"
    " delivery WHERE id = ?)"
)


def record_sent(store: Database, fence: int, delivery_id: int, now_us: int, included: Sequence[int] = ()) -> None:
    """Records it and the deliveries `included` in it. Its URL works: other deliveries to it that failed are due at
    once, one that may have arrived at the earliest LEAST_REPEAT after its last try. One that was abandoned for its
    refusals in the last GIVE_UP_AFTER is tried once more, within the route's limit; refused again, it has a fault of
    its own."""
    least_us = LEAST_REPEAT // timedelta(microseconds=1)
    since_us = now_us - GIVE_UP_AFTER // timedelta(microseconds=1)
    with store.write(fence) as session:
        session.rows("UPDATE delivery SET state = 'sent', sent_us = ?, error = '' WHERE id = ?", (now_us, delivery_id))
        session.many(_RECORD_INCLUDED, [(number,) for number in included])
        session.many(_SET_DIGEST, [(delivery_id, number) for number in included])
        session.rows(
            "UPDATE delivery SET next_us = COALESCE(wire_us + ?, 0) WHERE state = 'pending' AND next_us > ?"
            " AND next_us > COALESCE(wire_us + ?, 0) AND error <> ''"
            " AND receiver = (SELECT receiver FROM delivery WHERE id = ?)",
            (least_us, now_us, least_us, delivery_id),
        )
        _limit(session, session.rows(_UNPARK, (REFUSALS, since_us, delivery_id)))


def postpone(
    store: Database, fence: int, delivery_id: int, error: str, next_us: int, arrived: bool | None, refusals: int = 0
) -> None:
    """Retries at `next_us`. `arrived` False: the receiver refused it or was never reached, so the next try is no
    repeat, unless the reply to an earlier one was lost. None: unknown."""
    _record_failure(store, fence, delivery_id, ("pending", error, next_us, refusals, None), arrived)


def park(
    store: Database, fence: int, delivery_id: int, error: str, now_us: int, arrived: bool | None, refusals: int = 0
) -> None:
    """Abandons it: only a person retries it. `arrived` as for `postpone`."""
    _record_failure(store, fence, delivery_id, ("parked", error, 0, refusals, now_us), arrived)


def _record_failure(store: Database, fence: int, delivery_id: int, values: Values, arrived: bool | None) -> None:
    is_certain = arrived is False
    with store.write(fence) as session:
        session.rows(
            "UPDATE delivery SET state = ?, error = ?, next_us = ?, refusals = ?, parked_us = ?,"
            " wire_us = CASE WHEN ? AND repeats = 0 THEN NULL ELSE wire_us END,"
            " repeats = repeats + CASE WHEN ? OR wire_us IS NULL THEN 0 ELSE 1 END WHERE id = ?",
            (*values, is_certain, is_certain, delivery_id),
        )


def retry_parked(store: Database, fence: int, delivery_id: int | None, change: ChangeOrigin) -> list[int]:
    """Makes parked deliveries, this one or all, due again as if created now; their ids. Without tests. They are limited
    as a flood is: alone within the route's limit, the rest in a digest. A digest is never grouped again."""
    with store.write(fence) as session:
        rows = session.rows(
            "UPDATE delivery SET state = 'pending', next_us = 0, since_us = ?, refusals = 0, parked_us = NULL,"
            " tries = 0 WHERE state = 'parked' AND (CAST(? AS BIGINT) IS NULL OR id = ?)"
            " AND alert_id NOT IN (SELECT id FROM alert WHERE kind = 'test') RETURNING id, alert_id",
            (change.now_us, delivery_id, delivery_id),
        )
        ids = sorted(row.id for row in rows)
        if delivery_id is None:
            _limit(session, rows)
        if ids:
            change.audit(session, RequestKind.RETRY_ALERTS, "parked deliveries", {"deliveries": ids})
        return ids


_RESET_RELEASE = (
    "UPDATE alert SET waits = TRUE, let_us = 0 WHERE kind NOT IN ('digest', 'group', 'headway') AND digest_id IS NULL"
    " AND id = ? AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.alert_id = alert.id AND d.state IN ('sent',"
    " 'claimed'))"
)
"""An alert that a URL of its route already accepted is not put into a digest."""


def _limit(session: WriteSession, requeued: Sequence[Row]) -> None:
    """Lets the alerts of requeued deliveries wait for their release, as those of a flood."""
    session.many(_RESET_RELEASE, [(row.alert_id,) for row in requeued])


def next_due(store: Database) -> int | None:
    """When the next pending delivery of a released alert is due (µs); None without one."""
    [row] = store.rows(
        "SELECT min(d.next_us) AS next_us FROM delivery d JOIN alert a ON a.id = d.alert_id"
        " WHERE d.state = 'pending' AND NOT a.waits"
    )
    return None if row.next_us is None else int(row.next_us)
