"""Shapes by which secrets are recognized: tokens, addresses, options of programs, and values after names of secrets.

The sign before a value decides what it must look like: after "=" any word is masked, in a sentence only what is neither
prose nor an identifier. References ("$PASSWORD") and words of messages ("expired") stay.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from itertools import groupby, takewhile

MASK = "***"
ENTROPY_BITS = 3.9
"""Bits per character from which a mixed word of SHORTEST letters counts as a key; English has about 3.3."""
SHORTEST = 24
LONGEST = 4096
"""Characters of a value in quotes."""
MOST_GLUED = 32
"""Quotes inside a value, each with a letter after it: with more of them, the value is not closed."""


class Sign(IntEnum):
    """The words or marks that announce a secret, the least sure first."""

    NEXT = 0
    """The name alone: a value is masked if it mixes letters, digits and marks as no identifier does."""
    STATED = 1
    """A verb ("password is X") or quotes: a value is masked if it has letters and digits or marks."""
    NAMED = 2
    """A colon ("password: X"), or a verb and quotes: words of messages and of a sentence stay."""
    ASSIGNED = 3
    """"=", JSON, an option ("--password X"): only words of messages and references stay."""


_NOUNS = (
    r"pass(?:word|phrase|code|wort|wrd)|(?<!no)passwd|secret|token|credentials?|kennwort|wachtwoord|contrase\S{1,8}?a|senha|heslo|hasło|jelszó"
    r"|palavra-passe|l\S{1,12}senord|adgangskode|mot[ _-]?de[ _-]?passe|пароль|密码|パスワード"
)
_NAMES = (
    r"(?:a(?:pi|pp|ccess|ccount|uth)|s(?:hared|igning|ervice|torage|ession|ubscription|ecret)|private|client|encryption"
    rf"|master|fernet|license|functions)[._-]?key|{_NOUNS}|authorization|signature|cookie"
    r"|[jp]h?p?sess(?:ion)?id|(?<=[?&])(?:sig|key|auth)|x-jfrog-art-api|(?<=pragma\s)key"
)
_SHORT = (
    r"p(?:(?<=\bp)|(?<=_p)|(?<=%[0-9a-f]{2}p)|(?-i:(?<=[a-z]P))|(?<=dbp)|(?<=bindp|rootp|userp)|(?<=storep)|(?<=keyp))wd?"
    r"|(?<!by)(?<!com|sur)(?<!tres)pass|(?<![A-Za-z])(?:auth|jwt|otp|psk|pat)"
)
"""Also parts of other words: names only directly before a separator, or as an option."""
_SPOKEN = rf"{_NOUNS}|pwd|(?:api|access|secret)[ _-]key|requirepass|masterauth|community|(?:bind|root)pw"
_NAME = re.compile(rf"{_NAMES}|(?<![A-Za-z])pwd", re.I)
_HINTS = (
    "pass", "secret", "token", "key", "cred", "auth", "signature", "cookie", "sig=", "pw", "sess", "jwt", "otp", "psk",
    "-pat", "identified", "securestring", "kennwort", "wachtwoord", "contrase", "senha", "heslo", "hasło", "jelszó",
    "senord", "adgangskode", "пароль", "密码", "パスワード", "jfrog", "community", "assword", "-p:", "/p:",
)  # fmt: skip
"""Every line in which a name is found contains one of these: most lines are skipped quickly."""
_REACH = 8
"""Lines of one command."""
_ENTITY = r"&(?:quot|apos|#34|#39|#x22|#x27);|%2[27]|\\u002[27]"
_QUOTE = rf"(?:\\{{0,7}}[\"'`]|{_ENTITY})"
_EQUALS = r"(?:=>|->|:=|==?|[:：](?!//)|%3[da]|\\{1,4}u003[da]|&#61;)"
_SPACE = r"[\s\u00b7]{0,3}"
_BLOCK = r"\s[|>][+-]?\s?(?:[\n\u00b7]|\\{1,7}n)\s{0,20}"
_SEPARATOR = (
    rf"(?:{_QUOTE}?\]?(?:{_SPACE}|[ \t]{{4,20}}){_EQUALS}(?:3D(?![0-9A-F])|{_BLOCK})?{_SPACE}[\[(]{{0,2}}"
    rf"|\((?={_QUOTE})|{_QUOTE},\s{{0,3}}b?(?={_QUOTE}(?!\w{{1,30}}{_QUOTE}\s?:))"
    rf"|{_QUOTE}[\s,]{{1,40}}{_QUOTE}?value{_QUOTE}?{_SPACE}[:=]{_SPACE}|(?:\s|\\{{1,3}}[nrt]){{1,20}}value:\s{{1,3}}"
    rf"|{_QUOTE}?(?:\s[^<>\n]{{0,60}})?>(?:</name>\s{{0,9}})?(?:<value>)?(?:<!\[CDATA\[)?(?=[^<\s]))"
)
"""Also that of a list of pairs, of a record with the fields name and value, and the end of an XML tag."""
_NAMED = re.compile(
    rf"(?i)(?:(?P<name>{_NAMES})(?P<tail>[A-Za-z0-9_.-]{{0,20}}?)|(?P<short>{_SHORT}))"
    rf"(?:[ \t]\([a-z]{{1,20}}\))?({_SEPARATOR})"
)
_OPTION = re.compile(
    rf"(?i)(?:(?<![\w-])--?(?:[a-z0-9]{{1,20}}[.-]){{0,4}}|\bset(?:x|env|\s-\w{{1,4}}|(?=\s\w{{1,40}}_))\s{{1,3}}(?:[a-z0-9]{{1,20}}_){{0,4}}|(?<=\s)(/))"
    rf"[a-z]{{0,20}}(?:(?:{_NAMES})\d?|{_SHORT})(?(1):(?=\S)|(?:[\"']?,?\s{{1,3}}|=)(?!-))"
    r"|(?<!\|)(?<!\|\s)ConvertTo-SecureString\s{1,3}(?:-(?:AsPlainText|Force|String)\s{1,3}){0,3}(?!-)"
    r"|(?<![^\s\"'])[-/]p:(?!\d{1,5}\b|[\w.]{1,60}=)|asswor[dt]\W{1,30}send\s{1,3}(?:--\s{1,3})?(?=\\{0,15}[\"'][^$])"
)
_STATEMENT = r"\s{1,3}[^\s,;:]{1,80}\s{1,9}"
_SQL = re.compile(
    rf"(?i)\b(?:password\s{{1,3}}|(?-i:PASSWORD\(|SECRET\s))(?=\\{{0,7}}['\"`])|(\b(?:user|role|to){_STATEMENT})?\bidentified\s{{1,9}}(?:with\s\w{{1,40}}\s)?by\s{{1,9}}(?:values\s)?"
)
_LAST = re.compile(
    rf"(?im)(machine{_STATEMENT}|(?=username{_STATEMENT}password\s\d|login\s\S{{1,80}}\n)|(?:\b(?:quote|redis|C:)|[->]{{2,5}})\s)?"
    rf"(?:(?<![\w.-])(?:login|user(?:name)?|account){_STATEMENT}pass(?:word|wd)?\s{{1,3}}(?:\d\s)?"
    r"|(?(1)|(?:^|[>:\]\"'`(]\s{0,3}))(?-i:PASS|AUTH)(?:\\{0,7}\")?\s"
    r"(?:(?:PLAIN|LOGIN)\s|\\{0,7}\"[\w.-]{1,60}\\{0,7}\"\s(?=\\{0,7}\")|[\w.-]{1,60}\s(?=\S{1,200}$))?(?!(?-i:[A-Z]+\b)))"
    r"(?(1)(?:(?=[^\s/\"']{1,200}([\"'\\)}\]]|$)))?)"
)
"""Words as .netrc has them, and commands of protocols. In the last group: the value ends the line, or the quotes."""
_VERB = (
    r"(?:\s(?:f\S{1,12}r|of|von|pour|para|del?|di)(?:\s(?:the|user|role|account|login|client|database))?\s\S{1,40})?"
    r"(?:\s(?:is|was|as|to|has been|will be|used|ist|lautet|est|es)(?:\snow|\s(?:set|changed|reset)(?:\sto)?)?"
    r"|\s(?:set|changed|reset)\sto|\schanged\sfrom|[ \t]?(?=[:=][ \t])):?=?[ \t]{1,2}"
)
_SAID = re.compile(rf"(?<!/)(?:(?:{_SPOKEN})({_VERB}|[ \t]{{1,9}}[(\[<]?(?=\S{{4}})))", re.I)
_BARE = re.compile(
    r"(?:[^\s\"',;&<]{1,16}+|<(?!/)|[\"',;&](?![\s\"',;&)}\]>\\@|\u00b7]|\Z|[\w.-]{1,40}\\?[\"']?\s?(?:[=:]|%3D))){1,400}"
)
"""A value without quotes: a comma, a quote or an ampersand ends it only at the end of a word or before another name."""
_OPENING = re.compile(rf"(\\{{0,63}})([\"'`])|({_ENTITY})", re.I)

_MESSAGE_TEXT = (
    "none null nil true false yes no on off undefined unset n/a na default empty hidden redacted sensitive enabled "
    "disabled authentication expired missing required failed a an the is was be has have must may can cannot should "
    "will not does do of in for from at to with without by and or if as this that it its your our any please check "
    "contact use set update enter invalid optional incorrect wrong bad unknown ok success too short shorter longer "
    "more less long weak strong blank absent present malformed corrupt valid kerberos basic bearer digest negotiate "
    "ntlm oauth oauth2 saml ldap plain plaintext secure failure error end only forbidden found sent reset mismatch "
    "falsch ungültig abgelaufen fehlt nicht leer invalide expiré requis incorrecta caducada requerida "
    "needs access requires expects closed strict string value connection request login logon permission ***"
)
_MESSAGES = frozenset(_MESSAGE_TEXT.split())
"""Found after the name of a secret in messages."""
_NEED = re.compile(r"(?i)(?:must|is|cannot|should|may|required|invalid|incorrect|missing|expired|too|does|has|this)\b")
_NO_VALUE = re.compile(r"[a-z]{4,20}(?:ed|ing|able|ible)|[\d\W]{0,3}")
_REFERENCE = re.compile(
    r"(?:\$(?:\{[^}\n]{0,80}\}?|\([^)\n]{0,80}\)?|[A-Z_][A-Z0-9_]{0,60})|\{\{.{0,80}|%\(?\w{0,40}\)?s|%[A-Za-z_]{1,40}%"
    r"|<[A-Za-z][\w -]{0,40}>?|\[[A-Za-z ]{1,20}\]?|\{[\w.]{0,20}(?:pass|secret|token|key|pwd|cred)[a-z_.]{0,20}\}"
    r"|(?:os\.|process\.|System\.)?(?:getenv|environ|env)\b\S{0,80}|!{1,2}[a-z]{2,20}"
    r"|[A-Za-z_.]{2,60}(?:\(\)?(?:[.\[]\S{0,80})?|[(\[](?:[\"'][\w./:-]{0,80}[\"']?|\d{1,4})[)\]]?)"
    r"|[A-Za-z]\w{0,60}(?:Error|Exception|Failure|Expired|Warning)|[*x.•]{3,80}|[\W_]{1,2}|[a-z]{2,7}'t"
    rf"|(?i:(?:[a-z_]{{1,40}}\.){{1,4}}[a-z_]{{0,20}}(?:{_NAMES})[a-z_.]{{0,40}})"
    r"|[A-Z_]{0,20}(?:PASSWORD|TOKEN|SECRET|KEY|PW))[.,:;)\]}]{0,9}"
)
"""No secret but its variable, its placeholder, or an error about it."""
_KNOWN_FORMS = re.compile(
    r"(?i)(?:(?:scram-)?sha-?\d{1,4}\w{0,40}|md5|base64|utf-?\d\d?|x-?509|oauth-?\d|aes-?\d{3}|ed25519|[rhe]s\d{3}|argon2\w{0,4}|v\d[\d.]{0,20}"
    r"|\d{1,12}(?:ms|s|m|h|d|k|kb|mb|min|th|st|nd|rd|x|%)?|ipv[46]|rfc\d{1,5}|http/\d[\d.]{0,4}|\d{1,6}-\w{1,40})(?:-\w{1,40}){0,4}"
    r"|\d{4}-\d\d-\d\dT\S{0,20}|(?-i:[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?)"
)
_SENTENCE = re.compile(r"[a-z]{1,30}[ \t](?!(?:refused|rejected|denied)\b)[a-z0-9]{1,20}(?![\w:=/@-])")


def _is_secret(value: str, sign: Sign, name: str = "") -> bool:
    """Returns whether the value after such a sign is a secret."""
    term = value.strip(".,:;!?)]}\"'(").lower()
    if not value or term in _MESSAGES or _REFERENCE.fullmatch(value) or (" " in value and _NEED.match(value)):
        return False
    if sign < Sign.NAMED:
        return _is_random_term(value.rstrip(".,;:!?)]>"), sign)
    return value.strip("_,;)") != name and (sign is Sign.ASSIGNED or not _NO_VALUE.fullmatch(term))


def _is_random_term(term: str, sign: Sign) -> bool:
    """Returns whether it is neither prose nor an identifier: "Hunter2x", "s3cr3t!"."""
    if len(term) < 5 or " " in term or _KNOWN_FORMS.fullmatch(term):
        return sign is Sign.STATED and re.fullmatch(r"\d{5,12}", term) is not None
    if term[0] in "/~<({[$" or MASK in term or "://" in term or re.match(r"\w{1,40}=[^=]", term):
        return False
    lower, upper, digit, mark = (bool(re.search(part, term)) for part in ("[a-z]", "[A-Z]", r"\d", r"[!#$%^&*+=?~|@]"))
    if sign is Sign.STATED:
        return ((digit or mark) and (lower or upper)) or re.search("[a-z][A-Z]", term) is not None
    return (lower + upper + digit + mark >= 3 or _alternates(term)) and not re.search(r"[=(/]", term)


def _alternates(term: str) -> bool:
    """Whether letters and digits alternate as in no name."""
    return len(re.findall(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])", term)) >= 4


def _value(text: str, at: int, within: int = 0) -> tuple[int, int]:
    """Returns where the value is that begins there, without quotes; to the end of the line if they are not closed.
    `within`: the end of a value without quotes, of which it may be a part."""
    opening = _OPENING.match(text, at)
    if opening is None and at < within:
        return at, within
    if opening is None:
        bare = _BARE.match(text, at)
        return (at, bare.end()) if bare else (at, at)
    begin = opening.end()
    end = text.find("\n", begin, begin + LONGEST)
    end = min(len(text), begin + LONGEST) if end < 0 else end
    if opening[3]:
        closed = text[begin:end].lower().find(opening[3].lower())
        return begin, begin + closed if closed >= 0 else end
    depth, quote, past, glued = len(opening[1]), opening[2], begin, list[int]()
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
            glued.append(after)  # escaped once more, or the value of a shell goes on
            if len(glued) > MOST_GLUED:
                break
    bare = _BARE.match(text, glued[0]) if glued else None
    return begin, bare.end() if bare else end


_TO_SEMICOLON = re.compile(r"[^;=\n\"'{}]{1,200}(?=;)")
_BRACED = re.compile(r"\{((?:[^{}\n]|\}\}|(?<!\A)\{){1,400})\}(?!\})")
_GRAMMAR = re.compile(r"(?i)(?:invalid|unexpected|mismatched|near|missing|illegal|unrecognized|bad|offending|last)\s\Z")
"""Before a token that a parser rejects."""
_WHOLE_TAIL = re.compile(
    rf"(?i)[_.-]?(?:\d{{1,2}}|{_NAMES}|base|value|prod(?:uction)?|stag(?:e|ing)|dev|test|qa|uat|live|old|new|main|primary|secondary)?"
)
_KUBERNETES = re.compile(r"[a-z0-9]{1,40}(?:[-.][a-z0-9]{1,40}){1,8}")


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Values after names with a separator."""
    at = within = 0
    while match := _NAMED.search(text, at):
        at = match.end()
        name, separator = (match["name"] or match["short"]).lower(), match[4]
        before = text[max(0, match.start() - 60) : match.start()]
        if ">" in separator and not re.search("[=:-] ?>", separator) and "<" not in before:
            continue
        if separator == before[-1:] == ":":
            continue  # a part of the name of a resource: "arn:aws:…:secret:dwh"
        begin, end = _value(text, at, within)
        within = end if begin == at else within
        if begin == at and separator.strip() == "=":
            if braced := _BRACED.match(text, at):
                begin, end = braced.span(1)
            elif before[-3:].rstrip()[-1:] == ";" and (semicolon := _TO_SEMICOLON.match(text, at)):
                begin, end = semicolon.span()
        sign = _sign(match, before, begin, end)
        further = _CREDENTIAL.match(text, end) if name == "authorization" and begin < end else None
        if further and not _is_secret(further[1], Sign.ASSIGNED) and MASK not in further[1]:
            further = None
        if further or (sign is not None and _is_secret(text[begin:end], sign, name)):
            yield begin, end
            at = end
            while name in ("authorization", "cookie") and (further := (further or _PAIR.match(text, at))):
                yield further.span(1)
                at, further = further.end(), None


