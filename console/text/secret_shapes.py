"""Shapes by which secrets are recognized: names before values, options of programs, addresses, tokens, sentences.

A word is masked for what it is: after the name of a secret, prose ("password must be longer"), references ("$PASSWORD")
and what is about a secret ("token_type=bearer") stay.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

MASK = "***"
ENTROPY_BITS = 3.9
"""Bits per character from which a mixed word of SHORTEST letters counts as a key; English has about 3.3."""
SHORTEST = 24
_LABELLED = (
    r"pass(?:word|wd|phrase|code)|secret|token|credentials?|passwort|kennwort|wachtwoord|contrase\S{1,8}?a|senha"
    r"|mot[ _-]?de[ _-]?passe|пароль|密码|パスワード"
)
_LABELS = (
    rf"{_LABELLED}|(?:api|app|access|account|private|shared|client|encryption|master|signing|service|fernet|storage|auth"
    r"|session|subscription|license)[_-]?key|authorization|signature|cookie|[jp]h?p?sess(?:ion)?id|(?<=[?&])(?:sig|key)"
    r"|x-jfrog-art-api|(?<=pragma\s)key"
)
_SHORT_LABELS = (
    r"(?<![A-Za-z])(?:pwd|auth|jwt|otp)|(?:(?<![A-Za-z])|(?<=db)|(?<=bind)|(?<=root)|(?<=user))pw"
    r"|(?<!by)(?<!com)(?<!sur)(?<!tres)pass"
)
"""Also parts of other words: secrets only directly before a separator."""
_HINTS = (
    "pass", "secret", "token", "key", "authorization", "credential", "signature", "cookie", "sig=", "pwd", "pw",
    "kennwort", "auth", "jwt", "otp", "sess", "identified",
    "pin", "jfrog", "wachtwoord", "contrase", "senha", "пароль", "密码", "パスワード", "community",
)  # fmt: skip
"""Every text that `_NAMED` or `_SAID` matches contains one of these: most texts are skipped quickly."""
_QUOTE = r"(?:\\{0,7}[\"'`]|&(?:quot|apos|#34|#39|#x22|#x27);|%2[27]|\\u002[27])"
_EQUALS = r"(?:=>|:=|==?|[:：](?!//)|%3[da]|\\{1,4}u003[da]|&#61;)"
_SPACE = r"[\s\u00b7]{0,3}"
_SEPARATOR = (
    rf"(?:{_QUOTE}?\]?{_SPACE}{_EQUALS}(?:3D(?![0-9A-F]))?{_SPACE}[\[(]{{0,2}}|\((?={_QUOTE})|{_QUOTE},\s{{0,3}}(?={_QUOTE}(?!\w{{1,30}}{_QUOTE}\s?:))"
    rf"|{_QUOTE}[\s,]{{1,40}}{_QUOTE}?value{_QUOTE}?{_SPACE}[:=]{_SPACE}|(?:\s|\\{{1,3}}[nrt]){{1,20}}value:\s{{1,3}}|{_QUOTE}?\s?>(?:<!\[CDATA\[)?(?=[^<\s]))"
)
"""Also that of a list of pairs, of a record with the fields name and value, and the end of an XML tag."""
_NAMED = re.compile(
    rf"((?:(?!(?<=NO)PASSWD:\s?(?:/|ALL\b))(?:{_LABELS}))[A-Za-z0-9_.-]{{0,20}}?|{_SHORT_LABELS})({_SEPARATOR})", re.I
)
"""Not the commands after NOPASSWD: in a rule of sudo."""
_NAME = re.compile(rf"{_LABELS}|(?<![A-Za-z])pwd", re.I)
_FIELD = re.compile(
    r"(?:(?:[_.-]|(?-i:(?<=[a-z])(?=[A-Z]))|\b)(?:name|file|path|url|uri|endpoint|type|count|length|size|expir\w{0,12}|ttl|refs?|arn"
    r"|policy|version|age|timeout|dir|source|provider|manager|required|encryption|algorithm|methods?|format|header|limit"
    r"|domain|used|status|state|usage|budget|scopes?|index|position|backend|rotation|hint|prefix|at|in)"
    r"|(?<=ecret)(?:name|s?manager|ref|keyref)|less|ized|izer|(?<=[ednt])s)\Z",
    re.I,
)
"""Ends of names of what is about a secret: `token_type`, `secretName`, `password_file`."""
LONGEST_OF_FIELD = 300
_BARE = re.compile(
    r"(?:[^\s\"',;&<]|<(?!/)|[\"',;&](?![\s\"',;&)}\]>\\@|\u00b7]|\Z|[\w.-]{1,40}\\?[\"']?\s?(?:[=:]|%3D))){1,4096}"
)
"""A value without quotes: a comma, a quote or an ampersand ends it only at the end of a word or before another name."""
_TO_SEMICOLON = re.compile(r"[^;=\n\"'{}]{1,200}(?=;)")
_BRACED = re.compile(r"\{((?:[^{}\n]|\}\}|(?<!\A)\{){1,400})\}(?!\})")
_OPENING = re.compile(r"(\\{0,63})([\"'`])|(&(?:quot|apos|#34|#39|#x22|#x27);|%2[27]|\\u002[27])", re.I)
LONGEST = 4096
"""Characters of a value in quotes."""

_NO_VALUES = "none null nil true false yes no on off undefined unset n/a na default empty - -- ... … *"
_PROSE_TERMS = (
    "a an the is was are be been has have had must may might can cannot could should shall will would not does do "
    "did of in for from on at to with without by and or if as this that it its your our no any please check see "
    "contact use used using enter update set reset change changed renew renewed rotate rotated generate generated "
    "create created read expired expires expiring expiry invalid valid missing required optional incorrect wrong bad "
    "unknown unexpected unauthorized unauthenticated forbidden denied refused rejected revoked accepted granted "
    "failed failure fail error errors ok okay success successful succeeded unable too short long weak strong empty "
    "blank absent present found mismatch mismatched mismatches malformed corrupt corrupted disabled enabled locked "
    "unsupported supported need needed needs provided supplied given specified configured received stored loaded "
    "obtained acquired refreshed refreshing refresh validated verified verification authentication authorization "
    "access permission permissions request response value string identifier number eof end line column character "
    "characters length minimum maximum login user username hidden redacted masked removed filtered omitted secure "
    "plain plaintext sent skipped ignored exceeded limit rate bearer basic digest negotiate kerberos ntlm oauth "
    "oauth2 saml ldap requires require expects takes client server role policy scope session errno http https exit "
    "attempt retry retrying waiting "
    "trying could't can't couldn't doesn't isn't wasn't signature token password secret field hasn't won't don't "
    "already still never only bytes seconds minutes hours days option flag argument parameter "
    "shorter longer fewer larger smaller more less than before after until while when where which who because"
)
"""Words that messages have after the name of a secret, and that are not its value."""
_NOTHING, _PROSE = frozenset(_NO_VALUES.split()), frozenset(_PROSE_TERMS.split())
_NOUNS = frozenset(
    {
        "password",
        "secret",
        "token",
        "login",
        "user",
        "username",
        "client",
        "server",
        "access",
        "value",
        "string",
        "text",
    }
    | {"number", "line", "session", "hidden", "secure", "field", "role", "policy", "signature", "enter", "please"}
)
"""Those of them that a user may have as a password."""
_REQUIREMENTS = re.compile(
    r"(?:must|is|cannot|should|may|required|invalid|incorrect|missing|expired|too|does|has|this field)\b"
)
_REFERENCE = re.compile(
    r"\$(?:\{[^}\n]{0,80}\}?|\([^)\n]{0,80}\)?|[A-Z_][A-Z0-9_]{0,60})|\{\{.{0,80}|%\(?\w{0,40}\)?s|%[A-Za-z_]{1,40}%"
    r"|<[A-Za-z][\w -]{0,40}>?|\[[A-Za-z ]{1,20}\]?|\{[\w.]{0,20}(?:pass|secret|token|key|pwd|cred)[a-z_.]{0,20}\}"
    r"|(?:os\.|process\.|System\.)?(?:getenv|environ|env)\b\S{0,80}|!{1,2}[a-z]{2,20}|[A-Za-z_.]{2,60}(?:\(\)?|[(\[][\"'][\w./:-]{0,80}[\"']?[)\]]?)"
    r"|[A-Za-z]\w{0,60}(?:Error|Exception|Failure|Expired|Warning)|[*x.•]{3,80}|[\W_]{1,2}"
)
"""No secret but its variable, its placeholder, or an error about it."""


def _is_no_secret(value: str, name: str, is_quoted: bool, is_prose: bool = False) -> bool:
    """Whether it is a word or a reference, as messages have them after the name of a secret. `is_prose`: after a colon
    and a space, as in a sentence."""
    low = value.strip(".,:;!?)]}\"'").lower()
    if low in _NOTHING or _REFERENCE.fullmatch(value.rstrip(".,:;")) or _REFERENCE.fullmatch(value.rstrip(".,:;)]}")):
        return True
    if is_quoted and " " in low:
        return _REQUIREMENTS.match(low) is not None
    if re.fullmatch(r"[a-z_]\w*(?:\.\w+)*", value) and value.rpartition(".")[2].strip("_").lower() == name.lower():
        return True  # a variable, in a line of code
    if low in _PROSE and (is_prose or low not in _NOUNS):
        return True
    if is_prose and re.fullmatch(r"[1-5]\d\d", low):
        return True  # the status of a reply
    if is_prose and name.lower() == "signature" and len(value) < 16:
        return True  # that of a function
    if len(value) > LONGEST_OF_FIELD or _FIELD.search(name) is None:
        return False
    return not _may_be_secret(value, is_named=False) and not any(map(_is_random, re.split("[/:]", value)))


def _value(text: str, at: int) -> tuple[int, int]:
    """Where the value is that begins there, without its quotes; up to the end of the line if they are not closed."""
    opening = _OPENING.match(text, at)
    if opening is None:
        bare = _BARE.match(text, at)
        return (at, bare.end()) if bare else (at, at)
    begin = opening.end()
    end = text.find("\n", begin, begin + LONGEST)
    end = min(len(text), begin + LONGEST) if end < 0 else end
    if opening[3]:
        closed = text[begin:end].lower().find(opening[3].lower())
        return begin, begin + closed if closed >= 0 else end
    depth, quote, past, glued = len(opening[1]), opening[2], begin, -1
    for closing in re.finditer(rf"(\\{{0,63}}){quote}", text[begin:end]):
        slashes, after = len(closing[1]), begin + closing.end()
        if begin + closing.start() < past:
            continue
        if not depth and text.startswith(("'\"'\"'", "'\\''"), after - 1):
            past = after + (4 if text[after] == '"' else 3)
        elif not depth and text[after : after + 1] == quote and after - 1 > begin:
            past = after + 1  # doubled, as in SQL and CSV
        elif slashes < depth or slashes % (2 * depth + 2) == depth:
            if not text[after : after + 1].isalnum():
                return begin, after - 1 - min(depth, slashes)
            glued = after if glued < 0 else glued  # escaped once more, or the value of a shell goes on
    bare = _BARE.match(text, glued) if glued >= 0 else None
    return begin, bare.end() if bare else end


_UNEXPECTED = re.compile(
    r"(?:invalid|unexpected|mismatched|near|missing|illegal|unrecognized|bad|offending|last)\s\Z", re.I
)
"""Before the token of a language, of which a parser reports that it is one too many."""
_TOKEN_ENDPOINT = re.compile(r"https?://[\w.:%~/-]{0,300}$")


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Values after names; text after an address is not one: "POST https://host/token: refused"."""
    at = 0
    while match := _NAMED.search(text, at):
        name, separator = match[1], match[2]
        at = match.end()
        short = name.lower()
        if re.fullmatch(r"tokens?", name, re.I) and re.fullmatch(r":\s+[\[(]*", separator):
            before = text[max(0, match.start() - 300) : match.start()]
            if _TOKEN_ENDPOINT.search(before) or (_UNEXPECTED.search(before[-20:]) and _LETTERS.match(text, at)):
                continue
        if ">" in separator and "=" not in separator and "<" not in text[max(0, match.start() - 60) : match.start()]:
            continue
        if separator == ":" and text[match.start() - 1 : match.start()] == ":":
            continue  # a part of the name of a resource: "arn:aws:…:secret:dwh"
        begin, end = _value(text, at)
        is_quoted = begin > at
        in_list = text[max(0, match.start() - 3) : match.start()].rstrip()[-1:] == ";"
        if not is_quoted and separator.strip() == "=":
            if braced := _BRACED.match(text, at):
                begin, end = braced.span(1)
            elif in_list and (semicolon := _TO_SEMICOLON.match(text, at)):
                begin, end = semicolon.span()
        value = text[begin:end]
        if (
            (separator[0] == "(" or "," in separator)
            and "value" not in separator.lower()
            and not _may_be_secret(value, is_named=True)
        ):
            continue
        if short == "pwd" and value[:1] in ("/", "~"):
            continue
        if short in ("pass", "auth", "otp", "jwt", "pw") and not _is_assigned(separator, value, is_quoted):
            continue
        if short.startswith(("authorization", "cookie")):
            spans = list(_header(text, begin, end, short))
        else:
            is_prose = not is_quoted and re.fullmatch(r":\s+", separator) is not None
            spans = [] if _is_no_secret(value, name, is_quoted, is_prose) else [(begin, end)]
        yield from spans
        at = max([at, *(last for _, last in spans)])


