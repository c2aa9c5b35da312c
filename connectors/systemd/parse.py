"""What systemctl answered -> timers and services. Pure; any bytes give a value and words.

Source: systemctl(1) of systemd 252 (Debian 12).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from connectors.contract import NotSupported, RightMissing, Skipped, State
from connectors.transport.answer import text_of
from connectors.transport.journal import MAY_READ, MICRO, SAMPLE, instant, is_denied

OLDEST = 249
"""`list-timers --output=json` came with it."""
NO_INSTANT = 2**64 - 1
RESULTS = {
    "exit-code": State.FAILED,
    "signal": State.FAILED,
    "core-dump": State.FAILED,
    "timeout": State.TIMED_OUT,
    "watchdog": State.TIMED_OUT,
    "oom-kill": State.FAILED,
    "start-limit-hit": State.FAILED,
    "resources": State.FAILED,
    "protocol": State.FAILED,
    "exec-condition": State.SKIPPED,
    "success": State.SUCCEEDED,
}
"""systemd.exec(5), `$SERVICE_RESULT`: its words for how a service ended."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer as it is set now."""

    unit: str
    service: str
    words: str
    """Its description."""
    calendar: tuple[str, ...]
    """`OnCalendar=` expressions."""
    monotonic: tuple[str, ...]
    """`OnBootSec=1h` and the like: times since another event."""
    enabled: str
    active: bool
    """False: it starts nothing."""
    path: str
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Service:
    """What systemd knows now of a service: its last invocation only."""

    unit: str
    command: str
    user: str
    active: str
    sub: str
    result: str
    invocation: str
    exit_code: int | None
    """None while it runs, and where a signal ended it."""
    signal: int | None
    started: datetime | None
    ended: datetime | None
    path: str


def complain(text: str, where: str) -> str:
    """Words of a tool that did not answer in its form, for a warning. Raises where nothing can be seen."""
    line = next((one.strip() for one in text.splitlines() if one.strip()), "")
    if "not been booted with systemd" in text or "Failed to connect to bus" in text:
        raise NotSupported(f"{where}: systemd does not run there ({line[:SAMPLE]})")
    if is_denied(text):
        raise RightMissing(f"{where}: {line[:SAMPLE]}. {MAY_READ}")
    return line[:SAMPLE]


def stamp(text: str) -> datetime | None:
    """ "@1795156400" of `--timestamp=unix`."""
    return instant(int(text[1:]) * MICRO) if text[:1] == "@" and text[1:].isascii() and text[1:].isdigit() else None


def next_elapses(body: bytes, where: str) -> tuple[dict[str, datetime | None], list[str]]:
    """Timer -> when it elapses next, from `list-timers --output=json`; and words about an answer that is none."""
    text = text_of(body).strip()
    try:
        rows = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return {}, [f"systemctl list-timers: {complain(text, where)}"]
    found = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("unit"), str):
            found[row["unit"]] = instant(row.get("next"))
    return found, []


def blocks(body: bytes) -> Iterator[Mapping[str, list[str]]]:
    """The units of `systemctl show`: property -> its values, in order (a property may stand more than once)."""
    for part in text_of(body).strip().split("\n\n"):
        found: dict[str, list[str]] = {}
        for line in part.split("\n"):
            name, equals, value = line.partition("=")
            if equals and name.isascii() and name.isalpha():
                found.setdefault(name, []).append(value)
        if "Id" in found:
            yield found


def timers(body: bytes, elapses: Mapping[str, datetime | None]) -> tuple[list[Timer], list[Skipped]]:
    """The timers of a `systemctl show`, and those that start no service or whose setting cannot be read."""
    found, skipped = [], []
    for block in blocks(body):
        unit, service = _one(block, "Id"), _one(block, "Unit")
        if not service.endswith(".service"):
            skipped.append(Skipped(unit, f"it starts {service or 'nothing that is named'}, which is no service"))
            continue
        monotonic = [words for value in block.get("TimersMonotonic", ()) if (words := _setting(value))]
        calendar = [expression for value in block.get("TimersCalendar", ()) if (expression := _setting(value))]
        found.append(
            Timer(
                unit, service, _one(block, "Description"), tuple(one.partition("=")[2] for one in calendar),
                tuple(monotonic), _one(block, "UnitFileState"), _one(block, "ActiveState") == "active",
                _one(block, "FragmentPath"), elapses.get(unit),
            )
        )  # fmt: skip
    return found, skipped


def unlisted(loaded: str, files: str, elapses: Mapping[str, datetime | None]) -> list[str]:
    """Words where one of systemd's lists of timers is empty and another is not: then timers are not seen."""
    if loaded == "0" and elapses:
        return [f"systemctl list-units names no timer, list-timers {len(elapses)}: the timers were not all read"]
    if files == "0" and loaded not in ("", "0"):
        return [f"systemctl list-unit-files names no timer, list-units {loaded[:9]}: the timers were not all read"]
    return []


def _setting(value: str) -> str:
    """ "OnCalendar=*-*-* 03:10:00" of "{ OnCalendar=*-*-* 03:10:00 ; next_elapse=… }"."""
    return value.strip().removeprefix("{").partition(" ; ")[0].strip()


def services(body: bytes) -> dict[str, Service]:
    """What is known now of each service, by its name."""
    return {_one(block, "Id"): _service(block) for block in blocks(body)}


def _service(block: Mapping[str, list[str]]) -> Service:
    code, status = _one(block, "ExecMainCode"), number(_one(block, "ExecMainStatus"))
    ended = stamp(_one(block, "ExecMainExitTimestamp"))
    return Service(
        unit=_one(block, "Id"),
        command=_command(block.get("ExecStart", ())),
        user=_one(block, "User") or "root",
        active=_one(block, "ActiveState"),
        sub=_one(block, "SubState"),
        result=_one(block, "Result"),
        invocation=_one(block, "InvocationID"),
        exit_code=status if code == "1" else None,  # CLD_EXITED
        signal=status if code in ("2", "3") else None,  # CLD_KILLED, CLD_DUMPED
        started=stamp(_one(block, "ExecMainStartTimestamp")),
        ended=ended,
        path=_one(block, "FragmentPath"),
    )


def _command(values: Iterable[str]) -> str:
    """ "/opt/etl/extract orders" of "{ path=… ; argv[]=/opt/etl/extract orders ; ignore_errors=no ; … }"."""
    words = [value.partition("argv[]=")[2].partition(" ; ignore_errors=")[0] for value in values]
    return "; ".join(one.strip() for one in words if one.strip())


def _one(block: Mapping[str, list[str]], name: str) -> str:
    return block.get(name, [""])[0]


def number(text: str) -> int | None:
    """Of at most nine digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def is_wanted(unit: str, patterns: Iterable[str], ignored: Iterable[str]) -> bool:
    return any(fnmatchcase(unit, _whole(one)) for one in patterns) and not any(
        fnmatchcase(unit, _whole(one)) for one in ignored
    )


def _whole(pattern: str) -> str:
    return pattern if pattern.endswith((".timer", "*")) else f"{pattern}.timer"


def version(words: str) -> int | None:
    """252 of "systemd 252 (252.39-1~deb12u1)"."""
    parts = words.split()
    return number(parts[1]) if len(parts) > 1 and parts[0] == "systemd" else None


def seconds(at: datetime | None) -> float | None:
    return None if at is None or not math.isfinite(at.timestamp()) else at.timestamp()