def _sign(match: re.Match[str], before: str, begin: int, end: int) -> Sign | None:
    """Returns how surely the name and its separator announce a secret; None if it only seems to be a name."""
    name, tail, separator = match["name"], match["tail"] or "", match[4]
    value, is_quoted = match.string[begin:end], begin > match.end()
    is_sentence = not is_quoted and re.fullmatch(r":\s+[\[(]{0,2}", separator) is not None
    if name is None:
        if re.fullmatch(r"[\d.,]{1,5}|[\d.]+%|(?:[a-z]:\\|[/~]).*", value, re.I):
            return None
        if not is_quoted and (":" in separator or separator[:1].isspace()):
            return Sign.NAMED if "w" in match["short"].lower() or before[-1:] in tuple("_.-") else Sign.NEXT
        return Sign.ASSIGNED
    if is_sentence and name.lower() == "token" and _GRAMMAR.search(before) and value.isalpha():
        return None
    if not _WHOLE_TAIL.fullmatch(tail):
        # "secretsmanager:GetSecretValue"
        return Sign.NEXT if tail[0] == "s" or tail.lower().endswith(("name", "ref", "id")) else Sign.STATED
    is_pair = separator[0] == "(" or ("," in separator and "value" not in separator.lower())
    if is_pair and not (name.lower() == "authorization" and " " in value):
        return Sign.STATED
    if name.lower() == "signature" and is_sentence:
        return Sign.NEXT
    if not is_sentence:
        return Sign.ASSIGNED
    # "POST https://host/token: refused", "token: shorter than expected"
    is_prose = before[-1:] == "/" or _SENTENCE.match(match.string, begin)
    return Sign.STATED if is_prose and not re.search(r"[\w.-]\Z", before) else Sign.NAMED


