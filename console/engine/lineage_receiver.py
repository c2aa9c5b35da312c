"""Receives OpenLineage events: datasets and facets of known jobs, from which dependencies are suggested.

Source: openlineage.io, specification 2-0-2 (run, job and dataset events). Events come out of order and get lost, so
they never set the state of a run; a job that Headway does not know stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.http_server import ServerReply
from console.domain.ids import EPOCH, micros
from console.domain.service import DEADLINE_FACET, ReportedDeadline
from console.engine.endpoints import API, Endpoint, ItemBatch, LeftOut, check_time, json_body, validated
from console.store.db.database import Database
from console.store.events import DatasetUse, FacetOf, Reported, jobs_by_source_id, record_lineage
from console.text.redact import sanitize
from console.timing.clock import Clock

LINEAGE_PATH = f"{API}/lineage"
NAME_LIMIT = 512
TEXT_LIMIT = 300
MAX_DATASETS = 1_000
"""Inputs, and outputs, of one event."""
WRITE_ROWS = 1_000
"""Datasets, and facets, of one transaction: polls wait for no longer one."""
FIX = "send OpenLineage events (specification 2-0-2), one or an array"

_ZONE_NAME = re.compile(r"\[[\w/:+-]+\]$")


def _without_zone_name(value: Any) -> Any:
    """ "2026-11-27T03:00:00Z" of "2026-11-27T03:00:00Z[Europe/London]", as producers in Java print it."""
    return _ZONE_NAME.sub("", value) if isinstance(value, str) else value


def _in_utc(time: datetime) -> datetime:
    """UTC for a time without an offset, which the producer cannot be made to send."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_Time = Annotated[datetime, BeforeValidator(_without_zone_name), AfterValidator(_in_utc)]
_Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]


class _Job(BaseModel):
    namespace: _Name
    name: _Name
    facets: dict[str, Any] | None = None


class _Root(BaseModel):
    job: _Job


class _Parent(BaseModel):
    job: _Job
    root: _Root | None = None


class _RunFacets(BaseModel, extra="allow"):
    parent: _Parent | None = None


class _Run(BaseModel):
    id: UUID = Field(alias="runId")
    facets: _RunFacets | None = None


class _Dataset(BaseModel):
    namespace: _Name
    name: _Name

    @property
    def text(self) -> str:
        """ "postgres://db:5432/shop.public.orders": the same for both ends, whatever slashes their producers put
        between the parts."""
        return f"{self.namespace.rstrip('/')}/{self.name.lstrip('/')}"


_Datasets = Annotated[list[_Dataset], Field(max_length=MAX_DATASETS)] | None


class _Event(BaseModel):
    time: _Time = Field(alias="eventTime")
    type: Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"] | None = Field(
        default=None, alias="eventType"
    )
    producer: _Name
    job: _Job | None = None
    """None in a dataset event."""
    run: _Run | None = None
    inputs: _Datasets = None
    outputs: _Datasets = None

    def job_names(self) -> Iterator[tuple[str, str]]:
        """(namespace, name) of its job, then of those that started it."""
        parent = self.run.facets.parent if self.run is not None and self.run.facets is not None else None
        root = parent.root if parent is not None else None
        jobs = (self.job, parent.job if parent is not None else None, root.job if root is not None else None)
        yield from ((job.namespace, job.name) for job in jobs if job is not None)


class LineageReceiver:
    """Answers POST /api/v1/lineage once what the events report is stored."""

    def __init__(self, store: Database, clock: Clock, secrets: SecretStore) -> None:
        self._store, self._clock, self._mask = store, clock, secrets.mask
        self._left_out = LeftOut(LINEAGE_PATH, clock)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(frozenset({"POST"}), self._answer, self._left_out.problem)

    def _answer(self, bodies: Sequence[bytes], fence: int) -> list[ServerReply]:
        """Raises LeaseLost, StoreError."""
        now = self._clock.now()
        batches = [ItemBatch.of(partial(_rows, body), partial(_parse_event, now=now)) for body in bodies]
        line = cache(self._line)
        names = {name for batch in batches for event in batch.items for _, name in event.job_names()}
        with self._store.read() as session:
            known = jobs_by_source_id(session, names)
        replies: list[ServerReply] = []
        datasets: dict[DatasetUse, Reported] = {}
        facets: dict[FacetOf, Reported] = {}
        for batch in batches:
            matched = 0
            for event in batch.items:
                if (job_id := _job_of(event, known)) is not None:
                    matched += 1
                    seen_us = micros(min(max(event.time, EPOCH), now))
                    _collect(event, job_id, seen_us, line, datasets, facets)
            replies.append(batch.reply("a known job", matched))
        uses, texts = sorted(datasets.items()), sorted(facets.items())
        for start in range(0, max(len(uses), len(texts)), WRITE_ROWS):
            rows = slice(start, start + WRITE_ROWS)
            with self._store.write(fence) as session:
                record_lineage(session, uses[rows], texts[rows])
        self._left_out.note(batches)
        return replies

    def _line(self, text: str, limit: int) -> str:
        return sanitize(text, self._mask, limit, on_one_line=True)


