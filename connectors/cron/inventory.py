"""Crontab lines as jobs, and the index that finds the line of a start. Pure.

A start belongs to the nearest due line of its user and command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from hashlib import sha256

from connectors.cron import anacron, crontab
from connectors.cron.anacron import AnacronJob
from connectors.cron.attempts import ENDS_LOGGED, ERRORS_LOGGED, text_mark
from connectors.cron.crontab import CronDaemon, CrontabLine, CrontabSet, is_user_table, slug
from connectors.cron.expressions import MAX_DELAY, REBOOT, read_times, schedule_text
from connectors.cron.parse import zone_of
from connectors.cron.wrapper import MAX_TEXT_BYTES, SETTINGS, as_recorded
from connectors.sdk.cron_syntax import NICKNAMES
from connectors.sdk.records import Inventory, JobRecord, Schedule, SkippedRecord, TargetClock
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.script_output import bytes_of

DIALECT, OWN_ZONE, BUSYBOX = "debian-cron", "cronie", "busybox"
"""The second of lines under a CRON_TZ that their daemon goes by."""


def native_id(host: str, line: CrontabLine) -> str:
    return f"{host}:{line.name}"


def proof(line: CrontabLine, level: int) -> ProofLevel:
    """The proof level of the line: full by the wrapper, exit by END and error lines, else start."""
    if line.is_wrapped:
        return ProofLevel.FULL
    return ProofLevel.EXIT if level & ENDS_LOGGED and level & ERRORS_LOGGED else ProofLevel.START


def job_record(host: str, line: CrontabLine, zone: str, level: int, settings: str = "") -> JobRecord:
    """`settings`: of `_own_settings`, where it is known."""
    return JobRecord(
        native_id=native_id(host, line),
        title=line.name,
        schedule=_schedule(line, zone),
        paused=bool(line.mark),
        definition=line.command,
        definition_hash=sha256(bytes_of(f"{line.hash}{settings or _own_settings(line)}")).hexdigest(),
        match_keys=_match_keys(line),
        proof=proof(line, level),
        run_as=line.user,
    )


def _own_settings(line: CrontabLine) -> str:
    """The settings of the line, sorted, as text; of a wrapped one with the shell that runs its job: installing our
    wrapper changes no job."""
    settings = dict(line.settings)
    if line.is_wrapped:
        shell = settings.get("HEADWAY_SHELL", "")
        settings = {name: text for name, text in settings.items() if name not in ("SHELL", *SETTINGS)}
        settings |= {"SHELL": shell} if shell else {}
    return str(sorted(settings.items()))


LINE_KEYS = 3
"""Keys of a line without a name: the second begins with its user."""


def _match_keys(line: CrontabLine) -> tuple[str, ...]:
    """Keys that identify a renamed line: the whole line, its times, unless a comment names it, and its command without
    wrappers. A line that is only in the same place is another job."""
    line_hash = sha256(bytes_of(f"{line.user} {line.written or line.expression} {line.raw}")).hexdigest()[:16]
    runs = sha256(bytes_of(f"{line.user} {crontab.unwrapped(line.raw)}")).hexdigest()[:16]
    made = slug(line.user, line.command)
    is_named = made not in (line.name, line.name.rpartition("#")[0])
    times = () if is_named else (f"{line.user}|{line.path}|{line.expression}",)
    return (f"{line.path}|{line_hash}", *times, f"{line.path}#{runs}")


def _schedule(line: CrontabLine, zone: str) -> Schedule:
    """cronie uses CRON_TZ, with UTC for an unknown zone; for Debian's cron it is an ordinary variable."""
    is_cronie = line.daemon is CronDaemon.CRONIE
    if at_no_minute := crontab.at_no_minute(line):
        return Schedule("none", "", zone, at_no_minute)
    own = line.settings.get("CRON_TZ", "").lstrip(":") if is_cronie else ""
    named = own if own and zone_of(own) is not None else "UTC"
    expression = NICKNAMES.get(line.expression, line.expression)
    usual = BUSYBOX if line.daemon is CronDaemon.BUSYBOX else DIALECT
    text, zone = schedule_text(line.expression), named if own else zone
    if line.expression == REBOOT:
        return Schedule("none", expression, zone, text)
    dialect, window = OWN_ZONE if own else usual, crontab.random_delay(line)
    return Schedule(dialect, expression, zone, f"{text} {zone}", window=window)


