"""cron on one host over SSH, as a connector, with what can be seen and done there permission by permission.

Sources: cron(8), crontab(5), cron 3.0pl1-162 of Debian 12 as measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from connectors.cron.actions import CronActions
from connectors.cron.attempts import AttemptRef
from connectors.cron.client import (
    READ_ONLY_KEY,
    WRAPPER_PATH,
    WRAPPER_SPOOL,
    CronClient,
    grants_command,
    is_safe_name,
    sudoers_line,
)
from connectors.cron.crontab import FILE_IGNORED, is_user_table
from connectors.cron.events import journal_events
from connectors.cron.inventory import main_zone, user_of
from connectors.cron.options import CronOptions
from connectors.cron.parse import START_COMMANDS, HostAnswer, HostCrontabs, crontabs
from connectors.cron.runs import WRAPPER_FIX, CronCursor, HostPoll, crontab_fix, log_fix, readable_by_adm, unseen_ends
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, NativeHold, Preview, Probe, Receipt, SecretResolver, SourcePermission
from connectors.sdk.errors import NotSupported
from connectors.sdk.fields import CURSOR_UNREADABLE
from connectors.sdk.log_chunks import byte_offset, chunk_of, chunk_of_file
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRef
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.hosts import HostSession, endpoint, open_shell, session_of, targets
from connectors.sdk.transport.script_output import ScriptSection, bytes_of, text_of


def probe(
    parts: list[ScriptSection], snapshot: HostPoll, options: CronOptions, signed_in: str, command: str = ""
) -> Probe:
    """The host's answer to `rights` as a probe; `signed_in`: how we got there, for people; `command`: runs the script
    of grants there."""
    answer, crontabs = snapshot.answer, snapshot.crontabs
    holders = {line.user for line in crontabs.tables.lines if not line.is_system}
    holders |= {path.rpartition("/")[2] for path, _ in crontabs.denied if is_user_table(path)}
    granted = (options.users or holders - {"root"}) if command else ()  # users that the script lets the login act as
    me = next((part.fields(4) for part in parts if part.kind == "ME"), ["?", "?", "", ""])
    unknown = {part.rest: text_of(part.body).split() for part in parts if part.kind == "NOUSER"}
    rights = [
        _cron_runs(answer),
        _crontabs(crontabs, me[0], unknown, command),
        _log(parts, me[0], me[2].split(), command),
        _records(parts, options, command),
    ]
    rights += _taken_folders(parts, options)
    rights += _actions(parts, me[0], command, granted)
    if options.restricted:
        fix = "to allow actions: a key without the gate in authorized_keys, and restricted = false"
        rights.append(SourcePermission("rerun, cancel, hold", False, READ_ONLY_KEY, fix, needed_for="act"))
    is_pending = any(right.held is False and right.fix == command for right in rights)
    notes = (f"{signed_in} as {me[0]} (groups {me[2]})", *_notes(snapshot, parts, granted if is_pending else ()))
    zone = main_zone(crontabs.tables.lines, crontabs.zone)
    clock = answer.host.clock(snapshot.our_time, zone)
    return Probe(True, me[3], tuple(rights), notes, clock, faults=tuple(_faults(snapshot)))


def _cron_runs(answer: HostAnswer) -> SourcePermission:
    if answer.processes.hidden:
        fix = "mount /proc with gid= of a group of the login user, or without hidepid"
        why = "/proc hides other users' processes (hidepid)"
        return SourcePermission("see processes", False, why, fix, is_grantable=False)
    if answer.processes.daemon is None:
        fix = START_COMMANDS[answer.processes.program]
        return SourcePermission("cron runs", False, "no cron daemon runs: no job will start", fix, is_grantable=False)
    return SourcePermission("cron runs", True)


def _crontabs(
    crontabs: HostCrontabs, login: str, unknown: Mapping[str, Sequence[str]], command: str
) -> SourcePermission:
    """`unknown`: users of the settings that do not exist -> those that do."""
    if unknown:
        user, known = next(iter(unknown.items()))
        near = get_close_matches(user, known, 1)
        fix = f"correct users = [...]{f'; did you mean {near[0]}?' if near else ''}"
        return SourcePermission("read crontabs", False, f"no user {', '.join(unknown)}", fix, is_grantable=False)
    if not crontabs.denied:
        return SourcePermission("read crontabs", True)
    names = ", ".join(path for path, _ in crontabs.denied[:6])
    why = f"denied: {names} ({crontabs.denied[0][1]})"
    is_granted = any(is_user_table(path) for path, _ in crontabs.denied)
    fix = (is_granted and command) or crontab_fix(crontabs.denied, login)
    return SourcePermission("read crontabs", False, why, fix)


def _log(parts: list[ScriptSection], login: str, groups: list[str], command: str = "") -> SourcePermission:
    states = {part.fields(2)[1]: part.fields(2)[0] for part in parts if part.kind == "READ"}
    if "ok" in states.values():
        return SourcePermission("read cron's log", True)
    message = journal_events(parts)
    if message is not None and message.events and not message.failed:
        return SourcePermission("read cron's log", True, "the journal")
    denied = [path for path, state in states.items() if state == "denied"]
    fix = log_fix(login, groups, *denied)
    if message is not None and message.denied:
        denied.append("the journal")
        fix = f"usermod -a -G {'systemd-journal' if 'adm' in groups else 'adm'} {login}"
    if denied:
        fix = fix if "adm" in groups else command or fix
        return SourcePermission("read cron's log", False, f"denied: {', '.join(denied)}", fix)
    fix = "install rsyslog, or set logs = [...] to where cron's log is"
    return SourcePermission("read cron's log", False, f"none of {', '.join(states)} is there", fix, is_grantable=False)


def _records(parts: list[ScriptSection], options: CronOptions, command: str) -> SourcePermission:
    state = next((part.rest for part in parts if part.kind == "SPOOLDIR"), "absent")
    if state == "denied":
        fix = (options.spool == WRAPPER_SPOOL and command) or readable_by_adm(options.spool)
        return SourcePermission("read wrapper records", False, f"denied: {options.spool}", fix)
    why = "" if state == "ok" else "no folder of records: no wrapper is installed, which is fine"
    return SourcePermission(
        "read wrapper records", True if state == "ok" else None, why, "headway connector cron wrapper shows how"
    )


def _taken_folders(parts: list[ScriptSection], options: CronOptions) -> Iterator[SourcePermission]:
    """Users whose folder in the spool another user made: the wrapper records nothing of their jobs."""
    for user, owner in (part.fields(2) for part in parts if part.kind == "TAKEN"):
        folder = f"{options.spool}/{user}"
        why = f"{folder} belongs to {owner} or is a link: nothing of the jobs of {user} is recorded"
        fix = f"rm -r {folder} && install -d -o {user} -g adm -m 2750 {folder}"
        yield SourcePermission(f"records of {user}", False, why, fix, is_grantable=False)


def _actions(
    parts: list[ScriptSection], login: str, command: str = "", granted: Collection[str] = ()
) -> Iterator[SourcePermission]:
    """`granted`: users that `command` lets the login act as."""
    for kind, (answer, user, why) in ((part.kind, part.fields(3)) for part in parts if part.kind in ("MAY", "HOLD")):
        fix = f"add to sudoers: {sudoers_line(login, user or 'root')}"
        if user in granted:
            fix = command
        elif user in ("", "root"):
            fix += "; it gives the login the power of root, as write access to /etc/crontab does"
        if kind == "MAY":
            name = f"rerun as {user}"
        elif user:
            name = f"hold lines of {user}"
            fix = f"add {user} to /etc/cron.allow: holds go through crontab(1)" if answer == "deny" else fix
        else:
            name = "hold lines of /etc/crontab and /etc/cron.d"
        yield SourcePermission.checked(name, answer == "yes", why or "refused", fix, "act")


def _notes(snapshot: HostPoll, parts: list[ScriptSection], wrapped_soon: Collection[str]) -> Iterator[str]:
    """`wrapped_soon`: users to whose crontabs the fix of a missing right adds the wrapper."""
    crontabs = snapshot.crontabs
    yield f"cron's clock runs in {crontabs.zone} ({snapshot.answer.host.offset_text})"
    seen = [part.fields(2) for part in parts if part.kind == "WRAPPER"]
    yield from _unseen_ends(snapshot, [path for state, path in seen if state == "yes"], wrapped_soon)
    wrapped = sorted({line.user for line in crontabs.tables.lines if line.is_wrapped})
    if wrapped and (missing := [path for state, path in seen if state != "yes"]):
        yield f"shell wrapper on crontabs of: {', '.join(wrapped)} ({', '.join(missing)}: not installed)"
    elif wrapped:
        yield f"shell wrapper on crontabs of: {', '.join(wrapped)}"
    for unread in snapshot.skipped:
        yield f"{unread.where}: {unread.reason}: {unread.sample}"


def _faults(snapshot: HostPoll) -> Iterator[str]:
    for fault in snapshot.crontabs.tables.faults:
        yield f"{fault.where}: {fault.reason}"
    for path, (text, _) in snapshot.cursor.dropped.items():
        yield f"{path}: {text}: {FILE_IGNORED}"


def _unseen_ends(snapshot: HostPoll, wrappers: Sequence[str], wrapped_soon: Collection[str]) -> Iterator[str]:
    """Users with jobs that end without evidence, and what would record it. `wrappers`: those installed there."""
    problem = unseen_ends(snapshot.answer.processes, snapshot.level)
    if problem is None:
        return
    unseen, why = problem
    lines = [line for line in snapshot.crontabs.tables.lines if not line.is_wrapped]
    lines = [line for line in lines if line.is_system or line.wrapper or line.user not in wrapped_soon]
    shells = {line.user: line.wrapper for line in lines if wrappers and line.wrapper and not line.is_system}
    for user, shell in sorted(shells.items()):
        yield (
            f"{unseen} of the jobs of {user} cannot be seen: {why}, and the crontab sets SHELL={shell}"
            f" instead of the wrapper. Fix: {_shell_edit(user, wrappers[0])}"
        )
    if users := sorted({line.user for line in lines} - shells.keys()):
        yield f"{unseen} of the jobs of {', '.join(users)} cannot be seen: {why}. Fix: {WRAPPER_FIX}"


def _shell_edit(user: str, wrapper: str) -> str:
    """The command that makes the wrapper the shell of a crontab, and the shell it set before the one of its jobs."""
    edit = f"s/^[[:blank:]]*SHELL[[:blank:]]*=/HEADWAY_SHELL=/; 1i SHELL={wrapper}"
    return f"crontab -u {user} -l | sed '{edit}' | crontab -u {user} -"


NO_OUTPUT = "cron keeps no output of this job. The lines of its log about this run:\n"
JOURNAL_BACK = timedelta(days=7)
"""How far back the first poll reads where cron's log is the journal."""
LADDER = (
    "cron -L 1 (Debian's default) proves only that a job started: its end is UNKNOWN. -L 7 or -L 15 proves END and "
    "exit status. The shell wrapper (one line SHELL=… in the crontab) and our own reruns prove all, with output. "
    "anacron's log proves start, end and exit status; its jobs are rerun through anacron itself, and not held."
)


