"""What can be seen and done on one host, right by right, each with its mend. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.contract import Clock, Probe, Right
from connectors.cron.attempts import ENDS_LOGGED, ERRORS_LOGGED
from connectors.cron.calls import ONLY_LOOKS
from connectors.cron.journal import heard
from connectors.cron.look import Answer, Crontabs
from connectors.cron.options import CronOptions
from connectors.cron.parse import START_WORDS
from connectors.cron.sending import sudoers_line
from connectors.cron.tables import Daemon
from connectors.transport.answer import Section


def probe(
    parts: list[Section], answer: Answer, crontabs: Crontabs, options: CronOptions, clock: Clock, signed_in: str
) -> Probe:
    """The host's answer to `rights` as a probe; `signed_in`: how we got there, for people."""
    me = next((part.fields(4) for part in parts if part.kind == "ME"), ["?", "?", "", ""])
    rights = (
        _cron_runs(answer),
        _crontabs(crontabs, me[0]),
        _log(parts, me[0]),
        _records(parts, options),
        *_reruns(parts, me[0]),
        *_holds(parts, me[0]),
        *_restricted(options),
    )
    return Probe(
        True, me[3], rights, (f"{signed_in} as {me[0]} (groups {me[2]})", *_notes(answer, crontabs, parts)), clock
    )


def _cron_runs(answer: Answer) -> Right:
    if answer.processes.hidden:
        mend = "mount /proc with gid= of a group of the login user, or without hidepid"
        return Right("see processes", False, "/proc hides other users' processes (hidepid)", mend)
    if answer.processes.daemon is None:
        mend = START_WORDS[answer.processes.program]
        return Right("cron runs", False, "no cron daemon runs: no job will start", mend)
    return Right("cron runs", True)


def _crontabs(crontabs: Crontabs, login: str) -> Right:
    if not crontabs.denied:
        return Right("read crontabs", True)
    names = ", ".join(path for path, _ in crontabs.denied[:6])
    why = f"denied: {names} ({crontabs.denied[0][1]})"
    return Right("read crontabs", False, why, _crontab_mend(crontabs.denied, login))


def _crontab_mend(denied: tuple[tuple[str, str], ...], login: str) -> str:
    rule = f"{login} ALL=(root) NOPASSWD: " + ", ".join(f"/usr/bin/cat {path}" for path, _ in denied[:6])
    return f"add to sudoers: {rule}; or name the users to read: users = [...]"


def denied_words(denied: tuple[tuple[str, str], ...], host: str, login: str) -> str:
    """What cannot be read, and the mend, for an error."""
    return f"{host}: crontab {denied[0][0]} is denied ({denied[0][1]}): {_crontab_mend(denied, login)}"


def _log(parts: list[Section], login: str) -> Right:
    states = {part.fields(2)[1]: part.fields(2)[0] for part in parts if part.kind == "READ"}
    if "ok" in states.values():
        return Right("read cron's log", True)
    said = heard(parts)
    if said is not None and said.events and not said.failed:
        return Right("read cron's log", True, "the journal")
    denied = [path for path, state in states.items() if state == "denied"]
    denied += ["the journal"] if said is not None and said.denied else []
    if denied:
        return Right("read cron's log", False, f"denied: {', '.join(denied)}", f"usermod -a -G adm {login}")
    missing = f"none of {', '.join(states)} is there"
    return Right("read cron's log", False, missing, "install rsyslog, or set logs = [...] to where cron's log is")


def _records(parts: list[Section], options: CronOptions) -> Right:
    state = next((part.rest for part in parts if part.kind == "SPOOLDIR"), "absent")
    if state == "denied":
        return Right("read wrapper records", False, f"denied: {options.spool}", f"chgrp adm {options.spool}")
    why = "" if state == "ok" else "no folder of records: no wrapper is installed, which is fine"
    return Right("read wrapper records", True if state == "ok" else None, why, "headway cron wrapper shows how")


def _reruns(parts: list[Section], login: str) -> Iterator[Right]:
    for part in parts:
        if part.kind == "MAY":
            answer, user, words = part.fields(3)
            name = f"rerun as {user}"
            if answer == "yes":
                yield Right(name, True, needed_for="act")
            else:
                mend = f"add to sudoers: {sudoers_line(login, user)}"
                yield Right(name, False, words or "refused", mend, needed_for="act")


def _holds(parts: list[Section], login: str) -> Iterator[Right]:
    for part in parts:
        if part.kind == "HOLD":
            answer, user, words = part.fields(3)
            name = f"hold lines of {user}" if user else "hold lines of /etc/crontab and /etc/cron.d"
            rule = f"add to sudoers: {sudoers_line(login, user or 'root')}"
            mend = {"yes": "", "deny": f"add {user} to /etc/cron.allow: holds go through crontab(1)"}.get(answer, rule)
            if not user and mend:
                mend += "; it makes the login as strong as root, as whoever writes those files is"
            yield Right(name, answer == "yes", words or ("" if answer == "yes" else "refused"), mend, needed_for="act")


def _restricted(options: CronOptions) -> Iterator[Right]:
    if options.restricted:
        mend = "where acting is wanted: a key without the gate in authorized_keys, and restricted = false"
        yield Right("rerun, cancel, hold", False, ONLY_LOOKS, mend, needed_for="act")


def _notes(answer: Answer, crontabs: Crontabs, parts: list[Section]) -> Iterator[str]:
    yield f"cron's clock runs in {crontabs.zone} ({answer.host.offset_words})"
    level = answer.processes.level
    if answer.processes.program is Daemon.BUSYBOX:
        yield "crond of busybox: its log proves starts only"
    elif level is not None:
        proves = "starts, ends and exit statuses" if level & ENDS_LOGGED and level & ERRORS_LOGGED else "starts only"
        yield f"cron -L {level}: its log proves {proves}"
    wrapped = sorted({line.user for line in crontabs.tables.lines if line.is_wrapped})
    seen = [part.fields(2) for part in parts if part.kind == "WRAPPER"]
    missing = [path for state, path in seen if state != "yes"]
    named = f" ({', '.join(missing)}: not installed)" if wrapped else " (not installed)"
    yield f"shell wrapper on crontabs of: {', '.join(wrapped) or 'nobody'}" + (named if missing else "")
    for fault in crontabs.tables.faults:
        yield f"{fault.where}: {fault.reason}"