_PAIR = re.compile(r"[;,]\s{0,3}[^\s=;,\"']{1,100}=\"?([^\s;,\"']{1,4096})\"?")
_CREDENTIAL = re.compile(
    r"(?i)(?:(?<=arer|asic|gest|ntlm|iate|oken|ikey|lunk)"
    r"|(?<=\w)(?=[ \t]{1,3}\S{0,200}[0-9=*]))[ \t]{1,3}([^\s\"',;]{3,4096}(?:\"[^\"\n]{0,400}\")?)"
)


def _said(text: str) -> Iterator[tuple[int, int]]:
    """Values that follow names in sentences, and options of programs."""
    at = 0
    while match := _SAID.search(text, at):
        begin, end = _value(text, at := match.end())
        is_quoted = begin > at
        if not is_quoted:
            end = begin + len(text[begin:end].rstrip(".,;:!?)]>"))
        sign = Sign(is_quoted + bool(match[1].strip(" \t([<") or match[0][:4].lower() == "pass"))
        if sign is Sign.STATED and is_quoted and _KUBERNETES.fullmatch(text[begin:end]) and match[0][0] not in "Pp":
            continue  # the name of a secret in Kubernetes
        if _is_secret(text[begin:end], sign):
            yield begin, end
            at = end
    for pattern, sign in ((_OPTION, Sign.ASSIGNED), (_SQL, Sign.STATED), (_LAST, Sign.NEXT)):
        for match in pattern.finditer(text):
            begin, end = _value(text, match.end())
            least = Sign.NAMED if begin > match.end() or match.lastindex == pattern.groups else sign
            if _is_secret(text[begin:end], max(sign, least)):
                yield begin, end


