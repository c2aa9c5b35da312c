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

MASK = "***"
ENTROPY_BITS = 3.9
"""Bits per character from which a mixed word of SHORTEST letters counts as a key; English has about 3.3."""
SHORTEST = 24
LONGEST = 4096
"""Characters of a value in quotes."""


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
    r"pass(?:word|phrase|code|wort|wrd)|(?<!no)passwd|secret|token|credentials?|kennwort|wachtwoord|contrase\S{1,8}?a|senha"
    r"|mot[ _-]?de[ _-]?passe|пароль|密码|パスワード"
)
_NAMES = (
    r"a(?:pi|pp|ccess|ccount|uth)[._-]?key|s(?:hared|igning|ervice|torage|ession|ubscription|ecret)[._-]?key"
    rf"|(?:private|client|encryption|master|fernet|license|functions)[._-]?key|{_NOUNS}|authorization|signature|cookie"
    r"|[jp]h?p?sess(?:ion)?id|(?<=[?&])(?:sig|key|auth)|x-jfrog-art-api|(?<=pragma\s)key"
)
_SHORT = (
    r"p(?:(?<=\bp)|(?<=_p)|(?-i:(?<=[a-z]P))|(?<=dbp)|(?<=bindp)|(?<=rootp)|(?<=userp)|(?<=storep)|(?<=keyp))wd?"
    r"|(?<!by)(?<!com)(?<!sur)(?<!tres)pass|(?<![A-Za-z])(?:auth|jwt|otp|psk|pat)"
)
"""Also parts of other words: names only directly before a separator, or as an option."""
_SPOKEN = rf"{_NOUNS}|pwd|(?:api|access|secret)[ _-]key|requirepass|masterauth|community|(?:bind|root)pw"
_NAME = re.compile(rf"{_NAMES}|(?<![A-Za-z])pwd", re.I)
_HINTS = (
    "pass", "secret", "token", "key", "cred", "auth", "signature", "cookie", "sig=", "pw", "sess", "jwt", "otp", "psk",
    "-pat", "identified", "securestring", "kennwort", "wachtwoord", "contrase", "senha", "пароль", "密码", "パスワード",
    "jfrog", "community",
)  # fmt: skip
"""Every text in which a name is found contains one of these: most texts are skipped quickly."""
_QUOTE = r"(?:\\{0,7}[\"'`]|&(?:quot|apos|#34|#39|#x22|#x27);|%2[27]|\\u002[27])"
_EQUALS = r"(?:=>|->|:=|==?|[:：](?!//)|%3[da]|\\{1,4}u003[da]|&#61;)"
_SPACE = r"[\s\u00b7]{0,3}"
_SEPARATOR = (
    rf"(?:{_QUOTE}?\]?(?:{_SPACE}|[ \t]{{4,20}}){_EQUALS}(?:3D(?![0-9A-F]))?{_SPACE}[\[(]{{0,2}}"
    rf"|\((?={_QUOTE})|{_QUOTE},\s{{0,3}}(?={_QUOTE}(?!\w{{1,30}}{_QUOTE}\s?:))"
    rf"|{_QUOTE}[\s,]{{1,40}}{_QUOTE}?value{_QUOTE}?{_SPACE}[:=]{_SPACE}|(?:\s|\\{{1,3}}[nrt]){{1,20}}value:\s{{1,3}}"
    rf"|{_QUOTE}?(?:\s[^<>\n]{{0,60}})?>(?:</name>\s{{0,9}})?(?:<value>)?(?:<!\[CDATA\[)?(?=[^<\s]))"
)
"""Also that of a list of pairs, of a record with the fields name and value, and the end of an XML tag."""
_NAMED = re.compile(rf"(?:(?P<name>{_NAMES})(?P<tail>[A-Za-z0-9_.-]{{0,20}}?)|(?P<short>{_SHORT}))({_SEPARATOR})", re.I)
_OPTION = re.compile(
    rf"(?<![\w-])--?(?:[a-z0-9]{{1,20}}-){{0,3}}(?:[a-z]{{0,20}}(?:{_NAMES})\d?|{_SHORT})(?:[\"']?,?\s{{1,3}}|=)(?!-)",
    re.I,
)
_VERB = (
    r"(?:\s(?:for|of)(?:\s(?:the|user|role|account|login|client|database))?\s[^\s]{1,40})?"
    r"(?:\s(?:is|was|as|to|has been|will be|used)(?:\snow|\s(?:set|changed|reset)(?:\sto)?)?"
    r"|\s(?:set|changed|reset)\sto|\schanged\sfrom|[ \t]?(?=[:=][ \t])):?=?[ \t]{1,2}"
)
_SAID = re.compile(rf"(?<!/)(?:(?:{_SPOKEN})({_VERB}|[ \t]{{1,9}}[(\[<]?(?=\S{{4}})))", re.I)
_SQL = re.compile(
    r"(?:\b(?:password|SecureString)\s{1,3}(?=\\{0,7}['\"`])|\bidentified\s(?:with\s\w{1,40}\s)?by\s{1,3}(?:values\s)?)",
    re.I,
)
_BARE = re.compile(
    r"(?:[^\s\"',;&<]|<(?!/)|[\"',;&](?![\s\"',;&)}\]>\\@|\u00b7]|\Z|[\w.-]{1,40}\\?[\"']?\s?(?:[=:]|%3D))){1,4096}"
)
"""A value without quotes: a comma, a quote or an ampersand ends it only at the end of a word or before another name."""
_TO_SEMICOLON = re.compile(r"[^;=\n\"'{}]{1,200}(?=;)")
_BRACED = re.compile(r"\{((?:[^{}\n]|\}\}|(?<!\A)\{){1,400})\}(?!\})")
_OPENING = re.compile(r"(\\{0,63})([\"'`])|(&(?:quot|apos|#34|#39|#x22|#x27);|%2[27]|\\u002[27])", re.I)

