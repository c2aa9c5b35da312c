"""Log tails of failed jobs, made from real output of ten tools, to judge how failures are grouped by their cause.

`failure_logs/*.toml` hold what each tool really printed, with marks such as «key:104233» around values that differ
between two nights. A tail is one of these texts with other values, other dates and the noise of another night.
"""

from __future__ import annotations

import re
import tomllib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random

FOLDER = Path(__file__).with_name("failure_logs")
OCCURRENCES = 10
CAPTURED = datetime(2026, 11, 29)  # noqa: DTZ001 the texts' own night; only differences are used
MOST_LINES = 60
LEAST_LINES = 8


@dataclass(frozen=True)
class FailureLog:
    """One failure of a job; `cause` is unique within its tool, `half` is "tuning" or "held out"."""

    tool: str
    system_kind: str
    cause: str
    exit_code: int
    failed_task: str
    log: str
    half: str


@dataclass(frozen=True)
class Cause:
    """A cause and the texts that it printed, each with its exit code; `messages` are the parts of them that name it."""

    tool: str
    system_kind: str
    half: str
    name: str
    exit_codes: tuple[int, ...]
    task: str
    messages: tuple[str, ...]
    alike: str
    is_retried: bool
    texts: tuple[str, ...]
    warnings: tuple[str, ...]

    def is_named_in(self, text: str) -> bool:
        """Returns True if a line or tail, with its marks, names this cause."""
        plain = MARK.sub(r"\2", text)
        return any(message in plain for message in self.messages)

    def occurrence(self, random: Random, night: int) -> FailureLog:
        """The failure of one night of `OCCURRENCES`."""
        printed = random.randrange(len(self.texts))
        log = _Night(self, self.texts[printed], random, night).log()
        return FailureLog(self.tool, self.system_kind, self.name, self.exit_codes[printed], self.task, log, self.half)


def failure_logs(seed: int) -> tuple[FailureLog, ...]:
    """2,000 failures: ten of each of 200 causes of ten tools. One seed always gives the same texts."""
    return tuple(
        cause.occurrence(Random(f"{seed}/{cause.tool}/{cause.name}/{night}"), night)
        for cause in causes()
        for night in range(OCCURRENCES)
    )


@cache
def causes() -> tuple[Cause, ...]:
    """All causes, tool by tool."""
    return tuple(cause for path in sorted(FOLDER.glob("*.toml")) for cause in _causes_of(path))


def _causes_of(path: Path) -> Iterator[Cause]:
    document = tomllib.loads(path.read_text())
    for name, row in document["cause"].items():
        yield Cause(
            tool=document["tool"],
            system_kind=document["system_kind"],
            half=document["half"],
            name=name,
            exit_codes=tuple(row["exit_codes"]),
            task=row["task"],
            messages=tuple(row["messages"]),
            alike=row["alike"],
            is_retried=document["is_retried"],
            texts=tuple(text.rstrip("\n") for text in row["texts"]),
            warnings=tuple(document["warnings"]),
        )


# -- values that differ between two nights -----------------------------------------------------------------------------
MARK = re.compile("«([a-z0-9_]+):([^»]*)»")
_COUNT = re.compile("«(count|small):([^»]*)»")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _digits_like(random: Random, text: str) -> str:
    """A number of the same form, sometimes a digit longer."""
    digits = "".join(random.choice("0123456789") if letter.isdigit() else letter for letter in text)
    first = random.choice("123456789") if text[0].isdigit() and text[0] != "0" else digits[0]
    return first + digits[1:] + (random.choice("0123456789") if random.random() < 0.2 and text.isdigit() else "")


def _letters_like(random: Random, text: str) -> str:
    lower = text == text.lower()
    return "".join(random.choice(_LETTERS.lower() if lower else _LETTERS) for _ in text)


def _hex_like(random: Random, text: str) -> str:
    return "".join(random.choice("0123456789abcdef") for _ in text)


def _count(low: int, high: int) -> Callable[[Random, str], str]:
    return lambda random, _: str(random.randint(low, high))


def _decimal(high: float, places: int) -> Callable[[Random, str], str]:
    return lambda random, _: f"{random.uniform(0, high):.{places}f}"