_LINE = re.compile(r"[^\n\u00b7]{1,4096}")
_CELLS = (*(re.compile(rf"(?:^|[{mark}])([^{mark}]{{0,4096}})") for mark in "|,;"), re.compile(r"(\S{1,4096})"))
_HEADER = re.compile(rf"[ \"']{{0,40}}(?:\w{{1,20}}_)?(?:{_SPOKEN})[ \"']{{0,40}}", re.I)


def _columns(text: str) -> Iterator[tuple[int, int]]:
    """Cells below the name of a secret in the header of a table, whose columns have a mark or spaces between them."""
    cell, columns, width = _CELLS[0], list[int](), 0
    for line in _LINE.finditer(text):
        if columns and len(row := list(cell.finditer(line[0]))) == width:
            for match in (row[column] for column in columns):
                value = match[1].strip(" \"'")
                begin = line.start() + line[0].index(value, match.start(1))
                if " " not in value and _is_secret(value, Sign.NAMED):
                    yield begin, begin + len(value)
        elif not columns or re.search(r"\w", line[0]):
            columns = []
            for cell in () if re.search(r"\w \w", line[0]) or not _NAME.search(line[0]) else _CELLS:
                names = [match[1] for match in cell.finditer(line[0])]
                if (width := len(names)) > 1 and re.search(r"[|,;]|^\s*(?:\w+\s+){2}\w[\w\s]*$", line[0]):
                    columns = [column for column, name in enumerate(names) if _HEADER.fullmatch(name)]
                    break


