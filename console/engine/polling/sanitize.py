"""Sanitizing of what a source reports before the store keeps it: secrets masked, times on our clock, text harmless,
in chunks.

A source may repeat the credentials that we signed in with, and what its jobs run and log holds passwords of their
own: both are masked here, before anything is compared or written. Names are the identity of jobs and stay as they
are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors.sdk.errors import ConnectorError
from connectors.sdk.records import Inventory, JobRecord, Poll, RunRecord, SkippedRecord
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


def sanitize_inventory(found: Inventory, mask: Mask) -> Inventory:
    """The inventory sanitized; every schedule has a description, preferably the source's own."""
    return replace(
        found,
        jobs=tuple(_sanitize_job(job, mask) for job in found.jobs),
        skipped=tuple(_sanitize_skipped(one, mask) for one in found.skipped),
    )


def sanitize_poll(poll: Poll, mask: Mask) -> Poll:
    said = {text: _sanitize_optional(text, mask) for text in {run.message for run in poll.runs}}
    return replace(
        poll,
        runs=tuple(_sanitize_run(run, said[run.message], mask) for run in poll.runs),
        skipped=tuple(_sanitize_skipped(one, mask) for one in poll.skipped),
        warnings=tuple(_sanitize_optional(warning, mask) for warning in poll.warnings),
        gaps=tuple(replace(gap, reason=_sanitize_optional(gap.reason, mask)) for gap in poll.gaps),
    )


def failure_kind(error: ConnectorError) -> str:
    """The state of a target whose poll failed with that error."""
    return error.kind


def inventory_text(found: Inventory, doubted: str) -> tuple[str, ...]:
    """What an inventory lacks and why, for the systems screen."""
    unread = [f"{one.where}: {one.reason}" for one in found.skipped]
    long = [f"{job.native_id[:60]}…: its name is longer than 1,000 bytes; it is not watched"
            for job in found.jobs if is_too_long_name(encode_name(job.native_id))]  # fmt: skip
    return (*([doubted] if doubted else []), *unread, *long)


def observed_until(poll: Poll) -> datetime | None:
    """`Poll.seen_until` corrected by the target's clock skew; None for an incomplete poll, which proves nothing."""
    if poll.seen_until is None or not poll.complete:
        return None
    skew = poll.clock.skew_seconds if poll.clock else 0.0
    return poll.seen_until - timedelta(seconds=skew)


def chunks(batch: IngestBatch, before: str, size: int) -> Iterator[IngestBatch]:
    """The batch split into transactions, oldest records first. The cursor moves with the last: after a crash the
    rest is read again, and duplicates change nothing."""
    last = max(len(batch.runs) - 1, 0) // size * size
    for at in range(0, last, size):
        part = batch.runs[at : at + size]
        tails = {(one.job, one.attempt_key) for one in part} & batch.tails.keys()
        yield replace(
            batch, runs=part, cursor=before, seen_until=None, skipped=(), gaps=(),
            tails={key: batch.tails[key] for key in tails},
        )  # fmt: skip
    rest = batch.runs[last:]
    tails = {(one.job, one.attempt_key) for one in rest} & batch.tails.keys()
    yield replace(batch, runs=rest, tails={key: batch.tails[key] for key in tails})


def _sanitize_job(job: JobRecord, mask: Mask) -> JobRecord:
    words = job.schedule.text or schedule_text(job.schedule)
    return replace(
        job,
        title=_sanitize_optional(job.title, mask),
        definition=_sanitize_optional(job.definition, mask),
        schedule=replace(job.schedule, text=_sanitize_optional(words, mask)),
        run_as=_sanitize_optional(job.run_as, mask),
        native_url=_sanitize_optional(job.native_url, mask),
        owner=_sanitize_optional(job.owner, mask),
    )


def _sanitize_run(run: RunRecord, said: str, mask: Mask) -> RunRecord:
    if not (said or run.context or run.native_url):
        return run
    url = _sanitize_optional(run.native_url, mask)
    try:
        context = _sanitize_values(run.context, mask)
    except RecursionError:  # nested too deep: the run is stored without it
        context = dict(DEPTH_LIMIT_TEXT)
    return replace(run, message=said, native_url=url, context=context)


def _sanitize_skipped(skipped: SkippedRecord, mask: Mask) -> SkippedRecord:
    return SkippedRecord(
        _sanitize_optional(skipped.where, mask),
        _sanitize_optional(skipped.reason, mask),
        _sanitize_optional(skipped.sample, mask),
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
        return [_sanitize_value(each, after, mask, below) for each in value]
    if below and value is not None and not isinstance(value, bool):
        return MASK[: len(value)] if isinstance(value, str) else MASK
    return _sanitize_optional(after + value, mask).removeprefix(after) if isinstance(value, str) else value