def _is_assigned(separator: str, value: str, is_quoted: bool) -> bool:
    """Whether a short name, which is also a word, is given a value: "pass=x1y2z3", not "pass: 3"."""
    is_close = is_quoted or (":" not in separator and not separator[:1].isspace())
    if not is_close:
        return _may_be_secret(value, is_named=False)
    return not re.fullmatch(r"[\d.,]{1,5}|[\d.]+%", value)


_PAIR = re.compile(r";\s{0,3}[^\s=;\"']{1,100}=([^\s;\"']{1,4096})")
_SECOND = re.compile(r"[ \t]{1,3}([^\s\"',;]{4,4096})")


def _header(text: str, begin: int, end: int, name: str) -> Iterator[tuple[int, int]]:
    """The credentials of a header: after the scheme, or after each name of a cookie."""
    if _is_no_secret(text[begin:end].partition(" ")[0], name, is_quoted=False) and not _SCHEME.match(text, begin):
        return
    yield begin, end
    at = end
    if name.startswith("cookie"):
        while pair := _PAIR.match(text, at):
            yield pair.span(1)
            at = pair.end()
    elif second := _SECOND.match(text, end):
        yield second.span(1)


_SCHEME = re.compile(r"(?:bearer|basic|digest|negotiate|token|apikey|aws4-hmac-sha256)\s", re.I)
_SAID = re.compile(
    rf"(?<!/)((?:{_LABELLED}|pwd|api[ -]key|access[ -]key|pin)"
    r"(?:\s(?:for|of)(?:\s(?:the|user|role|account|login|database))?\s[^\s]{1,40})?"
    r"(?:\s(?:(?:is|was|as|to|has been|will be)(?:\snow|\s(?:set|changed|reset)(?:\sto)?)?"
    r"|(?:set|changed|reset)\sto|changed\sfrom):?[ \t]{1,2}|[ \t]?[:=][ \t]{1,2})|identified\sby\s(?:values\s)?)",
    re.I,
)
"""A name and its value in prose."""
_LETTERS = re.compile(r"[A-Za-z]{1,30}+(?!\w)")
_OF_KUBERNETES = re.compile(r"[a-z0-9]{1,40}(?:[-.][a-z0-9]{1,40}){1,8}")
_NEXT_TO = re.compile(
    rf"(?<!/)((?:(?:{_LABELLED})[A-Za-z0-9_]{{0,20}}|pwd|api[ -]key|requirepass|masterauth|community|(?:bind|root)pw)"
    r"\s{1,2}[(\[<]?)(?=[^\s]{5})",
    re.I,
)
_KNOWN_FORMS = re.compile(
    r"(?:sha-?\d{1,4}\w{0,40}|md5|base64|utf-?\d\d?|x-?509|oauth-?\d|aes-?\d{3}|ed25519|[rhe]s\d{3}|argon2\w{0,4}|v\d[\d.]{0,20}|\d{1,12}(?:ms|s|m|h|d|k|kb|mb|min|th|st|nd|rd|x|%)?"
    r"|ipv[46]|rfc\d{1,5}|http/\d[\d.]{0,4}|\d{1,6}-\w{1,40})(?:-\w{1,40}){0,4}",
    re.I,
)