VALUES: dict[str, Callable[[Random, str], str]] = {
    "pid": _count(212, 4_194_000),
    "row": _count(2, 250_000),
    "count": _count(10, 180_000),
    "small": _count(1, 199),
    "fails": _count(1, 4_200),
    "key": _count(1_000, 9_999_999),
    "xid": _count(90_000, 2_100_000_000),
    "tid": _count(0, 1_600),
    "partition": _count(0, 199),
    "job": _count(3, 99_000),
    "part": lambda random, _: f"{random.randint(1, 6):02}",
    "port": _count(32_768, 60_999),
    "bytes": _digits_like,
    "digits": _digits_like,
    "code": lambda random, text: text.split("-")[0] + f"-{random.randint(100, 99_999)}",
    "name": lambda random, _: random.choice(("anna", "j.smith", "kim", "m-lopez", "user")) + str(random.randint(1, 99)),
    "amount": _decimal(90_000, 2),
    "comma": lambda random, _: f"{random.randint(1, 9_999)},{random.randint(0, 99):02}",
    "no_number": lambda random, _: random.choice(("12.5O", "n/a", "1O,50", "-", "12.50 EUR", "#REF!", "1e", "l2.00")),
    "bad_day": lambda random, _: random.choice(("2026-11-31", "2027-02-29", "2026-13-01", "2027-04-31", "2026-06-31")),
    "host": lambda random, _: random.choice(("db07", "db08", "db09")),
    "address": lambda random, _: f"10.20.{random.randint(4, 5)}.{random.randint(11, 60)}",
    "seconds": _count(0, 900),
    "secs": _decimal(40, 3),
    "secs1": _decimal(900, 1),
    "secs2": _decimal(300, 2),
    "millis": _decimal(2_000, 3),
    "whole_millis": _count(2, 9_000),
    "load": _decimal(24, 2),
    "percent": _count(11, 97),
    "gigabytes": _count(20, 240),
    "minutes": _count(2, 59),
    "tries": _count(1, 4),
    "megabytes": _decimal(90, 1),
    "letters": _letters_like,
    "hex": _hex_like,
    "sha": _hex_like,
    "uuid": lambda random, _: str(uuid.UUID(int=random.getrandbits(128), version=4)),
}
_OF_AN_ATTEMPT = {
    *("pid", "port", "letters", "uuid", "hex", "sha", "load", "xid", "tid", "megabytes"),
    *("seconds", "secs", "secs1", "secs2", "millis", "whole_millis"),
}
"""What the second attempt of one night has anew; the data that it fails on are the same."""
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_EPHEMERAL = re.compile(r"(?:(?<=:)|(?<=port )|(?<=localhost, ))[345]\d{4}\b")
_HOST = re.compile(r"\betl-3\b")


# -- time -------------------------------------------------------------------------------------------------------------
_TIMES = re.compile(
    r"""
    (?=[\dS])(?<!\d)(?:
    (?P<iso>2026-11-2[89][T ]\d\d:\d\d:\d\d)
  | (?P<npm>2026-11-2[89]T\d\d_\d\d_\d\d)
  | (?P<compact>2026112[89]T?\d{6}(?!\d))
  | (?P<german>2[89]\.11\.2026\ \d\d:\d\d:\d\d)
  | (?P<apache>2[89]/Nov/2026:\d\d:\d\d:\d\d)
  | (?P<date>(?:Sun|Sat)\ Nov\ 2[89]\ \d\d:\d\d:\d\d\ UTC\ 2026)
  | (?P<mail>(?:Sun|Sat),\ 2[89]\ Nov\ 2026\ \d\d:\d\d:\d\d)
  | (?P<spark>26/11/2[89]\ \d\d:\d\d:\d\d)
  | (?P<day>2026-11-2[89])
  | (?P<packed>2026112[89])
  | (?P<underscored>2026_11_2[89])
  | (?P<german_day>2[89]\.11\.2026)
  | (?P<millis>1[78]\d{11}\b)
  | (?P<clock>(?<!:)\d\d:\d\d:\d\d(?![\d:]))
    )
    """,
    re.VERBOSE,
)
_FORMATS = {
    "npm": "%Y-%m-%dT%H_%M_%S",
    "german": "%d.%m.%Y %H:%M:%S",
    "apache": "%d/%b/%Y:%H:%M:%S",
    "date": "%a %b %d %H:%M:%S UTC %Y",
    "mail": "%a, %d %b %Y %H:%M:%S",
    "spark": "%y/%m/%d %H:%M:%S",
    "day": "%Y-%m-%d",
    "packed": "%Y%m%d",
    "underscored": "%Y_%m_%d",
    "german_day": "%d.%m.%Y",
    "clock": "%H:%M:%S",
}


