"""Redaction of secrets: in stored logs and messages, and more strictly in everything that is sent out.

Secrets are recognized by their shape, so this is a guess: paths, hosts, dates and run ids stay readable. Redacting
never lengthens a text, redacting twice changes nothing more, and the time is linear in the length.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

MASK = "***"
ENTROPY_BITS = 3.9
"""Bits per character from which a mixed word of SHORTEST letters counts as a key; English has about 3.3."""
SHORTEST = 24
PASSES = 8

_LABELS = (
    r"pass(?:word|wd|phrase|code)|secret|token|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|"
    r"shared[_-]?key|authorization|credentials?|signature|cookie|(?<=[?&])sig"
)
_HINTS = ("pass", "secret", "token", "key", "authorization", "credential", "signature", "cookie", "sig=", "pwd")
"""Every text that `_NAMED` matches contains one of these: most texts are skipped quickly."""
_SEPARATOR = r"(?:\\?[\"'])?\s{0,3}(?:=>|:=|=|:(?!//))\s{0,3}"
_VALUE = r"(\\?\"[^\"\n]{1,4096}+\"?|'[^'\n]{1,4096}+'?|[^\s\"',;&]{1,4096}+)"
_LONG = rf"(?<![A-Za-z0-9+/_-])(?<!SHA256:)(?<!SHA512:)[A-Za-z0-9+/_-]{{{SHORTEST},}}+={{0,2}}"
"""Not the fingerprint of a public key, as ssh prints it: people compare it."""

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----"
    r"(?:(?:[^-*]|-(?!----)){1,8192}-----END [A-Z0-9 ]{1,40}-----|(?:(?:\s|\\[rn])*[A-Za-z0-9+/=]{16,}+)+)"
)
"""Only sets of characters are repeated possessively: of groups, re before 3.11.5 misses matches (Debian 12 has 3.11.2;
cpython issue 106052). It stays linear: a block has no five dashes in it, and a line begins where one ends."""
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}(?![0-9A-Za-z])"  # AWS: identifiers of keys, users and roles
    r"|eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"  # JWT, RFC 7519
    r"|gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+|glpat-[A-Za-z0-9_-]{16,}+"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}+|sk-[A-Za-z0-9_-]{20,}+|AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"
    r")"
)
_HOOK = re.compile(r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{1,200}+")
SIGN_IN = re.compile(r"\b(bearer|basic|digest|negotiate)(\s{1,3})(?=[^\s]{0,200}[0-9=])([A-Za-z0-9._~+/=-]{8,}+)", re.I)
_LOGIN = re.compile(r"(?<=://)([^\s/@:]{0,256}+:)([^\s/]{1,256})(?=@)")
_LOGIN_ALONE = re.compile(r"(?<=://)[^\s/@:]{16,256}+(?=@)")
_OPTION = re.compile(
    r"(?<![\w-])(--?(?:password|passwd|passphrase|token|secret|api-key)\s{1,3})([^\s-][^\s]{0,4096}+)", re.I
)
_CLIENTS = ("mysql", "mariadb", "curl", "redis-cli", "sshpass")
_ARGUMENTS = r"(?:\s{1,3}[^\s|;&]{1,200}+){0,8}?\s{1,3}"
_SHORT_OPTION = re.compile(
    rf"(?<![\w.-])((?:mysql|mariadb)[a-z_-]{{0,16}}{_ARGUMENTS}-p|curl{_ARGUMENTS}(?:-u|--user)[\s=]{{0,3}}[\"']?[^\s:\"']{{1,100}}:"
    rf"|redis-cli{_ARGUMENTS}-a\s{{1,3}}|sshpass\s{{1,3}}-p\s{{0,3}})(\"[^\"\n]{{1,200}}+\"?|'[^'\n]{{1,200}}+'?|[^\s\"']{{1,200}}+)"
)
"""Options of one letter by which these clients take a password: `mysqldump -pSECRET`, `curl -u me:SECRET`."""
_NAMED = re.compile(
    rf"((?:(?!(?<=NO)PASSWD:\s?(?:/|ALL\b))(?:{_LABELS}))[A-Za-z0-9_.-]{{0,20}}?{_SEPARATOR}|(?<![A-Za-z])pwd{_SEPARATOR}(?![\"']?[/~])){_VALUE}",
    re.I,
)
"""Not the commands after NOPASSWD: in a rule of sudo."""
_NAME = re.compile(rf"{_LABELS}|(?<![A-Za-z])pwd", re.I)
_ASSIGNED = re.compile(rf"(?:(?<=[=:])|(?<=[=:][\s\"'])){_LONG}")
_ANYWHERE = re.compile(_LONG)
_ADDRESS = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+(?=@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,200})")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{12,}+|\d{4}(?:[ -]\d{4}){2}[ -]\d{1,7}|[A-Z]{2}\d{2}[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")


def mask_secrets(text: str) -> str:
    """The text with secrets replaced by stars, recognized by their shape.

    PEM blocks, AWS keys, bearer tokens, JWTs, passwords in URLs, and values that follow names such as password, token
    or api_key, or that are random after any name.
    """
    return _settled(_masked_once, text)


def is_secret_name(name: str) -> bool:
    """Whether a value with this name is a secret of any shape: "db_password", "credentials", "apiToken"."""
    return _NAME.search(name) is not None


def mask_strictly(text: str) -> str:
    """Like `mask_secrets`; also mail addresses, card and account numbers, and random words anywhere.

    For texts that a model reads (MCP); hosts and paths stay.
    """
    return _settled(_strictly_once, text)


def _settled(mask: Callable[[str], str], text: str) -> str:
    """Repeats the mask until nothing changes: stars may complete another shape beside them."""
    for _ in range(PASSES):
        before, text = text, mask(text)
        if text == before:
            break
    return text


def _masked_once(text: str) -> str:
    text = _cut_pem(_PEM.sub(MASK, text)) if "-----" in text else text
    text = _HOOK.sub(_stars, _TOKENS.sub(MASK, text))
    low = text.lower()
    if any(hint in low for hint in ("bearer", "basic", "digest", "negotiate")):
        text = SIGN_IN.sub(lambda match: match[1] + match[2] + MASK, text)
    if "://" in text:
        text = _LOGIN.sub(lambda match: match[1] + _stars_for(match[2]), text)
        text = _LOGIN_ALONE.sub(MASK, text)
    if any(client in low for client in _CLIENTS):
        text = _SHORT_OPTION.sub(lambda match: match[1] + _quoted(match[2]), text)
    if any(hint in low for hint in _HINTS):
        text = _OPTION.sub(lambda match: match[1] + _stars_for(match[2]), text)
        text = _mask_named(text)
    return _ASSIGNED.sub(_if_random, text)


def _strictly_once(text: str) -> str:
    text = _ANYWHERE.sub(_if_random, _masked_once(text))
    return _ADDRESS.sub(_stars, _NUMBER.sub(MASK, text))


_TOKEN_ENDPOINT = re.compile(r"https?://[\w.:%~/-]{0,300}$")


def _mask_named(text: str) -> str:
    """Stars for the values after names; text after an address is not one: "POST https://host/token: refused"."""
    parts, copied, at = list[str](), 0, 0
    while match := _NAMED.search(text, at):
        before = text[max(0, match.start() - 300) : match.start()]
        at = match.end(1)
        if not (re.fullmatch(r"tokens?:\s+", match[1], re.IGNORECASE) and _TOKEN_ENDPOINT.search(before)):
            parts += [text[copied:at], _quoted(match[2])]
            copied = at = match.end()
    return "".join([*parts, text[copied:]])


def _stars(match: re.Match[str]) -> str:
    return _stars_for(match[0])


def _stars_for(value: str) -> str:
    return MASK[: len(value)]


def _quoted(value: str) -> str:
    head = 2 if value.startswith('\\"') else 1 if value[0] in "\"'" else 0
    if not head:
        return _stars_for(value)
    closed = len(value) > head + 1 and value[-1] == value[head - 1]
    inner = value[head : -1 if closed else None]
    tail = "\\" if head == 2 and inner.endswith("\\") else ""
    return value[:head] + _stars_for(inner.removesuffix(tail)) + tail + (value[-1] if closed else "")


def _if_random(match: re.Match[str]) -> str:
    """Stars for a word that mixes letters of both cases and digits as no file name or run id does."""
    text = match[0]
    parts = [part for part in text.split("/") if len(part) >= SHORTEST]
    return MASK if any(_is_random(_DATE.sub("", part)) for part in (parts or [""])) else text


def _is_random(text: str) -> bool:
    if len(text) < SHORTEST or not (re.search("[a-z]", text) and re.search("[A-Z]", text) and re.search(r"\d", text)):
        return False
    size = len(text)
    bits = -sum(number / size * math.log2(number / size) for number in Counter(text).values())
    return bits >= ENTROPY_BITS


def _cut_pem(text: str) -> str:
    """Masks the lines of a PEM block whose beginning is cut off."""
    at = text.find("-----END ")
    if at < 0:
        return text
    lines = text[:at].rstrip("\n").split("\n")
    keep = len(lines)
    while keep and _PEM_LINE.fullmatch(lines[keep - 1].strip()):
        keep -= 1
    if keep == len(lines):
        return text
    return "\n".join([*lines[:keep], MASK]) + "\n" + text[at:]