def _said(text: str) -> Iterator[tuple[int, int]]:
    """Words that only a secret looks like, after its name in a sentence."""
    at = 0
    while match := _SAID.search(text, at):
        begin, end = _value(text, match.end())
        at = match.end()
        end = begin + len(text[begin:end].rstrip(".,;:!?)"))
        is_sql = match[1].lower().startswith("identified")
        if begin < end and ((is_sql and begin > match.end()) or _may_be_secret(text[begin:end], is_named=True)):
            yield begin, end
            at = end
    at = 0
    while match := _NEXT_TO.search(text, at):
        begin, end = _value(text, match.end())
        at = match.end()
        is_quoted = begin > match.end()
        end = end if is_quoted else begin + len(text[begin:end].rstrip(".,;:!?)]>"))
        value = text[begin:end]
        is_name = match[1][:1] not in "Pp" and _OF_KUBERNETES.fullmatch(value) is not None
        if (is_quoted and _is_sql(text, match)) or (not is_name and _may_be_secret(value, is_named=is_quoted)):
            yield begin, end
            at = end


_SQL = re.compile(r"\b(?:alter|create|with|set|encrypted)\s(?:[\w\"]{1,63}\s){0,4}\Z", re.I)


def _is_sql(text: str, match: re.Match[str]) -> bool:
    return _SQL.search(text[max(0, match.start() - 80) : match.start()]) is not None


