"""Calls to a cron host: fixed scripts over SSH, and the two scripts that an administrator installs.

Values reach a script quoted, on standard input, never in its command: as lines of shell, or as lines that the gate of a
restricted key reads. `headway connector cron wrapper` and `headway connector cron gate` print the installed scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from shlex import join, quote
from typing import Any, TypeVar, cast

from connectors.cron.log_files import LogPosition
from connectors.cron.options import CronOptions
from connectors.sdk.contract import ActionAbsent, ActionUnknown, LookUpResult
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, OutcomeUnknown
from connectors.sdk.fields import masked_head
from connectors.sdk.settle import SEND_SECONDS, sent_at
from connectors.sdk.transport.hosts import LOGIN_PATH, HostSession, ScriptClient, ThisMachine, new_nonce, scripts_beside
from connectors.sdk.transport.script_output import ScriptSection
from connectors.sdk.transport.ssh import SshAddress

Call = tuple[str, ...]
"""Name of a function, its arguments."""
GATE_VERSION = 15
"""Raised with every change of the gate's calls or answers, collect.sh included; a test checks this."""
GATE_PATH = "/usr/local/bin/headway-gate"
FIELD, LINE = "\x1f", "\x1e"
READ_ONLY_KEY = "its key is read-only (restricted = true): nothing can be rerun, cancelled or held there"


def for_the_gate(calls: Sequence[Call], nonce: str) -> str:
    """The input of the gate: its greeting, then one call per line; FIELD and LINE occur in no path of ours."""
    requested = [FIELD.join(item.replace("\n", LINE) for item in call) for call in calls]
    return "\n".join([f"headway-gate {GATE_VERSION} {nonce} {HISTORY_BYTES}", *requested, ""])


def let_through(parts: list[ScriptSection], where: str) -> list[ScriptSection]:
    """The answer. Raises AccessRefused, with the fix, where the gate refused a call."""
    refused = next((part.rest for part in parts if part.kind == "GATE"), None)
    if refused is not None:
        raise AccessRefused(f"{where}: {GATE_PATH} refused: {refused}. Install it again: headway connector cron gate")
    return parts


HISTORY_BYTES = 64 * 1024 * 1024  # of rotated logs, per file, in the first poll
LOG_BYTES = 1024 * 1024  # of a log in one poll
FIRST_BYTES = 4 * 1024 * 1024
RECORD_BYTES = 4 * 1024 * 1024  # for all users together; the wrapper keeps about 2 MiB for each
TAIL_BYTES = 1024 * 1024
END_MARK = "H_E_A_D_W_A_Y"


def script(name: str) -> str:
    return scripts_beside(__file__, name)


