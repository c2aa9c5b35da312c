"""No command lets outside text act on the terminal, whatever of it is printed or typed; JSON is plain ASCII."""

from __future__ import annotations

from collections import Counter

import pytest

from console.store.names import decode_name
from console.text.cleaning import clean_line
from tests.corpus import ESC, MARKUP
from tests.hostile.commands import Done, headway
from tests.hostile.world import NAMES, TEXTS, TWINS, WORST, World, harmful

LISTS = (
    ("status",), ("service",), ("job", "list", "--limit", "1000"), ("job", "list", "--problems"), ("incident", "--all"),
    ("system", "drift"),
)  # fmt: skip
ANSWERS = (0, 1, 2, 3, 4, 6)
"""Exit codes of a command that understood its line or said why not; a traceback would have ended the test."""
REFUSALS = {"--state": ANSWERS, "--owner": (), "--system": ANSWERS, "word": (2,)}
"""Exit codes of a filter that names what does not exist: a state, a system, or a field of a query. An owner is text."""


def harmless(done: Done) -> Done:
    assert [] == harmful(done.out) + harmful(done.err)
    return done


def job_ids(world: World) -> dict[str, int]:
    """Raw name -> id, for every job of the world."""
    with world.bench.store.read() as connection:
        rows = connection.rows("SELECT native_id, id FROM job")
    return {decode_name(name): number for name, number in rows}


@pytest.mark.parametrize("line", LISTS, ids=" ".join)
def test_a_list_of_hostile_names_is_harmless_text(world: World, line: tuple[str, ...]) -> None:
    done = harmless(headway(world.url, *line))
    assert done.code in (0, 1)
    assert len(done.out.splitlines()) > 3


@pytest.mark.parametrize("line", LISTS, ids=" ".join)
def test_a_list_of_hostile_names_is_json_in_ascii(world: World, line: tuple[str, ...]) -> None:
    done = harmless(headway(world.url, *line, "--json"))
    assert done.out.isascii()
    assert done.data


@pytest.mark.parametrize("command", ["job", "run", "log"])
def test_every_hostile_job_is_shown_harmlessly(world: World, command: str) -> None:
    every = 9 if command == "log" else 3  # a log is requested from the engine; the next test covers the others
    for number in list(job_ids(world).values())[::every]:
        done = harmless(headway(world.url, command, f"id:{number}"))
        assert 0 == done.code, done.err
        assert done.out or "it is empty" in done.err


@pytest.mark.parametrize("command", ["job", "run"])
def test_every_hostile_job_is_json(world: World, command: str) -> None:
    for number in list(job_ids(world).values())[1::3]:
        done = harmless(headway(world.url, command, f"id:{number}", "--json"))
        assert done.out.isascii()
        assert done.data or command == "run"


def test_every_incident_is_shown_harmlessly_with_its_log_and_notifications(world: World) -> None:
    for row in headway(world.url, "incident", "list", "--json").data[::3]:
        shown = harmless(headway(world.url, "incident", str(row["id"])))
        assert 0 == shown.code
        assert harmless(headway(world.url, "incident", str(row["id"]), "--json")).out.isascii()


def test_a_step_is_previewed_harmlessly(world: World) -> None:
    for row in headway(world.url, "incident", "list", "--json").data[::10]:
        done = harmless(headway(world.url, "recover", str(row["id"]), "--dry-run"))
        assert 0 == done.code, done.err
        assert "run again" in done.out


def test_every_service_is_shown_harmlessly(world: World) -> None:
    services = headway(world.url, "service", "--json").data
    assert len(services) > 20
    for row in services:
        harmless(headway(world.url, "service", "--", row["name"]))


@pytest.mark.parametrize("command", ["job", "run", "log", "rerun"])
def test_a_name_that_is_typed_is_never_more_than_a_name(world: World, command: str) -> None:
    more = ("--dry-run",) if command == "rerun" else ()
    for text in TEXTS[:: 5 if command in ("job", "run") else 25]:
        if "\0" not in text:  # no shell can hand it over
            done = harmless(headway(world.url, command, *more, "--", f"hostile/{text}"))
            assert done.code in ANSWERS, done.err


@pytest.mark.parametrize("option", REFUSALS)
def test_a_filter_is_never_more_than_a_filter(world: World, option: str) -> None:
    for text in TEXTS[::3]:
        line = ["--", text] if option == "word" else [f"{option}={text}"]
        done = harmless(headway(world.url, "job", "list", *line))
        assert done.code == 0 or done.code in REFUSALS[option]


def test_names_that_do_not_exist_are_refused_harmlessly(world: World) -> None:
    for text in TEXTS[::9]:
        for command in ("service", "incident", "job", "system drift"):
            line = ["accept", "--", text] if command == "system drift" else ["--", text]
            assert harmless(headway(world.url, *command.split(), *line)).code in ANSWERS


@pytest.mark.parametrize(
    "line", [(WORST,), ("job", "list", "--limit", WORST), ("job", "list", f"--{WORST}"), ("system", "drift", WORST)]
)
def test_a_command_line_that_cannot_be_read_is_refused_harmlessly(world: World, line: tuple[str, ...]) -> None:
    assert 2 == harmless(headway(world.url, *line)).code


def test_markup_in_a_name_is_printed_as_it_is(world: World) -> None:
    printed = headway(world.url, "job", "list", "--limit", "1000").out
    plain = [text for text in MARKUP if clean_line(text) == text and len(text) < 60]
    assert len(plain) > 30
    assert [] == [text for text in plain if f"hostile/{text}" not in printed]


def test_every_name_is_a_job_of_its_own(world: World) -> None:
    assert {*NAMES, *TWINS} == set(job_ids(world))
    assert len(set(NAMES + TWINS)) == len(headway(world.url, "job", "list", "--limit", "1000", "--json").data)


def test_similar_names_are_distinguished_and_none_is_guessed(world: World) -> None:
    ids = job_ids(world)
    assert [ids["same"]] == [headway(world.url, "job", "hostile/same", "--json").data["row"]["id"]]
    typed = headway(world.url, "job", f"hostile/{ESC}[31msame", "--json")
    assert ids[f"{ESC}[31msame"] == typed.data["row"]["id"]


def test_a_name_that_only_resembles_others_names_those_jobs(world: World) -> None:
    ids = job_ids(world)
    counter = Counter(clean_line(name) for name in ids)
    script = next(text for text, count in counter.most_common() if count > 1 and text and text not in ids)
    numbers = sorted(number for name, number in ids.items() if clean_line(name) == script)
    done = harmless(headway(world.url, "rerun", f"hostile/{script}", "--yes", "--timeout=5"))
    assert 6 == done.code
    assert [] == [number for number in numbers[:5] if f"id:{number}" not in done.err]
    assert "several jobs are displayed as" in done.err
    assert [] == world.bench.scheduler.acted