def _may_be_secret(term: str, is_named: bool) -> bool:
    """Whether it is neither prose nor an identifier: "Hunter2x", "s3cr3t!"; after a name and a verb or in
    quotes ("password is hunter2") less is needed than next to the name alone."""
    if len(term) < 5 or " " in term or _KNOWN_FORMS.fullmatch(term) or _REFERENCE.fullmatch(term):
        return bool(re.fullmatch(r"\d{4,}", term)) and is_named and len(term) != 4
    if (
        term[0] in "/~<({[$"
        or MASK in term
        or "://" in term
        or re.fullmatch(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?", term)
    ):
        return False
    has = [bool(re.search(part, term)) for part in ("[a-z]", "[A-Z]", r"\d", r"[!#$%^&*+=?~|@]")]
    if is_named:
        return (has[2] and (has[0] or has[1])) or (has[3] and (has[0] or has[1])) or bool(re.search("[a-z][A-Z]", term))
    return (sum(has) >= 3 or _alternates(term)) and not re.search(r"[=(/]", term)


def _alternates(term: str) -> bool:
    """Whether letters and digits alternate as in no name."""
    return len(re.findall(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])", term)) >= 4


_LONG = rf"(?<![A-Za-z0-9+/_-])(?<!SHA256:)(?<!SHA512:)[A-Za-z0-9+/_-]{{{SHORTEST},}}+={{0,2}}"
"""Not the fingerprint of a public key, as ssh prints it: people compare it."""
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----"
    r"(?:(?:[^-*]|-(?!----)){1,8192}-----END [A-Z0-9 ]{1,40}-----|(?:(?:\s|\\{1,7}[rn])*[A-Za-z0-9+/=]{16,}+)+)"
)
"""Only sets of characters are repeated possessively: of groups, re before 3.11.5 misses matches (Debian 12 has 3.11.2;
cpython issue 106052). It stays linear: a block has no five dashes in it, and a line begins where one ends."""
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}(?![0-9A-Za-z])"  # AWS: identifiers of keys, users and roles
    r"|eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"  # JWT, RFC 7519
    r"|gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+|gl[a-z]{2,5}-[A-Za-z0-9_-]{16,}+"
    r"|GR1348941[A-Za-z0-9_-]{16,}+|glc_[A-Za-z0-9+/=]{20,}+|glsa_[A-Za-z0-9_]{20,}+"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+|xoxe\.[A-Za-z0-9.-]{10,}+"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/=]{16,}+|sk-[A-Za-z0-9_-]{20,}+"
    r"|AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])|ya29\.[A-Za-z0-9_-]{20,}+|1//0[A-Za-z0-9_-]{20,}+|GOCSPX-[A-Za-z0-9_-]{20,}+"
    r"|(?:dapi|dkea|dose|dsapi|cnapi)[0-9a-f]{32}(?:-[0-9]{1,3})?"  # Databricks
    r"|hv[sbr]\.[A-Za-z0-9_-]{16,}+|s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])"  # Vault
    r"|SG\.[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+|xkeysib-[A-Za-z0-9-]{20,}+|key-[0-9a-f]{32}|SK[0-9a-f]{32}"
    r"|pypi-[A-Za-z0-9_-]{16,}+|npm_[A-Za-z0-9]{20,}+|rubygems_[0-9a-f]{32,}+|oy2[a-z0-9]{43}|dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}+"
    r"|hf_[A-Za-z0-9]{20,}+|r8_[A-Za-z0-9]{20,}+|gsk_[A-Za-z0-9]{20,}+|pplx-[A-Za-z0-9]{20,}+|xai-[A-Za-z0-9]{20,}+"
    r"|do[opr]_v1_[0-9a-f]{40,}+|shp(?:at|ss|ca|pa)_[0-9A-Za-z]{20,}+|sq[pua]_[0-9a-f]{40}|sntry[su]_[A-Za-z0-9+/=_-]{20,}+"
    r"|PMAK-[0-9a-f-]{20,}+|lin_(?:api|oauth)_[A-Za-z0-9]{20,}+|ntn_[A-Za-z0-9]{20,}+|secret_[A-Za-z0-9]{40,}+|fig[dou]r?_[A-Za-z0-9_-]{20,}+"
    r"|AT(?:ATT|CTT|BBT|BB)[A-Za-z0-9_=-]{20,}+|NRAK-[A-Z0-9]{20,}+|NRII-[A-Za-z0-9_-]{20,}+|tskey-[A-Za-z0-9-]{12,}+"
    r"|dt0[a-z]\d\d\.[A-Z0-9]{16,}+\.[A-Z0-9]{20,}+|AKCp[A-Za-z0-9]{20,}+|pul-[0-9a-f]{40}|dp\.(?:pt|st|ct|sa|scim)\.[A-Za-z0-9._-]{20,}+"
    r"|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{20,}+|bk[ua]a?_[0-9a-f]{20,}+|CCIPAT_[A-Za-z0-9_]{20,}+|pn[ub]_[A-Za-z0-9]{20,}+"
    r"|dbt[uc]_[A-Za-z0-9_=-]{16,}+|lsv2_[A-Za-z0-9_]{20,}+|hcaik_[A-Za-z0-9]{20,}+|sbp_[0-9a-f]{40}|AGE-SECRET-KEY-1[0-9A-Z]{20,}+"
    r"|[0-9]{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}+"
    r"|[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])|EAAC[A-Za-z0-9]{30,}+|FLWSECK[A-Za-z0-9_-]{16,}+"
    r")"
)
"""By their prefixes, as their makers document them for scanners of secrets."""
_HOOK = re.compile(
    r"(?<=hooks\.slack\.com/)(services/|workflows/|triggers/)[A-Za-z0-9/_-]{1,200}+"
    r"|(\.webhook\.office\.com/webhookb?2?/|outlook\.office\.com/webhook/|hc-ping\.com/|hchk\.io/|nosnch\.in/|cronitor\.link/p/"
    r"|heartbeat\.uptimerobot\.com/|hooks\.zapier\.com/hooks/catch/|api\.telegram\.org/bot|/with/key/|hook\.[a-z0-9]{2,4}\.make\.com/"
    r"|webhook\.site/)[^\s\"'<>?#\u00b7]{1,400}+",
    re.I,
)
_ADDRESS_KEY = re.compile(
    r"(?<=/)(?:hooks?|(?:incoming)?webhooks?(?:b2)?|ping|heartbeats?|integrations?|alerts?)/[^\s\"'<>?#\u00b7]{16,400}",
    re.I,
)
"""The key in an address to which only its owner may post: of chats, pagers and watchers of jobs."""
SIGN_IN = re.compile(r"\b(bearer|basic|digest|negotiate)(\s{1,3})(?=[^\s]{0,200}[0-9=])([A-Za-z0-9._~+/=-]{8,}+)", re.I)
_LOGIN = re.compile(
    r"(?<=://)(?:(?<!http://)(?<!https://)|(?![^\s/@:]{0,256}:\d{1,5}/))([^\s/@:\"'<>]{0,256}+:)"
    r"((?:[^\s/\"'<>]|(?<!:)/|/(?!/)|[\"'](?![\s,:;}\])])){1,256})(?=@)"
)
_LOGIN_ALONE = re.compile(r"(?<=://)[^\s/@:]{16,256}+(?=@)")
_LOGIN_CUT = re.compile(r"(?<=://)([^\s/@:\[\"']{1,256}+:)(?!\d{1,5}(?:\D|\Z))([^\s/@\"']{1,256}+)\Z")
_LOGIN_BARE = re.compile(r"(?<![\w/.:@-])([A-Za-z_][\w.$#-]{0,40}[:/])([^\s:/@\"'<>]{5,100})(?=@(?!sha256)[A-Za-z/])")
_LOGIN_OF_DRIVER = re.compile(r"(:(?:thin|oci8?):[\"'@]?[^\s/@:]{1,128}/)([^\s@\"']{1,256}+)")
_OPTION = re.compile(
    r"(?<![\w-])(--?(?:[a-z0-9]{1,20}-){0,3}(?:password|passwd|passphrase|pass|pwd|pw|token|secret|api-?key|(?:account|access|secret)-key|pat"
    r"|credentials?)(?:[\"']?,?\s{1,3}|=))(?!-)",
    re.I,
)
_PIPED = re.compile(
    r"\b(?:echo|printf)\s{1,3}(?:-\w{1,3}\s{1,3}|[\"']%s\S{0,3}\s{1,3})?([^\s|]{4,200})\s{0,3}\|\s{0,3}(?:[^|\n]{1,120}(?:--password-stdin|--stdin|--passphrase-fd)|sudo\s[^|\n]{0,40}-S|(?:/usr/sbin/)?chpasswd|kinit\b|passwd\b)"
)