_MESSAGE_TEXT = (
    "none null nil true false yes no on off undefined unset n/a na default empty hidden redacted sensitive enabled "
    "disabled authentication expired missing required failed a an the is was be been has have must may can cannot "
    "should will would not does do did of in for from at to with without by and or if as this that it its your our any "
    "please check see contact use set update enter invalid optional incorrect wrong bad unknown ok success too short "
    "shorter longer fewer larger smaller more less long weak strong blank absent present malformed corrupt valid "
    "kerberos basic bearer digest negotiate ntlm oauth oauth2 saml ldap plain plaintext secure failure error eof end "
    "errno http exit attempt retry still never only bytes seconds minutes hours days could't can't couldn't doesn't "
    "isn't wasn't hasn't won't don't forbidden found sent reset expiry mismatch needs access requires expects closed "
    "sold strict string value ***"
)
_MESSAGES = frozenset(_MESSAGE_TEXT.split())
"""Found after the name of a secret in messages."""
_REQUIREMENT = re.compile(
    r"(?:must|is|cannot|should|may|required|invalid|incorrect|missing|expired|too|does|has|this)\b", re.I
)
_PARTICIPLE = re.compile(r"[a-z]{4,20}(?:ed|ing|able|ible)")
_REFERENCE = re.compile(
    r"\$(?:\{[^}\n]{0,80}\}?|\([^)\n]{0,80}\)?|[A-Z_][A-Z0-9_]{0,60})|\{\{.{0,80}|%\(?\w{0,40}\)?s|%[A-Za-z_]{1,40}%"
    r"|<[A-Za-z][\w -]{0,40}>?|\[[A-Za-z ]{1,20}\]?|\{[\w.]{0,20}(?:pass|secret|token|key|pwd|cred)[a-z_.]{0,20}\}"
    r"|(?:os\.|process\.|System\.)?(?:getenv|environ|env)\b\S{0,80}|!{1,2}[a-z]{2,20}"
    r"|[A-Za-z_.]{2,60}(?:\(\)?(?:[.\[]\S{0,80})?|[(\[][\"'][\w./:-]{0,80}[\"']?[)\]]?)"
    r"|[A-Za-z]\w{0,60}(?:Error|Exception|Failure|Expired|Warning)|[*x.•]{3,80}|[\W_]{1,2}"
)
"""No secret but its variable, its placeholder, or an error about it."""
_VARIABLE = re.compile(rf"(?:[a-z_]{{1,40}}\.){{1,4}}[a-z_]{{0,20}}(?:{_NAMES})[a-z_.]{{0,40}}[,;)]?", re.I)
_PLACEHOLDER = re.compile(r"[A-Z_]{0,20}(?:PASSWORD|TOKEN|SECRET|KEY|PW)\]?")
_KNOWN_FORMS = re.compile(
    r"(?:(?:scram-)?sha-?\d{1,4}\w{0,40}|md5|base64|utf-?\d\d?|x-?509|oauth-?\d|aes-?\d{3}|ed25519|[rhe]s\d{3}|argon2\w{0,4}|v\d[\d.]{0,20}"
    r"|\d{1,12}(?:ms|s|m|h|d|k|kb|mb|min|th|st|nd|rd|x|%)?|ipv[46]|rfc\d{1,5}|http/\d[\d.]{0,4}|\d{1,6}-\w{1,40})(?:-\w{1,40}){0,4}"
    r"|\d{4}-\d\d-\d\dT\S{0,20}|(?-i:[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?)",
    re.I,
)
_SENTENCE = re.compile(r"[a-z]{1,30}[ \t][a-z0-9]{1,20}(?![\w:=/@-])")


