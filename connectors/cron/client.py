"""Talks: each method is one fixed script over SSH; values reach it quoted, on standard input, never in its command."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from shlex import quote

from connectors.contract import AccessRefused, NotSupported
from connectors.cron.calls import ONLY_LOOKS, Call, as_shell, for_the_gate, let_through
from connectors.cron.follow import Place
from connectors.cron.options import CronOptions
from connectors.transport.answer import Section, sections
from connectors.transport.hosts import Session

ARGV = ("sh", "-s")
LOG_BYTES = 1024 * 1024  # of a log at a time; what is left comes with the next bite
FIRST_BYTES = 4 * 1024 * 1024
RECORD_BYTES = 4 * 1024 * 1024  # for all users together; the wrapper keeps about 2 MiB for each
TAIL_BYTES = 1024 * 1024
END_MARK = "H_E_A_D_W_A_Y"


@cache
def script(name: str) -> str:
    """The text of a script that lies beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


class CronClient:
    """One host. Each call is one round trip and answers with the raw sections."""

    def __init__(self, options: CronOptions, session: Session) -> None:
        self.options = options
        self.session = session

    def look(
        self, checksum: str, pids: Iterable[int], log: Place | None, records: Iterable[Place], timeout_seconds: float,
        search: frozenset[str] = frozenset(), journal: str = "", since: int = 0,
    ) -> list[Section]:  # fmt: skip
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
        return self._ask(calls, timeout_seconds)

    def tail(self, timeout_seconds: float) -> list[Section]:
        """The same look with the last TAIL_BYTES of log and records only: who runs now."""
        calls = self._first("-", (), reruns=True)
        calls += [("first_log", str(TAIL_BYTES), "tail", *self.options.logs), ("journal", "", "tail", str(TAIL_BYTES))]
        calls += [("leave", str(TAIL_BYTES)), ("new_spools", "", "tail")]
        return self._ask(calls, timeout_seconds)

    def tables(self, timeout_seconds: float, checksum: str = "-") -> list[Section]:
        """Clock, daemon and the text of all crontabs, unless `checksum` holds."""
        return self._ask(self._first(checksum, ()), timeout_seconds)

    def output(self, path: str, start: int | None, limit_bytes: int, timeout_seconds: float) -> list[Section]:
        """A part of a job's output: its end, or what follows `start`."""
        where = "tail" if start is None else str(start)
        return self._ask([("chunk", path, str(limit_bytes), where)], timeout_seconds)

    def rights(
        self,
        users: Iterable[str],
        holders: Iterable[str],
        has_system: bool,
        wrappers: Iterable[str],
        timeout_seconds: float,
    ) -> list[Section]:
        """What `probe` asks: this look without logs, and what the login may do. `holders`: users with own crontabs;
        `wrappers`: where crontabs say that our shell wrapper is."""
        known = [each for each in wrappers if not self.options.restricted or _may_be_asked(each)]
        calls = [*self._first("-", ()), ("who",)]
        calls += [("wrappers", *known), ("readable", *self.options.logs), ("journal", "", "tail", "16384")]
        if self.options.restricted:
            return self._ask(calls, timeout_seconds)
        calls += [("may_become", " ".join(users), self._sudo)]
        calls += [("may_hold", " ".join(holders), "system" if has_system else "none", self._sudo)]
        return self._ask(calls, timeout_seconds, "rights.sh")

    def mark(self, user: str, key: str, timeout_seconds: float) -> list[Section]:
        """The host's clock, and whether our mark of that action is there, looked at in this order."""
        call = ("look_for", self.options.spool, user, key, self._sudo)
        return self._ask([("now",), call], timeout_seconds, "rights.sh")

    def run_line(self, user: str, arguments: Iterable[str], timeout_seconds: float, once: bool) -> list[Section]:
        """Has `act.sh` find a line and, in mode run, start it, as `user`. SshFailed says whether it was touched."""
        wrapper = f"wrapper() {{ cat <<'{END_MARK}_W'\n{script('headway-sh')}{END_MARK}_W\n}}\n"
        call = f"run_once {_quoted(arguments)}"
        return self._as_user(user, f"{script('act.sh')}{wrapper}", call, timeout_seconds, once)

    def hold(
        self, user: str, name: str, arguments: Iterable[str], path: str, timeout_seconds: float, once: bool
    ) -> list[Section]:
        """Has `hold.sh` find a line and, in mode run, comment it out, enable it or take its mark away (`name`:
        hold_line, release_line, clear_mark), as `user`. SshFailed says whether it was touched."""
        raw = (
            f'[ "$(id -u)" = 0 ] || sudo -n /usr/bin/cat {quote(path)} 2>/dev/null | cksum' if self.options.sudo else ""
        )
        call = f"{name} {_quoted(arguments)}"
        return self._as_user(user, script("hold.sh"), call, timeout_seconds, once, before=f"RAW=$({raw})")

    def end_run(self, user: str, arguments: Iterable[str], timeout_seconds: float, once: bool) -> list[Section]:
        """Has `cancel.sh` prove a process and, in mode run, end its session, as `user`."""
        return self._as_user(user, script("cancel.sh"), f"end_run {_quoted(arguments)}", timeout_seconds, once)

    def _as_user(
        self, user: str, text: str, call: str, timeout_seconds: float, once: bool, before: str = "RAW="
    ) -> list[Section]:
        """Runs `call` of the script as `user`. `before` runs as the login and sets RAW, one line of plain words."""
        if self.options.restricted:
            raise NotSupported(f"{self.session.address.words}: {ONLY_LOOKS}")
        nonce = secrets.token_hex(8)
        inner = f"{script('line.sh')}{text}N={nonce}\n{{\n{call}\nmark END\n}} </dev/null 2>/dev/null\n"
        given = f"{{ printf 'RAW=\"%s\"\\n' \"$RAW\"; cat <<'{END_MARK}'\n{inner}{END_MARK}\n}}"
        outer = f"{script('rights.sh')}N={nonce}\n{before}\n{given} | "
        outer += f"as_user {quote(user)} {quote(self._sudo)} {quote(self.options.spool)}\n"
        done = self.session.run(outer.encode("utf-8", "surrogateescape"), ARGV, timeout_seconds, once=once)
        return sections(done.stdout, nonce, self.session.address.words)

    def close(self) -> None:
        """Ends the connection."""
        self.session.close()

    @property
    def _sudo(self) -> str:
        return "sudo" if self.options.sudo else ""

    def _first(self, checksum: str, pids: Iterable[int], reruns: bool = False) -> list[Call]:
        """`reruns`: ours, which are no children of cron: their pids are looked for from the start."""
        asked = " ".join(str(pid) for pid in sorted(pids))
        users = " ".join(self.options.users)
        return [("host",), ("processes", asked, "reruns" if reruns else ""), ("crontabs", checksum, self._sudo, users)]

    def _ask(self, calls: Sequence[Call], timeout_seconds: float, *scripts: str) -> list[Section]:
        nonce = secrets.token_hex(8)
        history = self.options.history_mib * 1024 * 1024
        if self.options.restricted:
            stdin = for_the_gate(calls, nonce, history)
        else:
            texts = "".join(script(name) for name in ("collect.sh", *scripts))
            given = f"N={nonce} HISTORY={history} SPOOL={quote(self.options.spool)}"
            stdin = f"{texts}{given}\n{{\n{as_shell(calls)}\nmark END\n}} </dev/null 2>/dev/null\n"
        done = self.session.run(stdin.encode("utf-8", "surrogateescape"), ARGV, timeout_seconds)
        return let_through(sections(done.stdout, nonce, self.session.address.words), self.session.address.words)


def _follow(place: Place, budget: int | None, search: bool) -> Call:
    """The call that goes on at `place`; without a budget of its own it takes what is left of the common one."""
    offset = str(place.offset) if place.offset else "new"
    size = "shared" if budget is None else str(budget)
    values = (place.path, offset, str(place.checksum), place.inode, place.tag, str(place.since), size)
    return ("follow", *values, *(("search",) if search else ()))


def _may_be_asked(wrapper: str) -> bool:
    """False for a path that the gate refuses, and all that is asked with it: any user may write one into a crontab."""
    return wrapper.startswith("/") and ".." not in wrapper and "//" not in wrapper


def _quoted(values: Iterable[str]) -> str:
    return " ".join(quote(value) for value in values)


def is_safe_name(user: str) -> bool:
    """Whether a user name cannot be read as an option or as more than one word."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?", user) is not None


def safe_name(user: str) -> str:
    """The user name. AccessRefused for one that is not safe to hand to sudo or runuser."""
    if not is_safe_name(user):
        raise AccessRefused(f"user name {user[:64]!r} in a crontab is not one that Headway hands to sudo or runuser")
    return user