_CLIENTS: dict[str, tuple[str, ...]] = {
    "curl": ("-u:", "--user:", "-U:", "--proxy-user:", "-b=", "--cookie="),
    "redis-cli": ("-a",),
    "sshpass rdesktop cqlsh beeline hdbsql ncftp ncftpget ncftpput mongo mongosh mongodump mongorestore mongoexport "
    "mongoimport mongostat mongotop mongofiles docker.login podman.login az.login cf.login oc.login helm.login "
    "buildah.login skopeo.login psexec usermod useradd": ("-p",),
    "isql iusql": ("-P", "#3"),
    "sqlcmd bcp osql tsql freebcp bsqldb fisql ipmitool mosquitto_pub mosquitto_sub zip unzip": ("-P",),
    "ldapsearch ldapmodify ldapadd ldapdelete ldapwhoami ldapcompare ldapmodrdn vsql": ("-w",),
    "ldappasswd": ("-w", "-s", "-a"),
    "smbclient rpcclient smbget winexe smbcacls": ("-U%", "--user%"),
    "lftp open": ("-u,", "--user,"),
    "snmpwalk snmpget snmpset snmpbulkwalk snmptrap snmpinform": ("-A", "-X"),
    "nzsql nzload": ("-W", "-pw"),
    "plink pscp psftp plink.exe pscp.exe": ("-pw",),
    "openssl": ("-k", "-K", "-passin:", "-passout:", "-pass:"),
    "7z 7za 7zr rar unrar": ("-p+", "-hp+"),
    "xfreerdp wfreerdp": ("/p:+",),
    "htpasswd rabbitmqctl": ("#3",),
    "db2": ("using",),
    "connect conn": ("using", "/"),
    "sqlplus sqlldr expdp impdp rman sqlcl exp imp": ("/",),
}  # fmt: skip
"""Options of each program whose value is a password. ":", "%", ",", "=": the part behind this sign. "+": the value
follows without a space. "/": that of a login `user/password@database`; "#3": the third argument without options."""
_OF_CLIENT = {
    name.replace(".", " ") if name.endswith("login") else name: how
    for names, how in _CLIENTS.items()
    for name in names.split()
}
_CLIENT = re.compile(
    r"(?<![\w.-])((?:mysql|mariadb)[a-z_-]{0,16}"
    + "".join(
        f"|{re.escape(name).replace(chr(92) + ' ', ' (?:registry )?')}" for name in sorted(_OF_CLIENT, reverse=True)
    )
    + r")(?:\.exe)?(?![\w:/=.-])[\"']?",
    re.I,
)
_CLIENT_HINTS = ("mysql", "mariadb", *{name.partition(" ")[0] for name in _OF_CLIENT})
_ARGUMENTS = 24
"""Words of a command that are read."""
_ARGUMENT = re.compile(r"(?:[ \t,]|\\\n)*+([^\s]{1,400}+)")
_LOGIN_ARGUMENT = re.compile(r"(?:userid=)?[\"'\\]{0,4}[A-Za-z_#$][\w#$.\[\]]{0,60}/(?=[^\s/])", re.I)


