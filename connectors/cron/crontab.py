"""Crontabs as text -> lines that cron will run, and the faults that make it ignore a whole file. Pure.

Source: crontab(5), cron(8) of Debian, entry.c and database.c of cron 3.0pl1, tried on cron 3.0pl1-162: one bad line, a
missing last newline, a user who does not exist, a file that others may write or a dot in its name under /etc/cron.d
switches the whole file off, some of it without a line in the log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from connectors.contract import HOLD_MARK
from connectors.cron import anacron, busybox, cronie
from connectors.cron.anacron import AnacronJob
from connectors.cron.fields import BadField, times
from connectors.cron.tables import WHOLE_FILE, Daemon, Fault, Tables
from connectors.cron.tables import Line as Line
from connectors.cron.tables import TableFile as TableFile
from connectors.cron.tables import as_logged as as_logged
from connectors.cron.tables import command_of as command_of
from connectors.cron.tables import is_user_table as is_user_table
from connectors.transport.answer import bytes_of

CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
SETTING = re.compile(r"""[ \t]*("[^"]*"|'[^']*'|[^ \t=]+)[ \t]*=(.*)""", re.DOTALL)
OUR_NAME = re.compile(r"#\s*headway:\s*(\S.*?)\s*$")
MARK_LINE = re.compile(rf"# ({HOLD_MARK.pattern})(?: .*|\r)?")
"""A whole line that is a hold's mark; line.sh reads the same."""
NO_NEWLINE = "missing newline before EOF"
OF_A_LINE = {Daemon.DEBIAN: WHOLE_FILE, Daemon.CRONIE: cronie.LEFT_OUT, Daemon.BUSYBOX: busybox.LEFT_OUT}
"""What a line that cannot be read comes to."""
SLUG_LENGTH = 40
SAMPLE = 200


def read_tables(files: Iterable[TableFile], users: frozenset[str] | None) -> Tables:
    """All files as lines, in their order. `users`: those that exist on the host; None: not known, all are taken."""
    lines: list[Line] = []
    faults: list[Fault] = []
    held: list[Line] = []
    jobs: list[AnacronJob] = []
    for table in files:
        if table.path.endswith(anacron.TABLE):
            jobs += _anacron(table, faults)
            continue
        if table.in_cron_d and table.path.rpartition("/")[2].startswith("."):
            continue  # .placeholder: nobody means it to run
        if table.daemon is Daemon.BUSYBOX and "." in table.path.rpartition("/")[2]:
            continue  # not read, and cron.update is crontab(1)'s own
        if table.daemon is Daemon.CRONIE and not cronie.is_read(table):
            continue
        found, wrong = _read_file(table, users)
        faults += wrong
        if any(fault.outcome == WHOLE_FILE for fault in wrong):
            held += [line for line in found if line.mark]
        else:
            lines += found
    return Tables(tuple(named(lines)), tuple(faults), tuple(held), tuple(jobs))


def _anacron(table: TableFile, faults: list[Fault]) -> Iterator[AnacronJob]:
    """The jobs of anacron's table; what it leaves out is added to the faults."""
    for one in anacron.jobs(table.path, table.text):
        if isinstance(one, AnacronJob):
            yield one
        else:
            number, line = one
            mend = f'Mend "{line[:80]}" or comment it out.'
            faults.append(Fault(table.path, number, "invalid syntax", line[:SAMPLE], mend, anacron.SKIPS))


def _read_file(table: TableFile, users: frozenset[str] | None) -> tuple[list[Line], list[Fault]]:
    lines: list[Line] = []
    faults: list[Fault] = []
    settings: dict[str, str] = {}
    comment = mark = ""
    ends = table.text.count("\n") + 1  # the number of what follows the last newline
    for number, text in enumerate(table.text.split("\n"), 1):
        held, mark = mark, _mark_in(text)
        if mark:
            continue  # the name above it stays the name of the line below it
        if held and (line := _held_job(table, text, comment, settings, users)):
            lines.append(replace(line, number=number, mark=held))
            comment = ""
            continue
        bare = text.lstrip(" \t")
        if not bare or bare.startswith("#"):
            found = OUR_NAME.match(bare)
            comment = found[1][:SAMPLE] if found else ("" if bare else comment)
        elif setting := SETTING.fullmatch(text):
            name = _unquoted(setting[1])
            if table.daemon is not Daemon.BUSYBOX or name in busybox.KEPT_SETTINGS:
                settings[name] = _unquoted(setting[2])
            elif name == busybox.CRASHES:
                faults.append(Fault(table.path, number, name, text[:SAMPLE], "Take the line out.", busybox.MAY_CRASH))
        else:
            try:
                if table.daemon is Daemon.CRONIE and number == ends:
                    raise BadField(NO_NEWLINE)
                line = _job(table, bare, comment, settings, users)
                lines.append(replace(line, number=number, bare_mark=held))
                faults += _misread(table, number, bare)
            except BadField as error:
                mend = f'Mend "{text[:80]}" or comment it out.'
                faults.append(Fault(table.path, number, str(error), text[:SAMPLE], mend, OF_A_LINE[table.daemon]))
            comment = ""
    return lines, [*_file_faults(table, bool(lines or faults)), *faults]