class CronConnector(ComposedConnector):
    """One host; keeps its connection and the crontabs it last read between calls."""

    def __init__(
        self, options: CronOptions, target: str, secrets: SecretResolver, session: HostSession | None = None
    ) -> None:
        self.options, self.target = options, target
        session = session or session_of(options, target, secrets)
        self.address = session.address
        self._host = CronClient(options, session)
        self.crontabs: HostCrontabs | None = None
        self._actions = CronActions(self._host, target, self.running, self.crontabs_now)
        self._dropped: dict[str, tuple[str, str]] = {}
        self._known_inventory: Inventory | None = None
        self._inventory_key: tuple[HostCrontabs, int, tuple[str, ...]] | None = None
        super().__init__(
            self._host,
            inventory=self._read_inventory,
            poll=self._read_runs,
            log=self._read_log,
            acts=self._actions,
            holds=self._read_holds,
            probe=self._read_permissions,
        )

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """The host itself refuses what arrives too late."""
        self._begin(timeout_seconds)
        return self._actions.act(preview, key)

    def _read_inventory(self, previous_hash: str) -> Inventory:
        snapshot = self.crontabs_now()
        return self._inventory_of(snapshot).unless_same(previous_hash)

    def _read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        known = self.crontabs
        stored = CronCursor.from_json(cursor)
        state = stored or CronCursor()
        state.follow_only(self.options.logs, self.options.spool)
        snapshot = self._ask(state, known, frozenset())
        to_search = snapshot.paths_to_search()
        if to_search:
            snapshot = self._ask(snapshot.cursor, known, to_search)
        snapshot.merge()
        self._dropped = snapshot.cursor.dropped
        snapshot.warnings += [f"{CURSOR_UNREADABLE}; cron's log is read again"] if stored is None else []
        snapshot.warnings += self._host.trust_warnings
        poll = snapshot.poll(tuple(open_runs), self._changed_inventory(snapshot))
        # a rotation in progress: the next page would be the same until it ends
        return replace(poll, more=poll.more and poll.cursor != cursor)

    def _changed_inventory(self, snapshot: HostPoll) -> Inventory | None:
        """The inventory; None where an earlier poll of this cursor reported it."""
        source = (snapshot.crontabs, snapshot.level, tuple(snapshot.cursor.dropped))
        if self._known_inventory is None or self._inventory_key != source:
            self._known_inventory, self._inventory_key = self._inventory_of(snapshot), source
        if self._known_inventory.hash == snapshot.cursor.inventory:
            return None
        snapshot.cursor.inventory = self._known_inventory.hash
        return replace(
            self._known_inventory, clock=snapshot.answer.host.clock(snapshot.our_time, snapshot.crontabs.zone)
        )

    def _inventory_of(self, snapshot: HostPoll) -> Inventory:
        """The inventory of a snapshot, of the users that the settings name."""
        users, result = self.options.users, snapshot.inventory()
        if not users:
            return result
        left_out = {f"{self.target}:{name}" for name in snapshot.crontabs.left_out}
        return replace(result, is_selected=lambda job, keys: job not in left_out and user_of(keys) in (None, *users))

    def _ask(self, cursor: CronCursor, known: HostCrontabs | None, search: frozenset[str]) -> HostPoll:
        unended = [attempt for attempt in cursor.book.attempts if attempt.state.is_open or attempt.is_unproved]
        pids = {pid for item in unended for pid in (item.pid, item.child) if pid}
        before = datetime.now(UTC)
        checksum, since = known.checksum if known else "-", int((before - JOURNAL_BACK).timestamp())
        parts = self._host.snapshot(checksum, pids, cursor.log, cursor.records.values(), search, cursor.journal, since)
        return self._snapshot_of(parts, cursor, before)

    def _snapshot_of(self, parts: list[ScriptSection], cursor: CronCursor, before: datetime) -> HostPoll:
        """The answer, to be merged into the cursor; `before` is our time before the request."""
        answer = HostAnswer.of(parts)
        tables = answer.tables
        if tables is not None and tables.has_text:
            self.crontabs = crontabs(tables, answer.host.offset_text, answer.processes.program, self.options.users)
        if self.crontabs is None:
            raise NotSupported(f"{self.address.text}: the host sent no crontabs; is its sh a POSIX shell?")
        our_time = before + (datetime.now(UTC) - before) / 4
        return HostPoll(self.target, self.options.spool, cursor, answer, self.crontabs, our_time)

    def _read_log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        ref = AttemptRef.from_json(run.native_ref)
        if ref is not None and ref.has_output(self.options.spool):
            return self._output(ref.output, start, limit_bytes)
        if ref is None or not ref.lines:
            raise NotSupported(
                f"{run.job}: cron keeps no output, and its log has no line of this run. "
                'The shell wrapper keeps it: "headway connector cron wrapper".'
            )
        text = text_of(bytes_of(NO_OUTPUT + "\n".join(ref.lines) + "\n"))
        return chunk_of(text, start and str(byte_offset(start)), limit_bytes, is_open=False)

    def _output(self, path: str, start: str | None, limit_bytes: int) -> LogChunk:
        offset = None if start is None else byte_offset(start)
        parts = self._host.output(path, offset, limit_bytes)
        status, begin_text, size_text, cut = parts[0].fields(4)
        if parts[0].kind != "CHUNK" or status != "ok":
            raise NotSupported(f"{self.address.text}: {path} is {status}: pruned, or not readable for the login user.")
        chunk = chunk_of_file(parts[0].body, byte_offset(begin_text), byte_offset(size_text), start, limit_bytes)
        return replace(chunk, cut=chunk.cut or (start is None and bool(cut)))

    def _read_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """The crontabs are read again only when their stamps changed, as at a poll."""
        del known  # every mark is seen
        return self._actions.holds(self.crontabs_now(self.crontabs.checksum if self.crontabs else "-"))

    def running(self) -> HostPoll:
        before = datetime.now(UTC)
        snapshot = self._snapshot_of(self._host.tail(), CronCursor(), before)
        snapshot.from_middle = True
        snapshot.merge()
        return snapshot

    def crontabs_now(self, checksum: str = "-") -> HostPoll:
        """The crontabs only; their text is sent unless `checksum` holds."""
        before = datetime.now(UTC)
        return self._snapshot_of(self._host.tables(checksum), CronCursor(dropped=self._dropped), before)

    def _read_permissions(self) -> Probe:
        snapshot = self.running()
        lines = [line for line in snapshot.crontabs.tables.lines if is_safe_name(line.user)]
        holders = sorted({line.user for line in lines if not line.is_system})
        has_system = any(line.is_system for line in lines)
        users = sorted({line.user for line in lines})
        wrappers = sorted({line.wrapper for line in snapshot.crontabs.tables.lines if line.is_wrapped})
        parts = self._host.rights(users, holders, has_system, wrappers or (WRAPPER_PATH,))
        command = grants_command(self.address, self.options)
        return probe(parts, snapshot, self.options, self._host.signed_in, command)


CONNECTOR = ConnectorKind(
    kind="cron",
    title="cron over SSH",
    options=CronOptions,
    targets=targets,
    open=CronConnector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD, Capability.LOG}),
    starts_held=True,
    missing={
        Capability.MARK: "cron cannot set a run's result; Headway records it as asserted",
        Capability.TASKS: "a crontab line has no tasks",
        Capability.PERIODS: "a crontab line gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "cron knows no dependencies; declare them in the config",
    },
    inventory_rides_poll=True,
    proofs=frozenset(ProofLevel),
    verbs={
        Verb.RERUN: "run once",
        Verb.START: "run once",
        Verb.CANCEL: "SIGTERM",
        Verb.HOLD: "comment the line out, with the hold mark",
        Verb.RELEASE: "the line as it was",
    },
    schedules="expression",
    ladder=LADDER,
    shell=open_shell,
    endpoint=endpoint,
)