class CronClient(ScriptClient[CronOptions]):
    """One host. Each call returns the raw sections."""

    def __init__(self, options: CronOptions, session: HostSession) -> None:
        super().__init__(options, session)
        self.login = session.address.user

    def snapshot(
        self, checksum: str, pids: Iterable[int], log: LogPosition | None, records: Iterable[LogPosition],
        search: frozenset[str] = frozenset(), journal: str = "", since: int = 0,
    ) -> list[ScriptSection]:  # fmt: skip
        """Clock, processes, crontabs (text unless `checksum` holds), the log and the wrapper's records since their
        places. `search`: paths whose place is not in the live file. Where no log can be read, the journal after its
        cursor `journal`, or since the second `since`."""
        known = list(records)
        calls = self._first(checksum, pids, reruns=True)
        if log is None:
            calls += [("first_log", str(FIRST_BYTES), "new", *self.options.logs)]
        else:
            calls += [_follow(log, LOG_BYTES, log.path in search)]
        calls += [("journal", journal, str(since), str(LOG_BYTES))]
        calls += [("leave", str(RECORD_BYTES))]
        calls += [_follow(place, None, place.path in search) for place in known]
        calls += [("new_spools", "\n".join(place.path for place in known), "new")]
        return self._ask(calls)

    def tail(self) -> list[ScriptSection]:
        """The same with the last TAIL_BYTES of log and records only."""
        calls = self._first("-", (), reruns=True)
        calls += [("first_log", str(TAIL_BYTES), "tail", *self.options.logs), ("journal", "", "tail", str(TAIL_BYTES))]
        calls += [("leave", str(TAIL_BYTES)), ("new_spools", "", "tail")]
        return self._ask(calls)

    def tables(self, checksum: str = "-") -> list[ScriptSection]:
        """Clock, daemon and the text of all crontabs, unless `checksum` holds."""
        return self._ask(self._first(checksum, ()))

    def output(self, path: str, start: int | None, limit_bytes: int) -> list[ScriptSection]:
        """A part of a job's output: its end, or what follows `start`."""
        where = "tail" if start is None else str(start)
        return self._ask([("chunk", path, str(limit_bytes), where)])

    def rights(
        self, users: Iterable[str], holders: Iterable[str], has_system: bool, wrappers: Iterable[str]
    ) -> list[ScriptSection]:
        """The answer for a probe: the rights of the login. `holders`: users with crontabs of their own; `wrappers`:
        paths of our shell wrapper in crontabs."""
        if self.options.restricted:  # the gate refuses a whole request for a path that any user may write in a crontab
            wrappers = (path for path in wrappers if path.startswith("/") and ".." not in path and "//" not in path)
        calls = [*self._first("-", ()), ("who",)]
        calls += [("wrappers", *wrappers), ("readable", *self.options.logs), ("journal", "", "tail", "16384")]
        if self.options.restricted:
            return self._ask(calls)
        calls += [("unknown_users", " ".join(filter(is_safe_name, self.options.users)))]
        calls += [("may_become", " ".join(users), self._sudo)]
        calls += [("may_hold", " ".join(holders), "system" if has_system else "none", self._sudo)]
        return self._ask(calls, "rights.sh")

    def mark(self, user: str, key: str) -> list[ScriptSection]:
        """The host's clock, then whether Headway's mark of that action exists."""
        call = ("look_for", self.options.spool, user, key, self._sudo)
        return self._ask([("now",), call], "rights.sh")

    def run_line(self, user: str, arguments: Iterable[str], once: bool) -> list[ScriptSection]:
        """Has `act.sh` find a line and, in mode run, start it, as `user`."""
        wrapper = f"wrapper() {{ cat <<'{END_MARK}_W'\n{script('headway-sh')}{END_MARK}_W\n}}\n"
        call = f"run_once {join(arguments)}"
        return self._as_user(user, f"{script('act.sh')}{wrapper}", call, once)

    def hold(self, user: str, name: str, arguments: Iterable[str], path: str, once: bool) -> list[ScriptSection]:
        """Has `hold.sh` find a line and, in mode run, comment it out, enable it or remove its mark (`name`: hold_line,
        release_line, clear_mark), as `user`."""
        checksum = f'[ "$(id -u)" = 0 ] || sudo -n /usr/bin/cat {quote(path)} 2>/dev/null | cksum'
        raw = checksum if self.options.sudo else ""
        call = f"{name} {join(arguments)}"
        return self._as_user(user, script("hold.sh"), call, once, before=f"RAW=$({raw})")

    def end_run(self, user: str, arguments: Iterable[str], once: bool) -> list[ScriptSection]:
        """Has `cancel.sh` prove a process and, in mode run, end its session, as `user`."""
        return self._as_user(user, script("cancel.sh"), f"end_run {join(arguments)}", once)

    def _as_user(self, user: str, text: str, call: str, once: bool, before: str = "RAW=") -> list[ScriptSection]:
        """Runs `call` of the script as `user`. `before` runs as the login and sets RAW, one line of plain words."""
        if self.options.restricted:
            raise NotSupported(f"{self.where}: {READ_ONLY_KEY}")
        nonce = new_nonce()
        inner = f"{script('line.sh')}{text}N={nonce}\n{{\n{call}\nmark END\n}} </dev/null 2>/dev/null\n"
        given = f"{{ printf 'RAW=\"%s\"\\n' \"$RAW\"; cat <<'{END_MARK}'\n{inner}{END_MARK}\n}}"
        outer = f"{script('rights.sh')}N={nonce}\n{before}\n{given} | "
        outer += f"as_user {quote(user)} {quote(self._sudo)} {quote(self.options.spool)}\n"
        return self.send(outer, nonce, once)

    @property
    def _sudo(self) -> str:
        return "sudo" if self.options.sudo else ""

    def _first(self, checksum: str, pids: Iterable[int], reruns: bool = False) -> list[Call]:
        """`reruns`: also our own reruns, which are not children of cron."""
        requested = " ".join(str(pid) for pid in sorted(pids))
        users = " ".join(self.options.users)
        return [
            ("host",),
            ("processes", requested, "reruns" if reruns else ""),
            ("crontabs", checksum, self._sudo, users),
        ]

    def _ask(self, calls: Sequence[Call], *scripts: str) -> list[ScriptSection]:
        nonce = new_nonce()
        if self.options.restricted:
            return let_through(self.send(for_the_gate(calls, nonce), nonce), self.where)
        variables = f"HISTORY={HISTORY_BYTES} SPOOL={quote(self.options.spool)}"
        texts = scripts_beside(__file__, "collect.sh", *scripts)
        return self.run_calls(texts, variables, calls, nonce)

    def refusal(self, message: ScriptSection, texts: Mapping[str, str], order: Mapping[str, Any]) -> ConnectorError:
        """The error for an answer other than success, with its fix; OutcomeUnknown unless it is a known refusal.
        `texts`: those of one script, by kind, with fields of the order in braces. `order` has "job", "host", "path" and
        "user", the user of the script."""
        text, job, host, path, user = (
            masked_head(message.rest, SHOWN),
            *(order[name] for name in ("job", "host", "path", "user")),
        )
        if message.kind in texts:
            return NotSupported(f"{job}: {texts[message.kind].format_map({**order, 'text': text})}")
        if message.kind == "REFUSED":
            return AccessRefused(
                f"{host}: {self.login} may not act as {user} ({text or 'refused'}). "
                f"Add to its sudoers: {sudoers_line(self.login, user)}"
            )
        if message.kind == "SPOOL":
            return AccessRefused(
                f"{host}: {user} cannot write {text}, where the mark of an action belongs. "
                f"As root: install -d -o root -g adm -m 3773 {self.options.spool}"
            )
        if message.kind == "GONE":
            seen = f" ({text})" if text else ""
            return NotSupported(f"{job}: this line is no longer in {path} on {host}{seen}. Refresh the preview.")
        if message.kind == "LATE":
            return NotSupported(f"{job}: the request reached {host} too late and nothing was done. Send it again.")
        return OutcomeUnknown(f"{job}: unknown answer of {host}: {masked_head(message.kind, 40)} {text}".rstrip() + ".")