def _later(text: str, delay: timedelta) -> str:
    """The text with each of its instants as many days, hours and seconds later; a whole hour stays a whole hour."""

    def shifted(match: re.Match[str]) -> str:
        kind, old = match.lastgroup or "", match.group()
        if kind == "millis":
            return str(int(old) + int(delay.total_seconds()) * 1000)
        style = _FORMATS.get(kind) or _style(old)
        moment = datetime.strptime(old, style)  # noqa: DTZ007 as it was printed
        is_day = "%H" not in style or old.endswith(":00:00")
        return (moment + (timedelta(days=delay.days) if is_day else delay)).strftime(style)

    return _TIMES.sub(shifted, text)


def _style(text: str) -> str:
    """The format of an ISO instant, with or without its marks."""
    between = "T" if "T" in text else " " if " " in text else ""
    return f"%Y-%m-%d{between}%H:%M:%S" if "-" in text else f"%Y%m%d{between}%H%M%S"


# -- the noise of a night ----------------------------------------------------------------------------------------------
_INFO = re.compile(r"^(?P<head>.*?\bINFO\b\S*)(?P<text> .*)$")
_FRAME = re.compile(
    r'(?P<head>File "/srv/[^"]+", line |\(/srv/[^():]+:|^psql:[^:]+:|Makefile:|\.sh: line |src/\w+\.c:)(?P<line>\d+)',
    re.MULTILINE,
)
_PROGRESS = re.compile(r"\b(?:[Bb]atch|page|part|parsed|transformed|orders read)\b.*«|«.*\borders read\b")
_COLOURS = (
    (re.compile(r"\b(ERROR|FATAL|error:|Error:|CRITICAL)"), "31"),
    (re.compile(r"\b(WARN(?:ING)?|warning:)"), "33"),
    (re.compile(r"\b(INFO|OK|PASS)\b"), "32"),
)


