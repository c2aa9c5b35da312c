"""Nights with alerts of every kind, and the text of one of each kind in every sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from console.control.alerts.digest import digest_message
from console.domain.alert import AlertKind, PendingAlert, with_incident
from console.domain.decision import Notice
from console.domain.ids import micros
from console.domain.message import Message, body_text, title_text
from console.domain.message_group import group_message
from console.engine.api.alerts import route_test
from console.engine.notify.chat import DISCORD, SLACK, TEAMS, TELEGRAM, ChatMarkup, as_chat
from console.engine.notify.mail import as_html
from console.engine.notify.routing import _parked_alert, to_shadow_route, unconfirmed_text
from console.engine.notify.self_monitoring import OUTBOX, STORE, _alert
from console.store.alert_routing import FailedDeliveries, UndeliveredAlert, as_fallback
from console.store.alerts import AttentionRequest, NewAlert, _attention_alert
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
    "acknowledged, then unacknowledged": (
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
    "repaired by a rerun": (
        "at 03:12 extract fails: exit 1, no space left on device",
        "at 03:20 extract is rerun by anna",
        "at 03:25 extract is green",
    ),
    "two causes": (
        "estate: job hosts/refund at 03:10; takes 40m; told to etl; owned by data",
        "estate: hosts/refund feeds warehouse/load",
        "at 03:12 extract fails: exit 1, disk is full",
        "at 03:12 refund fails: exit 7, no listener",
    ),
    "a second cause": (
        "estate: job hosts/refund at 03:10; takes 40m; told to etl; owned by data",
        "estate: hosts/refund feeds warehouse/load",
        "at 03:12 extract fails: exit 1, disk is full",
        "at 03:14 refund fails: exit 7, no listener",
    ),
    "in shadow": ("estate: in shadow, told to trial", "at 03:12 extract fails: exit 1"),
    "not started, in another zone": (
        "estate: service daily-view due 06:40, delivered by warehouse/load; tier 2; zone Europe/Berlin; told to etl",
        "at 03:12 nothing happens",
        "at 04:40 extract is green",
    ),
    "act-by passed": (
        "estate: route etl; repeats every 30m",
        "at 03:12 extract fails: exit 1",
        "at 06:00 nothing happens",
    ),
    "two zones, a link": (
        "estate: link https://ops.example/{incident}",
        "estate: service daily-view due 05:10, delivered by warehouse/load; tier 2; zone Europe/Berlin",
        "at 03:12 extract fails: exit 1",
        "at 03:20 extract is rerun",
        "at 03:25 extract is green",
    ),
    "business words": (
        "estate: route etl; in business words",
        "estate: route planning; in technical words",
        "at 03:12 extract fails: exit 1",
        "at 05:41 nothing happens",
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


class Recorder(Player):
    """Plays a timeline and keeps every notice; what the timeline expects is not judged here."""

    def __init__(self, lines: list[str], name: str) -> None:
        super().__init__(lines, name)
        self.notices: list[Notice] = []

    def play_all(self) -> None:
        """All lines. Raises Unreadable for a line that is not understood."""
        for line in self._lines:
            text = line.split("#", 1)[0].strip()
            if text:
                self.decided.unexpected.clear()
                self._line(text)
        self._decide()

    def _decide(self) -> None:
        before = len(self.decided.decisions)
        super()._decide()
        for decisions in self.decided.decisions[before:]:
            self.notices += [notice for incident in decisions.incidents for notice in incident.notices]


IN_EVERY_SINK = (
    "service at risk", "missed", "reminder", "escalation", "resolved", "for business people", "shadow", "group",
    "attention", "digest", "engine down", "fallback", "test",
)  # fmt: skip
"""One message of each kind, whose text is golden."""


def alerts_text() -> str:
    """One of each kind in every sink."""
    named = dict(messages())
    return "\n".join(_in_every_sink(name, named[name]) for name in IN_EVERY_SINK)


PICKED = (
    ("service at risk", "log", "opened", "technical"),
    ("mixed status, two zones, with a link", "two zones, a link", "opened", "technical"),
    ("act-by passed", "act-by passed", "repeated", "technical"),
    ("reopened", "flapping", "updated", "technical"),
    ("no service affected", "a_chain_of_red_is_one_incident", "opened", "technical"),
    ("not started", "not started", "opened", "technical"),
    ("not started, in the zone of its service", "not started, in another zone", "opened", "technical"),
    ("system away", "target unreachable", "opened", "technical"),
    ("late", "nobody_starts_the_last_job", "opened", "technical"),
    ("missed", "a_deadline_passes_and_nobody_is_named", "updated", "technical"),
    ("reminder", "repeat and escalate", "repeated", "technical"),
    ("escalation", "repeat and escalate", "escalated", "technical"),
    ("resolved", "repaired by a rerun", "recovered", "technical"),
    ("resolved too late", "repeat and escalate", "recovered", "technical"),
    ("for business people", "log", "opened", "business"),
    ("late, for business people", "too long, then late", "updated", "business"),
    ("resolved, for business people", "repaired by a rerun", "recovered", "business"),
    ("shadow", "in shadow", "opened", "shadow"),
)
"""(title, night, kind, style): the first such notice of that night."""


def messages() -> Iterator[tuple[str, Message]]:
    """(name, message): one of each kind."""
    nights = {name: recorder.notices for name, recorder in recorded()}
    for name, night, kind, style in PICKED:
        notices = (notice for notice in nights[night] if (notice.kind.value, notice.style) == (kind, style))
        yield name, next(notices).message
    first = nights["two zones, a link"][0]
    at = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
    both = [notice for notice in nights["two causes"] if notice.style == "technical"]
    second = [notice for notice in nights["a second cause"] if notice.style == "technical"][-1]
    yield "second cause", second.message
    numbered = [with_incident(notice.message, f"INC-{number:04}") for number, notice in enumerate(both, 1)]
    yield "group", group_message(numbered)
    due_us = micros(at.replace(hour=5, minute=30))
    row = SimpleNamespace(version=0, name="supply-plan", title="Supply plan", zone="Europe/Berlin", deadline_us=due_us)
    session: Any = SimpleNamespace(rows=lambda *_: [row])
    fixes = (("By hand", "fix hosts/extract"), ("Do", "headway plan resume 3"), ("Open", "headway plan 3"))
    request = AttentionRequest("plan:3", "plan 3 stopped", "fix extract", "exit 1", fixes, "ann", 1, None)
    yield "attention", _attention_alert(session, request, "oncall", micros(at)).message
    pending = [
        PendingAlert(number, at, False, f"INC-{number:04}", notice.message.to_json(), notice.plain.to_json())
        for number, notice in enumerate(nights["log"], 1)
    ]
    yield "digest", digest_message(pending, 10, "Europe/Berlin", "https://ops.example/{incident}")
    down = _alert("oncall", STORE, AlertKind.OPENED, "database or disk is full", "night", at, "Europe/Berlin")
    up = _alert("oncall", STORE, AlertKind.RECOVERED, "", "night", at, "Europe/Berlin")
    parked = _parked_alert(FailedDeliveries("oncall", 3, "error=500"), "boss")
    failing = _alert("oncall", OUTBOX, AlertKind.REPEATED, "no thread", "night", at, "Europe/Berlin")
    sending = to_shadow_route(failing, "trial")
    test = route_test("oncall", "ann", "night", at, ZoneInfo("Europe/Berlin"))
    opened = NewAlert("etl", "opened", first.message, "", first.plain)
    line = unconfirmed_text("etl", timedelta(minutes=10))
    fallback = as_fallback(UndeliveredAlert(1, "etl", opened, ""), "boss", line, line)
    for name, alert in (
        ("engine down", down), ("engine up", up), ("undelivered", parked), ("engine down, in shadow", sending),
        ("test", test), ("fallback", fallback),
    ):  # fmt: skip
        yield name, alert.message


def _mail(message: Message) -> str:
    return f"{title_text(message.title)}\n\n{body_text(message.blocks)}"


def _page(message: Message) -> str:
    """The HTML of a mail, without its style."""
    return as_html(message).partition("<body>\n")[2].removesuffix("</body></html>\n")


def _chat(markup: ChatMarkup) -> Callable[[Message], str]:
    return lambda message: "\n\n".join(filter(None, as_chat(markup, message)))


SINKS: dict[str, Callable[[Message], str]] = {
    "push": lambda message: f"{title_text(message.title)[:50]}\n",
    "mail": _mail,
    "HTML": _page,
    "Slack": _chat(SLACK),
    "Discord": _chat(DISCORD),
    "Teams": _chat(TEAMS),
    "Telegram": _chat(TELEGRAM),
}
"""What each receiver shows of a message; push: a locked phone."""


def _in_every_sink(name: str, message: Message) -> str:
    return "\n".join([f"==== {name}\n", *(f"---- {sink}\n{text(message)}" for sink, text in SINKS.items())])


@cache
def recorded() -> tuple[tuple[str, Recorder], ...]:
    """Each night, played once for all texts and tests of a process."""
    nights: dict[str, list[str]] = {path.stem: path.read_text().splitlines() for path in files()}
    for name, events in NIGHTS.items():
        ordered = sorted((*_ESTATE, *events), key=lambda line: not line.startswith("estate: "))
        nights[name] = [line if line.startswith(("estate: ", "at ")) else f"at 03:12 {line}" for line in ordered]
    recorders = {
        name: Recorder([line for line in lines if not line.startswith("expect ")], name)
        for name, lines in nights.items()
    }
    for recorder in recorders.values():
        recorder.play_all()
    return tuple(recorders.items())
