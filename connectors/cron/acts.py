"""What may be asked of a host: run a line once, end a run, hold a line and let it go. Looks first, then sends once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Protocol

from connectors.arrival import sent_at
from connectors.contract import (
    ACTION_KEY,
    AccessRefused,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    State,
    Verb,
)
from connectors.cron import anacron, cancel, hold, rerun
from connectors.cron.anacron import AnacronJob
from connectors.cron.attempts import instant
from connectors.cron.client import CronClient, safe_name
from connectors.cron.crontab import Line
from connectors.cron.fields import times
from connectors.cron.look import Look
from connectors.cron.probe import denied_words
from connectors.cron.records import native_id
from connectors.cron.sending import absent

MINUTE = timedelta(minutes=1)


class Eyes(Protocol):
    """What is looked at before anything is sent."""

    def running(self, until: float) -> Look:
        """The end of log and records, for what runs now."""
        ...

    def crontabs_now(self, until: float) -> Look:
        """The crontabs alone."""
        ...


class CronActs:
    """The verbs of one host; `login` is the user that we sign in as."""

    def __init__(self, client: CronClient, target: str, login: str, eyes: Eyes) -> None:
        self._client = client
        self._target = target
        self._login = login
        self._eyes = eyes

    def preview(self, ask: Ask, until: float) -> Preview:
        """What `act` would send. NotSupported for verbs that cron has not and for what is not there."""
        if ask.verb in (Verb.RERUN, Verb.START):
            return self._preview_run(ask, until)
        if ask.verb in (Verb.HOLD, Verb.RELEASE):
            return self._preview_hold(ask, until)
        if ask.verb == Verb.CANCEL:
            return self._preview_cancel(ask, until)
        raise NotSupported(f'cron has no "{ask.verb}"; what it has is: rerun, start, cancel, hold, release')

    def act(self, preview: Preview, key: str, until: float) -> Receipt:
        """Sends it once."""
        _check_key(key)
        verb = preview.plan.get("verb", Verb.RERUN)
        if verb in (Verb.HOLD, Verb.RELEASE):
            order = hold.HoldOrder.from_plan(preview.plan)
            return hold.send(self._client, order, key, self._login, until - monotonic(), sent_at(preview.plan))
        if verb == Verb.CANCEL:
            ending = cancel.CancelOrder.from_plan(preview.plan)
            return cancel.send(self._client, ending, key, self._login, until - monotonic(), sent_at(preview.plan))
        return self._run(preview, key, until)

    def look_up(self, preview: Preview, key: str, until: float) -> LookUp:
        """Whether it arrived: a hold by the crontabs, all else by the mark in the spool."""
        _check_key(key)
        verb = preview.plan.get("verb", Verb.RERUN)
        if verb in (Verb.HOLD, Verb.RELEASE):
            return self._look_up_hold(preview, key, until)
        order = (cancel.CancelOrder if verb == Verb.CANCEL else rerun.Order).from_plan(preview.plan)
        parts = self._client.mark(safe_name(order.user), key, until - monotonic())
        answer, status = parts[1].fields(2)
        if answer == "found":
            word = "it" if verb == Verb.CANCEL else "exit status"
            return Found(key, f"its mark is on {self._target}" + (f", {word} {status}" if status else ""))
        if answer == "absent":
            now = float(parts[0].rest) if parts[0].rest.isdigit() else 0.0
            return absent(preview.plan, order.skew_seconds, now, self._target)
        folder = f"{self._client.options.spool}/{order.user}/actions"
        return CannotTell(f"{self._target}: {folder} cannot be read by {self._login}")

    # -- run once -----------------------------------------------------------------------------------------------------
    def _preview_run(self, ask: Ask, until: float) -> Preview:
        look = self._eyes.running(until)
        if of_anacron := self._of_anacron(look, ask.run.job):
            return self._preview_anacron(look, of_anacron, ask, until)
        line = self._line(look, ask.run.job)
        overlap = _overlap(look, ask)
        order = rerun.Order.of(self._target, ask.run.job, line, _skew(look), overlap is not None)
        period = str(ask.parameters.get("period_at", "")) if ask.verb == Verb.START else ""
        refused = _ran_already(look, line, ask.run.job, period)
        refused = refused or rerun.find_line(self._client, order, self._login, until - monotonic())
        made = rerun.preview(order, line, ask, overlap, refused)
        return replace(made, plan={**made.plan, "period_at": period})

    def _preview_anacron(self, look: Look, one: AnacronJob, ask: Ask, until: float) -> Preview:
        order = rerun.Order.of_anacron(self._target, ask.run.job, one, _skew(look))
        pid, refused = _runs(look, ask.run.job), None
        if anacron.PATTERN.search(one.name):
            refused = (
                f"its name {one.name} is a pattern to anacron, which might run other jobs: rename it in {one.path}"
            )
        elif pid is not None:
            refused = f"it runs now, by anacron, process {pid}: anacron's lock keeps a second one away"
        refused = refused or rerun.find_line(self._client, order, self._login, until - monotonic())
        return rerun.preview_of_anacron(order, one, ask, refused)

    def _run(self, preview: Preview, key: str, until: float) -> Receipt:
        order = rerun.Order.from_plan(preview.plan)
        safe_name(order.user)
        period = str(preview.plan.get("period_at", ""))
        if period or not order.overlap:
            look = self._eyes.running(until)
            pid = _runs(look, order.job)
            if pid is not None and not order.overlap:
                words = f"{order.job} started meanwhile on {self._target} as process {pid}. Look at the preview again."
                raise NotSupported(words)
            if order.kind != rerun.ANACRON and (
                refused := _ran_already(look, self._line(look, order.job), order.job, period)
            ):
                raise NotSupported(refused)
        return rerun.send(self._client, order, key, self._login, until - monotonic(), sent_at(preview.plan))

    # -- hold ---------------------------------------------------------------------------------------------------------
    def _preview_hold(self, ask: Ask, until: float) -> Preview:
        look = self._eyes.crontabs_now(until)
        line = self._line(look, ask.run.job)
        order = hold.HoldOrder.of(ask, self._target, line, self._login, _skew(look))
        refused, bare = hold.look(self._client, order, self._login, until - monotonic())
        return hold.preview(order, line, refused, bare)

    def holds(self, look: Look) -> tuple[NativeHold, ...]:
        """Every hold on the host. AccessRefused where a crontab is denied: a list with holes proves nothing."""
        crontabs = look.crontabs
        if crontabs.denied:
            raise AccessRefused(denied_words(crontabs.denied, self._target, self._login))
        return tuple(hold.holds(self._target, crontabs.tables))

    def _look_up_hold(self, preview: Preview, key: str, until: float) -> LookUp:
        order = hold.HoldOrder.from_plan(preview.plan)
        look = self._eyes.crontabs_now(until)
        why = next((why for path, why in look.crontabs.denied if path == order.path), None)
        if why is not None:
            return CannotTell(f"{order.where} cannot be read by {self._login}: {why}")
        found = hold.look_up(order, key, look.crontabs.tables)
        now = look.answer.host.now.timestamp()
        return found or absent(preview.plan, order.skew_seconds, now, self._target)

    # -- cancel -------------------------------------------------------------------------------------------------------
    def _preview_cancel(self, ask: Ask, until: float) -> Preview:
        look = self._eyes.running(until)
        attempt = cancel.attempt_of(ask, look.memory.book.attempts)
        processes, host = look.answer.processes, look.answer.host
        order = cancel.order_of(attempt, self._target, processes, host, _skew(look))
        refused, count = cancel.unproved(attempt, processes, host), ""
        if refused is None:
            refused, count = cancel.look(self._client, order, self._login, until - monotonic())
        return cancel.preview(order, refused, count)

    def _of_anacron(self, look: Look, job: str) -> AnacronJob | None:
        named = (one for one in look.crontabs.tables.anacron if anacron.native_id(self._target, one.name) == job)
        return next(named, None)

    def _line(self, look: Look, job: str) -> Line:
        for line in look.crontabs.tables.lines:
            if native_id(self._target, line) == job:
                return line
        if one := self._of_anacron(look, job):
            raise NotSupported(f"{anacron.NO_HOLD} {one.name}")
        denied = look.crontabs.denied
        if denied:
            raise AccessRefused(denied_words(denied, self._target, self._login))
        raise NotSupported(
            f"{job} is in no crontab of {self._target} any more: removed, renamed, commented out by hand"
        )


def _skew(look: Look) -> float:
    return look.answer.clock(look.ours, "").skew_seconds


def _overlap(look: Look, ask: Ask) -> str | None:
    pid = _runs(look, ask.run.job)
    if pid is not None:
        return f"it runs now as process {pid}; cron itself never keeps two runs of a line apart"
    if look.answer.processes.hidden:
        return "the host hides other users' processes (hidepid), so whether it runs cannot be seen"
    return None


def _runs(look: Look, job: str) -> int | None:
    """Process id of a run of that job that is alive now."""
    for one in look.memory.book.attempts:
        if one.job == job and one.state is State.RUNNING and not one.gone:
            return one.pid
    return None


def _ran_already(look: Look, line: Line, job: str, period: str) -> str | None:
    """Why a start for that period (ISO instant, or nothing) would be its second: cron itself has started it."""
    due = times(line.expression)
    if not period or due is None:
        return None
    try:
        at = _minute(datetime.fromisoformat(period).astimezone(UTC))
    except ValueError as error:
        raise NotSupported(f"{job}: the period is no ISO instant: {period[:40]!r}") from error
    for one in look.memory.book.attempts:
        started = instant(one.started)
        if one.job != job or one.action or started is None or _minute(started) < at:
            continue
        back = due.minutes_since_due(_minute(started).astimezone(look.zone).replace(tzinfo=None))
        if at in (_minute(started), _minute(started) - (back or 0) * MINUTE):
            return f"cron itself started {job} for that period, at {started:%H:%M:%S} UTC"
    return None


def _minute(instant_: datetime) -> datetime:
    return instant_.replace(second=0, microsecond=0)


def _check_key(key: str) -> None:
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"not an action key of ours: {key[:60]!r}")