def _commands(text: str) -> Iterator[tuple[int, int]]:
    """Passwords among the arguments of programs."""
    at = 0
    while match := _CLIENT.search(text, at):
        at = match.end()
        name = match[1].lower().replace("registry ", "")
        yield from _arguments(text, at, _OF_CLIENT.get(name, ("-p+",)), name)


def _arguments(text: str, at: int, options: tuple[str, ...], client: str) -> Iterator[tuple[int, int]]:
    arguments = 0
    for _ in range(_ARGUMENTS):
        if not (term := _ARGUMENT.match(text, at)) or term[1] in ("|", ";", "&", "&&", "||"):
            return
        begin, at = term.start(1), term.end()
        core = term[1].lstrip("\"'[(\\")
        first = begin + len(term[1]) - len(core)
        for option in options:
            if option == "#3":
                arguments += core[:1] != "-"
                begin, last = _value(text, begin)
                if arguments == 3 and _may_be_secret(text[begin:last], is_named=True):
                    yield begin, last
                continue
            if option == "/":
                if login := _login_in(text, begin, at, client):
                    yield login
                continue
            mark = option[-1] if option[-1] in ":%,+=" and len(option) > 1 else ""
            flag = option.removesuffix(mark) if mark else option
            if option == "/p:+":
                flag = "/p:"
            bare = core.rstrip("\"',])\\")
            if bare == flag or (len(flag) == 2 and mark != "+" and re.fullmatch(rf"-[A-Za-z]{{1,5}}{flag[1]}", bare)):
                value = _ARGUMENT.match(text, at) if mark != "+" else None
                if value is not None and not value[1].startswith("-"):
                    yield from _of_option(text, value.start(1), mark)
                    at = max(at, _value(text, value.start(1))[1])
                break
            if core.startswith(flag) and (len(flag) == 2 or mark == "+" or core[len(flag)] == "=") and flag != "using":
                begin = first + len(flag)
                begin += text[begin] == "="
                yield from _of_option(text, begin, mark)
                at = max(at, _value(text, begin)[1])
                break
        if term[1][-1] in ";|":
            return


