"""Who gets access: every request that is not signed in is rejected, whatever its form."""

from __future__ import annotations

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from console.web.server import WebAccessDenied, admit
from console.web.visitor import Visitor, from_environment, is_valid_name, login_url

ORIGIN = "https://ops.example.org"
SECRET = "0123456789abcdef"


def forwarded(path: str = "/", *more: tuple[str, str], **changed: str) -> web.Request:
    """A request as the proxy sends it, with changed headers, those without a value left out, and with `more`."""
    headers = {"X_Headway_Secret": SECRET, "X_Forwarded_User": "ann", "Origin": ORIGIN, **changed}
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items() if value]
    return make_mocked_request("GET", path, CIMultiDict([*pairs, *more]))


def admitted(request: web.Request) -> Visitor:
    return admit(request, ORIGIN, SECRET)


def test_the_proxys_header_identifies_the_person() -> None:
    assert Visitor("ann", "browser on 192.0.2.7") == admitted(forwarded("/ws", X_Real_IP="192.0.2.7"))


@pytest.mark.parametrize(
    "access_request, why",
    [
        (forwarded(X_Headway_Secret="guessed"), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Headway_Secret=""), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Forwarded_User=""), "sent no X-Forwarded-User"),
        (forwarded(X_Forwarded_User="headway"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="Headway"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="group:oncall"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="*"), "that the audit cannot record"),
        (forwarded(Origin="https://evil.example"), "another origin"),
        (forwarded("/ws", Origin=""), "another origin"),
    ],
)
def test_what_is_not_proved_is_turned_away(access_request: web.Request, why: str) -> None:
    with pytest.raises(WebAccessDenied, match=why):
        admitted(access_request)


@pytest.mark.parametrize("name", ["X-Forwarded-User", "X-Headway-Secret", "Origin", "X-Real-IP"])
def test_a_header_that_the_browser_sent_beside_the_proxys_is_turned_away(name: str) -> None:
    twice = forwarded("/", (name, "root"), (name, "root"))
    with pytest.raises(WebAccessDenied, match=re.escape(f"the header {name} came")):
        admitted(twice)


def test_an_address_is_shown_as_plain_text() -> None:
    place = admitted(forwarded(X_Real_IP="six\x1b[2J" + "x" * 99)).address
    assert place.isprintable()
    assert len(place) <= len("browser on ") + 45


@given(st.text(st.characters(exclude_characters="\r\n\0")))
def test_any_accepted_name_is_valid_in_the_audit(name: str) -> None:
    result, why = "", ""
    try:
        result = admitted(forwarded(X_Forwarded_User=name)).name
    except WebAccessDenied as refused:
        why = str(refused)
    assert why.isprintable()
    assert bool(why) or (result == name.strip() and is_valid_name(result))


# -- handed on to the console ---------------------------------------------------------------------------------------
def test_who_it_is_comes_out_as_it_went_in() -> None:
    visitor = Visitor("ann@example.org", "browser on 192.0.2.7")
    assert visitor == from_environment(visitor.to_environment())


@pytest.mark.parametrize(
    "url, own",
    [
        ("postgresql://svc:pw@db/ops?sslmode=require", "postgresql://ann%40x@/ops?host=db&sslmode=require"),
        ("postgres://db:5433/ops", "postgresql://ann%40x@/ops?host=db&port=5433"),
        ("postgresql:///ops?host=/run", "postgresql://ann%40x@/ops?host=/run"),
        ("postgresql:///ops?user=ada&password=x&host=127.0.0.1", "postgresql://ann%40x@/ops?host=127.0.0.1"),
        ("postgresql:///ops?service=ada&passfile=/etc/ada.pgpass", "postgresql://ann%40x@/ops"),
        ("postgresql:///ops?options=-c%20role%3Dada&host=db", "postgresql://ann%40x@/ops?host=db"),
        ("postgresql://a:b@h1,h2:5433/ops", "postgresql://ann%40x@/ops?host=h1,h2&port=,5433"),
        ("/var/lib/headway.db", "/var/lib/headway.db"),
    ],
)
def test_on_a_shared_store_a_visitor_signs_in_as_themself(url: str, own: str) -> None:
    assert own == login_url(url, "ann@x")