def _misread(table: TableFile, number: int, text: str) -> Iterator[Fault]:
    """The fields of a job line that busybox's crond reads as `*`."""
    for wrong in busybox.taken_as(_split_times(text)[0])[1] if table.daemon is Daemon.BUSYBOX else ():
        mend = f'Mend "{wrong}" in "{text[:80]}".'
        yield Fault(table.path, number, f"parse error at {wrong}", text[:SAMPLE], mend, busybox.AS_STAR)


def _mark_in(text: str) -> str:
    """The mark of a hold where the whole line is one, else nothing."""
    found = MARK_LINE.fullmatch(text)
    return found[1] if found else ""


def _held_job(
    table: TableFile, text: str, comment: str, settings: Mapping[str, str], users: frozenset[str] | None
) -> Line | None:
    """The job behind the `#` of a line below a mark; None where somebody made something else of it."""
    bare = text[1:].lstrip(" \t")
    if not text.startswith("#") or not bare or bare.startswith("#") or SETTING.fullmatch(bare):
        return None
    try:
        return _job(table, bare, comment, settings, users)
    except BadField:
        return None


def _job(table: TableFile, text: str, comment: str, settings: Mapping[str, str], users: frozenset[str] | None) -> Line:
    bare, is_logged = cronie.undashed(table, text) if table.daemon is Daemon.CRONIE else (text, True)
    stands, rest = _split_times(bare)
    expression = _taken_as(table.daemon, stands)
    user, raw = (table.user, rest) if table.user is not None else _split_user(rest, users)
    if not raw.strip(" \t"):
        raise BadField("bad command")
    line = Line(
        table.path, user, expression, raw, "", settings=dict(settings), daemon=table.daemon,
        written=stands if "~" in stands else "", is_logged=is_logged,
    )  # fmt: skip
    return replace(line, name=comment or slug(user, line.command))


def _taken_as(daemon: Daemon, stands: str) -> str:
    """The expression that its daemon goes by, in Debian's words. BadField where it would refuse it."""
    if daemon is Daemon.CRONIE:
        return cronie.taken_as(stands)
    if daemon is Daemon.BUSYBOX:
        return busybox.taken_as(stands)[0]
    times(stands)
    return stands


def _split_times(text: str) -> tuple[str, str]:
    """The expression with single blanks, and what follows its blanks."""
    count = 1 if text.startswith("@") else 5
    parts = re.split(r"[ \t]+", text, maxsplit=count)
    if len(parts) <= count:
        raise BadField("bad command" if text.startswith("@") else "bad time specifier")
    return " ".join(parts[:count]).lower() if count == 1 else " ".join(parts[:count]), parts[count]


def _split_user(rest: str, users: frozenset[str] | None) -> tuple[str, str]:
    """User and command; only one blank is between them for cron, so more of them belong to the command (measured)."""
    found = re.match(r"([^ \t]+)(?:[ \t](.*))?", rest, re.DOTALL)
    user = found[1] if found else ""
    if not user or (users is not None and user not in users):
        raise BadField("bad username")
    return user, (found[2] or "") if found else ""


def _unquoted(text: str) -> str:
    text = text.strip(" \t")
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _file_faults(table: TableFile, has_jobs: bool) -> Iterator[Fault]:
    name = table.path.rpartition("/")[2]
    if table.daemon is Daemon.CRONIE:
        yield from cronie.file_faults(table)
        return
    if table.daemon is Daemon.BUSYBOX:
        if table.owner not in (None, "root"):
            yield Fault(table.path, 0, "wrong file owner", str(table.owner), f"chown root {table.path}")
        return
    if table.in_cron_d and has_jobs and not CRON_D_NAME.fullmatch(name):
        mend = f"Rename it without dots: {re.sub(r'[^A-Za-z0-9_-]', '-', name)}."
        yield Fault(table.path, 0, "bad file name", name, mend)
    if table.text and not table.text.endswith("\n"):
        number, last = table.text.count("\n") + 1, table.text.rpartition("\n")[2]
        yield Fault(table.path, number, NO_NEWLINE, last[:SAMPLE], "End it with a newline.")
    if table.mode is not None and table.mode & 0o022:
        yield Fault(table.path, 0, "insecure mode", f"{table.mode:04o}", f"chmod go-w {table.path}")
    if table.user is None and table.owner not in (None, "root"):
        yield Fault(table.path, 0, "wrong file owner", str(table.owner), f"chown root {table.path}")


# -- names ------------------------------------------------------------------------------------------------------------
def slug(user: str, command: str) -> str:
    """A name made of user and command: folders and odd characters left out, at most SLUG_LENGTH characters of it."""
    words = [re.sub(r"[^A-Za-z0-9_.-]+", "-", word.rpartition("/")[2]) for word in command.split()]
    text = "-".join(word.strip("-") for word in words if word.strip("-"))[:SLUG_LENGTH].strip("-")
    return f"{user}-{text or sha256(bytes_of(command)).hexdigest()[:8]}"


def named(lines: Iterable[Line]) -> Iterator[Line]:
    """The same lines with names that are unique on the host: `name`, `name#2`, ...; and their ordinals."""
    names: Counter[str] = Counter()
    same: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        names[line.name] += 1
        same[line.user, line.path, line.raw] += 1
        count = names[line.name]
        name = line.name if count == 1 else f"{line.name}#{count}"
        yield replace(line, name=name, ordinal=same[line.user, line.path, line.raw])