_LONG = rf"(?<![A-Za-z0-9+/_-])(?<!SHA256:|SHA512:)[A-Za-z0-9+/_-]{{{SHORTEST},}}+={{0,2}}"
"""Not the fingerprint of a public key, as ssh prints it: people compare it."""
_KEY_LINES = r"(?:(?:\s|\\{1,7}[rn])*[A-Za-z0-9+/=]{16,}+)+"
_PEM = re.compile(
    rf"-----BEGIN [A-Z0-9 ]{{1,40}}-----(?:(?:[^-*]|-(?!----)){{1,8192}}-----END [A-Z0-9 ]{{1,40}}-----|{_KEY_LINES})"
    rf"|Private-Lines: \d{_KEY_LINES}"
)
"""Groups are not repeated possessively: re before 3.11.5 misses matches then (cpython issue 106052)."""
_PREFIXED = re.compile(
    r"()((?<![A-Za-z0-9_-])(?:"
    r"(?:gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-|GR1348941|gl(?:c|sa)_|xox[a-z]-|xapp-|xoxe\."
    r"|[spr]k_(?:live|test)_|whsec_|AIza|ya29\.|GOCSPX-|hv[sbr]\.|SG\.|xkeysib-|pypi-|dckr_[po]at_|shp(?:at|ss|ca|pa)_"
    r"|sntry[su]_|PMAK-|lin_(?:api|oauth)_|NRII-|tskey-|dp\.[a-z]{2,4}\.|dt0[a-z]\d\d\.|[A-Za-z0-9]{14}\.atlasv1\.|CCIPAT_"
    r"|dbt[uc]_|lsv2_|AGE-SECRET-KEY-1|FLWSECK|pscale_[a-z]{2,5}_|sha256~|do[opr]_v1_)(?=[^\s0-9]{0,80}\d|(?=[\w.-]{24})[\w.-]{0,80}[a-z][A-Z])[\w=+/.~%-]{16,}+"
    r"|(?:sk-(?:[a-z]{2,6}-)?(?:api\d\d-)?|npm_|hf_|r8_|gsk_|pplx-|xai-|ntn_|fig[dou]r?_|AT(?:ATT|CTT|BBT|BB)|NRAK-|AKCp|bk[ua]a?_|pn[ub]_"
    r"|hcaik_|EAAC|nfp_|fm2_|pat[A-Za-z0-9]{14}\.|ops_ey|LTAI|sq[upa]_|rubygems_|pul-|key-|SK|EZ[AT]K|sbp_|dapi|dkea|dose|dsapi|cnapi|oy2"
    r"|v1\.0-|fo1_)(?=[A-Za-z]{0,40}\d|[A-Za-z]{30})[A-Za-z0-9]{20,}+[\w=+/.~-]*+"
    r"|eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+)?"  # JWT, RFC 7519
    r"|A(?:KI|SI|RO|ID)A[0-9A-Z]{16}(?![0-9A-Za-z])|s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])|secret_[A-Za-z0-9]{40,}+"
    r"|[0-9]{8,10}:[\w-]{35}(?![\w-])|[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}+"
    r"|1//0[\w-]{20,}+|u\+[\w-]{18}(?![\w-])"
    r"|[0-9a-f]{32}-us\d{1,2}(?!\w)|[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?=:)"  # NTLM
    r"|[\w~.]{3}[78]Q~[\w~.-]{31,34}(?![\w~.-])"
    r")|(?<![\w$])\$(?:[156y]|2[abxy]|apr1|argon2i?d?|sha1)\$[A-Za-z0-9./$=,+-]{8,}+)"  # crypt(5)
)
"""Tokens by their prefixes, as their makers document them for scanners of secrets."""
_HOOK = re.compile(
    r"(?i)(hooks\.slack\.com/\w{1,20}/|hc-ping\.com/"
    r"|hchk\.io/|nosnch\.in/|cronitor\.link/p/|heartbeat\.uptimerobot\.com/|hooks\.zapier\.com/hooks/catch/|api\.telegram\.org/bot"
    r"|/with/key/|hook\.[a-z0-9]{2,4}\.make\.com/|webhook\.site/)([^\s\"'<>?#\u00b7]{1,400}+)"
)
_ADDRESS_KEY = re.compile(
    r"(?i)(?<=/)(?:hooks?|(?:incoming)?webhooks?(?:b2)?|ping|heartbeats?|integrations?|alerts?)/[^\s\"'<>?#\u00b7]{16,400}"
)
"""The key in an address to which only its owner may post: of chats, pagers and watchers of jobs."""
SIGN_IN = re.compile(
    r"(?i)(\b(?:bearer|basic|digest|negotiate|geniekey|auth\s(?:plain|login)(?=\s{1,3}[^\s-]{8}))\s{1,3})"
    r"(?=\S{0,200}[0-9=])([\w.~+/=-]{8,}+)"
)
_LOGIN = re.compile(
    r"(?<=://)(?:(?<!http://)(?<!https://)|(?![^\s/@:]{0,256}:\d{1,5}/))([^\s/@:\"'<>]{0,256}+:)"
    r"((?:[^\s/\"'<>]|(?<!:)/|/(?!/)|[\"'](?![\s,:;}\])])){1,256})(?=@)"
)
_LOGIN_ALONE = re.compile(r"(?<=://)()([^\s/@:]{16,256}+)(?=@)")
_LOGIN_CUT = re.compile(r"(?<=://)([^\s/@:\[\"']{1,256}+:)(?!\d{1,5}(?:\D|\Z))([^\s/@\"']{1,256}+)\Z")
_LOGIN_OF_DRIVER = re.compile(r"(:(?:thin|oci8?):[\"'@]?[^\s/@:]{1,128}/)([^\s@\"']{1,256}+)")
_LOGIN_BARE = re.compile(r"(?<![\w/.:@-])([A-Za-z_][\w.$#-]{0,40}[:/])([^\s:/@\"'<>]{5,100})(?=@(?!sha256)[A-Za-z/])")
_SENT = re.compile(r"(\bsend\s{1,3}(?:--\s{1,3})?\\{0,15}[\"'])([^\s\"'\\]{5,100})(?=\\{1,8}[rn])")
"""In a script of expect(1), whose prompt another line has."""
_PIPED = re.compile(
    r"(\b(?:echo|printf)\s{1,3}(?:-\w{1,3}\s{1,3}|[\"']%s\S{0,3}\s{1,3})?)([^\s|]{4,200})(?=\s{0,3}\|\s{0,3}(?:[^|\n]{1,120}--(?:(?:password-)?stdin|passphrase-fd)|sudo\s[^|\n]{0,40}-S|(?:/usr/sbin/)?(?:ch)?passwd\b|kinit\b|su\s))"
)
_PIPED_SHELL = re.compile(
    r"(\\{0,15}[\"'])([^\"'\\\n$|]{1,200})(?=\\{0,15}[\"']\s{0,3}\|\s{0,3}ConvertTo-SecureString)", re.I
)
_PGPASS = re.compile(r"(:(?:54\d\d|6432|\*):[\w*-]{1,60}:[\w.*-]{1,60}:)([^\s:\"']{1,200}+)(?!:)")
_LOGIN_ENCODED = re.compile(
    r"(?i)((?:://|%(?:25){0,3}3a(?:%(?:25){0,3}2f){2})(?:(?!%(?:25){0,3}(?:2f|3a|40))[^\s/:@\"'<>&]){0,100}%(?:25){0,3}3a)"
    r"(?!\d{1,5}%(?:25){0,3}2f)([^\s/:@\"'<>&]{1,256})(?=%(?:25){0,3}40)"
)
"""In an address that is percent-encoded, once or more often."""
_LOGINS = (_LOGIN, _LOGIN_ENCODED, _LOGIN_ALONE, _LOGIN_CUT, _LOGIN_OF_DRIVER)
_SHAPES = (_PREFIXED, _HOOK, SIGN_IN, *_LOGINS, _PIPED, _PIPED_SHELL, _PGPASS)
"""A part that stays, then the secret."""
_DASH = r"-(?<![^\s\"',(\[]-)"
_GLUED = r"(?=[^\s=,\"'\])]|[\"'][^\s,\])])"