def _follow(place: LogPosition, budget: int | None, search: bool) -> Call:
    """The call that reads on from `place`; without `budget` it takes the rest of the common one."""
    offset = str(place.offset) if place.offset else "new"
    size = "shared" if budget is None else str(budget)
    values = (place.path, offset, str(place.checksum), place.inode, place.tag, str(place.since), size)
    return ("follow", *values, *(("search",) if search else ()))


def is_safe_name(user: str) -> bool:
    """Whether a user name cannot be read as an option or as more than one word."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?", user) is not None


def safe_name(user: str) -> str:
    """The user name. AccessRefused for one that is not safe to hand to sudo or runuser."""
    if not is_safe_name(user):
        raise AccessRefused(f"user name {user[:64]!r} in a crontab is not one that Headway hands to sudo or runuser")
    return user


SHOWN = 160
START_SECONDS = 30.0  # from its check of the clock until its effect is visible, on a busy host
T = TypeVar("T")


def sudoers_line(login: str, user: str) -> str:
    """The rule that lets `login` act as `user`."""
    return f"{login} ALL=({user}) NOPASSWD: /bin/sh -s"


def shown(command: str) -> str:
    return command if len(command) <= SHOWN else masked_head(command, SHOWN) + "…"


def not_after(skew_seconds: float, sent: datetime | None) -> int:
    """The last second, by the host's clock, at which it may begin an action `sent` then (None: now)."""
    return int((sent or datetime.now(UTC)).timestamp() + skew_seconds + SEND_SECONDS)


def absent(plan: Mapping[str, Any], skew_seconds: float, host_now: float, target: str) -> LookUpResult:
    """The result without a trace: absent once, by its own clock, the host would no longer begin it."""
    sent = sent_at(plan)
    if sent is None or host_now > (ends := not_after(skew_seconds, sent) + START_SECONDS):
        return ActionAbsent()
    return ActionUnknown(f"no trace of it on {target} yet; it may still arrive for {int(ends - host_now)} s")


def order_from_plan(kind: Callable[..., T], plan: Mapping[str, Any]) -> T:
    """The order (a dataclass) in a plan. Raises NotSupported where the plan is not one of ours."""
    try:
        return kind(**{field.name: plan[field.name] for field in fields(cast("Any", kind))})
    except KeyError as error:
        raise NotSupported(f"this plan was not made for a crontab line: it lacks {error}") from error


def section(parts: list[ScriptSection], *kinds: str) -> ScriptSection | None:
    return next((part for part in parts if part.kind in kinds), None)