def _of_option(text: str, at: int, mark: str) -> Iterator[tuple[int, int]]:
    begin, end = _value(text, at)
    if mark in ("", "+"):
        if not _REFERENCE.fullmatch(text[begin:end]):
            yield begin, end
    elif (term := _ARGUMENT.match(text, at)) and (split := text.find(mark, begin, max(end, term.end()))) >= 0:
        end = max(end, term.end()) if begin == at else end
        inner, last = _value(text, split + 1) if text[split + 1 : split + 2] in ('"', "'") else (split + 1, end)
        if not _REFERENCE.fullmatch(text[inner:last]):
            yield inner, last


def _login_in(text: str, begin: int, end: int, client: str) -> tuple[int, int] | None:
    login = _LOGIN_ARGUMENT.match(text, begin, end)
    if login is None:
        return None
    database = text.rfind("@", login.end(), end)
    if database < 0 and client in ("connect", "conn", "exp", "imp"):
        return None
    last = database if database > login.end() else login.end() + len(text[login.end() : end].rstrip("\"',])"))
    if _REFERENCE.fullmatch(text[login.end() : last]) or text[login.end() : last] in ("or", "and"):
        return None
    return login.end(), last


def mask_shapes(text: str) -> str:
    """The text with stars for secrets, once: stars may complete another shape next to them."""
    text = _cut_pem(_PEM.sub(MASK, text)) if "-----" in text else text
    text = _TOKENS.sub(MASK, text)
    low = text.lower()
    if "/" in text:
        text = _HOOK.sub(lambda match: (match[1] or match[2]) + MASK[: len(match[0]) - len(match[1] or match[2])], text)
        text = _ADDRESS_KEY.sub(lambda match: _ADDRESS_PART.sub(_if_key, match[0]), text)
    if any(hint in low for hint in ("bearer", "basic", "digest", "negotiate")):
        text = SIGN_IN.sub(lambda match: match[1] + match[2] + MASK, text)
    if "://" in text:
        text = _LOGIN.sub(lambda match: match[1] + _stars_for(match[2]), text)
        text = _LOGIN_ALONE.sub(MASK, text)
        text = _LOGIN_CUT.sub(lambda match: match[1] + _stars_for(match[2]), text)
    if "@" in text:
        text = _LOGIN_BARE.sub(
            lambda match: match[1] + _stars_for(match[2]) if _may_be_secret(match[2], is_named=False) else match[0],
            text,
        )
    if "@" in text and (":thin:" in low or ":oci" in low):
        text = _LOGIN_OF_DRIVER.sub(lambda match: match[1] + _stars_for(match[2]), text)
    if any(client in low for client in _CLIENT_HINTS):
        text = _with_stars(text, _commands(text))
    if any(hint in low for hint in _HINTS):
        text = _with_stars(text, _options(text))
        text = _with_stars(text, _named(text))
        text = _with_stars(text, _said(text))
    if "|" in text:
        text = _with_stars(text, (match.span(1) for match in _PIPED.finditer(text)))
    return _ASSIGNED.sub(_if_random, text)


