"""A secret that we resolved is masked however text from outside writes it, and the time stays linear."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import time
from base64 import a85encode, b32encode, b64encode, b85encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.batch import parse as batch
from connectors.cron import busybox
from connectors.cron import client as cron_client
from connectors.cron.crontab import CrontabFile, read_crontabs
from connectors.dagster import parse as dagster
from connectors.databricks import parse as databricks
from connectors.dbt import host_program
from connectors.dbt import parse as dbt
from connectors.sdk import fields
from connectors.sdk.errors import InvalidAnswer, RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.records import LogChunk
from connectors.sdk.secrets import MASK, SHORTEST_PART, SecretStore
from connectors.sdk.transport import script_output
from connectors.sdk.transport.http import HttpReply
from connectors.slurm import parse as slurm
from console.engine.polling.sanitize import sanitize_log
from console.text.cleaning import clean
from console.text.redact import sanitize
from tests.deep import few
from tests.properties import examples
from tests.rows import each_row

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


@each_row("name", FORMS)
def test_a_secret_is_masked_in_every_usual_form(secrets: SecretStore, name: str) -> None:
    assert f"user={MASK};" == secrets.mask(f"user={FORMS[name]};")


@each_row("escape", [str, json.dumps, html.escape, quote, repr])
def test_a_secret_that_seems_escaped_itself_is_masked(escape: Callable[[str], str]) -> None:
    secrets = SecretStore()
    value = '50%41off\\n"&amp;<x'
    secrets.add(value)
    assert "off" not in secrets.mask(f"user={escape(value)};")


@each_row("lead", ["", "u", "us", "user:"])
@each_row("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_inside_of_base64_is_masked_but_for_its_last_characters(
    lead: str, encode: Callable[[bytes], bytes]
) -> None:
    secrets = SecretStore()
    secrets.add("CANARY-~~~???-f1le77")
    text = encode(f"{lead}CANARY-~~~???-f1le77".encode()).decode()
    assert len(secrets.mask(text).partition(MASK)[2]) <= 4
    assert MASK in secrets.mask(text)


@each_row("split", SPLITS)
@each_row("name", ["as it is", "JSON", "URL", "hex", "base64url"])
def test_a_secret_split_by_what_no_screen_shows_is_masked_before_and_after_cleaning(
    secrets: SecretStore, split: str, name: str
) -> None:
    form = FORMS[name]
    text = f"a{split}b {form[:5]}{split}{form[5:11]}{split}{split}{form[11:]} c{split}d"
    assert f"a{split}b {MASK} c{split}d" == secrets.mask(text)
    assert clean(f"a{split}b {MASK} c{split}d") == secrets.mask(clean(text)) == sanitize(text, secrets.mask)


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
    "&#65;", "\\101", "00000010 4341 4e41 5259\n",
    "\n00000010", "000000 a ", "000000  ", "00ff00 ",
)  # fmt: skip


@pytest.mark.quiet
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


LONG = "CANARY-cmd-S3cret/Key+9q"
WIDE = LONG.encode("utf-16-le")


def wrapped(text: str, width: int, by: str = "\n  ") -> str:
    return by.join(text[at : at + width] for at in range(0, len(text), width))


def od(text: bytes, options: str) -> str:
    return subprocess.run(["od", *options.split()], input=text, stdout=subprocess.PIPE, check=True).stdout.decode()


@each_row(
    "written",
    [
        wrapped(LONG, 10), wrapped(b64encode(LONG.encode()).decode(), 12),
        LONG.encode().hex(" "), LONG.encode().hex(":"),
        b32encode(LONG.encode()).decode(), b32encode(f"u:{LONG}".encode()).decode().lower(), b64encode(WIDE).decode(),
        b64encode(b64encode(LONG.encode())).decode(), b64encode(b64encode(f"user:{LONG}".encode())).decode(),
        LONG.encode("utf-16-le").decode("latin-1"), LONG.lower(), LONG.upper(), " ".join(LONG), "-".join(LONG),
        wrapped(b64encode(b"u:" + LONG.encode()).decode(), 16),
        *(wrapped(b64encode(LONG.encode()).decode(), 12, by) for by in ("\n> ", "\n#", "\n+", "|\n|", '", "', "\\\n")),
        wrapped(LONG, 8, '" + "'), wrapped(LONG, 8, "=\n"), ".".join(LONG), "\u00a0".join(LONG),
        json.dumps(wrapped(b64encode(LONG.encode()).decode(), 12)), quote(LONG.upper(), safe=""),
        "".join(f"\\{byte:03o}" for byte in LONG.encode()), "".join(f"\\0{byte:03o}" for byte in LONG.encode()),
        ", ".join(f"0x{byte:02x}" for byte in LONG.encode()), ",\n  ".join(f"0x{byte:02x}" for byte in LONG.encode()),
        od(LONG.encode(), "-A n -c"), od(LONG.encode(), "-A n -t x1"),
        b85encode(LONG.encode()).decode(), b85encode(f"{LONG}\n".encode()).decode(), a85encode(LONG.encode()).decode(),
    ],
)  # fmt: skip
def test_a_secret_in_other_forms_is_masked(secrets: SecretStore, written: str) -> None:
    secrets.add(LONG)
    masked = secrets.mask(f"before {written} after")
    left = {written[at : at + 8] for at in range(len(written) - 7)}
    assert (True, set()) == (MASK in masked, {part for part in left if part in masked}), masked


def xxd(text: bytes, line: str = "{at:08x}: {words}  {text}", width: int = 16) -> str:
    """Lines as `xxd` writes them, or `hexdump -C`."""
    lines = []
    for at in range(0, len(text), width):
        piece = text[at : at + width]
        bits = " ".join(f"{byte:08b}" for byte in piece)
        words = " ".join(piece[word : word + 2].hex() for word in range(0, len(piece), 2))
        shown = piece.decode("latin-1").replace("\n", ".")
        lines.append(line.format(at=at, words=words, octets=piece.hex(" "), bits=bits, text=shown))
    return "\n".join(lines)


DUMPS: dict[str, Callable[[bytes], str]] = {
    "xxd": xxd,
    "hexdump -C": partial(xxd, line="{at:08x}  {octets}  |{text}|"),
    **{f"od {options}": partial(od, options=options)
       for options in ("", "-b", "-c", "-o", "-x", "-A x -t x1z", "-A d -t x4", "-t x8", "-t d1", "-t d2", "-t u4")},
    "xxd -b": partial(xxd, line="{at:08x}: {bits}  {text}", width=6),
}  # fmt: skip


PREFIXES = (
    "",
    "[2026-11-28, 03:10:{at:02} UTC] {{subprocess.py:93}} INFO - ",
    "2026-11-28T03:10:00.0123{at:02}Z stdout F ",
    '{{"log":"',
    "web-1  | ",
)


@each_row("lead, prefix", list(zip((0, 5, 10, 15, 0), PREFIXES, strict=True)))
@each_row("program", DUMPS)
def test_the_lines_of_a_dump_that_hold_a_secret_are_masked(
    secrets: SecretStore, program: str, lead: int, prefix: str
) -> None:
    check_dump(secrets, program, lead, prefix)


@pytest.mark.deep
@each_row("prefix", PREFIXES)
@each_row("lead", range(0, 16, 5))
@each_row("program", DUMPS)
def test_the_lines_of_a_dump_are_masked_wherever_the_secret_begins_in_them(
    secrets: SecretStore, program: str, lead: int, prefix: str
) -> None:
    check_dump(secrets, program, lead, prefix)


def check_dump(secrets: SecretStore, program: str, lead: int, prefix: str) -> None:
    secrets.add(LONG)
    before, after = b"b" * (32 + lead), b"\nand 48 bytes and more after it, which stay readable\n"

    def dump(value: bytes) -> list[str]:
        lines = DUMPS[program](before + value + after).splitlines()
        return [f"{prefix.format(at=at)}{line}" for at, line in enumerate(lines)]

    dumped, other = dump(LONG.encode()), dump(b"x" * len(LONG))
    masked = secrets.mask("\n".join(["dump:", *dumped, "end"]))
    stays = [line for line in dumped if line in masked]
    assert masked.startswith(f"dump:\n{prefix.format(at=0)}")
    assert masked.endswith("\nend")
    assert stays == [line for line in dumped if line in other], masked


@pytest.mark.parametrize("write", [json.dumps, lambda text: re.sub("^", "\x1b[0m", text, flags=re.MULTILINE)])
def test_a_dump_within_another_text_is_masked(secrets: SecretStore, write: Callable[[str], str]) -> None:
    secrets.add(LONG)
    masked = secrets.mask(write(od(LONG.encode(), "-x")))
    assert (True, False) == (MASK in masked, "4143" in masked), masked


@pytest.mark.quiet
@pytest.mark.parametrize("line", ["20261128 10 11 value\n", "000123 1234 5678 value\n", "20261128 10 11 value "])
def test_numbers_in_a_log_cost_no_more_than_words(secrets: SecretStore, line: str) -> None:
    for number in range(10):
        secrets.add(f"{LONG}{number}")

    def seconds(line: str) -> float:
        text = line * (2**19 // len(line))
        began = time.process_time()
        assert text == secrets.mask(text)
        return time.process_time() - began

    seconds(line)
    assert min(seconds(line) for _ in range(3)) < 3 * max(seconds("some words and more of a log\n"), 0.01)


def test_what_is_around_a_secret_in_a_url_stays(secrets: SecretStore) -> None:
    secrets.add(LONG)
    for text in (LONG, b64encode(LONG.encode()).decode(), b85encode(LONG.encode()).decode()):
        assert f"https://h.example/hooks/{MASK}/now" == secrets.mask(f"https://h.example/hooks/{text}/now")
    begun = b64encode(f"{LONG}:and more".encode()).decode()
    assert f"https://h.example/hooks/{MASK}" == secrets.mask(f"https://h.example/hooks/{begun}").partition("OmFu")[0]


@pytest.mark.parametrize("login", ["u", "us", "use"])
def test_the_ends_of_a_secret_within_base64_are_masked(secrets: SecretStore, login: str) -> None:
    secrets.add(LONG)
    for ending in ("", "x", "xy"):
        masked = secrets.mask(b64encode(f"{login}:{LONG}{ending}".encode()).decode())
        before, _, after = masked.partition(MASK)
        own = b64encode(f"{login}:".encode()).decode()
        assert (True, True) == (own.startswith(before), len(after) <= 4), masked


def test_a_secret_at_a_cut_is_masked_on_both_sides(secrets: SecretStore) -> None:
    secrets.add(LONG)
    for at in range(6, len(LONG) - 5):
        begin = secrets.mask_part(f"the key is {LONG[:at]}", begins_cut=False, ends_cut=True)
        end = secrets.mask_part(f"{LONG[at:]} is the key", begins_cut=True, ends_cut=False)
        assert (f"the key is {MASK}", f"{MASK} is the key") == (begin, end)
    assert "nothing here" == secrets.mask_part("nothing here", begins_cut=True, ends_cut=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
        lambda text: json.dumps("".join(f"\\u{ord(sign):04x}" for sign in text))[1:-1],
        lambda text: "".join(f"&#{ord(sign)};" for sign in text),
        lambda text: "".join(f"\\{sign}" if not sign.isalnum() else sign for sign in text),
        lambda text: "".join(f"\\{ord(sign):03o}" for sign in text),
        lambda text: ", ".join(f"0x{octet:02x}" for octet in text.encode()),
        " ".join,
        str.upper,
        lambda text: quote(text.upper(), safe=""),
        "\n    ".join,
        pytest.param("\x1b[38;2;255;100;100m".join, marks=pytest.mark.deep),  # 500 cuts
    ],
    ids=[
        "URL",
        "JSON",
        "u",
        "JSON in JSON",
        "HTML",
        "shell",
        "octal",
        "bytes",
        "spaced",
        "upper case",
        "upper case in a URL",
        "wrapped",
        "colored",
    ],
)
def test_an_escaped_secret_at_a_cut_is_masked_on_both_sides(secrets: SecretStore, write: Callable[[str], str]) -> None:
    """All but the character at the cut was readable."""
    secret = 'Secret/Key+ "q" 7Zw4TrU0pLm3'
    secrets.add(secret)
    written, least = write(secret), SHORTEST_PART
    most = max(len(write(secret[:least])), len(write(secret[-least:]))) + len("&#x0005")
    for at in range(1, len(written)):
        begin = secrets.mask_part(f"the line is {written[:at]}", begins_cut=False, ends_cut=True)
        end = secrets.mask_part(f"{written[at:]} was the line", begins_cut=True, ends_cut=False)
        assert len(begin.removeprefix("the line is ").removeprefix(MASK)) < most, begin
        assert len(end.removesuffix(" was the line").removesuffix(MASK)) < most, end
        assert begin.startswith("the line is ")
        assert end.endswith(" was the line")
    assert f"{write('Secret')} ok" == secrets.mask_part(f"{write('Secret')} ok", begins_cut=True, ends_cut=False)


@pytest.mark.parametrize(
    "sign, write",
    [
        ("/", lambda text: quote(text, safe="")),
        ("&", html.escape),
        ("ü", lambda text: json.dumps(text)[1:-1]),
        ("ü", lambda text: quote(text, safe="")),
    ],
    ids=["URL", "HTML", "JSON", "URL of UTF-8"],
)
def test_a_secret_whose_only_escape_is_cut_is_masked(
    secrets: SecretStore, sign: str, write: Callable[[str], str]
) -> None:
    """Without another escape a page had only its plain text, in which no escape was torn."""
    secrets.add(f"Zw4TrU0pLm3{sign}Qr8sTuVwXy51")
    written = write(f"Zw4TrU0pLm3{sign}Qr8sTuVwXy51")
    for at in range(11, len(written) - 12):
        begin = secrets.mask_part(f"url {written[:at]}", begins_cut=False, ends_cut=True)
        end = secrets.mask_part(f"{written[at:]} end", begins_cut=True, ends_cut=False)
        assert (f"url {MASK}", f"{MASK} end") == (begin, end), written[:at]


@each_row("around", ["", "a\tb ", "Größe 5 ", "\x1b[32mok\x1b[0m ", 'GET \\"x\\" ', "100%25 "])
def test_words_around_the_first_letters_of_a_secret_stay(secrets: SecretStore, around: str) -> None:
    """Any nine characters were taken for an escape that was cut."""
    secrets.add("https://hooks.slack.com/services/T0AB/B0CD/Zw4TrU0pLm3Qr8sTuVw")
    secrets.add("postgresql://etl:Zw4TrU0pLm3@dwh/reports")
    for text in (f"{around}see https://ci/123", f"{around}postgresql is up"):
        assert text == secrets.mask_part(text, begins_cut=False, ends_cut=True)
    for text in (f"daily reports of {around}", f"bad reports of {around}"):
        assert text == secrets.mask_part(text, begins_cut=True, ends_cut=False)


def test_a_part_without_the_rest_of_a_secret_stays_as_it_is(secrets: SecretStore) -> None:
    secrets.add(LONG)
    beginning = quote(LONG[:-1])
    for text in (f"{beginning} is within a line of %41 words", "%41%42 \\u0041 &#65;", f"%41{beginning[:5]}"):
        assert text == secrets.mask_part(text, begins_cut=True, ends_cut=True)


@pytest.mark.quiet
@pytest.mark.parametrize("line", ["some words and more of a log\n", json.dumps({"a": 'x\ny "ü"'})])
def test_a_cut_costs_little_more_than_the_mask(secrets: SecretStore, line: str) -> None:
    """Each length of each form was compared: a key of 3,000 characters took a third of a second."""
    secrets.add("k".join(map(str, range(1000))))
    text = (line * 10_000)[: 64 * 1024]

    def seconds(is_cut: bool) -> float:
        started = time.process_time()
        secrets.mask_part(text, is_cut, is_cut)
        return time.process_time() - started

    seconds(True)
    assert min(seconds(True) for _ in range(3)) < 3 * max(min(seconds(False) for _ in range(3)), 0.01)


def test_outside_text_is_masked_before_it_is_cut() -> None:
    """Also where stores without secrets look at it first."""
    stores = [SecretStore() for _ in range(8)]
    stores[0].add(LONG)
    for lead in range(170, 200):
        assert LONG[:6] not in stores[0].mask(masked_head(f"{'e' * lead}{LONG}", 200))
        body = json.dumps({"detail": f"{'e' * lead}{LONG.encode().hex()}"}).encode()
        assert LONG[:6].encode().hex() not in stores[0].mask(HttpReply("x", "GET /", 500, {}, body, None).error)


def read_dbt(text: str) -> object:
    return dbt.parse_outcome({"metadata": {"invocation_id": "7f"}, "results": [text]}, "shop").skipped


def read_batch(text: str) -> object:
    row = {"jobId": "7", "jobDefinition": "mart:1", "status": "FAILED", "statusReason": text}
    return batch.runs(row, (), "eu-west-1")


def read_databricks(text: str) -> object:
    return databricks.parse_state({"state": {"life_cycle_state": "TERMINATED", "state_message": text}})


def read_crontab(text: str) -> object:
    return read_crontabs([CrontabFile("/etc/crontab", f"{text}\n")], None).faults


def read_journal(text: str) -> object:
    return script_output.read_journal(f'{{"a":"{text}\n'.encode(), True, lambda at, entry: None)


def read_time(text: str) -> object:
    with pytest.raises(RecordUnreadable) as raised:
        dagster.parse_seconds({"at": text}, "at")
    return raised.value


def read_reply(text: str) -> object:
    with pytest.raises(InvalidAnswer) as raised:
        script_output.sections(text.encode(), "7f", "db07")
    return raised.value


def read_cut_message(text: str) -> object:
    """Of a node, as the program on the host sends it."""
    result = host_program.cut_result({"unique_id": "model.shop.a", "status": "error", "message": text})
    return dbt.parse_outcome({"metadata": {"invocation_id": "7f"}, "results": [result]}, "shop")


def read_cut_command(text: str) -> object:
    """Of a run, as the program on the host sends it."""
    value = {"metadata": {"invocation_id": "7f"}, "args": {"invocation_command": text}, "results": []}
    return dbt.parse_outcome(host_program.cut_results(value), "shop")


READERS: tuple[tuple[Callable[[str], object], int], ...] = (
    (read_dbt, 200), (read_batch, 4000), (read_databricks, 1000), (read_crontab, 80), (read_crontab, 200),
    (read_journal, 200),
    (lambda text: fields.skipped("x", RecordUnreadable("y"), text), 200),
    (lambda text: slurm.nothing_seen([text], "hpc"), 200),
    (read_time, 60), (busybox.reads_it_as, 80), (cron_client.shown, 160), (read_reply, 120), (read_cut_message, 1000),
    (read_cut_command, 500),
)  # fmt: skip


@each_row("read, limit", READERS)
def test_no_connector_cuts_a_secret_before_it_is_masked(read: Callable[[str], object], limit: int) -> None:
    store = SecretStore()
    store.add(LONG)
    for lead in range(limit - 40, limit - 5):
        assert LONG[:6] not in store.mask(repr(read(f"{'e' * lead}{LONG}"))), lead


def test_the_tail_of_a_log_begins_with_a_whole_line(secrets: SecretStore) -> None:
    secrets.add(LONG)
    cut = LogChunk(f"{LONG[9:]} of the first line\nsecond\n", None, cut=True)
    assert "second\n" == sanitize_log(cut, secrets)
    assert f"{MASK} without a line end" == sanitize_log(replace(cut, text=f"{LONG[9:]} without a line end"), secrets)
    page = LogChunk(f"second\n{LONG[:9]}", "20", more=True)
    assert f"second\n{MASK}" == sanitize_log(page, secrets, start="0")


@pytest.mark.quiet
def test_masking_the_tail_of_a_log_is_cheap(secrets: SecretStore) -> None:
    for number in range(30):
        secrets.add(f"{LONG}{number}")
    text = "2026-11-27 03:10:00 INFO [db07-1] rows: 1_000 - done\n" * 1_300
    began = time.process_time()
    assert text == secrets.mask(text)
    assert time.process_time() - began < 1


@each_row("value", ["password", "Secret", "oracle://etl:password@db07/x", "token"])
def test_a_poor_secret_masks_no_word_of_an_error(value: str) -> None:
    secrets = SecretStore()
    secrets.add(value)
    text = "ORA-01017: invalid username/password; the secret token was refused"
    assert text == secrets.mask(text)
    assert "password=*** refused" == sanitize("password=hunter2 refused", secrets.mask)
