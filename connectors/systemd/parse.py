"""Output of systemctl and journalctl parsed: timers, services, events of units, and our own marks.

Pure; any bytes give a value and warnings. Sources: systemctl(1), journalctl(1), systemd.journal-fields(7),
sd-messages.h of systemd 252 (Debian 12).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from connectors.sdk.contract import ACTION_KEY
from connectors.sdk.errors import NotSupported, PermissionMissing
from connectors.sdk.fields import masked_head
from connectors.sdk.records import SkippedRecord
from connectors.sdk.states import RunState
from connectors.sdk.transport import script_output
from connectors.sdk.transport.script_output import (
    MAY_READ,
    MICRO,
    SAMPLE,
    JournalEntry,
    is_journal_denied,
    journal_instant,
    text_of,
)

OLDEST = 249
"""`list-timers --output=json` came with it."""
RESULTS = {
    "exit-code": RunState.FAILED,
    "signal": RunState.FAILED,
    "core-dump": RunState.FAILED,
    "timeout": RunState.TIMED_OUT,
    "watchdog": RunState.TIMED_OUT,
    "oom-kill": RunState.FAILED,
    "start-limit-hit": RunState.FAILED,
    "resources": RunState.FAILED,
    "protocol": RunState.FAILED,
    "exec-condition": RunState.SKIPPED,
    "success": RunState.SUCCEEDED,
}
"""systemd.exec(5), `$SERVICE_RESULT`."""

DELAYS = ("RandomizedDelayUSec", "RandomizedOffsetUSec", "AccuracyUSec")
"""systemd.timer(5): each adds to the time of `OnCalendar=`; the offset came with 258."""
MAX_WINDOW = timedelta(days=7)
SPANS = {
    "y": 31_557_600, "month": 2_629_800, "w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "s": 1, "ms": 1e-3,
    "us": 1e-6,
}  # fmt: skip
"""systemd.time(7): seconds of each unit."""
_SPAN = re.compile(rf"(?<![0-9.])([0-9]{{1,15}}(?:\.[0-9]{{1,9}})?)({'|'.join(SPANS)})(?![a-z])")


@dataclass(frozen=True, slots=True)
class TimerUnit:
    unit: str
    service: str
    calendar: tuple[str, ...]
    """`OnCalendar=` expressions."""
    monotonic: tuple[str, ...]
    """`OnBootSec=1h` and the like: times since another event."""
    active: bool
    """False: it starts nothing."""
    next_at: datetime | None
    window: timedelta
    """How much later than its calendar it may elapse: its random delay and offset, and its accuracy."""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """A service as systemd has it now: its last invocation only."""

    command: str
    user: str
    active: str
    sub: str
    result: str
    invocation: str
    exit_code: int | None
    """None while it runs, and where a signal ended it."""
    signal: int | None
    ended: datetime | None
    path: str

    @property
    def is_alive(self) -> bool:
        """True while it is active in any way, RemainAfterExit=yes included."""
        return self.active in ("activating", "active", "reloading", "deactivating")

    @property
    def is_running(self) -> bool:
        return self.is_alive and self.sub != "exited"

    @property
    def waits_to_restart(self) -> bool:
        """True between a failure and the start that `Restart=` makes `RestartSec=` later."""
        return self.sub.startswith("auto-restart")


def warnings_of(text: str, where: str) -> str:
    """The message of a tool that gave no rows, for a warning. Raises where nothing can be read."""
    line = next((item.strip() for item in text.splitlines() if item.strip()), "")
    if "not been booted with systemd" in text or "Failed to connect to bus" in text:
        raise NotSupported(f"{where}: systemd does not run there ({masked_head(line, SAMPLE)})")
    if is_journal_denied(text):
        raise PermissionMissing(f"{where}: {masked_head(line, SAMPLE)}. {MAY_READ}")
    return masked_head(line, SAMPLE)


def stamp(text: str) -> datetime | None:
    """ "@1795156400" of `--timestamp=unix`."""
    is_number = text[1:].isascii() and text[1:].isdigit()
    return journal_instant(int(text[1:]) * MICRO) if text[:1] == "@" and is_number else None


def next_elapses(body: bytes, where: str) -> tuple[dict[str, datetime | None], list[str]]:
    """By timer when it elapses next, from `list-timers --output=json`; and warnings about another answer."""
    text = text_of(body).strip()
    try:
        rows = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return {}, [f"systemctl list-timers: {warnings_of(text, where)}"]
    result = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("unit"), str):
            result[row["unit"]] = journal_instant(row.get("next"))
    return result, []


def blocks(body: bytes) -> Iterator[Mapping[str, list[str]]]:
    """The units of `systemctl show`: by property its values, in order (a property may occur more than once)."""
    for part in text_of(body).strip().split("\n\n"):
        properties: dict[str, list[str]] = {}
        for line in part.split("\n"):
            name, equals, value = line.partition("=")
            if equals and name.isascii() and name.isalpha():
                properties.setdefault(name, []).append(value)
        if "Id" in properties:
            yield properties


def timers(body: bytes, elapses: Mapping[str, datetime | None]) -> tuple[list[TimerUnit], list[SkippedRecord]]:
    """The timers of a `systemctl show`, and those that start no service."""
    result, skipped = [], []
    for block in blocks(body):
        unit, service = _one(block, "Id"), _one(block, "Unit")
        if not service.endswith(".service"):
            skipped.append(SkippedRecord(unit, f"it starts {service or 'nothing that is named'}, not a service"))
            continue
        monotonic = tuple(setting for value in block.get("TimersMonotonic", ()) if (setting := _setting(value)))
        settings = (setting for value in block.get("TimersCalendar", ()) if (setting := _setting(value)))
        calendar = tuple(setting.partition("=")[2] for setting in settings)
        is_active = _one(block, "ActiveState") == "active"
        window = _sum_of_spans(_one(block, name) for name in DELAYS)
        result.append(TimerUnit(unit, service, calendar, monotonic, is_active, elapses.get(unit), window))
    return result, skipped


def unlisted(loaded: str, files: str, elapses: Mapping[str, datetime | None]) -> list[str]:
    """Warnings where one of systemd's lists of timers is empty and another is not: then timers are not seen."""
    if loaded == "0" and elapses:
        return [f"systemctl list-units names no timer, list-timers {len(elapses)}: the timers were not all read"]
    if files == "0" and loaded not in ("", "0"):
        return [f"systemctl list-unit-files names no timer, list-units {loaded[:9]}: the timers were not all read"]
    return []


