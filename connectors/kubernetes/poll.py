"""One poll: a bite of the list of all Jobs, or what changed since; with the pods of what runs or failed.

A Job that is deleted is told by the watch with its last state, so no history limit and no TTL hides an end while the
changes are read. Where they were not (a first look, a resourceVersion that expired), what is gone is told as gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import AccessRefused, Clock, Gap, Poll, RecordUnreadable, RunRef, State, SystemUnreachable
from connectors.gathered import Gathered, Told
from connectors.kubernetes import changes, events, names, parse
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.cursor import Mark, mark_of
from connectors.kubernetes.parse import Job
from connectors.kubernetes.podwatch import Pods
from connectors.kubernetes.vanished import Listed, tell_vanished
from connectors.transport.http import AnswerTooLarge, Reply

BITE_PAGES = 4
MOST_ASKED = 100
"""Open Jobs asked for one by one, a poll."""
MOST_GONE = 20
"""Of Jobs that are gone, those whose events are looked at, a poll."""
RESERVE = 0.25
SEEN_AFTER = timedelta(seconds=2)
QUIET_SECONDS = 90
"""So long without a change, and the version is moved on; etcd is compacted every five minutes."""
AHEAD_SECONDS = 10
"""For how long a change may be on its way through the server's caches."""
FORGOTTEN = "Kubernetes no longer tells what changed since: Jobs that began and were deleted in between stay unseen"
TOO_MUCH = "more changed than one answer holds: Jobs that began and were deleted in between stay unseen"
ONE_MORE = "time ran out before all open runs were looked at: the rest comes with the next poll"


