"""The inventory: every DAG with its schedule, its tasks, and the DAGs whose assets start it.

A calm look costs the pages of /dags and of /assets, one page of DAG versions and one of import errors. Details and
tasks of a DAG are read again only when its version moved, and a few of the oldest each time, since Airflow changes the
definition of a DAG that never ran in place, without a new version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from connectors import fields
from connectors.airflow import parse_inventory
from connectors.airflow.client import AirflowClient
from connectors.airflow.parse_inventory import Definition
from connectors.contract import Clock, Inventory, JobRecord, RecordUnreadable, Skipped, SystemUnreachable
from connectors.transport.http import Reply

MOST_PAGES = 500
"""50,000 DAGs, or as many assets."""

READ_AGAIN = 5
"""Definitions read again in each look although nothing says that they changed."""

RESERVE_SECONDS = 1.0
"""Of the deadline: with less left no further definition is begun, and the inventory is not complete."""


class InventoryReader:
    """Reads inventories of one Airflow, and remembers the definitions of its DAGs."""

    def __init__(self, client: AirflowClient, base_url: str, watched: Callable[[str], bool]) -> None:
        self._client = client
        self._base_url = base_url
        self._watched = watched
        self._definitions: dict[str, Definition] = {}

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says. DAGs whose definition could not be read in time are left out of an incomplete one:
        the next look has them."""
        skipped: list[Skipped] = []
        rows, clock, complete = self._dags(skipped)
        complete = self._read_definitions(rows, skipped) and complete
        feeds = self._feeds(skipped)
        errors, broken = self._import_errors()
        jobs = self._jobs(rows, feeds, errors, skipped)
        if not rows:
            complete = False
            skipped.append(Skipped("dags", "Airflow lists no DAG: there is none, or this account may read none"))
        digest = fields.short_digest([complete, [repr(one) for one in (*jobs, *broken)]])
        if digest == previous_hash and complete:
            return Inventory((), complete, digest, unchanged=True, clock=clock, skipped=(*skipped, *broken))
        told = (*skipped, *broken)
        return Inventory(
            jobs, complete, digest, clock=clock, skipped=told, asks_for=lambda name, _: self._watched(name)
        )

    def _dags(self, skipped: list[Skipped]) -> tuple[dict[str, fields.Row], Clock | None, bool]:
        rows, clock, whole = self._pages(self._client.dags, "dags")
        found: dict[str, fields.Row] = {}
        for row in rows:
            try:
                name = fields.text(fields.table(row), "dag_id")
                if self._watched(name):
                    found[name] = fields.table(row)
            except RecordUnreadable as error:
                skipped.append(fields.skipped("dags", error, row))
                whole = False
        return found, clock, whole

    def _pages(self, ask: Callable[[int], Reply], name: str) -> tuple[list[Any], Clock | None, bool]:
        """All rows of a paged list; False at the end when the pages do not add up."""
        rows: list[Any] = []
        clock: Clock | None = None
        last: bytes = b""
        for _ in range(MOST_PAGES):
            reply = ask(len(rows))
            if reply.status in (403, 404):
                return rows, clock, False
            table = reply.table()
            page = table.get(name)
            if not isinstance(page, list):
                raise SystemUnreachable(f"{reply.place} has no list {name!r}; is this Airflow?")
            clock = clock or reply.clock
            rows += page
            if len(rows) >= fields.number(table, "total_entries", 0):
                return rows, clock, True
            if not page or reply.body == last:
                return rows, clock, False
            last = reply.body
        return rows, clock, False

    # definitions

    def _read_definitions(self, names: Mapping[str, fields.Row], skipped: list[Skipped]) -> bool:
        """Makes the remembered definitions current; False when time ran out or one could not be read."""
        for gone in self._definitions.keys() - set(names):
            del self._definitions[gone]
        moved = self._moved() | self._retimed(names)
        new = [name for name in names if name not in self._definitions]
        old = [name for name in self._definitions if name in moved]
        again = [name for name in self._definitions if name not in old][:READ_AGAIN]
        whole = True
        for name in [*new, *old, *again]:
            if self._client.deadline.left < RESERVE_SECONDS:
                return whole and name in again
            whole = self._read_definition(name, skipped) and whole
        return whole

    def _moved(self) -> frozenset[str]:
        """DAGs whose newest version is not the one we know; none where this account may not see versions."""
        reply = self._client.versions()
        if reply.status != 200:
            return frozenset()
        newest: dict[str, int] = {}
        for row in fields.rows(reply.table().get("dag_versions")):
            try:
                dag, number = parse_inventory.version(row)
                newest[dag] = max(number, newest.get(dag, 0))
            except RecordUnreadable:
                continue
        return frozenset(
            name for name, known in self._definitions.items() if newest.get(name, known.version) != known.version
        )

    def _retimed(self, rows: Mapping[str, fields.Row]) -> frozenset[str]:
        """DAGs that the list shows with another timetable: one that did not run since changes without a new version."""
        known = ((name, self._definitions[name].timetable) for name in rows if name in self._definitions)
        return frozenset(name for name, timetable in known if (rows[name].get("timetable_summary") or "") != timetable)

    def _read_definition(self, name: str, skipped: list[Skipped]) -> bool:
        details, tasks = self._client.dag(name), self._client.tasks(name)
        if 404 in (details.status, tasks.status):
            self._definitions.pop(name, None)
            return False
        try:
            rows = fields.rows(tasks.table().get("tasks"))
            known = parse_inventory.definition(name, details.table(), rows)
        except RecordUnreadable as error:
            skipped.append(fields.skipped(f"dags/{name}", error, {"dag_id": name}))
            return False
        self._definitions.pop(name, None)
        self._definitions[name] = known  # at the end: the oldest come first when a few are read again
        return True

    # what hangs together

    def _feeds(self, skipped: list[Skipped]) -> dict[str, set[str]]:
        """DAG -> DAGs that write the assets it waits for."""
        rows, _, _ = self._pages(self._client.assets, "assets")
        feeds: dict[str, set[str]] = {}
        for row in rows:
            try:
                for dag, writers in parse_inventory.feeds(row).items():
                    feeds.setdefault(dag, set()).update(writers)
            except RecordUnreadable as error:
                skipped.append(fields.skipped("assets", error, row))
        return feeds

    def _jobs(
        self,
        rows: dict[str, fields.Row],
        feeds: dict[str, set[str]],
        errors: Mapping[str, str],
        skipped: list[Skipped],
    ) -> tuple[JobRecord, ...]:
        jobs: dict[str, JobRecord] = {}
        slots_of = self._slots(rows)
        for name, row in sorted(rows.items()):
            known = self._definitions.get(name)
            if known is None:
                continue
            try:
                found = parse_inventory.dag(row, known, feeds.get(name, ()), self._base_url, errors, slots_of)
            except RecordUnreadable as error:
                skipped.append(fields.skipped("dags", error, row))
                continue
            both = [job.native_id for job in (found, *known.tasks) if jobs.setdefault(job.native_id, job) is not job]
            skipped += [Skipped("dags", f"{one} is the id of two jobs; the first one is kept") for one in both]
        return tuple(jobs.values())

    def _slots(self, names: Iterable[str]) -> dict[str, int | None]:
        """Slots by pool, where a DAG is in one; none where this account may not read pools."""
        if not any(self._definitions[name].pool for name in names if name in self._definitions):
            return {}
        reply = self._client.pools()
        found: dict[str, int | None] = {}
        for row in fields.rows(reply.table().get("pools")) if reply.status == 200 else ():
            with suppress(RecordUnreadable):
                found |= [parse_inventory.slots(row)]
        return found

    def _import_errors(self) -> tuple[dict[str, str], list[Skipped]]:
        """DAG files that cannot be imported, with the reason, and the same for people: their DAGs may be gone from the
        list or stay as they were."""
        reply = self._client.import_errors()
        rows = fields.rows(reply.table().get("import_errors")) if reply.status == 200 else []
        errors: dict[str, str] = {}
        told: list[Skipped] = []
        for row in rows:
            try:
                name, why = parse_inventory.import_error(row)
            except RecordUnreadable as error:
                told.append(fields.skipped("importErrors", error, row))
                continue
            errors[name] = why
            told.append(Skipped("importErrors", f"DAG file {name} cannot be imported: {why}"))
        return errors, told
