"""Crontabs as text -> lines that cron will run, and the faults that make it ignore a whole file. Pure.

Source: crontab(5), cron(8) of Debian, entry.c and database.c of cron 3.0pl1, tried on cron 3.0pl1-162: one bad line, a
missing last newline, a user who does not exist, a file that others may write or a dot in its name under /etc/cron.d
switches the whole file off, some of it without a line in the log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from connectors.contract import HOLD_MARK
from connectors.cron.fields import BadField, times
from connectors.transport.answer import bytes_of

CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
SETTING = re.compile(r"""[ \t]*("[^"]*"|'[^']*'|[^ \t=]+)[ \t]*=(.*)""", re.DOTALL)
OUR_NAME = re.compile(r"#\s*headway:\s*(\S.*?)\s*$")
MARK_LINE = re.compile(rf"# ({HOLD_MARK.pattern})(?: .*|\r)?")
"""A whole line that is a hold's mark; line.sh reads the same."""
SLUG_LENGTH = 40
SAMPLE = 200
WRAPPER = "headway-sh"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A crontab as it came: `user` is None for the system's own files, which have a user column."""

    path: str
    text: str
    user: str | None = None
    mode: int | None = None
    """Permission bits; None where they are unknown."""
    owner: str | None = None

    @property
    def in_cron_d(self) -> bool:
        return self.user is None and "/cron.d/" in self.path


@dataclass(frozen=True, slots=True)
class Fault:
    """Why cron ignores a file: line (0: the file itself), cron's word, the value, and the mend."""

    path: str
    line: int
    word: str
    value: str
    mend: str

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def reason(self) -> str:
        return f"{self.word}: cron ignores this whole file. {self.mend}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that cron runs."""

    path: str
    user: str
    expression: str
    raw: str
    """The command as it stands in the file, `%` and all; what the rerun's hash is made of."""
    name: str
    """From the comment above, else made of the command; unique on the host after `named`."""
    position: int
    ordinal: int = 1
    """Counts lines of the same user, file and command from 1."""
    settings: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    """Its line in the file, from 1."""
    mark: str = ""
    """The mark of our hold in the line above; this line is then commented out and cron does not run it."""
    bare_mark: str = ""
    """The same above a line that cron runs: somebody enabled it with an editor and left the mark."""

    @property
    def command(self) -> str:
        """What is run: up to the first bare `%`, with `\\%` as `%` and `\\\\` as `\\`."""
        return command_of(self.raw)

    @property
    def hash(self) -> str:
        """Names the line to the rerun's script, which makes the same of the host's own crontab."""
        return sha256(bytes_of(f"{self.user}\n{self.path}\n{self.raw}")).hexdigest()

    @property
    def is_system(self) -> bool:
        return not self.path.endswith(f"crontabs/{self.user}")

    @property
    def is_wrapped(self) -> bool:
        """Whether our shell wrapper runs it."""
        return self.wrapper.rpartition("/")[2] == WRAPPER

    @property
    def wrapper(self) -> str:
        """The shell that its crontab names: where `is_wrapped`, the path of our wrapper."""
        return self.settings.get("SHELL", "")


def command_of(raw: str) -> str:
    """The command that cron hands to the shell; measured: `a\\%b\\\\c%in` becomes `a%b\\c`."""
    out: list[str] = []
    characters = iter(raw)
    for character in characters:
        if character == "%":
            break
        if character == "\\":
            following = next(characters, "")
            out.append(following if following in ("%", "\\") else character + following)
        else:
            out.append(character)
    return "".join(out)


def as_logged(command: str) -> str:
    """The command as cron writes it into its log (mkprints of misc.c): `^X` for controls, octal above 126."""
    return "".join(_printed(byte) for byte in bytes_of(command))


def _printed(byte: int) -> str:
    if byte < 32:
        return "^" + chr(byte + 64)
    if byte < 127:
        return chr(byte)
    return "^?" if byte == 127 else f"\\{byte:03o}"