class Poller:
    """Follows one target."""

    def __init__(self, client: KubernetesClient, watched: Callable[[str], bool]) -> None:
        self._client, self._watched = client, watched
        self._told, self._pods, self._listed = Told(), Pods(client), Listed()
        self._open: dict[str, Job] = {}
        """Open Jobs by uid, as they were last told; exact as long as the cursor is `_with`."""
        self._with = ""

    def poll(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """As the contract says. A calm poll costs two requests, and one for the pods of what is open."""
        found, gaps = Gathered(), list[Gap]()
        if cursor != self._with:
            self._open.clear()
            self._listed.forget()
        mark = self._mark(cursor, found)
        rows: dict[str, Job] = {}
        over: dict[str, Job] = {}
        clock: Clock | None = None
        if not mark.listing:
            mark, clock = self._follow(mark, rows, over, found, gaps)
        was_listed = mark.listing
        if mark.listing:
            if not mark.following:
                self._open.clear()
                self._listed.begin()
            mark, clock = self._list(mark, rows, found, gaps)
        self._remember(rows, over)
        rows = {**(self._open if not mark.listing else {}), **rows}
        if not mark.listing:
            self._ask(open_runs, rows, over, found)
            events.tell_troubles(self._client, found)
        self._tell(rows, over, clock, found)
        self._with = mark.told()
        return Poll(
            runs=self._told.new(found.records.values(), cursor, self._with),
            cursor=self._with,
            more=mark.listing,
            complete=found.complete,
            clock=clock,
            skipped=tuple(found.skipped),
            gaps=tuple(gaps),
            seen_until=clock.target - SEEN_AFTER if clock and found.complete and not was_listed else None,
            warnings=tuple(found.warnings),
        )

    def _mark(self, cursor: str, found: Gathered) -> Mark:
        try:
            return mark_of(cursor) if cursor else Mark()
        except RecordUnreadable as error:
            found.warn(f"the cursor cannot be read ({error}); all Jobs are listed again")
            return Mark()

    # where the rows come from

    def _follow(
        self, mark: Mark, rows: dict[str, Job], over: dict[str, Job], found: Gathered, gaps: list[Gap]
    ) -> tuple[Mark, Clock | None]:
        asked = datetime.now(UTC)
        try:
            reply = self._client.changes(mark.version)
        except AnswerTooLarge:
            gaps.append(Gap(datetime.fromtimestamp(mark.at, UTC), asked, TOO_MUCH))
            return Mark(at=mark.at), None
        clock = replace(reply.clock, ours=asked) if reply.clock else None  # it answers at once, and goes on for a while
        read = changes.read(reply)
        found.skipped += read.skipped
        for word in read.odd:
            found.warn(f"a change of the kind {word!r} is not known to Headway")
        for what, row in read.rows:
            job = self._read(row, found)
            if job is not None:
                (over if what == "DELETED" else rows)[job.uid] = job
                if what == "DELETED":
                    rows.pop(job.uid, None)
        if read.is_expired:
            gaps.append(Gap(datetime.fromtimestamp(mark.at, UTC), clock.target if clock else asked, FORGOTTEN))
            return Mark(at=mark.at), clock
        return self._moved(replace(mark, at=_at(reply)), read.version), clock

    def _moved(self, mark: Mark, version: str) -> Mark:
        """Behind the last change. Where none comes for long, behind a version that was current at an earlier look, as
        the server forgets old ones after minutes, whether Jobs changed or not."""
        if version and version != mark.version:
            return replace(mark, version=version, moved=mark.at, ahead="")
        if mark.ahead and mark.at - mark.ahead_at >= AHEAD_SECONDS:
            return replace(mark, version=mark.ahead, moved=mark.at, ahead="")
        if not mark.ahead and mark.at - mark.moved >= QUIET_SECONDS:
            return replace(mark, ahead=changes.version_of(self._client.newest_version().table()), ahead_at=mark.at)
        return mark

    def _list(self, mark: Mark, rows: dict[str, Job], found: Gathered, gaps: list[Gap]) -> tuple[Mark, Clock | None]:
        clock = None
        for _ in range(BITE_PAGES):
            reply = self._client.jobs(mark.following)
            clock = reply.clock
            if reply.status != 200:
                found.warn("the list of Jobs expired while it was read: it is begun anew")
                return Mark(at=mark.at), clock
            mark = self._page(mark, reply, rows, found)
            if not mark.following:
                since = datetime.fromtimestamp(mark.at, UTC) if mark.at else None
                tell_vanished(self._client, self._watched, self._listed, since, found)
                self._listed.forget()
                return Mark(mark.version, _at(reply), listing=False, moved=_at(reply)), clock
            if self._client.deadline.left < self._client.deadline.seconds / 2:
                break
        return mark, clock

    def _page(self, mark: Mark, reply: Reply, rows: dict[str, Job], found: Gathered) -> Mark:
        table = reply.table()
        items, meta = table.get("items"), table.get("metadata")
        if not isinstance(items, list) or not isinstance(meta, dict) or not changes.version_of(table):
            raise SystemUnreachable(f"{reply.place} is no list of Jobs; is the url that of a cluster's API?")
        last = mark.last
        for row in items:
            job = self._read(row, found)
            if job is None:
                continue
            rows[job.uid] = job
            name = f"{job.namespace}/{job.name}"
            if mark.last and name <= mark.last:
                raise SystemUnreachable(f"{reply.place} tells {name} after {mark.last}: its pages do not end")
            last = max(last, name)
            self._listed.note(job)
        following = meta.get("continue")
        version = mark.version if mark.following else changes.version_of(table)
        return replace(mark, version=version, last=last, following=following if isinstance(following, str) else "")

    def _read(self, row: Any, found: Gathered) -> Job | None:
        """A Job that is watched; None for others."""
        try:
            job = parse.read(row)
        except RecordUnreadable as error:
            found.skip("jobs", error, row)
            return None
        return job if self._watched(job.job) else None

    def _remember(self, rows: dict[str, Job], over: dict[str, Job]) -> None:
        for uid, job in rows.items():
            if job.is_over:
                self._open.pop(uid, None)
            else:
                self._open[uid] = job
        for uid in over:
            self._open.pop(uid, None)

    def _ask(self, open_runs: Sequence[RunRef], rows: dict[str, Job], over: dict[str, Job], found: Gathered) -> None:
        """For the runs that the engine thinks open and that did not show up by themselves."""
        asked = lost = 0
        for known in open_runs:
            namespace, name, uid = names.referred(known)
            if not uid or uid in rows or uid in over:
                continue
            asked += 1
            if asked > MOST_ASKED or self._client.deadline.left < self._client.deadline.seconds * RESERVE:
                found.complete = False
                found.warn(ONE_MORE)
                return
            try:
                reply = self._client.job(namespace, name)
            except AccessRefused as error:
                found.complete = False
                found.warn(f"an open run cannot be looked at any more: {error}")
                continue
            job = self._read(reply.table(), found) if reply.status == 200 else None
            if job is not None and job.uid == uid:
                rows[uid] = job
                self._remember({uid: job}, {})
                continue
            lost += 1
            space, cronjob, is_cron = names.parts(known.job)
            seen = events.finished(self._client, space, cronjob, name) if is_cron and lost <= MOST_GONE else ""
            found.add(parse.gone(known, seen))

    # what they become

    def _tell(self, rows: dict[str, Job], over: dict[str, Job], clock: Clock | None, found: Gathered) -> None:
        pods = self._pods.of([*rows.values(), *over.values()], found)
        for uid, job in [*rows.items(), *over.items()]:
            try:
                one = parse.run(job, pods.get(uid, ()))
                if uid in over and one.state.is_open:
                    one = parse.deleted(one, clock.target if clock else None)
            except RecordUnreadable as error:
                found.skip("jobs", error, job.row)
                continue
            found.add(one)
            if one.state is State.UNKNOWN:
                found.warn(f"condition {one.native_state!r} of a Job is not known to Headway")


def _at(reply: Reply) -> int:
    return int((reply.clock.target if reply.clock else datetime.now(UTC)).timestamp())
