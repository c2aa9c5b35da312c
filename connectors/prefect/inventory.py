"""The inventory: every deployment with its schedule, flows that run without one, and what automations join.

A calm look costs the pages of deployments and flows, one of flows without deployment, one of automations, and some for
the next runs, which Prefect makes ahead of time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from connectors import fields
from connectors.contract import Clock, Inventory, JobRecord, RecordUnreadable, Skipped
from connectors.prefect import parse, parse_inventory
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.prefect.names import Names
from connectors.transport.http import Reply

MOST_PAGES = 250
"""50,000 deployments, or as many flows."""
NEXT_LOOKS = 5
"""Pages of runs made ahead that are read for the next run of each deployment."""


class InventoryReader:
    """Reads inventories of one Prefect."""

    def __init__(self, client: PrefectClient, names: Names, ui: str) -> None:
        self._client = client
        self._names = names
        self._ui = ui

    def read(self, previous_hash: str) -> Inventory:
        """As the contract says."""
        skipped: list[Skipped] = []
        clock = self._client.version().clock
        flows, whole = self._pages(self._client.flows)
        for row in flows:
            self._kept(partial(self._names.flow, row), "flows", row, skipped)
        rows, all_rows = self._pages(self._client.deployments)
        alone, all_alone = self._pages(self._client.flows_without_deployment)
        jobs = [*self._deployments(rows, clock, skipped), *self._alone(alone, skipped)]
        complete = whole and all_rows and all_alone and not skipped
        if not rows and not alone:
            complete = False
            skipped.append(Skipped("deployments", "Prefect lists nothing: there is none, or nothing is seen"))
        unique = {job.native_id: job for job in reversed(jobs)}
        found = tuple(sorted(unique.values(), key=lambda one: one.native_id))
        digest = fields.short_digest([complete, [repr(one) for one in found]])
        if digest == previous_hash and complete:
            return Inventory((), complete, digest, unchanged=True, clock=clock, skipped=tuple(skipped))
        asks_for = self._names.watched
        return Inventory(
            found, complete, digest, clock=clock, skipped=tuple(skipped), asks_for=lambda name, _: asks_for(name)
        )

    def _deployments(self, rows: list[Any], clock: Clock | None, skipped: list[Skipped]) -> list[JobRecord]:
        named = {}
        for row in rows:
            job = self._kept(partial(self._names.deployment, row), "deployments", row, skipped)
            if job is not None and self._names.watched(job):
                named[str(row["id"])] = (job, row)
        ahead = self._next_runs(named.keys(), clock)
        feeds, slots_of = self._feeds(skipped), self._slots([row for _, row in named.values()])
        told = []
        for found, (job, row) in named.items():
            made = self._kept(
                partial(
                    parse_inventory.deployment, row, job, feeds.get(found, ()), ahead.get(found), self._ui, slots_of
                ),
                "deployments",
                row,
                skipped,
            )
            told += [made] if made is not None else []
        return told

    def _alone(self, rows: list[Any], skipped: list[Skipped]) -> list[JobRecord]:
        found = (self._kept(partial(self._names.flow, row), "flows", row, skipped) for row in rows)
        return [parse_inventory.flow(one[1], one[0], self._ui) for one in found if one and self._names.watched(one[1])]

    def _kept(self, make: Callable[[], Any], where: str, row: Any, skipped: list[Skipped]) -> Any:
        try:
            return make()
        except RecordUnreadable as error:
            skipped.append(fields.skipped(where, error, row))
            return None

    def _pages(self, ask: Callable[[int], Reply]) -> tuple[list[Any], bool]:
        """All rows of a paged list; False at the end when it does not end, or a page came twice."""
        rows: list[Any] = []
        last = b""
        for page in range(MOST_PAGES):
            reply = ask(page * PAGE_LIMIT)
            found = rows_of(reply)
            if found and reply.body == last:
                return rows, False
            rows, last = rows + found, reply.body
            if len(found) < PAGE_LIMIT:
                return rows, True
        return rows, False

    def _next_runs(self, deployments: Iterable[str], clock: Clock | None) -> dict[str, datetime]:
        """When the next run by the clock of each deployment is due, where Prefect has made it already."""
        now = clock.target if clock else datetime.now(UTC)
        missing, found = set(deployments), dict[str, datetime]()
        for _ in range(NEXT_LOOKS):
            if not missing:
                break
            where = {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "deployment_id": {"any_": sorted(missing)},
                "next_scheduled_start_time": {"after_": now.isoformat()},
            }
            rows = rows_of(self._client.runs(where, "NEXT_SCHEDULED_START_TIME_ASC"))
            seen = dict(_next_of(row) for row in reversed(rows) if _is_by_clock(row))
            found |= {name: at for name, at in seen.items() if name in missing and at is not None}
            missing -= seen.keys()
            if len(rows) < PAGE_LIMIT or not seen:
                break
        return found

    def _slots(self, deployments: Iterable[fields.Row]) -> dict[str, int | None]:
        """The limit of each work pool that has one; none where this server or account tells none."""
        if not any(row.get("work_pool_name") for row in deployments):
            return {}
        found: dict[str, int | None] = {}
        reply = self._client.work_pools()
        for row in rows_of(reply) if reply.status == 200 else ():
            with suppress(RecordUnreadable):
                found |= [parse_inventory.slots(row)]
        return {name: limit for name, limit in found.items() if limit is not None}

    def _feeds(self, skipped: list[Skipped]) -> dict[str, set[str]]:
        """Deployment -> jobs whose runs start it, by the automations; none where this server or account has none."""
        feeds: dict[str, set[str]] = {}
        reply = self._client.automations(0)
        for row in rows_of(reply) if reply.status == 200 else ():
            try:
                watched, runs = parse_inventory.edges(row)
            except RecordUnreadable as error:
                skipped.append(fields.skipped("automations", error, row))
                continue
            jobs = {job for one in watched for job in self._names.jobs_at(one)}
            for deployment in runs:
                feeds.setdefault(deployment, set()).update(jobs)
        return feeds


def _is_by_clock(row: Any) -> bool:
    return isinstance(row, dict) and row.get("auto_scheduled") is True


def _next_of(row: fields.Row) -> tuple[str, datetime | None]:
    try:
        return parse.optional_id(row, "deployment_id"), fields.instant(row, "next_scheduled_start_time")
    except RecordUnreadable:
        return "", None