def _setting(value: str) -> str:
    """ "OnCalendar=*-*-* 03:10:00" of "{ OnCalendar=*-*-* 03:10:00 ; next_elapse=… }"."""
    return value.strip().removeprefix("{").partition(" ; ")[0].strip()


def _sum_of_spans(texts: Iterable[str]) -> timedelta:
    """ "1h 30min" and "500ms" together, at most MAX_WINDOW."""
    parts = (match for text in texts for match in _SPAN.findall(text))
    return timedelta(seconds=min(MAX_WINDOW.total_seconds(), sum(float(count) * SPANS[unit] for count, unit in parts)))


def services(body: bytes) -> dict[str, ServiceUnit]:
    return {_one(block, "Id"): _service(block) for block in blocks(body)}


def _service(block: Mapping[str, list[str]]) -> ServiceUnit:
    code, status = _one(block, "ExecMainCode"), number(_one(block, "ExecMainStatus"))
    # "/opt/etl/extract orders" of "{ path=… ; argv[]=/opt/etl/extract orders ; ignore_errors=no ; … }"
    starts = [part.partition("argv[]=")[2].partition(" ; ignore_errors=")[0] for part in block.get("ExecStart", ())]
    return ServiceUnit(
        command="; ".join(start.strip() for start in starts if start.strip()),
        user=_one(block, "User") or "root",
        active=_one(block, "ActiveState"),
        sub=_one(block, "SubState"),
        result=_one(block, "Result"),
        invocation=_one(block, "InvocationID"),
        exit_code=status if code == "1" else None,  # CLD_EXITED
        signal=status if code in ("2", "3") else None,  # CLD_KILLED, CLD_DUMPED
        ended=stamp(_one(block, "ExecMainExitTimestamp")),
        path=_one(block, "FragmentPath"),
    )


