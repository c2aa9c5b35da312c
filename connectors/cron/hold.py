"""Holds: the host comments one crontab line out, under a mark that a person can find and remove with an editor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from connectors.cron.client import SHOWN, CronClient, not_after, safe_name, section, shown
from connectors.cron.crontab import CrontabLine, CrontabSet
from connectors.cron.inventory import native_id
from connectors.sdk.contract import (
    ACTION_KEY,
    STARTED_LATER,
    ActionFound,
    ActionSpec,
    HoldMark,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, OutcomeUnknown
from connectors.sdk.fields import masked_head
from connectors.sdk.marked_pause import KEY_PLACEHOLDER, mark_of
from connectors.sdk.states import Verb
from connectors.sdk.transport.hosts import sent_once
from connectors.sdk.transport.script_output import ScriptSection

RUNS_ON = "a run that has begun goes on"
CHANGED = "{where} changed during the edit; nothing was written. Fix: send the action again."
HOLD_REFUSALS = {
    "TAKEN": "it is held already, under {text} ({where}). Release that hold first.",
    "NOMARK": "no mark {hold} in {where}: it was released or removed.",
    "MOVED": CHANGED,
    "RACE": CHANGED,
    "LINK": "{text} is a symbolic link on {host}, which a hold would replace.",
}
"""By the kind of answer of hold.sh."""
BY_HAND = "without Headway: delete the mark and the # of the line below it, with any editor"


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """The line to hold or release, by hash, and the mark; the plan of the preview."""

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
    """The user that changes the crontab: its owner, or root."""
    by: str = ""
    until: str = ""
    hold: str = ""
    """Of a release: the id of the mark."""
    enable: str = ""
    """ "no": only the mark is removed; the line below it stays as it is."""

    @staticmethod
    def of(spec: ActionSpec, host: str, line: CrontabLine, login: str, skew_seconds: float) -> HoldOrder:
        """The order of a request. Raises NotSupported where its parameters make no mark."""
        kind = "system" if line.is_system else "user"
        runs_as = "root" if line.is_system or login == "root" else line.user
        order = HoldOrder(
            spec.verb.value, host, spec.run.job, line.path, kind, line.user, line.hash, line.ordinal, skew_seconds,
            runs_as, *(str(spec.parameters.get(name, "")) for name in ("by", "until", "hold", "enable")),
        )  # fmt: skip
        order.argument(KEY_PLACEHOLDER)
        return order

    @property
    def clears(self) -> bool:
        """True for a release that only removes the mark."""
        return self.verb == Verb.RELEASE and self.enable == "no"

    @property
    def where(self) -> str:
        return f"{self.path} on {self.host}" if self.kind == "system" else f"crontab of {self.user} on {self.host}"

    def argument(self, key: str) -> str:
        """The argument of the script: the text of the mark under `key`, or the id of the mark to remove."""
        if self.verb == Verb.RELEASE:
            if not ACTION_KEY.fullmatch(self.hold):
                raise NotSupported(f"{self.job}: not the id of a hold: {self.hold[:60]!r}")
            return self.hold
        try:
            return mark_of(asdict(self), key).text
        except NotSupported as error:
            raise NotSupported(f"{self.job}: {error}") from None


def preview_hold(order: HoldOrder, line: CrontabLine, refused: str | None, bare: bool) -> Preview:
    """The preview. `bare`: a person enabled the line and left the mark."""
    is_hold = order.verb == Verb.HOLD
    verb = "comment the line out" if is_hold else "remove the mark" if bare else "enable the line"
    release = "remove the mark of a hold; someone has changed the line below it" if bare else "enable this line"
    text = f"comment this crontab line out, until {order.until}, held by {order.by}" if is_hold else release
    how = "replaced in one step" if order.kind == "system" else "through crontab(1)"
    call = f"on {order.host}, sh -s as {order.runs_as}: {verb} (line {order.hash[:12]} of {order.path}, {how})"
    return Preview(
        verb=verb,
        summary=f"{text} ({order.where}): {shown(line.command)}",
        scope=f"1 line: {order.job}",
        native_calls=(call,),
        notes=(RUNS_ON, BY_HAND) if is_hold else (STARTED_LATER,),
        refused=refused,
        plan=asdict(order),
    )


def check_line(client: CronClient, order: HoldOrder) -> tuple[str | None, bool]:
    """Why the host would refuse it now (None when it would do it), and whether the mark is bare. Changes nothing."""
    parts = _call(client, order, KEY_PLACEHOLDER, "look")
    if section(parts, "LINE", "BARE"):
        return None, section(parts, "BARE") is not None
    return str(_refusal(parts[0], order, client)), False


def send_hold(client: CronClient, order: HoldOrder, key: str, sent: datetime | None) -> Receipt:
    """Holds or releases the line. Raises OutcomeUnknown when the host was reached and did not answer."""
    unknown = f"Whether {order.job} is held is looked up in its crontab."
    parts = sent_once(lambda: _call(client, order, key, "run", sent), unknown)
    if section(parts, "DONE"):
        done = "commented out in" if order.verb == Verb.HOLD else "enabled again in"
        return Receipt(key, f"{done} {order.where}")
    if section(parts, "CLEARED"):
        before = "" if order.clears else "was enabled by hand before; "
        return Receipt(key, f"{before}the mark is removed from {order.where}")
    if section(parts, "EXISTS"):
        return Receipt(key, f"was held before under this key in {order.where}")
    if section(parts, "RACE"):
        raise OutcomeUnknown(f"{order.job}: {order.where} was changed at the same moment. {unknown}")
    raise _refusal(parts[0], order, client)


def _call(
    client: CronClient, order: HoldOrder, key: str, mode: str, sent: datetime | None = None
) -> list[ScriptSection]:
    numbers = (str(order.ordinal), order.argument(key), str(not_after(order.skew_seconds, sent)), mode)
    arguments = (order.path, order.kind, safe_name(order.user), order.hash, *numbers)
    call = "clear_mark" if order.clears else f"{order.verb}_line"
    return client.hold(safe_name(order.runs_as), call, arguments, order.path, mode == "run")


def look_up_hold(order: HoldOrder, key: str, tables: CrontabSet) -> ActionFound | None:
    """The trace of the action in the crontabs, the only record of a hold; None without one."""
    hold = key if order.verb == Verb.HOLD else order.hold
    marked = (*tables.held, *(tables.bare if order.clears else ()))
    marks = ((line, HoldMark.read(line.mark or line.bare_mark)) for line in marked)
    existing = next((line for line, mark in marks if mark is not None and mark.id == hold), None)
    if order.verb == Verb.HOLD:
        return ActionFound(key, f"its mark is in {order.where}, line {existing.number - 1}") if existing else None
    return None if existing else ActionFound(key, f"that mark is no longer in {order.where}")


def marks_in(host: str, tables: CrontabSet) -> Iterator[NativeHold]:
    """All held lines with a readable mark, and all running lines below such a mark."""
    for line in (*tables.held, *tables.bare):
        mark = HoldMark.read(line.mark or line.bare_mark)
        if mark is not None:
            table = f"{line.path} on {host}" if line.is_system else f"crontab of {line.user} on {host}"
            yield NativeHold(native_id(host, line), mark, f"{table}, line {line.number}", bare=bool(line.bare_mark))


def _refusal(message: ScriptSection, order: HoldOrder, client: CronClient) -> ConnectorError:
    text = masked_head(message.rest, SHOWN)
    job, where = order.job, order.where
    if message.kind == "BYTES":
        return AccessRefused(
            f"{job}: crontab -l does not show {where} byte for byte (carriage returns). Let Headway read the file, "
            f"sudoers: {client.login} ALL=(root) NOPASSWD: /usr/bin/cat {order.path}; or take them out of the crontab."
        )
    if message.kind == "WRITE":
        return AccessRefused(f"{job}: {where} cannot be written: {text}.")
    if message.kind == "GONE" and "not allowed" in text:
        return AccessRefused(f"{job}: {order.user} may not use crontab(1) on {order.host}: add it to /etc/cron.allow.")
    return client.refusal(message, HOLD_REFUSALS, {**asdict(order), "user": order.runs_as, "where": where})
