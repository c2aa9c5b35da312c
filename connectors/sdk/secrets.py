"""Secrets as references, and the one mask for whatever leaves the process as text.

A secret setting holds a reference (env, file, command, keyring), never the value. Resolved values are cached here only
to be masked: in logs, errors, screens and tracebacks.
"""

from __future__ import annotations

import html
import json
import os
import re
import select
import shlex
import signal
import stat
import string
import subprocess
import threading
import time
from base64 import a85encode, b32encode, b64encode, b85encode
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, model_validator

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.fields import MASKERS
from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.regular_file import read_regular_file

COMMAND_TIMEOUT_SECONDS = 10.0
LIMIT_BYTES = 64 * 1024
MASK = "•••"
SHORTEST_MASKED = 4  # shorter values would blank out ordinary words
ORDINARY_VALUES = frozenset("password passwd passphrase secret token credentials login username user".split())  # noqa: SIM905
"""Words of error messages, which a poor secret may be: masked by their place alone ("password=password")."""
SHORTEST_INSIDE = 8
SHORTEST_PART = 6
"""Shortest beginning or end of a secret that is masked where a text was cut."""
LONGEST_TORN = 40
"""Most characters that are left of escapes where a text was cut."""
WIDEST = 16
"""Most letters and digits in which a text writes a character of a secret that is cut."""
_CODED = "[A-Za-z0-9+/=_-]"
_LOWER: dict[int, str | None] = {ord(sign): sign.lower() for sign in string.ascii_uppercase}
"""Only letters whose lower case has the same length."""
_SEPARATORS = (
    f"{string.punctuation}{string.whitespace}\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
_BETWEEN = re.compile(f"[{re.escape(_SEPARATORS)}]+")
_SQUEEZED = _LOWER | dict.fromkeys(map(ord, _SEPARATORS))
"""Letters and digits alone: programs wrap, quote, prefix and join a text by any other character."""
INHERITED_VARIABLES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSH_AUTH_SOCK", "GNUPGHOME",
     "PASSWORD_STORE_DIR", "DBUS_SESSION_BUS_ADDRESS"}
)  # fmt: skip
"""Variables that a secret command inherits, with LC_* and XDG_*: location, user, and the agents that unlock its store.
None holds a secret; `pass_env` names others."""
_CONTROL_STRING = r"[^\x07\x1b\x90\x98\x9c-\x9f\n]*+(?:\x07|\x1b\\|\x9c)"
_HIDDEN_CHARACTER = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffd\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_CONTROL_SEQUENCE = r"(?<=\x1b)(?:\[[0-?]*+[ -/]*+[@-~]|[ -/]*+[0-Z\\`-~])|(?<=\x9b)[0-?]*+[ -/]*+[@-~]"
_SPLITS = (
    # a hidden character, or its replacement, with the control sequence or string that it begins (ECMA-48)
    re.compile(
        rf"{_HIDDEN_CHARACTER}(?:(?<=\x1b)[\]PX^_]{_CONTROL_STRING}|(?<=[\x90\x98\x9d-\x9f]){_CONTROL_STRING}"
        rf"|{_CONTROL_SEQUENCE})?"
    ),
    # the same within a control string
    re.compile(rf"{_HIDDEN_CHARACTER}(?:{_CONTROL_SEQUENCE})?"),
)
"""Text that a screen does not show and `console.text.cleaning` removes or replaces: it may split a secret."""
_ESCAPED = re.compile(
    r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*|\\x[0-9A-Fa-f]{2}(?:\\x[0-9A-Fa-f]{2})*|\\u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*"
    r"|\\0?[0-3][0-7]{2}(?:\\0?[0-3][0-7]{2})*|\\[^\sA-Za-z0-9]|\\[bfnrt ]"
    r"|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,6});"
    r"|0x[0-9A-Fa-f]{2}(?:,\s{1,4}0x[0-9A-Fa-f]{2})+"
)
"""In URLs, Python, C, JSON, a shell, HTML, XML and lists of bytes (`xxd -i`), whatever of it each encoder escapes. Each
alternative begins with its sign: re then searches for these signs alone."""
_HEX = "[0-9A-Fa-f]"
_TORN_AT_END = re.compile(
    rf"(?:%{_HEX}?|\\(?:x{_HEX}?|u{_HEX}{{0,3}}|0?(?:[0-3][0-7]?)?)|&(?:#[0-9]{{0,7}}|#[xX]{_HEX}{{0,6}}|[A-Za-z]{{0,6}})"
    rf"|,\s{{0,4}}(?:0(?:x{_HEX}?)?)?|\[[0-9;]{{0,20}}|[\ud800-\udfff]{{1,3}}){{1,3}}"
)
_TORN_AT_BEGIN = re.compile(
    rf"(?:{_HEX}{{1,2}}|[ux]?{_HEX}{{1,4}}|[bfnrt\\]|#?(?:[0-9]{{0,7}}|[xX]?{_HEX}{{0,6}});|[A-Za-z]{{0,6}};"
    rf"|(?:x?{_HEX}{{1,2}})?,\s{{1,4}}|\[?[0-9;]{{0,20}}m|\s{{0,4}}[\ud800-\udfff]{{1,3}}){{1,3}}"
)
"""The rest of an escape of `_ESCAPED` at a cut, of a color without its control character, or of the bytes of a
character; up to three, as one escape may be written in another."""
_OFFSET = r"0(?<![\w.,/=+-]0)[0-9A-Fa-f]{5,15}(?![^: \t\n])"
_UNIT = r"[ \t]++(?:-?[0-9A-Fa-f]{1,22}|\\?\S)(?![^ \t\n])"
_GROUPS = r"(?:[ \t]++[0-9A-Fa-f]{4,22}(?![^ \t\n])){3}|(?:[ \t]++[0-9A-Fa-f]{8,22}(?![^ \t\n])){2}"
_BYTES = r"(?:[ \t]++[^ \t\n]{1,3}(?![^ \t\n])){4}"
_DUMP = re.compile(rf"{_OFFSET}:?(?:{_GROUPS}|{_BYTES})[^\n]*+(?:\n[^\n]*?{_OFFSET}[^\n]*+)*+")
"""Lines of `xxd`, `hexdump` or `od`, each perhaps behind the prefix of a log: an offset, which begins with 0, then
three words, two long ones or four bytes or characters at least; on further lines whatever is left."""
_DUMPED = re.compile(rf"{_OFFSET}:?((?:{_UNIT})*+)[^\n]*+")
"""A line of them: offset, units, perhaps the text beside them."""
DUMPED_BYTES = 16
"""Bytes of a line; after them comes the text beside them."""
_DUMPED_BITS = {2: 1, 8: 3, 16: 4}
"""Base of a unit -> bits of a digit; decimal units have a size instead."""
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
ESCAPE_LEVELS = 3
"""JSON in JSON in a log line."""
_PEM_FRAME = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
_PASSWORD_IN_CONNINFO = re.compile(r"\bpassword\s*=\s*(?:'([^']+)'|([^\s'&]+))")