SCRIPT_LOGIN = "headway"
WRAPPER_SPOOL = "/var/spool/headway"
WRAPPER_PATH = "/usr/local/bin/headway-sh"


def grants_command(address: SshAddress | ThisMachine, options: CronOptions) -> str:
    """Runs the script of `host_script` there; "" where that is for another login, or grants nothing that is used."""
    if not isinstance(address, SshAddress) or address.user != SCRIPT_LOGIN or options.restricted or not options.sudo:
        return ""
    users = "".join(f" --user {quote(user)}" for user in options.users)
    port = "" if address.port == 22 else f"-p {address.port} "
    return f"headway connector grants cron{users} | ssh {port}{quote(f'root@{address.address}')} sh"


def host_script(key: str, users: Iterable[str] = (), *, view: bool = False) -> str:
    """The POSIX shell script that prepares a host, run there as root: the login with this public key, its sudo rules,
    and the wrapper on the crontabs of `users` (empty: of everybody who has one, except root). `view`: no rule to act.
    """
    text = scripts_beside(__file__, "grants.sh").replace("#WRAPPER#\n", script("headway-sh"))
    values = {"KEY=''": f"KEY={quote(key)}", "USERS=''": f"USERS={quote(' '.join(users))}"}
    values |= {"VIEW=''": f"VIEW={'1' if view else quote('')}"}
    for empty, line in values.items():
        text = text.replace(f"\n{empty}", f"\n{line}", 1)
    return text


def wrapper_instructions() -> str:
    """How to install it, step by step, as shell comments and commands."""
    return f"""\
# On the host, as root, once:
install -m 755 headway-sh {WRAPPER_PATH}
install -d -o root -g adm -m 3773 {WRAPPER_SPOOL}
for user in root etl; do install -d -o "$user" -g adm -m 2750 "{WRAPPER_SPOOL}/$user"; done
#   adm: the group of the user that Headway signs in as; it reads the records, jobs write only their own.
#   Name each user with jobs there: other users could make its folder; headway check reports one of another owner.
# Then, at the top of each crontab that shall prove how its jobs end (crontab -e); no other line changes:
    SHELL={WRAPPER_PATH}
#   and, where its jobs are written for bash:  HEADWAY_SHELL=/bin/bash
# It keeps the last 1 MiB of output a run (HEADWAY_KEEP_BYTES) for 14 days (HEADWAY_KEEP_DAYS).
# To undo: remove the SHELL line.
"""


CLEAN_ENVIRONMENT = f'[ "${{1-}}" = clean ] || exec /usr/bin/env -i PATH={LOGIN_PATH} /bin/sh "$0" clean\n'


def gate_text_for(options: CronOptions | None) -> str:
    """The POSIX shell script, with the readable paths at its top: those of a system's settings, or of the defaults.
    Variables that sshd accepts from a client (AcceptEnv) do not reach it."""
    options = options or CronOptions.model_construct(hosts=())
    settings = {
        "VERSION": str(GATE_VERSION),
        "LOGS": " ".join(options.logs),
        "SPOOL": options.spool,
        "SUDO": "sudo" if options.sudo else "",
    }
    top = "".join(f"{name}={quote(value)}\n" for name, value in settings.items())
    return f"#!/bin/sh\n{CLEAN_ENVIRONMENT}{top}{scripts_beside(__file__, 'collect.sh', 'gate.sh')}"


def gate_of(name: str, systems: Mapping[str, object]) -> tuple[str, str]:
    """The script and how to install it, for one of these systems, by name. Raises LookupError where it is not of kind
    cron."""
    cron = {key: options for key, options in systems.items() if isinstance(options, CronOptions)}
    if name not in cron:
        raise LookupError(f'no system "{name}" of kind cron; there are: {", ".join(sorted(cron)) or "none"}')
    return gate_text_for(cron[name]), gate_instructions(cron[name].user)


def gate_instructions(login: str = "headway") -> str:
    """How to install it, step by step, as shell comments and commands."""
    return f"""\
# On the host, as root, once:
install -m 755 headway-gate {GATE_PATH}
# In ~{login}/.ssh/authorized_keys, before the key (one line): sshd then runs the gate for every request:
    restrict,command="{GATE_PATH}" ssh-ed25519 AAAA… headway
# In the system's config: restricted = true. Nothing can then be rerun, cancelled or held there, and only crontabs, the
# logs and the records named at the gate's top can be read. Install it again when an error says so.
"""
