"""Who may come in: every request that nobody has signed in for is turned away, whatever it looks like."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.web.door import Knock, OwnDoor, ProxyDoor, TurnedAway
from console.web.visitor import Visitor, handed_on, handed_over, is_bearable, login_url

HERE = "127.0.0.1:8474"
SECRET = "0123456789abcdef"
PROXY = "10.0.0.5"


def knock(peer: str = "127.0.0.1", cookie: str = "", token: str = "", is_socket: bool = False, **headers: str) -> Knock:
    named = {name.replace("_", "-").lower(): (value,) for name, value in headers.items()}
    return Knock(peer, "/", named, cookie, token, is_socket)


def token_of(door: OwnDoor) -> str:
    return parse_qs(urlsplit(door.link).query)["token"][0]


# -- one person on this machine -------------------------------------------------------------------------------------
def test_the_link_works_once_and_then_another_is_there() -> None:
    door = OwnDoor(8474)
    first = token_of(door)
    door.redeem(knock(token=first, host=HERE))
    with pytest.raises(TurnedAway, match="has been used"):
        door.redeem(knock(token=first, host=HERE))
    door.redeem(knock(token=token_of(door), host=HERE))


@pytest.mark.parametrize("token", ["", "x", "é", "0" * 43])
def test_a_guessed_link_does_not_work(token: str) -> None:
    with pytest.raises(TurnedAway):
        OwnDoor(8474).redeem(knock(token=token, host=HERE))


def test_who_has_signed_in_may_come_again_by_any_name_of_this_machine() -> None:
    door = OwnDoor(8474)
    for host in (HERE, "localhost:8474", "[::1]:8474"):
        found = door.enter(knock(cookie=door.cookie, host=host, origin=f"http://{host}", is_socket=True))
        assert Visitor("", "browser on 127.0.0.1") == found


@pytest.mark.parametrize("cookie", ["", "guessed", "é"])
def test_another_user_of_this_machine_is_turned_away(cookie: str) -> None:
    with pytest.raises(TurnedAway, match="nobody has signed in"):
        OwnDoor(8474).enter(knock(cookie=cookie, host=HERE))


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8474", "127.0.0.1", "127.0.0.1:8475"])
def test_a_name_that_was_led_here_is_turned_away(host: str) -> None:
    door = OwnDoor(8474)
    with pytest.raises(TurnedAway, match="answers to no other name"):
        door.enter(knock(cookie=door.cookie, host=host))
    with pytest.raises(TurnedAway, match="answers to no other name"):
        door.redeem(knock(token=token_of(door), host=host))


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", f"https://{HERE}", "http://127.0.0.1:9999"])
def test_a_page_of_another_place_opens_no_socket(origin: str) -> None:
    door = OwnDoor(8474)
    with pytest.raises(TurnedAway, match="another place"):
        door.enter(knock(cookie=door.cookie, host=HERE, is_socket=True, **({"origin": origin} if origin else {})))


def test_the_secret_path_and_the_cookie_are_new_for_every_server() -> None:
    one, other = OwnDoor(8474), OwnDoor(8474)
    assert 6 == len({one.base, other.base, one.cookie, other.cookie, token_of(one), token_of(other)})


# -- behind a proxy -------------------------------------------------------------------------------------------------
def proxy() -> ProxyDoor:
    return ProxyDoor("https://ops.example.org/headway/", "X-Forwarded-User", [PROXY], SECRET)


def forwarded(peer: str = PROXY, is_socket: bool = False, **more: str) -> Knock:
    said = {"X_Headway_Secret": SECRET, "X_Forwarded_User": "ann", "Origin": "https://ops.example.org", **more}
    return knock(peer, is_socket=is_socket, **{name: value for name, value in said.items() if value})


def test_the_proxys_word_is_who_somebody_is() -> None:
    assert Visitor("ann", "browser on 192.0.2.7") == proxy().enter(
        forwarded(X_Forwarded_For="6.6.6.6, 192.0.2.7", is_socket=True)
    )
    assert "wss://ops.example.org/headway/ws" == proxy().socket_url("whatever")


@pytest.mark.parametrize(
    "asked, why",
    [
        (forwarded(peer="10.0.0.6"), "10.0.0.6 is not the proxy"),
        (forwarded(peer="127.0.0.1"), "127.0.0.1 is not the proxy"),
        (forwarded(X_Headway_Secret="guessed"), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Headway_Secret=""), "sent no X-Headway-Secret, or another one"),
        (forwarded(X_Forwarded_User=""), "named nobody in X-Forwarded-User"),
        (forwarded(X_Forwarded_User="headway"), "whom the audit cannot tell"),
        (forwarded(X_Forwarded_User="Headway"), "whom the audit cannot tell"),
        (forwarded(X_Forwarded_User="group:oncall"), "whom the audit cannot tell"),
        (forwarded(X_Forwarded_User="*"), "whom the audit cannot tell"),
        (forwarded(Origin="https://evil.example"), "another place"),
        (forwarded(Origin="", is_socket=True), "another place"),
    ],
)
def test_what_is_not_proved_is_turned_away(asked: Knock, why: str) -> None:
    with pytest.raises(TurnedAway, match=why):
        proxy().enter(asked)


def test_a_name_that_the_browser_sent_beside_the_proxys_is_turned_away() -> None:
    asked = forwarded()
    twice = asked._replace(headers={**asked.headers, "x-forwarded-user": ("root", "ann")})
    with pytest.raises(TurnedAway, match="came 2 times"):
        proxy().enter(twice)


def test_where_the_proxy_tells_no_address_its_own_is_kept() -> None:
    assert "browser on 10.0.0.5" == proxy().enter(forwarded(X_Forwarded_For="six, <script>")).place


@given(st.text())
def test_whatever_name_comes_is_one_that_the_audit_can_tell(name: str) -> None:
    found, why = "", ""
    try:
        found = proxy().enter(forwarded(X_Forwarded_User=name)).name
    except TurnedAway as refused:
        why = str(refused)
    assert why.isprintable()
    assert bool(why) or (found == name.strip() and is_bearable(found))


# -- handed on to the console ---------------------------------------------------------------------------------------
def test_who_it_is_comes_out_as_it_went_in() -> None:
    visitor = Visitor("ann@example.org", "browser on 192.0.2.7")
    assert visitor == handed_over(handed_on(visitor))


@pytest.mark.parametrize(
    "url, own",
    [
        ("postgresql://svc:pw@db/ops?sslmode=require", "postgresql://ann%40x@db/ops?sslmode=require"),
        ("postgres://db/ops", "postgres://ann%40x@db/ops"),
        ("postgresql:///ops?host=/run", "postgresql://ann%40x@/ops?host=/run"),
        ("/var/lib/headway.db", "/var/lib/headway.db"),
    ],
)
def test_on_a_shared_store_a_visitor_signs_in_as_themself(url: str, own: str) -> None:
    assert own == login_url(url, "ann@x")
