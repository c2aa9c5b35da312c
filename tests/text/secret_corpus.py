"""Secrets as commands, configs, addresses and messages have them, the ways in which logs wrap them, and harmless lines
about secrets."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SEED = 52
FOLDER = Path(__file__).parent
PASSWORD = "Qw8!zerty9"
"""In each line of secrets.txt."""


class Secret(NamedTuple):
    text: str
    hidden: str
    """Its part that nobody may see."""


VALUES = ("Hunter2x", "s3cr3t!Pw", "Tr0ub4dor-3", "zX9.kk_Qr7", "9f8e7d6c5b4a")
AFTER_NAMES = (
    "password={}", "PGPASSWORD={} psql -h db07", "export DB_PASSWORD={}", "DB_PASS={}", "db.password: {}",
    '{{"user": "etl", "password": "{}"}}', "{{'password': '{}', 'host': 'db07'}}", "passwd => {}", "--password {}",
    "--db-password={} --host db07", "curl -d 'user=etl&password={}' https://h/x", "https://h/x?token={}&page=2",
    "<password>{}</password>", '<add key="Password" value="{}" />', '{{"name": "DB_PASSWORD", "value": "{}"}}',
    "- name: DB_PASSWORD\n  value: {}", "Server=s;User Id=etl;Password={};Database=d", "UID=etl;PWD={{{}}};",
    "X-Api-Key: {}",
    "client_secret={}", "Authorization: Token {}", "Cookie: a=b1; sid={}", "user%3Detl%26password%3D{}",
    "&quot;password&quot;: &quot;{}&quot;", "('password', '{}')", "pass={}", "secret_key = \"{}\"", "api-key:{}",
    "-Djavax.net.ssl.keyStorePassword={}", "passphrase '{}'",
)  # fmt: skip
IN_COMMANDS = (
    "sqlplus -s etl/{}@ORCL @/opt/load.sql", "expdp system/{} schemas=HR", "sqlldr userid=etl/{}@ORCL control=x.ctl",
    "rman target sys/{}@ORCL", "bcp dwh.dbo.t out t.csv -S db07 -U etl -P {}", "sqlcmd -S db07 -U etl -P{} -Q 'x'",
    "ldapsearch -x -D cn=admin -w {} -b dc=x", "ldapmodify -xw {} -f x.ldif", "mongodump --host db -u etl -p {}",
    "smbclient //nas/in -U etl%{}", "lftp -u etl,{} sftp.example.com", "curl -sSu etl:{} https://h/x",
    "mysqldump -h db07 -p{} shop", "redis-cli -h db07 -a {} ping", "sshpass -p {} ssh db07",
    "docker login -u etl -p {} h",
    "plink -ssh etl@db07 -pw {} ls", "zip -P {} out.zip in", "ipmitool -H bmc -U root -P {} power status",
    "7z x in.7z -p{}", "openssl enc -d -k {} -in x", "echo {} | sudo -S systemctl restart x",
    "['sqlcmd', '-S', 'db07', '-P', '{}']", "connect etl/{}@ORCL", "db2 connect to dwh user etl using {}",
)  # fmt: skip
IN_ADDRESSES = (
    "postgresql://etl:{}@db07:5432/dwh", "https://etl:{}@git.example.com/r.git", "amqp://a:{}@mq/x",
    "jdbc:oracle:thin:etl/{}@//db07:1521/ORCL", "mongodb+srv://etl:{}@h1,h2/db?x=1",
)  # fmt: skip
IN_PROSE = (
    "the password is {}", "The password for user etl was {}", "password set to {}", "with password {} for etl",
    "password '{}' was rejected", "ALTER USER etl IDENTIFIED BY {}", "ALTER ROLE etl PASSWORD '{}'", "api key is {}",
)  # fmt: skip
SPECIAL = (
    Secret('{"password": "Hun\\"ter2zz", "host": "db07"}', "ter2zz"),
    Secret("postgresql://etl:pa/ss77x@db07:5432/dwh", "pa/ss77x"),
    Secret("Driver={x};Server=s;UID=etl;PWD={Hun ter;2xyz};", "ter;2xyz"),
    Secret("Server=s;User Id=etl;Password=Hun ter 2xyz;Database=d", "ter 2xyz"),
    Secret("password='it''s Hunter2'", "s Hunter2"),
    Secret("password=Hun,ter2xyz refused", "ter2xyz"),
    Secret("token=Hun&ter2xyz refused", "ter2xyz"),
    Secret("password: >-\n  Hunter2xyz", "Hunter2xyz"),
    Secret("GenieKey 7c9e6679-7425-40de-944b-e07fc1f90ae7", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    Secret("9f8e7d6c5b4a39281706f5e4d3c2b1a0-us12", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"),
    Secret("smtplib: send: AUTH PLAIN AGV0bABWeDcja1JtMnBMcQ==", "AGV0bABWeDcja1JtMnBMcQ"),
)
_HEX, _WORD = "0123456789abcdef", string.ascii_letters + string.digits
TOKENS = (
    ("dapi", _HEX, 32), ("hvs.", _WORD, 24), ("pypi-", _WORD, 40), ("hf_", _WORD, 34), ("xapp-1-", _WORD, 30),
    ("ghp_", _WORD, 36),
    ("glpat-", _WORD, 20), ("xoxb-", _WORD, 30), ("npm_", _WORD, 36), ("AKIA", string.ascii_uppercase, 16),
    ("sk_live_", _WORD, 24),
    ("hf_", string.ascii_letters, 34), ("fo1_", _WORD, 43), ("1//0", _WORD, 40), ("u+", _WORD, 18),
    ("Private-Lines: 2\n", _WORD, 64), ("SG.abcdefghijklmnopqrstuv.", string.ascii_letters, 43),
    ("glsa_", _WORD, 32), ("dckr_pat_", _WORD, 27), ("shpat_", _HEX, 32), ("dop_v1_", _HEX, 64), ("GOCSPX-", _WORD, 28),
    ("https://acme.webhook.office.com/webhookb2/x@y/IncomingWebhook/", _HEX, 32),
    ("https://discord.com/api/webhooks/123456789012345678/", _WORD, 68),
    ("https://hooks.slack.com/services/T0/B0/", _WORD, 24),
    ("https://hc-ping.com/", _HEX, 32), ("https://headway.example/ping/", _HEX, 32),
    ("https://api.telegram.org/bot123456789:", _WORD, 35),
    ("https://events.pagerduty.com/integration/", _HEX, 32), ("https://chat.example/hooks/", _WORD.lower(), 26),
    ("-----BEGIN PRIVATE KEY-----\n", _WORD, 64), ("Authorization: Bearer ", _WORD, 30), ("session: ", _WORD, 30),
)  # fmt: skip
"""Beginning, letters and number of letters of those that have a shape of their own."""


def secrets() -> list[Secret]:
    chance = random.Random(SEED)
    forms = (*AFTER_NAMES, *IN_COMMANDS, *IN_ADDRESSES, *IN_PROSE)
    made = [Secret(form.format(value), value) for form in forms for value in VALUES]
    tokens = [("".join(chance.choices(letters, k=count)), begin) for begin, letters, count in TOKENS for _ in range(3)]
    sendgrid = "SG." + ".".join("".join(chance.choices(_WORD, k=count)) for count in (22, 43))
    lines = [Secret(line, PASSWORD) for line in (FOLDER / "secrets.txt").read_text("utf-8").splitlines()]
    return [
        *lines,
        *made,
        *(Secret(begin + token, token) for token, begin in tokens),
        Secret(sendgrid, sendgrid[3:]),
        *SPECIAL,
    ]


def _inside(mark: str, closing: str = "") -> Callable[[Secret], str]:
    """The mark in the middle of the first word, and of the secret."""

    def wrapped(secret: Secret) -> str:
        at = secret.text.index(secret.hidden)
        half = at + len(secret.hidden) // 2
        word = len(secret.text[:at]) - len(secret.text[:at].lstrip("{[('\"<- ")) + 2
        split = (
            secret.text[:half]
            + mark
            + secret.text[half : at + len(secret.hidden)]
            + closing
            + secret.text[at + len(secret.hidden) :]
        )
        return split[:word] + mark + split[word:] if word < at else split

    return wrapped


def _around(before: str, after: str = "") -> Callable[[Secret], str]:
    return lambda secret: before + secret.text + after


def _before(write: Callable[[str], str]) -> Callable[[Secret], str]:
    """What is before the secret, written in another way."""

    def wrapped(secret: Secret) -> str:
        before, _, after = secret.text.partition(secret.hidden)
        return write(before) + secret.hidden + after

    return wrapped


def _colored(secret: Secret) -> str:
    before, _, after = secret.text.partition(secret.hidden)
    return f"\x1b[36m{before[:-1]}\x1b[0m{before[-1:]}\x1b[1;35m{secret.hidden}\x1b[0m{after}"


WRAPPINGS: dict[str, Callable[[Secret], str]] = {
    "as it is": _around(""),
    "after words": _around("2026-11-29 03:10:11,120 ERROR [main] load failed: "),
    "before words": _around("", " refused by db07"),
    "in syslog": _around("<13>Nov 29 03:10:11 db07 etl[4711]: "),
    "in cron": _around("Nov 29 03:10:01 db07 CRON[1]: (etl) CMD ( ", " )"),
    "with an end of line": _around("", "\r\nnext line\r\n"),
    "between lines": _around("loading\n", "\n  at line 3\n"),
    "after a progress bar": _around("  0% [#   ]\r 50% [##  ]\r", "\n"),
    "after an erased line": _around("working\x1b[2K\x1b[1G"),
    "in colors": _colored,
    "wholly in a color": _around("\x1b[31m", "\x1b[0m"),
    "in bold 8-bit": _around("\x9b1m", "\x9b0m"),
    "colors inside": _inside("\x1b[0m"),
    "a link inside": _inside("\x1b]8;;https://x.example\x1b\\", "\x1b]8;;\x1b\\"),
    "a title inside": _inside("\x1b]0;t\x07"),
    "a variation selector inside": _inside("\ufe0f"),
    "a supplementary selector inside": _inside("\U000e0101"),
    "zero width inside": _inside("\u200b"),
    "a soft hyphen inside": _inside("\u00ad"),
    "a byte order mark inside": _inside("\ufeff"),
    "a direction inside": _inside("\u202d"),
    "a word joiner inside": _inside("\u2060"),
    "a bell inside": _inside("\x07"),
    "written out colors inside": _inside("\\x1b[0m"),
    "colors of JSON inside": _inside("\\u001b[1;31m"),
    "colors of cat -v inside": _inside("^[[0m"),
    "a backspace inside": _inside("\b"),
    "in wide letters": _before(lambda text: text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})),
    "overstruck": _before(lambda text: re.sub(r"\S", "\\g<0>\b\\g<0>", text)),
    "in a JSON text": lambda secret: json.dumps({"level": "error", "msg": secret.text, "n": 1}),
    "in a JSON text in one": lambda secret: json.dumps({"log": json.dumps({"msg": secret.text}), "n": 1}),
    "in logfmt": lambda secret: f"level=error msg={json.dumps(secret.text)} n=1",
    "in a tuple": lambda secret: repr((secret.text, 1)),
    "as bytes": lambda secret: repr(secret.text.encode()),
    "in brackets": _around("(", ")"),
    "in backticks": _around("`", "`"),
    "at a sentence's end": _around("It used ", "."),
    "in a long line": _around("x " * 200, " y" * 200),
    "twice": lambda secret: f"{secret.text} and {secret.text}",
}
"""What logs and terminals put around a secret and into it."""


def wrapped() -> Iterator[tuple[str, Secret, str]]:
    """(name of the wrapping, secret, text)."""
    yield from ((name, secret, wrap(secret)) for secret in secrets() for name, wrap in WRAPPINGS.items())