def _is_secret(value: str, sign: Sign, name: str = "") -> bool:
    """Returns whether the word there is a secret, after a sign like this."""
    term = value.strip(".,:;!?)]}\"'(").lower()
    if " " in value and _REQUIREMENT.match(value):
        return False
    if not value or term in _MESSAGES or any(_REFERENCE.fullmatch(value.rstrip(ends)) for ends in (".,:;", ".,:;)]}")):
        return False
    if sign < Sign.NAMED:
        return _is_random_term(value.rstrip(".,;:!?)]>"), sign)
    if _VARIABLE.fullmatch(value) or _PLACEHOLDER.fullmatch(value) or value.strip("_,;)") == name:
        return False
    return sign is Sign.ASSIGNED or not (_PARTICIPLE.fullmatch(term) or re.fullmatch(r"[\d\W]{1,3}", value))


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


def _value(text: str, at: int) -> tuple[int, int]:
    """Returns where the value is that begins there, without quotes; to the end of the line if they are not closed."""
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


_TO_SEMICOLON = re.compile(r"[^;=\n\"'{}]{1,200}(?=;)")
_BRACED = re.compile(r"\{((?:[^{}\n]|\}\}|(?<!\A)\{){1,400})\}(?!\})")
_GRAMMAR = re.compile(
    r"(?:invalid|unexpected|mismatched|near|missing|illegal|unrecognized|bad|offending|last)\s\Z", re.I
)
"""Before the token of a language, of which a parser reports that it is one too many."""
_WHOLE_TAIL = re.compile(
    r"[_.-]?(?:\d{1,2}|base|value|prod(?:uction)?|stag(?:e|ing)|dev|test|qa|uat|live|old|new|main|primary|secondary)?",
    re.I,
)
_KUBERNETES = re.compile(r"[a-z0-9]{1,40}(?:[-.][a-z0-9]{1,40}){1,8}")


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Values after names with a separator."""
    at = 0
    while match := _NAMED.search(text, at):
        at = match.end()
        name, separator = (match["name"] or match["short"]).lower(), match[4]
        before = text[max(0, match.start() - 60) : match.start()]
        if ">" in separator and not re.search("[=-]>", separator) and "<" not in before:
            continue
        if separator == before[-1:] == ":":
            continue  # a part of the name of a resource: "arn:aws:…:secret:dwh"
        begin, end = _value(text, at)
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
        if not is_quoted and (":" in separator or separator[:1].isspace()):
            return Sign.NEXT
        return None if re.fullmatch(r"[\d.,]{1,5}|[\d.]+%|[/~].*", value) else Sign.ASSIGNED
    if is_sentence and name.lower() == "token" and _GRAMMAR.search(before) and value.isalpha():
        return None
    if not _WHOLE_TAIL.fullmatch(tail):
        if tail[0] == "s":
            return Sign.NEXT  # "secretsmanager:GetSecretValue"
        return Sign.NEXT if tail.lower().endswith(("name", "ref", "id")) else Sign.STATED
    if separator[0] == "(" or ("," in separator and "value" not in separator.lower()):
        return Sign.STATED
    if name.lower() == "signature" and is_sentence:
        return Sign.NEXT
    if is_sentence and before[-1:] == "/":
        return Sign.STATED  # of an address: "POST https://host/token: refused"
    if is_sentence and not re.search(r"[\w.-]\Z", before) and _SENTENCE.match(match.string, begin):
        return Sign.STATED  # "token: shorter than expected"
    return Sign.NAMED if is_sentence else Sign.ASSIGNED


_PAIR = re.compile(r";\s{0,3}[^\s=;\"']{1,100}=([^\s;\"']{1,4096})")
_CREDENTIAL = re.compile(
    r"(?:(?<=earer)|(?<=asic)|(?<=igest)|(?<=oken)|(?<=pikey)|(?<=plunk)|(?<=\w)(?=[ \t]{1,3}[^\s]{0,200}[0-9=*]))"
    r"[ \t]{1,3}([^\s\"',;]{3,4096})",
    re.I,
)


def _said(text: str) -> Iterator[tuple[int, int]]:
    """Values that follow names in sentences, and options of programs."""
    at = 0
    while match := _SAID.search(text, at):
        at = match.end()
        begin, end = _value(text, at)
        if begin == at:
            end = begin + len(text[begin:end].rstrip(".,;:!?)]>"))
        sign = Sign((begin > at) + (match[1].strip(" \t([<") != ""))
        if sign is Sign.STATED and begin > at and _KUBERNETES.fullmatch(text[begin:end]) and match[0][0] not in "Pp":
            continue  # the name of a secret in Kubernetes
        if _is_secret(text[begin:end], sign):
            yield begin, end
            at = end
    for match in _OPTION.finditer(text):
        begin, end = _value(text, match.end())
        if _is_secret(text[begin:end], Sign.ASSIGNED):
            yield begin, end
    for match in _SQL.finditer(text):
        begin, end = _value(text, match.end())
        if _is_secret(text[begin:end], Sign.NAMED if begin > match.end() else Sign.STATED):
            yield begin, end


_LONG = rf"(?<![A-Za-z0-9+/_-])(?<!SHA256:)(?<!SHA512:)[A-Za-z0-9+/_-]{{{SHORTEST},}}+={{0,2}}"
"""Not the fingerprint of a public key, as ssh prints it: people compare it."""
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{1,40}-----"
    r"(?:(?:[^-*]|-(?!----)){1,8192}-----END [A-Z0-9 ]{1,40}-----|(?:(?:\s|\\{1,7}[rn])*[A-Za-z0-9+/=]{16,}+)+)"
)
"""Only sets of characters are repeated possessively: of groups, re before 3.11.5 misses matches (Debian 12 has 3.11.2;
cpython issue 106052). It stays linear: a block has no five dashes in it, and a line begins where one ends."""
_PEM_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct|wt)-|GR1348941|gl(?:c|sa)_|xox[a-z]-|xapp-|xoxe\."
    r"|[spr]k_(?:live|test)_|whsec_|AIza|ya29\.|1//0|GOCSPX-|hv[sbr]\.|SG\.|xkeysib-|pypi-|dckr_[po]at_|shp(?:at|ss|ca|pa)_"
    r"|sntry[su]_|PMAK-|lin_(?:api|oauth)_|NRII-|tskey-|dp\.(?:pt|st|ct|sa|scim)\.|dt0[a-z]\d\d\.|[A-Za-z0-9]{14}\.atlasv1\.|CCIPAT_"
    r"|dbt[uc]_|lsv2_|AGE-SECRET-KEY-1|FLWSECK|pscale_[a-z]{2,5}_|sha256~|do[opr]_v1_)(?=[^\s0-9]{0,40}\d)[A-Za-z0-9_=+/.~%-]{16,}+"
    r"|(?:sk-(?:[a-z]{2,6}-)?(?:api\d\d-)?|npm_|hf_|r8_|gsk_|pplx-|xai-|ntn_|fig[dou]r?_|AT(?:ATT|CTT|BBT|BB)|NRAK-|AKCp|bk[ua]a?_|pn[ub]_"
    r"|hcaik_|EAAC|nfp_|fm2_|pat[A-Za-z0-9]{14}\.|ops_ey|LTAI|sq[upa]_|rubygems_|pul-|key-|SK|EZ[AT]K|sbp_|dapi|dkea|dose|dsapi|cnapi|oy2"
    r"|v1\.0-)(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{20,}+[A-Za-z0-9_=+/.~-]*+"
    r"|eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"  # JWT, RFC 7519
    r"|(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}(?![0-9A-Za-z])|s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])|secret_[A-Za-z0-9]{40,}+"
    r"|[0-9]{8,10}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}+"
    r"|[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])"
    r")"
)
"""Tokens by their prefixes, as their makers document them for scanners of secrets."""
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
_LOGIN_OF_DRIVER = re.compile(r"(:(?:thin|oci8?):[\"'@]?[^\s/@:]{1,128}/)([^\s@\"']{1,256}+)")
_LOGIN_BARE = re.compile(r"(?<![\w/.:@-])([A-Za-z_][\w.$#-]{0,40}[:/])([^\s:/@\"'<>]{5,100})(?=@(?!sha256)[A-Za-z/])")
_PIPED = re.compile(
    r"\b(?:echo|printf)\s{1,3}(?:-\w{1,3}\s{1,3}|[\"']%s\S{0,3}\s{1,3})?([^\s|]{4,200})\s{0,3}\|\s{0,3}(?:[^|\n]{1,120}(?:--password-stdin|--stdin|--passphrase-fd)|sudo\s[^|\n]{0,40}-S|(?:/usr/sbin/)?chpasswd|kinit\b|passwd\b)"
)


def _flags(letters: str) -> str:
    """Options of one letter whose value is a password: "-p X", "-xp X", "-pX"."""
    return (
        rf"-(?<![^\s\"',(\[]-)(?:[A-Za-z]{{0,5}}[{letters}](?:[\"']?,?\s{{1,3}}(?!-)|=)"
        rf"|[{letters}](?!assw|w\b)(?=[^\s=,\"'\])]|[\"'][^\s,\])]))"
    )


_USER = r"[\s=,]{0,3}(?:\\{0,7}[\"'],?\s{0,2}){0,2}[^\s:%,\"']{0,100}"
_ATTACHED = r"-(?<![^\s\"',(\[]-)h?p(?=[^\s=,\"'\])]|[\"'][^\s,\])])"
_LOGIN_TERM = r"(?<![^\s\"',\\=])(?i:userid=)?[\"'\\]{0,4}[A-Za-z_#$][\w#$.\[\]]{0,60}/(?=[^\s/])"
_THIRD = r"(?:\s{1,3}-\S{1,20}){0,4}(?:\s{1,3}[^\s-]\S{0,80}){2}\s{1,3}(?=[^\s-])"
_COLON = rf"-(?<![^\s\"',(\[]-)(?:[A-Za-z]{{0,5}}[uUa]|-(?:proxy-)?user){_USER}:"
_CLIENTS = (
    ("curl http https etcdctl", _COLON + r"|(?:-b|--cookie)[\s=]{1,3}[\"']?[^\s=;]{1,60}="),
    ("smbclient rpcclient smbget winexe smbcacls", rf"-(?:U|-user){_USER}%"),
    ("lftp open", rf"-(?:u|-user){_USER},"),
    ("redis-cli", _flags("a")),
    ("sshpass rdesktop cqlsh beeline hdbsql ncftp* mongo* psexec usermod useradd rabbitmqadmin exaplus", _flags("p")),
    ("docker.login podman.login az.login cf.login oc.login helm.login buildah.login skopeo.login az.sql", _flags("p")),
    ("couchbase-cli pmcmd cypher-shell", _flags("p")),
    ("sqlcmd bcp osql tsql freebcp bsqldb fisql ipmitool mosquitto_* zip unzip", _flags("P")),
    ("ldappasswd", _flags("wsa")),
    ("ldap* vsql", _flags("w")),
    ("snmp*", _flags("AX")),
    ("nzsql nzload", _flags("W")),
    ("openssl", _flags("kK") + "|pass:"),
    ("7z 7za 7zr rar unrar mysql* mariadb*", _ATTACHED),
    ("xfreerdp wfreerdp", "/p:"),
    ("schtasks", r"/rp\s"),
    ("sqlplus sqlldr expdp impdp rman sqlcl", rf"{_LOGIN_TERM}([^\s]{{1,200}}(?=@)|[^\s\"',)\]]{{1,200}})"),
    ("exp imp connect conn", rf"{_LOGIN_TERM}([^\s]{{1,200}}(?=@))"),
    ("db2", r"\susing\s"),
    ("htpasswd rabbitmqctl isql iusql", rf"{_flags('P')}|{_THIRD}"),
    ("logon", r"[^\s,]{1,80},"),
)
"""Programs, and what is before a password among their arguments, or has it in its group."""
_OPTIONS = tuple(re.compile(options) for _, options in _CLIENTS)
_PROGRAMS = tuple(name.strip("*").partition(".")[0] for names, _ in _CLIENTS for name in names.split())
_rows = "|".join(f"({names})" for names, _ in _CLIENTS)
_rows = _rows.replace(" ", "|").replace("*", "[a-z_-]{0,16}").replace(".", " (?:registry )?")
_CLIENT = re.compile(rf"(?<![\w.-])(?:{_rows})(?:\.exe)?(?![\w:/=.-])[\"']?", re.I)
_COMMAND = 400
"""Characters of a command that are read."""
_END_OF_COMMAND = re.compile(r"[\s\w][;|]\s|(?<!\\)\n")


def _commands(text: str) -> Iterator[tuple[int, int]]:
    """Passwords among the arguments of programs."""
    ends = [0] * len(_OPTIONS)
    for match in _CLIENT.finditer(text):
        row = (match.lastindex or 1) - 1
        stop = _END_OF_COMMAND.search(text, match.end(), match.end() + _COMMAND)
        last = stop.start() + 1 if stop else match.end() + _COMMAND
        for option in _OPTIONS[row].finditer(text, max(match.end(), ends[row]), last):
            ends[row] = option.end()
            begin, end = option.span(1) if option.re.groups else _value(text, option.end())
            if _is_secret(text[begin:end], Sign.ASSIGNED):
                yield begin, end


def mask_shapes(text: str) -> str:
    """The text with stars for secrets, once: stars may complete another shape next to them."""
    text = _cut_pem(_PEM.sub(MASK, text)) if "-----" in text else text
    text = _PREFIXED.sub(MASK, text)
    if "/" in text:
        text = _HOOK.sub(lambda match: (match[1] or match[2]) + MASK[: len(match[0]) - len(match[1] or match[2])], text)
        text = _ADDRESS_KEY.sub(lambda match: _ADDRESS_PART.sub(_if_key, match[0]), text)
    text = SIGN_IN.sub(lambda match: match[1] + match[2] + MASK, text)
    if "://" in text:
        text = _LOGIN.sub(lambda match: match[1] + _stars_for(match[2]), text)
        text = _LOGIN_ALONE.sub(MASK, text)
        text = _LOGIN_CUT.sub(lambda match: match[1] + _stars_for(match[2]), text)
    if "@" in text:
        text = _LOGIN_BARE.sub(
            lambda match: match[1] + _stars_for(match[2]) if _is_random_term(match[2], Sign.NEXT) else match[0], text
        )
        text = _LOGIN_OF_DRIVER.sub(lambda match: match[1] + _stars_for(match[2]), text)
    low = text.lower()
    if any(program in low for program in _PROGRAMS):
        text = _with_stars(text, _commands(text))
    if any(hint in low for hint in _HINTS):
        text = _with_stars(text, _said(text))
        text = _with_stars(text, _named(text))
    if "|" in text:
        text = _with_stars(text, (match.span(1) for match in _PIPED.finditer(text)))
    return _ASSIGNED.sub(_if_random, text)


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