def main_zone(lines: Iterable[CrontabLine], zone: str) -> str:
    """The zone that most lines set as CRON_TZ; `zone`, the daemon's, if most set none. Debian's cron ignores CRON_TZ
    when it starts jobs."""
    named = (line.settings.get("CRON_TZ", "").lstrip(":") for line in lines)
    zones = Counter(name if zone_of(name) is not None else zone for name in named)
    return zones.most_common(1)[0][0] if zones else zone


def user_of(match_keys: tuple[str, ...]) -> str | None:
    """The user of the job, by its keys: root for anacron's; None for a named line of the system's crontabs."""
    key = match_keys[-1] if match_keys else ""
    if key.partition("|")[0].endswith(anacron.TABLE):
        return anacron.USER
    path = key.rpartition("#")[0]
    if is_user_table(path):
        return path.rpartition("/")[2]
    return match_keys[1].partition("|")[0] if len(match_keys) == LINE_KEYS else None


def host_inventory(
    host: str, tables: CrontabSet, denied: Iterable[tuple[str, str]], zone: str, level: int, clock: TargetClock
) -> Inventory:
    """All jobs of the host. Not complete where a crontab was denied or not read as a whole; a file that cron ignores
    has no jobs."""
    jobs = (*_job_records(host, tables.lines, zone, level), *(item.record(host, zone) for item in tables.anacron))
    refused = [SkippedRecord(path, f"denied: {why}", "") for path, why in denied]
    faults = [SkippedRecord(fault.where, fault.reason, fault.value) for fault in tables.faults]
    return Inventory.of(jobs, not (refused or tables.unread), clock, (*refused, *faults))


def _job_records(host: str, lines: Iterable[CrontabLine], zone: str, level: int) -> Iterator[JobRecord]:
    """The lines as jobs. The text of the settings that lines share is made once and not kept: all texts of a thousand
    lines may be a gigabyte."""
    settings: Mapping[str, str] | None = None
    text = ""
    for line in lines:
        if line.settings is not settings:
            settings, text = line.settings, _own_settings(line)
        yield job_record(host, line, zone, level, text)


HasStart = Callable[[str, float, float], bool]
"""Whether a job has a start in that span of epoch seconds."""
SHORTEST_CUT = 100
"""Bytes of the shortest command that may be the beginning of a longer one."""
UNTIL_STARTED = 60.0


