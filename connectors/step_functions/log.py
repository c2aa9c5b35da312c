"""The history of an execution as a log: one line per event, errors and causes in full, no inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.sdk.aws.values import instant
from connectors.sdk.errors import NotSupported
from connectors.sdk.log_chunks import from_character, to_character
from connectors.sdk.records import LogChunk, RunRef
from connectors.step_functions import parse
from connectors.step_functions.client import StepFunctionsClient

PAGE_SIZE = 200
MAX_PAGES = 25
FIELDS = ("name", "resourceType", "resource", "error", "cause", "redriveCount")
"""Of an event's details. Inputs, outputs and parameters are left out: they may hold anything."""


def chunk(client: StepFunctionsClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """The newest events (`start` None), or those after the place `start` = "event id:byte of its line"."""
    reference = parse.reference(run)
    if not reference:
        raise NotSupported(f"run {run.attempt_key} of {run.job} names no execution")
    if start is None:
        return _tail(client, reference["arn"], limit_bytes)
    event, _, byte = start.partition(":")
    return _after(client, reference["arn"], _number(event), _number(byte), limit_bytes)


def _tail(client: StepFunctionsClient, arn: str, limit_bytes: int) -> LogChunk:
    lines, is_open, is_cut = _events(client, arn, lambda lines: sum(len(text) for _, text in lines) >= limit_bytes)
    whole = b"".join(text for _, text in lines)
    piece = whole[max(0, len(whole) - limit_bytes) :]
    next_place = f"{lines[-1][0] + 1}:0" if lines and is_open else None
    return LogChunk(_text(from_character(piece)), next_place, cut=len(piece) < len(whole) or is_cut)


def _after(client: StepFunctionsClient, arn: str, event_id: int, byte: int, limit_bytes: int) -> LogChunk:
    lines, is_open, is_cut = _events(client, arn, lambda lines: any(number <= event_id for number, _ in lines))
    cut = is_cut and all(number > event_id for number, _ in lines)
    body, place = bytearray(), f"{event_id}:{byte}"
    for number, text in lines:
        if number < event_id:
            continue
        skip = byte if number == event_id else 0
        rest, room = text[skip:], limit_bytes - len(body)
        taken = rest if len(rest) <= room else to_character(rest[:room])
        body += taken
        if len(taken) < len(rest):
            return LogChunk(_text(bytes(body)), f"{number}:{skip + len(taken)}", more=bool(body), cut=cut)
        place = f"{number + 1}:0"
    return LogChunk(_text(bytes(body)), place if is_open else None, cut=cut)


Lines = list[tuple[int, bytes]]
"""Number and text of each event."""


def _events(client: StepFunctionsClient, arn: str, is_enough: Callable[[Lines], bool]) -> tuple[Lines, bool, bool]:
    """The newest events, oldest first, until they are enough; whether more may come; whether older ones exist."""
    lines: Lines = []
    token, is_open = None, True
    for _ in range(MAX_PAGES):
        events, token = client.history(arn, PAGE_SIZE, token)
        is_open = is_open and not any(_is_end(event) for event in events)
        lines += [(_id(event), line(event)) for event in events]
        if not token or is_enough(lines):
            break
    return sorted(lines), is_open, bool(token)


def line(event: Mapping[str, Any]) -> bytes:
    """One event: when, number, type, and what its details say."""
    at = instant(event.get("timestamp"))
    when = at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z" if at else "(no time)"
    details = next((event[name] for name in event if name.endswith("EventDetails")), None)
    known = details if isinstance(details, Mapping) else {}
    fields = [f"{name}={known[name]}" for name in FIELDS if known.get(name)]
    text = " ".join([when, str(event.get("id", "?")), str(event.get("type", "?")), *fields])
    return (text + "\n").encode("utf-8", "surrogateescape")


def _id(event: Mapping[str, Any]) -> int:
    result = event.get("id")
    return result if isinstance(result, int) else 0


def _is_end(event: Mapping[str, Any]) -> bool:
    kind = str(event.get("type"))
    return kind.startswith("Execution") and kind not in ("ExecutionStarted", "ExecutionRedriven")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "surrogateescape")
