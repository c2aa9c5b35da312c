"""What a failure's words blame; what they do not name gathers nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.control.snapshot.failures import blamed_resource, identity_name, identity_titles, resource_identity
from console.text.normalize import normalize_line
from tests.rows import each_row


@each_row(
    "message, shared",
    [
        ('FATAL:  password authentication failed for user "etl"', "credential:user etl"),
        ("ERROR 1045 (28000): Access denied for user 'etl'@'10.0.0.4' (using password: YES)", "credential:user etl"),
        ("etl@db07: Permission denied (publickey,password).", "credential:user etl@db07"),
        ("ExpiredToken: The security token included in the request is expired", "credential:the AWS credential"),
        ('psql: error: connection to server at "DB07" (10.1.2.3), port 5432 failed: refused', "connection:db07:5432"),
        ("ssh: connect to host db07 port 22: Connection timed out", "connection:db07:22"),
        ("dial tcp db07:5432: connect: connection refused", "connection:db07:5432"),
        ("requests: HTTPSConnectionPool(host='api.internal', port=443): Max retries", "connection:api.internal:443"),
        ("curl: (6) Could not resolve host: api.internal", "host:api.internal"),
        ("cp: error writing '/data/x': No space left on device", "disk:etl-hosts/db07"),
        ("java.lang.OutOfMemoryError: Java heap space", "memory:etl-hosts/db07"),
        ("ERROR: canceling statement due to statement timeout", "timeout:etl-hosts/db07"),
        ("ORA-01017: invalid username/password; logon denied", ""),
    ],
)
def test_the_text_of_a_failure_names_its_cause(message: str, shared: str) -> None:
    resource = blamed_resource(f"starting\n{message}\nrolled back")
    assert resource is not None
    assert shared == resource_identity(resource, "etl-hosts/db07")


@each_row("message", ["", "exit 1", 'relation "orders" does not exist', "KeyError: 'vat'", "Traceback"])
def test_an_unknown_text_blames_no_resource(message: str) -> None:
    assert blamed_resource(message) is None


def test_a_shared_root_has_a_name_and_a_title() -> None:
    assert ("db07:5432", "db07:5432 cannot be reached") == (
        identity_name("connection:db07:5432"), identity_titles("connection:db07:5432")[0])  # fmt: skip


def test_the_last_line_that_is_known_decides() -> None:
    resource = blamed_resource(
        'could not connect\nCould not resolve host: a\npassword authentication failed for user "b"\n'
    )
    assert resource is not None
    assert "user b" == resource.named


@given(st.text(max_size=400))
def test_any_text_blames_a_resource_that_can_be_shown_or_none(text: str) -> None:
    resource = blamed_resource(text)
    assert resource is None or (
        resource.text.isprintable() and identity_name(resource_identity(resource, "x/y")).isprintable()
    )


@each_row(
    "name, other",
    [
        ("2026-11-20T03:12:04.123Z run 8123 took 4.2s", "2026-11-19T03:11:59.001Z run 77 took 12.9s"),
        ("Nov 20 03:12:04 db07 CRON[4711]: start", "Nov  9 03:12:01 db07 CRON[12]: start"),
        ("id 4f9d2c1e-8f1b-4a53-9a35-8d7cf1a2b3c4 at 0x7f3a", "id 00000000-8f1b-4a53-9a35-8d7cf1a2b3c4 at 0x1"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "commit 1a2b3c4"),
        ("loaded 1,234 rows", "loaded 9 rows"),
    ],
)
def test_lines_that_say_the_same_are_the_same_once_normalised(name: str, other: str) -> None:
    assert normalize_line(name) == normalize_line(other)


def test_numbers_in_names_stay() -> None:
    assert normalize_line("db07 is down") != normalize_line("db08 is down")


@given(st.text(max_size=300))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalize_line(normalize_line(text)) == normalize_line(text)
