"""A hold: the host comments one crontab line out, under a mark that anybody finds and can undo with an editor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.contract import (
    ACTION_KEY,
    HOLD_MARK,
    STARTED_LATER,
    AccessRefused,
    Ask,
    Found,
    HoldMark,
    NativeHold,
    NotSupported,
    OutcomeUnknown,
    Preview,
    Receipt,
    Verb,
)
from connectors.cron.client import CronClient, safe_name
from connectors.cron.records import native_id
from connectors.cron.sending import SHOWN, answered, from_plan, not_after, refusal, section, shown
from connectors.cron.tables import Line, Tables
from connectors.transport.answer import Section

RUNS_ON = "a run that has begun goes on"
BY_HAND = "without Headway: delete the mark and the # of the line below it, with any editor"


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Which line is held or released, by hash, and the mark; the preview's plan."""

    verb: str
    host: str
    job: str
    path: str
    kind: str
    user: str
    hash: str
    ordinal: int
    skew_seconds: float
    runs_as: str
    """The user that changes the crontab: its own, or root."""
    by: str = ""
    until: str = ""
    hold: str = ""
    """Of a release: the id of the mark."""
    enable: str = ""
    """ "no": the mark alone goes, and the line below it stays as it is."""

    @staticmethod
    def of(ask: Ask, host: str, line: Line, login: str, skew_seconds: float) -> HoldOrder:
        """NotSupported where what is asked makes no mark."""
        kind = "system" if line.is_system else "user"
        runs_as = "root" if line.is_system or login == "root" else line.user
        order = HoldOrder(
            ask.verb.value, host, ask.run.job, line.path, kind, line.user, line.hash, line.ordinal, skew_seconds,
            runs_as, *(str(ask.parameters.get(name, "")) for name in ("by", "until", "hold", "enable")),
        )  # fmt: skip
        order.argument("headway-0000000000")
        return order

    @property
    def clears(self) -> bool:
        """True of a release that only takes the mark away."""
        return self.verb == Verb.RELEASE and self.enable == "no"

    def as_plan(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_plan(plan: Mapping[str, Any]) -> HoldOrder:
        """The order again. NotSupported where the plan is not one of ours."""
        return from_plan(HoldOrder, tuple(HoldOrder.__slots__), plan)

    @property
    def where(self) -> str:
        return f"{self.path} on {self.host}" if self.kind == "system" else f"crontab of {self.user} on {self.host}"

    def argument(self, key: str) -> str:
        """What the script gets: the mark's text under `key`, or the id of the mark to remove."""
        if self.verb == Verb.RELEASE:
            if not ACTION_KEY.fullmatch(self.hold):
                raise NotSupported(f"{self.job}: not the id of a hold: {self.hold[:60]!r}")
            return self.hold
        try:
            until = datetime.fromisoformat(self.until).astimezone(UTC)
        except ValueError as error:
            raise NotSupported(
                f"{self.job}: a hold needs its end as an ISO instant, not {self.until[:40]!r}"
            ) from error
        text = HoldMark(key, self.by, until).text
        if not HOLD_MARK.fullmatch(text):
            raise NotSupported(f"{self.job}: who holds it cannot be written into a mark: {self.by[:70]!r}")
        return text


def preview(order: HoldOrder, line: Line, refused: str | None, bare: bool) -> Preview:
    """What `act` will do, for people. `bare`: somebody enabled the line by hand and left the mark."""
    is_hold = order.verb == Verb.HOLD
    verb = "comment the line out" if is_hold else "remove the mark" if bare else "enable the line"
    words = {
        True: f"comment this crontab line out, until {order.until}, held by {order.by}",
        False: "remove the mark of a hold; the line below it is somebody's by now" if bare else "enable this line",
    }[is_hold]
    how = "written anew in one step" if order.kind == "system" else "through crontab(1)"
    call = f"ssh {order.host} sh -s: as {order.runs_as}, {verb} {order.hash[:12]} of {order.path}, {how}"
    return Preview(
        verb=verb,
        words=f"{words} ({order.where}): {shown(line.command)}",
        scope=f"1 line: {order.job}",
        native_calls=(call,),
        notes=(RUNS_ON, BY_HAND) if is_hold else (STARTED_LATER,),
        refused=refused,
        plan=order.as_plan(),
    )


def look(client: CronClient, order: HoldOrder, login: str, timeout_seconds: float) -> tuple[str | None, bool]:
    """Why the host would not do it now (None when it would), and whether only a bare mark is left. Changes nothing."""
    parts = _call(client, order, "headway-0000000000", "look", timeout_seconds)
    if section(parts, "LINE", "BARE"):
        return None, section(parts, "BARE") is not None
    return str(_refusal(parts[0], order, login, client)), False


def send(
    client: CronClient, order: HoldOrder, key: str, login: str, timeout_seconds: float, sent: datetime | None
) -> Receipt:
    """Holds or releases the line. OutcomeUnknown when the host was reached and did not answer."""
    looked_up = f"Whether {order.job} is held is looked up in its crontab."
    parts = answered(lambda: _call(client, order, key, "run", timeout_seconds, sent), looked_up)
    if section(parts, "DONE"):
        words = "commented out in" if order.verb == Verb.HOLD else "enabled again in"
        return Receipt(key, f"{words} {order.where}")
    if section(parts, "CLEARED"):
        before = "" if order.clears else "was enabled by hand before; "
        return Receipt(key, f"{before}the mark is removed from {order.where}")
    if section(parts, "EXISTS"):
        return Receipt(key, f"was held before under this key in {order.where}")
    if section(parts, "RACE"):
        raise OutcomeUnknown(f"{order.job}: somebody changed {order.where} at the same moment. {looked_up}")
    raise _refusal(parts[0], order, login, client)


def _call(
    client: CronClient, order: HoldOrder, key: str, mode: str, timeout_seconds: float, sent: datetime | None = None
) -> list[Section]:
    numbers = (str(order.ordinal), order.argument(key), str(not_after(order.skew_seconds, sent)), mode)
    arguments = (order.path, order.kind, safe_name(order.user), order.hash, *numbers)
    call = "clear_mark" if order.clears else f"{order.verb}_line"
    return client.hold(safe_name(order.runs_as), call, arguments, order.path, timeout_seconds, mode == "run")


def look_up(order: HoldOrder, key: str, tables: Tables) -> Found | None:
    """What shows that it arrived: the crontabs as they are now are the only record of a hold. None: nothing does."""
    wanted = key if order.verb == Verb.HOLD else order.hold
    marked = (*tables.held, *(tables.bare if order.clears else ()))
    marks = ((line, HoldMark.read(line.mark or line.bare_mark)) for line in marked)
    there = next((line for line, mark in marks if mark is not None and mark.id == wanted), None)
    if order.verb == Verb.HOLD:
        return Found(key, f"its mark is in {order.where}, line {there.number - 1}") if there else None
    return None if there else Found(key, f"that mark is no longer in {order.where}")


def holds(host: str, tables: Tables) -> Iterator[NativeHold]:
    """Every line that is held under a mark that can be read, and every one that runs below such a mark."""
    for line in (*tables.held, *tables.bare):
        mark = HoldMark.read(line.mark or line.bare_mark)
        if mark is not None:
            table = f"{line.path} on {host}" if line.is_system else f"crontab of {line.user} on {host}"
            yield NativeHold(native_id(host, line), mark, f"{table}, line {line.number}", bare=bool(line.bare_mark))


def _refusal(said: Section, order: HoldOrder, login: str, client: CronClient) -> AccessRefused | NotSupported:
    """The host's no, with the mend."""
    words = said.rest[:SHOWN]
    job, where = order.job, order.where
    if said.kind == "TAKEN":
        return NotSupported(f"{job}: it is held already, under {words} ({where}). Release that hold first.")
    if said.kind == "NOMARK":
        return NotSupported(f"{job}: no mark {order.hold} in {where}: nothing of ours is there to release.")
    if said.kind in ("MOVED", "RACE"):
        return NotSupported(f"{job}: somebody changed {where} at the same moment, and nothing was done. Ask again.")
    if said.kind == "LINK":
        return NotSupported(
            f"{job}: {words} is a symbolic link on {order.host}; a hold would replace it. By hand then."
        )
    if said.kind == "BYTES":
        return AccessRefused(
            f"{job}: crontab -l does not show {where} byte for byte (carriage returns). Let Headway read the file, "
            f"sudoers: {login} ALL=(root) NOPASSWD: /usr/bin/cat {order.path}; or take them out of the crontab."
        )
    if said.kind == "WRITE":
        return AccessRefused(f"{job}: {where} cannot be written: {words}.")
    if said.kind == "GONE" and "not allowed" in words:
        return AccessRefused(f"{job}: {order.user} may not use crontab(1) on {order.host}: add it to /etc/cron.allow.")
    return refusal(said, order.host, job, order.path, order.runs_as, login, client.options.spool)