class LineIndex:
    """The crontab lines of a host, by user and command as logged."""

    def __init__(
        self,
        host: str,
        lines: Iterable[CrontabLine],
        zone: tzinfo,
        older: Mapping[str, str],
        of_anacron: Iterable[AnacronJob] = (),
    ) -> None:
        self.host, self.zone, self.older = host, zone, older
        self.names: dict[str, str] = {}
        self._by_text: dict[tuple[str, str], list[CrontabLine]] = {}
        self._by_mark: dict[str, CrontabLine] = {}
        self._by_user: dict[str, list[CrontabLine]] = {}
        for line in lines:
            self._by_mark.setdefault(f"{line.hash}.{line.ordinal}", line)
            self._by_user.setdefault(line.user, []).append(line)
            for text in _texts(line):
                self._by_text.setdefault((line.user, text), []).append(line)
                self.names.setdefault(name_mark(line.user, text), native_id(host, line))
        self._of_anacron: dict[str, str] = {}
        """By the mark of a rerun."""
        for item in of_anacron:
            job = anacron.anacron_id(host, item.name)
            self._of_anacron[f"{item.hash}.1"] = job
            self.names[name_mark(anacron.USER, anacron.anacron_text(item.name))] = job

    def find(self, user: str, text: str, started: datetime, mark: str) -> tuple[str, ...]:
        """Native ids of the lines to which this start may belong: several where equal lines are equally near; none
        where no crontab, now or just before, has such a line."""
        named = self._by_mark.get(mark)
        if named is not None and named.user == user:
            return (native_id(self.host, named),)
        if user == anacron.USER and mark in self._of_anacron:
            return (self._of_anacron[mark],)
        result = self._by_text.get((user, text))
        if not result:
            by = name_mark(user, text)
            known = self.names.get(by) or self.older.get(by)
            if known is not None:
                return (known,)
            result = self._beginning_with(user, text)
        if not result:
            return ()
        return tuple(native_id(self.host, line) for line in self._nearest(result, started))

    def _beginning_with(self, user: str, text: str) -> list[CrontabLine]:
        """The lines of which syslog wrote only the beginning: busybox cuts at 255 bytes, others at 1,024."""
        if len(bytes_of(text)) < SHORTEST_CUT:
            return []
        return [line for line in self._by_user.get(user, ()) if any(known.startswith(text) for known in _texts(line))]

    def unstarted(self, user: str, at: datetime, has_start: HasStart) -> str:
        """The job of a line of that user that was due in this minute or the one before, and has no start since; ""
        without one."""
        since = at.replace(second=0, microsecond=0) - timedelta(minutes=1)
        for line in self._by_user.get(user, ()):
            times, zone = read_times(line.expression), _own_zone(line) or self.zone
            local = since.astimezone(zone).replace(tzinfo=None)
            is_due = times is not None and (times.due(local) or times.due(local + timedelta(minutes=1)))
            job = native_id(self.host, line)
            if is_due and not line.mark and not has_start(job, since.timestamp(), at.timestamp() + UNTIL_STARTED):
                return job
        return ""

    def _nearest(self, lines: list[CrontabLine], started: datetime) -> list[CrontabLine]:
        if len(lines) == 1:
            return lines
        local = started.astimezone(self.zone).replace(tzinfo=None)

        def distance(line: CrontabLine) -> int:
            due = read_times(line.expression)
            minutes = due.minutes_since_due(local) if due else None
            return int(MAX_DELAY.total_seconds()) if minutes is None else minutes

        known = [(distance(line), line) for line in lines]
        least = min(at for at, _ in known)
        return [line for at, line in known if at == least]


def _texts(line: CrontabLine) -> set[str]:
    """The command of a line as logs and records may have it: crond of cronie leaves out blanks after the user since
    1.5.7, and the option -n since 1.7.0."""
    commands = {line.command}
    if line.daemon is CronDaemon.CRONIE:
        bare = line.command.lstrip(" \t")
        commands |= {bare, crontab.OPTION.sub("", bare)}
    texts = {line.logged} if len(commands) == 1 else {crontab.as_logged(command) for command in commands}
    return texts | commands | {recorded(command) for command in commands}


def _own_zone(line: CrontabLine) -> tzinfo | None:
    """The zone of the line's own CRON_TZ, where its daemon goes by it."""
    return zone_of(line.settings.get("CRON_TZ", "").lstrip(":")) if line.daemon is CronDaemon.CRONIE else None


def recorded(command: str) -> str:
    """A command as the wrapper's records have it: blanks for tabs and newlines, its first MAX_TEXT_BYTES bytes."""
    return bytes_of(as_recorded(command))[:MAX_TEXT_BYTES].decode("utf-8", "surrogateescape")


def name_mark(user: str, text: str) -> str:
    """A short name of user and command."""
    return f"{text_mark(f'{user} {text}'):x}"