def _one(block: Mapping[str, list[str]], name: str) -> str:
    return block.get(name, [""])[0]


def number(text: str) -> int | None:
    """Of at most nine digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def is_wanted(unit: str, patterns: Iterable[str], ignored: Iterable[str]) -> bool:
    """Whether the timer is watched: patterns without a suffix mean timers."""

    def matches(pattern: str) -> bool:
        return fnmatchcase(unit, pattern if pattern.endswith((".timer", "*")) else f"{pattern}.timer")

    return any(map(matches, patterns)) and not any(map(matches, ignored))


def version(text: str) -> int | None:
    """252 of "systemd 252 (252.39-1~deb12u1)"."""
    parts = text.split()
    return number(parts[1]) if len(parts) > 1 and parts[0] == "systemd" else None


STARTING, STARTED, START_FAILED, EXITED, SUCCESS, FAILURE, SKIPPED, STOPPING, RESTARTING, REQUESTED = (
    "starting", "started", "start failed", "exited", "success", "failure", "skipped", "stopping", "restarting",
    "requested",
)  # fmt: skip
MESSAGES = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": STARTING,
    "39f53479d3a045ac8e11786248231fbf": STARTED,
    "be02cf6855d2428ba40df7e9d022f03d": START_FAILED,
    "98e322203f7a4ed290d09fe03c09fe15": EXITED,
    "7ad2d189f7e94e70a38c781354912448": SUCCESS,
    "d9b373ed55a64feb8242e02dbe79a49c": FAILURE,
    "0e4284a0caca4bfc81c0bb6786972673": SKIPPED,
    "de5b426a63be47a7b6ac3eaac82e2f6f": STOPPING,
    "5eb03494b6584870a536b337290809b3": RESTARTING,
}


@dataclass(frozen=True, slots=True)
class UnitEvent:
    """One line of the manager's journal, or a mark of ours."""

    what: str
    unit: str
    invocation: str
    at: datetime
    text: str
    detail: str = ""
    """FAILURE, SKIPPED: the result; STARTED, START_FAILED: the job's result; EXITED: "killed 9"; REQUESTED: our key."""
    exit_code: int | None = None


def unit_event(at: datetime, entry: JournalEntry) -> UnitEvent | None:
    def field(name: str) -> str:
        return script_output.journal_text(entry.get(name))

    text = field("MESSAGE")
    if entry.get("SYSLOG_IDENTIFIER") == "headway-act":
        fields = text.split(" ")
        if len(fields) != 3 or not ACTION_KEY.fullmatch(fields[0]):
            return None
        return UnitEvent(REQUESTED, fields[2], "", at, fields[1], fields[0])
    what, unit = MESSAGES.get(field("MESSAGE_ID")), field("UNIT")
    if what is None or not unit.endswith(".service"):
        return None
    detail, code = "", None
    if what == EXITED:
        status, how = field("EXIT_STATUS"), field("EXIT_CODE")
        code = number(status) if how == "exited" else None
        detail = f"{how} {status}"
    elif what in (FAILURE, SKIPPED):
        detail = field("UNIT_RESULT")
    elif what in (START_FAILED, STARTED):
        detail = field("JOB_RESULT")
    return UnitEvent(what, unit, field("INVOCATION_ID").strip("0-") and field("INVOCATION_ID"), at, text, detail, code)