def _rows(body: bytes) -> list[tuple[str, Any]]:
    """One event, or those of an array. Raises ItemFault."""
    value = json_body(body, FIX)
    return [(f"{at}.", row) for at, row in enumerate(value)] if isinstance(value, list) else [("", value)]


def _parse_event(row: Any, position: str, now: datetime) -> _Event:
    """`position`: that of its fields in an array, "2.". Raises ItemFault."""
    event = validated(_Event, row, FIX, position)
    check_time(f"{position}eventTime", event.time, now)
    return event


def _job_of(event: _Event, known: Mapping[str, Sequence[tuple[str, int]]]) -> int | None:
    """The known job of an event, else the nearest known one that started it. A name that several systems have counts
    only for the system that its namespace names."""
    for namespace, name in event.job_names():
        jobs = known.get(name, ())
        of_system = [job_id for system, job_id in jobs if system == namespace]
        ids = of_system or [job_id for _, job_id in jobs]
        if len(ids) == 1:
            return ids[0]
    return None


def _collect(
    event: _Event,
    job_id: int,
    seen_us: int,
    line: Callable[[str, int], str],
    datasets: dict[DatasetUse, Reported],
    facets: dict[FacetOf, Reported],
) -> None:
    """Adds what an event reports, unless a later one reports the same."""
    producer = line(event.producer, TEXT_LIMIT)
    for is_output, uses in ((False, event.inputs), (True, event.outputs)):
        for dataset in uses or ():
            use = DatasetUse(job_id, is_output, line(dataset.text, 2 * NAME_LIMIT))
            if use not in datasets or datasets[use].seen_us < seen_us:
                datasets[use] = Reported(producer, seen_us)
    for name, text in _facet_texts(event):
        facet = FacetOf(job_id, name)
        if text and (facet not in facets or facets[facet].seen_us < seen_us):
            facets[facet] = Reported(producer, seen_us, line(text, TEXT_LIMIT))


def _facet_texts(event: _Event) -> Iterator[tuple[str, str]]:
    """Facets that are shown to an operator, a line each; of other forms than specified: none. Code, SQL, arguments
    and environment stay out: they may hold secrets."""
    of_job = (event.job.facets if event.job is not None else None) or {}
    of_run = event.run.facets.model_extra if event.run is not None and event.run.facets is not None else None
    yield "documentation", _text(of_job, "documentation", "description")
    yield "ownership", ", ".join(_owners(of_job))
    yield "sourceCodeLocation", _text(of_job, "sourceCodeLocation", "url")
    yield "jobType", " ".join(filter(None, (_text(of_job, "jobType", key) for key in ("integration", "jobType"))))
    engine = (_text(of_run or {}, "processing_engine", key) for key in ("name", "version"))
    yield "processing_engine", " ".join(filter(None, engine))
    yield "errorMessage", _text(of_run or {}, "errorMessage", "message")
    yield DEADLINE_FACET, _deadline_text(of_run or {})


def _text(facets: Mapping[str, Any], facet: str, key: str) -> str:
    """The first line of a facet's field; empty without one."""
    table = facets.get(facet)
    value = table.get(key) if isinstance(table, dict) else None
    return value.strip().partition("\n")[0] if isinstance(value, str) else ""


_DAILY = frozenset({"DagRunLogicalDateDeadline", "DagRunQueuedAtDeadline"})
"""Airflow's references of deadlines that follow each run; others are one date, or an average."""


def _deadline_text(of_run: Mapping[str, Any]) -> str:
    """The earliest deadline of an Airflow run (provider 2.13); empty without one, and in another form."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        run = of_run["airflowDagRun"]["dagRun"]
        begin, end = run.get("data_interval_start"), run.get("data_interval_end")
        is_interval = begin is not None and begin != end
        of = datetime.fromisoformat(begin if is_interval else run.get("logical_date") or run["run_after"])
        alerts = [alert for alert in run["deadlines"]["alerts"] if alert["reference"]["reference_type"] in _DAILY]
        deadline = min(datetime.fromisoformat(alert["deadline_time"]) for alert in alerts)
        return ReportedDeadline(deadline, of, is_interval).text
    return ""


def _owners(facets: Mapping[str, Any]) -> Iterator[str]:
    table = facets.get("ownership")
    owners = table.get("owners") if isinstance(table, dict) else None
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, dict) and isinstance(owner.get("name"), str):
            yield owner["name"]
