"""The text of alerts: every timeline of tests/control, and nights of this file, with all that is decided in them."""

from __future__ import annotations

from collections.abc import Iterator

from console.domain.decision import Notice, SuppressedNotice
from tests.control.timelines import Player, files

_ESTATE = (
    "estate: job hosts/extract at 03:10; takes 20m; told to etl; owned by data; rerun safe",
    "estate: job warehouse/load at 04:00; takes 30m; told to etl",
    "estate: hosts/extract feeds warehouse/load",
    "estate: service supply-plan due 06:30, delivered by warehouse/load; tier 1; told to planning; owned by plan",
)
NIGHTS: dict[str, tuple[str, ...]] = {
    "repeat and escalate": (
        "estate: route etl; repeats every 30m; escalates after 15m to lead, manager",
        "at 03:12 extract fails: exit 1, disk is full",
        "at 03:28 nothing happens",
        "at 03:44 nothing happens",
        "at 04:15 nothing happens",
        "at 05:30 nothing happens",
        "at 06:31 nothing happens",
        "at 07:00 extract is rerun",
        "at 07:05 extract is green",
        "at 07:06 load is rerun",
        "at 07:30 load is green",
    ),
    "acknowledged, then lapsed": (
        "estate: route etl; repeats every 30m; escalates after 15m to lead",
        "at 03:12 extract fails: exit 1",
        "at 03:14 ann acknowledges extract for 1h",
        "at 03:40 nothing happens",
        "at 04:30 nothing happens",
    ),
    "acknowledged, then another error after a success": (
        "at 03:12 extract fails: exit 1, disk is full",
        "at 03:14 ann acknowledges extract for 4h",
        "at 04:00 load starts",
        "at 04:20 load is green",
        "at 04:30 extract is rerun",
        "at 04:40 extract is green",
        "at 05:00 extract is rerun",
        "at 05:05 extract fails: exit 7, relation orders does not exist",
    ),
    "silenced": (
        "at 03:05 ann silences extract for 2h: a new disk",
        "at 03:12 extract fails: exit 1",
        "at 05:20 nothing happens",
    ),
    "quiet hours": (
        "estate: route etl; quiet from 22:00 to 07:00",
        "at 03:12 extract fails: exit 1",
        "at 06:00 nothing happens",
        "at 07:01 nothing happens",
    ),
    "wait": (
        "estate: route etl; waits 20m",
        "at 03:12 extract fails: exit 1",
        "at 03:20 nothing happens",
        "at 03:40 nothing happens",
    ),
    "business words": (
        "estate: route etl; in business words",
        "estate: route planning; in technical words",
        "at 03:12 extract fails: exit 1",
        "at 06:31 nothing happens",
    ),
    "log": (
        "at 03:12 extract fails: exit 1, @channel <!here> disk is full",
        "the log of extract ends with: OSError: no space left on device",
    ),
    "target unreachable": (
        "at 03:05 target hosts/hosts does not answer: connection refused",
        "at 03:40 nothing happens",
        "at 04:20 target hosts/hosts answers again",
        "at 04:25 extract is green",
    ),
    "not started": (
        "at 03:12 nothing happens",
        "at 03:20 nothing happens",
        "at 03:45 nothing happens",
        "at 04:40 extract is green",
    ),
    "too long, then late": (
        "at 03:10 extract starts",
        "at 04:30 nothing happens",
        "at 06:31 nothing happens",
        "at 06:40 extract is green",
    ),
    "flapping": (
        "at 03:12 extract fails: exit 1",
        "at 03:14 extract is rerun",
        "at 03:16 extract is green",
        "at 03:18 extract is rerun",
        "at 03:20 extract fails: exit 1",
        "at 03:22 extract is rerun",
        "at 03:24 extract is green",
        "at 03:26 extract is rerun",
        "at 03:28 extract fails: exit 1",
        "at 04:30 nothing happens",
    ),
}


class _Recorder(Player):
    """Plays a timeline and keeps every text; what the timeline expects is not judged here."""

    def __init__(self, lines: list[str], name: str) -> None:
        super().__init__(lines, name)
        self.texts: list[str] = []

    def play_all(self) -> None:
        """All lines. Raises Unreadable for a line that is not understood."""
        for line in self._lines:
            words = line.split("#", 1)[0].strip()
            if words:
                self.told.unexpected.clear()
                self._line(words)
        self._decide()

    def _decide(self) -> None:
        before = len(self.told.decisions)
        super()._decide()
        for decisions in self.told.decisions[before:]:
            for one in decisions.incidents:
                clock = f"{self.now:%H:%M}" if self.now is not None else "-"
                self.texts += [f"-- {clock} event: {one.event}\n"] if one.event else []
                self.texts += [_notice(clock, notice) for notice in one.notices]
                self.texts += [_suppressed(clock, notice) for notice in one.suppressed]
                self.texts += [f"-- {clock} closed: {one.close_reason}\n"] if one.closed else []


def _suppressed(clock: str, notice: SuppressedNotice) -> str:
    target = f"{notice.kind.value} to {notice.route} ({notice.style})"
    return f"-- {clock} {target} suppressed by {notice.stage}: {notice.why}\n"


def alerts_text() -> str:
    """Every notice with title and body, and what is suppressed, with its reason."""
    return "\n".join(_nights())


def _nights() -> Iterator[str]:
    for path in files():
        yield from _played(path.stem, path.read_text().splitlines())
    for name, lines in NIGHTS.items():
        ordered = sorted((*_ESTATE, *lines), key=lambda line: not line.startswith("estate: "))
        yield from _played(
            name, [line if line.startswith(("estate: ", "at ")) else f"at 03:12 {line}" for line in ordered]
        )


def _played(name: str, lines: list[str]) -> Iterator[str]:
    events = [line for line in lines if not line.startswith("expect ")]
    recorder = _Recorder(events, name)
    recorder.play_all()
    yield f"==== {name}\n"
    yield from dict.fromkeys(recorder.texts)


def _notice(clock: str, notice: Notice) -> str:
    text = (
        f"-- {clock} {notice.kind.value} to {notice.route} ({notice.style})\n{notice.title}\n\n{notice.body.rstrip()}\n"
    )
    if (notice.plain_title, notice.plain_body) != (notice.title, notice.body):
        text += f'-- the same with body = "link"\n{notice.plain_title}\n\n{notice.plain_body.rstrip()}\n'
    return text
