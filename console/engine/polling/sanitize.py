"""Sanitizing of source reports before they are stored: secrets masked, times on our clock, text harmless, in chunks.

A source may repeat the credentials that we signed in with, and commands and logs of its jobs may contain passwords:
both are masked here, before anything is compared or written. Names are the identity of jobs and stay as they are;
those of the data of runs too, unless one holds a secret, or cannot be shown or stored as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from connectors.sdk.fields import short_digest
from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRecord, SkippedRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import PeriodKind
from console.store.ingest.batch import IngestBatch
from console.store.names import encode_name, is_too_long_name
from console.text.redact import MASK, Mask, is_secret_name, sanitize
from console.timing.schedule import schedule_text

DEPTH_LIMIT_TEXT = {"context_left_out": "nested too deep"}
DATA_NAME_CHARACTERS = 200


def sanitize_log(chunk: LogChunk, secrets: SecretStore, start: str | None = None) -> str:
    """The text of a part of a log without secrets, also where it was cut; a tail begins with a whole line."""
    text = chunk.text
    if start is None and chunk.cut:
        text = text.partition("\n")[2] or text
    begins_cut, ends_cut = start is not None or chunk.cut, chunk.next is not None
    return sanitize(text, partial(secrets.mask_part, begins_cut=begins_cut, ends_cut=ends_cut))


def sanitizer(secrets: SecretStore) -> Callable[[str], str]:
    """`sanitize` with the mask of these secrets."""
    return partial(sanitize, known=secrets.mask)


def map_texts(value: Any, shown: Callable[[str], str]) -> Any:
    """The value with each text in it passed through `shown`; tuples become lists, as in JSON, and instants parts of
    texts."""
    if isinstance(value, dict):
        return {name: map_texts(item, shown) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_texts(item, shown) for item in value]
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    return shown(value) if isinstance(value, str) else value


def sanitize_inventory(inventory: Inventory, mask: Mask) -> Inventory:
    """The inventory sanitized; every schedule has a description, preferably the source's own."""
    return replace(
        inventory,
        jobs=tuple(_sanitize_job(job, mask) for job in inventory.jobs),
        skipped=tuple(_sanitize_skipped(skipped, mask) for skipped in inventory.skipped),
    )


def sanitize_poll(poll: Poll, mask: Mask) -> Poll:
    raw = {text for run in poll.runs for text in (run.message, run.reason, run.native_state)}
    texts = {text: sanitize(text, mask) for text in raw}
    return replace(
        poll,
        runs=tuple(_sanitize_run(run, texts, mask) for run in poll.runs),
        skipped=tuple(_sanitize_skipped(skipped, mask) for skipped in poll.skipped),
        warnings=tuple(sanitize(warning, mask) for warning in poll.warnings),
        stopped=sanitize(poll.stopped, mask) if poll.stopped else poll.stopped,
        gaps=tuple(replace(gap, reason=sanitize(gap.reason, mask)) for gap in poll.gaps),
    )


def inventory_text(inventory: Inventory, doubted: str) -> tuple[str, ...]:
    """Problems of an inventory, for the systems screen: jobs left out, and why."""
    unread = [f"{skipped.where}: {skipped.reason}" for skipped in inventory.skipped]
    long = [f"{job.native_id[:60]}…: its name is longer than 1,000 bytes; it is not watched"
            for job in inventory.jobs if is_too_long_name(encode_name(job.native_id))]  # fmt: skip
    return (*([doubted] if doubted else []), *unread, *long)


def observed_until(poll: Poll) -> datetime | None:
    """`Poll.seen_until` corrected by the target's clock skew; None for an incomplete poll, which proves nothing."""
    if poll.seen_until is None or not poll.complete:
        return None
    skew = poll.clock.skew_seconds if poll.clock else 0.0
    return poll.seen_until - timedelta(seconds=skew)


def chunks(batch: IngestBatch, before: str, size: int) -> Iterator[IngestBatch]:
    """The batch split into transactions, oldest records first. The cursor moves with the last: after a crash the
    rest is read again, and duplicates change nothing. The last has also the log tails of earlier polls' runs."""
    tails = dict(batch.tails)
    last = max(len(batch.runs) - 1, 0) // size * size
    for at in range(0, last + 1, size):
        runs = batch.runs[at : at + size]
        keys = [*tails] if at == last else {(run.job, run.attempt_key) for run in runs} & tails.keys()
        part = replace(batch, runs=runs, tails={key: tails.pop(key) for key in keys})
        yield part if at == last else replace(part, cursor=before, seen_until=None, skipped=(), gaps=())


def _sanitize_job(job: JobRecord, mask: Mask) -> JobRecord:
    schedule = job.schedule.text or schedule_text(job.schedule)
    return replace(
        job,
        title=sanitize(job.title, mask),
        definition=sanitize(job.definition, mask),
        schedule=replace(job.schedule, text=sanitize(schedule, mask)),
        run_as=sanitize(job.run_as, mask),
        native_url=sanitize(job.native_url, mask),
        owner=sanitize(job.owner, mask),
    )


def _sanitize_run(run: RunRecord, texts: Mapping[str, str], mask: Mask) -> RunRecord:
    """The run; `texts`: its message, reason and state, sanitized once for all runs that have the same."""
    message, reason, state = texts[run.message], texts[run.reason], texts[run.native_state]
    url = sanitize(run.native_url, mask)
    try:
        context = _sanitize_values(run.context, mask)
    except RecursionError:  # nested too deep: the run is stored without it
        context = dict(DEPTH_LIMIT_TEXT)
    name, key = _data_name(run.period_name, mask), run.period_key
    if key is not None and run.denotes is PeriodKind.NAME and not name:
        key = _data_name(key, mask)
    return replace(
        run, period_key=key, period_name=name, message=message, reason=reason, native_state=state, native_url=url,
        context=context,
    )  # fmt: skip


def _data_name(name: str, mask: Mask) -> str:
    """The name of the data of a run. A changed one ends in the digest of the whole: two names stay two."""
    shown = sanitize(name, mask)
    if shown == name and not is_too_long_name(encode_name(name)):
        return name
    return f"{shown[:DATA_NAME_CHARACTERS]} ({short_digest(name)})"


def _sanitize_skipped(skipped: SkippedRecord, mask: Mask) -> SkippedRecord:
    return replace(
        skipped,
        where=sanitize(skipped.where, mask),
        reason=sanitize(skipped.reason, mask),
        sample=sanitize(skipped.sample, mask),
    )


def _sanitize_values(values: Mapping[str, Any], mask: Mask, below: bool = False) -> dict[str, Any]:
    named = ((sanitize(name, mask), value) for name, value in values.items())
    return {name: _sanitize_value(value, f"{name}=", mask, below or is_secret_name(name)) for name, value in named}


def _sanitize_value(value: Any, after: str, mask: Mask, below: bool) -> Any:
    """Masks one value. `after`: the name before it, which reveals a password as much as its shape. `below`: inside a
    value with a secret's name, where everything but booleans and null is masked."""
    if isinstance(value, Mapping):
        return _sanitize_values(value, mask, below)
    if isinstance(value, list | tuple):
        return [_sanitize_value(item, after, mask, below) for item in value]
    if below and value is not None and not isinstance(value, bool):
        return MASK[: len(value)] if isinstance(value, str) else MASK
    return sanitize(value, mask, after=after) if isinstance(value, str) else value
