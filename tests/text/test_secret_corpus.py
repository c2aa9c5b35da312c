"""No secret survives, however a log wraps it; and lines that speak of secrets stay readable."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from console.text import redact
from console.text.cleaning import clean
from tests.rows import each_row
from tests.text.secret_corpus import WRAPPINGS, Secret, secrets, wrapped

sanitize = partial(redact.sanitize, known=redact.NONE_KNOWN)
FOLDER = Path(__file__).parent
LOGS = sorted((FOLDER.parent / "bench" / "failure_logs").glob("*.toml"))
PIECE = 5
"""Letters of a secret that may be left by chance."""
SAMPLE = 13


def leaks(cases: Iterable[tuple[str, Secret, str]]) -> list[str]:
    results = []
    for wrapping, secret, text in cases:
        masked = sanitize(text)
        around = secret.text.replace(secret.hidden, "")
        starts = range(max(1, len(secret.hidden) - PIECE + 1))
        pieces = (secret.hidden[at : at + PIECE] for at in starts)
        if any(piece in masked and piece not in around for piece in pieces):
            results.append(f"{wrapping}: {text!r} -> {masked!r}")
    return results


def harmless_lines() -> list[str]:
    """Of logs of real tools that failed."""
    lines: set[str] = set()
    for path in LOGS:
        for cause in tomllib.loads(path.read_text("utf-8"))["cause"].values():
            texts = [text for name in ("texts", "messages", "warnings") for text in cause.get(name, ())]
            lines |= {line for text in texts for line in clean(text).split("\n") if line.strip()}
    return sorted(lines)


def about_secrets() -> list[str]:
    """Lines that hold no secret, but speak of one or look like a command, an address or an id."""
    return (FOLDER / "harmless.txt").read_text("utf-8").splitlines()


def plain_words() -> Iterable[tuple[str, Secret, str]]:
    """Lines of logs whose secrets, in "«»", are words that only their place reveals; ends of lines are written out."""
    for line in (FOLDER / "plain_words.txt").read_text("utf-8").splitlines():
        marked = line.replace("\\n", "\n").replace("\\t", "\t") if "\\n" in line else line
        text = re.sub("[«»]", "", marked)
        yield from ((hidden, Secret(text, hidden), text) for hidden in re.findall("«(.*?)»", line))


def test_at_most_six_of_a_hundred_plain_words_leak() -> None:
    cases = [*plain_words()]
    assert len(cases) >= 200
    leaked = leaks(cases)
    assert len(leaked) <= 6 * len(cases) / 100, "\n".join(leaked)


def test_the_corpus_is_large_enough() -> None:
    assert len(secrets()) >= 500
    assert len({secret.text for secret in secrets()}) == len(secrets())
    assert len(WRAPPINGS) >= 30
    assert len(about_secrets()) >= 300


def test_a_sample_of_secrets_leaks_in_no_wrapping() -> None:
    assert [] == leaks(case for number, case in enumerate(wrapped()) if number % SAMPLE == 0)


def test_the_text_after_a_secret_stays() -> None:
    after = " reg failed: no route"
    texts = {secret.text + after for secret in secrets()} | {text + after for _, _, text in plain_words()}
    assert [] == [masked for masked in map(sanitize, texts) if not masked.endswith(after)]


@pytest.mark.deep
def test_no_secret_leaks_in_any_wrapping() -> None:
    assert [] == leaks(wrapped())


@each_row("lines", [harmless_lines, about_secrets])
def test_at_most_one_harmless_line_of_a_hundred_is_masked(lines: object) -> None:
    assert callable(lines)
    texts = lines()
    masked = [text for text in texts if sanitize(text) != text]
    assert len(masked) <= len(texts) / 100, masked


@each_row(
    "text, expected",
    [
        # a quote in a value, also within JSON
        ('{"password": "Hun\\"ter2zz"} refused', '{"password": "***"} refused'),
        ('{"log": "{\\"password\\": \\"Hun\\\\\\"ter2zz\\"}"}', '{"log": "{\\"password\\": \\"***\\"}"}'),
        ("password='it''s mine' host='db07'", "password='***' host='db07'"),
        # programs
        ("sqlplus -s etl/Tiger2026@ORCL @/opt/load.sql", "sqlplus -s etl/***@ORCL @/opt/load.sql"),
        ("bcp dwh.dbo.t out t.csv -U etl -P Hunter2x", "bcp dwh.dbo.t out t.csv -U etl -P ***"),
        ("ldapsearch -xw Hunter2x -b dc=x", "ldapsearch -xw *** -b dc=x"),
        ("smbclient //nas/in -U etl%Hunter2x", "smbclient //nas/in -U etl%***"),
        ("lftp -u etl,Hunter2x sftp.example.com", "lftp -u etl,*** sftp.example.com"),
        ("docker run -p 8080:80 nginx", "docker run -p 8080:80 nginx"),
        # addresses
        ("postgresql://etl:pa/ss77@db07:5432/dwh", "postgresql://etl:***@db07:5432/dwh"),
        ("http://localhost:4873/@types/node", "http://localhost:4873/@types/node"),
        ("UID=etl;PWD={Hun ter;2x};", "UID=etl;PWD={***};"),
        ("https://h/ping/4f1c2b3a4d5e6f708192a3b4c5d6e7f8/start", "https://h/ping/***/start"),
        ("https://h/ping/load_orders_2026/start", "https://h/ping/load_orders_2026/start"),
        ("https://x/hooks/84818256-5817-4559-8154-bc05243dacc5", "https://x/hooks/***"),
        # prose
        ("the password is Hunter2x for user etl", "the password is *** for user etl"),
        ("the password is wrong for user etl", "the password is wrong for user etl"),
        ("ORA-01017: invalid username/password; logon denied", "ORA-01017: invalid username/password; logon denied"),
        ("token: abcsecret", "token: ***"),
        ("token: expired", "token: expired"),
        ("token: shorter than 20 characters", "token: shorter than 20 characters"),
        ("secret: version 3 is disabled", "secret: version 3 is disabled"),
        ("wrong user name or password: try again", "wrong user name or password: try again"),
        ("password: summer user: etl", "password: *** user: etl"),
        ("api_token: summer refused", "api_token: *** refused"),
        ("DB_PASSWORD_PROD=summer", "DB_PASSWORD_PROD=***"),
        ("password = settings.DB_PASSWORD", "password = settings.DB_PASSWORD"),
        ("password = settings", "password = ***"),
        ('the passphrase is "two words9"', 'the passphrase is "***"'),
        ('{"password": "the two words"}', '{"password": "***"}'),
        ("glue-orders-load-2026-daily ended", "glue-orders-load-2026-daily ended"),
        ("(using password: YES)", "(using password: YES)"),
        ("PGPASSWORD=$DB_PASSWORD psql", "PGPASSWORD=$DB_PASSWORD psql"),
    ],
)  # fmt: skip
def test_a_word_is_masked_for_what_it_is(text: str, expected: str) -> None:
    assert expected == sanitize(text)
    assert expected == sanitize(text, strictly=True)


@each_row(
    "text",
    [
        "- id\n- token\n- created_at\n- orders_daily",
        "Missing: secret\nStarted etl_daily\nFinished load_orders",
        "[INFO] password\n[INFO] orders_daily\n[ERROR] disk_full",
        "INFO   token\nINFO   orders_daily",
        "Checking: credentials\nTask load_orders",
        "ERROR: PASS check_orders_total",
        "[12:00] PASS orders_total",
        "PASS orders-2026-01-05",
        "> AUTH check_orders",
        "user accounts password reset_page_loaded",
        "0.0.0.0:5432:LISTEN:x:y:z",
    ],
)
def test_a_name_of_a_job_stays_readable_near_the_name_of_a_secret(text: str) -> None:
    assert text == sanitize(text)


@each_row(
    "text",
    [
        "\x1b[36mpassword\x1b[0m=\x1b[35mHunter2x\x1b[0m refused",
        b"pass\xef\xb8\x8fword=Hun\x1b]8;;https://x\x1b\\ter2x\x1b]8;;\x1b\\ refused",
        "\rpassword=Hunter2x refused",
        "password=Hunter\u200b2x refused",
        "\\u001b[36mpassword\\u001b[0m=Hunter2x refused",
        "ｐａｓｓｗｏｒｄ＝Hunter2x refused",
        "p\bpa\bas\bss\bsw\bwo\bor\brd\bd=Hunter2x refused",
    ],
)
def test_a_secret_is_masked_after_it_is_put_together(text: str | bytes) -> None:
    assert "password=*** refused" == sanitize(text)


def test_a_text_is_joined_before_it_is_masked_and_masked_before_it_is_cut() -> None:
    assert "password: · ***" == sanitize("password:\n  Hunter2x\n", on_one_line=True)
    assert "ghp_" not in sanitize(f"x ghp_{'aB3' * 12}", limit=12)
    assert "x password=***…" == sanitize("x password=Hunter2x refused", limit=15)


def test_known_secrets_are_masked_in_the_text_as_a_terminal_shows_it() -> None:
    text = "10%\rload can\x1b[1mary-7\x1b[0m failed"
    assert "10%\nload ••• failed" == sanitize(text, known=lambda cleaned: cleaned.replace("canary-7", "•••"))


def test_the_name_before_a_value_reveals_it_and_is_left_out() -> None:
    assert "***" == sanitize("\rHunter2x", after="db_password=")
    assert "12" == sanitize("12", after="ro\ufffdws=")


def test_json_with_a_masked_value_is_still_json() -> None:
    text = json.dumps({"a": {"password": 'x"y\\', "rows": 7}, "b": json.dumps({"token": 'q"r'})})
    masked = json.loads(sanitize(text))
    assert {"password": "***", "rows": 7} == masked["a"]
    assert {"token": "***"} == json.loads(masked["b"])