def _flags(letters: str) -> str:
    """Options of one letter whose value is a password: "-p X", "-xp X", "-pX"."""
    return (
        rf"{_DASH}(?:[A-Za-z]{{0,5}}[{letters}](?:[\"']?,?\s{{1,3}}(?!-)|=)"
        rf"|[{letters}](?!assw|w\b|file){_GLUED})"
    )


_USER = r"[\s=,]{0,3}(?:\\{0,7}[\"'],?\s{0,2}){0,2}[^\s:%,\"']{0,100}"
_ATTACHED = rf"{_DASH}h?p{_GLUED}"
_TERM = r"(?<![^\s\"',\\=])(?i:userid=)?[\"'\\]{0,4}[A-Za-z_#$][\w#$.\[\]]{0,60}/(?=[^\s/])"
_THIRD = r"(?:\s{1,3}-\S{1,20}){0,4}(?:\s{1,3}[^\s-]\S{0,80}){2}\s{1,3}(?=[^\s-])"
_COLON = rf"{_DASH}(?:[A-Za-z]{{0,5}}[uUa]|-(?:proxy-)?user){_USER}:"
_CLIENTS = (
    ("curl http https etcdctl", _COLON + r"|(?:-b|--cookie)[\s=]{1,3}[\"']?[^\s=;]{1,60}=|--oauth2-bearer\s{1,3}"),
    ("smbclient rpcclient smbget winexe smbcacls lftp open", rf"-(?:[uU]|-user){_USER}[%,]"),
    ("redis-cli", "a"),
    ("sshpass rdesktop cqlsh beeline hdbsql ncftp* mongo* psexec usermod useradd rabbitmqadmin exaplus", "p"),
    ("docker.login podman.login az.login cf.login oc.login helm.login buildah.login skopeo.login az.sql", "p"),
    ("couchbase-cli pmcmd cypher-shell tabcmd", "p"),
    ("sqlcmd bcp osql tsql freebcp bsqldb fisql ipmitool mosquitto_*", "P"),
    ("zip unzip", rf"(?:{_flags('P')})(?=\S{{1,200}}\s{{1,3}}\S)"),
    ("ldappasswd", "wsa"),
    ("ldap* vsql kadmin", "w"),
    ("snmp*", _flags("AXc") + r"|\scommunity\s{1,3}"),
    ("gsql nzsql nzload", "W"),
    ("ssh-keygen", "NP"),
    ("chpasswd", r"<<<\s{0,3}[\"']?\w{1,40}:"),
    ("kinit passwd", r"<<<\s{0,3}"),
    ("openssl", _flags("kK") + "|pass:"),
    ("mysqladmin mariadb-admin", rf"{_ATTACHED}|\spassword\s{{1,3}}"),
    ("7z 7za 7zr rar unrar mysql* mariadb*", _ATTACHED),
    ("xfreerdp wfreerdp schtasks dtexec", r"(?i:/(?:p:|rp\s|de(?:crypt)?\s))"),
    ("sqlplus sqlldr expdp impdp rman sqlcl", _TERM + r"((?:\"[^\"\n]{1,99}\"|\S{1,99})(?=@)|[^\s\"',)\]]{1,99})"),
    ("exp imp connect conn", rf"{_TERM}(\S{{1,200}}(?=@))"),
    ("db2", r"\susing\s(?!password\b)"),
    (
        "htpasswd rabbitmqctl isql iusql",
        rf"{_flags('P')}|\s-\w{{0,5}}n\w{{0,5}}\s{{1,3}}[^\s-]\S{{0,80}}\s{{1,3}}(?=[^\s-])|{_THIRD}",
    ),
    ("logon", r"(?i:(?<=logon))\s[^\s,]{1,80},(?=\S)"),
    ("sp_addlogin sp_addlinkedsrvlogin sp_password create_credential", r",\s{0,3}N?(?=')"),
    ("pscredential networkcredential usernamepasswordcredential* httpbasicauth", r",\s{0,3}(?=\\{0,15}[\"'])"),
    ("vault", r"\slogin(?:\s-\S{1,40}){0,4}\s(?!-|[^\s=]{1,40}=|[a-z]{2,20}ed\b)"),
    ("mc", rf"\salias\sset\s\S{{1,60}}{_THIRD}"),
    ("ftp sftp", r">\s?(?:user\s\S{1,60}\s{1,3}|open\s[^\s:]{1,60}:)"),
    ("net", r"\suser?\s(?:\w:\s)?[^\s/]\S{0,80}(?:(?:\s/\S{1,80})+|(?=\s\S{1,80}(?:\s/|\s{0,3}$)))\s(?=[^\s/*\\])"),
    ("nsupdate dig", r"-y\s{0,3}(?:[\w.-]{1,80}:){1,2}"),
)
"""Programs; the letters of their options for a password, or a pattern before it or with it in a group."""
_OPTIONS = tuple(re.compile(_flags(options) if options.isalpha() else options) for _, options in _CLIENTS)
_PROGRAMS = tuple(name.strip("*").partition(".")[0] for names, _ in _CLIENTS for name in names.split())
_rows = "|".join(f"({names})" for names, _ in _CLIENTS)
_rows = _rows.replace(" ", "|").replace("*", "[a-z_-]{0,16}").replace(".", " (?:registry )?")
_CLIENT = re.compile(rf"(?<![\w-])(?=\w)(?:{_rows})(?:\.exe)?(?![\w:/=.-])[\"']?", re.I)
_COMMAND_SIZE = 400
_END_OF_COMMAND = re.compile(r"[\s\w][;|]\s|(?<!\\)\n")
_END_SIZE = 3