def _options(text: str) -> Iterator[tuple[int, int]]:
    for match in _OPTION.finditer(text):
        begin, end = _value(text, match.end())
        if not _is_no_secret(text[begin:end], "", begin > match.end(), is_prose=match[1][-1] != "="):
            yield begin, end


_ADDRESS_PART = re.compile(r"[A-Za-z0-9_@.-]{16,200}+")
_KEY = re.compile(
    r"(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{20,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I
)


def _if_key(match: re.Match[str]) -> str:
    """Stars for a part of an address that is a key, and no name of a job."""
    part = match[0]
    has_all = all(re.search(letters, part) for letters in ("[a-z]", "[A-Z]", "[0-9]"))
    return MASK if _KEY.fullmatch(part) or has_all or _alternates(part) else part


def _with_stars(text: str, spans: Iterator[tuple[int, int]]) -> str:
    parts, done = list[str](), 0
    for begin, end in sorted(spans):
        if begin >= done:
            parts += [text[done:begin], _stars_for(text[begin:end])]
            done = end
    return "".join([*parts, text[done:]])


_ASSIGNED = re.compile(rf"(?:(?<=[=:])|(?<=[=:][\s\"'])){_LONG}")
_ANYWHERE = re.compile(_LONG)
_ADDRESS = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+(?=@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,200})")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{12,}+|\d{4}(?:[ -]\d{4}){2}[ -]\d{1,7}|[A-Z]{2}\d{2}[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")


def mask_shapes_strictly(text: str) -> str:
    """Like `mask_shapes`; also mail addresses, card and account numbers, and random words anywhere."""
    text = _ANYWHERE.sub(_if_random, mask_shapes(text))
    return _ADDRESS.sub(_stars, _NUMBER.sub(MASK, text))


def _stars(match: re.Match[str]) -> str:
    return _stars_for(match[0])


def _stars_for(value: str) -> str:
    return MASK[: len(value)]


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


def is_secret_name(name: str) -> bool:
    """Whether a value with this name is a secret of any shape: "db_password", "credentials", "apiToken"."""
    return _NAME.search(name) is not None
