"""What a source tells, as the store may keep it: without a secret, on our clock, in bites, in words for people.

A source may repeat what we signed in with, and what its jobs run and say holds passwords of their own: both are masked
here, before anything is compared or written. Names are the identity of things and stay as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from connectors.contract import (
    ConnectorError,
    Inventory,
    JobRecord,
    Poll,
    RunRecord,
    Skipped,
)
from console.clean import clean
from console.control.masks import MASK, is_secret_name, mask_secrets
from console.control.schedule_words import in_words
from console.store.ingest import IngestBatch
from console.store.keys import is_too_long, pack

TOO_DEEP = {"context_left_out": "nested too deep"}
Mask = Callable[[str], str]
"""Of the secrets that we know (`SecretStore.mask`)."""


def shown(text: str, mask: Mask) -> str:
    """Outside text as people may read it: no secret of ours or of its jobs, no control sequence."""
    return mask_secrets(clean(mask(text))) if text else ""


def kept_inventory(found: Inventory, mask: Mask) -> Inventory:
    """Every schedule has words for people, the source's own first."""
    return replace(
        found,
        jobs=tuple(_kept_job(job, mask) for job in found.jobs),
        skipped=tuple(_kept_skipped(one, mask) for one in found.skipped),
    )


def kept_poll(poll: Poll, mask: Mask) -> Poll:
    said = {text: _kept_text(text, mask) for text in {run.message for run in poll.runs}}
    return replace(
        poll,
        runs=tuple(_kept_run(run, said[run.message], mask) for run in poll.runs),
        skipped=tuple(_kept_skipped(one, mask) for one in poll.skipped),
        warnings=tuple(_kept_text(one, mask) for one in poll.warnings),
        gaps=tuple(replace(one, reason=_kept_text(one.reason, mask)) for one in poll.gaps),
    )


def failure_kind(error: ConnectorError) -> str:
    """What a target is called whose poll ended with that."""
    return error.kind


def inventory_words(found: Inventory, doubted: str) -> tuple[str, ...]:
    """What is missing from an inventory and why, for the person who reads Systems."""
    unread = [f"{one.where}: {one.reason}" for one in found.skipped]
    long = [f"{job.native_id[:60]}…: its name is longer than 1,000 bytes; it is not watched"
            for job in found.jobs if is_too_long(pack(job.native_id))]  # fmt: skip
    return (*([doubted] if doubted else []), *unread, *long)


def seen_until(poll: Poll) -> datetime | None:
    """`Poll.seen_until` with the target's skew taken out; nothing is proved by a poll that could not see everything."""
    if poll.seen_until is None or not poll.complete:
        return None
    skew = poll.clock.skew_seconds if poll.clock else 0.0
    return poll.seen_until - timedelta(seconds=skew)


def bites(batch: IngestBatch, before: str, size: int) -> Iterator[IngestBatch]:
    """The batch, oldest records first, a transaction each. The cursor moves with the last: what a crash in between has
    left out comes again, and what comes twice changes nothing."""
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


def _kept_job(job: JobRecord, mask: Mask) -> JobRecord:
    words = job.schedule.words or in_words(job.schedule)
    return replace(
        job,
        title=_kept_text(job.title, mask),
        definition=_kept_text(job.definition, mask),
        schedule=replace(job.schedule, words=_kept_text(words, mask)),
        run_as=_kept_text(job.run_as, mask),
        native_url=_kept_text(job.native_url, mask),
        owner=_kept_text(job.owner, mask),
    )


def _kept_run(run: RunRecord, said: str, mask: Mask) -> RunRecord:
    if not (said or run.context or run.native_url):
        return run
    url = _kept_text(run.native_url, mask)
    try:
        context = _kept_values(run.context, mask)
    except RecursionError:  # nested deeper than anybody means: without it the run is told all the same
        context = dict(TOO_DEEP)
    return replace(run, message=said, native_url=url, context=context)


def _kept_skipped(one: Skipped, mask: Mask) -> Skipped:
    return Skipped(_kept_text(one.where, mask), _kept_text(one.reason, mask), _kept_text(one.sample, mask))


def _kept_text(text: str, mask: Mask) -> str:
    return mask_secrets(mask(text)) if text else ""


def _kept_values(values: Mapping[str, Any], mask: Mask, below: bool = False) -> dict[str, Any]:
    return {name: _kept(value, f"{name}=", mask, below or is_secret_name(name)) for name, value in values.items()}


def _kept(value: Any, after: str, mask: Mask, below: bool) -> Any:
    """`after`: what it stands behind, because a name tells a password as much as its shape does. `below`: somewhere
    below a secret's name, where every value is one, numbers too; yes, no and nothing tell none."""
    if isinstance(value, Mapping):
        return _kept_values(value, mask, below)
    if isinstance(value, list | tuple):
        return [_kept(each, after, mask, below) for each in value]
    if below and value is not None and not isinstance(value, bool):
        return MASK[: len(value)] if isinstance(value, str) else MASK
    return _kept_text(after + value, mask).removeprefix(after) if isinstance(value, str) else value