def _commands(text: str) -> Iterator[tuple[int, int]]:
    """Passwords among the arguments of programs."""
    ends, endless = [0] * len(_OPTIONS), 0
    for match in _CLIENT.finditer(text):
        row = (match.lastindex or 1) - 1
        last = match.end() + _COMMAND_SIZE
        if stop := _END_OF_COMMAND.search(text, max(match.end(), endless), last):
            last = stop.start() + 1
        endless = last - _END_SIZE if stop is None else stop.start()
        for option in _OPTIONS[row].finditer(text, max(match.end(), ends[row]), last):
            ends[row] = option.end()
            begin, end = option.span(1) if option.re.groups else _value(text, option.end())
            if _is_secret(text[begin:end], Sign.ASSIGNED):
                yield begin, end
                ends[row] = end


def mask_shapes(text: str) -> str:
    """The text with stars for secrets, once: stars may complete another shape next to them."""
    text = _cut_pem(_PEM.sub(MASK, text))
    for pattern in _SHAPES:
        text = pattern.sub(lambda match: match[1] + MASK[: len(match[2])], text)
    text = _ADDRESS_KEY.sub(lambda match: _ADDRESS_PART.sub(_if_key, match[0]), text)
    for pattern in (_LOGIN_BARE, _SENT):
        text = pattern.sub(
            lambda match: match[1] + MASK[: len(match[2])] if _is_random_term(match[2], Sign.NEXT) else match[0], text
        )
    for find, signs in ((_commands, _PROGRAMS), (_said, _HINTS), (_named, _HINTS)):
        text = "\n".join(_with_stars(part, find(part)) if near else part for near, part in _stretches(text, signs))
    return _ASSIGNED.sub(_if_random, _with_stars(text, _columns(text)))