class _Night:
    """One night of a cause: draws what differs, then writes the tail."""

    def __init__(self, cause: Cause, text: str, random: Random, night: int) -> None:
        self._cause, self._text, self._random, self._night = cause, text, random, night
        self._host = random.choice(("etl-1", "etl-2", "etl-3", "etl-3"))
        self._values = dict[tuple[str, str], str]()
        self._traits = Random(f"{cause.tool}/{cause.name}")  # what stays from the middle of the ten nights on
        self._deployed = self._traits.randint(1, 30) if self._traits.random() < 0.12 else 0
        self._is_shipped = self._traits.random() < 0.08
        self._is_late = night >= OCCURRENCES // 2

    def log(self) -> str:
        random = self._random
        delay = timedelta(days=night_of(self._night, random), seconds=random.randint(0, 6 * 3600))
        text = self._printed(delay)
        if self._cause.is_retried and random.random() < 0.12:
            wait = timedelta(seconds=random.choice((60, 120, 300)))
            text = "\n".join((text, self._printed(delay + wait)))
        lines = self._truncated(text.split("\n"))
        if self._is_shipped and self._is_late and self._cause.is_retried:
            lines = self._with_prefix(lines, delay)
        text = "\n".join(lines)
        if random.random() < 0.08:
            text = self._coloured(text)
        end = "\r\n" if random.random() < 0.05 else "\n"
        return text.replace("\n", end) + (end if random.random() < 0.7 else "")

    def _printed(self, delay: timedelta) -> str:
        """What one attempt printed."""
        lines = self._with_progress(self._reordered(self._text.split("\n")))
        if self._cause.warnings and self._random.random() < 0.25:
            lines.insert(self._random.randint(0, self._decisive(lines)), self._random.choice(self._cause.warnings))
        text = _later("\n".join(lines), delay)
        if self._deployed and self._is_late:
            text = _FRAME.sub(lambda match: f"{match['head']}{int(match['line']) + self._deployed}", text)
        return self._with_values(text)

    def _with_values(self, text: str) -> str:
        values = self._values = {mark: new for mark, new in self._values.items() if mark[0] not in _OF_AN_ATTEMPT}

        def value(kind: str, old: str) -> str:
            if (kind, old) not in values:
                values[kind, old] = VALUES[kind](self._random, old)
            return values[kind, old]

        text = MARK.sub(lambda match: value(match[1], match[2]), text)
        text = _UUID.sub(lambda match: value("uuid", match[0]), text)
        text = _ADDRESS.sub(lambda match: "0x" + value("hex", match[0][2:]), text)
        text = _EPHEMERAL.sub(lambda match: value("port", match[0]), text)
        return _HOST.sub(self._host, text)

    def _decisive(self, lines: list[str]) -> int:
        """The index of the first line that names the cause."""
        return next(number for number, line in enumerate(lines) if self._cause.is_named_in(line))

    def _reordered(self, lines: list[str]) -> list[str]:
        """The lines, with the texts of two INFO lines that follow each other swapped in one night of five."""
        lines = list(lines)
        pairs = [
            number
            for number in range(self._decisive(lines) - 1)
            if _INFO.match(lines[number]) and _INFO.match(lines[number + 1])
        ]
        if pairs and self._random.random() < 0.2:
            number = self._random.choice(pairs)
            first, second = _INFO.match(lines[number]), _INFO.match(lines[number + 1])
            assert first
            assert second
            lines[number : number + 2] = [first["head"] + second["text"], second["head"] + first["text"]]
        return lines

    def _with_progress(self, lines: list[str]) -> list[str]:
        """The lines; in one night of four a line of progress is there more often, with further counts."""
        counts = [number for number in range(self._decisive(lines)) if _PROGRESS.search(lines[number])]
        if counts and self._random.random() < 0.25:
            number = self._random.choice(counts)
            further = [_COUNT.sub(self._further, lines[number]) for _ in range(self._random.randint(1, 6))]
            lines = [*lines[:number], *further, *lines[number:]]
        return lines

    def _further(self, match: re.Match[str]) -> str:
        """The mark of a count, as one of another value."""
        return f"«{match[1]}:{match[2]}/{self._random.random()}»"

    def _truncated(self, lines: list[str]) -> list[str]:
        """The last lines: a tail has a beginning only where the log was short, and never loses the cause."""
        lines = lines[-MOST_LINES:]
        spare = min(self._last_decisive(lines), len(lines) - LEAST_LINES)
        if spare > 0 and self._random.random() < 0.4:
            lines = lines[self._random.randint(0, spare) :]
            if len(lines) > LEAST_LINES + 2 and self._random.random() < 0.3 and self._last_decisive(lines) > 0:
                lines[0] = lines[0][self._random.randint(0, len(lines[0])) :]
        return lines

    def _last_decisive(self, lines: list[str]) -> int:
        return max(number for number, line in enumerate(lines) if self._cause.is_named_in(line))

    def _with_prefix(self, lines: list[str], delay: timedelta) -> list[str]:
        """The lines as journald prints them, after the job became a unit of systemd."""
        pid, began = self._random.randint(212, 4_194_000), CAPTURED + delay
        head = f"{began:%b %d %H:%M:%S} {self._host} {self._cause.task}[{pid}]: "
        return [head + line for line in lines]

    @staticmethod
    def _coloured(text: str) -> str:
        for pattern, colour in _COLOURS:
            text = pattern.sub(f"\x1b[{colour}m\\1\x1b[0m", text)
        return text


def night_of(number: int, random: Random) -> int:
    """The days between the texts' own night and the given night of a cause: about one in six weeks."""
    return 40 * number + random.randint(1, 39)
