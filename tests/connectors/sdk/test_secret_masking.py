"""A secret that we resolved is masked however text from outside writes it, and the time stays linear."""

from __future__ import annotations

import html
import json
import re
import shlex
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.secrets import MASK, SecretStore
from console.engine.polling.sanitize import sanitize_text
from console.text.cleaning import clean
from tests.deep import few
from tests.properties import examples

SECRET = "CAN\"ARY/'7ü&<x>+ y?"
PLAIN = SECRET.encode()
FORMS = {
    "as it is": SECRET,
    "Python": repr(SECRET)[1:-1],
    "bytes": repr(PLAIN)[2:-1],
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON, upper case": json.dumps(SECRET)[1:-1].replace("\\u00fc", "\\u00FC"),
    "JSON, UTF-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON, slash": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "URL": quote(SECRET, safe=""),
    "URL, path": quote(SECRET),
    "URL, lower case": re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
    "form": quote_plus(SECRET),
    "HTML": html.escape(SECRET),
    "HTML, decimal": html.escape(SECRET).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "XML": html.escape(SECRET).replace("&#x27;", "&apos;"),
    "XML, ASCII": html.escape(SECRET).encode("ascii", "xmlcharrefreplace").decode(),
    "JSON, Go": json.dumps(SECRET).translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "&<>"})[1:-1],
    "JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "HTML in JSON": json.dumps(html.escape(SECRET))[1:-1],
    "HTML, numbers": "".join(f"&#x{ord(sign):x};" for sign in SECRET),
    "URL, JavaScript": quote(SECRET, safe="-_.!~*'()"),
    "URL in URL": quote(quote(SECRET, safe=""), safe=""),
    "shell": shlex.quote(SECRET)[1:-1],
    "shell, backslash": SECRET.replace("'", "'\\''"),
    "SQL": SECRET.replace("'", "''"),
    "CSV": SECRET.replace('"', '""'),
    "hex": PLAIN.hex(),
    "hex, upper case": PLAIN.hex().upper(),
    "base64": b64encode(PLAIN).decode(),
    "base64url": urlsafe_b64encode(PLAIN).decode(),
    "base64url, unpadded": urlsafe_b64encode(PLAIN).decode().rstrip("="),
}
PEM = """-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj
0xyVb6hG9aPmQ3nTqLrSeFk2dWz8
-----END PRIVATE KEY-----
"""
SPLITS = (
    "\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b(B",
    "\x9b1m",
    "\x00",
    "\u200b",
    "\u202e",
    "\ufe0f",
    "\U000e0101",
    "\x7f",
    "\ufffd",
    "\x1b[31m\x1b[1m\x08",
)


@pytest.fixture
def secrets() -> SecretStore:
    secrets = SecretStore()
    secrets.add(SECRET)
    return secrets


@pytest.mark.parametrize("name", FORMS)
def test_a_secret_is_masked_in_every_usual_form(secrets: SecretStore, name: str) -> None:
    assert f"user={MASK};" == secrets.mask(f"user={FORMS[name]};")


@pytest.mark.parametrize("escape", [str, json.dumps, html.escape, quote, repr])
def test_a_secret_that_seems_escaped_itself_is_masked(escape: Callable[[str], str]) -> None:
    secrets = SecretStore()
    value = '50%41off\\n"&amp;<x'
    secrets.add(value)
    assert "off" not in secrets.mask(f"user={escape(value)};")


@pytest.mark.parametrize("lead", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_inside_of_base64_is_masked_but_for_its_last_characters(
    lead: str, encode: Callable[[bytes], bytes]
) -> None:
    secrets = SecretStore()
    secrets.add("CANARY-~~~???-f1le77")
    text = encode(f"{lead}CANARY-~~~???-f1le77".encode()).decode()
    assert len(secrets.mask(text).partition(MASK)[2]) <= 4
    assert MASK in secrets.mask(text)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", ["as it is", "JSON", "URL", "hex", "base64url"])
def test_a_secret_split_by_what_no_screen_shows_is_masked_before_and_after_cleaning(
    secrets: SecretStore, split: str, name: str
) -> None:
    form = FORMS[name]
    text = f"a{split}b {form[:5]}{split}{form[5:11]}{split}{split}{form[11:]} c{split}d"
    assert f"a{split}b {MASK} c{split}d" == secrets.mask(text)
    assert clean(f"a{split}b {MASK} c{split}d") == secrets.mask(clean(text)) == sanitize_text(text, secrets.mask)


def test_each_line_of_a_key_is_masked_and_the_frame_of_pem_stays() -> None:
    secrets = SecretStore()
    secrets.add(PEM)
    lines = PEM.splitlines()
    assert f"read {MASK}, then {MASK}" == secrets.mask(f"read {lines[1]}, then {lines[2]}")
    assert lines[0] == secrets.mask(lines[0])
    assert MASK == secrets.mask(PEM)


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(SPLITS))
@examples(200)
def test_no_text_around_a_secret_hides_it(before: str, after: str, split: str) -> None:
    secrets = SecretStore()
    secrets.add("CANARYf1le77")
    text = f"{before}CANARY{split}f1le77{after}"
    for shown in (secrets.mask(text), clean(secrets.mask(text)), secrets.mask(clean(text))):
        assert not re.search("CANARY.{0,12}f1le77", shown, re.DOTALL)


PIECES = (
    "\x1b[0m", "\x1b]", "\x1b[", "\x00a", "\x9d", "\x1b[1;1", "CAN", "\u200b", "\x1b  ", "ü", "%41", "\\", "\\u0041",
    "&#65;",
)  # fmt: skip


@pytest.mark.parametrize("piece", few(PIECES, 3))
def test_masking_takes_linear_time(piece: str) -> None:
    secrets = SecretStore()
    for number in range(20):
        secrets.add(f"CANARY{number}-f1le77-\u00fc")

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        secrets.mask(text)
        return time.process_time() - began

    seconds(2**16)
    assert seconds(2**20) < 40 * max(seconds(2**16), 0.005)