def _stretches(text: str, signs: tuple[str, ...]) -> Iterator[tuple[bool, str]]:
    """Lines near a sign, and those in between."""
    low, lines, near = text.lower(), text.split("\n"), set[int]()
    signs = tuple(sign for sign in signs if sign in low)
    for at, line in enumerate(low.split("\n")):
        if any(sign in line for sign in signs):
            near.update(range(at - 1, at + _REACH))
    for is_near, stretch in groupby(range(len(lines)), near.__contains__):
        yield is_near, "\n".join(lines[at] for at in stretch)


_ADDRESS_PART = re.compile(r"[A-Za-z0-9_.-]{16,200}+")
_MIXED = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])")
_KEY = re.compile(r"(?i)(?=\d*[a-z])(?=[a-z]*\d)[a-z\d]{20,}|[\da-f-]{36}")


def _if_key(match: re.Match[str]) -> str:
    """Stars for a part of an address that is a key, and no name of a job."""
    part = match[0]
    return MASK if _KEY.fullmatch(part) or _MIXED.match(part) or _alternates(part) else part


def _with_stars(text: str, spans: Iterator[tuple[int, int]]) -> str:
    parts, done = list[str](), 0
    for begin, end in sorted(spans):
        if begin >= done:
            parts += [text[done:begin], MASK[: end - begin]]
            done = end
    return "".join([*parts, text[done:]])


_ASSIGNED = re.compile(rf"(?:(?<=[=:])|(?<=[=:][\s\"'])){_LONG}")
_ADDRESS = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+(?=@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9.-]{2,200})")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{12,}+|\d{4}(?:[ -]\d{4}){2}[ -]\d{1,7}|[A-Z]{2}\d{2}[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)


def mask_shapes_strictly(text: str) -> str:
    """Like `mask_shapes`; also mail addresses, card and account numbers, and random words anywhere."""
    text = re.sub(_LONG, _if_random, mask_shapes(text))
    return _ADDRESS.sub(lambda match: MASK[: len(match[0])], _NUMBER.sub(MASK, text))


def _if_random(match: re.Match[str]) -> str:
    """Stars for a word that mixes letters of both cases and digits as no file name or run id does."""
    return MASK if any(_is_random(re.sub(r"\d{4}(-?\d\d){2}", "", part)) for part in match[0].split("/")) else match[0]


def _is_random(text: str) -> bool:
    size = len(text)
    bits = -sum(number / size * math.log2(number / size) for number in Counter(text).values())
    return size >= SHORTEST and _MIXED.match(text) is not None and bits >= ENTROPY_BITS


def _cut_pem(text: str) -> str:
    """Masks the lines of a PEM block whose beginning is cut off."""
    head, end, rest = text.partition("-----END ")
    lines = head.rstrip("\n").split("\n")
    block = [*takewhile(lambda line: re.fullmatch(_KEY_LINES, line), reversed(lines))] if end else []
    return "\n".join([*lines[: -len(block)], MASK, end + rest]) if block else text


def is_secret_name(name: str) -> bool:
    """Whether a value with this name is a secret of any shape: "db_password", "credentials", "apiToken"."""
    return _NAME.search(name) is not None
