"""A terminal whose locale is not UTF-8 gets letters, whatever Python makes of that locale."""

from __future__ import annotations

from console.text.charset import takes_utf8
from tests.rows import each_row


@each_row(
    "encoding, environ, takes",
    [
        ("utf-8", {}, True),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True),
        ("UTF-8", {"LC_ALL": "C.utf8", "LANG": "C"}, True),
        ("utf-8", {"LANG": "en_US"}, True),
        ("utf-8", {"LC_CTYPE": "C.UTF-8"}, True),
        ("utf-8", {"LC_CTYPE": "de_DE.UTF-8", "LANG": "C"}, True),
        ("utf-8", {"LC_ALL": "C", "LANG": "C"}, False),
        ("utf-8", {"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, False),
        ("utf-8", {"LC_CTYPE": "C.UTF-8", "LANG": "C"}, False),
        ("utf-8", {"LC_ALL": "C", "PYTHONUTF8": "1"}, False),
        ("utf-8", {"LANG": "de_DE.ISO-8859-1@euro"}, False),
        ("iso8859-1", {"LANG": "de_DE"}, False),
        ("ascii", {}, False),
        (None, {}, False),
    ],
)
def test_letters_where_the_locale_is_not_utf8(encoding: str | None, environ: dict[str, str], takes: bool) -> None:
    assert takes == takes_utf8(encoding, environ)