def refuse_pasted(value: Any) -> Any:
    """The value. Raises ValueError, without showing it, for the text of a key: error messages contain paths."""
    if isinstance(value, str) and ("\n" in value or "\r" in value or "PRIVATE KEY" in value):
        raise ValueError(
            "this is the text of a secret or a certificate, not a path: put it into a file of ours and name that file "
            'here; a key may also be a reference, { env = "NAME" } or { command = ["pass", "show", "x"] }'
        )
    return value


def _beside_config(value: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    is_of_home = str(value).startswith("~")
    return value if folder is None or is_of_home else Path(folder) / value


def _refuse_endless(value: Path) -> Path:
    """The path. Raises ValueError for a pipe, a device or a socket: libraries that read it would wait, or never end."""
    with suppress(OSError):  # where it is read, it is reported
        mode = value.expanduser().stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{value} is not a regular file. Fix: name one")
    return value


FilePath = Annotated[
    Path, BeforeValidator(refuse_pasted), AfterValidator(_beside_config), AfterValidator(_refuse_endless)
]
"""A path in a setting, relative to the config's folder; the text of a key is refused, and what is not a file."""


LITERAL_REFUSED = "a secret is written as a reference, never as its value"


class SecretRef(StrictOptions):
    """Where a secret is: exactly one of env, file, command, keyring."""

    env: str | None = None
    """Name of an environment variable of the engine."""
    file: FilePath | None = None
    """A file of ours, mode 0600 or 0400; one trailing newline is cut."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Program and arguments, run without a shell, 10 s and 64 KiB at most. Of the engine's environment, which may hold
    every other secret, it sees INHERITED_VARIABLES and `pass_env` only."""
    pass_env: tuple[str, ...] = ()
    """Names of more environment variables that the command needs: VAULT_ADDR, VAULT_TOKEN."""
    keyring: str | None = None
    """"service/user" in the system's keyring (extra `keyring`)."""

    @model_validator(mode="before")
    @classmethod
    def refuse_literals(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(
                f'{LITERAL_REFUSED}: use {{ env = "NAME" }}, {{ file = "PATH" }}, '
                '{ command = ["pass", "show", "x"] } or { keyring = "service/user" }'
            )
        if isinstance(value, dict) and isinstance(value.get("command"), str):
            value = {**value, "command": tuple(shlex.split(value["command"]))}
        return value

    @model_validator(mode="after")
    def exactly_one(self) -> SecretRef:
        given = [name for name in ("env", "file", "command", "keyring") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of env, file, command, keyring is needed, got {given or 'none'}")
        if self.pass_env and self.command is None:
            raise ValueError("pass_env applies to a command only")
        return self

    @property
    def text(self) -> str:
        """Where the secret is, for messages: "env AIRFLOW_PASSWORD"."""
        if self.command is not None:
            return f"command {self.command[0]}"
        given = {"env": self.env, "file": self.file, "keyring": self.keyring}
        return next(f"{name} {value}" for name, value in given.items() if value is not None)


def env_references(settings: object) -> Iterator[str]:
    """Environment variables of all secrets in these settings."""
    if isinstance(settings, SecretRef):
        yield from [settings.env] if settings.env else []
    elif isinstance(settings, BaseModel):
        yield from chain.from_iterable(env_references(value) for _, value in settings)
    elif isinstance(settings, Mapping):
        yield from chain.from_iterable(map(env_references, settings.values()))
    elif isinstance(settings, list | tuple | frozenset):
        yield from chain.from_iterable(map(env_references, settings))


class SecretStore:
    """Resolves references and masks what it resolved. One per process; thread safe."""

    def __init__(self) -> None:
        self.variables: set[str] = set()
        """Environment variables that were resolved, or missed."""
        self._values: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._edges: dict[str, _Edges] = {}
        """Forms inside of more in base64, base32 or base85."""
        self._squeezed: dict[str, _Edges] = {}
        """Forms in lower case, without separators."""
        self._cut_forms, self._cut_squeezed = _CutForms(()), _CutForms(())
        self._lock = threading.Lock()
        MASKERS.add(self)

    def __call__(self, reference: SecretRef) -> str:
        """The secret's value now, never cached: rotated secrets are read again. Raises AccessRefused with the fix."""
        if reference.env is not None:
            self.variables.add(reference.env)
            value = os.environ.get(reference.env, "")
            if not value:
                raise AccessRefused(
                    f"secret env {reference.env}: the variable is not set in this process."
                    f" Fix: export {reference.env} and start again"
                )
        elif reference.file is not None:
            value = _from_file(reference.file)
        elif reference.command is not None:
            value = _from_command(reference.command, reference.pass_env)
        else:
            value = _from_keyring(reference.keyring or "")
        self.add(value)
        return value

    def add(self, value: str) -> None:
        """From now on `value`, its parts and lines and their usual encodings are masked."""
        parts = {_SPLITS[0].sub("", part) for part in (value, *_secret_parts(value), *_secret_lines(value))}
        new = {part for part in parts if len(part) >= SHORTEST_MASKED and part.lower() not in ORDINARY_VALUES}
        with self._lock:
            if new <= self._values:
                return
            self._values |= new
            edges = {form: edge for known in self._values for form, edge in _inside(known).items()}
            forms = {form for known in self._values for form in _forms(known)} | set(edges)
            squeezed = {form.translate(_SQUEEZED): edges.get(form, NO_EDGES) for form in sorted(forms)}
            self._edges = edges
            self._squeezed = {form: edge for form, edge in squeezed.items() if len(form) >= SHORTEST_INSIDE}
            self._forms = tuple(sorted(forms, key=len, reverse=True))
            self._cut_forms, self._cut_squeezed = _CutForms(self._forms), _CutForms(self._squeezed)

    def mask(self, text: str) -> str:
        """`text` with every secret resolved so far replaced, also one that is escaped or split by control sequences."""
        return self.mask_part(text, begins_cut=False, ends_cut=False)

    def mask_part(self, text: str, begins_cut: bool, ends_cut: bool) -> str:
        """The masked text of a part of a log, also without the rest of a secret at an end where it was cut."""
        for form in self._forms:
            if form in text:
                before, after, sign = self._edges.get(form, NO_EDGES)
                around = f"{sign}{{0,{before}}}{re.escape(form)}{sign}{{0,{after}}}"
                text = re.sub(around, MASK, text) if before or after else text.replace(form, MASK)
        secret = bytearray(len(text))
        is_cut = begins_cut, ends_cut
        self._cut_forms.mark(secret, text, _View(text, text), _Cuts.of(text, *is_cut))
        self._mark_squeezed(secret, text, text, is_cut)
        for view in _views(text):
            for form in self._forms:
                _mark(secret, view, form)
            self._cut_forms.mark(secret, text, view, _Cuts.of(view.text, *is_cut))
            self._mark_squeezed(secret, text, view, is_cut)
        masked, done = [], 0
        for match in re.finditer(b"\1+", secret):
            masked += [text[done : match.start()], MASK]
            done = match.end()
        return "".join([*masked, text[done:]])

    def _mark_squeezed(self, secret: bytearray, text: str, of: str | _View, is_cut: tuple[bool, bool]) -> None:
        read = of if isinstance(of, str) else of.text
        squeezed, cuts = read.translate(_SQUEEZED), _Cuts.of(read, *is_cut).squeezed(read, text)
        written = [form for form in self._squeezed if form in squeezed]
        if written or any(self._cut_squeezed.lengths(squeezed, cuts)):
            view = _without(of, _BETWEEN)
            view.text = view.text.translate(_LOWER)
            for form in written:
                # in a text that is read otherwise, what is around it may be a word before or after it
                _mark(secret, view, form, self._squeezed[form] if isinstance(of, str) else NO_EDGES)
            self._cut_squeezed.mark(secret, text, view, cuts)

    @property
    def longest(self) -> int:
        return len(self._forms[0]) if self._forms else 0


class _Cuts(NamedTuple):
    """How many characters at each end of a text may be left of an escape that was cut; none where it was not cut."""

    begins: Collection[int]
    ends: Collection[int]

    @classmethod
    def of(cls, text: str, begins_cut: bool, ends_cut: bool) -> _Cuts:
        size = len(text)
        sizes = range(1, min(size, LONGEST_TORN) + 1)
        begins = [0, *(torn for torn in sizes if _TORN_AT_BEGIN.fullmatch(text, 0, torn))] if begins_cut else ()
        ends = [0, *(torn for torn in sizes if _TORN_AT_END.fullmatch(text, size - torn))] if ends_cut else ()
        return cls(begins, ends)

    def squeezed(self, read: str, text: str) -> _Cuts:
        """The same in the letters and digits of `read`, a reading of the text: before a space of the text itself is a
        word, not an escape."""
        begins = {read[:torn] for torn in self.begins if not torn or not text.startswith(f"{read[:torn]} ")}
        ends = {read[len(read) - torn :] for torn in self.ends}
        return _Cuts(*({len(torn.translate(_SQUEEZED)) for torn in at} for at in (begins, ends)))


class _CutForms:
    """Forms of secrets, to be found where a text has only the end or the beginning of one."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._beginnings: dict[str, list[str]] = {}
        self._backwards: dict[str, list[str]] = {}
        """The forms, and the forms read backwards, by their first characters."""
        self._longest = 0
        for form in forms:
            if len(form) > SHORTEST_PART:
                self._beginnings.setdefault(form[:SHORTEST_PART], []).append(form)
                self._backwards.setdefault(form[: -SHORTEST_PART - 1 : -1], []).append(form[::-1])
                self._longest = max(self._longest, len(form))

    def mark(self, secret: bytearray, text: str, view: _View, cuts: _Cuts) -> None:
        """Marks the rest of a form at each end at which the text was cut. `view`: of the text."""
        size = len(view.text)
        first, last = self.lengths(view.text, cuts)
        end = view.span(0, first)[1] if first else 0
        if _count_letters(text[:end]) <= first * WIDEST:
            secret[:end] = b"\1" * end
        begin = view.span(size - last, size)[0] if last else len(secret)
        if _count_letters(text[begin:]) <= last * WIDEST:
            secret[begin:] = b"\1" * (len(secret) - begin)

    def lengths(self, text: str, cuts: _Cuts) -> tuple[int, int]:
        """Lengths of the rests at the begin and at the end, each with what is left of an escape."""
        if not self._longest:
            return 0, 0
        reach = self._longest + LONGEST_TORN
        first = _length_of_rest(text[:reach][::-1], self._backwards, cuts.begins)
        return first, _length_of_rest(text[-reach:], self._beginnings, cuts.ends)


def _count_letters(text: str) -> int:
    """Counts the letters and digits that a screen shows."""
    return len(_SPLITS[0].sub("", text).translate(_SQUEEZED))


def _length_of_rest(text: str, forms: Mapping[str, list[str]], torn: Collection[int]) -> int:
    """Length of the longest end of the text that begins as one of the forms (by their first characters) and lacks the
    form's end. `torn`: how many more characters it may have."""
    for at in range(len(text) - SHORTEST_PART + 1) if torn else ():
        for form in forms.get(text[at : at + SHORTEST_PART], ()):
            rest = text[at:]
            sizes = (len(rest) - size for size in torn)
            begins = any(size >= SHORTEST_PART and form.startswith(rest[:size]) for size in sizes)
            if begins and not rest.startswith(form):
                return len(rest)
    return 0


class _Edges(NamedTuple):
    """The most characters of a code before and after a form that hold bits of the secret."""

    before: int = 0
    after: int = 0
    sign: str = _CODED


NO_EDGES = _Edges()


def _mark(secret: bytearray, view: _View, form: str, edges: _Edges = NO_EDGES) -> None:
    """Marks where the form is in the view, with its edges."""
    at = view.text.find(form)
    while at >= 0:
        first, last = at, at + len(form)
        while first > max(0, at - edges.before) and re.match(edges.sign, view.text[first - 1]):
            first -= 1
        while last < min(len(view.text), at + len(form) + edges.after) and re.match(edges.sign, view.text[last]):
            last += 1
        begin, end = view.span(first, last)
        secret[begin:end] = b"\1" * (end - begin)
        at = view.text.find(form, at + len(form))


class _View:
    """A text with parts of it replaced, and where its characters are in the first text."""

    def __init__(self, of: str | _View, text: str, parts: Callable[[], Iterable[tuple[int, int, str]]] = tuple) -> None:
        """`parts` of what it is a view of, from begin to end, are replaced in `text`; all characters of a replacement
        stand for the whole part. They are only called for where a secret is found."""
        self._of, self.text, self._parts = of, text, parts

    @cached_property
    def _pieces(self) -> tuple[list[int], list[tuple[int, int, bool]]]:
        """Where each piece starts here; where it was before, and whether it was replaced."""
        starts: list[int] = []
        spans: list[tuple[int, int, bool]] = []
        size = done = 0
        length = len(self._of if isinstance(self._of, str) else self._of.text)
        for begin, end, replaced in chain(self._parts(), [(length, length, "")]):
            for piece_size, span in ((begin - done, (done, begin, False)), (len(replaced), (begin, end, True))):
                if piece_size:
                    starts.append(size)
                    spans.append(span)
                    size += piece_size
            done = end
        return starts, spans

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The part of the first text that these characters stand for."""
        starts, spans = self._pieces
        first, last = bisect_right(starts, begin) - 1, bisect_right(starts, end - 1) - 1
        start, _, is_replaced = spans[first]
        last_start, stop, is_last_replaced = spans[last]
        start += 0 if is_replaced else begin - starts[first]
        stop = stop if is_last_replaced else last_start + end - starts[last]
        return (start, stop) if isinstance(self._of, str) else self._of.span(start, stop)


def _without(of: str | _View, part: re.Pattern[str]) -> _View:
    before = of if isinstance(of, str) else of.text
    return _View(of, part.sub("", before), lambda: ((*match.span(), "") for match in part.finditer(before)))


def _read(of: str | _View) -> _View:
    """It with its escapes read, one level of them."""
    before = of if isinstance(of, str) else of.text
    text = _ESCAPED.sub(lambda match: _unescaped(match[0]), before)
    return _View(of, text, lambda: ((*match.span(), _unescaped(match[0])) for match in _ESCAPED.finditer(before)))


def _views(text: str) -> Iterator[_View]:
    """The text as a person or a program reads it: without what no screen shows, and unescaped up to three times."""
    is_shown = text.isascii() and text.replace("\n", "").isprintable()
    without = [] if is_shown else [_without(text, split) for split in _SPLITS]
    yield from without
    starts: list[str | _View] = [text, *without]
    for view in starts:
        for _ in range(ESCAPE_LEVELS):
            yield from _dumps(view)
            if not _ESCAPED.search(view if isinstance(view, str) else view.text):
                break
            view = unescaped = _read(view)  # noqa: PLW2901 - the next level is of this one
            yield unescaped
            if _SPLITS[0].search(unescaped.text):
                yield _without(unescaped, _SPLITS[0])


def _dumps(of: str | _View) -> Iterator[_View]:
    """The dumped text alone, for each way to write a unit."""
    text = of if isinstance(of, str) else of.text
    lines: list[tuple[int, int, list[str]]] = []
    between: list[tuple[int, int, str]] = []
    for dump in _DUMP.finditer(text):
        for line in _DUMPED.finditer(text, *dump.span()):
            is_first = line.start() == dump.start()
            between.append((lines[-1][1] if lines else 0, line.start(), "\n" if is_first else ""))
            lines.append((*line.span(), line[1].split(maxsplit=DUMPED_BYTES)[:DUMPED_BYTES]))
    for units_as in _UNITS if lines else ():
        read = [(begin, end, _of_dump(units, *units_as)) for begin, end, units in lines]
        parts = [*chain.from_iterable(zip(between, read, strict=True)), (lines[-1][1], len(text), "")]
        yield _View(of, "".join(part for _, _, part in parts), partial(iter, parts))


def _of_dump(units: list[str], base: int, order: Literal["big", "little"], size: int = 0) -> str:
    """The text of units of this base, or of characters (0)."""
    if not base:
        return "".join(units)
    dumped = b""
    for unit in units:
        with suppress(ValueError, OverflowError):  # of another base
            length = size or len(unit) * _DUMPED_BITS[base] // 8
            dumped += int(unit, base).to_bytes(length, order, signed=unit[0] == "-")
    return dumped[:DUMPED_BYTES].decode("latin-1")


_UNITS: tuple[tuple[int, Literal["big", "little"], int], ...] = (
    (16, "big", 0), (16, "little", 0), (8, "little", 0), (2, "big", 0), (0, "big", 0),
    *((10, "little", size) for size in (1, 2, 4, 8)),
)  # fmt: skip
"""Base, order of bytes and size of the units that the programs write."""


def _unescaped(part: str) -> str:
    if part[0] == "&":
        return html.unescape(part)
    if part[0] == "\\" and part[1] in "0123":
        return bytes(int(code, 8) for code in part[1:].split("\\")).decode("utf-8", "surrogateescape")
    if part[0] in "%0" or part[1] == "x":
        content = bytes.fromhex(re.sub(r"%|\\x|0x|[,\s]", "", part))
        return content.decode("utf-8", "surrogateescape")
    if part[1] == "u":
        return str(json.loads(f'"{part}"'))
    return _CONTROLS.get(part[1], part[1])


def text_masker(secrets: SecretResolver) -> Callable[[str], str]:
    """The function that masks known secrets in a text; it changes nothing unless `secrets` is a `SecretStore`."""
    mask = getattr(secrets, "mask", None)
    return mask if callable(mask) else str


def token_masker(secrets: SecretResolver) -> Callable[[str], None]:
    """The function that masks a token obtained for a secret; it does nothing unless `secrets` is a `SecretStore`."""
    return secrets.add if isinstance(secrets, SecretStore) else lambda _: None


def _forms(value: str) -> set[str]:
    """Itself; unescaped, where it looks escaped; with its quotes as SQL, CSV and a shell write them;
    in a form; in hex; in base64, base64url, base32 and base85; its bytes one by one, as dumps are read."""
    plain = value.encode("utf-8", "surrogateescape")
    read = {value, *(view.text for view in _views(value))}
    read |= {form.replace("'", quotes) for form in read for quotes in ("''", "'\"'\"'", "'" * 3)}
    read |= {form.replace('"', '""') for form in read}
    read |= {form.replace(" ", "+") for form in read}
    in_base64 = {b64encode(plain).decode(), b64encode(plain).decode().rstrip("=")}
    in_base64 |= {form.translate(str.maketrans("+/", "-_")) for form in in_base64}
    coded = {plain.hex(), plain.hex().upper(), *(text.hex() for text in _wide(value))}
    coded |= {b32encode(plain).decode().rstrip("="), b85encode(plain).decode(), a85encode(plain).decode()}
    coded.add(plain.decode("latin-1"))
    return {form for form in (read | coded) if len(form) >= SHORTEST_MASKED} | in_base64


def _wide(value: str) -> list[bytes]:
    """In UTF-16, as PowerShell encodes it."""
    return [value.encode(code, "surrogatepass") for code in ("utf-16-le", "utf-16-be")]


def _inside(value: str) -> dict[str, _Edges]:
    """Inside of more ("user:password") in base64, also of UTF-16, in base64 of base64, in base32 and in base85."""
    plain = value.encode("utf-8", "surrogateescape")
    once = _whole_groups(b64encode, 3, 4, plain)
    twice = _whole_groups(b64encode, 3, 4, b64encode(plain))
    for form, (before, after, _) in once.items():
        for outer, edges in _whole_groups(b64encode, 3, 4, form.encode()).items():
            twice[outer] = _Edges(edges.before + 2 * before, edges.after + 2 * after)
    for text in _wide(value):
        once |= _whole_groups(b64encode, 3, 4, text)
    forms = twice | once
    forms |= {form.translate(str.maketrans("+/", "-_")): edges for form, edges in forms.items()}
    for encode, size, length, sign in (
        (b32encode, 5, 8, _CODED),
        (a85encode, 4, 5, "[!-~]"),
        (b85encode, 4, 5, "[!-~]"),
    ):
        forms |= _whole_groups(encode, size, length, plain, sign)
    return {form: edges for form, edges in forms.items() if len(form) >= SHORTEST_INSIDE}


def _whole_groups(
    encode: Callable[[bytes], bytes], size: int, length: int, text: bytes, sign: str = _CODED
) -> dict[str, _Edges]:
    """The groups of `length` characters that only this text decides, for each of its positions within more: a code
    writes `size` bytes in a group."""
    forms = {}
    for lead in range(size):
        whole, rest = divmod(lead + len(text), size)
        form = encode(b"x" * lead + text)[length if lead else 0 : length * whole].decode()
        forms[form] = _Edges(length if lead else 0, length if rest else 0, sign)
    return forms


def _secret_lines(value: str) -> Iterator[str]:
    """The lines of a key or file, without the frame of a PEM block, which is not secret."""
    if "\n" in value.strip():
        lines = (line.strip() for line in value.splitlines())
        yield from (line for line in lines if len(line) >= SHORTEST_INSIDE and not _PEM_FRAME.fullmatch(line))


def _secret_parts(value: str) -> Iterator[str]:
    """The secret parts of a URL or connection string: passwords, tokens, keys."""
    for quoted, bare in _PASSWORD_IN_CONNINFO.findall(value):
        yield quoted or bare
    if "://" not in value:
        return
    rest = value.partition("://")[2]
    login, at, place = rest.rpartition("@") if "@" in rest else ("", "", rest)
    password = login.partition(":")[2]
    yield from {password, unquote(password)} if at else ()
    for part in re.split(r"[/?&=#:,]", f"{place}/{login}"):
        if (len(part) >= 8 and re.search(r"\d", part) and "." not in part) or len(part) >= 20:
            yield from {part, unquote(part)}


def _from_file(path: Path) -> str:
    try:
        info = path.expanduser().stat()
        data = read_regular_file(path.expanduser(), LIMIT_BYTES)
    except OSError as error:
        raise AccessRefused(f"secret file {path}: {error.strerror}. Make it readable for this user.") from None
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o077:
        raise AccessRefused(f"secret file {path}: mode {mode:04o} lets others read it. chmod 600 {path}")
    return data.decode("utf-8", "replace").removesuffix("\n")


def _from_command(argv: tuple[str, ...], pass_env: tuple[str, ...]) -> str:
    place = f"secret command {argv[0]}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED_VARIABLES or name in pass_env or name.startswith(("LC_", "XDG_"))
    }
    try:
        process = subprocess.Popen(  # noqa: S603 - argv from the operator's own config, no shell
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,
            env=environment,
        )  # fmt: skip
    except OSError as error:
        raise AccessRefused(f"{place}: {type(error).__name__}. Run it by hand to see why.") from None
    try:
        data = _output(process, time.monotonic() + COMMAND_TIMEOUT_SECONDS)
    except TimeoutError:
        raise AccessRefused(
            f"{place}: no end within {COMMAND_TIMEOUT_SECONDS:g} s. Run it by hand to see what it waits for."
        ) from None
    finally:
        end_process(process)
    if len(data) > LIMIT_BYTES:
        raise AccessRefused(f"{place}: more than {LIMIT_BYTES // 1024} KiB, too large for a secret. Run it by hand.")
    if process.returncode != 0:
        raise AccessRefused(
            f"{place}: exit {process.returncode}. Run it by hand to see why; pass_env must name the variables that"
            " it needs."
        )
    if not data.strip():
        raise AccessRefused(f"{place}: it printed nothing. Run it by hand to see why; it must print the secret.")
    return data.decode("utf-8", "replace").removesuffix("\n")


def _output(process: subprocess.Popen[bytes], until: float) -> bytes:
    """All that it prints, read until its end; no more than a byte over the limit. TimeoutError when it takes longer."""
    assert process.stdout is not None
    data = b""
    while len(data) <= LIMIT_BYTES:
        if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        if not (piece := os.read(process.stdout.fileno(), LIMIT_BYTES + 1 - len(data))):
            break
        data += piece
    else:
        return data
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return data


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that leads its group, with its children, one of which may hold a pipe open."""
    if process.returncode is None:  # not waited for: its number is still its own
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()


def _from_keyring(entry: str) -> str:
    try:
        import keyring
    except ImportError:
        raise AccessRefused(f'secret keyring {entry}: install "headway[keyring]" to read it.') from None
    service, _, user = entry.partition("/")
    value = keyring.get_password(service, user)
    if value is None:
        raise AccessRefused(f"secret keyring {entry}: no such entry. keyring set {service} {user}")
    return str(value)
