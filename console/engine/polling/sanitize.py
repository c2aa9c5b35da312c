"""Sanitizing of source reports before they are stored: secrets masked, times on our clock, text harmless, in chunks.

A source may repeat the credentials that we signed in with, and commands and logs of its jobs may contain passwords:
both are masked here, before anything is compared or written. Names are the identity of jobs and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from connectors.sdk.records import Inventory, JobRecord, LogChunk, Poll, RunRecord, SkippedRecord
from connectors.sdk.secrets import SecretStore
from console.store.ingest.batch import IngestBatch
from console.store.names import encode_name, is_too_long_name
from console.text.cleaning import clean
from console.text.redact import MASK, is_secret_name, mask_secrets
from console.timing.schedule import schedule_text

DEPTH_LIMIT_TEXT = {"context_left_out": "nested too deep"}
Mask = Callable[[str], str]
"""Masks known secrets (`SecretStore.mask`)."""


def sanitize_text(text: str, mask: Mask) -> str:
    """External text without secrets and control sequences."""
    return mask_secrets(clean(mask(text))) if text else ""


def sanitize_log(chunk: LogChunk, secrets: SecretStore, start: str | None = None) -> str:
    """The text of a part of a log without secrets, also where it was cut; a tail begins with a whole line."""
    text = chunk.text
    if start is None and chunk.cut:
        text = text.partition("\n")[2] or text
    masked = secrets.mask_part(text, start is not None or chunk.cut, chunk.next is not None)
    return mask_secrets(clean(masked)) if text else ""


def sanitizer(secrets: SecretStore) -> Callable[[str], str]:
    """`sanitize_text` with the mask of these secrets."""
    return partial(sanitize_text, mask=secrets.mask)


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
    messages = {text: _sanitize_optional(text, mask) for text in {run.message for run in poll.runs}}
    return replace(
        poll,
        runs=tuple(_sanitize_run(run, messages[run.message], mask) for run in poll.runs),
        skipped=tuple(_sanitize_skipped(skipped, mask) for skipped in poll.skipped),
        warnings=tuple(_sanitize_optional(warning, mask) for warning in poll.warnings),
        stopped=_sanitize_optional(poll.stopped, mask),
        gaps=tuple(replace(gap, reason=_sanitize_optional(gap.reason, mask)) for gap in poll.gaps),
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
        title=_sanitize_optional(job.title, mask),
        definition=_sanitize_optional(job.definition, mask),
        schedule=replace(job.schedule, text=_sanitize_optional(schedule, mask)),
        run_as=_sanitize_optional(job.run_as, mask),
        native_url=_sanitize_optional(job.native_url, mask),
        owner=_sanitize_optional(job.owner, mask),
    )


def _sanitize_run(run: RunRecord, message: str, mask: Mask) -> RunRecord:
    if not (message or run.context or run.native_url):
        return run
    url = _sanitize_optional(run.native_url, mask)
    try:
        context = _sanitize_values(run.context, mask)
    except RecursionError:  # nested too deep: the run is stored without it
        context = dict(DEPTH_LIMIT_TEXT)
    return replace(run, message=message, native_url=url, context=context)


def _sanitize_skipped(skipped: SkippedRecord, mask: Mask) -> SkippedRecord:
    return replace(
        skipped,
        where=_sanitize_optional(skipped.where, mask),
        reason=_sanitize_optional(skipped.reason, mask),
        sample=_sanitize_optional(skipped.sample, mask),
    )


def _sanitize_optional(text: str, mask: Mask) -> str:
    return mask_secrets(mask(text)) if text else ""


def _sanitize_values(values: Mapping[str, Any], mask: Mask, below: bool = False) -> dict[str, Any]:
    return {
        name: _sanitize_value(value, f"{name}=", mask, below or is_secret_name(name)) for name, value in values.items()
    }


def _sanitize_value(value: Any, after: str, mask: Mask, below: bool) -> Any:
    """Masks one value. `after`: the name before it, which reveals a password as much as its shape. `below`: inside a
    value with a secret's name, where everything but booleans and null is masked."""
    if isinstance(value, Mapping):
        return _sanitize_values(value, mask, below)
    if isinstance(value, list | tuple):
        return [_sanitize_value(item, after, mask, below) for item in value]
    if below and value is not None and not isinstance(value, bool):
        return MASK[: len(value)] if isinstance(value, str) else MASK
    return _sanitize_optional(after + value, mask).removeprefix(after) if isinstance(value, str) else value