@dataclass(frozen=True, slots=True)
class Tables:
    """What all crontabs of a host say: the lines that run, and the faults of the files that do not."""

    lines: tuple[Line, ...]
    """Held ones too."""
    faults: tuple[Fault, ...]
    held_in_ignored: tuple[Line, ...] = ()
    """Lines that are held in files which cron ignores as a whole."""

    @property
    def held(self) -> tuple[Line, ...]:
        """Every line under a mark of ours."""
        return (*(line for line in self.lines if line.mark), *self.held_in_ignored)

    @property
    def bare(self) -> tuple[Line, ...]:
        """Every line that cron runs below a mark of ours."""
        return tuple(line for line in self.lines if line.bare_mark)


def read_tables(files: Iterable[TableFile], users: frozenset[str] | None) -> Tables:
    """All files as lines, in their order. `users`: those that exist on the host; None: not known, all are taken."""
    lines: list[Line] = []
    faults: list[Fault] = []
    held: list[Line] = []
    for table in files:
        if table.in_cron_d and table.path.rpartition("/")[2].startswith("."):
            continue  # .placeholder: nobody means it to run
        found, wrong = _read_file(table, users)
        faults += wrong
        if wrong:
            held += [line for line in found if line.mark]
        else:
            lines += found
    return Tables(tuple(named(lines)), tuple(faults), tuple(held))


def _read_file(table: TableFile, users: frozenset[str] | None) -> tuple[list[Line], list[Fault]]:
    lines: list[Line] = []
    faults: list[Fault] = []
    settings: dict[str, str] = {}
    comment = mark = ""
    for number, text in enumerate(table.text.split("\n"), 1):
        held, mark = mark, _mark_in(text)
        if mark:
            continue  # the name above it stays the name of the line below it
        if held and (line := _held_job(table, text, comment, len(lines) + 1, settings, users)):
            lines.append(replace(line, number=number, mark=held))
            comment = ""
            continue
        bare = text.lstrip(" \t")
        if not bare or bare.startswith("#"):
            found = OUR_NAME.match(bare)
            comment = found[1][:SAMPLE] if found else ("" if bare else comment)
        elif setting := SETTING.fullmatch(text):
            settings[_unquoted(setting[1])] = _unquoted(setting[2])
        else:
            try:
                line = _job(table, bare, comment, len(lines) + 1, settings, users)
                lines.append(replace(line, number=number, bare_mark=held))
            except BadField as error:
                mend = f'Mend "{text[:80]}" or comment it out.'
                faults.append(Fault(table.path, number, str(error), text[:SAMPLE], mend))
            comment = ""
    return lines, [*_file_faults(table, bool(lines or faults)), *faults]


def _mark_in(text: str) -> str:
    """The mark of a hold where the whole line is one, else nothing."""
    found = MARK_LINE.fullmatch(text)
    return found[1] if found else ""


def _held_job(
    table: TableFile, text: str, comment: str, position: int, settings: Mapping[str, str], users: frozenset[str] | None
) -> Line | None:
    """The job behind the `#` of a line below a mark; None where somebody made something else of it."""
    bare = text[1:].lstrip(" \t")
    if not text.startswith("#") or not bare or bare.startswith("#") or SETTING.fullmatch(bare):
        return None
    try:
        return _job(table, bare, comment, position, settings, users)
    except BadField:
        return None


def _job(
    table: TableFile, text: str, comment: str, position: int, settings: Mapping[str, str], users: frozenset[str] | None
) -> Line:
    expression, rest = _split_times(text)
    times(expression)
    user, raw = (table.user, rest) if table.user is not None else _split_user(rest, users)
    if not raw.strip(" \t"):
        raise BadField("bad command")
    name = comment or slug(user, command_of(raw))
    return Line(table.path, user, expression, raw, name, position, settings=dict(settings))


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
    if table.in_cron_d and has_jobs and not CRON_D_NAME.fullmatch(name):
        mend = f"Rename it without dots: {re.sub(r'[^A-Za-z0-9_-]', '-', name)}."
        yield Fault(table.path, 0, "bad file name", name, mend)
    if table.text and not table.text.endswith("\n"):
        number, last = table.text.count("\n") + 1, table.text.rpartition("\n")[2]
        yield Fault(table.path, number, "missing newline before EOF", last[:SAMPLE], "End it with a newline.")
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
