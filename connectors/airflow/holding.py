"""Holds as they stand in Airflow: a paused DAG, and the line about it in the note of one of its newest runs.

Airflow has no note on a DAG. What it does when a DAG is paused and resumed was measured on 3.3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from connectors import fields
from connectors.airflow import facts
from connectors.airflow.client import PAGE_LIMIT, AirflowClient
from connectors.airflow.marks import note_of
from connectors.airflow.parse_inventory import is_periodic
from connectors.contract import HoldMark, NativeHold, SystemUnreachable
from connectors.holdnotes import holds_in

NOTES_READ = 50
"""Newest runs whose notes are searched: a paused DAG gets new runs only by hand, by asset or by backfill."""
MOST_PAUSED = 500
"""Paused DAGs that are searched, one call each."""


@dataclass(frozen=True, slots=True)
class Held:
    """A line about a hold, and where it stands."""

    dag: str
    run: str
    note: str
    mark: HoldMark


def found(client: AirflowClient, dag: str) -> list[Held]:
    """The lines about holds in the notes of this DAG's newest runs, newest run first; paused or not. Where the DAG is
    paused by us, it is by the first of them: a hold writes its line above all others, and only where it is not
    paused yet."""
    reply = client.runs_of(dag, {"order_by": "-id", "limit": NOTES_READ})
    return [
        Held(dag, str(row.get("dag_run_id")), note_of(row), mark)
        for row in facts.runs(reply)
        for mark in holds_in(note_of(row))
    ]


def found_of(client: AirflowClient, dag: str, hold: str) -> Held | None:
    """The line of one hold, by its id."""
    return next((one for one in found(client, dag) if one.mark.id == hold), None)


def held_by(client: AirflowClient, dag: str) -> HoldMark | None:
    """Whose hold a paused DAG is under; None where a person paused it."""
    return next((one.mark for one in found(client, dag)), None)


def all_holds(
    client: AirflowClient, watched: Callable[[str], bool], known: Collection[str] = ()
) -> tuple[NativeHold, ...]:
    """Every mark of a watched DAG that is paused, and of those of `known` that are not. All but the one that a DAG is
    paused under are bare: they outlived their holds. Raises SystemUnreachable where there are too many."""
    holds: list[NativeHold] = []
    paused = [dag for dag in _paused(client) if watched(dag)]
    for number, dag in enumerate(paused):
        if number >= MOST_PAUSED:
            raise SystemUnreachable(
                f"Airflow: more than {MOST_PAUSED} DAGs are paused, too many to look for holds; "
                "name those that matter in dags"
            )
        holds += [_native(one, bare=place > 0) for place, one in enumerate(found(client, dag))]
    for dag in sorted({*known} - {*paused}):
        left = found(client, dag)
        if left and is_paused(client, dag) is False:  # paused in the moment since: the next look tells
            holds += [_native(one, bare=True) for one in left]
    return tuple(holds)


def _native(one: Held, bare: bool) -> NativeHold:
    return NativeHold(one.dag, one.mark, f"note of run {one.run} of {one.dag}", bare)


def is_paused(client: AirflowClient, dag: str) -> bool | None:
    """As Airflow tells it now; None where it has no such DAG, or does not tell."""
    reply = client.dag(dag)
    told = None if reply.status == 404 else reply.table().get("is_paused")
    return told if isinstance(told, bool) else None


def _paused(client: AirflowClient) -> Iterator[str]:
    offset = 0
    while offset <= MOST_PAUSED * 20:
        table = client.paused(offset).table()
        rows = fields.rows(table.get("dags"))
        # an Airflow that does not know the filter answers with all of its DAGs
        yield from (str(row.get("dag_id")) for row in rows if isinstance(row, dict) and row.get("is_paused") is True)
        offset += PAGE_LIMIT
        if not rows or offset >= fields.number(table, "total_entries", 0):
            return


def pausing(client: AirflowClient, dag: str, row: fields.Row) -> tuple[str, ...]:
    """What a pause does to this DAG, for people."""
    stopped = "no run of it starts, not by hand or by backfill either: such runs stay queued"
    under_way = facts.active(client, dag)
    if under_way is None:
        return (stopped, *_resumed_later(row), *_by_asset(row))
    going = f"{under_way.replace('other runs', 'runs', 1)}: tasks that run go on to their end"
    return (stopped, f"{going}, what follows them waits for the release", *_resumed_later(row), *_by_asset(row))


def _resumed_later(row: fields.Row) -> tuple[str, ...]:
    if is_periodic(row):
        on = row.get("catchup") is True
        made = f"{'every' if on else 'the latest'} run that fell due meanwhile (catchup is {'on' if on else 'off'})"
        return (f"when it is released, Airflow makes {made}",)
    return () if _by_asset(row) else ("it has no schedule: when it is released, nothing starts by itself",)


def _by_asset(row: fields.Row) -> tuple[str, ...]:
    if row.get("asset_expression") is None:
        return ()
    return ("updates of its assets while it is paused start no run, also not later: Airflow forgets them",)


def resuming(client: AirflowClient, dag: str, row: fields.Row, now: datetime) -> tuple[str, ...]:
    """What Airflow does as soon as this DAG is resumed, for people."""
    reply = client.runs_of(dag, {"state": ["running", "queued"], "limit": 5, "order_by": "-run_after"})
    waiting = [f"{one.get('dag_run_id')} ({one.get('state')})" for one in facts.runs(reply)]
    go_on = (f"go on at once: {', '.join(waiting)}",) if waiting else ()
    return (*go_on, *_made_by_the_clock(row, now), *_by_asset(row))


def _made_by_the_clock(row: fields.Row, now: datetime) -> tuple[str, ...]:
    following = facts.instant(row.get("next_dagrun_run_after"))
    if not is_periodic(row) or following is None:
        return () if _by_asset(row) else ("it has no schedule: no run is made by itself",)
    if following > now:
        return (f"its next run is due {facts.told(following)}: Airflow makes none before",)
    if row.get("catchup") is True:
        return (f"Airflow makes every missed run at once, from {facts.told(following)} on (catchup is on)",)
    latest = f"Airflow makes the latest run that is due at once, at {facts.told(following)} or later"
    named = "and before it the one that its last look at the DAG's file named"
    return (f"{latest}, {named}; other earlier ones of the pause are left out (catchup is off)",)
