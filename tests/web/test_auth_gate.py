"""Who gets access: every request that is not signed in is rejected, whatever its form."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.web.auth import AccessRequest, LinkGate, ProxyGate, WebAccessDenied
from console.web.visitor import Visitor, from_environment, is_valid_name, login_url, to_environment

HERE = "127.0.0.1:8474"
SECRET = "0123456789abcdef"
PROXY = "10.0.0.5"


def request(
    peer: str = "127.0.0.1", cookie: str = "", token: str = "", is_socket: bool = False, **headers: str
) -> AccessRequest:
    named = {name.replace("_", "-").lower(): (value,) for name, value in headers.items()}
    return AccessRequest(peer, "/", named, cookie, token, is_socket)


def token_of(gate: LinkGate) -> str:
    return parse_qs(urlsplit(gate.link).query)["token"][0]


# -- one person on this machine -------------------------------------------------------------------------------------
def test_the_link_works_once_and_then_another_is_there() -> None:
    gate = LinkGate(8474)
    first = token_of(gate)
    gate.redeem(request(token=first, host=HERE))
    with pytest.raises(WebAccessDenied, match="was used already"):
        gate.redeem(request(token=first, host=HERE))
    gate.redeem(request(token=token_of(gate), host=HERE))


@pytest.mark.parametrize("token", ["", "x", "é", "0" * 43])
def test_a_guessed_link_does_not_work(token: str) -> None:
    with pytest.raises(WebAccessDenied):
        LinkGate(8474).redeem(request(token=token, host=HERE))


def test_who_has_signed_in_may_come_again_by_any_name_of_this_machine() -> None:
    gate = LinkGate(8474)
    for host in (HERE, "localhost:8474", "[::1]:8474"):
        visitor = gate.admit(request(cookie=gate.cookie, host=host, origin=f"http://{host}", is_socket=True))
        assert Visitor("", "browser on 127.0.0.1") == visitor


@pytest.mark.parametrize("cookie", ["", "guessed", "é"])
def test_another_user_of_this_machine_is_turned_away(cookie: str) -> None:
    with pytest.raises(WebAccessDenied, match="not signed in"):
        LinkGate(8474).admit(request(cookie=cookie, host=HERE))


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8474", "127.0.0.1", "127.0.0.1:8475"])
def test_a_name_that_was_led_here_is_turned_away(host: str) -> None:
    gate = LinkGate(8474)
    with pytest.raises(WebAccessDenied, match="no other host name is accepted"):
        gate.admit(request(cookie=gate.cookie, host=host))
    with pytest.raises(WebAccessDenied, match="no other host name is accepted"):
        gate.redeem(request(token=token_of(gate), host=host))


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", f"https://{HERE}", "http://127.0.0.1:9999"])
def test_a_page_of_another_place_opens_no_socket(origin: str) -> None:
    gate = LinkGate(8474)
    with pytest.raises(WebAccessDenied, match="another origin"):
        gate.admit(request(cookie=gate.cookie, host=HERE, is_socket=True, **({"origin": origin} if origin else {})))


def test_the_secret_path_and_the_cookie_are_new_for_every_server() -> None:
    link_gate, other = LinkGate(8474), LinkGate(8474)
    assert 6 == len({link_gate.base, other.base, link_gate.cookie, other.cookie, token_of(link_gate), token_of(other)})


# -- behind a proxy -------------------------------------------------------------------------------------------------
def proxy() -> ProxyGate:
    return ProxyGate("https://ops.example.org/headway/", "X-Forwarded-User", [PROXY], SECRET)


def forwarded(peer: str = PROXY, is_socket: bool = False, **more: str) -> AccessRequest:
    details = {"X_Headway_Secret": SECRET, "X_Forwarded_User": "ann", "Origin": "https://ops.example.org", **more}
    return request(peer, is_socket=is_socket, **{name: value for name, value in details.items() if value})


def test_the_proxys_header_identifies_the_person() -> None:
    assert Visitor("ann", "browser on 192.0.2.7") == proxy().admit(
        forwarded(X_Forwarded_For="6.6.6.6, 192.0.2.7", is_socket=True)
    )
    assert "wss://ops.example.org/headway/ws" == proxy().socket_url("whatever")


@pytest.mark.parametrize(
    "access_request, why",
    [
        (forwarded(peer="10.0.0.6"), "10.0.0.6 is not the proxy"),
        (forwarded(peer="127.0.0.1"), "127.0.0.1 is not the proxy"),
        (forwarded(X_Headway_Secret="guessed"), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Headway_Secret=""), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Forwarded_User=""), "sent no X-Forwarded-User"),
        (forwarded(X_Forwarded_User="headway"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="Headway"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="group:oncall"), "that the audit cannot record"),
        (forwarded(X_Forwarded_User="*"), "that the audit cannot record"),
        (forwarded(Origin="https://evil.example"), "another origin"),
        (forwarded(Origin="", is_socket=True), "another origin"),
    ],
)
def test_what_is_not_proved_is_turned_away(access_request: AccessRequest, why: str) -> None:
    with pytest.raises(WebAccessDenied, match=why):
        proxy().admit(access_request)


def test_a_name_that_the_browser_sent_beside_the_proxys_is_turned_away() -> None:
    access_request = forwarded()
    twice = access_request._replace(headers={**access_request.headers, "x-forwarded-user": ("root", "ann")})
    with pytest.raises(WebAccessDenied, match="came 2 times"):
        proxy().admit(twice)


def test_where_the_proxy_sends_no_address_its_own_is_kept() -> None:
    assert "browser on 10.0.0.5" == proxy().admit(forwarded(X_Forwarded_For="six, <script>")).place


@given(st.text())
def test_any_accepted_name_is_valid_in_the_audit(name: str) -> None:
    result, why = "", ""
    try:
        result = proxy().admit(forwarded(X_Forwarded_User=name)).name
    except WebAccessDenied as refused:
        why = str(refused)
    assert why.isprintable()
    assert bool(why) or (result == name.strip() and is_valid_name(result))


# -- handed on to the console ---------------------------------------------------------------------------------------
def test_who_it_is_comes_out_as_it_went_in() -> None:
    visitor = Visitor("ann@example.org", "browser on 192.0.2.7")
    assert visitor == from_environment(to_environment(visitor))


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
